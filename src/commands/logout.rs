//! `ironclad-mcp logout`: forgets the kept login of the configured host and client.

use std::{process::ExitCode, time::Duration};

use super::{CommandError, Ended, console::say, login};
use crate::{assembly, config::Config};

/// Forgets it, whether there is one or not.
pub(super) async fn run(config: Config) -> Ended {
    let endpoint = login::endpoint(&config, "logout")?;
    let store = assembly::login_store(&config).ok_or_else(login::no_place)?;
    let failed = |error: crate::ironclad::auth::store::StoreError| CommandError::Failed(error.to_string());
    if store.stamp().is_none() {
        say(&format!("nobody is signed in at {} with this client", endpoint.origin))?;
        return Ok(ExitCode::SUCCESS);
    }
    let user = store.read().ok().flatten().and_then(|record| record.head().user.label().map(str::to_owned));
    let lock = store.lock(Duration::from_secs(10)).await.map_err(failed)?;
    let forgotten = tokio::task::spawn_blocking(move || store.forget(&lock)).await;
    forgotten.map_err(|error| CommandError::Failed(error.to_string()))?.map_err(failed)?;
    say(&format!(
        "the login of {} at {} is forgotten\n\
         Ironclad has no way to take back what it issued: the bearer token serves until it ends, after 6 hours at most.",
        user.as_deref().unwrap_or("somebody unknown"),
        endpoint.origin
    ))?;
    Ok(ExitCode::SUCCESS)
}
