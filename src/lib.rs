//! An MCP server that lets AI agents work an Ironclad account safely.
//!
//! Manifest entries are the program; the code is one short path that every entry walks:
//!
//! ```text
//! tools/call {name, arguments}
//!   transport    HTTP: who calls, whose session, a request's bounds, a place among those that are worked on
//!   server       entry by name ................... unknown: protocol error -32602
//!   dispatch     drain: the call is counted ...... refused once the server is stopping; cut when its time is up
//!                audit: a record is opened ....... a guard, so a dropped call writes its line too
//!    0 policy     decide(entry)           access_denied, before any work
//!      scopes     those of the token      forbidden, if Ironclad did not grant one that the tool needs
//!      plan       open, compare           what a dry run showed, and nothing else
//!    1 arguments  check(schema, args)     invalid_arguments, every fault with its path
//!      forms      the launch form, cached; launch_form checks every attribute before anything is sent
//!      cursor     open                    the place in a list
//!      local      what the server answers by itself ends here
//!      touch      the templates and record types that the agent may touch
//!    2 request    build(entry, args)      plain data; dry_run ends here, with a plan
//!      hold       the write's twin was lost before: outcome_unknown, nothing is sent
//!    3 consent    a person's yes, the object unchanged, the plan used up
//!      audit      a write's intent is on disk
//!    4 ironclad   send(request)           budget, token, HTTP, retry
//!    5 answer     shape(entry, body)      page, projection, size cap, url
//!   untrusted    words of others are marked as data, and hide nothing
//!   audit        the line of the call is written, then the answer goes out
//! ```
//!
//! Imports go down only:
//!
//! ```text
//! 5 assembly   main cli config assembly commands transport
//! 4 faces      server
//! 3 the path   dispatch catalog forms record_types launch_tools choices prompts
//! 2 the world  ironclad issuer audit approvals replicas roster upload download masking metrics traces
//! 1 rules      arguments policy agents caller_token request answer cursor plan keys launch_form record_values
//!              typed_values formula schema_profile tool_schema suggest resource_uri egress visible   (pure)
//! 0 words      manifest error
//! beside       simulator: imports none of the above, speaks only HTTP
//! ```

#[cfg(all(feature = "conformance", not(debug_assertions)))]
compile_error!("the feature `conformance` lets fixtures stand in front of the server; it is for tests only");

pub mod agents;
pub mod answer;
pub mod approvals;
pub mod arguments;
pub mod assembly;
pub mod audit;
pub mod caller_token;
pub mod catalog;
pub mod choices;
pub mod cli;
pub mod commands;
pub mod config;
pub mod cursor;
pub mod dispatch;
pub mod download;
pub mod egress;
pub mod error;
pub mod forms;
pub mod formula;
pub mod ironclad;
pub mod issuer;
pub mod keys;
pub mod launch_form;
pub mod launch_tools;
pub mod manifest;
pub mod masking;
pub mod metrics;
pub mod plan;
pub mod policy;
pub mod prompts;
pub mod record_types;
pub mod record_values;
pub mod replicas;
pub mod request;
pub mod resource_uri;
pub mod roster;
pub mod schema_profile;
pub mod server;
pub mod simulator;
pub mod suggest;
pub mod tool_schema;
pub mod traces;
pub mod transport;
pub mod typed_values;
pub mod upload;
pub mod visible;
