//! Keeps to Ironclad's rate limits, so that a call waits here rather than being refused there.
//!
//! The vendor counts per company and per bucket, in windows whose edges it does not tell (ironclad-api.md §5). A request
//! goes out only while fewer than the limit went out in the last minute, which keeps to any such window. Callers queue in
//! the order in which they came. What other programs of the company use shows only in the vendor's answers, so a
//! `Retry-After`, or a bucket that is told to be empty, closes the bucket until then.

use std::{
    collections::VecDeque,
    sync::{Mutex as Plain, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until, timeout_at},
};

use crate::manifest::{Api, Method};

/// The length of the vendor's windows.
const WINDOW: Duration = Duration::from_secs(60);

/// What all buckets together allow in a minute.
const COMPANY: usize = 4_500;

/// One of the vendor's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Reads of workflows and of what lies below them.
    WorkflowsRead,
    /// Everything that changes workflows, but for signatures.
    WorkflowsWrite,
    /// Sending for signature.
    SignStatus,
    /// Reads of records.
    RecordsRead,
    /// Writes of records.
    RecordsWrite,
    /// Webhooks, whatever the method.
    Webhooks,
    /// Reads of users.
    ScimUsersRead,
    /// Writes of users.
    ScimUsersWrite,
    /// Everything else of the Public API.
    Other,
}

impl Bucket {
    const ALL: [Self; 9] = [
        Self::WorkflowsRead,
        Self::WorkflowsWrite,
        Self::SignStatus,
        Self::RecordsRead,
        Self::RecordsWrite,
        Self::Webhooks,
        Self::ScimUsersRead,
        Self::ScimUsersWrite,
        Self::Other,
    ];

    /// The bucket that a request draws on (ironclad-api.md §5).
    #[must_use]
    pub fn of(api: Api, method: Method, path: &str) -> Self {
        let read = method == Method::Get;
        let below = path.strip_prefix(api.root()).unwrap_or(path);
        let mut segments = below.split('/').skip(1);
        match (api, segments.next(), segments.nth(1)) {
            (Api::Scim, _, _) if read => Self::ScimUsersRead,
            (Api::Scim, _, _) => Self::ScimUsersWrite,
            (Api::Public, Some("workflows"), _) if read => Self::WorkflowsRead,
            (Api::Public, Some("workflows"), Some("sign-status")) => Self::SignStatus,
            (Api::Public, Some("workflows"), _) => Self::WorkflowsWrite,
            (Api::Public, Some("records"), _) if read => Self::RecordsRead,
            (Api::Public, Some("records"), _) => Self::RecordsWrite,
            (Api::Public, Some("webhooks"), _) => Self::Webhooks,
            (Api::Public, _, _) => Self::Other,
        }
    }

    /// The bucket's name in the manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkflowsRead => "workflows-read",
            Self::WorkflowsWrite => "workflows-write",
            Self::SignStatus => "sign-status",
            Self::RecordsRead => "records-read",
            Self::RecordsWrite => "records-write",
            Self::Webhooks => "webhooks",
            Self::ScimUsersRead => "scim-users-read",
            Self::ScimUsersWrite => "scim-users-write",
            Self::Other => "other",
        }
    }

    /// Requests a minute, of the whole company.
    #[must_use]
    pub fn limit(self) -> usize {
        match self {
            Self::WorkflowsRead => 400,
            Self::WorkflowsWrite => 40,
            Self::SignStatus | Self::ScimUsersWrite => 50,
            Self::RecordsRead | Self::Webhooks | Self::ScimUsersRead => 600,
            Self::RecordsWrite => 200,
            Self::Other => 800,
        }
    }
}

/// The budget of one account.
#[derive(Debug)]
pub struct Limiter {
    /// The longest that a request waits here.
    longest_wait: Duration,
    buckets: [Gate; Bucket::ALL.len()],
    company: Gate,
}

impl Limiter {
    /// A full budget.
    #[must_use]
    pub fn new(longest_wait: Duration) -> Self {
        Self { longest_wait, buckets: Bucket::ALL.map(|bucket| Gate::new(bucket.limit())), company: Gate::new(COMPANY) }
    }

    fn gate(&self, bucket: Bucket) -> Option<&Gate> {
        self.buckets.get(bucket as usize)
    }

    /// Waits for a place in the budget, and takes it.
    ///
    /// # Errors
    /// The wait would be longer than is allowed: how long it would be.
    pub async fn admit(&self, bucket: Bucket) -> Result<(), Duration> {
        let until = Instant::now() + self.longest_wait;
        if let Some(gate) = self.gate(bucket) {
            gate.pass(until).await?;
        }
        self.company.pass(until).await
    }

    /// Closes a bucket for as long as Ironclad says that it is empty.
    pub fn exhausted(&self, bucket: Bucket, pause: Duration) {
        if let Some(gate) = self.gate(bucket) {
            gate.close_until(Instant::now() + pause.min(WINDOW * 10));
        }
    }
}

/// Lets at most `limit` pass in any minute, in the order in which they came.
#[derive(Debug)]
struct Gate {
    limit: usize,
    /// Held by whoever waits at the head of the queue; tokio's mutex is fair.
    queue: Mutex<()>,
    state: Plain<State>,
}

#[derive(Debug, Default)]
struct State {
    passed: VecDeque<Instant>,
    closed_until: Option<Instant>,
}

impl Gate {
    fn new(limit: usize) -> Self {
        Self { limit, queue: Mutex::default(), state: Plain::default() }
    }

    async fn pass(&self, until: Instant) -> Result<(), Duration> {
        let head = timeout_at(until, self.queue.lock()).await;
        let Ok(_head) = head else { return Err(self.wait()) };
        loop {
            let Some(opens) = self.take() else { return Ok(()) };
            if opens > until {
                return Err(opens.saturating_duration_since(Instant::now()));
            }
            sleep_until(opens).await;
        }
    }

    /// Takes a place now, or says when there will be one.
    fn take(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.passed.front().is_some_and(|passed| now.duration_since(*passed) >= WINDOW) {
            state.passed.pop_front();
        }
        if let Some(opens) = state.opens(self.limit).filter(|opens| *opens > now) {
            return Some(opens);
        }
        state.passed.push_back(now);
        None
    }

    fn wait(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.opens(self.limit).unwrap_or_else(Instant::now).saturating_duration_since(Instant::now())
    }

    fn close_until(&self, until: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed_until = state.closed_until.max(Some(until));
    }
}

impl State {
    /// When the next place is free; `None` or a time in the past is now.
    fn opens(&self, limit: usize) -> Option<Instant> {
        let full = self.passed.len().checked_sub(limit).and_then(|oldest| self.passed.get(oldest));
        self.closed_until.max(full.map(|oldest| *oldest + WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn each_request_draws_on_the_bucket_that_the_vendor_counts_it_in() {
        let public = |path: &str| format!("/public/api/v1{path}");
        let table = [
            (Api::Public, Method::Get, public("/workflows"), Bucket::WorkflowsRead),
            (Api::Public, Method::Get, public("/workflows/a/sign-status"), Bucket::WorkflowsRead),
            (Api::Public, Method::Post, public("/workflows"), Bucket::WorkflowsWrite),
            (Api::Public, Method::Patch, public("/workflows/a/approvals/b"), Bucket::WorkflowsWrite),
            (Api::Public, Method::Post, public("/workflows/a/sign-status/send-signature-request"), Bucket::SignStatus),
            (Api::Public, Method::Get, public("/workflow-schemas"), Bucket::Other),
            (Api::Public, Method::Get, public("/records/metadata"), Bucket::RecordsRead),
            (Api::Public, Method::Post, public("/records/a/actions"), Bucket::RecordsWrite),
            (Api::Public, Method::Delete, public("/webhooks/a"), Bucket::Webhooks),
            (Api::Scim, Method::Get, "/scim/v2/Users".to_owned(), Bucket::ScimUsersRead),
        ];
        for (api, method, path, expected) in table {
            assert_eq!(Bucket::of(api, method, &path), expected, "{method:?} {path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_ever_sees_more_than_the_limit() {
        let limiter = Limiter::new(Duration::from_secs(3600));
        let began = Instant::now();
        let mut sent = Vec::new();
        for _ in 0..130 {
            limiter.admit(Bucket::WorkflowsWrite).await.unwrap();
            sent.push(began.elapsed());
        }
        for (first, last) in sent.iter().zip(sent.iter().skip(40)) {
            assert!(*last - *first >= WINDOW, "{first:?} {last:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(181), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_launches_of_twenty_callers_keep_the_pace_and_are_fair() {
        let limiter = Arc::new(Limiter::new(Duration::from_secs(3600)));
        for _ in 0..40 {
            // So that everybody has to queue.
            limiter.admit(Bucket::WorkflowsWrite).await.unwrap();
        }
        let began = Instant::now();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for caller in 0..20usize {
            let (limiter, tell) = (Arc::clone(&limiter), tell.clone());
            tokio::spawn(async move {
                for _ in 0..25 {
                    limiter.admit(Bucket::WorkflowsWrite).await.unwrap();
                    tell.send(caller).unwrap();
                }
            });
        }
        drop(tell);
        let mut counts = [0i32; 20];
        while let Some(caller) = told.recv().await {
            counts[caller] += 1;
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{counts:?}");
        }
        let pace = 500.0 / (began.elapsed().as_secs_f64() / 60.0);
        assert!(pace >= 0.95 * 40.0, "{pace} a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_too_long_is_refused_with_its_length() {
        let limiter = Limiter::new(Duration::from_secs(30));
        for _ in 0..40 {
            limiter.admit(Bucket::WorkflowsWrite).await.unwrap();
        }
        assert_eq!(limiter.admit(Bucket::WorkflowsWrite).await, Err(WINDOW));
        assert_eq!(limiter.admit(Bucket::WorkflowsRead).await, Ok(()));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(limiter.admit(Bucket::WorkflowsWrite).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_ironclad_calls_empty_stays_closed_until_then() {
        let limiter = Limiter::new(Duration::from_secs(30));
        limiter.exhausted(Bucket::RecordsRead, Duration::from_secs(10));
        let began = Instant::now();
        limiter.admit(Bucket::RecordsRead).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 10);
        limiter.exhausted(Bucket::RecordsRead, Duration::from_secs(40));
        assert!(limiter.admit(Bucket::RecordsRead).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_leaves_its_place() {
        let limiter = Arc::new(Limiter::new(Duration::from_secs(3600)));
        for _ in 0..40 {
            limiter.admit(Bucket::WorkflowsWrite).await.unwrap();
        }
        let waiting = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { limiter.admit(Bucket::WorkflowsWrite).await }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        let began = Instant::now();
        limiter.admit(Bucket::WorkflowsWrite).await.unwrap();
        assert_eq!(began.elapsed(), WINDOW);
    }
}
