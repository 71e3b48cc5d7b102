//! Every setting as it may be given: on the command line, in the environment, in a file.
//!
//! One struct serves all three, so a setting cannot exist in one place and be missing in another. Nothing is checked
//! here beyond its type; `config.rs` does that once, wherever a value came from.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{ArgAction, Args};
use serde::Deserialize;

use super::{
    agents::AgentOptions,
    values::{Grant, RateLimit, grants, one_or_many, rate_limits, share, switch, switch_from_toml},
};
use crate::ironclad::limiter::Share;

/// Every setting, unset unless somebody set it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// TOML file with settings; keys are the flags' names with underscores
    #[arg(long, global = true, value_name = "FILE", env = "IRONCLAD_MCP_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Ironclad's region: na1, eu1 or demo [default: na1]
    #[arg(long, global = true, env = "IRONCLAD_REGION", help_heading = "Ironclad")]
    pub region: Option<String>,
    /// Ironclad's origin, such as `https://eu1.ironcladapp.com`; wins over --region [default: from the region]
    #[arg(long, global = true, value_name = "URL", env = "IRONCLAD_BASE_URL", help_heading = "Ironclad")]
    pub base_url: Option<String>,
    /// E-mail address of the acting user; this or the id is required with client credentials
    #[arg(long, global = true, value_name = "EMAIL", env = "IRONCLAD_AS_USER_EMAIL", help_heading = "Ironclad")]
    pub as_user_email: Option<String>,
    /// Id of the acting user
    #[arg(long, global = true, value_name = "ID", env = "IRONCLAD_AS_USER_ID", help_heading = "Ironclad")]
    pub as_user_id: Option<String>,
    /// OAuth scopes to ask for, separated by spaces or commas [default: what the published tools need]
    #[arg(long, global = true, value_name = "LIST", env = "IRONCLAD_SCOPES", help_heading = "Ironclad")]
    #[serde(deserialize_with = "one_or_many")]
    pub scopes: Option<Vec<String>>,
    /// Run against the built-in simulator: no account, no credentials (stdio, http, call, check)
    #[arg(long, global = true, value_name = "BOOL", env = "IRONCLAD_SIMULATOR", help_heading = "Ironclad",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch)]
    #[serde(deserialize_with = "switch_from_toml")]
    pub simulator: Option<bool>,

    /// Grant writes: every access group becomes full [default: off]
    #[arg(long, global = true, value_name = "BOOL", env = "IRONCLAD_ENABLE_WRITES", help_heading = "Access",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch)]
    #[serde(deserialize_with = "switch_from_toml")]
    pub enable_writes: Option<bool>,
    /// Access of one group: off, read or full; repeatable, overrides --enable-writes [default: read for every group]
    #[arg(long, global = true, value_name = "GROUP=LEVEL", env = "IRONCLAD_ACCESS", help_heading = "Access",
        value_delimiter = ',', action = ArgAction::Append)]
    #[serde(deserialize_with = "grants")]
    pub access: Option<Vec<Grant>>,
    /// Access groups to publish: names, default or all [default: default]
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        env = "IRONCLAD_TOOLSETS",
        help_heading = "Access",
        value_delimiter = ','
    )]
    pub toolsets: Option<Vec<String>>,
    /// Publish only these tools
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        env = "IRONCLAD_TOOLS",
        help_heading = "Access",
        value_delimiter = ','
    )]
    pub tools: Option<Vec<String>>,
    /// Never publish these tools; wins over --tools
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        env = "IRONCLAD_EXCLUDE_TOOLS",
        help_heading = "Access",
        value_delimiter = ','
    )]
    pub exclude_tools: Option<Vec<String>>,
    /// Ask a person before an irreversible call: auto, always or never; tools named behind it are asked about too [default: auto]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        env = "IRONCLAD_CONFIRM",
        help_heading = "Access",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub confirm: Option<Vec<String>>,
    /// Call these tools only with the plan of a dry run
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        env = "IRONCLAD_REQUIRE_PLAN",
        help_heading = "Access",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub require_plan: Option<Vec<String>>,
    /// How long a call waits for a person to approve it elsewhere, in seconds [default: 86400]
    #[arg(long, global = true, value_name = "SECONDS", env = "IRONCLAD_APPROVAL_LIFE", help_heading = "Access")]
    pub approval_life: Option<u64>,

    /// Put this before every tool name, for clients that mix servers
    #[arg(long, global = true, value_name = "TEXT", env = "IRONCLAD_TOOL_PREFIX", help_heading = "Tools")]
    pub tool_prefix: Option<String>,
    /// Folder of tool manifests that add to the built-in ones, or replace those of the same file name
    #[arg(long, global = true, value_name = "DIR", env = "IRONCLAD_MANIFESTS", help_heading = "Tools")]
    pub manifests: Option<PathBuf>,
    /// Typed launch tools: auto, off, or templates by id or exact name [default: auto]
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        env = "IRONCLAD_LAUNCH_TOOLS",
        help_heading = "Tools",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub launch_tools: Option<Vec<String>>,
    /// How old the known templates may grow, in seconds [default: 300]
    #[arg(long, global = true, value_name = "SECONDS", env = "IRONCLAD_TEMPLATE_REFRESH", help_heading = "Tools")]
    pub template_refresh: Option<u64>,

    /// The longest that one request to Ironclad, or a document's next bytes, may take, in seconds [default: 60]
    #[arg(long, global = true, value_name = "SECONDS", env = "IRONCLAD_TIMEOUT", help_heading = "Limits")]
    pub timeout: Option<u64>,
    /// The longest that connecting to Ironclad may take, in seconds [default: 10]
    #[arg(long, global = true, value_name = "SECONDS", env = "IRONCLAD_CONNECT_TIMEOUT", help_heading = "Limits")]
    pub connect_timeout: Option<u64>,
    /// Repeats of a request that may be repeated [default: 4]
    #[arg(long, global = true, value_name = "N", env = "IRONCLAD_MAX_RETRIES", help_heading = "Limits")]
    pub max_retries: Option<u64>,
    /// No request is repeated later than this after it was first sent, in seconds [default: 120]
    #[arg(long, global = true, value_name = "SECONDS", env = "IRONCLAD_MAX_RETRY_TIME", help_heading = "Limits")]
    pub max_retry_time: Option<u64>,
    /// The longest that a call waits for the budget, or for a 429 to pass, in seconds [default: 30]
    #[arg(long, global = true, value_name = "SECONDS", env = "IRONCLAD_RATE_LIMIT_WAIT", help_heading = "Limits")]
    pub rate_limit_wait: Option<u64>,
    /// Keep to Ironclad's rate limits locally; off is for load tests [default: on]
    #[arg(long, global = true, value_name = "BOOL", env = "IRONCLAD_RATE_BUDGET", help_heading = "Limits",
        value_parser = switch)]
    #[serde(deserialize_with = "switch_from_toml")]
    pub rate_budget: Option<bool>,
    /// Rate limits other than Ironclad's, in requests a minute, such as workflows-write=20,company=1000
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        env = "IRONCLAD_RATE_LIMITS",
        help_heading = "Limits",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "rate_limits")]
    pub rate_limits: Option<Vec<RateLimit>>,
    /// How much of each rate limit is used here; the rest is left to the company's other programs [default: 1]
    #[arg(long, global = true, value_name = "PART", env = "IRONCLAD_RATE_LIMIT_SHARE", help_heading = "Limits")]
    #[serde(deserialize_with = "share")]
    pub rate_limit_share: Option<Share>,
    /// The largest result in bytes of JSON text, 2000 at least; document bytes do not count [default: 60000]
    #[arg(long, global = true, value_name = "N", env = "IRONCLAD_MAX_RESULT_BYTES", help_heading = "Limits")]
    pub max_result_bytes: Option<u64>,
    /// The largest document returned inside a result, in bytes [default: 10000000]
    #[arg(long, global = true, value_name = "N", env = "IRONCLAD_MAX_DOCUMENT_BYTES", help_heading = "Limits")]
    pub max_document_bytes: Option<u64>,

    /// Folder that documents of a launch may be read from, with all below it; repeatable, never over HTTP [default: none]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "IRONCLAD_UPLOAD_DIR",
        help_heading = "Limits",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub upload_dir: Option<Vec<String>>,

    /// Folder that documents may be saved into, never over a file, never over HTTP [default: none]
    #[arg(long, global = true, value_name = "DIR", env = "IRONCLAD_DOWNLOAD_DIR", help_heading = "Limits")]
    pub download_dir: Option<PathBuf>,

    /// How `http` recognises callers: none (loopback only), agents by their tokens, or oauth by those of an issuer [default: none]
    #[arg(long, global = true, value_name = "HOW", env = "IRONCLAD_AUTH", help_heading = "HTTP")]
    pub auth: Option<String>,
    /// The authorization server whose tokens callers bring with --auth oauth
    #[arg(long, global = true, value_name = "URL", env = "IRONCLAD_OAUTH_ISSUER", help_heading = "HTTP")]
    pub oauth_issuer: Option<String>,
    /// The public URL of /mcp, which callers' tokens must be made for (their audience)
    #[arg(long, global = true, value_name = "URL", env = "IRONCLAD_OAUTH_RESOURCE", help_heading = "HTTP")]
    pub oauth_resource: Option<String>,
    /// Where the issuer publishes its keys [default: where its metadata say]
    #[arg(long, global = true, value_name = "URL", env = "IRONCLAD_OAUTH_JWKS_URL", help_heading = "HTTP")]
    pub oauth_jwks_url: Option<String>,
    /// How callers' tokens may be signed [default: RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA]
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        env = "IRONCLAD_OAUTH_ALGORITHMS",
        help_heading = "HTTP",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub oauth_algorithms: Option<Vec<String>>,
    /// The agent that a caller is whose token names none [default: none: they are refused]
    #[arg(long, global = true, value_name = "NAME", env = "IRONCLAD_OAUTH_AGENT", help_heading = "HTTP")]
    pub oauth_agent: Option<String>,
    /// The claim of callers' tokens that names their agent [default: none]
    #[arg(long, global = true, value_name = "CLAIM", env = "IRONCLAD_OAUTH_AGENT_CLAIM", help_heading = "HTTP")]
    pub oauth_agent_claim: Option<String>,
    /// The claim whose e-mail address is taken as verified [default: email, where email_verified is true]
    #[arg(long, global = true, value_name = "CLAIM", env = "IRONCLAD_OAUTH_EMAIL_CLAIM", help_heading = "HTTP")]
    pub oauth_email_claim: Option<String>,
    /// What `http` accepts as Host; repeatable [default: loopback names]
    #[arg(
        long,
        global = true,
        value_name = "HOST",
        env = "IRONCLAD_ALLOWED_HOSTS",
        help_heading = "HTTP",
        value_delimiter = ','
    )]
    pub allowed_host: Option<Vec<String>>,
    /// What `http` accepts as Origin; repeatable [default: loopback names]
    #[arg(
        long,
        global = true,
        value_name = "ORIGIN",
        env = "IRONCLAD_ALLOWED_ORIGINS",
        help_heading = "HTTP",
        value_delimiter = ','
    )]
    pub allowed_origin: Option<Vec<String>>,
    /// Origin whose pages may use `http` from a browser (CORS), and may stand in Origin; repeatable [default: none]
    #[arg(
        long,
        global = true,
        value_name = "ORIGIN",
        env = "IRONCLAD_CORS_ORIGINS",
        help_heading = "HTTP",
        value_delimiter = ','
    )]
    pub cors_origin: Option<Vec<String>>,
    /// The most sessions of clients up to 2025-11-25 at once [default: 2000]
    #[arg(long, global = true, value_name = "N", env = "IRONCLAD_MAX_SESSIONS", help_heading = "HTTP")]
    pub max_sessions: Option<u64>,
    /// How long a session may be idle, in seconds [default: 1800]
    #[arg(long, global = true, value_name = "SECONDS", env = "IRONCLAD_SESSION_TIMEOUT", help_heading = "HTTP")]
    pub session_timeout: Option<u64>,
    /// Proxy whose X-Forwarded-For, -Host and -Proto are believed: an address or a network; repeatable [default: none]
    #[arg(
        long,
        global = true,
        value_name = "NETWORK",
        env = "IRONCLAD_TRUSTED_PROXIES",
        help_heading = "HTTP",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub trusted_proxy: Option<Vec<String>>,
    /// Who may read /metrics: local (programs on this machine), anyone or off [default: local]
    #[arg(long, global = true, value_name = "WHO", env = "IRONCLAD_METRICS", help_heading = "HTTP")]
    pub metrics: Option<String>,

    /// File with the keys that seal cursors, plans and questions, alike on every replica; the first seals, all open [default: follow from the credentials]
    #[arg(long, global = true, value_name = "FILE", env = "IRONCLAD_STATE_KEY_FILE", help_heading = "Replicas")]
    pub state_key: Option<PathBuf>,

    /// Redis or Valkey where replicas share the rate budget, what is used once, forms and approvals; a password only in the environment [default: none]
    #[arg(long, global = true, value_name = "URL", env = "IRONCLAD_REDIS", help_heading = "Replicas")]
    pub redis: Option<String>,
    /// The most replicas that share it; each may read by its part of a fifth of the budget while Redis is gone [default: 8]
    #[arg(long, global = true, value_name = "N", env = "IRONCLAD_REPLICAS", help_heading = "Replicas")]
    pub replicas: Option<u64>,

    /// The agents, by name; in the file only
    #[arg(skip)]
    pub agents: Option<BTreeMap<String, AgentOptions>>,

    /// What is done about a connection to a host that is not listed: enforce refuses it, warn lets it through [default: enforce]
    #[arg(long, global = true, value_name = "MODE", env = "IRONCLAD_EGRESS_MODE", help_heading = "Egress")]
    // A flag --egress would be that of `audit`.
    #[serde(alias = "egress")]
    pub egress_mode: Option<String>,
    /// Where this program may connect to besides the Ironclad host: HOST, *.HOST or a network; repeatable [default: none]
    #[arg(
        long,
        global = true,
        value_name = "PLACE",
        env = "IRONCLAD_EGRESS_ALLOW",
        help_heading = "Egress",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub egress_allow: Option<Vec<String>>,

    /// Where decisions are recorded; - is stderr [default: ironclad-mcp/audit.jsonl in the state directory]
    #[arg(long, global = true, value_name = "PATH", env = "IRONCLAD_AUDIT_LOG", help_heading = "Logs")]
    pub audit_log: Option<PathBuf>,
    /// Put the audit log's file away before it grows past so many bytes; 0 is never [default: 50000000]
    #[arg(long, global = true, value_name = "N", env = "IRONCLAD_AUDIT_MAX_BYTES", help_heading = "Logs")]
    pub audit_max_bytes: Option<u64>,
    /// Put the audit log's file away when it is so old, such as 12h or 30d; never is never [default: 30d]
    #[arg(long, global = true, value_name = "AGE", env = "IRONCLAD_AUDIT_MAX_AGE", help_heading = "Logs")]
    pub audit_max_age: Option<String>,
    /// What is logged to stderr: a level, or RUST_LOG's syntax [default: info]
    #[arg(long, global = true, value_name = "LEVEL", env = "RUST_LOG", help_heading = "Logs")]
    pub log: Option<String>,
    /// How it is logged: text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "IRONCLAD_LOG_FORMAT", help_heading = "Logs")]
    pub log_format: Option<String>,
}

impl Options {
    /// These settings, and those of `lower` where these say nothing.
    ///
    /// Region and base URL name one thing, and so do the two forms of the acting user: a level that gives either form
    /// decides alone, or else an old base URL in the environment would quietly defeat `--region`.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a line for each setting")]
    pub(super) fn over(self, lower: Self) -> Self {
        let host = (self.region, self.base_url);
        let (region, base_url) = if host == (None, None) { (lower.region, lower.base_url) } else { host };
        let user = (self.as_user_email, self.as_user_id);
        let (as_user_email, as_user_id) =
            if user == (None, None) { (lower.as_user_email, lower.as_user_id) } else { user };
        Self {
            config: self.config.or(lower.config),
            region,
            base_url,
            as_user_email,
            as_user_id,
            scopes: self.scopes.or(lower.scopes),
            simulator: self.simulator.or(lower.simulator),
            enable_writes: self.enable_writes.or(lower.enable_writes),
            access: self.access.or(lower.access),
            toolsets: self.toolsets.or(lower.toolsets),
            tools: self.tools.or(lower.tools),
            exclude_tools: self.exclude_tools.or(lower.exclude_tools),
            confirm: self.confirm.or(lower.confirm),
            require_plan: self.require_plan.or(lower.require_plan),
            approval_life: self.approval_life.or(lower.approval_life),
            tool_prefix: self.tool_prefix.or(lower.tool_prefix),
            manifests: self.manifests.or(lower.manifests),
            launch_tools: self.launch_tools.or(lower.launch_tools),
            template_refresh: self.template_refresh.or(lower.template_refresh),
            timeout: self.timeout.or(lower.timeout),
            connect_timeout: self.connect_timeout.or(lower.connect_timeout),
            max_retries: self.max_retries.or(lower.max_retries),
            rate_limit_wait: self.rate_limit_wait.or(lower.rate_limit_wait),
            rate_budget: self.rate_budget.or(lower.rate_budget),
            max_retry_time: self.max_retry_time.or(lower.max_retry_time),
            rate_limits: self.rate_limits.or(lower.rate_limits),
            rate_limit_share: self.rate_limit_share.or(lower.rate_limit_share),
            max_result_bytes: self.max_result_bytes.or(lower.max_result_bytes),
            max_document_bytes: self.max_document_bytes.or(lower.max_document_bytes),
            upload_dir: self.upload_dir.or(lower.upload_dir),
            download_dir: self.download_dir.or(lower.download_dir),
            auth: self.auth.or(lower.auth),
            oauth_issuer: self.oauth_issuer.or(lower.oauth_issuer),
            oauth_resource: self.oauth_resource.or(lower.oauth_resource),
            oauth_jwks_url: self.oauth_jwks_url.or(lower.oauth_jwks_url),
            oauth_algorithms: self.oauth_algorithms.or(lower.oauth_algorithms),
            oauth_agent: self.oauth_agent.or(lower.oauth_agent),
            oauth_agent_claim: self.oauth_agent_claim.or(lower.oauth_agent_claim),
            oauth_email_claim: self.oauth_email_claim.or(lower.oauth_email_claim),
            redis: self.redis.or(lower.redis),
            replicas: self.replicas.or(lower.replicas),
            state_key: self.state_key.or(lower.state_key),
            agents: self.agents.or(lower.agents),
            allowed_host: self.allowed_host.or(lower.allowed_host),
            allowed_origin: self.allowed_origin.or(lower.allowed_origin),
            cors_origin: self.cors_origin.or(lower.cors_origin),
            max_sessions: self.max_sessions.or(lower.max_sessions),
            session_timeout: self.session_timeout.or(lower.session_timeout),
            trusted_proxy: self.trusted_proxy.or(lower.trusted_proxy),
            metrics: self.metrics.or(lower.metrics),
            egress_mode: self.egress_mode.or(lower.egress_mode),
            egress_allow: self.egress_allow.or(lower.egress_allow),
            audit_log: self.audit_log.or(lower.audit_log),
            audit_max_bytes: self.audit_max_bytes.or(lower.audit_max_bytes),
            audit_max_age: self.audit_max_age.or(lower.audit_max_age),
            log: self.log.or(lower.log),
            log_format: self.log_format.or(lower.log_format),
        }
    }

    /// The same settings without those that were given empty, as launchers do for what nobody filled in.
    pub(super) fn without_empty(mut self) -> Self {
        let texts = [
            &mut self.region,
            &mut self.base_url,
            &mut self.as_user_email,
            &mut self.as_user_id,
            &mut self.tool_prefix,
            &mut self.auth,
            &mut self.oauth_issuer,
            &mut self.oauth_resource,
            &mut self.oauth_jwks_url,
            &mut self.oauth_agent,
            &mut self.oauth_agent_claim,
            &mut self.oauth_email_claim,
            &mut self.metrics,
            &mut self.redis,
            &mut self.egress_mode,
            &mut self.audit_max_age,
            &mut self.log,
            &mut self.log_format,
        ];
        for text in texts {
            text.take_if(|text| text.trim().is_empty());
        }
        for path in
            [&mut self.config, &mut self.manifests, &mut self.download_dir, &mut self.state_key, &mut self.audit_log]
        {
            path.take_if(|path| path.as_os_str().is_empty());
        }
        let lists = [
            &mut self.scopes,
            &mut self.toolsets,
            &mut self.tools,
            &mut self.exclude_tools,
            &mut self.confirm,
            &mut self.require_plan,
            &mut self.launch_tools,
            &mut self.upload_dir,
            &mut self.egress_allow,
            &mut self.oauth_algorithms,
            &mut self.allowed_host,
            &mut self.allowed_origin,
            &mut self.cors_origin,
            &mut self.trusted_proxy,
        ];
        for list in lists {
            list.take_if(|list| list.iter().all(|text| text.trim().is_empty()));
        }
        self
    }
}
