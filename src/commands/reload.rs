//! Puts the agents and the policy in force again whenever the settings file changes.
//!
//! The file is read twice a second and taken when two looks saw the same, so a file that is being written is not taken half.
//! It is all or nothing: a broken file leaves everything as it was. Reading a small file costs less than watching it, and
//! works on every file system.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    assembly::{self, needed_scopes},
    catalog::Catalog,
    config::{self, CallerAuth, Config, ConfigError, Options},
    roster::{LiveRoster, Roster},
};

/// Twice this, and the time that reading takes, is how long a change takes to go into force.
const PERIOD: Duration = Duration::from_millis(400);

/// How soon a change is sure to be in force (README, "Several agents").
const WITHIN: Duration = Duration::from_secs(2);

/// The settings that go into force without a restart.
const LIVE: [&str; 10] = [
    "access",
    "enable_writes",
    "toolsets",
    "tools",
    "exclude_tools",
    "confirm",
    "require_plan",
    "as_user_email",
    "as_user_id",
    "agents",
];

/// What a running server needs to read its settings again.
pub(super) struct Reload {
    file: PathBuf,
    /// The command line.
    options: Options,
    /// How callers are recognised; that takes a restart.
    auth: CallerAuth,
    /// Somebody who works at the simulated company, where there is one.
    simulated: Option<String>,
}

impl Reload {
    /// The settings file of a configuration, if it has one.
    pub(super) fn of(config: &Config, options: Options, simulated: Option<String>) -> Option<Self> {
        Some(Self { file: config.file.clone()?, options, auth: config.auth, simulated })
    }

    /// Follows the file as long as the runtime lasts.
    pub(super) fn start(self, roster: &Arc<LiveRoster>, catalog: &Arc<Catalog>) {
        roster.follow(WITHIN);
        tokio::spawn(self.follow(Arc::clone(roster), Arc::clone(catalog)));
    }

    async fn follow(self, roster: Arc<LiveRoster>, catalog: Arc<Catalog>) {
        let scopes =
            config::load(self.options.clone()).map(|config| needed_scopes(&config, &catalog)).unwrap_or_default();
        let read = || std::fs::read_to_string(&self.file).ok();
        let mut in_force = read();
        let mut seen = in_force.clone();
        loop {
            tokio::time::sleep(PERIOD).await;
            let text = read();
            let steady = std::mem::replace(&mut seen, text) == seen;
            if !steady || seen == in_force {
                continue;
            }
            match self.roster(&roster.now(), &catalog) {
                Ok((next, needed)) => {
                    warn_of_scopes(needed, &scopes);
                    warn_of_restart(in_force.as_deref().unwrap_or_default(), seen.as_deref().unwrap_or_default());
                    roster.replace(next);
                    tracing::info!(file = %self.file.display(), "the settings file changed; its agents and policy are in force");
                }
                Err(fault) => {
                    tracing::warn!("the settings file changed, and the settings before stay in force: {fault}")
                }
            }
            in_force.clone_from(&seen);
        }
    }

    fn roster(&self, now: &Roster, catalog: &Catalog) -> Result<(Roster, Vec<String>), ConfigError> {
        let mut config = config::load(self.options.clone())?;
        config.auth = self.auth;
        if let Some(somebody) = &self.simulated {
            assembly::with_users_of(somebody, &mut config);
        } else if let Some((_, login)) = assembly::kept_login(&config)? {
            assembly::with_login(login.head(), &mut config);
        }
        catalog.check(&config.policy)?;
        let next = assembly::roster(&config, catalog)?;
        if next.open().is_some() != now.open().is_some() {
            let fault = "the first agent came, or the last one went: that takes a restart";
            return Err(ConfigError::Invalid { setting: "[agents]".into(), fault: fault.into() });
        }
        let needed = if config.scopes.is_empty() { needed_scopes(&config, catalog) } else { Vec::new() };
        Ok((next, needed))
    }
}

fn warn_of_scopes(needed: Vec<String>, asked: &[String]) {
    let missing: Vec<String> = needed.into_iter().filter(|scope| !asked.contains(scope)).collect();
    if !missing.is_empty() {
        tracing::warn!(
            scopes = missing.join(" "),
            "the tools that were granted now need scopes that were not asked for at the start: restart the server"
        );
    }
}

fn warn_of_restart(before: &str, after: &str) {
    let keys = restart_keys(before, after);
    if !keys.is_empty() {
        tracing::warn!(settings = keys.join(", "), "these settings changed too, and take a restart to go into force");
    }
}

/// The settings that changed between two texts of the file, and go into force with a restart only.
fn restart_keys(before: &str, after: &str) -> Vec<String> {
    let table = |text: &str| toml::from_str::<toml::Table>(text).unwrap_or_default();
    let (before, after) = (table(before), table(after));
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    changed.filter(|key| !LIVE.contains(&key.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_take_a_restart_are_told_from_those_that_do_not() {
        let before = "timeout = 5\nregion = \"na1\"\nenable_writes = true\n[agents.a]\nshare = 5\n";
        let after = "timeout = 6\nregion = \"na1\"\nlog = \"debug\"\n[agents.a]\nshare = 6\n";
        assert_eq!(restart_keys(before, after), ["log", "timeout"]);
        assert!(restart_keys(before, before).is_empty());
    }
}
