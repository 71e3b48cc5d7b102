//! What several replicas share through Redis or Valkey: the rate budget, single use, approvals, lost
//! writes, launch forms.
//!
//! A Redis that was started anew has forgotten, whatever it kept on disk: nobody can tell what was lost last. So what
//! hangs on its memory names the very server process that it was made under, and counts no more under another.
//!
//! No call hangs on Redis: an answer is waited for a second at most, and after a failure nobody asks for a moment. It is
//! asked again by itself, so all heals without a restart. Every key has an end.

mod address;
mod budget;
mod forms;
mod marks;

use std::{
    io,
    sync::{Mutex as Lock, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, InfoDict, RedisError, ScriptInvocation,
    aio::MultiplexedConnection,
};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

pub use self::{address::Address, budget::SharedBudget};
use crate::{
    approvals::{INCARNATION_LETTERS, letters, new_id},
    plan::short,
};

/// How long Redis may take for an answer, or for a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long nobody asks after a failure, so that calls go on at once.
const PAUSE: Duration = Duration::from_millis(250);

/// The Redis of one account's replicas.
pub struct Redis {
    client: Client,
    /// Before every key: several accounts may use one Redis. In braces, so that a cluster keeps them together.
    prefix: String,
    /// Tells this process from the other replicas.
    replica: String,
    link: Mutex<Link>,
    /// The server process that was last met.
    met: Lock<Option<Server>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Link {
    line: Option<Line>,
    failed: Option<(Instant, String)>,
}

/// A connection to one server process.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    server: Server,
}

/// A server process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    /// Stands for it in ids.
    incarnation: String,
    /// The latest that it can have started, by its own clock, in milliseconds since 1970.
    born: u64,
}

impl Redis {
    /// What the replicas of one Ironclad host and client share at this address. Nothing is connected yet.
    ///
    /// # Errors
    /// The address is none that can be used; it is not repeated.
    pub fn new(address: &Address, (origin, client_id): (&str, &str)) -> io::Result<Self> {
        let client = Client::open(address.expose()).map_err(|error| io::Error::other(error.category()))?;
        let account = Sha256::digest(format!("{} {origin} {client_id}", origin.len()));
        let prefix = format!("{{ironclad-mcp:{}}}:", short(&account, 8));
        Ok(Self { client, prefix, replica: new_id()?, link: Mutex::default(), met: Lock::default() })
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }

    /// Whether Redis answers now.
    ///
    /// # Errors
    /// Why not.
    pub async fn ping(&self) -> io::Result<()> {
        self.ask(&redis::cmd("PING")).await
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> io::Result<T> {
        let mut line = self.line().await?;
        let asked = Box::pin(command.query_async(&mut line.connection));
        self.heard(&line.server, timeout(PATIENCE, asked).await).await
    }

    async fn run<T: FromRedisValue>(&self, line: &mut Line, script: &ScriptInvocation<'_>) -> io::Result<T> {
        self.heard(&line.server, timeout(PATIENCE, script.invoke_async(&mut line.connection)).await).await
    }

    /// What Redis answered; without a sound answer the connection is given up.
    async fn heard<T>(
        &self,
        server: &Server,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> io::Result<T> {
        let why = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not answer within {} s", PATIENCE.as_secs()),
        };
        let mut link = self.link.lock().await;
        // Whoever asked the same process meanwhile may have found another already.
        if link.line.as_ref().is_some_and(|line| line.server == *server) {
            link.line = None;
        }
        link.failed = Some((Instant::now(), why.clone()));
        drop(link);
        tracing::warn!("Redis cannot be used: {why}");
        Err(io::Error::other(why))
    }

    /// The connection there is, or a new one.
    async fn line(&self) -> io::Result<Line> {
        let mut link = self.link.lock().await;
        if let Some(line) = &link.line {
            return Ok(line.clone());
        }
        if let Some((when, why)) = &link.failed
            && when.elapsed() < PAUSE
        {
            return Err(io::Error::other(why.clone()));
        }
        // Boxed: it is deep, and seldom.
        let why = match timeout(PATIENCE, Box::pin(self.connect())).await {
            Ok(Ok(line)) => {
                if link.failed.take().is_some() {
                    tracing::info!("Redis answers again");
                }
                *self.met.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.server.clone());
                link.line = Some(line.clone());
                return Ok(line);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} s", PATIENCE.as_secs()),
        };
        if link.failed.is_none() {
            tracing::warn!("Redis cannot be reached: {why}");
        }
        link.failed = Some((Instant::now(), why.clone()));
        Err(io::Error::other(why))
    }

    async fn connect(&self) -> Result<Line, RedisError> {
        // The time is kept by those who wait.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut both = redis::pipe();
        both.cmd("INFO").arg("server").cmd("TIME");
        let (info, (seconds, micros)): (InfoDict, (u64, u64)) = both.query_async(&mut connection).await?;
        let missing = || RedisError::from((redis::ErrorKind::Client, "INFO does not tell the server's run_id"));
        let run: String = info.get("run_id").ok_or_else(missing)?;
        let uptime: u64 = info.get("uptime_in_seconds").ok_or_else(missing)?;
        let now = seconds * 1000 + micros / 1000;
        let incarnation = letters(&Sha256::digest(run.as_bytes()), INCARNATION_LETTERS);
        // Both ends of the uptime are whole seconds.
        let born = now.saturating_sub(uptime.saturating_sub(1) * 1000);
        Ok(Line { connection, server: Server { incarnation, born } })
    }

    /// A new id, good under the server process that was last met.
    fn id(&self) -> io::Result<String> {
        let id = new_id()?;
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(server) = met.as_ref() else { return Ok(id) };
        let own = id.get(INCARNATION_LETTERS..).unwrap_or_default();
        Ok(format!("{}{own}", server.incarnation))
    }
}
