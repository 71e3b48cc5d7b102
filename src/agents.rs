//! Who calls, and what goes for their calls: the policy in force, the acting user, the share of the budget.
//!
//! Without `[agents]` there is one set of rights for everybody, and the client's own name serves; nobody verifies it, so
//! nothing hangs on it.

use std::sync::Arc;

use crate::{policy, request::ActingUser};

/// One agent: who it is and what it may do. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its configured name; without `[agents]`, what the client calls itself.
    pub name: String,
    rights: Arc<Rights>,
}

/// What goes for every call of an agent.
#[derive(Debug, Default)]
pub struct Rights {
    /// The policy in force: the server's, narrowed by the agent's own.
    pub policy: policy::Settings,
    /// Whom its calls are made as. Never the caller's to choose.
    pub user: ActingUser,
    /// How much of the company's budget it may use, in percent; `None` is all of it.
    pub share: Option<u8>,
}

impl Agent {
    /// An agent of a name, with these rights.
    #[must_use]
    pub fn new(name: impl Into<String>, rights: Arc<Rights>) -> Self {
        Self { name: name.into(), rights }
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
