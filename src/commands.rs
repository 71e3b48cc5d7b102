//! Runs what the command line asks for, and turns how it ended into an exit code.
//!
//! 0 is done, 1 is work that failed, 2 is a command line or configuration that is wrong.

mod agent;
mod approvals;
mod audit;
mod call;
mod check;
mod console;
mod demo;
mod http;
mod login;
mod logout;
mod reload;
mod renew;
mod simulator;
mod stdio;
mod stop;
mod tools;

use std::{ffi::OsString, io, process::ExitCode};

use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

use self::console::complain;
use crate::{
    cli::{AgentFlag, Cli, Command},
    config::{self, CallerAuth, Config, ConfigError, Log, Options},
    masking::{Masked, mask_panics},
    simulator::SimulatorError,
    transport::TransportError,
};

/// The work failed.
const FAILED: u8 = 1;

/// The command line or the configuration is wrong.
const WRONG: u8 = 2;

/// Why a command ended badly.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The work failed.
    #[error("{0}")]
    Failed(String),
    /// A server ended badly.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The demonstration broke off.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    /// The simulator did not start.
    #[error("the simulator did not start: {0}")]
    Simulator(#[from] SimulatorError),
    /// Something could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl CommandError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Simulator(SimulatorError::Faults(_)) => WRONG,
            Self::Failed(_)
            | Self::Demo(_)
            | Self::Transport(_)
            | Self::Simulator(SimulatorError::Listen(..))
            | Self::Io { .. } => FAILED,
        }
    }
}

/// How a command ended.
type Ended = Result<ExitCode, CommandError>;

/// Runs the program with its arguments, its own name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    mask_panics();
    let cli = match Cli::from_arguments(arguments) {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version come this way too, and are no failure.
            let code = u8::try_from(told.exit_code()).unwrap_or(WRONG);
            let _ = told.print();
            return ExitCode::from(code);
        }
    };
    let Cli { command: asked, agent, options } = cli;
    match command(asked.unwrap_or(Command::Stdio(AgentFlag::default())), agent, options) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn command(command: Command, AgentFlag { agent }: AgentFlag, options: Options) -> Ended {
    match command {
        Command::Stdio(flag) => {
            one_thread(stdio::run(alone(configured(options.clone())?), flag.agent.or(agent), options))
        }
        Command::Call(mut args) => {
            args.agent.agent = args.agent.agent.or(agent);
            one_thread(call::run(args, alone(configured(options)?)))
        }
        Command::Tools(mut args) => {
            args.agent.agent = args.agent.agent.or(agent);
            one_thread(tools::run(args, alone(configured(options)?)))
        }
        _ if agent.is_some() => Err(CommandError::Usage("--agent is for stdio, call and tools".into())),
        Command::Http(args) => http::run(args, configured(options.clone())?, options),
        Command::Agent(command) => agent::run(&command, &configured(options)?),
        Command::Demo => one_thread(async { Ok(demo::run().await.map(|()| ExitCode::SUCCESS)?) }),
        Command::Check => one_thread(check::run(configured(options))),
        Command::Approvals(args) => one_thread(approvals::list(args, configured(options)?)),
        Command::Approve(args) => one_thread(approvals::decide(args, true, configured(options)?)),
        Command::Decline(args) => one_thread(approvals::decide(args, false, configured(options)?)),
        Command::Approver(command) => approvals::approver(command, &configured(options)?),
        Command::Audit(args) => audit::run(&args, &configured(options)?),
        Command::Simulator(args) => simulator::run(args, &configured(options)?),
        Command::Login(args) => one_thread(login::run(args, configured(options)?)),
        Command::Logout => one_thread(logout::run(configured(options)?)),
        Command::RenewLogin => one_thread(renew::run()),
    }
}

fn configured(options: Options) -> Result<Config, ConfigError> {
    let mut config = config::load(options)?;
    config.program = std::env::current_exe().ok();
    log_to_stderr(&config.log);
    Ok(config)
}

/// Callers are told apart over HTTP only.
fn alone(config: Config) -> Config {
    Config { auth: CallerAuth::None, ..config }
}

fn log_to_stderr(log: &Log) {
    // The filter was parsed once already, when the configuration was checked.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_default();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Masked(io::stderr()));
    // It would tell of an unwritable stderr on stderr, and panic.
    let builder = builder.log_internal_errors(false);
    // A second call in one process, as tests make, leaves the first subscriber in place.
    let _ = if log.json {
        builder.json().try_init()
    } else if console::stderr_is_terminal() {
        // On a terminal the default stands, which knows NO_COLOR.
        builder.try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
}

/// Runs a command on this thread alone: threads would cost a stdio server more than they bring.
fn one_thread(command: impl Future<Output = Ended>) -> Ended {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::io("the runtime cannot be started"))?;
    let ended = runtime.block_on(command);
    // A read of stdin may be under way, and would be waited for.
    runtime.shutdown_background();
    ended
}

/// As many threads as the machine has cores.
fn all_cores() -> Result<Runtime, CommandError> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    runtime.map_err(CommandError::io("the runtime cannot be started"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_must_mend_exits_with_2_and_what_failed_with_1() {
        let io = || io::Error::from(io::ErrorKind::AddrInUse);
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
        let table = [
            (CommandError::Config(ConfigError::NoActingUser), 2),
            (CommandError::Usage(String::new()), 2),
            (CommandError::Simulator(SimulatorError::Faults(String::new())), 2),
            (CommandError::Simulator(SimulatorError::Listen(address, io())), 1),
            (CommandError::Failed(String::new()), 1),
            (CommandError::io("")(io()), 1),
        ];
        for (error, expected) in table {
            assert_eq!(error.exit_code(), expected, "{error:?}");
        }
    }

    #[test]
    fn the_process_that_renews_a_login_finds_its_command() {
        let cli = Cli::from_arguments(["ironclad-mcp", crate::ironclad::auth::renewal::COMMAND].map(OsString::from));
        assert!(matches!(cli.unwrap().command, Some(Command::RenewLogin)));
    }
}
