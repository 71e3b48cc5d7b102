//! Decides whether a request may be sent again, and after how long. Deciding is apart from waiting, so it is pure.
//!
//! There are no idempotency keys (ironclad-api.md §4), so a write goes again only where Ironclad surely did nothing.
//! Pauses are drawn from the whole of a span that doubles ("full jitter"), so that callers who failed together do not
//! come back together.

use std::time::Duration;

use crate::manifest::Effect;

/// How one attempt ended, where it did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// An HTTP status.
    Status(u16),
    /// The connection was never made: refused, DNS, TLS, connect time-out.
    NeverArrived,
    /// The connection broke, or time ran out, after the request may have arrived.
    Lost,
    /// The answer came, and is not what the endpoint answers with.
    Malformed,
}

/// The attempt that ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    /// How many were repeated before it.
    pub repeats: u32,
    /// How long ago the first began.
    pub elapsed: Duration,
    /// How long the client still waits, if it said so.
    pub left: Option<Duration>,
    /// What Ironclad asked for.
    pub retry_after: Option<Duration>,
    /// Whether a fresh token may take the place of the one that was sent.
    pub renewable: bool,
    /// A random number from 0 to 1.
    pub chance: f64,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send it again at once with a fresh token; that counts as no repeat.
    Renew,
    /// Send it again after this long.
    After(Duration),
    /// It stays as it is.
    GiveUp,
}

/// How patient a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The most repeats of one request.
    pub max_retries: u32,
    /// The longest wait for the budget, or for a 429 to pass.
    pub longest_wait: Duration,
    /// How long after the first attempt the last may begin.
    pub longest_retry: Duration,
}

/// The first span that a pause is drawn from, and the longest.
const FIRST_SPAN: Duration = Duration::from_millis(500);
const LONGEST_SPAN: Duration = Duration::from_secs(10);

/// Decides what comes after an attempt that ended so.
#[must_use]
pub fn next(effect: Effect, ending: Ending, attempt: Attempt, patience: Patience) -> Next {
    if ending == Ending::Status(401) && attempt.renewable {
        return Next::Renew;
    }
    if attempt.repeats >= patience.max_retries || !may_repeat(effect, ending) {
        return Next::GiveUp;
    }
    let pause = attempt.retry_after.unwrap_or_else(|| span(attempt.repeats).mul_f64(attempt.chance.clamp(0.0, 1.0)));
    let in_time = attempt.elapsed.saturating_add(pause) <= patience.longest_retry;
    let in_the_clients = attempt.left.is_none_or(|left| pause < left);
    if pause <= patience.longest_wait && in_time && in_the_clients { Next::After(pause) } else { Next::GiveUp }
}

/// The span that the pause after so many repeats is drawn from.
fn span(repeats: u32) -> Duration {
    FIRST_SPAN.saturating_mul(2u32.saturating_pow(repeats)).min(LONGEST_SPAN)
}

fn may_repeat(effect: Effect, ending: Ending) -> bool {
    match ending {
        // Even a write may be sent again.
        Ending::Status(429) | Ending::NeverArrived => true,
        Ending::Status(502..=504) | Ending::Lost | Ending::Malformed => effect == Effect::Read,
        Ending::Status(_) => false,
    }
}

/// Whether Ironclad surely did nothing.
#[must_use]
pub fn did_nothing(ending: Ending) -> bool {
    matches!(ending, Ending::Status(400..=499) | Ending::NeverArrived)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { max_retries: 4, longest_wait: Duration::from_secs(30), longest_retry: Duration::from_secs(120) };

    const FIRST: Attempt =
        Attempt { repeats: 0, elapsed: Duration::ZERO, left: None, retry_after: None, renewable: false, chance: 1.0 };

    const AGAIN: Next = Next::After(FIRST_SPAN);

    fn every_ending() -> impl Iterator<Item = Ending> {
        (100..600).map(Ending::Status).chain([Ending::NeverArrived, Ending::Lost, Ending::Malformed])
    }

    /// What is repeated, by name; whatever is not named is not.
    #[test]
    fn every_effect_and_every_ending_has_its_rule() {
        let reads = |ending| match ending {
            Ending::Status(429 | 502 | 503 | 504) | Ending::NeverArrived | Ending::Lost | Ending::Malformed => AGAIN,
            Ending::Status(_) => Next::GiveUp,
        };
        let writes = |ending| match ending {
            Ending::Status(429) | Ending::NeverArrived => AGAIN,
            Ending::Status(_) | Ending::Lost | Ending::Malformed => Next::GiveUp,
        };
        let mut decided = 0;
        for ending in every_ending() {
            for (effect, expected) in
                [(Effect::Read, reads(ending)), (Effect::Write, writes(ending)), (Effect::Destroy, writes(ending))]
            {
                assert_eq!(next(effect, ending, FIRST, PATIENCE), expected, "{effect:?} {ending:?}");
                let repeats = expected != Next::GiveUp && effect.is_write();
                assert!(!repeats || did_nothing(ending), "{effect:?} {ending:?}: a write goes again only then");
                let renewable = Attempt { renewable: true, ..FIRST };
                let expected = if ending == Ending::Status(401) { Next::Renew } else { expected };
                assert_eq!(next(effect, ending, renewable, PATIENCE), expected, "{effect:?} {ending:?}, renewable");
                decided += 2;
            }
        }
        assert_eq!(decided, 503 * 3 * 2);
    }

    #[test]
    fn a_pause_is_drawn_from_the_whole_of_a_span_that_doubles_and_ends() {
        let patience = Patience { max_retries: 8, ..PATIENCE };
        let pause =
            |repeats, chance| next(Effect::Read, Ending::Status(503), Attempt { repeats, chance, ..FIRST }, patience);
        let spans = [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000];
        for (repeats, span) in (0..).zip(spans) {
            for (chance, part) in [(0.0, 0), (0.25, span / 4), (1.0, span), (-1.0, 0), (7.0, span)] {
                assert_eq!(pause(repeats, chance), Next::After(Duration::from_millis(part)), "{repeats} {chance}");
            }
        }
        assert_eq!(pause(8, 0.0), Next::GiveUp);
        assert_eq!(pause(u32::MAX, 0.0), Next::GiveUp);
    }

    #[test]
    fn what_ironclad_asks_for_is_waited_for_exactly_or_not_at_all() {
        for effect in [Effect::Read, Effect::Write, Effect::Destroy] {
            for (seconds, expected) in [(0, true), (2, true), (30, true), (31, false), (3_600, false)] {
                let asked = Duration::from_secs(seconds);
                let attempt = Attempt { retry_after: Some(asked), ..FIRST };
                let expected = if expected { Next::After(asked) } else { Next::GiveUp };
                assert_eq!(next(effect, Ending::Status(429), attempt, PATIENCE), expected, "{effect:?} {seconds}");
            }
        }
    }

    #[test]
    fn no_attempt_begins_after_its_time() {
        let table = [(0, None, true), (119, None, true), (120, None, false), (u64::MAX, None, false)];
        let deadlines = [(0, Some(600), true), (0, Some(500), false), (0, Some(0), false), (119, Some(501), true)];
        for (elapsed, left, expected) in table.into_iter().chain(deadlines) {
            let (elapsed, left) = (Duration::from_secs(elapsed), left.map(Duration::from_millis));
            for ending in [Ending::Status(429), Ending::NeverArrived, Ending::Lost] {
                let decided = next(Effect::Read, ending, Attempt { elapsed, left, ..FIRST }, PATIENCE);
                assert_eq!(decided, if expected { AGAIN } else { Next::GiveUp }, "{elapsed:?} {left:?} {ending:?}");
            }
        }
    }
}
