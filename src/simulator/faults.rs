//! The misfortunes a simulator can be told to have, and when each strikes. Which request is struck follows from the seed and
//! the order of requests alone, so that a failing run can be had again.

use std::sync::{Mutex, PoisonError};

use super::random::Random;

/// Help text for `--faults`.
pub(crate) const GRAMMAR: &str = "\
FAULTS is a list of faults joined by ';', each KIND or KIND:key=value,key=value; 'seed=N' may stand among them.

Kinds
  429           too many requests; retry-after=SECONDS adds the header (retry-after=none, the default, does not)
  500 502 503 504   server errors with the vendor's JSON body; retry-after=SECONDS is allowed here too
  slow          waits ms=MILLISECONDS (default 1000), then answers as usual
  trickle       answers as usual, the body in ten pieces with a wait of ms=MILLISECONDS (default 1000) before each
  cut           acts, then closes the connection halfway through the body
  hang          acts, and never answers
  stall         acts, sends half the body, and then nothing more
  reset-before  resets the connection without acting
  reset-after   acts, then resets the connection without an answer
  expired-token 401 'token has expired'
  html          an HTML error page instead of JSON; status=N (default 502)
  wrong-type    acts, and sends the usual body as text/plain
  malformed     acts, and sends JSON that ends in the middle
  endless       acts, and sends the usual body swollen without end; status=N (default: the usual)
  bomb          acts, and sends the usual body swollen to mb=MEBIBYTES (default 1024), in little gzip; status=N
  headers       acts, and sends the usual body after headers=N headers (default 20000, at most 24000)

Keys of every kind
  rate=0..1     share of the matching requests that are struck (default 1)
  count=N       strike N times at most
  after=N       let the first N matching requests pass
  method=M      only requests with this method
  path=/P       only paths that begin so, counted from the root or from /public/api/v1

The first fault of the list that strikes is the one that happens. Requests under /oauth/ and /__simulator/ are struck only
by a fault whose path names them.

Examples
  429:rate=0.1,retry-after=2;503:rate=0.05;slow:rate=0.2,ms=800;seed=7
  reset-after:method=POST,path=/workflows,count=1";

/// Names of all kinds, for complaints.
const KINDS: &str = "429, 500, 502, 503, 504, slow, trickle, cut, hang, stall, reset-before, reset-after, expired-token, html, wrong-type, malformed, endless, bomb, headers";
/// Paths that only a fault naming them can strike.
const SPARED: [&str; 2] = ["/__simulator", "/oauth"];
/// Where the Public API begins.
const API_ROOT: &str = "/public/api/v1";

/// Why a `--faults` text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in '{part}' (kinds of fault: {KINDS})")]
pub(crate) struct FaultsError {
    /// The piece of the text that is wrong.
    part: String,
    /// What is wrong with it.
    what: String,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error with the vendor's JSON body; nothing is done.
    Status {
        /// HTTP status.
        status: u16,
        /// Seconds for `Retry-After`.
        retry_after: Option<u64>,
    },
    /// A wait before the request is answered as usual.
    Slow {
        /// Length of the wait in milliseconds.
        ms: u64,
    },
    /// The body comes in ten pieces.
    Trickle {
        /// Length of the wait before each in milliseconds.
        ms: u64,
    },
    /// The request is done and the connection closed halfway through the body.
    Cut,
    /// The request is done and never answered.
    Hang,
    /// The request is done and half its body sent, and nothing after.
    Stall,
    /// The connection is reset; nothing is done.
    ResetBefore,
    /// The request is done and the connection reset.
    ResetAfter,
    /// 401 as for an expired token; nothing is done.
    ExpiredToken,
    /// An HTML page; nothing is done.
    Html {
        /// HTTP status.
        status: u16,
    },
    /// The request is done and its body called text/plain.
    WrongType,
    /// The request is done and its body broken off.
    Malformed,
    /// The request is done and its body never ends.
    Endless {
        /// HTTP status, if another than the usual.
        status: Option<u16>,
    },
    /// The request is done and its body, which is small on the wire, becomes large.
    Bomb {
        /// Size of the body that it becomes, in MiB.
        mb: u64,
        /// HTTP status, if another than the usual.
        status: Option<u16>,
    },
    /// The request is done and its answer has many headers.
    Headers {
        /// How many.
        headers: u64,
    },
}

impl Fault {
    /// Whether the request is still done.
    pub(crate) const fn acts(self) -> bool {
        match self {
            Self::Slow { .. }
            | Self::Trickle { .. }
            | Self::Cut
            | Self::Hang
            | Self::Stall
            | Self::ResetAfter
            | Self::WrongType
            | Self::Malformed
            | Self::Endless { .. }
            | Self::Bomb { .. }
            | Self::Headers { .. } => true,
            Self::Status { .. } | Self::ResetBefore | Self::ExpiredToken | Self::Html { .. } => false,
        }
    }

    /// Its kind, as the grammar has it.
    pub(crate) fn name(self) -> String {
        let name = match self {
            Self::Status { status, .. } => return status.to_string(),
            Self::Slow { .. } => "slow",
            Self::Trickle { .. } => "trickle",
            Self::Cut => "cut",
            Self::Hang => "hang",
            Self::Stall => "stall",
            Self::ResetBefore => "reset-before",
            Self::ResetAfter => "reset-after",
            Self::ExpiredToken => "expired-token",
            Self::Html { .. } => "html",
            Self::WrongType => "wrong-type",
            Self::Malformed => "malformed",
            Self::Endless { .. } => "endless",
            Self::Bomb { .. } => "bomb",
            Self::Headers { .. } => "headers",
        };
        name.to_owned()
    }
}

/// A list of faults with its state.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    progress: Mutex<Vec<Progress>>,
}

#[derive(Debug, Clone)]
struct Rule {
    fault: Fault,
    rate: f64,
    count: Option<u64>,
    after: u64,
    method: Option<String>,
    path: Option<String>,
}

/// How far one rule has come.
#[derive(Debug)]
struct Progress {
    /// Each rule draws from a sequence of its own, so that one rule's luck does not depend on another's.
    random: Random,
    matched: u64,
    struck: u64,
}

impl Faults {
    /// Reads a `--faults` text; an empty one means no faults.
    pub(crate) fn parse(text: &str) -> Result<Self, FaultsError> {
        let mut seed = 0;
        let mut rules = Vec::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.strip_prefix("seed=") {
                Some(number) => seed = number.trim().parse().map_err(|_| wrong(part, "seed is no whole number"))?,
                None => rules.push(Rule::parse(part)?),
            }
        }
        let start = |index: usize| Progress { random: Random::new(mixed(seed, index)), matched: 0, struck: 0 };
        let progress = Mutex::new((0..rules.len()).map(start).collect());
        Ok(Self { rules, progress })
    }

    /// The fault that strikes this request, the next in order; `path` is the whole path without the query.
    pub(crate) fn next(&self, method: &str, path: &str) -> Option<Fault> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        for (rule, progress) in self.rules.iter().zip(progress.iter_mut()) {
            if rule.concerns(method, path) && progress.strikes(rule) {
                return Some(rule.fault);
            }
        }
        None
    }
}

impl Progress {
    /// Counts one more matching request and says whether it is struck.
    fn strikes(&mut self, rule: &Rule) -> bool {
        self.matched += 1;
        if self.matched <= rule.after || rule.count.is_some_and(|count| self.struck >= count) {
            return false;
        }
        let strikes = self.random.chance(rule.rate);
        self.struck += u64::from(strikes);
        strikes
    }
}

fn mixed(seed: u64, index: usize) -> u64 {
    seed ^ (index as u64 + 1).wrapping_mul(0xA24B_AED4_963E_E407)
}

impl Rule {
    fn parse(part: &str) -> Result<Self, FaultsError> {
        let (kind, keys) = part.split_once(':').unwrap_or((part, ""));
        let fault = fault_named(kind.trim()).ok_or_else(|| wrong(part, &format!("unknown fault '{}'", kind.trim())))?;
        let mut rule = Self { fault, rate: 1.0, count: None, after: 0, method: None, path: None };
        for pair in keys.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| wrong(part, &format!("'{pair}' is not key=value")))?;
            rule.set(key.trim(), value.trim()).map_err(|what| wrong(part, &what))?;
        }
        Ok(rule)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "rate" => {
                let rate: f64 = value.parse().map_err(|_| format!("rate '{value}' is no number"))?;
                if !(0.0..=1.0).contains(&rate) {
                    return Err(format!("rate '{value}' is not between 0 and 1"));
                }
                self.rate = rate;
            }
            "count" => self.count = Some(whole(key, value)?),
            "after" => self.after = whole(key, value)?,
            "method" => self.method = Some(value.to_ascii_uppercase()),
            "path" if value.starts_with('/') => self.path = Some(value.to_owned()),
            "path" => return Err(format!("path '{value}' does not begin with '/'")),
            _ => self.fault.set(key, value)?,
        }
        Ok(())
    }

    fn concerns(&self, method: &str, path: &str) -> bool {
        if self.method.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(method)) {
            return false;
        }
        let wanted = self.path.as_deref();
        if let Some(spared) = SPARED.iter().find(|spared| path.starts_with(*spared)) {
            return wanted.is_some_and(|wanted| wanted.starts_with(spared) && path.starts_with(wanted));
        }
        let Some(wanted) = wanted else { return true };
        path.starts_with(wanted) || path.strip_prefix(API_ROOT).is_some_and(|rest| rest.starts_with(wanted))
    }
}

impl Fault {
    /// Sets a key that only some kinds have.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match (self, key) {
            (Self::Status { retry_after, .. }, "retry-after") => {
                *retry_after = if value == "none" { None } else { Some(whole(key, value)?) };
            }
            (Self::Slow { ms } | Self::Trickle { ms }, "ms") => *ms = whole(key, value)?,
            (Self::Html { status }, "status") => *status = http_status(value)?,
            (Self::Endless { status } | Self::Bomb { status, .. }, "status") => *status = Some(http_status(value)?),
            (Self::Bomb { mb, .. }, "mb") => *mb = whole(key, value)?,
            (Self::Headers { headers }, "headers") => *headers = whole(key, value)?,
            _ => return Err(format!("unknown key '{key}'")),
        }
        Ok(())
    }
}

fn fault_named(kind: &str) -> Option<Fault> {
    Some(match kind {
        "429" | "500" | "502" | "503" | "504" => Fault::Status { status: kind.parse().ok()?, retry_after: None },
        "slow" => Fault::Slow { ms: 1000 },
        "trickle" => Fault::Trickle { ms: 1000 },
        "cut" => Fault::Cut,
        "hang" => Fault::Hang,
        "stall" => Fault::Stall,
        "reset-before" => Fault::ResetBefore,
        "reset-after" => Fault::ResetAfter,
        "expired-token" => Fault::ExpiredToken,
        "html" => Fault::Html { status: 502 },
        "wrong-type" => Fault::WrongType,
        "malformed" => Fault::Malformed,
        "endless" => Fault::Endless { status: None },
        "bomb" => Fault::Bomb { mb: 1024, status: None },
        "headers" => Fault::Headers { headers: 20_000 },
        _ => return None,
    })
}

fn http_status(value: &str) -> Result<u16, String> {
    let status = value.parse().ok().filter(|status| (200..=599).contains(status));
    status.ok_or_else(|| format!("status '{value}' is not between 200 and 599"))
}

fn whole(key: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{key} '{value}' is no whole number"))
}

fn wrong(part: &str, what: &str) -> FaultsError {
    FaultsError { part: part.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(text: &str, requests: usize) -> Vec<Option<Fault>> {
        let faults = Faults::parse(text).unwrap();
        (0..requests).map(|_| faults.next("GET", "/public/api/v1/workflows")).collect()
    }

    fn hits(text: &str, requests: usize) -> usize {
        run(text, requests).into_iter().flatten().count()
    }

    #[test]
    fn no_text_means_no_faults() {
        assert!(Faults::parse(" ; ").unwrap().rules.is_empty());
        assert_eq!(hits("", 10), 0);
    }

    #[test]
    fn a_fault_without_keys_strikes_every_time() {
        assert_eq!(run("503", 2), [Some(Fault::Status { status: 503, retry_after: None }); 2]);
    }

    #[test]
    fn keys_of_a_kind_reach_its_fault() {
        let first = |text: &str| run(text, 1)[0];
        assert_eq!(first("429:retry-after=2"), Some(Fault::Status { status: 429, retry_after: Some(2) }));
        assert_eq!(first("429:retry-after=none"), Some(Fault::Status { status: 429, retry_after: None }));
        assert_eq!(first("slow:ms=800"), Some(Fault::Slow { ms: 800 }));
        assert_eq!(first("html:status=200"), Some(Fault::Html { status: 200 }));
        assert_eq!(first("endless:status=500"), Some(Fault::Endless { status: Some(500) }));
        assert_eq!(first("bomb:mb=5"), Some(Fault::Bomb { mb: 5, status: None }));
        assert_eq!(first("headers:headers=300"), Some(Fault::Headers { headers: 300 }));
    }

    #[test]
    fn after_and_count_bound_the_strikes() {
        let struck: Vec<bool> = run("cut:after=2,count=3", 8).iter().map(Option::is_some).collect();
        assert_eq!(struck, [false, false, true, true, true, false, false, false]);
    }

    #[test]
    fn the_rate_is_about_kept_and_the_seed_repeats_it() {
        let found = hits("500:rate=0.1;seed=7", 2000);
        assert!((140..260).contains(&found), "{found}");
        assert_eq!(run("500:rate=0.1;seed=7", 200), run("seed=7;500:rate=0.1", 200));
        assert_ne!(run("500:rate=0.1;seed=7", 200), run("500:rate=0.1;seed=8", 200));
        assert_eq!(hits("500:rate=0", 100), 0);
    }

    #[test]
    fn the_first_fault_that_strikes_wins_and_the_others_wait() {
        let struck = run("cut:count=1;malformed:count=1", 3);
        assert_eq!(struck, [Some(Fault::Cut), Some(Fault::Malformed), None]);
    }

    #[test]
    fn method_and_path_narrow_a_fault() {
        let faults = Faults::parse("500:method=post,path=/workflows").unwrap();
        let strikes = |method: &str, path: &str| faults.next(method, path).is_some();
        assert!(strikes("POST", "/public/api/v1/workflows/async") && strikes("POST", "/workflows"));
        assert!(!strikes("GET", "/public/api/v1/workflows") && !strikes("POST", "/public/api/v1/records"));
        let scim = Faults::parse("500:path=/scim/v2").unwrap();
        assert!(scim.next("GET", "/scim/v2/Users").is_some() && scim.next("GET", "/public/api/v1/records").is_none());
    }

    #[test]
    fn sign_in_and_the_control_pages_are_spared_unless_named() {
        let all = Faults::parse("500;503:path=/").unwrap();
        assert_eq!(all.next("POST", "/oauth/token"), None);
        assert_eq!(all.next("GET", "/__simulator/state"), None);
        let named = Faults::parse("500:path=/oauth/token").unwrap();
        assert!(named.next("POST", "/oauth/token").is_some());
        assert!(named.next("GET", "/oauth/authorize").is_none());
        assert!(named.next("GET", "/public/api/v1/workflows").is_none());
    }

    #[test]
    fn a_bad_text_is_answered_with_the_bad_part_and_the_kinds() {
        for (text, expected) in [
            ("503;teapot:rate=1", "unknown fault 'teapot' in 'teapot:rate=1'"),
            ("503:rate=2", "rate '2' is not between 0 and 1"),
            ("503:rate=often", "is no number"),
            ("503:rate=NaN", "not between"),
            ("503:count=-1", "count '-1' is no whole number"),
            ("503:path=workflows", "does not begin with '/'"),
            ("503:ms=3", "unknown key 'ms'"),
            ("cut:retry-after=3", "unknown key 'retry-after'"),
            ("503:rate", "'rate' is not key=value"),
            ("html:status=99", "not between 200 and 599"),
            ("seed=x", "seed is no whole number"),
        ] {
            let message = Faults::parse(text).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("reset-before"), "{message}");
        }
    }

    #[test]
    fn the_grammar_names_every_kind_and_its_examples_parse() {
        for kind in KINDS.split(", ") {
            assert!(GRAMMAR.contains(kind), "{kind}");
            assert_eq!(fault_named(kind).unwrap().name(), kind);
        }
        for example in GRAMMAR.rsplit("Examples\n").next().unwrap().lines() {
            assert!(Faults::parse(example.trim()).is_ok(), "{example}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9:=,;./ -]{0,40}") {
            if let Ok(faults) = Faults::parse(&text) {
                let _ = faults.next("GET", "/workflows");
            }
        }
    }
}
