//! Holds what callers were told, and what the audit log says, against what the simulator saw.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use serde_json::Value;

use super::caller::{Done, Told, mark};

/// What a soak came to.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    pub(crate) requests: usize,
    pub(crate) struck: usize,
    pub(crate) gone: usize,
    pub(crate) told: BTreeMap<(&'static str, String), usize>,
    pub(crate) applied: usize,
    pub(crate) applied_unheard: usize,
}

impl Figures {
    pub(crate) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.requests += other.requests;
        self.struck += other.struck;
        self.gone += other.gone;
        self.applied += other.applied;
        self.applied_unheard += other.applied_unheard;
        for (told, count) in other.told {
            *self.told.entry(told).or_default() += count;
        }
    }
}

/// A request as the simulator saw it.
struct Seen {
    operation: String,
    status: u64,
    applied: bool,
    fault: Option<String>,
    gone: bool,
}

impl Seen {
    /// Whether it was done, and its answer taken whole; a request whose token had ended was neither.
    fn is_clean(&self) -> bool {
        self.fault.is_none() && self.status < 300 && !self.gone
    }
}

pub(crate) struct Judge {
    before: Value,
    after: Value,
    calls: Vec<Done>,
    /// By the mark that their requests hold.
    seen: HashMap<String, Vec<Seen>>,
    figures: Figures,
    last_seen: u64,
    /// How often something of each kind was made.
    made: HashMap<&'static str, u64>,
}

impl Judge {
    /// The counts are those of the simulator's state before the first call.
    pub(crate) fn new(before: Value) -> Self {
        Self {
            before,
            after: Value::Null,
            calls: Vec::new(),
            seen: HashMap::new(),
            figures: Figures::default(),
            last_seen: 0,
            made: HashMap::new(),
        }
    }

    pub(crate) fn told(&mut self, done: impl Iterator<Item = Done>) {
        self.calls.extend(done);
    }

    /// The number of the last request that was seen.
    pub(crate) fn seen(&self) -> u64 {
        self.last_seen
    }

    pub(crate) fn saw(&mut self, requests: &[Value]) {
        let by_path: HashMap<&str, usize> =
            self.calls.iter().filter_map(|call| Some((call.path.as_deref()?, call.number))).collect();
        for request in requests {
            let number = request["seq"].as_u64().unwrap();
            assert!(number == self.last_seen + 1 || self.last_seen == 0, "requests before {number} were forgotten");
            self.last_seen = number;
            let text = |member: &str| request[member].as_str().unwrap_or_default();
            let flag = |member: &str| request[member] == true;
            let (path, method) = (text("path"), text("method"));
            let seen = Seen {
                operation: text("operation").to_owned(),
                status: request["status"].as_u64().unwrap_or_default(),
                applied: flag("applied"),
                fault: request["fault"].as_str().map(str::to_owned),
                gone: flag("gone"),
            };
            self.figures.requests += 1;
            self.figures.struck += usize::from(seen.fault.is_some());
            self.figures.gone += usize::from(seen.gone);
            if seen.applied && !path.starts_with("/oauth") {
                assert_ne!(method, "GET", "a read changed something: {request}");
                self.figures.applied += 1;
                let kind = match text("operation") {
                    "launchWorkflow" | "launchWorkflowAsync" => "workflows",
                    "createRecord" => "records",
                    "createWebhook" => "webhooks",
                    _ => "other",
                };
                *self.made.entry(kind).or_default() += 1;
            }
            let marked = marks(&request["body"].to_string()).or_else(|| marks(&request["query"].to_string()));
            let marked = marked.or_else(|| by_path.get(path).map(|number| mark(*number)));
            if let Some(mark) = marked {
                self.seen.entry(mark).or_default().push(seen);
            } else {
                assert!(!seen.applied || path.starts_with("/oauth"), "nobody's request took effect: {request}");
            }
        }
    }

    /// Takes the counts of the simulator's state after the last call; whether they are what the log tells.
    pub(crate) fn found(&mut self, after: &Value) -> bool {
        self.after = after.clone();
        ["workflows", "records"].into_iter().all(|kind| self.grown(kind) == self.made(kind))
    }

    fn made(&self, kind: &str) -> u64 {
        self.made.get(kind).copied().unwrap_or_default()
    }

    fn grown(&self, kind: &str) -> u64 {
        self.after[kind].as_u64().unwrap() - self.before[kind].as_u64().unwrap()
    }

    /// Waits until every call has its line: those that were given up get theirs a little later.
    pub(crate) async fn wait_for_lines(&self, log: &Path) {
        let polling = async {
            loop {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let closed = text.lines().filter(|line| !line.contains(r#""outcome":"intent""#)).count();
                assert!(closed <= self.calls.len(), "more lines than calls");
                if closed == self.calls.len() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), polling).await.expect("a call has no line");
    }

    /// Passes judgment; breaks off at the first rule that is broken.
    pub(crate) fn judge(mut self, audit: &str) -> Figures {
        let mut lines: HashMap<String, Vec<String>> = HashMap::new();
        for line in audit.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |member: &str| line[member].as_str().unwrap_or_default().to_owned();
            lines.entry(text("agent")).or_default().push(text("outcome"));
        }
        for kind in ["workflows", "records"] {
            assert_eq!(self.grown(kind), self.made(kind), "{kind}: the request log does not say the truth");
        }
        for call in &self.calls {
            let mark = mark(call.number);
            let about = format!("{mark} {}, told {:?} {}", call.tool, call.told, call.code);
            let seen = self.seen.remove(&mark).unwrap_or_default();
            let lines = lines.remove(&mark).unwrap_or_default();
            let (intents, closings): (Vec<&String>, Vec<&String>) =
                lines.iter().partition(|outcome| *outcome == "intent");
            let [closing] = closings.as_slice() else { panic!("{about}: {} closing lines", closings.len()) };
            let outcome = match call.told {
                Told::Ok => "ok",
                Told::Unknown => "unknown",
                Told::NotSent | Told::Refused | Told::Failed => "error",
                Told::Cancelled => closing.as_str(),
            };
            assert_eq!(*closing, outcome, "{about}: the audit log says something else");
            if call.is_write {
                let applied = write_is_true(&about, call.told, &seen, (closing, intents.len()));
                let heard = call.told == Told::Ok;
                self.figures.applied_unheard += usize::from(applied && !heard);
            } else {
                assert!(intents.is_empty(), "{about}: a read with an intent");
                read_is_true(&about, call, &seen);
            }
            let kind = if call.is_write { "write" } else { "read" };
            let told = match call.told {
                Told::Ok => "ok",
                Told::NotSent => "not_sent",
                Told::Refused => "refused",
                Told::Unknown => "unknown",
                Told::Failed => "failed",
                Told::Cancelled => "cancelled",
            };
            *self.figures.told.entry((kind, told.to_owned())).or_default() += 1;
        }
        self.figures.calls = self.calls.len();
        self.figures
    }
}

/// Whether a write took effect; nobody may have been told otherwise.
fn write_is_true(about: &str, told: Told, seen: &[Seen], (closing, intents): (&str, usize)) -> bool {
    // A launch looks up its form, and the update of an attribute its workflow; those are reads.
    let applied = seen.iter().filter(|request| request.applied).count();
    assert!(applied <= 1, "{about}: took effect {applied} times");
    assert!(intents <= 1 && (applied == 0 || intents == 1), "{about}: sent with {intents} intents");
    let allowed = match (told, closing) {
        (Told::Ok, _) | (Told::Cancelled, "ok") => 1..=1,
        (Told::NotSent | Told::Refused, _) | (Told::Cancelled, "cancelled" | "error") => 0..=0,
        (Told::Unknown, _) | (Told::Cancelled, "unknown") => 0..=1,
        (Told::Failed | Told::Cancelled, other) => panic!("{about}: {other}"),
    };
    assert!(allowed.contains(&applied), "{about}: took effect {applied} times, the line says {closing}");
    if told == Told::Unknown {
        // A job that is not done in time is of unknown outcome as well.
        let clean = seen.iter().find(|request| request.is_clean() && !request.operation.contains("Async"));
        assert!(clean.is_none(), "{about}: nothing went wrong with it");
    }
    applied == 1
}

/// A read that failed met a fault each time that it was sent.
fn read_is_true(about: &str, call: &Done, seen: &[Seen]) {
    if call.told != Told::Failed {
        return;
    }
    let truthful = ["upstream_unavailable", "rate_limited", "unauthorized"].contains(&call.code.as_str());
    assert!(truthful, "{about}: no fault leads to that");
    // Only a filter holds the mark, so only these reads can be found again.
    let clean = seen.iter().find(|request| request.is_clean());
    if let Some(clean) = clean {
        panic!("{about}: {} was answered well", clean.operation);
    }
}

/// The mark in a text.
fn marks(text: &str) -> Option<String> {
    let at = text.find("soak-")?;
    text.get(at..at + "soak-000000".len()).map(str::to_owned)
}
