//! Puts the parts of the program together as it is configured.
//!
//! Nothing here goes out or waits: the HTTP stack, the token and the audit log are opened by the first call that needs
//! them, so that a client sees the tools within milliseconds.

mod agents;
mod credentials;

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

pub use self::agents::{needed_scopes, roster, with_login};
use crate::{
    approvals,
    audit::AuditLog,
    catalog::Catalog,
    config::{CallerAuth, Config, ConfigError, LaunchTools, OauthClient, ResourceConfig, Secrets},
    cursor::CursorKey,
    dispatch::{Dispatch, Drain, Holds, Plans},
    download::DownloadFolder,
    forms::Forms,
    ironclad::{
        Client,
        auth::{Auth, Credentials},
        limiter,
        page::PageError,
    },
    issuer::{self, Fetch, Issuer},
    keys::{Key, Ring},
    launch_tools::{Choice, Launchers},
    masking::learned,
    record_types::RecordTypes,
    replicas::{Redis, SharedBudget},
    request::ActingUser,
    roster::LiveRoster,
    simulator::{self, Simulator, SimulatorError},
    traces::Traces,
    upload::UploadFolders,
};

pub use self::credentials::{endpoint, kept_login, known_grants, login_store, wanted};

/// How long a launch form is good for: a person who mends a template wants to see it, and a chat lasts minutes.
const FORM_LIFE: Duration = Duration::from_secs(60);

/// The parts that every face of the program needs.
pub struct Assembly {
    /// The path of a call.
    pub dispatch: Arc<Dispatch>,
    /// The tools.
    pub catalog: Arc<Catalog>,
    /// The typed launch tools.
    pub launchers: Launchers,
    /// The agents.
    pub roster: Arc<LiveRoster>,
}

/// The tools that there are, with the settings that name tools checked against them.
///
/// # Errors
/// Faulty manifests, unknown names, or nothing left to publish.
pub fn catalog(config: &Config) -> Result<Catalog, ConfigError> {
    let catalog = Catalog::load(config.tools.manifests.as_deref(), &config.tools.prefix)?;
    catalog.check(&config.policy)?;
    Ok(catalog)
}

/// Puts the parts together.
///
/// # Errors
/// What [`catalog`] finds, client credentials without an acting user, or no place for the audit log.
pub fn assemble(mut config: Config) -> Result<Assembly, ConfigError> {
    let catalog = catalog(&config)?;
    let (credentials, login) = credentials::credentials(&config, &catalog)?;
    let by_token = config.auth == CallerAuth::Oauth;
    if by_token && let Some(login) = &login {
        let user = login.user.email.as_deref().or(login.user.id.as_deref()).unwrap_or("whoever signed in");
        let fault = format!(
            "the kept login acts as {user}, whoever calls; set up client credentials, which act as each caller, and run \
             `ironclad-mcp logout`"
        );
        return Err(ConfigError::invalid("auth", fault));
    }
    if by_token && config.secrets.access_token.is_some() {
        tracing::warn!(
            "IRONCLAD_ACCESS_TOKEN keeps its own rights, whoever calls; with client credentials each has theirs"
        );
    }
    if let Some(login) = login {
        with_login(&login, &mut config);
    }
    let roster = roster(&config, &catalog)?;
    let named = if by_token { config.oauth.hosts() } else { Vec::new() };
    let shared = shared(&config)?;
    let Config { ironclad, secrets, state_keys, audit, approval_life, .. } = config;
    let audit = audit.ok_or(ConfigError::NoStateDirectory)?;
    let origin = ironclad.origin.to_string();
    let is_static = matches!(credentials, Some(Credentials::Token(_)));
    let client_id = secrets.client.as_ref().map(|client| client.id.expose_secret()).unwrap_or_default();
    let (state_keys, cursor_key) = keys(state_keys.as_ref(), (&origin, client_id), &secrets);
    let auth = Auth::new(credentials, &origin);
    let client = Client::new(ironclad, auth).with_traces(traces(config.traces)?);
    let client = self::client(client, shared.redis.as_ref(), config.replicas);
    let log = |target| AuditLog::new(target).rotated(config.audit_rotation).counted(client.metrics().audit_failures());
    let (destinations, audit) = (Arc::new(log(audit.of_destinations())), Arc::new(log(audit)));
    let client = client.with_egress_to(config.egress, &named, Some(destinations));
    let catalog = Arc::new(catalog);
    let dispatch = Dispatch {
        catalog: Arc::clone(&catalog),
        client,
        forms: Forms::new(FORM_LIFE.min(config.tools.template_refresh)).shared(shared.redis),
        records: RecordTypes::new(FORM_LIFE.min(config.tools.template_refresh)),
        holds: Holds::default(),
        audit,
        drain: Drain::default(),
        cursor_key,
        plans: Plans::new(&state_keys, shared.approvals, approval_life),
        state_keys,
        user_in_bodies: is_static,
        max_result_bytes: config.max_result_bytes,
        max_document_bytes: config.max_document_bytes,
        upload_folders: UploadFolders::new(config.upload_folders),
        download_folder: DownloadFolder::new(config.download_folder),
    };
    let choice = match config.tools.launch {
        LaunchTools::Auto => Choice::Auto,
        LaunchTools::Off => Choice::Off,
        LaunchTools::Only(named) => Choice::Only(named),
    };
    let launchers = Launchers::new(choice, config.tools.template_refresh, config.tools.prefix);
    let roster = LiveRoster::new(roster);
    Ok(Assembly { dispatch: Arc::new(dispatch), catalog, launchers, roster })
}

/// The issuer of callers' tokens; its documents are fetched through the one door.
#[must_use]
pub fn issuer(config: &ResourceConfig, dispatch: &Arc<Dispatch>, clock: issuer::Clock) -> Arc<Issuer> {
    struct Pages(Arc<Dispatch>);
    impl Fetch for Pages {
        fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Vec<u8>, PageError>> {
            Box::pin(self.0.client.page(url.clone()))
        }
    }
    let pages = Box::new(Pages(Arc::clone(dispatch)));
    Issuer::new(config.terms.clone(), config.keys_at.clone(), pages, clock)
}

/// Where calls are traced to, if the environment names a collector.
fn traces(wanted: bool) -> Result<Traces, ConfigError> {
    if !wanted {
        return Ok(Traces::default());
    }
    Traces::start().map_err(|fault| ConfigError::Invalid {
        setting: "OTEL_EXPORTER_OTLP_*".into(),
        fault: format!("traces cannot be sent: {fault}"),
    })
}

/// The client, which counts its requests together with other replicas where they have a Redis in common.
fn client(client: Client, redis: Option<&Arc<Redis>>, replicas: usize) -> Client {
    match redis {
        Some(redis) => client.together(Arc::new(SharedBudget::new(Arc::clone(redis), limiter::WINDOW)), replicas),
        None => client,
    }
}

/// What several servers of one account share.
pub struct SharedStore {
    /// The Redis, where there is one.
    pub redis: Option<Arc<Redis>>,
    /// What is used up, and what waits for a person: in Redis, else in the state directory.
    pub approvals: Arc<dyn approvals::Shared>,
}

/// Where the servers of the configured account share what they must agree on.
///
/// # Errors
/// The address of Redis cannot be used.
pub fn shared(config: &Config) -> Result<SharedStore, ConfigError> {
    let Some(address) = &config.redis else {
        return Ok(SharedStore { redis: None, approvals: approvals::below(config.state.clone()) });
    };
    let client_id = config.secrets.client.as_ref().map(|client| client.id.expose_secret()).unwrap_or_default();
    let redis = Redis::new(address, (config.ironclad.origin.as_str(), client_id));
    let redis = Arc::new(redis.map_err(|error| ConfigError::invalid("redis", error.to_string()))?);
    Ok(SharedStore { approvals: Arc::<Redis>::clone(&redis), redis: Some(redis) })
}

/// The keys of one account: those that seal plans and questions, and those that seal cursors.
///
/// What the operator gave is bound to the account, so that one key for two of them opens nothing of the other's.
fn keys(given: Option<&Ring>, account: (&str, &str), secrets: &Secrets) -> (Ring, CursorKey) {
    let (origin, client_id) = account;
    match given {
        Some(given) => {
            let keys = given.derived(&format!("ironclad-mcp state key 1 {} {origin} {client_id}", origin.len()));
            let cursors = CursorKey::derive(&keys);
            (keys, cursors)
        }
        None => (state_key(origin, secrets).into(), CursorKey::for_account(origin, client_id)),
    }
}

/// The key that seals a question while its answer is with the client.
///
/// It follows from the credentials, so that any instance can take the answer. A client that could work it out could
/// answer for the person, so nothing public will do.
fn state_key(origin: &str, secrets: &Secrets) -> Key {
    let token = secrets.access_token.as_ref();
    let secret = token.or(secrets.client.as_ref().map(|client| &client.secret)).map(ExposeSecret::expose_secret);
    let mut digest = Sha256::new();
    for part in ["ironclad-mcp request state 1", origin, secret.unwrap_or_default()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    if secret.is_none() {
        for word in 0..4u8 {
            digest.update(RandomState::new().hash_one(word).to_be_bytes());
        }
    }
    digest.finalize().into()
}

/// Starts a simulator inside the process, and points the configuration at it; an acting user of the
/// simulated company stays.
///
/// # Errors
/// No loopback port can be had.
pub async fn simulate(config: &mut Config) -> Result<Simulator, SimulatorError> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::start(listen, simulator::Settings::default()).await?;
    let credentials = simulator.credentials();
    if let Ok(origin) = simulator.base_url().parse() {
        config.ironclad.origin = origin;
    }
    with_users_of(&credentials.as_user_email, config);
    let (id, secret) =
        (SecretString::from(credentials.client_id), learned(SecretString::from(credentials.client_secret)));
    config.secrets = Secrets { access_token: None, client: Some(OauthClient { id, secret }) };
    config.scopes.clear();
    Ok(simulator)
}

/// Somebody of the real company is nobody at the simulated one, where `somebody` works.
pub(crate) fn with_users_of(somebody: &str, config: &mut Config) {
    let company = somebody.rsplit('@').next().unwrap_or_default();
    let works_here = |user: &ActingUser| user.email.as_deref().is_some_and(|email| email.ends_with(company));
    if !works_here(&config.acting_user) {
        config.acting_user = ActingUser { email: Some(somebody.to_owned()), id: None };
    }
    for agent in &mut config.agents {
        agent.user = agent.user.take().filter(works_here);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit,
        config::{Options, load_from},
    };

    fn config() -> Config {
        let options = Options { audit_log: Some("-".into()), ..Options::default() };
        load_from(options, &|_| None).unwrap()
    }

    fn with_client(mut config: Config) -> Config {
        let client = OauthClient { id: "id".into(), secret: "secret".into() };
        config.secrets = Secrets { access_token: None, client: Some(client) };
        config
    }

    #[test]
    fn client_credentials_want_an_acting_user() {
        let refused = assemble(with_client(config())).err().unwrap();
        assert!(refused.to_string().contains("--as-user-email"), "{refused}");
        let mut named = with_client(config());
        named.acting_user.email = Some("maria@example.com".into());
        let assembly = assemble(named).unwrap();
        assert_eq!(assembly.roster.now().open().unwrap().user.name(), Some("maria@example.com"));
        assert!(!assembly.dispatch.user_in_bodies);
    }

    #[test]
    fn a_static_token_names_the_acting_user_in_bodies() {
        let mut config = with_client(config());
        config.secrets.access_token = Some("token".into());
        config.acting_user.id = Some("abc".into());
        let assembly = assemble(config).unwrap();
        assert_eq!(assembly.roster.now().open().unwrap().user.name(), Some("abc"));
        assert!(assembly.dispatch.user_in_bodies);
    }

    #[test]
    fn no_credentials_are_no_reason_not_to_start() {
        assert!(assemble(config()).is_ok());
        let nowhere = Config { audit: None, ..config() };
        assert!(matches!(assemble(nowhere), Err(ConfigError::NoStateDirectory)));
        let stderr = assemble(Config { audit: Some(audit::Target::Stderr), ..config() });
        assert!(stderr.is_ok());
    }

    #[test]
    fn the_state_key_follows_from_the_secret_and_is_random_without_one() {
        let secrets = with_client(config()).secrets;
        assert_eq!(state_key("https://a.example", &secrets), state_key("https://a.example", &secrets));
        assert_ne!(state_key("https://a.example", &secrets), state_key("https://b.example", &secrets));
        let none = Secrets::default();
        assert_ne!(state_key("https://a.example", &none), state_key("https://a.example", &none));
    }

    #[test]
    fn given_keys_are_bound_to_the_account_and_need_no_secret() {
        let ring = Ring::read("q1Zt0s0m3Kx9vYy2n8fQhB4cR7uJ5wLdGiEoTpAbCdE=").unwrap();
        let of = |origin, client| keys(Some(&ring), (origin, client), &Secrets::default()).0;
        assert_eq!(of("https://a.example", "c"), of("https://a.example", "c"));
        assert_ne!(of("https://a.example", "c"), of("https://b.example", "c"));
        assert_ne!(of("https://a.example", "c"), of("https://a.example", "d"));
        let mut given = config();
        given.state_keys = Some(ring.clone());
        let sealed = assemble(given).unwrap().dispatch.state_keys.clone();
        assert_eq!(sealed, of(config().ironclad.origin.as_str(), ""));
    }

    #[test]
    fn a_setting_that_names_no_tool_is_refused() {
        let mut config = config();
        config.policy.tools = vec!["list_unicorns".into()];
        let refused = assemble(config).err().unwrap().to_string();
        assert!(refused.contains("--tools") && refused.contains("list_unicorns"), "{refused}");
    }
}
