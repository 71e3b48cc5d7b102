//! `ironclad-mcp http`: MCP over Streamable HTTP.
//!
//! Without caller authentication everybody who reaches the port acts with the operator's rights: then only this machine may
//! reach it.

use std::{process::ExitCode, sync::Arc, time::Duration};

use secrecy::ExposeSecret as _;

use super::{
    CommandError, Ended, all_cores, approvals::operator, console::complain, reload::Reload,
    stdio::warn_without_credentials, stop,
};
use crate::{
    approvals::{self, Approver, Approvers},
    assembly::{self, Assembly},
    audit::AuditLog,
    cli::HttpArgs,
    config::{CallerAuth, Config, Options, ResourceConfig},
    dispatch::{Dispatch, Plans},
    policy::Confirm,
    roster::LiveRoster,
    server::{Recognition, Server},
    transport::{self, ApprovalsPage, CallerCheck, HttpSettings, LOOPBACK_HOSTS, Patience, ResourceServer},
};

/// How long the tasks of open connections may take to write their last audit lines.
const FAREWELL: Duration = Duration::from_millis(300);

/// Serves until the process is told to stop.
pub(super) fn run(args: HttpArgs, config: Config, options: Options) -> Ended {
    admissible(&args, &config)?;
    let runtime = all_cores()?;
    let ended = runtime.block_on(serve(args, config, options));
    runtime.shutdown_timeout(FAREWELL);
    ended
}

/// Who may call is said, never guessed: what is configured must make sense together.
fn admissible(args: &HttpArgs, config: &Config) -> Result<(), CommandError> {
    let has_agents = !config.agents.is_empty();
    let has_tokens = config.agents.iter().any(|agent| agent.token.is_some());
    let wrong = match config.auth {
        CallerAuth::None if !args.listen.ip().is_loopback() => format!(
            "--listen {}: everybody who reaches this address would act with your rights, so only loopback addresses are \
             served without caller authentication; add agents (`ironclad-mcp agent add NAME`) and set --auth agents \
             (IRONCLAD_AUTH), or listen on 127.0.0.1",
            args.listen
        ),
        CallerAuth::None if has_agents => {
            "agents are configured, and without --auth agents (IRONCLAD_AUTH) nobody could \
             tell which of them calls; set it, or take [agents] out of the settings file"
                .into()
        }
        CallerAuth::Agents if !has_tokens => "--auth agents: no agent has a token, so nobody could call; \
             `ironclad-mcp agent add NAME` makes one"
            .into(),
        CallerAuth::None | CallerAuth::Agents if config.oauth.is_set() => {
            "settings --oauth-… are there, and go for --auth oauth (IRONCLAD_AUTH) only; set it, or take them out"
                .into()
        }
        CallerAuth::None | CallerAuth::Agents => return Ok(()),
        CallerAuth::Oauth => return oauth(config).map(drop),
    };
    Err(CommandError::Usage(wrong))
}

/// How callers are let in; `None` lets everybody in.
fn door(
    (auth, oauth): (CallerAuth, Option<ResourceConfig>),
    dispatch: &Arc<Dispatch>,
    roster: &Arc<LiveRoster>,
) -> Option<CallerCheck> {
    let roster = Arc::clone(roster);
    if let Some(config) = oauth {
        let issuer = assembly::issuer(&config, dispatch, Arc::new(approvals::now));
        let prepared = Arc::clone(&issuer);
        tokio::spawn(async move { prepared.prepare().await });
        let ResourceConfig { resource, agent, .. } = config;
        return Some(CallerCheck::Oauth(Arc::new(ResourceServer { roster, issuer, resource, agent })));
    }
    (auth != CallerAuth::None).then_some(CallerCheck::Agents(roster))
}

/// What `--auth oauth` goes by; `None` without it.
fn oauth(config: &Config) -> Result<Option<ResourceConfig>, CommandError> {
    let wanted = config.auth == CallerAuth::Oauth;
    wanted.then(|| config.oauth.complete(&config.agents)).transpose().map_err(CommandError::Usage)
}

async fn serve(args: HttpArgs, mut config: Config, options: Options) -> Ended {
    let stop = stop::on_signal();
    let simulator = if config.simulator { Some(assembly::simulate(&mut config).await?) } else { None };
    warn_without_credentials(&config);
    // Whoever calls over HTTP is not the user whose files these are.
    if !std::mem::take(&mut config.upload_folders).is_empty() {
        tracing::warn!("--upload-dir is for stdio; no local file is read for callers over HTTP");
    }
    if config.download_folder.take().is_some() {
        tracing::warn!("--download-dir is for stdio; nothing is saved for callers over HTTP");
    }
    let approvers = config.state.as_deref().map(Approvers::below);
    let waits = config.policy.confirm == Confirm::Always;
    let mut settings = HttpSettings {
        listen: args.listen,
        callers: None,
        allowed_hosts: std::mem::take(&mut config.allowed_hosts),
        allowed_origins: std::mem::take(&mut config.allowed_origins),
        cors_origins: std::mem::take(&mut config.cors_origins),
        max_sessions: config.max_sessions,
        session_timeout: config.session_timeout,
        patience: Patience::default(),
        approvals: None,
        scrapers: config.scrapers,
        trusted_proxies: std::mem::take(&mut config.trusted_proxies),
    };
    let simulated = simulator.as_ref().map(|simulator| simulator.credentials().as_user_email);
    let oauth = oauth(&config)?;
    let public = oauth.as_ref().and_then(|oauth| oauth.resource.host_str());
    if let (Some(host), true) = (public, settings.allowed_hosts.is_empty()) {
        // The public name is named already; whoever looks after the machine comes by loopback names.
        settings.allowed_hosts = LOOPBACK_HOSTS.iter().copied().chain([host]).map(str::to_owned).collect();
    }
    let (auth, reload) = (config.auth, Reload::of(&config, options, simulated));
    let Assembly { dispatch, catalog, launchers, roster } = assembly::assemble(config)?;
    if let Some(reload) = reload {
        reload.start(&roster, &catalog);
    }
    let recognition = match auth {
        CallerAuth::None => Recognition::Anybody("http"),
        CallerAuth::Agents | CallerAuth::Oauth => Recognition::Verified,
    };
    settings.callers = door((auth, oauth), &dispatch, &roster);
    let page = page((&dispatch.plans, &dispatch.audit), approvers, (waits, settings.allowed_hosts.clone()))?;
    settings.approvals = Some(Arc::new(page));
    let traces = dispatch.client.traces().clone();
    let server = Server::new(dispatch, catalog, launchers, roster, recognition);
    let ready = |address| complain(&format!("listening on http://{address}/mcp"));
    let served = transport::serve_http(server, &settings, stop, ready).await;
    // Held until here: a simulator that is dropped stops.
    drop(simulator);
    traces.end();
    served?;
    Ok(ExitCode::SUCCESS)
}

/// The page where people decide. If calls will wait for them and nobody was given a token, one is told that lasts as long
/// as this process; it goes to stderr and into no log.
fn page(
    (plans, audit): (&Plans, &Arc<AuditLog>),
    approvers: Option<Approvers>,
    (waits, hosts): (bool, Vec<String>),
) -> Result<ApprovalsPage, CommandError> {
    let io = || CommandError::io("the approvers in the state directory cannot be read");
    let kept = approvers.as_ref().map(Approvers::all).transpose().map_err(io())?;
    let mut once = None;
    if waits && kept.is_none_or(|kept| kept.is_empty()) {
        let (approver, token) = Approver::new(&operator()).map_err(io())?;
        complain(&format!("sign in to /approvals with {} (until this server ends)", token.expose_secret()));
        once = Some(approver);
    }
    let (shared, clock, keys) = (Arc::clone(&plans.shared), Arc::clone(&plans.clock), plans.page_keys.clone());
    Ok(ApprovalsPage { shared, audit: Arc::clone(audit), clock, keys, approvers, once, hosts })
}
