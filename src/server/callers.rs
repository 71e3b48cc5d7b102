//! Who calls, and when the list of tools that they see changes.

use std::sync::Arc;

use rmcp::{
    RoleServer,
    model::{Extensions, Implementation},
    service::RequestContext,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::{Server, is_modern};
use crate::{
    agents::Agent,
    ironclad::auth::Grants,
    roster::{Roster, nobody},
};

/// How a server knows who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// Nobody is told apart; this is the agent's name where its client does not say its own.
    Anybody(&'static str),
    /// Every call comes from this agent (`--agent`).
    Named(String),
    /// The transport verifies who calls, and puts the [`Agent`] into the extensions of the request.
    Verified,
}

/// What the client calls itself; unverified, so it is only a name.
fn own_name(info: Option<&Implementation>, transport: &str) -> String {
    let name: String =
        info.map(|info| info.name.chars().filter(|c| !c.is_control()).take(64).collect()).unwrap_or_default();
    if name.is_empty() { transport.to_owned() } else { name }
}

/// Whom the transport verified.
fn verified(extensions: &Extensions) -> Option<&Agent> {
    extensions.get::<http::request::Parts>()?.extensions.get::<Agent>()
}

impl Server {
    /// Who makes a request. Whoever is not recognised is granted nothing.
    pub(super) fn agent(&self, cx: &RequestContext<RoleServer>) -> Agent {
        match &self.shared.recognition {
            Recognition::Anybody(transport) => {
                let info = if is_modern(cx) { cx.meta.client_info() } else { cx.client_info() };
                self.anybody(own_name(info.as_ref(), transport))
            }
            Recognition::Named(_) | Recognition::Verified => self.recognised(&cx.extensions),
        }
    }

    /// Who sends a notification.
    pub(super) fn sender(&self, extensions: &Extensions) -> Agent {
        match &self.shared.recognition {
            Recognition::Anybody(transport) => self.anybody((*transport).to_owned()),
            Recognition::Named(_) | Recognition::Verified => self.recognised(extensions),
        }
    }

    fn anybody(&self, name: String) -> Agent {
        match self.shared.roster.now().open() {
            Some(rights) => Agent::new(name, Arc::clone(rights)),
            None => nobody(&name),
        }
    }

    fn recognised(&self, extensions: &Extensions) -> Agent {
        let agent = match &self.shared.recognition {
            Recognition::Named(name) => self.shared.roster.now().by_name(name).ok_or(name.as_str()),
            Recognition::Verified => verified(extensions).cloned().ok_or("nobody"),
            Recognition::Anybody(name) => Err(*name),
        };
        agent.unwrap_or_else(nobody)
    }

    /// Watches the list of tools that an agent sees.
    pub(super) fn watch(&self, agent: Agent) -> Listing<'_> {
        let (launches, roster) = (self.shared.launchers.changes(), self.shared.roster.changes());
        let mut grants = self.shared.dispatch.client.grants();
        grants.mark_unchanged();
        let seen = self.digest(&agent);
        Listing { server: self, agent, seen, launches, roster, grants }
    }

    /// What an agent sees of the tools.
    fn digest(&self, agent: &Agent) -> [u8; 32] {
        let mut digest = Sha256::new();
        for tool in self.shared.catalog.all().filter(|tool| self.publishes(tool, agent)) {
            digest.update(json!([tool.name]).to_string());
        }
        for tool in self.shared.launchers.published(agent).iter().filter(|tool| self.publishes(tool, agent)) {
            let template = tool.launch.as_ref().map(|target| &target.template_id);
            digest.update(json!([tool.name, tool.entry.description, &*tool.input_schema, template]).to_string());
        }
        digest.finalize().into()
    }
}

/// The list of tools that one agent sees, while somebody waits for it to change.
pub(super) struct Listing<'a> {
    server: &'a Server,
    agent: Agent,
    seen: [u8; 32],
    launches: watch::Receiver<u64>,
    roster: watch::Receiver<Arc<Roster>>,
    /// A token may turn out to lack a scope.
    grants: watch::Receiver<Arc<Grants>>,
}

impl Listing<'_> {
    /// Waits until the list is another one; `false` where there will be none any more.
    pub(super) async fn changed(&mut self) -> bool {
        let shared = &self.server.shared;
        loop {
            tokio::select! {
                changed = self.launches.changed() => if changed.is_err() { return false },
                changed = self.grants.changed() => if changed.is_err() { return false },
                changed = self.roster.changed() => if changed.is_err() { return false },
                () = shared.stopping.cancelled() => return false,
            }
            let roster = shared.roster.now();
            // Whoever is not there any more has nothing to wait for.
            let Some(agent) = roster.again(&self.agent) else { return false };
            self.agent = agent;
            let now = self.server.digest(&self.agent);
            if now != self.seen {
                self.seen = now;
                return true;
            }
        }
    }
}
