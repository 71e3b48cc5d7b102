//! What the program is told to do, from the command line, the environment and a file, checked and typed.
//!
//! This is the only place that reads the environment. What is given empty counts as not given, because MCP clients
//! send empty variables for what their users left alone.

mod agents;
mod environment;
mod error;
mod oauth;
mod options;
mod secrets;
mod values;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

pub(crate) use self::agents::agent_name;
pub use self::{
    agents::{AgentConfig, AgentOptions, CallerAuth},
    environment::without_environment,
    error::ConfigError,
    oauth::{Oauth, ResourceConfig},
    options::Options,
    secrets::{OauthClient, Secrets},
    values::Grant,
};
use crate::{
    audit, egress,
    ironclad::{
        self, limiter,
        region::{Origin, Region},
        retry::Patience,
    },
    keys::Ring,
    policy, replicas,
    request::ActingUser,
    transport::Scrapers,
};

/// Looks a variable up; tests bring their own.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Everything the program was told.
#[derive(Debug)]
pub struct Config {
    /// What is granted.
    pub policy: policy::Settings,
    /// `[agents]`
    pub agents: Vec<AgentConfig>,
    /// `--auth`
    pub auth: CallerAuth,
    /// `--oauth-…`
    pub oauth: Oauth,
    /// The settings file.
    pub file: Option<PathBuf>,
    /// Whom requests are made as.
    pub acting_user: ActingUser,
    /// How Ironclad is spoken to.
    pub ironclad: ironclad::Settings,
    /// What may sign in.
    pub secrets: Secrets,
    /// `--state-key`; `None` is what follows from the secrets.
    pub state_keys: Option<Ring>,
    /// `--redis`: where replicas share what they must agree on.
    pub redis: Option<replicas::Address>,
    /// `--replicas`: how many there are at most.
    pub replicas: usize,
    /// `--scopes`; empty is what the published tools need.
    pub scopes: Vec<String>,
    /// `--simulator`
    pub simulator: bool,
    /// Which tools there are, and what they are called.
    pub tools: Tools,
    /// `--max-result-bytes`
    pub max_result_bytes: usize,
    /// `--max-document-bytes`
    pub max_document_bytes: u64,
    /// `--upload-dir`: folders that documents of a launch may be read from; none over HTTP.
    pub upload_folders: Vec<PathBuf>,
    /// `--download-dir`: the folder that documents may be saved into; none over HTTP.
    pub download_folder: Option<PathBuf>,
    /// `--allowed-host`; empty is loopback names.
    pub allowed_hosts: Vec<String>,
    /// `--allowed-origin`; empty is loopback names.
    pub allowed_origins: Vec<String>,
    /// `--cors-origin`
    pub cors_origins: Vec<String>,
    /// `--max-sessions`
    pub max_sessions: usize,
    /// `--session-timeout`
    pub session_timeout: Duration,
    /// `--trusted-proxy`
    pub trusted_proxies: Vec<IpNet>,
    /// `--metrics`
    pub scrapers: Scrapers,
    /// The program's own file; `None` where it is not known.
    pub program: Option<PathBuf>,
    /// The program's own folder in the platform's state directory; `None` where there is none.
    pub state: Option<PathBuf>,
    /// `--approval-life`: how long a call waits for a person's decision out of band.
    pub approval_life: Duration,
    /// `--egress-mode` and `--egress-allow`
    pub egress: egress::Settings,
    /// `--audit-log`; `None` where there is no state directory to put it in.
    pub audit: Option<audit::Target>,
    /// `--audit-max-bytes` and `--audit-max-age`
    pub audit_rotation: audit::Rotation,
    /// What is logged.
    pub log: Log,
    /// Whether OpenTelemetry's standard variables name a collector of traces.
    pub traces: bool,
}

/// Which tools there are, and what they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// `--tool-prefix`
    pub prefix: String,
    /// `--manifests`
    pub manifests: Option<PathBuf>,
    /// `--launch-tools`
    pub launch: LaunchTools,
    /// `--template-refresh`
    pub template_refresh: Duration,
}

/// Which templates get a launch tool of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchTools {
    /// Those that the acting user may launch.
    Auto,
    /// None.
    Off,
    /// These, by id or exact name.
    Only(Vec<String>),
}

/// What is logged to stderr, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Directives of an [`EnvFilter`].
    pub filter: String,
    /// One JSON object a line, rather than text.
    pub json: bool,
}

/// rmcp tells of every message at `info`; `--log rmcp=info` brings it back.
const QUIET: &str = "rmcp=warn";

/// The longest time in seconds that a setting may name.
const LONGEST: u64 = 24 * 60 * 60;

/// A day in seconds.
const DAY: u64 = 24 * 60 * 60;

/// The largest document that is read at all is 1 GiB.
const LARGEST_DOCUMENT: u64 = 1 << 30;

/// Reads the environment and the settings file under what the command line says, and checks it all.
///
/// # Errors
/// The first setting that is wrong, by name, and how to mend it.
pub fn load(command_line: Options) -> Result<Config, ConfigError> {
    load_from(command_line, &|name| {
        #[expect(clippy::disallowed_methods, reason = "the one place where settings are read from the environment")]
        std::env::var_os(name)
    })
}

/// The same in any environment, for tests.
pub(crate) fn load_from(command_line: Options, environment: Environment<'_>) -> Result<Config, ConfigError> {
    let command_line = command_line.without_empty();
    let (key_file, redis) = (command_line.state_key.clone(), command_line.redis.clone());
    let mut options = command_line.over(Options::from_environment(environment)?.without_empty());
    if let Some(path) = options.config.clone() {
        options = options.over(read_file(path)?.without_empty());
    }
    // Real credentials have no business with the simulator, not even to be found wrong.
    let simulator = options.simulator.unwrap_or_default();
    let secrets = if simulator { Secrets::default() } else { Secrets::from_environment(environment)? };
    let state_keys = secrets::state_keys((key_file, options.state_key.take()), environment)?;
    let redis = secrets::redis((redis, options.redis.take()), environment)?;
    Ok(Config { state_keys, redis, ..checked(options, secrets, environment)? })
}

fn read_file(path: PathBuf) -> Result<Options, ConfigError> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ConfigError::FileUnreadable { path, source }),
    };
    let wrong = |fault: toml::de::Error| ConfigError::FileWrong { path: path.clone(), fault: fault.to_string() };
    let table: toml::Table = toml::from_str(&text).map_err(wrong)?;
    let known = Options::keys();
    if let Some(key) = table.keys().find(|key| !known.contains(key)) {
        return Err(ConfigError::UnknownKey { path, key: key.clone(), advice: advice(key, &known) });
    }
    toml::from_str(&text).map_err(wrong)
}

fn advice(key: &str, known: &[String]) -> String {
    if matches!(key, "access_token" | "client_id" | "client_secret") {
        let variable = format!("IRONCLAD_{}", key.to_ascii_uppercase());
        return format!("secrets are never in this file: set {variable} or {variable}_FILE in the environment");
    }
    let distance = |known: &&String| strsim::damerau_levenshtein(&key.to_ascii_lowercase().replace('-', "_"), known);
    known.iter().min_by_key(distance).map(|nearest| format!("did you mean {nearest}?")).unwrap_or_default()
}

fn checked(options: Options, secrets: Secrets, environment: Environment<'_>) -> Result<Config, ConfigError> {
    let state = state_directory(environment).map(|folder| folder.join("ironclad-mcp"));
    let audit = options.audit_log.clone().or_else(|| state.as_ref().map(|folder| folder.join("audit.jsonl")));
    let max_sessions = number("max_sessions", options.max_sessions, 2000, (1, 1_000_000))?;
    let session_timeout = number("session_timeout", options.session_timeout, 1800, (1, 86_400))?;
    let max_result_bytes = number("max_result_bytes", options.max_result_bytes, 60_000, (2000, 1 << 30))?;
    let (confirm, confirm_tools) = confirm(values::trimmed(options.confirm.clone()))?;
    let approval_life = number("approval_life", options.approval_life, DAY, (1, 30 * DAY))?;
    Ok(Config {
        acting_user: acting_user(&options)?,
        approval_life: Duration::from_secs(approval_life),
        auth: parsed("auth", options.auth.as_deref())?.unwrap_or_default(),
        oauth: oauth::oauth(&options)?,
        agents: agents::agents(options.agents.clone().unwrap_or_default())?,
        file: options.config.clone(),
        ironclad: ironclad(&options)?,
        tools: tools(&options)?,
        egress: egress(&options)?,
        audit_rotation: audit_rotation(&options)?,
        log: log(&options)?,
        traces: traces(environment)?,
        simulator: options.simulator.unwrap_or_default(),
        max_result_bytes: usize::try_from(max_result_bytes).unwrap_or(usize::MAX),
        max_document_bytes: number(
            "max_document_bytes",
            options.max_document_bytes,
            10_000_000,
            (0, LARGEST_DOCUMENT),
        )?,
        upload_folders: upload_folders(values::trimmed(options.upload_dir.clone()))?,
        download_folder: options.download_dir.as_deref().map(|folder| existing("download_dir", folder)).transpose()?,
        allowed_hosts: each("allowed_host", &values::trimmed(options.allowed_host), values::host)?,
        allowed_origins: each("allowed_origin", &values::trimmed(options.allowed_origin), values::web_origin)?,
        cors_origins: each("cors_origin", &values::trimmed(options.cors_origin), values::web_origin)?,
        max_sessions: usize::try_from(max_sessions).unwrap_or(usize::MAX),
        session_timeout: Duration::from_secs(session_timeout),
        trusted_proxies: trusted_proxies(&values::trimmed(options.trusted_proxy.clone()))?,
        scrapers: parsed("metrics", options.metrics.as_deref())?.unwrap_or_default(),
        policy: policy::Settings {
            enable_writes: options.enable_writes.unwrap_or_default(),
            access: options.access.unwrap_or_default().into_iter().map(|grant| (grant.group, grant.access)).collect(),
            toolsets: values::trimmed(options.toolsets),
            tools: values::trimmed(options.tools),
            exclude_tools: values::trimmed(options.exclude_tools),
            confirm,
            confirm_tools,
            require_plan: values::trimmed(options.require_plan),
            agent: None,
            token: None,
        },
        scopes: values::words(options.scopes),
        state,
        program: None,
        audit: audit.map(|path| if path == Path::new("-") { audit::Target::Stderr } else { audit::Target::File(path) }),
        secrets,
        state_keys: None,
        redis: None,
        replicas: usize::try_from(number("replicas", options.replicas, 8, (1, 1000))?).unwrap_or(1000),
    })
}

fn egress(options: &Options) -> Result<egress::Settings, ConfigError> {
    let wrong = |fault| ConfigError::invalid("egress_allow", fault);
    let allow = values::trimmed(options.egress_allow.clone());
    Ok(egress::Settings {
        mode: parsed("egress_mode", options.egress_mode.as_deref())?.unwrap_or_default(),
        allow: allow.iter().map(|place| place.parse().map_err(wrong)).collect::<Result<_, _>>()?,
    })
}

fn ironclad(options: &Options) -> Result<ironclad::Settings, ConfigError> {
    let region: Region = parsed("region", options.region.as_deref())?.unwrap_or_default();
    let base_url: Option<Origin> = parsed("base_url", options.base_url.as_deref())?;
    let seconds = |key, given, default, least| number(key, given, default, (least, LONGEST)).map(Duration::from_secs);
    let max_retries = number("max_retries", options.max_retries, 4, (0, 20))?;
    Ok(ironclad::Settings {
        origin: base_url.unwrap_or_else(|| region.origin()),
        timeout: seconds("timeout", options.timeout, 60, 1)?,
        connect_timeout: seconds("connect_timeout", options.connect_timeout, 10, 1)?,
        patience: Patience {
            max_retries: u32::try_from(max_retries).unwrap_or(u32::MAX),
            longest_wait: seconds("rate_limit_wait", options.rate_limit_wait, 30, 0)?,
            longest_retry: seconds("max_retry_time", options.max_retry_time, 120, 0)?,
        },
        rate_budget: options.rate_budget.unwrap_or(true).then(|| rate_limits(options)),
    })
}

fn acting_user(options: &Options) -> Result<ActingUser, ConfigError> {
    let user = |key, given: &Option<String>, check: fn(&str) -> Result<String, String>| {
        given.as_deref().map(check).transpose().map_err(|fault| ConfigError::invalid(key, fault))
    };
    Ok(ActingUser {
        email: user("as_user_email", &options.as_user_email, values::email)?,
        id: user("as_user_id", &options.as_user_id, values::user_id)?,
    })
}

fn rate_limits(options: &Options) -> limiter::Settings {
    let limits = options.rate_limits.iter().flatten().map(|given| (given.scope, given.limit)).collect();
    limiter::Settings { limits, share: options.rate_limit_share.unwrap_or_default(), ..limiter::Settings::default() }
}

fn tools(options: &Options) -> Result<Tools, ConfigError> {
    let prefix = values::tool_prefix(options.tool_prefix.as_deref().unwrap_or_default());
    let template_refresh = number("template_refresh", options.template_refresh, 300, (1, LONGEST))?;
    Ok(Tools {
        prefix: prefix.map_err(|fault| ConfigError::invalid("tool_prefix", fault))?,
        manifests: options.manifests.clone(),
        launch: launch_tools(values::trimmed(options.launch_tools.clone()))?,
        template_refresh: Duration::from_secs(template_refresh),
    })
}

fn launch_tools(named: Vec<String>) -> Result<LaunchTools, ConfigError> {
    let modes = |name: &&String| matches!(name.as_str(), "auto" | "off");
    match named.first().map(String::as_str) {
        None => Ok(LaunchTools::Auto),
        Some("auto") if named.len() == 1 => Ok(LaunchTools::Auto),
        Some("off") if named.len() == 1 => Ok(LaunchTools::Off),
        Some(_) => match named.iter().find(modes) {
            None => Ok(LaunchTools::Only(named)),
            Some(mode) => {
                Err(ConfigError::invalid("launch_tools", format!("{mode} stands alone, or name templates only")))
            }
        },
    }
}

fn audit_rotation(options: &Options) -> Result<audit::Rotation, ConfigError> {
    let default = audit::Rotation::default();
    let max_age = match options.audit_max_age.as_deref().map(str::trim) {
        None => default.max_age,
        Some("never") => Duration::ZERO,
        Some(text) => {
            let seconds = audit::age(text).and_then(|seconds| u64::try_from(seconds).ok()).filter(|age| *age > 0);
            let wrong = || {
                ConfigError::invalid(
                    "audit_max_age",
                    format!("{text:?} is no age; give one such as 12h or 30d, or never"),
                )
            };
            Duration::from_secs(seconds.ok_or_else(wrong)?)
        }
    };
    Ok(audit::Rotation { max_bytes: options.audit_max_bytes.unwrap_or(default.max_bytes), max_age })
}

/// When a person is asked, and about which tools beside the irreversible ones.
fn confirm(named: Vec<String>) -> Result<(policy::Confirm, Vec<String>), ConfigError> {
    let fault = |fault: String| ConfigError::invalid("confirm", fault);
    // A tool's name is verb_noun, so a word alone is a mode.
    let (tools, modes): (Vec<String>, Vec<String>) = named.into_iter().partition(|name| name.contains('_'));
    let mode = match modes.as_slice() {
        [] => policy::Confirm::Auto,
        [mode] => mode.parse().map_err(fault)?,
        [..] => return Err(fault("give one of auto, always and never".into())),
    };
    if mode == policy::Confirm::Never && !tools.is_empty() {
        return Err(fault("never stands alone: with it nobody is asked about the tools that are named".into()));
    }
    Ok((mode, tools))
}

fn log(options: &Options) -> Result<Log, ConfigError> {
    let level = options.log.as_deref().unwrap_or("info");
    let filter = format!("{QUIET},{level}");
    EnvFilter::try_new(&filter).map_err(|error| {
        ConfigError::invalid(
            "log",
            format!("{level:?} is no level and no RUST_LOG directive ({error}); give e.g. info"),
        )
    })?;
    let json = match options.log_format.as_deref() {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => {
            return Err(ConfigError::invalid("log_format", format!("{other:?} is not known; give text or json")));
        }
    };
    Ok(Log { filter, json })
}

fn trusted_proxies(named: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let network = |text: &String| values::network(text);
    let networks: Result<_, String> = named.iter().map(network).collect();
    networks.map_err(|fault| ConfigError::invalid("trusted_proxy", fault))
}

/// Whether the environment names a collector of traces; the SDK reads the rest of its variables by itself.
fn traces(environment: Environment<'_>) -> Result<bool, ConfigError> {
    let given = |name| environment(name).is_some_and(|value| !value.is_empty());
    let says = |name, word| environment(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    let wanted = (given("OTEL_EXPORTER_OTLP_ENDPOINT") || given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
        && !says("OTEL_SDK_DISABLED", "true")
        && !says("OTEL_TRACES_EXPORTER", "none");
    let other = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]
        .into_iter()
        .find(|name| given(*name) && !["http/protobuf", "http/json"].iter().any(|known| says(*name, known)));
    match other {
        // The SDK would quietly take another one.
        Some(setting) if wanted => Err(ConfigError::Invalid {
            setting: setting.into(),
            fault: "traces are sent over HTTP only; give http/protobuf or http/json".into(),
        }),
        _ => Ok(wanted),
    }
}

/// A folder that is there, by its whole path.
fn existing(key: &str, folder: &Path) -> Result<PathBuf, ConfigError> {
    let missing = || ConfigError::invalid(key, format!("{} is no folder; make it, or name another", folder.display()));
    folder.canonicalize().ok().filter(|folder| folder.is_dir()).ok_or_else(missing)
}

fn upload_folders(named: Vec<String>) -> Result<Vec<PathBuf>, ConfigError> {
    let folders: Vec<PathBuf> = named.into_iter().map(PathBuf::from).collect();
    match folders.iter().find(|folder| !folder.is_dir()) {
        None => Ok(folders),
        Some(missing) => {
            let fault = format!("{} is no folder; make it, or name another", missing.display());
            Err(ConfigError::invalid("upload_dir", fault))
        }
    }
}

/// A setting with a type of its own.
fn parsed<T: FromStr<Err = String>>(key: &str, text: Option<&str>) -> Result<Option<T>, ConfigError> {
    text.map(str::trim).map(str::parse).transpose().map_err(|fault| ConfigError::invalid(key, fault))
}

fn number(key: &str, given: Option<u64>, default: u64, (least, most): (u64, u64)) -> Result<u64, ConfigError> {
    let number = given.unwrap_or(default);
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(ConfigError::invalid(key, format!("{number} is out of range; give {least} to {most}")))
}

fn each(key: &str, list: &[String], check: fn(&str) -> Result<String, String>) -> Result<Vec<String>, ConfigError> {
    list.iter().map(|text| check(text).map_err(|fault| ConfigError::invalid(key, fault))).collect()
}

/// Where programs keep what they record: `XDG_STATE_HOME` or its default, macOS's Application Support, Windows's local
/// application data.
fn state_directory(environment: Environment<'_>) -> Option<PathBuf> {
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return Some(state);
    }
    if cfg!(windows) {
        return absolute("LOCALAPPDATA");
    }
    // Some clients start servers with an empty environment; the user database still knows the home then.
    let home = absolute("HOME").or_else(std::env::home_dir).filter(|path| path.is_absolute())?;
    Some(home.join(if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" }))
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
