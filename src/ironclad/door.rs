//! The one door through which every request goes out: nothing else holds the HTTP client.
//!
//! The host of a URL is judged before anything is done, and the addresses of its name when they are looked up for the
//! connection itself, so that no second look-up can bring others. Where the environment names a proxy, that proxy looks
//! the name up: then the name alone is judged here, and the proxy's own name is let through.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{
    Request, Response,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::Url;

use super::Settings;
use crate::{
    audit::{AuditLog, Passage},
    egress::{self, Barred, Mode, Rules},
    metrics::Metrics,
};

/// How many destinations are remembered as told; past that, some are told again.
const REMEMBERED: usize = 1000;

/// Why a request did not go out, or brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// It may not go there.
    #[error(transparent)]
    Barred(#[from] Barred),
    /// Something else.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

/// An HTTP client behind the rules; clones share everything.
#[derive(Clone)]
pub struct Door {
    http: reqwest::Client,
    gate: Arc<Gate>,
    /// `None` where no proxy is asked for this machine's own sake.
    proxies: Option<Arc<Matcher>>,
    metrics: Arc<Metrics>,
}

impl Door {
    /// Builds the HTTP stack.
    pub(super) fn new(gate: Arc<Gate>, settings: &Settings, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ironclad-mcp/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .read_timeout(settings.timeout)
            .tcp_nodelay(true)
            .dns_resolver(Resolver(Arc::clone(&gate)));
        let local = settings.origin.is_loopback();
        if local {
            builder = builder.no_proxy();
        }
        let proxies = (!local).then(|| Arc::new(Matcher::from_system()));
        let door = Self { http: builder.build()?, gate, proxies, metrics };
        if let Some(proxy) = settings.origin.as_str().parse().ok().and_then(|origin| door.proxy_of(&origin)) {
            door.gate.let_through(&proxy);
        }
        Ok(door)
    }

    /// What the operator says of destinations.
    pub(super) fn settings(&self) -> &egress::Settings {
        self.gate.rules.settings()
    }

    /// Where what goes through the door is counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A request to be sent with [`Door::execute`].
    pub(super) fn request(&self, method: reqwest::Method, url: Url) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends a request, if it may go where it wants to.
    ///
    /// # Errors
    /// It may not, or it brought no answer.
    pub async fn execute(&self, request: Request) -> Result<Response, DoorError> {
        self.admit(request.url())?;
        self.http
            .execute(request)
            .await
            .map_err(|error| barred(&error).map_or(DoorError::Http(error), DoorError::Barred))
    }

    fn admit(&self, url: &Url) -> Result<(), Barred> {
        let proxy = url.as_str().parse().ok().and_then(|uri| self.proxy_of(&uri));
        self.gate.admit(url.host_str().unwrap_or_default(), proxy.as_deref())
    }

    /// The host of the proxy that the environment names for a URL.
    fn proxy_of(&self, uri: &http::Uri) -> Option<String> {
        self.proxies.as_ref()?.intercept(uri)?.uri().host().map(str::to_owned)
    }
}

/// Judges destinations, and records what is new.
pub struct Gate {
    rules: Rules,
    log: Option<Arc<AuditLog>>,
    /// Proxies that the environment names.
    proxies: Mutex<HashSet<String>>,
    told: Mutex<HashSet<String>>,
}

impl Gate {
    /// A gate that records in `log`.
    #[must_use]
    pub fn new(rules: Rules, log: Option<Arc<AuditLog>>) -> Self {
        Self { rules, log, proxies: Mutex::default(), told: Mutex::default() }
    }

    /// Judges the host of a URL; an address is final, a name is judged again when it is looked up.
    fn admit(&self, host: &str, proxy: Option<&str>) -> Result<(), Barred> {
        let judged = self.rules.host(host).and_then(|standing| match (host_address(host), proxy) {
            (Some(address), _) => self.rules.address(host, &standing, address).map(Some),
            (None, Some(_)) => self.rules.name(host, standing).map(Some),
            (None, None) => Ok(None),
        });
        if let Some(proxy) = proxy {
            self.let_through(proxy);
        }
        match judged {
            Ok(None) => Ok(()),
            Ok(Some(rule)) => {
                self.tell(&Passage::allowed(host, host_address(host), rule, proxy));
                Ok(())
            }
            Err(barred) => self.bar(barred),
        }
    }

    /// Lets a proxy's own name through.
    fn let_through(&self, proxy: &str) {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner).insert(proxy.to_owned());
    }

    /// Refuses, or only says so.
    fn bar(&self, barred: Barred) -> Result<(), Barred> {
        let warn = self.rules.settings().mode == Mode::Warn;
        self.tell(&Passage::barred(&barred, warn));
        if warn { Ok(()) } else { Err(barred) }
    }

    fn tell(&self, passage: &Passage) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(&passage.gist()) {
            return;
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(passage.gist());
        drop(told);
        if passage.is_trouble() {
            tracing::warn!(host = passage.host, rule = passage.rule, "{}", passage.sentence());
        }
        let recorded = self.log.as_ref().map_or(Ok(()), |log| log.passage(passage));
        if let Err(error) = recorded {
            tracing::warn!(%error, "the log of destinations cannot be written");
        }
    }

    /// The addresses of a name that may be connected to.
    fn judged(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Barred> {
        if self.proxies.lock().unwrap_or_else(PoisonError::into_inner).contains(name) {
            return Ok(found);
        }
        let standing = match self.rules.host(name) {
            Ok(standing) => standing,
            Err(barred) => return self.bar(barred).map(|()| found),
        };
        let mut allowed = Vec::with_capacity(found.len());
        let mut refused = None;
        for address in &found {
            match self.rules.address(name, &standing, address.ip()) {
                Ok(rule) => allowed.push((*address, rule)),
                Err(barred) => refused = refused.or(Some(barred)),
            }
        }
        match (allowed.first(), refused) {
            (Some((address, rule)), _) => {
                self.tell(&Passage::allowed(name, Some(address.ip()), rule.clone(), None));
                Ok(allowed.into_iter().map(|(address, _)| address).collect())
            }
            (None, Some(barred)) => self.bar(barred).map(|()| found),
            (None, None) => Ok(found),
        }
    }
}

fn host_address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Looks names up for the connector; what comes back is all that can be connected to.
struct Resolver(Arc<Gate>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let judged = gate.judged(name.as_str(), found)?;
            Ok(Box::new(judged.into_iter()) as Addrs)
        })
    }
}

/// The refusal behind a failed connection, if that is what failed it.
fn barred(error: &reqwest::Error) -> Option<Barred> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(barred) = inner.downcast_ref::<Barred>() {
            return Some(barred.clone());
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::Settings as Egress;

    fn gate(mode: Mode, allow: &[&str]) -> Gate {
        let allow = allow.iter().map(|place| place.parse().unwrap()).collect();
        Gate::new(Rules::new(Egress { mode, allow }, "na1.ironcladapp.com"), None)
    }

    fn found(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn a_name_keeps_those_of_its_addresses_that_it_may_lead_to() {
        let gate = gate(Mode::Enforce, &["*.example.com", "10.9.0.0/16"]);
        let mixed = ["10.1.2.3", "8.8.8.8", "::ffff:127.0.0.1", "169.254.169.254", "10.9.0.1"];
        for name in ["na1.ironcladapp.com", "files.example.com"] {
            assert_eq!(gate.judged(name, found(&mixed)), Ok(found(&["8.8.8.8", "10.9.0.1"])), "{name}");
            for private in
                ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "fd00::1", "64:ff9b::10.0.0.1", "0.0.0.0"]
            {
                let barred = gate.judged(name, found(&[private])).unwrap_err();
                assert!(barred.address.is_some() && barred.host == name, "{name} at {private}: {barred}");
            }
        }
        assert_eq!(gate.judged("other.example", found(&mixed)), Ok(found(&["10.9.0.1"])));
        assert!(gate.judged("other.example", found(&["8.8.8.8"])).is_err());
        assert_eq!(gate.judged("na1.ironcladapp.com", Vec::new()), Ok(Vec::new()), "an unknown name is no refusal");
    }

    #[test]
    fn with_a_warning_a_name_keeps_all_its_addresses() {
        let gate = gate(Mode::Warn, &[]);
        assert_eq!(gate.judged("na1.ironcladapp.com", found(&["10.1.2.3"])), Ok(found(&["10.1.2.3"])));
        assert_eq!(gate.judged("other.example", found(&["8.8.8.8"])), Ok(found(&["8.8.8.8"])));
    }

    #[test]
    fn behind_a_proxy_the_name_alone_is_judged_and_the_proxy_may_be_anywhere() {
        let gate = gate(Mode::Enforce, &["*.example.com", "10.9.0.0/16"]);
        assert!(gate.judged("proxy.internal", found(&["10.1.2.3"])).is_err());
        for name in ["na1.ironcladapp.com", "files.example.com"] {
            assert_eq!(gate.admit(name, Some("proxy.internal")), Ok(()));
        }
        assert!(gate.admit("other.example", Some("proxy.internal")).is_err(), "its network is not seen from here");
        assert!(gate.admit("8.8.8.8", Some("proxy.internal")).is_err());
        assert_eq!(gate.judged("proxy.internal", found(&["10.1.2.3"])), Ok(found(&["10.1.2.3"])));
    }

    #[test]
    fn an_address_is_judged_without_any_look_up() {
        let gate = gate(Mode::Enforce, &["10.9.0.0/16"]);
        assert_eq!(gate.admit("10.9.0.1", None), Ok(()));
        for host in ["10.8.0.1", "8.8.8.8", "[::1]", "[::ffff:10.8.0.1]"] {
            assert!(gate.admit(host, None).is_err(), "{host}");
        }
        assert_eq!(gate.admit("[::ffff:10.9.0.1]", None), Ok(()));
    }
}
