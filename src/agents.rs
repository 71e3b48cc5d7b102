//! Who calls, and what goes for their calls: the policy in force, the acting user, the share of the budget.
//!
//! Without `[agents]` there is one set of rights for everybody, and the client's own name serves; nobody verifies it, so
//! nothing hangs on it.

use std::sync::Arc;

use crate::{
    policy::{self, Access},
    request::ActingUser,
};

/// One agent: who it is and what it may do. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its configured name; without `[agents]`, what the client calls itself.
    pub name: String,
    rights: Arc<Rights>,
    /// Who stands behind the call, and the agent and they in one text.
    behalf: Option<(Arc<Principal>, Arc<str>)>,
}

/// Somebody who was verified by an authorization server, and acts through an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The authorization server; a URL.
    pub issuer: String,
    /// Its own name for them.
    pub subject: String,
    /// Their verified e-mail address.
    pub email: Option<String>,
    /// How far their token reaches.
    pub access: Access,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
}

/// What goes for every call of an agent.
#[derive(Debug, Default)]
pub struct Rights {
    /// The policy in force: the server's, narrowed by the agent's own.
    pub policy: policy::Settings,
    /// Whom its calls are made as. Never the caller's to choose.
    pub user: ActingUser,
    /// Whether that is nobody, and each caller's token must say who they are.
    pub user_is_brought: bool,
    /// How much of the company's budget it may use, in percent; `None` is all of it.
    pub share: Option<u8>,
}

impl Agent {
    /// An agent of a name, with these rights.
    #[must_use]
    pub fn new(name: impl Into<String>, rights: Arc<Rights>) -> Self {
        Self { name: name.into(), rights, behalf: None }
    }

    /// The same agent in somebody's hands: it acts as them where their address is verified, and no further than their
    /// token reaches. `None` where there is nobody to act as.
    #[must_use]
    pub fn on_behalf_of(self, principal: Arc<Principal>) -> Option<Self> {
        let Rights { policy, user, user_is_brought, share } = &*self.rights;
        let user = match &principal.email {
            Some(email) => ActingUser { email: Some(email.clone()), id: None },
            None if *user_is_brought || user.name().is_none() => return None,
            None => user.clone(),
        };
        let policy = policy::Settings { token: Some(principal.access), ..policy.clone() };
        let rights = Rights { policy, user, user_is_brought: false, share: *share };
        // A name has no blanks, and neither has a URL.
        let identity = format!("{} {} {}", self.name, principal.issuer, principal.subject);
        Some(Self { rights: Arc::new(rights), behalf: Some((principal, identity.into())), ..self })
    }

    /// Who stands behind the call, where that is verified.
    #[must_use]
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.behalf.as_ref().map(|(principal, _)| principal)
    }

    /// What tells this caller from every other: what belongs to a caller hangs on it, and not on the name.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.behalf.as_ref().map_or(&self.name, |(_, identity)| identity)
    }

    /// The policy in force for its calls.
    #[must_use]
    pub fn policy(&self) -> &policy::Settings {
        &self.rights.policy
    }

    /// Whom its calls are made as.
    #[must_use]
    pub fn user(&self) -> &ActingUser {
        &self.rights.user
    }

    /// How much of the company's budget it may use, in percent.
    #[must_use]
    pub fn share(&self) -> Option<u8> {
        self.rights.share
    }
}
