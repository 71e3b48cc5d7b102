//! Rate-limit buckets: fixed 60-second windows per bucket and one for the whole company.
//!
//! The vendor does not say which window algorithm it uses; a fixed window is the simplest that shows a client every
//! header it must honour (ironclad-api.md §5). `Reset` and `Retry-After` are seconds from now.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::errors::ApiError;

const COMPANY: &str = "company";
const COMPANY_LIMIT: u32 = 4_500;

/// The counters of every bucket. The time is an argument, so that hours can be tried in no time.
#[derive(Debug)]
pub struct Limits {
    enabled: bool,
    window: Duration,
    overrides: HashMap<String, u32>,
    windows: HashMap<&'static str, Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    opened: Instant,
    used: u32,
}

/// The headers that describe the bucket a request fell into.
pub type LimitHeaders = Vec<(&'static str, String)>;

impl Limits {
    /// Buckets of the documented sizes, counting or not.
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, window: Duration::from_secs(60), overrides: HashMap::new(), windows: HashMap::new() }
    }

    /// Turns counting on or off and forgets what was counted.
    pub(crate) fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
        self.windows.clear();
    }

    /// Gives one bucket another size, in requests per window.
    pub(crate) fn set_limit(&mut self, bucket: &str, limit: u32) {
        self.overrides.insert(bucket.to_owned(), limit);
    }

    /// Sets the length of the window.
    pub(crate) fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Whether requests are counted.
    pub(crate) const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Buckets of the documented sizes that count.
    #[must_use]
    pub fn documented() -> Self {
        Self::new(true)
    }

    /// Counts one request against its bucket and the company's.
    ///
    /// # Errors
    /// 429 `TOO_MANY_REQUESTS` together with the headers to send.
    pub(crate) fn admit(&mut self, method: &str, path: &str) -> Result<LimitHeaders, (ApiError, LimitHeaders)> {
        let refused = |headers| (ApiError::new(429, "TOO_MANY_REQUESTS", "too many requests"), headers);
        self.count_at(Instant::now(), method, path).map_err(refused)
    }

    /// The same at any time: the headers to send, with a 429 where it is an error.
    ///
    /// # Errors
    /// A limit is used up.
    pub fn count_at(&mut self, now: Instant, method: &str, path: &str) -> Result<LimitHeaders, LimitHeaders> {
        if !self.enabled {
            return Ok(Vec::new());
        }
        let (bucket, standard) = bucket_of(method, path);
        let limit = self.overrides.get(bucket).copied().unwrap_or(standard);
        let company_limit = self.overrides.get(COMPANY).copied().unwrap_or(COMPANY_LIMIT);
        let company = self.peek(COMPANY, now);
        if company.used >= company_limit {
            return Err(self.refuse((company, now), company_limit));
        }
        let own = self.peek(bucket, now);
        if own.used >= limit {
            return Err(self.refuse((own, now), limit));
        }
        self.count(COMPANY);
        self.count(bucket);
        let remaining = limit.saturating_sub(own.used.saturating_add(1));
        Ok(self.headers((own, now), limit, remaining))
    }

    fn peek(&mut self, bucket: &'static str, now: Instant) -> Window {
        let window = self.windows.entry(bucket).or_insert(Window { opened: now, used: 0 });
        if now.duration_since(window.opened) >= self.window {
            *window = Window { opened: now, used: 0 };
        }
        *window
    }

    fn count(&mut self, bucket: &'static str) {
        if let Some(window) = self.windows.get_mut(bucket) {
            window.used = window.used.saturating_add(1);
        }
    }

    fn seconds_left(&self, (window, now): (Window, Instant)) -> u64 {
        let left = self.window.saturating_sub(now.duration_since(window.opened));
        left.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
    }

    fn headers(&self, window: (Window, Instant), limit: u32, remaining: u32) -> LimitHeaders {
        vec![
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", self.seconds_left(window).to_string()),
        ]
    }

    fn refuse(&self, window: (Window, Instant), limit: u32) -> LimitHeaders {
        let mut headers = self.headers(window, limit, 0);
        headers.push(("retry-after", self.seconds_left(window).to_string()));
        headers
    }
}

/// The bucket of a request and its documented size in requests per minute (ironclad-api.md §5).
pub(crate) fn bucket_of(method: &str, path: &str) -> (&'static str, u32) {
    let read = matches!(method, "GET" | "HEAD");
    if let Some(rest) = path.strip_prefix("/scim/v2/") {
        return match (rest.starts_with("Groups"), read) {
            (true, true) => ("scim:groups:read", 200),
            (true, false) => ("scim:groups:write", 50),
            (false, true) => ("scim:users:read", 600),
            (false, false) => ("scim:users:write", 50),
        };
    }
    let rest = path.strip_prefix("/public/api/v1/").unwrap_or_default();
    let mut segments = rest.split('/');
    let first = segments.next().unwrap_or_default();
    let third = segments.nth(1).unwrap_or_default();
    match (first, read) {
        ("workflows", true) => ("pub:workflows:read", 400),
        ("workflows", false) => match (third, method) {
            ("sign-status", "POST" | "PATCH") => ("pub:workflows:sign-status", 50),
            ("signatures", "POST" | "PATCH") => ("pub:workflows:signatures", 50),
            _ => ("pub:workflows:write", 40),
        },
        ("records", true) if rest.starts_with("records/export") => ("pub:records:export", 10),
        ("records", true) => ("pub:records:read", 600),
        ("records", false) => ("pub:records:write", 200),
        ("entities", true) => ("pub:entities:read", 600),
        ("entities", false) => ("pub:entities:write", 200),
        ("webhooks", _) => ("pub:webhooks", 600),
        _ => ("pub:other", 800),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKFLOWS: &str = "/public/api/v1/workflows";

    #[test]
    fn schemas_are_not_counted_as_workflows() {
        assert_eq!(bucket_of("GET", "/public/api/v1/workflow-schemas").0, "pub:other");
        assert_eq!(bucket_of("GET", "/public/api/v1/workflows/x/sign-status").0, "pub:workflows:read");
        let send = "/public/api/v1/workflows/x/sign-status/send-signature-request";
        assert_eq!(bucket_of("POST", send), ("pub:workflows:sign-status", 50));
    }

    #[test]
    fn the_forty_first_write_in_a_minute_is_refused_with_retry_after() {
        let mut limits = Limits::new(true);
        for _ in 0..40 {
            limits.admit("POST", WORKFLOWS).expect("within the limit");
        }
        let (error, headers) = limits.admit("POST", WORKFLOWS).expect_err("over the limit");
        assert_eq!((error.status, error.code), (429, "TOO_MANY_REQUESTS"));
        assert!(headers.iter().any(|(name, value)| *name == "retry-after" && value.parse::<u64>().is_ok()));
        assert!(limits.admit("GET", WORKFLOWS).is_ok(), "another bucket is untouched");
    }

    #[test]
    fn the_company_limit_covers_all_buckets_together() {
        let mut limits = Limits::new(true);
        limits.set_limit("company", 2);
        assert!(limits.admit("GET", WORKFLOWS).is_ok());
        assert!(limits.admit("GET", "/public/api/v1/records").is_ok());
        assert!(limits.admit("GET", "/public/api/v1/webhooks").is_err());
    }

    #[test]
    fn switched_off_limits_send_no_headers() {
        assert_eq!(Limits::new(false).admit("GET", WORKFLOWS).expect("off"), Vec::new());
    }
}
