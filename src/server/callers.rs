//! Who calls, and when the lists that they see change.

use std::sync::Arc;

use rmcp::{
    Peer, RoleServer,
    model::{Extensions, Implementation, ServerNotification, SubscriptionFilter},
    service::{RequestContext, ServiceError, SubscriptionSendError, SubscriptionSink},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::{Server, is_modern};
use crate::{
    agents::Agent,
    catalog::Tool,
    ironclad::auth::Grants,
    prompts,
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

    /// Who opens a session over HTTP.
    pub(crate) fn opener(&self, extensions: &Extensions, client: &Implementation) -> Agent {
        match &self.shared.recognition {
            Recognition::Anybody(transport) => self.anybody(own_name(Some(client), transport)),
            Recognition::Named(_) | Recognition::Verified => self.recognised(extensions),
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

    /// The lists of an agent as they are, unless its launch tools are still to come: the first ones are no change, since
    /// whoever lists the tools before they are there waits for them.
    pub(crate) fn seen_at_once(&self, agent: &Agent) -> Option<Seen> {
        (!self.launches(agent)).then(|| self.seen(agent))
    }

    /// Watches the lists of an agent that was last told of them as `before`.
    pub(crate) async fn watched_by(&self, agent: Agent, before: Option<Seen>) -> Listing {
        if before.is_none() && self.launches(&agent) {
            self.shared.launchers.ready(&agent).await;
        }
        let mut listing = self.watch(agent);
        if let Some(before) = before {
            listing.is_due = before != listing.seen;
            listing.seen = before;
        }
        listing
    }

    /// Watches the lists that an agent sees.
    pub(super) fn watch(&self, agent: Agent) -> Listing {
        let (launches, roster) = (self.shared.launchers.changes(), self.shared.roster.changes());
        let mut grants = self.shared.dispatch.client.grants();
        grants.mark_unchanged();
        let seen = self.seen(&agent);
        Listing { server: self.clone(), agent, seen, launches, roster, grants, is_due: false, is_gone: false }
    }

    /// What an agent sees of each list, in the order of [`List::ALL`].
    fn seen(&self, agent: &Agent) -> Seen {
        let granted: Vec<_> = self.shared.catalog.all().filter(|tool| self.publishes(tool, agent)).collect();
        let typed = self.shared.launchers.published(agent);
        let typed = typed.iter().filter(|tool| self.publishes(tool, agent)).map(|tool| {
            let template = tool.launch.as_ref().map(|target| &target.template_id);
            json!([tool.name, tool.entry.description, &*tool.input_schema, template])
        });
        let tools = digest(granted.iter().map(|tool| json!([tool.name])).chain(typed));
        let grants = |tool: &Tool| self.publishes(tool, agent);
        let grants = prompts::Grants { catalog: &self.shared.catalog, grants: &grants };
        let prompts = digest(self.shared.prompts.granted(&grants).map(|prompt| json!([prompt.name])));
        let resources = granted.iter().filter_map(|tool| tool.entry.resource.as_ref());
        Seen([tools, prompts, digest(resources.map(|resource| json!([resource.uri])))])
    }
}

fn digest(items: impl Iterator<Item = Value>) -> [u8; 32] {
    let mut digest = Sha256::new();
    items.for_each(|item| digest.update(item.to_string()));
    digest.finalize().into()
}

/// What somebody sees of each list, in the order of [`List::ALL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen([[u8; 32]; 3]);

/// A list that a client may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// tools/list
    Tools,
    /// prompts/list
    Prompts,
    /// resources/list and resources/templates/list
    Resources,
}

impl List {
    const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// Whether a client wants to hear of it.
    fn is_in(self, filter: &SubscriptionFilter) -> bool {
        let wanted = match self {
            Self::Tools => filter.tools_list_changed,
            Self::Prompts => filter.prompts_list_changed,
            Self::Resources => filter.resources_list_changed,
        };
        wanted == Some(true)
    }

    /// What tells a client that it changed.
    pub(crate) fn notification(self) -> ServerNotification {
        match self {
            Self::Tools => ServerNotification::ToolListChangedNotification(Default::default()),
            Self::Prompts => ServerNotification::PromptListChangedNotification(Default::default()),
            Self::Resources => ServerNotification::ResourceListChangedNotification(Default::default()),
        }
    }

    /// Tells the client of a session.
    pub(super) async fn tell(self, peer: &Peer<RoleServer>) -> Result<(), ServiceError> {
        peer.send_notification(self.notification()).await
    }

    /// Tells a client that listens on a stream of its own, if it asked for this.
    pub(super) async fn tell_listener(self, sink: &SubscriptionSink) -> Result<(), SubscriptionSendError> {
        match self {
            _ if !self.is_in(sink.accepted()) => Ok(()),
            Self::Tools => sink.notify_tool_list_changed().await,
            Self::Prompts => sink.notify_prompt_list_changed().await,
            Self::Resources => sink.notify_resource_list_changed().await,
        }
    }
}

/// The lists that one agent sees, while somebody waits for them to change.
pub(crate) struct Listing {
    server: Server,
    agent: Agent,
    seen: Seen,
    launches: watch::Receiver<u64>,
    roster: watch::Receiver<Arc<Roster>>,
    /// A token may turn out to lack a scope.
    grants: watch::Receiver<Arc<Grants>>,
    /// Whether it is another one already.
    is_due: bool,
    /// Whether the agent was taken out, and sees nothing any more.
    pub(super) is_gone: bool,
}

impl Listing {
    /// What was seen when [`changed`](Self::changed) was last asked.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Waits until some list is another one, and says which; `None` where the server ends.
    pub(crate) async fn changed(&mut self) -> Option<Vec<List>> {
        let shared = &self.server.shared;
        loop {
            tokio::select! {
                () = std::future::ready(()), if std::mem::take(&mut self.is_due) => {}
                changed = self.launches.changed() => changed.ok()?,
                changed = self.grants.changed() => changed.ok()?,
                changed = self.roster.changed() => changed.ok()?,
                () = shared.stopping.cancelled() => return None,
            }
            let roster = shared.roster.now();
            let known = roster.again(&self.agent);
            let goes = known.is_none() && !self.is_gone;
            self.is_gone = known.is_none();
            let now = known.unwrap_or_else(|| nobody(&self.agent.name));
            let before = std::mem::replace(&mut self.seen, self.server.seen(&now));
            if !self.is_gone {
                self.agent = now;
            }
            let differs = before.0.iter().zip(&self.seen.0).map(|(before, now)| before != now);
            let news: Vec<List> =
                List::ALL.into_iter().zip(differs).filter_map(|(list, new)| new.then_some(list)).collect();
            if goes || !news.is_empty() {
                return Some(news);
            }
        }
    }
}
