//! Approvals of one process: where there is no folder to keep them in.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt as _, ready};

use super::{Approval, Decision, RECENT, Shared, now};

/// What one process remembers; ends with it.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    claims: HashMap<String, i64>,
    approvals: HashMap<String, Approval>,
}

impl Memory {
    fn open(&self) -> MutexGuard<'_, Remembered> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        remembered.claims.retain(|_, until| *until >= now);
        remembered.approvals.retain(|_, approval| !approval.is_old(now));
        remembered
    }
}

impl Remembered {
    fn find(&self, id: &str) -> Option<Approval> {
        let approval = self.approvals.get(id)?.clone();
        Some(Approval { used: self.claims.contains_key(id), ..approval })
    }
}

impl Shared for Memory {
    fn claim<'a>(&'a self, id: &'a str, until: i64) -> BoxFuture<'a, io::Result<bool>> {
        let mut remembered = self.open();
        let unused = !remembered.claims.contains_key(id);
        if unused {
            remembered.claims.insert(id.to_owned(), until);
        }
        ready(Ok(unused)).boxed()
    }

    fn give_back<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<()>> {
        self.open().claims.remove(id);
        ready(Ok(())).boxed()
    }

    fn is_claimed<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<bool>> {
        ready(Ok(self.open().claims.contains_key(id))).boxed()
    }

    fn file(&self, approval: Approval) -> BoxFuture<'_, io::Result<()>> {
        self.open().approvals.entry(approval.id.clone()).or_insert(approval);
        ready(Ok(())).boxed()
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<Option<Approval>>> {
        ready(Ok(self.open().find(id))).boxed()
    }

    fn all(&self) -> BoxFuture<'_, io::Result<Vec<Approval>>> {
        let remembered = self.open();
        let mut all: Vec<Approval> = remembered.approvals.keys().filter_map(|id| remembered.find(id)).collect();
        all.sort_by_key(|approval| std::cmp::Reverse(approval.filed));
        all.truncate(RECENT);
        ready(Ok(all)).boxed()
    }

    fn keep<'a>(&'a self, id: &'a str, decision: Decision) -> BoxFuture<'a, io::Result<bool>> {
        let mut remembered = self.open();
        let Some(approval) = remembered.approvals.get_mut(id) else { return ready(Ok(false)).boxed() };
        let first = approval.decision.is_none();
        approval.decision.get_or_insert(decision);
        ready(Ok(first)).boxed()
    }
}
