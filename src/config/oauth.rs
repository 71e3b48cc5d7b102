//! The settings of `--auth oauth`: whose tokens are taken, and what they mean here.

use url::Url;

use super::{
    ConfigError, Options,
    agents::{AgentConfig, agent_name},
    values,
};
use crate::{
    caller_token::{ALGORITHMS, Algorithm, Terms},
    egress,
    issuer::{KeysAt, is_safe},
};

/// The settings as they are given; [`Oauth::complete`] says whether they are enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Oauth {
    /// `--oauth-issuer`, to the letter and as a URL.
    issuer: Option<(String, Url)>,
    /// `--oauth-resource`, likewise.
    resource: Option<(String, Url)>,
    /// `--oauth-jwks-url`
    jwks_url: Option<Url>,
    /// `--oauth-algorithms`; empty is all that there are.
    algorithms: Vec<Algorithm>,
    /// `--oauth-agent`
    agent: Option<String>,
    /// `--oauth-agent-claim`
    agent_claim: Option<String>,
    /// `--oauth-email-claim`
    email_claim: Option<String>,
}

/// Settings that are enough to take tokens by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceConfig {
    /// Which tokens are taken.
    pub terms: Terms,
    /// Where the issuer's keys are.
    pub keys_at: KeysAt,
    /// The public URL of `/mcp`.
    pub resource: Url,
    /// The agent of a caller whose token names none.
    pub agent: Option<String>,
}

impl Oauth {
    /// Whether anything is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }

    /// The hosts that are connected to, each with the rule that lets it through.
    #[must_use]
    pub fn hosts(&self) -> Vec<(String, &'static str)> {
        let host = |url: &Url| url.host_str().map(str::to_owned);
        let issuer = self.issuer.as_ref().and_then(|(_, url)| Some((host(url)?, egress::ISSUER)));
        let keys = self.jwks_url.as_ref().and_then(|url| Some((host(url)?, egress::ISSUER_KEYS)));
        issuer.into_iter().chain(keys).collect()
    }

    /// The settings, if tokens can be taken by them.
    ///
    /// # Errors
    /// What is missing, in the operator's words.
    pub fn complete(&self, agents: &[AgentConfig]) -> Result<ResourceConfig, String> {
        let missing = |setting: &str, what: &str| format!("--auth oauth: {setting} is missing; {what}");
        let (issuer, issuer_url) = self.issuer.clone().ok_or_else(|| {
            missing(
                "--oauth-issuer (IRONCLAD_OAUTH_ISSUER)",
                "give the URL of the authorization server that callers sign in at",
            )
        })?;
        let (audience, resource) = self.resource.clone().ok_or_else(|| {
            missing(
                "--oauth-resource (IRONCLAD_OAUTH_RESOURCE)",
                "give the public URL of /mcp, for which tokens are made",
            )
        })?;
        if agents.is_empty() {
            return Err("--auth oauth: no agents are configured, so no caller would be granted anything; add a table \
                        [agents.NAME] to the settings file that says what they may do"
                .into());
        }
        let is_known = |name: &String| agents.iter().any(|agent| agent.profile.name == *name);
        match (&self.agent, &self.agent_claim) {
            (None, None) => {
                return Err(missing(
                    "--oauth-agent (IRONCLAD_OAUTH_AGENT)",
                    "name the agent that callers are, or with --oauth-agent-claim the claim of their tokens that names it",
                ));
            }
            (Some(name), _) if !is_known(name) => {
                let names: Vec<&str> = agents.iter().map(|agent| agent.profile.name.as_str()).collect();
                return Err(format!("--oauth-agent {name}: there is no such agent; there are: {}", names.join(", ")));
            }
            _ => {}
        }
        let algorithms = if self.algorithms.is_empty() { ALGORITHMS.to_vec() } else { self.algorithms.clone() };
        let (email_claim, agent_claim) = (self.email_claim.clone(), self.agent_claim.clone());
        Ok(ResourceConfig {
            terms: Terms { issuer, audience, algorithms, email_claim, agent_claim },
            keys_at: self.jwks_url.clone().map_or(KeysAt::Metadata(issuer_url), KeysAt::Url),
            resource,
            agent: self.agent.clone(),
        })
    }
}

/// Checks what is given.
pub(super) fn oauth(options: &Options) -> Result<Oauth, ConfigError> {
    let text = |given: &Option<String>| given.as_deref().map(str::trim).map(str::to_owned);
    let url = |key: &str, given: &Option<String>| {
        let checked = text(given).map(|text| safe(&text).map(|url| (text, url)));
        checked.transpose().map_err(|fault| ConfigError::invalid(key, fault))
    };
    let algorithms = values::trimmed(options.oauth_algorithms.clone());
    let algorithms = algorithms.iter().map(|name| algorithm(name));
    let agent = text(&options.oauth_agent).map(|name| agent_name(&name).map(str::to_owned)).transpose();
    Ok(Oauth {
        issuer: url("oauth_issuer", &options.oauth_issuer)?,
        resource: url("oauth_resource", &options.oauth_resource)?,
        jwks_url: url("oauth_jwks_url", &options.oauth_jwks_url)?.map(|(_, url)| url),
        algorithms: algorithms
            .collect::<Result<_, _>>()
            .map_err(|fault| ConfigError::invalid("oauth_algorithms", fault))?,
        agent: agent.map_err(|fault| ConfigError::invalid("oauth_agent", fault))?,
        agent_claim: text(&options.oauth_agent_claim),
        email_claim: text(&options.oauth_email_claim),
    })
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    let known = name.parse().ok().filter(|algorithm| ALGORITHMS.contains(algorithm));
    known.ok_or_else(|| {
        let names: Vec<String> = ALGORITHMS.iter().map(|algorithm| format!("{algorithm:?}")).collect();
        format!("{name:?} is not taken; give some of {}", names.join(", "))
    })
}

/// Checks a URL that is believed or told: no one on the way may change what is there.
fn safe(text: &str) -> Result<Url, String> {
    let refused = || format!("{text:?} will not do; give an https URL (or http on this machine), without ? and #");
    let url = Url::parse(text).map_err(|_| refused())?;
    let plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let graphic = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    if is_safe(&url) && plain && graphic { Ok(url) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Profile;

    fn given(change: impl FnOnce(&mut Options)) -> Options {
        let mut options = Options {
            oauth_issuer: Some("https://login.example/".into()),
            oauth_resource: Some(" https://mcp.example/mcp ".into()),
            oauth_agent: Some("bot".into()),
            ..Options::default()
        };
        change(&mut options);
        options
    }

    fn agents() -> Vec<AgentConfig> {
        let profile = Profile { name: "bot".into(), ..Profile::default() };
        vec![AgentConfig { profile, user: None, share: None, token: None }]
    }

    #[test]
    fn what_is_given_is_kept_to_the_letter() {
        let complete = oauth(&given(|_| {})).unwrap().complete(&agents()).unwrap();
        assert_eq!(
            (complete.terms.issuer.as_str(), complete.terms.audience.as_str()),
            ("https://login.example/", "https://mcp.example/mcp")
        );
        assert_eq!(complete.terms.algorithms, ALGORITHMS);
        assert_eq!(complete.keys_at, KeysAt::Metadata("https://login.example/".parse().unwrap()));
        let more = given(|options| {
            options.oauth_jwks_url = Some("https://keys.example/jwks".into());
            options.oauth_algorithms = Some(vec!["ES256".into(), " EdDSA".into()]);
        });
        let more = oauth(&more).unwrap();
        assert_eq!(
            more.hosts(),
            [("login.example".to_owned(), egress::ISSUER), ("keys.example".to_owned(), egress::ISSUER_KEYS)]
        );
        let complete = more.complete(&agents()).unwrap();
        assert_eq!(complete.keys_at, KeysAt::Url("https://keys.example/jwks".parse().unwrap()));
        assert_eq!(complete.terms.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
        assert!(!oauth(&Options::default()).unwrap().is_set());
    }

    #[test]
    fn what_is_missing_is_named() {
        type Change = fn(&mut Options);
        let table: [(Change, &str); 4] = [
            (|options| options.oauth_issuer = None, "--oauth-issuer"),
            (|options| options.oauth_resource = None, "--oauth-resource"),
            (|options| options.oauth_agent = None, "--oauth-agent"),
            (|options| options.oauth_agent = Some("ghost".into()), "there are: bot"),
        ];
        for (change, named) in table {
            let fault = oauth(&given(change)).unwrap().complete(&agents()).unwrap_err();
            assert!(fault.contains(named), "{fault}");
        }
        let nobody = oauth(&given(|_| {})).unwrap().complete(&[]).unwrap_err();
        assert!(nobody.contains("[agents.NAME]"), "{nobody}");
        let claimed = given(|options| (options.oauth_agent, options.oauth_agent_claim) = (None, Some("role".into())));
        assert!(oauth(&claimed).unwrap().complete(&agents()).is_ok());
    }

    #[test]
    fn what_cannot_be_believed_is_refused() {
        for wrong in [
            "http://login.example",
            "login.example",
            "https://",
            "https://a.example/?x",
            "https://a.example/#x",
            "ftp://a.example",
            "https://me:pw@a.example",
            "https://a.example/\"x",
        ] {
            let fault = oauth(&given(|options| options.oauth_issuer = Some(wrong.into()))).unwrap_err().to_string();
            assert!(fault.contains("--oauth-issuer") && fault.contains("https"), "{wrong}: {fault}");
        }
        for loopback in ["http://127.0.0.1:9", "http://localhost:9/x", "http://[::1]:9"] {
            assert!(oauth(&given(|options| options.oauth_issuer = Some(loopback.into()))).is_ok(), "{loopback}");
        }
        for wrong in ["HS256", "none", "RS1", ""] {
            let given = given(|options| options.oauth_algorithms = Some(vec!["RS256".into(), wrong.into()]));
            assert_eq!(oauth(&given).is_err(), !wrong.is_empty(), "{wrong}");
        }
    }
}
