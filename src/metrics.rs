//! What the server counts, as Prometheus reads it at `/metrics`.
//!
//! Sums over everybody: no id, no name and no word of a caller is ever a label, so a label has only as many values as the
//! program has tools, buckets, codes and statuses. Each server has a registry of its own. What can be looked up, such as
//! how a bucket stands, is looked up when somebody asks, and costs a call nothing.

use std::{sync::Arc, time::Instant};

use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The upper bounds of the latency histograms, in seconds: from an answer without Ironclad to one that waited a minute.
const BOUNDS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What became of a call or a request that its caller gave up.
const CANCELLED: &str = "cancelled";

/// What a server counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<Called, Counter>,
    call_duration: Latency<OfTool>,
    requests: Family<Answered, Counter>,
    request_duration: Latency<OfBucket>,
    token_refreshes: Family<Ended, Counter>,
    audit_failures: Counter,
    budget_limit: Family<OfBucket, Gauge>,
    budget_remaining: Family<OfBucket, Gauge>,
    queue_length: Family<OfBucket, Gauge>,
    sessions: Gauge,
}

type Latency<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Called {
    tool: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTool {
    tool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    bucket: &'static str,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBucket {
    bucket: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

/// How one rate limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The bucket's name.
    pub bucket: &'static str,
    /// Requests a minute.
    pub limit: usize,
    /// How many of them are left.
    pub remaining: usize,
    /// How many requests wait for it.
    pub queued: usize,
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let latency = || Histogram::new(BOUNDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("ironclad_mcp"),
            calls: Family::default(),
            call_duration: Family::new_with_constructor(latency),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(latency),
            token_refreshes: Family::default(),
            audit_failures: Counter::default(),
            budget_limit: Family::default(),
            budget_remaining: Family::default(),
            queue_length: Family::default(),
            sessions: Gauge::default(),
        };
        metrics.register();
        Arc::new(metrics)
    }

    /// Names everything; counters get `_total`, and what has a unit gets it, when they are written out.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("calls", "Calls of tools, by how they ended", self.calls.clone());
        let text = "How long calls of tools took, waiting included";
        registry.register_with_unit("call_duration", text, Unit::Seconds, self.call_duration.clone());
        let text = "Requests to Ironclad, by what came back: an HTTP status, unreachable, lost, barred or cancelled";
        registry.register("upstream_requests", text, self.requests.clone());
        let text = "How long requests to Ironclad took, without waiting for the rate limit";
        registry.register_with_unit("upstream_duration", text, Unit::Seconds, self.request_duration.clone());
        registry.register("budget_limit", "Requests a minute that the rate limit allows", self.budget_limit.clone());
        let text = "Requests that the rate limit leaves now";
        registry.register("budget_remaining", text, self.budget_remaining.clone());
        registry.register("queue_length", "Requests that wait for the rate limit", self.queue_length.clone());
        registry.register("token_refreshes", "Tokens asked for, by what came of it", self.token_refreshes.clone());
        registry.register("sessions", "Sessions of clients up to 2025-11-25", self.sessions.clone());
        registry.register("audit_failures", "Audit lines that could not be written", self.audit_failures.clone());
    }

    /// Begins to time a call; it is counted when what comes back is dropped.
    pub fn call<'a>(&'a self, tool: &'a str) -> CallTimer<'a> {
        CallTimer { metrics: self, tool, code: CANCELLED, began: Instant::now() }
    }

    /// Begins to time a request to Ironclad; it is counted when what comes back is dropped.
    pub fn request(&self, bucket: &'static str) -> RequestTimer<'_> {
        RequestTimer { metrics: self, bucket, status: CANCELLED.into(), began: Instant::now() }
    }

    /// Counts a token that was asked for: `granted`, `refused` or `failed`.
    pub fn token_asked(&self, outcome: &'static str) {
        self.token_refreshes.get_or_create(&Ended { outcome }).inc();
    }

    /// The count of audit lines that could not be written.
    #[must_use]
    pub fn audit_failures(&self) -> Counter {
        self.audit_failures.clone()
    }

    /// Everything, in Prometheus' text format 0.0.4, with the levels and the number of sessions as they are now.
    #[must_use]
    pub fn text(&self, levels: &[Level], sessions: usize) -> String {
        let figure = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for level in levels {
            let of = OfBucket { bucket: level.bucket };
            self.budget_limit.get_or_create(&of).set(figure(level.limit));
            self.budget_remaining.get_or_create(&of).set(figure(level.remaining));
            self.queue_length.get_or_create(&of).set(figure(level.queued));
        }
        self.sessions.set(figure(sessions));
        let mut text = String::new();
        // A String takes everything, so there is nothing to fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

/// One call under way. Dropped before its end was told, it was cancelled.
#[derive(Debug)]
#[must_use]
pub struct CallTimer<'a> {
    metrics: &'a Metrics,
    tool: &'a str,
    code: &'static str,
    began: Instant,
}

impl CallTimer<'_> {
    /// The call ended with this code.
    pub fn ended(mut self, code: &'static str) {
        self.code = code;
    }
}

impl Drop for CallTimer<'_> {
    fn drop(&mut self) {
        let tool = self.tool.to_owned();
        self.metrics.calls.get_or_create(&Called { tool: tool.clone(), code: self.code }).inc();
        let took = self.began.elapsed().as_secs_f64();
        self.metrics.call_duration.get_or_create(&OfTool { tool }).observe(took);
    }
}

/// One request under way. Dropped before it was answered, it was cancelled.
#[derive(Debug)]
#[must_use]
pub struct RequestTimer<'a> {
    metrics: &'a Metrics,
    bucket: &'static str,
    status: String,
    began: Instant,
}

impl RequestTimer<'_> {
    /// The request was answered with this HTTP status.
    pub fn answered(&mut self, status: u16) {
        self.status = status.to_string();
    }

    /// The request brought no answer, for this reason.
    pub fn failed(&mut self, why: &'static str) {
        self.status = why.to_owned();
    }
}

impl Drop for RequestTimer<'_> {
    fn drop(&mut self) {
        let bucket = self.bucket;
        let answered = Answered { bucket, status: std::mem::take(&mut self.status) };
        self.metrics.requests.get_or_create(&answered).inc();
        let took = self.began.elapsed().as_secs_f64();
        self.metrics.request_duration.get_or_create(&OfBucket { bucket }).observe(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_once_by_its_end_and_as_cancelled_when_it_is_dropped() {
        let metrics = Metrics::new();
        metrics.call("list_users").ended("ok");
        drop(metrics.call("list_users"));
        let text = metrics.text(&[], 0);
        for line in [
            "# TYPE ironclad_mcp_calls_total counter",
            "ironclad_mcp_calls_total{tool=\"list_users\",code=\"ok\"} 1",
            "ironclad_mcp_calls_total{tool=\"list_users\",code=\"cancelled\"} 1",
            "# TYPE ironclad_mcp_call_duration_seconds histogram",
            "ironclad_mcp_call_duration_seconds_count{tool=\"list_users\"} 2",
            "ironclad_mcp_call_duration_seconds_bucket{tool=\"list_users\",le=\"+Inf\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn requests_levels_and_failures_are_told_by_their_labels() {
        let metrics = Metrics::new();
        metrics.request("users").answered(503);
        metrics.request("users").failed("lost");
        metrics.token_asked("granted");
        metrics.audit_failures().inc();
        let text = metrics.text(&[Level { bucket: "users", limit: 40, remaining: 3, queued: 2 }], 7);
        for line in [
            "ironclad_mcp_upstream_requests_total{bucket=\"users\",status=\"503\"} 1",
            "ironclad_mcp_upstream_requests_total{bucket=\"users\",status=\"lost\"} 1",
            "ironclad_mcp_upstream_duration_seconds_count{bucket=\"users\"} 2",
            "ironclad_mcp_budget_limit{bucket=\"users\"} 40",
            "ironclad_mcp_budget_remaining{bucket=\"users\"} 3",
            "ironclad_mcp_queue_length{bucket=\"users\"} 2",
            "ironclad_mcp_token_refreshes_total{outcome=\"granted\"} 1",
            "ironclad_mcp_sessions 7",
            "ironclad_mcp_audit_failures_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn two_servers_in_one_process_count_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.call("list_users").ended("ok");
        assert!(one.text(&[], 0).contains("list_users") && !other.text(&[], 0).contains("list_users"));
    }
}
