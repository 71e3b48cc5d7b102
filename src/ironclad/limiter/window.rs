//! One limit over a sliding minute. Pure: the time is an argument.
//!
//! The vendor does not tell the edges of its windows (ironclad-api.md §5), so no stretch of a minute may see more than
//! the limit. What counts is when a request reaches Ironclad, which is some time between its sending and its answer: a
//! place comes back a minute after the answer, or a minute and [`TRAVEL`] after the sending if that is sooner.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Settings, Share, bucket::Scope};

/// The length of the vendor's windows.
pub const WINDOW: Duration = Duration::from_secs(60);

/// How long a request may be on its way. Waiting for the answer of a slow launch would cost more than the pace.
const TRAVEL: Duration = Duration::from_millis(1_500);

/// How far apart two tellings of one window's end may lie: whole seconds, and the way of the answers.
const SAME_WINDOW: Duration = Duration::from_secs(5);

/// The longest that an answer may close a window.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What tells a place from all others, and when it was given out.
pub(super) type Serial = u64;

/// A place that is taken: when it comes back, if nothing is heard of it, and its number.
pub(super) type Key = (Instant, Serial);

/// The uses of one limit.
#[derive(Debug)]
pub(super) struct Window {
    documented: usize,
    /// The operator's word.
    set: Option<usize>,
    /// Ironclad's own word.
    told: Option<usize>,
    share: Share,
    length: Duration,
    uses: BTreeMap<Key, Arc<str>>,
    closed_until: Option<Instant>,
    /// Until when all replicas together have used it up.
    used_up_until: Option<Instant>,
    rest: Option<Rest>,
}

/// What Ironclad said is left of its own window, others' uses taken off.
#[derive(Debug)]
struct Rest {
    left: usize,
    until: Instant,
    /// The first place that was given out after the telling, and how many were since then.
    since: Serial,
    taken: usize,
}

impl Rest {
    fn left(&self) -> usize {
        self.left.saturating_sub(self.taken)
    }
}

/// How a limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests a minute.
    pub limit: usize,
    /// How many are left now.
    pub remaining: usize,
    /// How long it takes until more are.
    pub reset: Duration,
}

impl Window {
    pub(super) fn new(scope: Scope, settings: &Settings) -> Self {
        Self {
            documented: scope.documented(),
            set: settings.limits.get(&scope).copied(),
            told: None,
            share: settings.share,
            length: settings.window,
            uses: BTreeMap::new(),
            closed_until: None,
            used_up_until: None,
            rest: None,
        }
    }

    /// What Ironclad allows the company, as far as is known.
    pub(super) fn known(&self) -> usize {
        self.told.unwrap_or(self.documented)
    }

    /// What is used of it here. The operator's word never raises what Ironclad has told.
    pub(super) fn limit(&self) -> usize {
        let whole = match (self.set, self.told) {
            (Some(set), Some(told)) => set.min(told),
            (Some(set), None) => set,
            (None, _) => self.known(),
        };
        self.share.of(whole)
    }

    /// Ironclad's own word on the limit.
    pub(super) fn believe(&mut self, limit: usize) {
        if limit > 0 {
            self.told = Some(limit);
        }
    }

    /// Ironclad's own word on what is left until its window ends; `next` is the number of the next place.
    pub(super) fn left(&mut self, left: usize, until: Instant, (now, next): (Instant, Serial)) {
        let until = until.min(now + LONGEST_PAUSE);
        let known = self.rest.take().filter(|rest| rest.until > now && until <= rest.until + SAME_WINDOW);
        self.rest = Some(match known {
            // Answers overtake each other: the least that was told of a window is the newest word, and its end was told by
            // the one that was the shortest on its way.
            Some(rest) => Rest { left: rest.left().min(left), until: rest.until.min(until), since: next, taken: 0 },
            None => Rest { left, until, since: next, taken: 0 },
        });
    }

    /// Nothing goes out until then.
    pub(super) fn close(&mut self, until: Instant, now: Instant) {
        self.closed_until = self.closed_until.max(Some(until.min(now + LONGEST_PAUSE)));
    }

    /// Replicas have used it up together until then.
    pub(super) fn used_up(&mut self, until: Instant, now: Instant) {
        self.used_up_until = Some(until.min(now + LONGEST_PAUSE));
    }

    /// Forgets what is over.
    fn forget(&mut self, now: Instant) {
        while self.uses.first_key_value().is_some_and(|((until, _), _)| *until <= now) {
            self.uses.pop_first();
        }
        self.closed_until.take_if(|until| *until <= now);
        self.used_up_until.take_if(|until| *until <= now);
        self.rest.take_if(|rest| rest.until <= now);
    }

    /// How many more may go out now.
    pub(super) fn room(&mut self, now: Instant) -> usize {
        self.forget(now);
        if self.closed_until.is_some() || self.used_up_until.is_some() {
            return 0;
        }
        let own = self.limit().saturating_sub(self.uses.len());
        self.rest.as_ref().map_or(own, |rest| own.min(rest.left()))
    }

    /// How many more of an agent's may go out now.
    pub(super) fn room_of(&mut self, now: Instant, (agent, share): (&str, Share)) -> usize {
        let room = self.room(now);
        if share.is_whole() || room == 0 {
            return room;
        }
        room.min(share.of(self.limit()).saturating_sub(self.used_by(agent).count()))
    }

    fn used_by<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = Instant> + 'a {
        self.uses.iter().filter(move |(_, user)| &***user == agent).map(|((until, _), _)| *until)
    }

    pub(super) fn take(&mut self, now: Instant, serial: Serial, agent: Arc<str>) -> Key {
        let key = (now + self.length + TRAVEL, serial);
        self.uses.insert(key, agent);
        if let Some(rest) = &mut self.rest {
            rest.taken += 1;
        }
        key
    }

    /// The request of a place goes out at `now`.
    pub(super) fn restart(&mut self, key: Key, now: Instant) -> Key {
        self.moved(key, now + self.length + TRAVEL)
    }

    /// The request of a place was answered at `now`.
    pub(super) fn settle(&mut self, key: Key, now: Instant) {
        self.moved(key, key.0.min(now + self.length));
    }

    fn moved(&mut self, key: Key, until: Instant) -> Key {
        let key_then = (until, key.1);
        if let Some(agent) = self.uses.remove(&key) {
            self.uses.insert(key_then, agent);
        }
        key_then
    }

    /// The request of a place never reached Ironclad.
    pub(super) fn give_back(&mut self, key: Key) {
        let was_taken = self.uses.remove(&key).is_some();
        if let Some(rest) = self.rest.as_mut().filter(|rest| was_taken && rest.since <= key.1) {
            rest.taken = rest.taken.saturating_sub(1);
        }
    }

    /// When the next request may go out that has so many before it, if all goes as now.
    pub(super) fn opens(&self, now: Instant, ahead: usize) -> Instant {
        let limit = self.limit().max(1);
        let over = (self.uses.len() + ahead + 1).checked_sub(limit);
        let full = over.and_then(|over| over.checked_sub(1)).map(|over| {
            // Past the uses that are known, each round of them takes a minute.
            let known = self.uses.len().max(1);
            let rounds = u32::try_from(over / known).unwrap_or(u32::MAX);
            let freed = self.uses.keys().nth(over % known).map_or(now, |(until, _)| *until);
            freed + self.length.saturating_mul(rounds.min(10_000))
        });
        let rest = self.rest.as_ref().filter(|rest| rest.left() <= ahead).map(|rest| rest.until);
        [full, rest, self.closed_until, self.used_up_until].into_iter().flatten().max().unwrap_or(now).max(now)
    }

    /// The same for an agent's next request, where its own share is what stops it.
    pub(super) fn opens_for(&self, now: Instant, (agent, share): (&str, Share)) -> Instant {
        let over = if share.is_whole() {
            None
        } else {
            (self.used_by(agent).count() + 1).checked_sub(share.of(self.limit()) + 1)
        };
        let own = over.and_then(|over| self.used_by(agent).nth(over)).unwrap_or(now);
        self.opens(now, 0).max(own)
    }

    pub(super) fn standing(&mut self, now: Instant) -> Standing {
        let remaining = self.room(now);
        let limit = self.limit();
        let more = match &self.rest {
            _ if remaining == 0 => self.opens(now, 0),
            Some(rest) if remaining < limit.saturating_sub(self.uses.len()) => rest.until,
            Some(_) | None => self.uses.first_key_value().map_or(now, |((until, _), _)| *until),
        };
        Standing { limit, remaining, reset: more.saturating_duration_since(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ironclad::limiter::bucket::Bucket;

    const WRITES: Scope = Scope::Bucket(Bucket::WorkflowsWrite);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn millis(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn window(set: Option<usize>, share: &str) -> Window {
        let limits = set.map(|set| (WRITES, set)).into_iter().collect();
        Window::new(WRITES, &Settings { limits, share: share.parse().unwrap(), ..Settings::default() })
    }

    /// Takes `count` places, each answered at once.
    fn used(window: &mut Window, count: usize, now: Instant) {
        for _ in 0..count {
            let serial = window.uses.len() as Serial;
            let key = window.take(now, serial, "a".into());
            window.settle(key, now);
        }
    }

    #[test]
    fn the_operators_word_lowers_and_ironclads_own_is_believed() {
        let table = [
            (None, None, "1", 40),
            (None, Some(100), "1", 100),
            (None, Some(10), "1", 10),
            (Some(20), None, "1", 20),
            (Some(60), None, "1", 60),
            (Some(20), Some(100), "1", 20),
            (Some(60), Some(50), "1", 50),
            (None, None, "0.5", 20),
            (None, Some(100), "0.25", 25),
            (Some(30), None, "0.5", 15),
            // However small the share, something gets through.
            (None, Some(3), "0.01", 1),
            (None, Some(0), "1", 40),
        ];
        for (set, told, share, expected) in table {
            let mut window = window(set, share);
            told.into_iter().for_each(|told| window.believe(told));
            assert_eq!(window.limit(), expected, "{set:?} {told:?} {share}");
        }
    }

    #[test]
    fn a_place_comes_back_a_minute_after_its_answer_or_soon_after_its_sending() {
        let now = Instant::now();
        let mut window = window(Some(1), "1");
        let key = window.take(now, 0, "a".into());
        assert_eq!(window.room(now), 0);
        assert_eq!(window.opens(now, 0), now + millis(61_500), "while it is on its way");
        window.settle(key, now + seconds(1));
        assert_eq!(window.room(now + seconds(60)), 0);
        assert_eq!(window.room(now + seconds(61)), 1);
        let key = window.take(now, 1, "a".into());
        window.settle(key, now + seconds(30));
        assert_eq!(window.opens(now, 0), now + millis(61_500), "a slow answer does not hold the place");
        window.give_back((now + millis(61_500), 1));
        assert_eq!(window.room(now), 1);
        let key = window.take(now, 2, "a".into());
        let key = window.restart(key, now + seconds(10));
        assert_eq!(window.opens(now, 0), now + millis(71_500), "the request went out late");
        window.give_back(key);
        assert_eq!(window.room(now), 1);
    }

    #[test]
    fn what_others_used_is_taken_off_until_ironclads_window_ends() {
        let now = Instant::now();
        let mut window = window(None, "1");
        used(&mut window, 1, now);
        assert_eq!(window.room(now), 39);
        // Somebody else sent 24.
        window.left(15, now + seconds(20), (now, 1));
        assert_eq!(window.room(now), 15);
        used(&mut window, 5, now);
        assert_eq!((window.room(now), window.opens(now, 10)), (10, now + seconds(20)));
        assert_eq!(window.standing(now), Standing { limit: 40, remaining: 10, reset: seconds(20) });
        // An answer that was overtaken tells an older state; a newer window tells a new one.
        window.left(14, now + seconds(21), (now, 6));
        assert_eq!(window.room(now), 10);
        let later = now + seconds(30);
        window.left(30, later + seconds(50), (later, 6));
        assert_eq!(window.room(later), 30);
        window.left(2, later + seconds(50), (later, 6));
        assert_eq!(window.room(later), 2);
        assert_eq!(window.room(later + seconds(50)), 40);
    }

    #[test]
    fn a_request_that_never_arrived_takes_nothing_off_what_is_left() {
        let now = Instant::now();
        let mut window = window(None, "1");
        window.left(1, now + seconds(20), (now, 0));
        let key = window.take(now, 0, "a".into());
        assert_eq!(window.room(now), 0);
        window.give_back(key);
        assert_eq!(window.room(now), 1);
    }

    #[test]
    fn half_a_share_leaves_the_other_half_and_never_takes_what_is_not_left() {
        let now = Instant::now();
        let mut window = window(None, "0.5");
        window.left(35, now + seconds(20), (now, 0));
        assert_eq!(window.room(now), 20);
        window.left(7, now + seconds(20), (now, 0));
        assert_eq!(window.room(now), 7);
    }

    #[test]
    fn a_closed_window_opens_in_time_and_within_ten_minutes() {
        let now = Instant::now();
        let mut window = window(None, "1");
        window.close(now + seconds(30), now);
        window.close(now + seconds(10), now);
        assert_eq!((window.room(now), window.opens(now, 0)), (0, now + seconds(30)));
        assert_eq!(window.standing(now), Standing { limit: 40, remaining: 0, reset: seconds(30) });
        assert_eq!(window.room(now + seconds(30)), 40);
        window.close(now + seconds(1 << 40), now);
        assert_eq!(window.opens(now, 0), now + seconds(600));
        window.left(0, now + seconds(1 << 40), (now, 0));
        assert_eq!(window.opens(now, 0), now + seconds(600));
    }

    #[test]
    fn what_replicas_used_up_together_comes_back_when_the_newest_word_says() {
        let now = Instant::now();
        let mut window = window(None, "1");
        window.used_up(now + seconds(30), now);
        assert_eq!((window.room(now), window.opens(now, 0)), (0, now + seconds(30)));
        window.used_up(now + seconds(10), now);
        assert_eq!((window.room(now + seconds(9)), window.room(now + seconds(10))), (0, 40));
    }

    #[test]
    fn the_wait_of_the_last_in_a_long_queue_is_known() {
        let now = Instant::now();
        let mut window = window(None, "1");
        assert_eq!(window.opens(now, 39), now);
        assert!(window.opens(now, 40) >= now);
        used(&mut window, 40, now);
        assert_eq!(window.opens(now, 0), now + seconds(60));
        assert_eq!(window.opens(now, 39), now + seconds(60));
        assert_eq!(window.opens(now, 40), now + seconds(120));
        assert_eq!(window.opens(now, 499), now + seconds(13 * 60));
        assert!(window.opens(now, usize::MAX / 2) > now);
    }

    #[test]
    fn an_agent_keeps_to_its_share_and_the_rest_is_for_others() {
        let now = Instant::now();
        let mut window = window(None, "1");
        let quarter = "0.25".parse().unwrap();
        used(&mut window, 9, now);
        assert_eq!(window.room_of(now, ("a", quarter)), 1);
        used(&mut window, 1, now + seconds(1));
        assert_eq!(window.room_of(now, ("a", quarter)), 0);
        assert_eq!(window.opens_for(now, ("a", quarter)), now + seconds(60));
        assert_eq!(window.room_of(now, ("b", quarter)), 10);
        assert_eq!(window.room_of(now, ("a", Share::WHOLE)), 30);
        assert_eq!(window.opens_for(now, ("a", Share::WHOLE)), now);
    }
}
