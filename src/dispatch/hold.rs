//! Holds back a write whose twin was sent before and got no sound answer.
//!
//! Such a write may have taken effect, and there are no idempotency keys (ironclad-api.md §4): sent again it could launch
//! a contract twice. So for ten minutes the same request of the same agent is refused, until the caller says that it has
//! looked (`force_after_unknown`). It does not matter by which tool it comes. A write counts as unknown from its sending
//! until a sound answer is there, so that one whose call was dropped meanwhile is held as well.
//!
//! Replicas tell each other before they send: a replica that dies takes what it knew along, and so the mark that a write
//! is under way is there first, and is taken away when its outcome is known.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{plans::unshared, verify};
use crate::{
    approvals::{Begun, Shared},
    arguments::Args,
    catalog::Tool,
    error::{CallError, Code, Outcome},
    manifest::Entry,
    plan::digest_of,
    request::Request,
};

/// How long a write is held.
const HOLD: Duration = Duration::from_secs(600);

/// The most writes that are held. The company may send some 500 a minute of all kinds, and few of them end unknown.
const MOST: usize = 10_000;

/// What two calls have in common that would do the same.
type Twin = String;

/// The writes that are held.
#[derive(Debug, Default)]
pub struct Holds {
    held: Mutex<HashMap<Twin, Held>>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    until: Instant,
    sent_at: OffsetDateTime,
}

/// A write that may go out, and is held afterwards unless its outcome becomes known.
pub(super) struct Sending<'a> {
    holds: &'a Holds,
    twin: Twin,
    sent: Arc<AtomicU32>,
    began: OffsetDateTime,
    is_known: bool,
    /// What the other replicas see of it.
    mark: Option<Mark>,
}

/// A write that other replicas see under way.
struct Mark {
    shared: Arc<dyn Shared>,
    token: String,
}

impl Holds {
    /// Lets a write pass, unless its twin is held.
    ///
    /// # Errors
    /// Its twin was sent, and nobody knows what became of it.
    pub(super) fn check(
        &self,
        entry: &Entry,
        args: &Args,
        (agent, request): (&str, &Request),
    ) -> Result<(), CallError> {
        if args.flag("force_after_unknown") {
            return Ok(());
        }
        match self.find(&twin(agent, request), Instant::now()) {
            None => Ok(()),
            Some((held, left)) => Err(refusal(entry, args, held.sent_at, left)),
        }
    }

    /// Watches over a write from here on; `sent` counts how often its request went out.
    pub(super) fn sending(&self, (agent, request): (&str, &Request), sent: Arc<AtomicU32>) -> Sending<'_> {
        let began = OffsetDateTime::now_utc();
        Sending { holds: self, twin: twin(agent, request), sent, began, is_known: false, mark: None }
    }

    fn find(&self, twin: &str, now: Instant) -> Option<(Held, Duration)> {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner).get(twin)?;
        (held.until > now).then(|| (held, held.until - now))
    }

    fn hold(&self, twin: Twin, sent_at: OffsetDateTime, now: Instant) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MOST {
            held.retain(|_, held| held.until > now);
        }
        if held.len() >= MOST {
            let oldest = held.iter().min_by_key(|(_, held)| held.until).map(|(twin, _)| twin.clone());
            oldest.and_then(|twin| held.remove(&twin));
        }
        held.insert(twin, Held { until: now + HOLD, sent_at });
    }
}

/// Looks whether another replica sends this very write, or sent it and nobody heard of it.
///
/// # Errors
/// So it is; or what replicas share is out of reach, and then no write goes out.
pub(super) async fn elsewhere(
    shared: &dyn Shared,
    (tool, args): (&Tool, &Args),
    (agent, request): (&str, &Request),
) -> Result<(), CallError> {
    let begun = shared.twin(&twin(agent, request)).await.map_err(|error| unshared(tool, shared, &error))?;
    if args.flag("force_after_unknown") {
        return Ok(());
    }
    passed(begun, (tool, args)).map(drop)
}

/// The token of a write that may begin.
fn passed(begun: Begun, (tool, args): (&Tool, &Args)) -> Result<String, CallError> {
    match begun {
        Begun::Yes { token } => Ok(token),
        Begun::Held { sent_at } => {
            let sent_at = OffsetDateTime::from_unix_timestamp(sent_at).unwrap_or_else(|_| OffsetDateTime::now_utc());
            let ago = Duration::try_from(OffsetDateTime::now_utc() - sent_at).unwrap_or_default();
            Err(refusal(&tool.entry, args, sent_at, HOLD.saturating_sub(ago)))
        }
    }
}

impl Sending<'_> {
    /// Tells the other replicas that this write goes out now.
    ///
    /// # Errors
    /// As [`elsewhere`].
    pub(super) async fn marked(mut self, shared: &Arc<dyn Shared>, call: (&Tool, &Args)) -> Result<Self, CallError> {
        let begun = shared.begin(&self.twin, call.1.flag("force_after_unknown"), HOLD).await;
        let token = passed(begun.map_err(|error| unshared(call.0, &**shared, &error))?, call)?;
        self.mark = (!token.is_empty()).then(|| Mark { shared: Arc::clone(shared), token });
        Ok(self)
    }

    /// Passes on how the write ended. Where that is unknown the caller is told how to look, and its twin is held.
    pub(super) async fn settled<T>(
        mut self,
        ended: Result<T, CallError>,
        entry: &Entry,
        args: &Args,
    ) -> Result<T, CallError> {
        self.is_known = !matches!(&ended, Err(error) if error.outcome == Some(Outcome::Unknown));
        if self.is_known
            && let Some(Mark { shared, token }) = self.mark.take()
        {
            // Before the answer goes out: the caller may want the same again, of another replica.
            shared.ended(&self.twin, &token).await;
        }
        ended.map_err(|mut error| {
            if !self.is_known && error.hint.is_none() {
                error.hint = Some(verify::hint(entry, args, self.began));
            }
            error
        })
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let was_sent = self.sent.load(Ordering::Acquire) > 0;
        if let (false, Some(Mark { shared, token }), Ok(runtime)) =
            (was_sent, self.mark.take(), tokio::runtime::Handle::try_current())
        {
            let twin = self.twin.clone();
            runtime.spawn(async move { shared.ended(&twin, &token).await });
        }
        if !self.is_known && was_sent {
            self.holds.hold(std::mem::take(&mut self.twin), self.began, Instant::now());
        }
    }
}

fn refusal(entry: &Entry, args: &Args, sent_at: OffsetDateTime, left: Duration) -> CallError {
    let name = &entry.name;
    let minutes = (HOLD - left).as_secs() / 60;
    let ago = if minutes == 0 { "less than a minute".to_owned() } else { format!("{minutes} min") };
    let mut error = CallError::new(
        Code::OutcomeUnknown,
        format!(
            "{name} was not sent now: the same call was sent {ago} ago, and it is not known whether it took effect"
        ),
        verify::hint(entry, args, sent_at),
    );
    error.retry_after_s = Some(left.as_secs().max(1));
    error.with_outcome(Outcome::NotSent)
}

/// The digest of whose request it is and all that would be sent; the order of members does not matter.
fn twin(agent: &str, request: &Request) -> Twin {
    digest_of(&json!({"agent": agent, "request": request.to_json()}))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        catalog::Catalog,
        manifest::{Api, Effect, Method},
    };

    fn request(path: &str, body: &Value) -> Request {
        let (query, files) = (vec![("a".to_owned(), "1".to_owned())], Vec::new());
        let (api, method, path) = (Api::Public, Method::Post, path.to_owned());
        Request { api, method, path, query, body: Some(body.clone()), files, effect: Effect::Write }
    }

    fn launch() -> Request {
        request("/workflows", &json!({"template": "5f03", "attributes": {"x": 1, "y": ["a", "b"]}}))
    }

    fn args(force: bool) -> Args {
        let mut args = Args::default();
        args.replace("template_id", "5f03".into());
        args.replace("force_after_unknown", force.into());
        args
    }

    fn check(holds: &Holds, agent: &str, request: &Request, force: bool) -> Result<(), CallError> {
        let catalog = Catalog::load(None, "").unwrap();
        holds.check(&catalog.get("launch_workflow").unwrap().entry, &args(force), (agent, request))
    }

    /// Sends a request so often, and never hears of it.
    fn lose(holds: &Holds, agent: &str, request: &Request, times: u32) {
        drop(holds.sending((agent, request), Arc::new(AtomicU32::new(times))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_lost_is_held_for_ten_minutes_unless_forced() {
        let holds = Holds::default();
        assert_eq!(check(&holds, "a", &launch(), false), Ok(()));
        lose(&holds, "a", &launch(), 1);
        tokio::time::advance(Duration::from_secs(125)).await;
        let error = check(&holds, "a", &launch(), false).unwrap_err();
        assert_eq!((error.code, error.outcome), (Code::OutcomeUnknown, Some(Outcome::NotSent)));
        assert_eq!(error.retry_after_s, Some(475));
        assert!(error.message.contains("sent 2 min ago"), "{}", error.message);
        let hint = error.hint.unwrap();
        assert!(hint.starts_with(r#"call list_workflows {"template_id":"5f03","status":["#), "{hint}");
        assert!(hint.contains("force_after_unknown"), "{hint}");
        assert_eq!(check(&holds, "a", &launch(), true), Ok(()));
        assert!(check(&holds, "a", &launch(), false).is_err(), "a forced call lifts no hold");
        tokio::time::advance(Duration::from_secs(475)).await;
        assert_eq!(check(&holds, "a", &launch(), false), Ok(()));
    }

    #[tokio::test]
    async fn a_write_is_held_only_if_it_went_out_and_its_outcome_is_unknown() {
        let ended = |code, outcome| Err(CallError::new(code, "m", "h").with_outcome(outcome));
        let unknown = CallError { hint: None, ..ended(Code::OutcomeUnknown, Outcome::Unknown).unwrap_err() };
        let table = [
            (Ok(()), 1, false),
            (ended(Code::Rejected, Outcome::Refused), 1, false),
            (ended(Code::RateLimited, Outcome::NotSent), 0, false),
            (ended(Code::OutcomeUnknown, Outcome::Unknown), 1, true),
            (Err(unknown), 1, true),
        ];
        let entry = &Catalog::load(None, "").unwrap().get("launch_workflow").unwrap().entry.clone();
        for (ended, times, is_held) in table {
            let holds = Holds::default();
            let sending = holds.sending(("a", &launch()), Arc::new(AtomicU32::new(times)));
            let (expected, told) = (ended.clone(), sending.settled(ended, entry, &args(false)).await);
            assert_eq!(check(&holds, "a", &launch(), false).is_err(), is_held, "{expected:?}");
            match (expected, told) {
                (Err(CallError { hint: None, .. }), Err(told)) => {
                    assert!(told.hint.unwrap().starts_with("call list_workflows {"));
                }
                (expected, told) => assert_eq!(told, expected),
            }
        }
        let holds = Holds::default();
        lose(&holds, "a", &launch(), 0);
        assert_eq!(check(&holds, "a", &launch(), false), Ok(()), "it was dropped before it went out");
    }

    #[test]
    fn only_the_same_request_of_the_same_agent_is_held() {
        let holds = Holds::default();
        lose(&holds, "a", &launch(), 1);
        let other_order = request("/workflows", &json!({"attributes": {"y": ["a", "b"], "x": 1}, "template": "5f03"}));
        assert!(check(&holds, "a", &other_order, false).is_err());
        let other_body = |attributes| request("/workflows", &json!({"template": "5f03", "attributes": attributes}));
        for other in [
            request("/workflows/1", launch().body.as_ref().unwrap()),
            other_body(json!({"x": "1", "y": ["a", "b"]})),
            other_body(json!({"x": 1, "y": ["b", "a"]})),
            other_body(json!({"x": 1, "y": ["a"], "z": "b"})),
            other_body(json!({"x": 1})),
            Request { method: Method::Put, ..launch() },
            Request { query: Vec::new(), ..launch() },
        ] {
            assert_eq!(check(&holds, "a", &other, false), Ok(()), "{other:?}");
        }
        assert_eq!(check(&holds, "b", &launch(), false), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded_and_the_oldest_goes_first() {
        let holds = Holds::default();
        let now = Instant::now();
        let number = |number: usize| number.to_string();
        for place in 0..MOST + 2 {
            holds.hold(number(place), OffsetDateTime::UNIX_EPOCH, now + Duration::from_millis(place as u64 / 1_000));
        }
        assert_eq!(holds.held.lock().unwrap().len(), MOST);
        assert!(holds.find(&number(MOST + 1), now).is_some());
        tokio::time::advance(HOLD + Duration::from_secs(60)).await;
        holds.hold(number(MOST + 2), OffsetDateTime::UNIX_EPOCH, Instant::now());
        assert_eq!(holds.held.lock().unwrap().len(), 1, "what lapsed is forgotten");
    }
}
