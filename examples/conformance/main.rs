//! The server with the fixtures that the official conformance suite calls by name, over HTTP with a simulator behind it.
//!
//! The suite wants tools, prompts and resources that no user wants. They stand here, in front of the product's own handler
//! and on its own transport: sessions, headers, `server/discover`, lists, `subscriptions/listen`, errors and Origin checks
//! are the product's. Needs the feature `conformance`, which no release build has.
//!
//! ```sh
//! cargo run --example conformance --features conformance
//! ```

#![expect(deprecated, reason = "the suite scores sampling, roots and logging, which 2026-07-28 does without")]

mod asking;
mod handler;
mod prompts;
mod resources;
mod tools;

use std::{
    error::Error,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use ironclad_mcp::{
    assembly,
    config::{self, Options},
    server::Server,
    transport::{self, HttpSettings, Patience, Stop},
};

use crate::handler::Suite;

fn main() -> Result<(), Box<dyn Error>> {
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN);
    subscriber.init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let audit_log = Some(folder.path().join("audit.jsonl"));
    let options = Options { audit_log, enable_writes: Some(true), simulator: Some(true), ..Options::default() };
    let mut config = config::load(options)?;
    let _simulator = assembly::simulate(&mut config).await?;
    let assembly::Assembly { dispatch, catalog, launchers, rights } = assembly::assemble(config)?;
    let server = Server::new(dispatch, catalog, launchers, rights, "http");
    let settings = HttpSettings {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        allowed_hosts: Vec::new(),
        allowed_origins: Vec::new(),
        cors_origins: Vec::new(),
        max_sessions: 100,
        session_timeout: Duration::from_secs(60),
        patience: Patience::default(),
        approvals: None,
    };
    let stop = Stop::default();
    let stopped = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stopped.ask();
        }
    });
    let ready = |address: SocketAddr| {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "http://{address}/mcp").and_then(|()| out.flush());
    };
    transport::serve_http_as(Suite::new(server.clone()), server, &settings, stop, ready).await?;
    Ok(())
}
