//! Who signs in: the static token where there is one, else a kept login for this host and client, else the client.

use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::needed_scopes;
use crate::{
    catalog::Catalog,
    config::{Config, ConfigError, OauthClient},
    ironclad::auth::{
        Credentials, Grants, Kept, Wanted,
        endpoint::Endpoint,
        login::{Head, Record},
        renewal::Renewer,
        seal,
        store::LoginStore,
    },
};

/// The scopes to ask for: those that the operator named, or what the published tools need.
#[must_use]
pub fn wanted(config: &Config, catalog: &Catalog) -> Wanted {
    if config.scopes.is_empty() {
        Wanted::Needed(needed_scopes(config, catalog))
    } else {
        Wanted::Named(config.scopes.clone())
    }
}

/// The OAuth client at the configured host, if one is set.
#[must_use]
pub fn endpoint(config: &Config) -> Option<Endpoint> {
    let OauthClient { id, secret } = config.secrets.client.clone()?;
    Some(Endpoint { origin: config.ironclad.origin.to_string(), id: id.expose_secret().to_owned(), secret })
}

/// Where the login of the configured host and client is kept, if it can be.
#[must_use]
pub fn login_store(config: &Config) -> Option<LoginStore> {
    let Endpoint { origin, id, .. } = endpoint(config)?;
    Some(LoginStore::new(config.state.as_ref()?, (&origin, &id), seal::system()))
}

/// The kept login that will sign in, without its tokens; none where a static token wins, or nobody signed in.
///
/// # Errors
/// There is one, and it cannot be read.
pub fn kept_login(config: &Config) -> Result<Option<(LoginStore, Record)>, ConfigError> {
    if config.secrets.access_token.is_some() {
        return Ok(None);
    }
    let Some(store) = login_store(config) else { return Ok(None) };
    let record = store.read().map_err(|error| ConfigError::KeptLogin(error.to_string()))?;
    Ok(record.map(|record| (store, record)))
}

/// What is known of the grants before anything is asked of Ironclad.
///
/// # Errors
/// There is a kept login, and it cannot be read.
pub fn known_grants(config: &Config) -> Result<Grants, ConfigError> {
    if let Some((_, record)) = kept_login(config)? {
        return Ok(record.head().grants());
    }
    let named = config.secrets.access_token.is_none() && config.secrets.client.is_some() && !config.scopes.is_empty();
    Ok(if named { Grants::of(&config.scopes, None) } else { Grants::default() })
}

/// Who signs in, and for a kept login whose it is.
pub(super) fn credentials(
    config: &Config,
    catalog: &Catalog,
) -> Result<(Option<Credentials>, Option<Head>), ConfigError> {
    if let Some(token) = &config.secrets.access_token {
        return Ok((Some(Credentials::Token(token.clone())), None));
    }
    let Some(endpoint) = endpoint(config) else { return Ok((None, None)) };
    let Some((store, record)) = kept_login(config)? else {
        let Endpoint { id, secret, .. } = endpoint;
        return Ok((Some(Credentials::Client { id, secret, scopes: wanted(config, catalog) }), None));
    };
    let head = record.head().clone();
    let timeouts = (config.ironclad.timeout, config.ironclad.connect_timeout);
    let kept = Kept::new(store, &head, endpoint, renewer(config.program.clone()), timeouts);
    Ok((Some(Credentials::Login(Box::new(kept), head.grants())), Some(head)))
}

/// A process of this very program, which on Linux can be started even after the file was replaced.
fn renewer(program: Option<PathBuf>) -> Renewer {
    let Some(program) = program else { return Renewer::Here };
    if cfg!(target_os = "linux") { Renewer::Program("/proc/self/exe".into()) } else { Renewer::Program(program) }
}
