//! One-time ids, approvals and unanswered writes, kept in Redis for all replicas.

use std::{io, sync::LazyLock, time::Duration};

use futures_util::future::{BoxFuture, FutureExt as _};
use redis::Script;
use serde::de::DeserializeOwned;

use super::{Redis, Server};
use crate::approvals::{Approval, Begun, Decision, INCARNATION_LETTERS, RECENT, Shared, Trouble, new_id, now};

/// How long after its end a fact is still kept: clocks differ.
const SPARE_SECONDS: i64 = 60;

/// Files an approval once, and lists it.
static FILE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then
    redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
    redis.call('EXPIRE', KEYS[2], ARGV[5])
end",
    )
});

/// Keeps a decision, unless there is one or no approval; 1 is that it counts.
static DECIDE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local left = redis.call('PTTL', KEYS[1])
if left <= 0 or not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', left) then return 0 end
return 1",
    )
});

/// Looks for a write of another replica that is under way, or was and nobody heard of it; else begins this one.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if ARGV[1] ~= '' then
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
        if string.sub(all[i], 1, #ARGV[1]) ~= ARGV[1] then return tonumber(all[i + 1]) end
    end
end
if ARGV[2] ~= '' then
    redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 0",
    )
});

/// The longest that the list of approvals lives without a new one.
const LIST_SECONDS: i64 = 60 * 24 * 60 * 60;

fn seconds_left(until: i64) -> i64 {
    until.saturating_sub(now()).saturating_add(SPARE_SECONDS).max(1)
}

fn parsed<T: DeserializeOwned>(text: &str) -> io::Result<T> {
    serde_json::from_str(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// An approval, its decision, and the mark that it is used.
type Kept = (Option<String>, Option<String>, Option<String>);

fn approval((approval, decision, used): Kept) -> io::Result<Option<Approval>> {
    let Some(approval) = approval else { return Ok(None) };
    let approval: Approval = parsed(&approval)?;
    let decision = decision.as_deref().map(parsed).transpose()?;
    Ok(Some(Approval { decision, used: used.is_some(), ..approval }))
}

impl Server {
    /// Whether an id was made under this very process, so that it knows of every use.
    fn made(&self, id: &str) -> bool {
        id.get(..INCARNATION_LETTERS) == Some(&self.incarnation)
    }
}

impl Redis {
    fn approval_keys(&self, id: &str) -> [String; 3] {
        ["approval", "decision", "used"].map(|kind| self.key(kind, id))
    }

    async fn claim_now(&self, id: &str, until: i64) -> io::Result<bool> {
        let mut line = self.line().await?;
        if !line.server.made(id) {
            return Ok(false);
        }
        let mut set = redis::cmd("SET");
        set.arg(self.key("used", id)).arg(1).arg("NX").arg("EX").arg(seconds_left(until));
        // On this very connection: one to a later process would know of no use.
        let asked =
            tokio::time::timeout(super::PATIENCE, set.query_async::<Option<String>>(&mut line.connection)).await;
        self.heard(&line.server, asked).await.map(|done| done.is_some())
    }

    async fn find_now(&self, id: &str) -> io::Result<Option<Approval>> {
        let kept: Kept = self.ask(redis::cmd("MGET").arg(&self.approval_keys(id)[..])).await?;
        approval(kept)
    }

    async fn all_now(&self) -> io::Result<Vec<Approval>> {
        let list = self.key("approvals", "all");
        let ids: Vec<String> =
            self.ask(redis::cmd("ZREVRANGE").arg(&list).arg(0).arg(RECENT.saturating_sub(1))).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = ids.iter().flat_map(|id| self.approval_keys(id)).collect();
        let mut kept = self.ask::<Vec<Option<String>>>(redis::cmd("MGET").arg(&keys)).await?.into_iter();
        let (mut all, mut old) = (Vec::new(), Vec::new());
        for id in ids {
            let mut next = || kept.next().flatten();
            match approval((next(), next(), next())) {
                Ok(Some(approval)) if !approval.is_old(now()) => all.push(approval),
                Ok(Some(_) | None) => old.push(id),
                // One that is damaged hides no other.
                Err(error) => tracing::debug!(%error, id, "an approval cannot be read"),
            }
        }
        if !old.is_empty() {
            let _: i64 = self.ask(redis::cmd("ZREM").arg(&list).arg(&old)).await?;
        }
        Ok(all)
    }

    async fn begin_now(&self, twin: &str, (force, writes): (bool, bool), life: Duration) -> io::Result<Begun> {
        let mut line = self.line().await?;
        let token = if writes { format!("{} {}", self.replica, new_id()?) } else { String::new() };
        let mut call = BEGIN.prepare_invoke();
        call.key(self.key("twin", twin));
        call.arg(if force { "" } else { &self.replica }).arg(&token).arg(now());
        call.arg(u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
        let sent_at: i64 = self.run(&mut line, &call).await?;
        Ok(if sent_at > 0 { Begun::Held { sent_at } } else { Begun::Yes { token } })
    }
}

impl Shared for Redis {
    fn trouble(&self) -> Trouble {
        Trouble {
            what: "Redis cannot be reached, and without it nobody can promise that it is sent once only",
            hint: "try again in a moment; reads go on meanwhile, and /readyz tells the operator when Redis is back",
        }
    }

    fn new_id(&self) -> io::Result<String> {
        self.id()
    }

    fn ready(&self) -> BoxFuture<'_, io::Result<()>> {
        self.ping().boxed()
    }

    fn knows<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<bool>> {
        async move { self.line().await.map(|line| line.server.made(id)) }.boxed()
    }

    fn claim<'a>(&'a self, id: &'a str, until: i64) -> BoxFuture<'a, io::Result<bool>> {
        self.claim_now(id, until).boxed()
    }

    fn give_back<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<()>> {
        async move { self.ask::<i64>(redis::cmd("DEL").arg(self.key("used", id))).await.map(|_| ()) }.boxed()
    }

    fn is_claimed<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<bool>> {
        async move { self.ask(redis::cmd("EXISTS").arg(self.key("used", id))).await }.boxed()
    }

    fn file(&self, approval: Approval) -> BoxFuture<'_, io::Result<()>> {
        async move {
            let mut line = self.line().await?;
            let [key, ..] = self.approval_keys(&approval.id);
            let mut call = FILE.prepare_invoke();
            call.key(key).key(self.key("approvals", "all"));
            call.arg(serde_json::to_string(&approval)?).arg(seconds_left(approval.remembered_until()));
            call.arg(approval.filed).arg(&approval.id).arg(LIST_SECONDS);
            self.run(&mut line, &call).await
        }
        .boxed()
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, io::Result<Option<Approval>>> {
        self.find_now(id).boxed()
    }

    fn all(&self) -> BoxFuture<'_, io::Result<Vec<Approval>>> {
        self.all_now().boxed()
    }

    fn keep<'a>(&'a self, id: &'a str, decision: Decision) -> BoxFuture<'a, io::Result<bool>> {
        async move {
            let mut line = self.line().await?;
            let [approval, kept, _] = self.approval_keys(id);
            let mut call = DECIDE.prepare_invoke();
            call.key(approval).key(kept).arg(serde_json::to_string(&decision)?);
            self.run(&mut line, &call).await
        }
        .boxed()
    }

    fn begin<'a>(&'a self, twin: &'a str, force: bool, life: Duration) -> BoxFuture<'a, io::Result<Begun>> {
        self.begin_now(twin, (force, true), life).boxed()
    }

    fn twin<'a>(&'a self, twin: &'a str) -> BoxFuture<'a, io::Result<Begun>> {
        self.begin_now(twin, (false, false), Duration::ZERO).boxed()
    }

    fn ended<'a>(&'a self, twin: &'a str, token: &'a str) -> BoxFuture<'a, ()> {
        async move {
            // Where it fails, the same write is held for ten minutes: rather that than sent twice.
            let _: io::Result<i64> = self.ask(redis::cmd("HDEL").arg(self.key("twin", twin)).arg(token)).await;
        }
        .boxed()
    }
}
