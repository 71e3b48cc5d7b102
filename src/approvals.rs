//! What several servers must agree on about yes and no: which one-time ids are used up, which calls wait for a person,
//! and what the person said.
//!
//! [`Shared`] is the seam: a folder serves the processes of one machine, and another store can serve many machines.
//! Each of its promises is one step that either wins or loses, so that no two servers can both send, and no two people
//! can both decide.

mod approvers;
mod folder;
mod memory;

use std::{io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

pub use self::{
    approvers::{Approver, Approvers, is_name as is_approver_name},
    folder::{Folder, make as make_folder},
    memory::Memory,
};

/// How many decided and expired approvals are looked back on.
pub(crate) const RECENT: usize = 200;

/// How long they are, in seconds.
const RECENT_SECONDS: i64 = 7 * 24 * 60 * 60;

/// A call that waits for a person's decision, or waited for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id, which is also the plan's.
    pub id: String,
    /// The published name of the tool.
    pub tool: String,
    /// The tool's title.
    pub title: String,
    /// The agent that wants to call it.
    pub agent: String,
    /// The Ironclad user on whose behalf.
    #[serde(default)]
    pub as_user: Option<String>,
    /// The Ironclad host.
    pub host: String,
    /// What would happen.
    pub sentence: String,
    /// What a person decides by: label and text, each on one line.
    pub facts: Vec<(String, String)>,
    /// What would change, `{path, before, after}` each.
    #[serde(default)]
    pub diff: Vec<Value>,
    /// What cannot be taken back.
    #[serde(default)]
    pub lasting: Option<String>,
    /// The request that would be sent; absent where it is too large to show.
    #[serde(default)]
    pub request: Option<Value>,
    /// The digest of the request.
    pub digest: String,
    /// What the object was like.
    #[serde(default)]
    pub version: Option<String>,
    /// When it was asked for, in seconds since 1970.
    pub filed: i64,
    /// The last second in which it can be decided and used, since 1970.
    pub expires: i64,
    /// What was decided.
    #[serde(default)]
    pub decision: Option<Decision>,
    /// Whether the call was made.
    #[serde(default)]
    pub used: bool,
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether they said yes.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Why, in their words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// How an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody decided yet.
    Pending,
    /// Somebody said yes, and the call may be made.
    Approved,
    /// Somebody said yes, and the call was made.
    Used,
    /// Somebody said no.
    Declined,
    /// It is too late, for a decision or for the call.
    Expired,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Used => "used",
            Self::Declined => "declined",
            Self::Expired => "expired",
        }
    }
}

impl Approval {
    /// How it stands at a time, in seconds since 1970.
    #[must_use]
    pub fn standing(&self, now: i64) -> Standing {
        match &self.decision {
            Some(decision) if !decision.approved => Standing::Declined,
            Some(_) if self.used => Standing::Used,
            Some(_) | None if now > self.expires => Standing::Expired,
            Some(_) => Standing::Approved,
            None => Standing::Pending,
        }
    }

    /// Until when its use is remembered, so that who looks back still sees it.
    #[must_use]
    pub fn remembered_until(&self) -> i64 {
        self.expires.saturating_add(RECENT_SECONDS)
    }

    pub(crate) fn is_old(&self, now: i64) -> bool {
        now > self.remembered_until()
    }
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// It counts.
    Now(Approval),
    /// Somebody else decided before, or it is too late; the approval says which.
    Before(Approval),
    /// There is no such approval.
    Unknown,
}

/// Why nothing can be promised while what is shared is out of reach, in the words of callers.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// What is wrong.
    pub what: &'static str,
    /// What can be done.
    pub hint: &'static str,
}

/// Whether a write may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It may; the token ends it.
    Yes {
        /// What tells it from others like it.
        token: String,
    },
    /// The same write is under way elsewhere, or was, and nobody heard what became of it.
    Held {
        /// When, in seconds since 1970.
        sent_at: i64,
    },
}

/// What servers share.
pub trait Shared: Send + Sync {
    /// What callers are told where any of this fails.
    fn trouble(&self) -> Trouble {
        Trouble {
            what: "the state directory cannot be read or written",
            hint: "the operator must make the folder ironclad-mcp in the state directory writable",
        }
    }

    /// An id that nobody can have used before, short enough to be read out.
    ///
    /// # Errors
    /// The system gives no random bytes.
    fn new_id(&self) -> io::Result<String> {
        new_id()
    }

    /// Whether it is within reach; why not, as an error.
    fn ready(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether a use of this id would be known; a store that was started anew has forgotten those before.
    fn knows<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, io::Result<bool>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    /// Begins a write that is told from others by `twin`, for at most `life`, unless another server has begun the same
    /// and not ended it; `force` begins it anyway.
    fn begin<'a>(&'a self, _twin: &'a str, _force: bool, _life: Duration) -> BoxFuture<'a, io::Result<Begun>> {
        Box::pin(std::future::ready(Ok(Begun::Yes { token: String::new() })))
    }

    /// How it would begin, without beginning it.
    fn twin<'a>(&'a self, _twin: &'a str) -> BoxFuture<'a, io::Result<Begun>> {
        Box::pin(std::future::ready(Ok(Begun::Yes { token: String::new() })))
    }

    /// Ends a write whose outcome is known.
    fn ended<'a>(&'a self, _twin: &'a str, _token: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Uses a one-time id up until `until`; whether it was unused. Exactly one of all who try is told yes.
    fn claim<'a>(&'a self, id: &'a str, until: i64) -> BoxFuture<'a, io::Result<bool>>;

    /// Gives a one-time id back that was used up for something that did not happen.
    fn give_back<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<()>>;

    /// Whether a one-time id is used up.
    fn is_claimed<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<bool>>;

    /// Keeps an approval that nobody has decided.
    fn file(&self, approval: Approval) -> BoxFuture<'_, io::Result<()>>;

    /// The approval of an id.
    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<Option<Approval>>>;

    /// Every approval that is not long past, the newest first.
    fn all(&self) -> BoxFuture<'_, io::Result<Vec<Approval>>>;

    /// Keeps a decision, unless there is one. Exactly one of all who try is told that theirs counts.
    fn keep<'a>(&'a self, id: &'a str, decision: Decision) -> BoxFuture<'a, io::Result<bool>>;
}

/// Decides an approval, if it still can be.
///
/// # Errors
/// What is shared cannot be read or written.
pub async fn decide(shared: &dyn Shared, id: &str, decision: Decision) -> io::Result<Decided> {
    let Some(approval) = shared.find(id).await? else { return Ok(Decided::Unknown) };
    if approval.standing(decision.at) != Standing::Pending {
        return Ok(Decided::Before(approval));
    }
    let counts = shared.keep(id, decision).await?;
    let Some(approval) = shared.find(id).await? else { return Ok(Decided::Unknown) };
    Ok(if counts { Decided::Now(approval) } else { Decided::Before(approval) })
}

/// What servers of this machine share below a folder; without one, nothing is shared and all ends with the process.
#[must_use]
pub fn below(state: Option<std::path::PathBuf>) -> Arc<dyn Shared> {
    match state {
        Some(folder) => Arc::new(Folder::new(&folder)),
        None => Arc::new(Memory::default()),
    }
}

/// The present second, since 1970.
#[must_use]
pub fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// The letters of an id: none that reads like another.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

/// The letters of an id, five bits each.
const ID_LETTERS: usize = 12;

/// An id that nobody can have used before, short enough to be read out.
///
/// # Errors
/// The system gives no random bytes.
pub fn new_id() -> io::Result<String> {
    let mut bytes = [0u8; ID_LETTERS];
    getrandom::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(letters(&bytes, ID_LETTERS))
}

/// How many letters of an id stand for the store that it was made under, where that can forget.
pub(crate) const INCARNATION_LETTERS: usize = 4;

/// The first letters that bytes stand for, five bits each.
pub(crate) fn letters(bytes: &[u8], count: usize) -> String {
    let letters = bytes.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31)));
    letters.take(count).map(|letter| char::from(*letter)).collect()
}

/// Whether a text can be an id; it becomes a file's name.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LETTERS && text.bytes().all(|byte| LETTERS.contains(&byte))
}

#[cfg(test)]
mod tests;
