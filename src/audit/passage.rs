//! Where this program connected to, or was kept from: one line for each new destination, in a log of its own.
//!
//! A log of its own, since these are no calls: a line stands for every later connection that is judged the same.

use std::{io, net::IpAddr};

use serde_json::{Map, Value};

use super::{
    log::{AuditLog, Target},
    record::timestamp,
};
use crate::egress::{Barred, OWN_HOST};

/// A judgement about a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The host, as the URL has it.
    pub host: String,
    /// The address that it was judged by.
    pub address: Option<IpAddr>,
    /// The proxy that connects in its place.
    pub proxy: Option<String>,
    /// The rule that decided.
    pub rule: String,
    /// Why it is not allowed, where it is not.
    trouble: Option<String>,
    is_allowed: bool,
}

impl Passage {
    /// A destination that a rule allows.
    #[must_use]
    pub fn allowed(host: &str, address: Option<IpAddr>, rule: String, proxy: Option<&str>) -> Self {
        let (host, proxy) = (host.to_owned(), proxy.map(str::to_owned));
        Self { host, address, proxy, rule, trouble: None, is_allowed: true }
    }

    /// A destination that no rule allows; with `warn` it is let through all the same.
    #[must_use]
    pub fn barred(barred: &Barred, warn: bool) -> Self {
        Self {
            host: barred.host.clone(),
            address: barred.address.map(|(address, _)| address),
            proxy: None,
            rule: if warn { "egress=warn" } else { "egress=enforce" }.to_owned(),
            trouble: Some(barred.to_string()),
            is_allowed: warn,
        }
    }

    /// Whether no rule allows it.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// What two judgements have in common that need be told once: an allowed host has many addresses.
    #[must_use]
    pub fn gist(&self) -> String {
        let trouble = self.trouble.as_deref().unwrap_or_default();
        format!("{} {} {} {trouble}", self.host, self.rule, self.proxy.as_deref().unwrap_or_default())
    }

    /// What happened, in words.
    #[must_use]
    pub fn sentence(&self) -> String {
        let at = self.address.map(|address| format!(" at {address}")).unwrap_or_default();
        let by = self.proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
        match (&self.trouble, self.is_allowed) {
            (None, _) => format!("connections to {}{at}{by} are allowed ({})", self.host, self.rule),
            (Some(trouble), false) => format!("a connection was refused: {trouble}"),
            (Some(trouble), true) => format!("a connection was let through with a warning: {trouble}"),
        }
    }

    fn line(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("host".into(), self.host.as_str().into());
        let address = self.address.map(|address| address.to_string());
        for (name, value) in [("address", address), ("proxy", self.proxy.clone())] {
            if let Some(value) = value {
                object.insert(name.into(), value.into());
            }
        }
        let decision = if self.is_allowed { "allowed" } else { "denied" };
        let members = [
            ("time", timestamp().into()),
            ("agent", "ironclad-mcp".into()),
            ("as_user", Value::Null),
            ("tool", "egress".into()),
            ("object", object.into()),
            ("decision", decision.into()),
            ("rule", self.rule.as_str().into()),
            ("outcome", if self.is_allowed { "ok" } else { "error" }.into()),
            ("code", if self.is_allowed { Value::Null } else { "access_denied".into() }),
            ("status", Value::Null),
            ("request_id", Value::Null),
            ("attempts", 0.into()),
            ("duration_ms", 0.into()),
            ("sentence", self.sentence().into()),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl AuditLog {
    /// Records a judgement about a destination.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn passage(&self, passage: &Passage) -> io::Result<()> {
        // A collector of calls need not hear that every process speaks to Ironclad.
        if *self.target() == Target::Stderr && passage.rule == OWN_HOST {
            return Ok(());
        }
        self.append(&passage.line(), false)
    }
}
