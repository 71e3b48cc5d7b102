//! The rate budget of all replicas, counted in Redis.
//!
//! One script takes a place in the bucket and in the company's limit, by the clock of Redis. A place counts until its
//! request is out of the vendor's window for sure; a replica that dies leaves its places standing until then. A Redis that
//! was started anew knows nothing of what was sent before, so it gives nothing out until that is out of the window too;
//! meanwhile each replica has its own part ([`crate::ironclad::limiter::common`]).

use std::{
    io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use redis::Script;
use tokio::{runtime::Handle, time::Instant};

use super::{PAUSE, Redis};
use crate::ironclad::limiter::{
    Bucket, Scope,
    common::{BEYOND, Common, Gone, Taken, Token, Wanted, Word},
};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("budget/take.lua")));
static LATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("budget/late.lua")));
static TOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("budget/told.lua")));

/// The budget that replicas share.
pub struct SharedBudget {
    redis: Arc<Redis>,
    window: Duration,
    next: AtomicU64,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl SharedBudget {
    /// Counts over the vendor's window.
    #[must_use]
    pub fn new(redis: Arc<Redis>, window: Duration) -> Self {
        Self { redis, window, next: AtomicU64::new(0) }
    }

    fn hold(&self) -> u64 {
        millis(self.window + BEYOND)
    }

    /// Where the uses of a scope are, and what is known of it.
    fn keys(&self, scope: Scope) -> [String; 2] {
        let name = match scope {
            Scope::Bucket(bucket) => bucket.name(),
            Scope::Company => "company",
        };
        ["uses", "facts"].map(|kind| self.redis.key(kind, name))
    }

    async fn ask(&self, wanted: Wanted) -> io::Result<Result<Taken, Gone>> {
        let at = Instant::now();
        let mut line = self.redis.line().await?;
        let id = format!("{} {}", self.redis.replica, self.next.fetch_add(1, Ordering::Relaxed));
        let mut call = TAKE.prepare_invoke();
        for scope in [Scope::Bucket(wanted.bucket), Scope::Company] {
            for key in self.keys(scope) {
                call.key(key);
            }
        }
        let opens = line.server.born.saturating_add(self.hold());
        call.arg(&id).arg(self.hold()).arg(opens).arg(wanted.share);
        for limit in wanted.limits {
            call.arg(limit.common).arg(limit.spare);
        }
        let (short, wait): (u8, u64) = self.redis.run(&mut line, &call).await?;
        let wait = Duration::from_millis(wait.max(1));
        Ok(match short {
            0 => Ok(Taken::Place(Token { bucket: wanted.bucket, id, at })),
            1 => Ok(Taken::Later { scope: Scope::Bucket(wanted.bucket), wait }),
            2 => Ok(Taken::Later { scope: Scope::Company, wait }),
            _ => Err(Gone { back: wait }),
        })
    }

    /// Does what nobody waits for; where it fails, a place counts to its end.
    fn apart(&self, work: impl Future<Output = io::Result<()>> + Send + 'static) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(work);
        }
    }

    fn uses(&self, bucket: Bucket) -> [String; 2] {
        [Scope::Bucket(bucket), Scope::Company].map(|scope| {
            let [uses, _] = self.keys(scope);
            uses
        })
    }
}

impl Common for SharedBudget {
    fn take(&self, wanted: Wanted) -> BoxFuture<'_, Result<Taken, Gone>> {
        async move { self.ask(wanted).await.unwrap_or(Err(Gone { back: PAUSE })) }.boxed()
    }

    fn give_back(&self, token: Token) {
        let (redis, uses) = (Arc::clone(&self.redis), self.uses(token.bucket));
        self.apart(async move {
            for key in uses {
                redis.ask::<()>(redis::cmd("ZREM").arg(key).arg(&token.id)).await?;
            }
            Ok(())
        });
    }

    fn late(&self, token: &Token) {
        let (redis, uses, id, hold) = (Arc::clone(&self.redis), self.uses(token.bucket), token.id.clone(), self.hold());
        self.apart(async move {
            let mut line = redis.line().await?;
            let mut call = LATE.prepare_invoke();
            for key in uses {
                call.key(key);
            }
            call.arg(id).arg(hold);
            redis.run(&mut line, &call).await
        });
    }

    fn told(&self, scope: Scope, word: Word) {
        let (redis, [_, facts]) = (Arc::clone(&self.redis), self.keys(scope));
        self.apart(async move {
            let mut line = redis.line().await?;
            let mut call = TOLD.prepare_invoke();
            call.key(facts).arg(word.closed.map_or(0, millis));
            let (left, until) =
                word.left.map_or((-1, 0), |(left, until)| (i64::try_from(left).unwrap_or(i64::MAX), millis(until)));
            call.arg(left).arg(until).arg(word.limit.unwrap_or_default());
            redis.run(&mut line, &call).await
        });
    }
}
