//! The head of an answer: its status, and what its headers tell of the body and of the rate limit.
//!
//! The vendor does not tell the units of its rate-limit headers (ironclad-api.md §5), so each is read in every form that
//! such headers have, and what fits none counts as not sent. The answer's own `Date` is the clock, where it has one.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};

use super::limiter::Heard;

/// The longest pause that is repeated to anybody.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest `X-RateLimit-Reset` that is a pause in seconds: windows last a minute.
const LONGEST_RESET: f64 = 600.0;

/// From here on a number of seconds is a time of day, and from the second on one in milliseconds.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLISECONDS: f64 = 1e12;

/// The head of an answer.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Ironclad's HTTP status.
    pub status: u16,
    /// `x-ironclad-requestid`.
    pub request_id: Option<String>,
    /// What it tells of the rate limit.
    pub heard: Heard,
    /// `Content-Type`.
    pub media_type: Option<String>,
    /// `Content-Disposition`.
    pub disposition: Option<String>,
    /// `Content-Length`.
    pub length: Option<u64>,
}

impl Head {
    /// The head of an answer that came at `now`.
    pub(super) fn of(status: u16, headers: &HeaderMap, now: SystemTime) -> Self {
        let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
        Self {
            status,
            request_id: text("x-ironclad-requestid"),
            heard: heard(status, headers, now),
            media_type: text(CONTENT_TYPE.as_str()),
            disposition: text(CONTENT_DISPOSITION.as_str()),
            length: text(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok()),
        }
    }
}

fn heard(status: u16, headers: &HeaderMap, now: SystemTime) -> Heard {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let count = |name| text(name).and_then(|count| count.parse().ok());
    let now = text(DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    Heard {
        limit: count("x-ratelimit-limit"),
        remaining: count("x-ratelimit-remaining"),
        reset: text("x-ratelimit-reset").and_then(|reset| from_now(reset, now)),
        retry_after: text(RETRY_AFTER.as_str()).and_then(|pause| pause_of(pause, now)),
        refused: status == 429,
    }
}

/// Seconds from now, or a time of day in seconds or milliseconds.
fn from_now(reset: &str, now: SystemTime) -> Option<Duration> {
    let number: f64 = reset.parse().ok()?;
    let pause = if (0.0..=LONGEST_RESET).contains(&number) {
        Duration::try_from_secs_f64(number).ok()?
    } else if number >= EPOCH_SECONDS {
        let seconds = if number >= EPOCH_MILLISECONDS { number / 1000.0 } else { number };
        until(SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?, now)
    } else {
        return None;
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
fn pause_of(text: &str, now: SystemTime) -> Option<Duration> {
    let pause = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => {
            Duration::try_from_secs_f64(seconds.min(LONGEST_PAUSE.as_secs_f64())).ok()?
        }
        Ok(_) => return None,
        Err(_) => until(httpdate::parse_http_date(text).ok()?, now),
    };
    Some(pause.min(LONGEST_PAUSE))
}

fn until(then: SystemTime, now: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// 2026-09-01 09:00:00 UTC.
    const NOW: u64 = 1_788_253_200;

    fn head(status: u16, headers: &[(&str, &str)]) -> Head {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        Head::of(status, &headers.collect(), SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn a_reset_is_read_as_a_pause_or_a_time_of_day() {
        let table = [
            ("0", Some(0.0)),
            ("37", Some(37.0)),
            ("37.5", Some(37.5)),
            ("600", Some(600.0)),
            ("1788253237", Some(37.0)),
            ("1788253237.5", Some(37.5)),
            ("1788253237000", Some(37.0)),
            // A time of day that has passed, and one years ahead.
            ("1788253100", Some(0.0)),
            ("9999999999", Some(86_400.0)),
            ("601", None),
            ("60000", None),
            ("-1", None),
            ("1e400", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("", None),
        ];
        for (reset, expected) in table {
            let read = head(200, &[("x-ratelimit-reset", reset)]).heard.reset;
            assert_eq!(read.map(|pause| pause.as_secs_f64()), expected, "{reset}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let table = [
            ("0", Some(0.0)),
            ("12", Some(12.0)),
            ("0.5", Some(0.5)),
            ("3600", Some(3600.0)),
            ("99999999999999999999999", Some(86_400.0)),
            ("Tue, 01 Sep 2026 09:00:25 GMT", Some(25.0)),
            ("Tuesday, 01-Sep-26 09:00:25 GMT", Some(25.0)),
            ("Tue Sep  1 09:00:25 2026", Some(25.0)),
            ("Tue, 01 Sep 2026 08:59:00 GMT", Some(0.0)),
            ("Tue, 01 Sep 2099 08:59:00 GMT", Some(86_400.0)),
            ("-5", None),
            ("NaN", None),
            ("later", None),
        ];
        for (text, expected) in table {
            let read = head(429, &[("retry-after", text)]).heard.retry_after;
            assert_eq!(read.map(|pause| pause.as_secs_f64()), expected, "{text}");
        }
    }

    #[test]
    fn the_clock_of_a_date_is_that_of_the_answer() {
        let date = ("date", "Tue, 01 Sep 2026 10:00:00 GMT");
        let head =
            head(429, &[date, ("retry-after", "Tue, 01 Sep 2026 10:00:07 GMT"), ("x-ratelimit-reset", "1788256809")]);
        assert_eq!(head.heard.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(head.heard.reset, Some(Duration::from_secs(9)));
    }

    #[test]
    fn counts_are_whole_numbers_and_only_a_429_is_a_refusal() {
        let heard = head(200, &[("X-RateLimit-Limit", "40"), ("X-RateLimit-Remaining", " 0 ")]).heard;
        assert_eq!(heard, Heard { limit: Some(40), remaining: Some(0), ..Heard::default() });
        let heard = head(503, &[("x-ratelimit-limit", "-1"), ("x-ratelimit-remaining", "many")]).heard;
        assert_eq!(heard, Heard::default());
        assert!(head(429, &[]).heard.refused);
    }
}
