//! `ironclad-mcp simulator`: the simulator alone, for any HTTP client.
//!
//! What it prints can be pasted into a shell as it is.

use std::process::ExitCode;

use super::{Ended, all_cores, console::say, stop};
use crate::{
    cli::SimulatorArgs,
    config::Config,
    simulator::{Credentials, Settings, Simulator},
};

/// Runs until the process is told to stop.
pub(super) fn run(args: SimulatorArgs, _logged: &Config) -> Ended {
    all_cores()?.block_on(async {
        let stop = stop::on_signal();
        let settings = Settings {
            seed: args.seed,
            strict: args.strict,
            rate_limits: !args.no_rate_limits,
            faults: args.faults,
            token_seconds: args.token_seconds,
            client_scopes: args.client_scopes,
            records: args.records,
            ..Settings::default()
        };
        let simulator = Simulator::start(args.listen, settings).await?;
        say(&exports(&simulator.base_url(), &simulator.credentials()))?;
        stop.asked().await;
        simulator.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn exports(base_url: &str, credentials: &Credentials) -> String {
    let Credentials { client_id, client_secret, access_token, as_user_email } = credentials;
    format!(
        "export IRONCLAD_BASE_URL={base_url}\n\
         export IRONCLAD_CLIENT_ID={client_id}\n\
         export IRONCLAD_CLIENT_SECRET={client_secret}\n\
         export IRONCLAD_AS_USER_EMAIL={as_user_email}\n\
         # or, in place of the client, the static token:\n\
         # export IRONCLAD_ACCESS_TOKEN={access_token}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_line_of_shell() {
        let credentials = Credentials {
            client_id: "id".into(),
            client_secret: "secret".into(),
            access_token: "token".into(),
            as_user_email: "maya@simulator.example".into(),
        };
        let text = exports("http://127.0.0.1:9000", &credentials);
        assert!(text.starts_with("export IRONCLAD_BASE_URL=http://127.0.0.1:9000\n"));
        for line in text.lines() {
            assert!(line.starts_with("export IRONCLAD_") || line.starts_with("# "), "{line}");
        }
    }
}
