//! `ironclad-mcp check`: whether everything is right, line by line, and what to do where it is not.
//!
//! Scopes and the acting user are proved by the cheapest read of each published group, because Ironclad tells about
//! neither in any other way that every kind of token may ask.

mod callers;
mod sign_in;

use std::{collections::BTreeSet, fs::OpenOptions, io, path::Path, process::ExitCode, sync::Arc};

use serde_json::{Map, Value, json};

use super::{CommandError, Ended, FAILED, WRONG, call::AGENT, console::say};
use crate::{
    agents::{Agent, Rights},
    assembly::{self, Assembly},
    audit::Target,
    catalog::{Catalog, Tool},
    config::{Config, ConfigError},
    dispatch::{Caller, Dispatch},
    error::{CallError, Code},
    policy::Settings,
    request::ActingUser,
    roster::Roster,
};

/// The lines told so far, as far as they decide the exit code.
#[derive(Default)]
struct Report {
    failed: bool,
}

impl Report {
    fn ok(&self, what: &str) -> Result<(), CommandError> {
        say(&format!("ok    {what}"))
    }

    fn warn(&self, what: &str) -> Result<(), CommandError> {
        say(&format!("warn  {what}"))
    }

    fn fail(&mut self, what: &str) -> Result<(), CommandError> {
        self.failed = true;
        say(&format!("FAIL  {what}"))
    }
}

/// Checks one thing after the other; what hangs on a failed thing is not tried.
pub(super) async fn run(configured: Result<Config, ConfigError>) -> Ended {
    let mut report = Report::default();
    let mut config = match configured {
        Ok(config) => config,
        Err(error) => return wrong(&mut report, "configuration", &error),
    };
    let simulator = if config.simulator { Some(assembly::simulate(&mut config).await?) } else { None };
    let named = if config.simulator { ", the built-in simulator" } else { "" };
    report.ok(&format!("configuration: for {}{named}", config.ironclad.origin))?;
    match assembly::catalog(&config) {
        Ok(catalog) => {
            let (published, all) = (catalog.published(&config.policy).count(), catalog.all().count());
            report.ok(&format!("manifests: {published} of {all} tools are published"))?;
        }
        Err(error) => return wrong(&mut report, "manifests", &error),
    }
    match &config.audit {
        None => return wrong(&mut report, "audit log", &ConfigError::NoStateDirectory),
        Some(target) => audit_log(target, &mut report)?,
    }
    shared(&config, &mut report).await?;
    let kept = match assembly::kept_login(&config) {
        Ok(kept) => kept,
        Err(error) => return wrong(&mut report, "credentials", &error),
    };
    let Some(how) = sign_in::credentials(&config.secrets, kept.as_ref()) else {
        report.fail(
            "credentials: none; set IRONCLAD_CLIENT_ID and IRONCLAD_CLIENT_SECRET, or IRONCLAD_ACCESS_TOKEN (environment \
             only)",
        )?;
        return Ok(ExitCode::from(FAILED));
    };
    let is_static = config.secrets.access_token.is_some();
    let named = !config.scopes.is_empty();
    let (policy, user) = (config.policy.clone(), config.acting_user.clone());
    let oauth = callers::settings(&config);
    let Assembly { dispatch, catalog, roster, .. } = match assembly::assemble(config) {
        Ok(assembly) => assembly,
        Err(error) => return wrong(&mut report, "credentials", &error),
    };
    report.ok(&format!("credentials: {how}"))?;
    agents(&roster.now(), &catalog, &report)?;
    callers::keys(oauth, &dispatch, &mut report).await?;
    let agent = as_server(&roster.now(), policy, user);
    if let Some((store, _)) = kept.as_ref().filter(|(store, _)| store.is_exposed()) {
        report.fail(&format!("credentials: others can read {}; chmod 600 it", store.path().display()))?;
    }
    let signed_in = sign_in::token(&dispatch, is_static, &mut report).await?;
    if signed_in {
        sign_in::scopes(&dispatch, &catalog, (&roster.now(), named), &mut report)?;
    }
    if signed_in && reads(&dispatch, &catalog, &agent, &mut report).await? && is_static {
        report.ok(&format!("host: {} answers, and takes the token", dispatch.client.origin()))?;
    }
    drop(simulator);
    Ok(if report.failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn wrong(report: &mut Report, what: &str, error: &ConfigError) -> Ended {
    report.fail(&format!("{what}: {error}"))?;
    Ok(ExitCode::from(WRONG))
}

/// Whether the Redis that is configured answers.
async fn shared(config: &Config, report: &mut Report) -> Result<(), CommandError> {
    let Some(redis) = assembly::shared(config)?.redis else { return Ok(()) };
    match redis.ping().await {
        Ok(()) => report.ok("redis: answers"),
        Err(why) => report.fail(&format!(
            "redis: cannot be reached ({why}), so every write would be refused; check --redis (IRONCLAD_REDIS)"
        )),
    }
}

fn audit_log(target: &Target, report: &mut Report) -> Result<(), CommandError> {
    let Target::File(path) = target else { return report.ok("audit log: goes to stderr") };
    match writable(path) {
        Ok(()) => report.ok(&format!("audit log: {} can be written", path.display())),
        Err(error) => report.fail(&format!(
            "audit log: {} cannot be written ({error}), so every write would be refused; set --audit-log \
             (IRONCLAD_AUDIT_LOG)",
            path.display()
        )),
    }
}

fn writable(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Whoever may what the server may, with the acting user of the first agent that has one; the server's, where callers bring
/// theirs.
fn as_server(roster: &Roster, policy: Settings, user: ActingUser) -> Agent {
    let named = roster.rights().find(|rights| !rights.user_is_brought).map(|rights| rights.user.clone());
    let user = named.unwrap_or(user);
    Agent::new(AGENT, Arc::new(Rights { policy, user, ..Rights::default() }))
}

/// What each agent has.
fn agents(roster: &Roster, catalog: &Catalog, report: &Report) -> Result<(), CommandError> {
    for agent in roster.names().filter_map(|name| roster.by_name(name)) {
        let tools = catalog.published(agent.policy()).count();
        let acting = agent.user().name().map(|user| format!(", acting as {user}")).unwrap_or_default();
        report.ok(&format!("agent {}: {tools} tools{acting}", agent.name))?;
    }
    Ok(())
}

/// Whether any read was answered.
async fn reads(
    dispatch: &Dispatch,
    catalog: &Catalog,
    agent: &Agent,
    report: &mut Report,
) -> Result<bool, CommandError> {
    let grants = dispatch.client.grants().borrow().clone();
    let is_tried = |tool: &&Arc<Tool>| tool.entry.local.is_none() && tool.is_reachable(&grants);
    let published = || catalog.published(agent.policy()).filter(is_tried);
    let groups: BTreeSet<&str> = published().map(|tool| tool.entry.group.as_str()).collect();
    let mut read = false;
    for group in groups {
        let Some(tool) = published().find(|tool| tool.entry.group == group && is_cheap_read(tool)) else {
            report.warn(&format!("{group}: not tried, since every read of it needs an id"))?;
            continue;
        };
        let caller =
            Caller { agent: agent.clone(), person: None, progress: None, deadline: None, document_bytes: None };
        let Err(error) = dispatch.call(tool, least(tool), caller).await else {
            read = true;
            report.ok(&format!("{group}: {} answers", tool.name))?;
            continue;
        };
        report.fail(&told(group, tool, &error))?;
        if is_hopeless(error.code) {
            break;
        }
    }
    match agent.user().name() {
        None => report.warn(
            "acting user: none, so Ironclad may refuse to launch or to act; set --as-user-email (IRONCLAD_AS_USER_EMAIL)",
        )?,
        Some(user) if read => report.ok(&format!("acting user: {user} may read"))?,
        Some(_) => {}
    }
    Ok(read)
}

/// Whether every other read would end the same way.
fn is_hopeless(code: Code) -> bool {
    matches!(code, Code::UpstreamUnavailable | Code::Unauthorized | Code::NotFound)
}

fn told(group: &str, tool: &Tool, error: &CallError) -> String {
    if error.code == Code::NotFound {
        // The call named no object, so it can only be the acting user.
        return format!(
            "acting user: {}; check --as-user-email (IRONCLAD_AS_USER_EMAIL) and --as-user-id (IRONCLAD_AS_USER_ID)",
            error.message
        );
    }
    let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{group}: {} failed with {error}{hint}", tool.name)
}

fn is_cheap_read(tool: &Tool) -> bool {
    let entry = &tool.entry;
    let asks_ironclad = !entry.effect.is_write() && entry.local.is_none();
    asks_ironclad && entry.parameters.values().all(|parameter| !parameter.required)
}

/// The arguments that bring the least.
fn least(tool: &Tool) -> Map<String, Value> {
    let arguments = if tool.entry.is_list() { json!({ "limit": 1 }) } else { json!({}) };
    arguments.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_with_a_list_has_a_cheap_read() {
        let catalog = Catalog::load(None, "").unwrap();
        let cheap: BTreeSet<&str> =
            catalog.all().filter(|tool| is_cheap_read(tool)).map(|tool| tool.entry.group.as_str()).collect();
        assert_eq!(cheap.into_iter().collect::<Vec<_>>(), ["records", "users", "webhooks", "workflows"]);
    }

    #[test]
    fn a_log_in_a_new_folder_is_writable_and_one_below_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("new").join("audit.jsonl");
        writable(&log).unwrap();
        assert!(log.exists());
        assert!(writable(&log.join("audit.jsonl")).is_err());
    }
}
