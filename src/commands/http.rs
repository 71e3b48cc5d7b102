//! `ironclad-mcp http`: MCP over Streamable HTTP.
//!
//! Callers cannot be told apart yet, and everybody who reaches the port acts with the operator's rights: so only this
//! machine may reach it.

use std::{process::ExitCode, time::Duration};

use super::{CommandError, Ended, all_cores, console::complain, stdio::warn_without_credentials, stop};
use crate::{
    assembly::{self, Assembly},
    cli::HttpArgs,
    config::Config,
    server::Server,
    transport::{self, HttpSettings, Patience},
};

/// How long the tasks of open connections may take to write their last audit lines.
const FAREWELL: Duration = Duration::from_millis(300);

/// Serves until the process is told to stop.
pub(super) fn run(args: HttpArgs, config: Config) -> Ended {
    if !args.listen.ip().is_loopback() {
        return Err(CommandError::Usage(format!(
            "--listen {}: caller authentication is not in this version, so only loopback addresses are served; listen \
             on 127.0.0.1 and put a proxy that authenticates callers in front",
            args.listen
        )));
    }
    let runtime = all_cores()?;
    let ended = runtime.block_on(serve(args, config));
    runtime.shutdown_timeout(FAREWELL);
    ended
}

async fn serve(args: HttpArgs, mut config: Config) -> Ended {
    let stop = stop::on_signal();
    let simulator = if config.simulator { Some(assembly::simulate(&mut config).await?) } else { None };
    warn_without_credentials(&config);
    // Whoever calls over HTTP is not the user whose files these are.
    if !std::mem::take(&mut config.upload_folders).is_empty() {
        tracing::warn!("--upload-dir is for stdio; no local file is read for callers over HTTP");
    }
    let settings = HttpSettings {
        listen: args.listen,
        allowed_hosts: std::mem::take(&mut config.allowed_hosts),
        allowed_origins: std::mem::take(&mut config.allowed_origins),
        cors_origins: std::mem::take(&mut config.cors_origins),
        max_sessions: config.max_sessions,
        session_timeout: config.session_timeout,
        patience: Patience::default(),
    };
    let Assembly { dispatch, catalog, launchers, rights } = assembly::assemble(config)?;
    let server = Server::new(dispatch, catalog, launchers, rights, "http");
    let ready = |address| complain(&format!("listening on http://{address}/mcp"));
    let served = transport::serve_http(server, &settings, stop, ready).await;
    // Held until here: a simulator that is dropped stops.
    drop(simulator);
    served?;
    Ok(ExitCode::SUCCESS)
}
