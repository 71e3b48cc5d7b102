//! Settings from environment variables, and what variables and flags are called.
//!
//! clap's own look-up is not used: it takes an empty variable for a value, and MCP clients send empty ones for settings
//! that their users left alone.

use clap::{Args, Command, FromArgMatches};

use super::{ConfigError, Environment, Options};

impl Options {
    /// The settings that environment variables give.
    pub(super) fn from_environment(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let command = without_environment(definitions());
        let mut args = vec!["environment".to_owned()];
        for (flag, variable) in variables() {
            let Some(value) = environment(&variable).filter(|value| !value.is_empty()) else { continue };
            let Ok(value) = value.into_string() else { return Err(ConfigError::NotText { variable }) };
            args.push(format!("--{flag}={value}"));
        }
        if args.len() == 1 {
            return Ok(Self::default());
        }
        let parsed = command.try_get_matches_from(args).and_then(|matches| Self::from_arg_matches(&matches));
        parsed.map_err(|error| environment_fault(&error))
    }

    /// The names of all settings, as a file has them.
    pub(super) fn keys() -> Vec<String> {
        let named = |arg: &clap::Arg| Some(arg.get_long()?.replace('-', "_"));
        let flags = definitions();
        let flags = flags.get_arguments().filter_map(named).filter(|key| key != "config");
        // A table that is in the file alone, and a name that is longer only as a flag.
        flags.chain(["agents".to_owned(), "egress".to_owned()]).collect()
    }
}

fn definitions() -> Command {
    Options::augment_args(Command::new("environment").disable_help_flag(true))
}

/// Each setting's flag and environment variable.
fn variables() -> Vec<(String, String)> {
    let named = |arg: &clap::Arg| Some((arg.get_long()?.to_owned(), arg.get_env()?.to_str()?.to_owned()));
    definitions().get_arguments().filter_map(named).collect()
}

/// The environment variable of a setting, by its key.
pub(super) fn variable_of(key: &str) -> Option<String> {
    let flag = key.replace('_', "-");
    variables().into_iter().find(|(known, _)| *known == flag).map(|(_, variable)| variable)
}

/// The command with its arguments' environment variables told in their help, and never read.
#[must_use]
pub fn without_environment(command: Command) -> Command {
    command.mut_args(|arg| {
        let Some(variable) = arg.get_env().map(|name| name.to_string_lossy().into_owned()) else { return arg };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        arg.help(format!("{help} [env: {variable}]")).env(None::<&'static str>)
    })
}

fn environment_fault(error: &clap::Error) -> ConfigError {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let flag = text(ContextKind::InvalidArg);
    let flag = flag.trim_start_matches('-').split([' ', '=', '[']).next().unwrap_or_default();
    let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_else(|| "is not understood".into());
    ConfigError::invalid(&flag.replace('-', "_"), format!("{:?}: {why}", text(ContextKind::InvalidValue)))
}
