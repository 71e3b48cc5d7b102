//! Decides whether a request may be sent again, and after how long. Deciding is apart from waiting, so it is pure.
//!
//! There are no idempotency keys (ironclad-api.md §4), so a write goes again only where Ironclad surely did nothing.

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

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
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
    /// The longest single wait.
    pub longest_wait: Duration,
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Decides after attempt number `attempt` (the first is 0); `retry_after` is what Ironclad asked for.
#[must_use]
pub fn next(effect: Effect, ending: Ending, attempt: u32, retry_after: Option<Duration>, patience: Patience) -> Next {
    if attempt >= patience.max_retries || !may_repeat(effect, ending) {
        return Next::GiveUp;
    }
    let pause = retry_after.unwrap_or_else(|| FIRST_PAUSE.saturating_mul(2u32.saturating_pow(attempt)));
    if pause > patience.longest_wait { Next::GiveUp } else { Next::After(pause) }
}

fn may_repeat(effect: Effect, ending: Ending) -> bool {
    match ending {
        // Ironclad did nothing, so even a write may be sent again.
        Ending::Status(429) | Ending::NeverArrived => true,
        Ending::Status(502..=504) | Ending::Lost | Ending::Malformed => effect == Effect::Read,
        Ending::Status(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { max_retries: 4, longest_wait: Duration::from_secs(30) };

    #[test]
    fn every_effect_and_ending_has_its_rule() {
        let table = [
            (Ending::Status(429), true, true),
            (Ending::NeverArrived, true, true),
            (Ending::Status(502), true, false),
            (Ending::Status(503), true, false),
            (Ending::Status(504), true, false),
            (Ending::Lost, true, false),
            (Ending::Malformed, true, false),
            (Ending::Status(500), false, false),
            (Ending::Status(400), false, false),
            (Ending::Status(401), false, false),
            (Ending::Status(404), false, false),
        ];
        for (ending, read, write) in table {
            for (effect, repeats) in [(Effect::Read, read), (Effect::Write, write), (Effect::Destroy, write)] {
                let decided = next(effect, ending, 0, None, PATIENCE);
                assert_eq!(decided != Next::GiveUp, repeats, "{effect:?} {ending:?}");
            }
        }
    }

    #[test]
    fn pauses_double_and_end() {
        let pauses: Vec<Next> =
            (0..6).map(|attempt| next(Effect::Read, Ending::Status(503), attempt, None, PATIENCE)).collect();
        let after = |ms| Next::After(Duration::from_millis(ms));
        assert_eq!(pauses, [after(250), after(500), after(1000), after(2000), Next::GiveUp, Next::GiveUp]);
    }

    #[test]
    fn a_wait_longer_than_allowed_is_not_begun() {
        let asked = |seconds| next(Effect::Write, Ending::Status(429), 0, Some(Duration::from_secs(seconds)), PATIENCE);
        assert_eq!(asked(30), Next::After(Duration::from_secs(30)));
        assert_eq!(asked(31), Next::GiveUp);
    }
}
