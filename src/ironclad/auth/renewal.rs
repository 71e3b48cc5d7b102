//! Renews a kept login: the one place where a refresh token is spent.
//!
//! Between Ironclad's answer and the file on disk lies a moment in which a killed process would lose the sign-in for
//! good. MCP clients kill their servers without a word, so a renewal is done by a short-lived process of its own, which
//! lives on when the server is killed. Where none can be started it is done here.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    AuthError,
    endpoint::Endpoint,
    login::Fingerprint,
    seal::{self, SealKey},
    store::{LoginStore, StoreError},
};
use crate::{egress, ironclad::door::Door, masking::learned};

/// How long somebody else's renewal is waited for: longer than one takes that runs into every time-out.
const LOCK_PATIENCE: Duration = Duration::from_secs(100);

/// Who renews.
#[derive(Debug, Clone)]
pub enum Renewer {
    /// This process.
    Here,
    /// A process of this program, by its path.
    Program(PathBuf),
}

/// The name of the command that such a process runs.
pub const COMMAND: &str = "renew-login";

/// What the process is told on its stdin; it holds secrets, so it goes nowhere else.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// The Ironclad host.
    pub origin: String,
    client_id: String,
    client_secret: String,
    folder: PathBuf,
    name: String,
    key: Option<String>,
    stale: Fingerprint,
    /// The longest that the request may take.
    pub timeout: Duration,
    /// The longest that connecting may take.
    pub connect_timeout: Duration,
    /// `--egress-mode`
    pub egress_mode: String,
    /// `--egress-allow`
    pub egress_allow: Vec<String>,
}

/// What the process answers on its stdout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The next pair is on disk.
    Renewed,
    /// Ironclad says no.
    Refused {
        /// OAuth's error code.
        code: String,
        /// Its explanation.
        description: Option<String>,
    },
    /// Ironclad cannot be reached.
    Unreachable(String),
    /// Ironclad answered something else.
    NoToken,
    /// The login is not there any more.
    LoggedOut,
    /// It has no refresh token.
    Ended,
    /// The login cannot be read or kept.
    Store(String),
}

/// One renewal.
#[derive(Clone)]
pub(super) struct Renewal {
    pub(super) endpoint: Endpoint,
    pub(super) store: LoginStore,
    pub(super) key: Option<SealKey>,
    /// The token that no longer serves.
    pub(super) stale: Fingerprint,
    /// The longest that the request and connecting may take.
    pub(super) timeouts: (Duration, Duration),
}

impl Renewal {
    /// Sees to it that the token on disk is another than the stale one. Goes on to its end if it is dropped.
    pub(super) async fn run(self, http: &Door, renewer: &Renewer) -> Result<(), AuthError> {
        if let Renewer::Program(program) = renewer {
            match self.elsewhere(program, http.settings()).await {
                Some(report) => return report.into_result(),
                None => tracing::debug!("no process could be started for the renewal; it is done here"),
            }
        }
        let http = http.clone();
        let done = tokio::spawn(async move { self.here(&http).await }).await;
        done.unwrap_or(Err(AuthError::NoToken))
    }

    /// Has a process do it; `None` where there is none, or it came to a bad end.
    async fn elsewhere(&self, program: &Path, egress: &egress::Settings) -> Option<Report> {
        let (folder, name) = self.store.place();
        let order = Order {
            origin: self.endpoint.origin.clone(),
            client_id: self.endpoint.id.clone(),
            client_secret: self.endpoint.secret.expose_secret().to_owned(),
            folder: folder.to_owned(),
            name: name.to_owned(),
            key: self.key.as_ref().map(|key| key.text().expose_secret().to_owned()),
            stale: self.stale,
            timeout: self.timeouts.0,
            connect_timeout: self.timeouts.1,
            egress_mode: egress.mode.to_string(),
            egress_allow: egress.allow.iter().map(ToString::to_string).collect(),
        };
        let order = secrecy::zeroize::Zeroizing::new(serde_json::to_vec(&order).ok()?);
        let mut command = Command::new(program);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Whoever kills the group of the server shall not kill this one with it.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().ok()?;
        // Dropped at once: its end tells the process that the order is whole.
        child.stdin.take()?.write_all(&order).await.ok()?;
        let output = child.wait_with_output().await.ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    async fn here(&self, http: &Door) -> Result<(), AuthError> {
        let lock = self.store.lock(LOCK_PATIENCE).await?;
        let Some(record) = self.store.read()? else { return Err(AuthError::LoggedOut) };
        let login = record.open(self.key.as_ref()).map_err(|_| StoreError::NoKey(self.store.path()))?;
        if login.fingerprint() != self.stale {
            // Another process was quicker.
            return Ok(());
        }
        let Some(refresh) = &login.refresh else { return Err(AuthError::LoginEnded { description: None }) };
        let room = self.store.room(&lock)?;
        let issued = self.endpoint.by_refresh(http, refresh).await?;
        Ok(room.fill(&login.renewed(issued), self.key.as_ref())?)
    }
}

impl Order {
    /// Does what is ordered.
    pub async fn carry_out(self, http: &Door) -> Report {
        let renewal = Renewal {
            endpoint: Endpoint {
                origin: self.origin,
                id: self.client_id,
                secret: learned(SecretString::from(self.client_secret)),
            },
            store: LoginStore::at(self.folder, self.name, seal::system()),
            key: self.key.map(|text| SealKey::from_text(text.into())),
            stale: self.stale,
            timeouts: (self.timeout, self.connect_timeout),
        };
        Report::of(renewal.here(http).await)
    }
}

impl Report {
    fn of(done: Result<(), AuthError>) -> Self {
        match done {
            Ok(()) => Self::Renewed,
            Err(AuthError::Refused { code, description }) => Self::Refused { code, description },
            Err(AuthError::Unreachable(why)) => Self::Unreachable(why.0),
            Err(AuthError::Barred(barred)) => Self::Unreachable(barred.to_string()),
            Err(AuthError::LoggedOut) => Self::LoggedOut,
            Err(AuthError::LoginEnded { .. }) => Self::Ended,
            Err(AuthError::Store(error)) => Self::Store(error.to_string()),
            Err(AuthError::NoToken | AuthError::NoCredentials | AuthError::OtherUser { .. }) => Self::NoToken,
        }
    }

    fn into_result(self) -> Result<(), AuthError> {
        match self {
            Self::Renewed => Ok(()),
            Self::Refused { code, description } => Err(AuthError::Refused { code, description }),
            Self::Unreachable(why) => Err(AuthError::Unreachable(super::Unreached(why))),
            Self::NoToken => Err(AuthError::NoToken),
            Self::LoggedOut => Err(AuthError::LoggedOut),
            Self::Ended => Err(AuthError::LoginEnded { description: None }),
            Self::Store(why) => Err(AuthError::Store(StoreError::Told(why))),
        }
    }
}
