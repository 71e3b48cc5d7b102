//! `ironclad-mcp stdio`: one MCP client on stdin and stdout.

use std::process::ExitCode;

use super::{Ended, agent::chosen, reload::Reload, stop};
use crate::{
    assembly::{self, Assembly},
    config::{Config, Options},
    server::{Recognition, Server},
    transport,
};

/// Serves until the client hangs up or the process is told to stop.
pub(super) async fn run(mut config: Config, agent: Option<String>, options: Options) -> Ended {
    let stop = stop::on_signal();
    let simulator = if config.simulator { Some(assembly::simulate(&mut config).await?) } else { None };
    warn_without_credentials(&config);
    let simulated = simulator.as_ref().map(|simulator| simulator.credentials().as_user_email);
    let reload = Reload::of(&config, options, simulated);
    let Assembly { dispatch, catalog, launchers, roster } = assembly::assemble(config)?;
    let caller = chosen(&roster.now(), agent.as_deref(), "stdio")?;
    let recognition = agent.map_or(Recognition::Anybody("stdio"), |_| Recognition::Named(caller.name));
    if let Some(reload) = reload {
        reload.start(&roster, &catalog);
    }
    let traces = dispatch.client.traces().clone();
    let served = transport::serve_stdio(Server::new(dispatch, catalog, launchers, roster, recognition), stop).await;
    // Held until here: a simulator that is dropped stops.
    drop(simulator);
    traces.end();
    served?;
    Ok(ExitCode::SUCCESS)
}

/// A server without credentials still shows its tools, and each call says what is missing.
pub(super) fn warn_without_credentials(config: &Config) {
    if config.secrets.access_token.is_none() && config.secrets.client.is_none() {
        tracing::warn!(
            "no credentials are set, so every call will be answered with unauthorized: set IRONCLAD_CLIENT_ID and \
             IRONCLAD_CLIENT_SECRET, or IRONCLAD_ACCESS_TOKEN"
        );
    }
}
