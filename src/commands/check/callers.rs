//! Whether the tokens of callers can be taken (`--auth oauth`).

use std::sync::Arc;

use super::Report;
use crate::{
    approvals, assembly,
    commands::CommandError,
    config::{CallerAuth, Config, ResourceConfig},
    dispatch::Dispatch,
};

/// What tokens are taken by, or what is missing; `None` without `--auth oauth`.
pub(super) fn settings(config: &Config) -> Option<Result<ResourceConfig, String>> {
    (config.auth == CallerAuth::Oauth).then(|| config.oauth.complete(&config.agents))
}

/// Fetches the issuer's keys.
pub(super) async fn keys(
    settings: Option<Result<ResourceConfig, String>>,
    dispatch: &Arc<Dispatch>,
    report: &mut Report,
) -> Result<(), CommandError> {
    let config = match settings {
        None => return Ok(()),
        Some(Err(missing)) => return report.fail(&format!("callers: {missing}")),
        Some(Ok(config)) => config,
    };
    let issuer = &config.terms.issuer;
    if assembly::issuer(&config, dispatch, Arc::new(approvals::now)).prepare().await {
        let audience = &config.terms.audience;
        return report.ok(&format!("callers: the keys of {issuer} are there; its tokens for {audience} are taken"));
    }
    report.fail(&format!(
        "callers: the keys of {issuer} cannot be had, and the warning says why; until they can, every caller is told to come \
         again"
    ))
}
