//! Makes a typed launch tool of each template that the acting user may launch.
//!
//! A typed tool saves a model one look-up and most wrong guesses, but every form costs tokens on every turn: without a
//! choice by name, forms are published only while there are few and they are small.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    agents::Agent,
    catalog::{Catalog, LaunchTarget, Tool},
    dispatch::Dispatch,
    forms::Template,
    ironclad::Errand,
    launch_form::Translation,
    manifest::Entry,
    policy::{self, KnownTemplate},
    request::ActingUser,
    roster::LiveRoster,
    schema_profile,
    suggest::shorten,
    tool_schema,
};

/// The longest name of a tool, prefix included (CONTRACT, "Every tool").
const NAME_CHARACTERS: usize = 40;

/// Without a choice by name: the most templates, and the most bytes of all their schemas together.
const AUTO_TEMPLATES: usize = 8;
const AUTO_BYTES: usize = 24_000;

/// The tool that every typed launch tool is a special case of.
pub const GENERAL: &str = "launch_workflow";

/// The most acting users that callers brought whose templates are followed.
const MOST_GUESTS: usize = 200;

/// How many refreshes an acting user is followed for after the last list of tools.
const GUEST_REFRESHES: u32 = 3;

/// How long a list of tools waits for the first templates.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// Which templates get a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Those that may be launched, while they are few and small.
    Auto,
    /// None.
    Off,
    /// These, by id or exact name.
    Only(Vec<String>),
}

/// The typed launch tools of one acting user, granted or not.
#[derive(Debug, Default)]
struct LaunchTools {
    /// In the order of the templates' names.
    made: Vec<Made>,
    /// What they were made from, to tell a change.
    digest: [u8; 32],
}

/// A tool, and the bytes of its published schema.
#[derive(Debug)]
struct Made {
    tool: Arc<Tool>,
    bytes: usize,
}

/// Keeps the typed launch tools up to date, for each acting user apart: what one may launch, another may not.
pub struct Launchers {
    choice: Choice,
    refresh: Duration,
    prefix: String,
    by_user: RwLock<HashMap<ActingUser, Arc<LaunchTools>>>,
    /// The acting users that no setting names, and when each was last seen.
    guests: Mutex<HashMap<ActingUser, Instant>>,
    /// Told of a new one.
    comes: Notify,
    /// When the templates are fetched next.
    due: RwLock<Option<Instant>>,
    /// How often they changed.
    news: watch::Sender<u64>,
}

impl Launchers {
    /// Follows the templates that `choice` names, as old as `refresh` at most.
    #[must_use]
    pub fn new(choice: Choice, refresh: Duration, prefix: String) -> Self {
        let (by_user, guests, comes) = (RwLock::default(), Mutex::default(), Notify::new());
        let due = RwLock::default();
        Self { choice, refresh, prefix, by_user, guests, comes, due, news: watch::Sender::new(0) }
    }

    /// How long an agent's tools are sure to stay as they are: until the templates are fetched again.
    #[must_use]
    pub fn steady(&self, agent: &Agent) -> Duration {
        if self.of(agent.user()).is_none() {
            return Duration::ZERO;
        }
        let due = *self.due.read().unwrap_or_else(PoisonError::into_inner);
        due.map(|due| due.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    fn expect(&self, due: Option<Instant>) {
        *self.due.write().unwrap_or_else(PoisonError::into_inner) = due;
    }

    /// Whether launch tools are published at all.
    #[must_use]
    pub fn is_on(&self, catalog: &Catalog, settings: &policy::Settings) -> bool {
        let general = catalog.all().find(|tool| tool.entry.name == GENERAL);
        let granted = general.is_some_and(|tool| policy::grants(&tool.entry, settings));
        self.choice != Choice::Off && granted
    }

    fn of(&self, user: &ActingUser) -> Option<Arc<LaunchTools>> {
        self.by_user.read().unwrap_or_else(PoisonError::into_inner).get(user).cloned()
    }

    /// The tools that an agent is granted, as they are now.
    #[must_use]
    pub fn published(&self, agent: &Agent) -> Vec<Arc<Tool>> {
        let Some(tools) = self.of(agent.user()) else { return Vec::new() };
        let granted: Vec<&Made> = tools.made.iter().filter(|made| is_granted(&made.tool, agent)).collect();
        if self.choice == Choice::Auto && !affordable(&granted) {
            return Vec::new();
        }
        granted.into_iter().map(|made| Arc::clone(&made.tool)).collect()
    }

    /// The tools that an agent is granted, once the templates were fetched for the first time, or as they are after 2 s.
    pub async fn ready(&self, agent: &Agent) -> Vec<Arc<Tool>> {
        let mut news = self.news.subscribe();
        if agent.principal().is_some() {
            self.welcome(agent.user());
        }
        // Time is up, or the sender is gone: either way there is nothing more to wait for.
        let _ = tokio::time::timeout(FIRST_WAIT, news.wait_for(|_| self.of(agent.user()).is_some())).await;
        self.published(agent)
    }

    /// Notes that a user is there whom no setting names; past the most, whoever was not seen for longest goes.
    fn welcome(&self, user: &ActingUser) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.insert(user.clone(), Instant::now()).is_some() {
            return;
        }
        if guests.len() > MOST_GUESTS
            && let Some(longest) = guests.iter().min_by_key(|(_, seen)| **seen).map(|(user, _)| user.clone())
        {
            guests.remove(&longest);
        }
        drop(guests);
        self.comes.notify_one();
    }

    /// The users whom no setting names and who were there lately.
    fn guests(&self) -> Vec<ActingUser> {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let long = self.refresh.saturating_mul(GUEST_REFRESHES);
        guests.retain(|_, seen| seen.elapsed() < long);
        guests.keys().cloned().collect()
    }

    /// A receiver that sees every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The launch tool of a name. One that is not granted is found too, so that its call is refused by the rule's name, and
    /// recorded.
    #[must_use]
    pub fn get(&self, name: &str, agent: &Agent) -> Option<Arc<Tool>> {
        let tools = self.of(agent.user())?;
        let tool = &tools.made.iter().find(|made| made.tool.name == name)?.tool;
        let listed = || self.published(agent).iter().any(|tool| tool.name == name);
        (!is_granted(tool, agent) || listed()).then(|| Arc::clone(tool))
    }

    /// The `inputSchema` of a name, whoever may see it.
    #[must_use]
    pub fn schema(&self, name: &str) -> Option<Arc<Map<String, Value>>> {
        let by_user = self.by_user.read().unwrap_or_else(PoisonError::into_inner);
        let made = by_user.values().flat_map(|tools| &tools.made).find(|made| made.tool.name == name)?;
        Some(Arc::clone(&made.tool.input_schema))
    }

    /// Fetches the templates of every agent's acting user again and again; ends only when it is dropped.
    pub async fn follow(&self, dispatch: &Dispatch, catalog: &Catalog, roster: &LiveRoster) {
        let mut changes = roster.changes();
        let mut due = Instant::now();
        loop {
            let agents = Arc::clone(&changes.borrow_and_update());
            let launching = agents.rights().filter(|rights| self.is_on(catalog, &rights.policy));
            let guests = self.guests();
            let named = launching.filter(|rights| !rights.user_is_brought).map(|rights| &rights.user);
            let users: HashSet<&ActingUser> = named.chain(&guests).collect();
            self.by_user.write().unwrap_or_else(PoisonError::into_inner).retain(|user, _| users.contains(user));
            let all = Instant::now() >= due;
            if all {
                due = Instant::now() + self.refresh.max(Duration::from_millis(100));
                // While they are fetched, any moment may change them.
                self.expect(None);
            }
            let wanted = users.into_iter().filter(|user| all || self.of(user).is_none());
            join_all(wanted.map(|user| self.refresh_now(dispatch, catalog, user))).await;
            self.expect(Some(due));
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.comes.notified() => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whether a name can be one of a typed launch tool, so that the templates are worth a look.
    #[must_use]
    pub fn may_name(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix).is_some_and(|name| name.starts_with("launch_"))
    }

    /// The tools after one fetch that takes 2 s at most; for a program that does not stay.
    pub async fn fetched(&self, dispatch: &Dispatch, catalog: &Catalog, agent: &Agent) -> Vec<Arc<Tool>> {
        let fetching = self.refresh_now(dispatch, catalog, agent.user());
        if tokio::time::timeout(FIRST_WAIT, fetching).await.is_err() {
            tracing::warn!("the templates did not come in time; the launch tools are left out");
        }
        self.published(agent)
    }

    /// Fetches the templates of one acting user once.
    pub async fn refresh_now(&self, dispatch: &Dispatch, catalog: &Catalog, user: &ActingUser) {
        let fetched = match dispatch.forms.all(&dispatch.client, Errand::of(user)).await {
            Ok(templates) => Arc::new(self.make(&templates, dispatch, catalog, user)),
            Err(_) => {
                tracing::warn!("the templates cannot be fetched; the launch tools stay as they are");
                self.of(user).unwrap_or_default()
            }
        };
        let mut by_user = self.by_user.write().unwrap_or_else(PoisonError::into_inner);
        let before = by_user.insert(user.clone(), Arc::clone(&fetched));
        drop(by_user);
        if before.is_none_or(|before| before.digest != fetched.digest) {
            self.news.send_modify(|times| *times += 1);
        }
    }

    fn make(
        &self,
        templates: &[Arc<Template>],
        dispatch: &Dispatch,
        catalog: &Catalog,
        user: &ActingUser,
    ) -> LaunchTools {
        let Some(general) = catalog.all().find(|tool| tool.entry.name == GENERAL) else {
            return LaunchTools::default();
        };
        let mut chosen: Vec<&Arc<Template>> =
            templates.iter().filter(|template| template.launchable && self.chooses(template)).collect();
        chosen.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let names = names(&chosen, catalog, &self.prefix);
        let mut made = Vec::new();
        for (template, name) in chosen.iter().zip(names) {
            let learned = dispatch.forms.learned(user, &template.id);
            let Some(mut tool) = launch_tool(template, &general.entry, (&self.prefix, &name), &learned) else {
                continue;
            };
            tool.entry.description = catalog.words().of(&tool.entry.description).into_owned();
            let bytes = serde_json::to_string(&*tool.input_schema).map_or(0, |text| text.len());
            made.push(Made { tool: Arc::new(tool), bytes });
        }
        if self.choice == Choice::Auto && !affordable(&made.iter().collect::<Vec<_>>()) {
            tracing::info!(
                templates = made.len(),
                "too many or too large templates for a launch tool each; name the wanted ones with --launch-tools, or \
                 in launch of an agent"
            );
        }
        LaunchTools { digest: digest(&made), made }
    }

    fn chooses(&self, template: &Template) -> bool {
        match &self.choice {
            Choice::Auto => true,
            Choice::Off => false,
            Choice::Only(named) => named.iter().any(|name| *name == template.id || *name == template.name),
        }
    }
}

/// Whether an agent may call a launch tool: it, and what it launches.
fn is_granted(tool: &Tool, agent: &Agent) -> bool {
    let target = tool.launch.as_ref();
    let template = KnownTemplate {
        id: target.map(|target| target.template_id.as_str()),
        name: target.map(|target| target.template_name.as_str()),
    };
    policy::visible(&tool.entry, agent.policy()).is_ok() && policy::template(template, agent.policy()).is_ok()
}

fn affordable(tools: &[&Made]) -> bool {
    tools.len() <= AUTO_TEMPLATES && tools.iter().map(|made| made.bytes).sum::<usize>() < AUTO_BYTES
}

fn digest(tools: &[Made]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for Made { tool, .. } in tools {
        let target = tool.launch.as_ref().map(|target| target.template_id.as_str()).unwrap_or_default();
        digest.update(json!([tool.name, tool.entry.description, &*tool.input_schema, target]).to_string());
    }
    digest.finalize().into()
}

/// The name of each template's tool, without the prefix; a cut or taken one gets a suffix that follows from the template.
fn names(templates: &[&Arc<Template>], catalog: &Catalog, prefix: &str) -> Vec<String> {
    let slugs: Vec<String> = templates.iter().map(|template| slug(&template.name)).collect();
    let mut taken: HashMap<String, usize> = catalog.all().map(|tool| (tool.entry.name.clone(), 1)).collect();
    for slug in &slugs {
        *taken.entry(format!("launch_{slug}")).or_default() += 1;
    }
    let room = NAME_CHARACTERS.saturating_sub(prefix.chars().count());
    let name = |(template, slug): (&&Arc<Template>, &String)| {
        let whole = format!("launch_{slug}");
        let clashes = taken.get(&whole).is_some_and(|times| *times > 1);
        if !clashes && whole.len() <= room && !slug.is_empty() {
            return whole;
        }
        // The name outlives the id, which changes when the design is published again; only a clash needs the id.
        let hash = short_hash(if clashes { &template.id } else { &template.name });
        let kept: String = whole.chars().take(room.saturating_sub(hash.len() + 1)).collect();
        format!("{}_{hash}", kept.trim_end_matches('_'))
    };
    templates.iter().zip(&slugs).map(name).collect()
}

fn slug(name: &str) -> String {
    let words = name.to_lowercase();
    let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(3).map(|byte| format!("{byte:02x}")).collect()
}

fn launch_tool(
    template: &Template,
    general: &Entry,
    (prefix, name): (&str, &str),
    learned: &BTreeSet<String>,
) -> Option<Tool> {
    let translation = template.form.as_ref()?.attributes_schema(true, learned);
    let title = shorten(&template.name, 80);
    let mut entry = general.clone();
    entry.name = name.to_owned();
    entry.title = format!("Launch: {title}");
    entry.description = format!(
        "WRITE: launches a workflow from the template {title:?}. Its form is in attributes; every value is checked before \
         anything is sent. Try dry_run first. Not idempotent: after an unclear outcome look in list_workflows."
    );
    let schema = input_schema(&translation);
    let mut faults = schema_profile::tool_faults(&format!("{prefix}{name}"), &entry.description);
    faults.extend(schema_profile::schema_faults(&schema));
    if !faults.is_empty() {
        tracing::warn!(template = template.id, faults = faults.join("; "), "a template cannot be published as a tool");
        return None;
    }
    for warning in &translation.warnings {
        tracing::warn!(template = template.id, warning, "a launch form holds something unknown");
    }
    let target = LaunchTarget {
        template_id: template.id.clone(),
        template_name: template.name.clone(),
        attribute_ids: translation.ids.into_iter().collect(),
    };
    Some(Tool::launcher(entry, prefix, schema, target))
}

fn input_schema(translation: &Translation) -> Map<String, Value> {
    let default = "Fill what is left out from the form's defaults; true unless given.";
    let mut properties = Map::new();
    properties.insert("attributes".into(), translation.schema.clone().into());
    properties.insert("use_default_values".into(), json!({"type": "boolean", "description": default}));
    for (name, schema) in tool_schema::write_arguments() {
        properties.insert(name.into(), schema);
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    schema.insert("required".into(), json!(["attributes"]));
    tool_schema::published(&schema)
}
