//! The program as users start it: its streams, its signals, its exit codes.

mod agents;
mod approvals;
mod audit;
mod commands;
mod forwarded;
mod http;
mod http_end;
mod login;
mod metrics;
mod news;
mod oauth;
mod program;
mod proxy;
mod secrets;
mod settings;
mod signals;
mod stdio;
mod traces;
