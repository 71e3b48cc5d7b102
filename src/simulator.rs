//! A stand-in for the Ironclad service, over HTTP on a local port.
//!
//! It is written from the vendor's documentation alone and shares no type with this project's client: a fake built
//! from the client's own structs would repeat the client's mistakes.

mod answers;
mod approval_state;
mod approvals;
mod archive;
mod async_launch;
mod attribute_values;
mod calendar;
mod clock;
mod control;
mod dispatch;
mod documents;
mod documents_source;
mod durations;
mod errors;
mod events;
mod exchange;
mod faults;
mod filing;
mod formula;
mod formula_reader;
mod formula_text;
mod formula_values;
mod hooks;
mod identity;
mod incoming;
mod launch;
mod launch_check;
mod lifecycle;
mod lifecycle_actions;
mod limits;
mod oauth;
mod oauth_consent;
mod operations;
mod paging;
mod people;
mod person_view;
mod random;
mod record_actions;
mod record_schema;
mod record_values;
mod record_view;
mod record_writes;
mod records;
mod request_log;
mod schemas;
mod scim;
mod scim_filter;
mod scim_filter_reader;
mod scopes;
mod seed;
mod seed_names;
mod seed_records;
mod serving;
mod settings;
mod signing;
mod signing_state;
mod store;
mod strict;
mod swollen;
mod templates;
mod visit;
mod webhooks;
mod wire;
mod workflow_actions;
mod workflow_attributes;
mod workflow_document;
mod workflow_documents;
mod workflow_state;
mod workflow_view;
mod workflows;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use dispatch::World;
use faults::Faults;
pub use limits::{LimitHeaders, Limits};
pub use settings::Settings;

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address could not be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The faults were not understood.
    #[error("bad faults: {0}")]
    Faults(String),
}

/// What a client signs in with; the same for every simulator.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// OAuth client id, a UUID.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: String,
    /// The legacy company-wide bearer token.
    pub access_token: String,
    /// A user to act as: the legal-operations administrator.
    pub as_user_email: String,
}

/// A running simulator; dropping it stops it.
pub struct Simulator {
    base_url: String,
    world: Arc<World>,
    task: JoinHandle<()>,
    shutdown: DropGuard,
}

impl Simulator {
    /// Starts on the current tokio runtime; port 0 picks a free one. Data is made on the first request.
    ///
    /// # Errors
    /// When the address is taken or the faults cannot be read.
    pub async fn start(listen: SocketAddr, settings: Settings) -> Result<Self, SimulatorError> {
        let faults = Faults::parse(settings.faults.as_deref().unwrap_or_default())
            .map_err(|error| SimulatorError::Faults(error.to_string()))?;
        let listener = TcpListener::bind(listen).await.map_err(|error| SimulatorError::Listen(listen, error))?;
        let bound = listener.local_addr().map_err(|error| SimulatorError::Listen(listen, error))?;
        let base_url = format!("http://{}", reachable(bound));
        let world = Arc::new(World::new(base_url.clone(), settings, faults));
        let misfortunes = world.misfortunes.clone().witnessed_by(Arc::<World>::clone(&world));
        let router =
            Router::new().fallback(dispatch::answer).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&world));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serving::serve(listener, router, misfortunes, shutdown.clone()));
        Ok(Self { base_url, world, task, shutdown: shutdown.drop_guard() })
    }

    /// `http://host:port`, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.base_url.clone()
    }

    /// What to sign in with.
    pub fn credentials(&self) -> Credentials {
        Credentials {
            client_id: identity::CLIENT_ID.to_owned(),
            client_secret: identity::CLIENT_SECRET.to_owned(),
            access_token: identity::LEGACY_TOKEN.to_owned(),
            as_user_email: people::DEFAULT_EMAIL.to_owned(),
        }
    }

    /// Moves an active workflow one step on, as people would: everybody approves, signs, or files it.
    ///
    /// `false` where there is no such workflow, or it is not active.
    pub fn advance(&self, workflow_id: &str) -> bool {
        self.world.advance(workflow_id)
    }

    /// Stops accepting, ends open connections and waits until the port is free.
    pub async fn stop(self) {
        drop(self.shutdown);
        // A task that panicked has stopped as well.
        let _ = self.task.await;
    }
}

/// The grammar of `Settings::faults`, for help texts.
pub const fn fault_grammar() -> &'static str {
    faults::GRAMMAR
}

/// A client cannot connect to the unspecified address, so loopback is shown instead.
fn reachable(bound: SocketAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let loopback: std::net::IpAddr =
        if bound.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(loopback, bound.port())
}
