//! The command line: which command, with which flags of its own.
//!
//! Settings stand before or behind the command's name alike, and without a command the program is a stdio server, since
//! that is how MCP clients start one.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::{
    config::{Options, without_environment},
    simulator,
};

/// An MCP server that lets AI agents work an Ironclad account safely.
#[derive(Debug, Parser)]
#[command(name = "ironclad-mcp", version, after_help = SECRETS, max_term_width = 120)]
pub struct Cli {
    /// What to do; nothing is `stdio`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Which agent this is, for stdio, call and tools.
    #[command(flatten)]
    pub agent: AgentFlag,
    /// The settings.
    #[command(flatten)]
    pub options: Options,
}

/// The flag `--agent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct AgentFlag {
    /// Act as this agent of the settings file
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
}

/// What to do about agents.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Make a token for a new agent, and print what to add to the settings file
    Add {
        /// The agent's name
        name: String,
    },
}

const SECRETS: &str = "\
Credentials come from the environment only: IRONCLAD_CLIENT_ID and IRONCLAD_CLIENT_SECRET, or IRONCLAD_ACCESS_TOKEN; \
each may instead be NAME_FILE, naming a file that holds it. Settings: command line, then environment, then --config, \
then default.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve MCP on stdin and stdout (also without any command)
    Stdio(AgentFlag),
    /// Serve MCP over Streamable HTTP at /mcp
    Http(HttpArgs),
    /// Drive a whole contract through the simulator as a real MCP client, and print each step
    Demo,
    /// Call one tool, and print its result as JSON
    Call(CallArgs),
    /// Print the tools that this configuration publishes; needs no credentials
    Tools(ToolsArgs),
    /// Say line by line whether configuration, credentials, host and manifests are right
    Check,
    /// Manage the agents of the settings file
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Read the audit log
    Audit(AuditArgs),
    /// List the calls that wait for a person's decision
    Approvals(ApprovalsArgs),
    /// Approve a call that waits
    Approve(DecideArgs),
    /// Decline a call that waits
    Decline(DecideArgs),
    /// Say who may decide on the page /approvals of `http`
    #[command(subcommand)]
    Approver(ApproverCommand),
    /// Run the built-in Ironclad simulator alone
    Simulator(SimulatorArgs),
    /// Sign in through the browser; stdio, http, call and check then act as the user who allowed it
    Login(LoginArgs),
    /// Forget the sign-in of this host and client
    Logout,
    /// Renews a kept login for a server that may be killed meanwhile; started by servers only
    #[command(hide = true)]
    RenewLogin,
}

/// Flags of `http`.
#[derive(Debug, Args)]
pub struct HttpArgs {
    /// Address to listen on; loopback only, unless --auth says how callers are recognised
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000", value_parser = listen_address)]
    pub listen: SocketAddr,
}

/// Flags of `call`.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The tool's name, as `tools` prints it
    #[arg(value_name = "TOOL")]
    pub tool: String,
    /// The arguments, as one JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub args: String,
    /// Save the document that the tool brings to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Who calls.
    #[command(flatten)]
    pub agent: AgentFlag,
}

/// Flags of `tools`.
#[derive(Debug, Args)]
pub struct ToolsArgs {
    /// How to print them [default: markdown on a terminal, else mcp]
    #[arg(long, value_enum)]
    pub format: Option<ToolsFormat>,
    /// Whose tools.
    #[command(flatten)]
    pub agent: AgentFlag,
}

/// How `tools` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToolsFormat {
    /// What tools/list answers
    Mcp,
    /// Function definitions for OpenAI's API
    Openai,
    /// Tool definitions for Anthropic's API
    Anthropic,
    /// A table
    Markdown,
}

/// Flags of `approvals`.
#[derive(Debug, Args)]
pub struct ApprovalsArgs {
    /// Those that were decided in the last week as well
    #[arg(long)]
    pub all: bool,
    /// How to print them [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    pub format: Option<ApprovalsFormat>,
}

/// How `approvals` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ApprovalsFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

/// Flags of `approve` and `decline`.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// The approval's id, as the refused call and `approvals` name it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why; the agent is told
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Who may decide on the approvals page.
#[derive(Debug, Subcommand)]
pub enum ApproverCommand {
    /// Make a sign-in token for somebody, and print it this once
    Add {
        /// Their name, as decisions record it
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List who may decide
    List,
    /// Take somebody's token back
    Remove {
        /// Their name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Flags of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// From this time on: RFC 3339, a date (UTC), or an age such as 24h or 7d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to this time, the whole of a date included
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Calls of this agent
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Calls of this caller, as their authorization server names them (sub)
    #[arg(long, value_name = "SUB")]
    pub caller: Option<String>,
    /// Calls of this tool
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Calls that were decided so
    #[arg(long, value_enum)]
    pub decision: Option<DecisionFilter>,
    /// Calls that named this id
    #[arg(long, value_name = "ID")]
    pub object: Option<String>,
    /// Go on where the page before ended: its next_cursor
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// The most lines to print
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// How to print them [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    pub format: Option<AuditFormat>,
    /// Read the log of destinations instead: where this program connected to, or was kept from
    #[arg(long)]
    pub egress: bool,
    /// Follow the chain of hashes through the whole log, and name the first line that breaks it
    #[arg(long, conflicts_with_all = ["since", "until", "agent", "caller", "tool", "decision", "object", "cursor", "format"])]
    pub verify: bool,
    /// With --verify: the log begins behind the line with this hash, in files that were put away elsewhere
    #[arg(long, value_name = "HASH", requires = "verify")]
    pub after: Option<String>,
    /// With --verify: the log must still hold the line with this hash, noted earlier
    #[arg(long, value_name = "HASH", requires = "verify")]
    pub holds: Option<String>,
}

/// A decision to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum DecisionFilter {
    /// Let through
    Allowed,
    /// Refused by policy
    Denied,
    /// Refused by a person, or nobody could be asked
    Declined,
    /// Only tried out
    DryRun,
}

impl DecisionFilter {
    /// The decision as the log has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Declined => "declined",
            Self::DryRun => "dry_run",
        }
    }
}

/// How `audit` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// A sentence a line
    Text,
    /// The log's own lines
    Json,
    /// For spreadsheets
    Csv,
}

/// Flags of `simulator`.
#[derive(Debug, Args)]
#[command(after_help = simulator::fault_grammar())]
pub struct SimulatorArgs {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9000", value_parser = listen_address)]
    pub listen: SocketAddr,
    /// What goes wrong, in the grammar below
    #[arg(long, value_name = "FAULTS")]
    pub faults: Option<String>,
    /// Decides every id and name: the same seed gives the same company
    #[arg(long, value_name = "N", default_value_t = simulator::Settings::default().seed)]
    pub seed: u64,
    /// Refuse unknown query parameters and body members, which Ironclad ignores
    #[arg(long)]
    pub strict: bool,
    /// Records of the company, about; past the first thousand they are plain ones
    #[arg(long, value_name = "N", default_value_t = simulator::Settings::default().records)]
    pub records: usize,
    /// Keep no count of requests against Ironclad's rate limits
    #[arg(long)]
    pub no_rate_limits: bool,
    /// Lifetime of access tokens, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = simulator::Settings::default().token_seconds)]
    pub token_seconds: u64,
    /// Register the OAuth client with these scopes only, separated by commas [default: every scope there is]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub client_scopes: Option<Vec<String>>,
}

/// Flags of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Port of the redirect, http://localhost:PORT/callback, which must be registered with the client; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8976)]
    pub redirect_port: u16,
    /// Only print the page to open
    #[arg(long)]
    pub no_browser: bool,
    /// Leave PKCE out, should Ironclad not take it
    #[arg(long)]
    pub no_pkce: bool,
    /// Where the tokens are kept
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = KeepIn::Auto)]
    pub keep_in: KeepIn,
}

/// Where `login` keeps its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeepIn {
    /// In the operating system's key store where there is one, else in a file
    Auto,
    /// In the operating system's key store
    Keyring,
    /// In a file that only you can read
    File,
}

impl Cli {
    /// Reads the arguments of the process, the program's name first.
    ///
    /// # Errors
    /// What is wrong with them, or the text of `--help` and `--version`.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = without_environment(Self::command()).try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches)
    }
}

/// Reads an address; `localhost` is 127.0.0.1.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let loopback = |port: &str| Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?));
    let named = text.strip_prefix("localhost:").and_then(loopback);
    named.or_else(|| text.parse().ok()).ok_or_else(|| "give ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Cli {
        Cli::from_arguments(line.split(' ').map(OsString::from)).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_stand_before_or_behind_the_command() {
        for line in ["ironclad-mcp --simulator stdio", "ironclad-mcp stdio --simulator", "ironclad-mcp --simulator"] {
            let cli = parse(line);
            assert_eq!(cli.options.simulator, Some(true), "{line}");
            assert!(matches!(cli.command, None | Some(Command::Stdio(_))), "{line}");
        }
        let cli = parse("ironclad-mcp --region eu1 tools --enable-writes=off --format openai --tools a,b");
        assert_eq!(cli.options.region.as_deref(), Some("eu1"));
        assert_eq!(cli.options.enable_writes, Some(false));
        assert_eq!(cli.options.tools, Some(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn help_names_each_settings_environment_variable() {
        let help = Cli::from_arguments(["ironclad-mcp", "--help"].map(OsString::from)).unwrap_err().to_string();
        for name in ["IRONCLAD_REGION", "IRONCLAD_ALLOWED_ORIGINS", "RUST_LOG", "IRONCLAD_CLIENT_ID"] {
            assert!(help.contains(name), "{name} is missing in:\n{help}");
        }
    }

    #[test]
    fn an_address_may_say_localhost() {
        assert_eq!(listen_address("localhost:80").unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(listen_address("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert!(listen_address("8000").is_err());
        assert!(listen_address("localhost:99999").is_err());
    }
}
