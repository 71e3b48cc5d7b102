//! The count that replicas keep together, as the limiter sees it, and what each may do while it is out of reach.
//!
//! A fifth of each limit that reads draw on is left out of the common count and divided among the replicas: so each has a
//! part that nobody else touches, and may go on reading at once when the count is gone, whatever the others do and see.
//! Writes get none of it, for without the common store none is sent.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{
    Limiter, Settings, Share,
    bucket::{Bucket, Scope},
};

/// How long beyond the vendor's window a place counts: the way to Ironclad, and a second between taking and sending.
pub const BEYOND: Duration = Duration::from_millis(2_500);

/// The part of a limit that is left out of the common count.
const SPARE_PART: usize = 5;

/// What replicas count together.
pub trait Common: Send + Sync {
    /// Takes a place in a bucket and in the company's limit, both or neither, in one step.
    fn take(&self, wanted: Wanted) -> BoxFuture<'_, Result<Taken, Gone>>;

    /// Gives a place back whose request surely never reached Ironclad; nobody waits for it.
    fn give_back(&self, token: Token);

    /// A request goes out much later than its place was taken.
    fn late(&self, token: &Token);

    /// Tells the others what Ironclad said.
    fn told(&self, scope: Scope, word: Word);
}

/// The count is out of reach, or knows nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// When it may be back, from now.
    pub back: Duration,
}

/// The place that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The bucket.
    pub bucket: Bucket,
    /// The bucket's limit and the company's, as they are known here.
    pub limits: [Limit; 2],
    /// How much of each limit is used, in millionths.
    pub share: u32,
}

/// A limit of the common count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests a window, those of the spare parts not among them.
    pub common: usize,
    /// Those of the spare parts.
    pub spare: usize,
}

/// What became of the wish for a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is taken.
    Place(Token),
    /// There is none before so long.
    Later {
        /// The limit that is short.
        scope: Scope,
        /// How long.
        wait: Duration,
    },
}

/// A place in the common count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The bucket.
    pub bucket: Bucket,
    /// What tells it from all others.
    pub id: String,
    /// When it was asked for.
    pub at: Instant,
}

/// What Ironclad said of a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Word {
    /// Nothing may go out for so long.
    pub closed: Option<Duration>,
    /// What is left, and until when.
    pub left: Option<(usize, Duration)>,
    /// Requests a window.
    pub limit: Option<usize>,
}

/// One of several replicas.
pub(super) struct Together {
    pub(super) count: Arc<dyn Common>,
    /// This replica's own part.
    pub(super) spare: Limiter,
    replicas: usize,
    settings: Settings,
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").field("replicas", &self.replicas).finish_non_exhaustive()
    }
}

impl Together {
    pub(super) fn new(settings: &Settings, count: Arc<dyn Common>, replicas: usize) -> Self {
        let scopes = Bucket::all().map(Scope::Bucket).into_iter().chain([Scope::Company]);
        let limits = scopes.map(|scope| (scope, own_part(settings, scope, replicas))).collect();
        let spare = Settings { limits, share: Share::WHOLE, ..settings.clone() };
        Self { count, spare: Limiter::new(&spare), replicas, settings: settings.clone() }
    }

    /// This replica's own part of a bucket.
    pub(super) fn own(&self, bucket: Bucket) -> usize {
        own_part(&self.settings, Scope::Bucket(bucket), self.replicas)
    }

    /// How much of each limit is used, in millionths.
    pub(super) fn share(&self) -> u32 {
        self.settings.share.millionths()
    }

    /// A limit without the parts of all replicas.
    pub(super) fn limit(&self, scope: Scope, known: usize) -> Limit {
        let spare = own_part(&self.settings, scope, self.replicas).saturating_mul(self.replicas);
        Limit { common: known.saturating_sub(spare).max(1), spare }
    }
}

/// What one replica may use by itself.
fn own_part(settings: &Settings, scope: Scope, replicas: usize) -> usize {
    if matches!(scope, Scope::Bucket(bucket) if !bucket.has_reads()) {
        return 0;
    }
    let whole = settings.limits.get(&scope).copied().unwrap_or(scope.documented());
    settings.share.of(whole) / SPARE_PART / replicas.max(1)
}
