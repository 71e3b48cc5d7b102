//! Who signs in, whether a token can be had, and what its scopes leave out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{CommandError, Report};
use crate::{
    catalog::{Catalog, Tool},
    config::Secrets,
    dispatch::Dispatch,
    ironclad::auth::{
        AuthError,
        login::{KeptIn, Record},
        store::LoginStore,
    },
    policy,
    roster::Roster,
};

/// Who signs in, in words; `None` where nobody can.
pub(super) fn credentials(secrets: &Secrets, kept: Option<&(LoginStore, Record)>) -> Option<String> {
    let how = match (&secrets.access_token, kept, &secrets.client) {
        (Some(_), _, None) => "a static token",
        (Some(_), _, Some(_)) => "a static token (the client beside it is not used)",
        (None, Some((store, record)), _) => return Some(login(store, record)),
        (None, None, Some(_)) => "client credentials",
        (None, None, None) => return None,
    };
    Some(how.to_owned())
}

fn login(store: &LoginStore, record: &Record) -> String {
    let who = record.head().user.label().unwrap_or("somebody whom Ironclad does not name");
    let sealed = match record.kept_in() {
        KeptIn::File => "",
        KeptIn::KeyStore => ", sealed with a key in the operating system's key store",
    };
    format!("the login of {who}, kept in {}{sealed}", store.path().display())
}

/// Whether there is a token to try.
pub(super) async fn token(dispatch: &Dispatch, is_static: bool, report: &mut Report) -> Result<bool, CommandError> {
    let origin = dispatch.client.origin();
    match dispatch.client.sign_in().await {
        // Nothing was sent for a static token; the reads will tell.
        Ok(_) if is_static => Ok(true),
        Ok(_) => {
            report.ok(&format!("host: {origin} answers"))?;
            report.ok("token: issued")?;
            Ok(true)
        }
        Err(AuthError::Unreachable(why)) => {
            report.fail(&format!(
                "host: {origin} cannot be reached ({why}); check --region (IRONCLAD_REGION), the network and the proxy"
            ))?;
            Ok(false)
        }
        Err(
            error @ (AuthError::Refused { .. }
            | AuthError::Barred(_)
            | AuthError::NoToken
            | AuthError::NoCredentials
            | AuthError::LoginEnded { .. }
            | AuthError::LoggedOut
            | AuthError::OtherUser { .. }
            | AuthError::Store(_)),
        ) => {
            report.fail(&format!("token: {error}; {}", error.cure()))?;
            Ok(false)
        }
    }
}

/// Tells which tools that anybody is granted the scopes leave out, and why.
pub(super) fn scopes(
    dispatch: &Dispatch,
    catalog: &Catalog,
    (roster, named): (&Roster, bool),
    report: &mut Report,
) -> Result<(), CommandError> {
    let grants = dispatch.client.grants().borrow().clone();
    let Some(granted) = &grants.granted else {
        return report.ok("scopes: not told for this kind of token; the reads below show");
    };
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let is_published =
        |tool: &&Arc<Tool>| roster.rights().any(|rights| policy::visible(&tool.entry, &rights.policy).is_ok());
    for tool in catalog.all().filter(is_published) {
        for scope in tool.entry.scopes().filter(|scope| !grants.allow(scope)) {
            missing.entry(scope).or_default().insert(&tool.name);
        }
    }
    for (scope, tools) in &missing {
        let tools = tools.iter().copied().collect::<Vec<_>>().join(", ");
        if grants.withhold(scope) {
            report.fail(&format!(
                "scopes: Ironclad does not grant {scope}, so {tools} cannot be used; an Ironclad administrator must add it to \
                 the client (after a login, log in again), or leave them out with --exclude-tools or --toolsets"
            ))?;
        } else if named {
            report
                .warn(&format!("scopes: --scopes (IRONCLAD_SCOPES) leaves out {scope}, so {tools} cannot be used"))?;
        } else {
            report.fail(&format!(
                "scopes: the login did not ask for {scope}, so {tools} cannot be used; run `ironclad-mcp login` again with these \
                 settings"
            ))?;
        }
    }
    if missing.is_empty() {
        report.ok(&format!("scopes: {} granted, all that the published tools need", granted.len()))?;
    }
    Ok(())
}
