//! The agents that there are, and who of them calls.
//!
//! Without `[agents]` everybody is the same to us. With it, whoever is not recognised is nobody, and nobody may do nothing.
//! The roster is replaced as a whole when the settings file changes, so a call sees either the old one or the new one.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

use crate::{
    agents::{Agent, Rights},
    policy::{Profile, Settings},
};

/// The SHA-256 hash of an agent's token; the token itself is kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl TokenHash {
    /// The hash of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u8> =
            text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + digit)).collect();
        (digits.len() == 64).then_some(())?;
        bytes.try_into().ok().map(Self)
    }

    /// As 64 hex digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One agent of the roster.
#[derive(Debug)]
struct Known {
    name: String,
    token: Option<TokenHash>,
    rights: Arc<Rights>,
}

/// The agents in force.
#[derive(Debug)]
pub struct Roster {
    /// What goes for everybody, where no agents are configured.
    anybody: Option<Arc<Rights>>,
    known: Vec<Known>,
}

impl Roster {
    /// Everybody is the same.
    #[must_use]
    pub fn anybody(rights: Rights) -> Self {
        Self { anybody: Some(Arc::new(rights)), known: Vec::new() }
    }

    /// These agents and nobody else.
    #[must_use]
    pub fn of(agents: BTreeMap<String, (Option<TokenHash>, Rights)>) -> Self {
        let known = agents.into_iter().map(|(name, (token, rights))| Known { name, token, rights: Arc::new(rights) });
        Self { anybody: None, known: known.collect() }
    }

    /// What goes for everybody, where no agents are configured.
    #[must_use]
    pub fn open(&self) -> Option<&Arc<Rights>> {
        self.anybody.as_ref()
    }

    /// The agent of a token. Every hash is looked at, whichever fits: the time taken tells nothing.
    #[must_use]
    pub fn by_token(&self, token: &str) -> Option<Agent> {
        let given = TokenHash::of(token);
        let mut found = u64::MAX;
        for (place, known) in (0u64..).zip(&self.known) {
            let fits = known.token.map_or(Choice::from(0), |hash| hash.0.ct_eq(&given.0));
            found.conditional_assign(&place, fits);
        }
        let known = self.known.get(usize::try_from(found).ok()?)?;
        Some(Agent::new(known.name.clone(), Arc::clone(&known.rights)))
    }

    /// The agent of a name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<Agent> {
        let known = self.known.iter().find(|known| known.name == name)?;
        Some(Agent::new(known.name.clone(), Arc::clone(&known.rights)))
    }

    /// The same caller with the rights of now; `None` where they have none any more.
    #[must_use]
    pub fn again(&self, agent: &Agent) -> Option<Agent> {
        let now = match self.open() {
            Some(rights) => Agent::new(agent.name.clone(), Arc::clone(rights)),
            None => self.by_name(&agent.name)?,
        };
        match agent.principal() {
            Some(principal) => now.on_behalf_of(Arc::clone(principal)),
            None => Some(now),
        }
    }

    /// The names of all agents.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|known| known.name.as_str())
    }

    /// Whether any agent has a token.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        self.known.iter().any(|known| known.token.is_some())
    }

    /// What goes for each agent, or for everybody.
    pub fn rights(&self) -> impl Iterator<Item = &Arc<Rights>> {
        self.anybody.iter().chain(self.known.iter().map(|known| &known.rights))
    }
}

/// Somebody whom the roster does not know any more: nothing is granted.
#[must_use]
pub fn nobody(name: &str) -> Agent {
    let profile = Profile { name: name.to_owned(), ..Profile::default() };
    let policy = Settings { agent: Some(Arc::new(profile)), ..Settings::default() };
    Agent::new(name, Arc::new(Rights { policy, ..Rights::default() }))
}

/// The roster as it is now; replaced as a whole.
#[derive(Debug)]
pub struct LiveRoster {
    roster: watch::Sender<Arc<Roster>>,
    follows: OnceLock<Duration>,
}

impl LiveRoster {
    /// A roster to begin with.
    #[must_use]
    pub fn new(roster: Roster) -> Arc<Self> {
        Arc::new(Self { roster: watch::Sender::new(Arc::new(roster)), follows: OnceLock::new() })
    }

    /// The roster now.
    #[must_use]
    pub fn now(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// A receiver that sees every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    /// Puts another roster in force.
    pub fn replace(&self, roster: Roster) {
        self.roster.send_replace(Arc::new(roster));
    }

    /// Notes that the roster follows something that may change, within this time.
    pub fn follow(&self, period: Duration) {
        // Noted once: the period is a constant of the program.
        let _ = self.follows.set(period);
    }

    /// How soon a change may go into force; `None` where only a restart changes anything.
    #[must_use]
    pub fn follows(&self) -> Option<Duration> {
        self.follows.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agents::Principal, policy::Access, request::ActingUser};

    fn rights(email: &str) -> Rights {
        Rights { user: ActingUser { email: Some(email.into()), id: None }, ..Rights::default() }
    }

    fn two() -> Roster {
        let agent = |name: &str, token: Option<&str>| {
            (name.to_owned(), (token.map(TokenHash::of), rights(&format!("{name}@example.com"))))
        };
        Roster::of(BTreeMap::from([agent("a", Some("secret a")), agent("b", Some("secret b")), agent("c", None)]))
    }

    #[test]
    fn a_token_is_its_agents_and_no_other_ones() {
        let roster = two();
        for name in ["a", "b"] {
            let agent = roster.by_token(&format!("secret {name}")).unwrap();
            assert_eq!(
                (agent.name.as_str(), agent.user().name()),
                (name, Some(format!("{name}@example.com").as_str()))
            );
        }
        for wrong in ["", "secret", "secret c", "secret a ", &TokenHash::of("secret a").to_hex()] {
            assert!(roster.by_token(wrong).is_none(), "{wrong}");
        }
        assert!(Roster::anybody(rights("x@example.com")).by_token("").is_none());
    }

    #[test]
    fn whoever_calls_through_an_agent_keeps_their_name_and_gets_its_rights_of_now() {
        let principal = Principal {
            issuer: "https://login.example".into(),
            subject: "maria".into(),
            email: Some("maria@example.com".into()),
            access: Access::Read,
            expires: 0,
        };
        let maria = two().by_name("a").unwrap().on_behalf_of(Arc::new(principal)).unwrap();
        let next =
            Rights { policy: Settings { enable_writes: true, ..Settings::default() }, ..rights("x@example.com") };
        let next = Roster::of(BTreeMap::from([("a".to_owned(), (None, next))]));
        let again = next.again(&maria).unwrap();
        assert_eq!(again.identity(), maria.identity());
        assert_eq!(again.user().name(), Some("maria@example.com"));
        assert!(again.policy().enable_writes && again.policy().token == Some(Access::Read));
        assert!(Roster::of(BTreeMap::new()).again(&maria).is_none());
        assert!(two().again(&two().by_name("b").unwrap()).unwrap().principal().is_none());
    }

    #[test]
    fn hashes_are_read_as_they_are_written() {
        let hash = TokenHash::of("secret");
        assert_eq!(TokenHash::from_hex(&hash.to_hex()), Some(hash));
        assert_eq!(TokenHash::from_hex(&hash.to_hex().to_uppercase()), Some(hash));
        for wrong in ["", "00", &hash.to_hex()[1..], &format!("{}0", hash.to_hex()), &"g".repeat(64), &"é".repeat(64)]
        {
            assert!(TokenHash::from_hex(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{hash:?}").contains(&hash.to_hex()[..8]));
    }
}
