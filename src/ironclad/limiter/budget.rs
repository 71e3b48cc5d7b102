//! All limits of one account together, and who waits for which. Pure but for waking: the time is an argument.
//!
//! A request needs a place in its bucket and one in the company's limit, and gets both or neither. Where the company's
//! limit is what is short, the buckets that somebody waits for take turns, so that no kind of request starves another.

use std::{collections::HashMap, sync::Arc};

use tokio::{sync::Notify, time::Instant};

use super::{
    Heard, Settings, Share,
    bucket::{Bucket, Scope},
    common::Word,
    queue::{Queue, Waiter},
    window::{Key, Serial, Standing, WINDOW, Window},
};

/// The state of one account's budget.
#[derive(Debug)]
pub(super) struct Budget {
    buckets: Vec<Line>,
    company: Window,
    /// The bucket that goes first where the company's limit is short.
    turn: usize,
    next: Serial,
    /// Places that were given out and not yet fetched.
    granted: HashMap<Serial, Key>,
    /// Whether replicas count together, so that one place at a time is asked for there: whoever waits here keeps its turn.
    together: bool,
}

/// A bucket and those who wait for it.
#[derive(Debug)]
struct Line {
    window: Window,
    queue: Queue,
    /// The place that the common count is being asked about.
    asking: Option<Serial>,
}

/// Whose request it is.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) agent: Arc<str>,
    pub(super) share: Share,
}

impl Asker {
    fn terms(&self) -> (&str, Share) {
        (&self.agent, self.share)
    }
}

/// What one that waits sees when it looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Its place.
    Granted(Key),
    /// Its place in the queue.
    Waiting {
        /// When to look again, if it is not woken before.
        again: Option<Instant>,
        /// How many go before.
        ahead: usize,
        /// When its turn comes, if all goes as now.
        turn: Instant,
    },
}

impl Budget {
    pub(super) fn new(settings: &Settings, together: bool) -> Self {
        let window = |bucket| Window::new(Scope::Bucket(bucket), settings);
        let line = |bucket| Line { window: window(bucket), queue: Queue::default(), asking: None };
        Self {
            buckets: Bucket::all().map(line).into(),
            company: Window::new(Scope::Company, settings),
            turn: 0,
            next: 0,
            granted: HashMap::new(),
            together,
        }
    }

    fn line(&mut self, bucket: Bucket) -> Option<&mut Line> {
        self.buckets.get_mut(bucket as usize)
    }

    /// Joins a queue.
    pub(super) fn ask(&mut self, bucket: Bucket, asker: &Asker, sent_back: bool) -> (Serial, Arc<Notify>) {
        let serial = self.next;
        self.next += 1;
        let wake = Arc::new(Notify::new());
        if let Some(line) = self.line(bucket) {
            let waiter = Waiter { serial, wake: Arc::clone(&wake) };
            line.queue.join((&asker.agent, asker.share), waiter, sent_back);
        }
        (serial, wake)
    }

    /// How it stands with one that waits.
    pub(super) fn look(&mut self, (bucket, serial): (Bucket, Serial), asker: &Asker, now: Instant) -> Look {
        self.grant(now);
        if let Some(key) = self.granted.remove(&serial) {
            return Look::Granted(key);
        }
        let ahead = self.line(bucket).map_or(0, |line| line.queue.ahead_of(serial));
        let company = self.company.opens_for(now, asker.terms());
        let own = self.line(bucket).map_or(now, |line| line.window.opens_for(now, asker.terms()));
        let turn = self.line(bucket).map_or(now, |line| line.window.opens(now, ahead));
        let opens = own.max(company);
        // While another is asked for, whoever is next is woken.
        let is_first = self.line(bucket).is_some_and(|line| line.asking.is_none() && line.queue.is_first(serial));
        Look::Waiting { again: is_first.then_some(opens), ahead, turn: turn.max(opens) }
    }

    /// Gives out every place that there is.
    fn grant(&mut self, now: Instant) {
        let mut idle = 0;
        while idle < self.buckets.len() && self.company.room(now) > 0 {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.buckets.len();
            idle = if self.grant_one(index, now) { 0 } else { idle + 1 };
        }
    }

    /// Gives one place of a bucket to whoever's turn it is.
    fn grant_one(&mut self, index: usize, now: Instant) -> bool {
        let Some(Line { window, queue, asking }) = self.buckets.get_mut(index) else { return false };
        if queue.is_empty() || asking.is_some() || window.room(now) == 0 {
            return false;
        }
        let company = &mut self.company;
        let next = queue
            .next(|agent, share| window.room_of(now, (agent, share)) > 0 && company.room_of(now, (agent, share)) > 0);
        let Some((waiter, agent)) = next else { return false };
        let key = window.take(now, waiter.serial, Arc::clone(&agent));
        company.take(now, waiter.serial, agent);
        self.granted.insert(waiter.serial, key);
        *asking = self.together.then_some(waiter.serial);
        waiter.wake.notify_one();
        true
    }

    /// Takes out one that gave up waiting.
    pub(super) fn leave(&mut self, bucket: Bucket, serial: Serial, now: Instant) {
        if let Some(key) = self.granted.remove(&serial) {
            self.give_back(bucket, key, now);
        } else if let Some(line) = self.line(bucket) {
            line.queue.leave(serial);
        }
    }

    /// The common count has the place too: the next may ask.
    pub(super) fn counted(&mut self, bucket: Bucket, key: Key, now: Instant) {
        if let Some(line) = self.line(bucket) {
            line.asking.take_if(|asking| *asking == key.1);
        }
        self.grant(now);
    }

    /// The common count has no place before then.
    pub(super) fn used_up(&mut self, scope: Scope, until: Instant, now: Instant) {
        match scope {
            Scope::Company => self.company.used_up(until, now),
            Scope::Bucket(bucket) => {
                if let Some(line) = self.line(bucket) {
                    line.window.used_up(until, now);
                }
            }
        }
    }

    /// The limits of a bucket and of the company, as far as is known.
    pub(super) fn limits(&self, bucket: Bucket) -> [usize; 2] {
        let own = self.buckets.get(bucket as usize).map_or(0, |line| line.window.limit());
        [own, self.company.limit()]
    }

    /// Takes back a place whose request never reached Ironclad.
    pub(super) fn give_back(&mut self, bucket: Bucket, key: Key, now: Instant) {
        if let Some(line) = self.line(bucket) {
            line.window.give_back(key);
            line.asking.take_if(|asking| *asking == key.1);
        }
        self.company.give_back(key);
        self.grant(now);
    }

    /// The request of a place goes out only now.
    pub(super) fn restart(&mut self, bucket: Bucket, key: Key, now: Instant) -> Key {
        if let Some(line) = self.line(bucket) {
            line.window.restart(key, now);
        }
        self.company.restart(key, now)
    }

    /// The request of a place was answered; gives what the other replicas should know of it.
    pub(super) fn settle(
        &mut self,
        bucket: Bucket,
        key: Key,
        (now, heard): (Instant, &Heard),
    ) -> Option<(Scope, Word)> {
        if let Some(line) = self.line(bucket) {
            line.window.settle(key, now);
        }
        self.company.settle(key, now);
        self.learn(bucket, (now, heard));
        self.grant(now);
        let scope = if self.is_of_company(bucket, heard) { Scope::Company } else { Scope::Bucket(bucket) };
        Some((scope, heard.word(scope)?))
    }

    /// What an answer tells of the limit that its request met.
    fn learn(&mut self, bucket: Bucket, (now, heard): (Instant, &Heard)) {
        let next = self.next;
        let of_company = self.is_of_company(bucket, heard);
        let Some(line) = self.buckets.get_mut(bucket as usize) else { return };
        let window = if of_company { &mut self.company } else { &mut line.window };
        let before = window.limit();
        if let Some(limit) = heard.limit {
            window.believe(limit);
        }
        if let (Some(remaining), Some(reset)) = (heard.remaining, heard.reset) {
            window.left(remaining, now + reset, (now, next));
        }
        if let Some(pause) = heard.closes_for() {
            window.close(now + pause, now);
        }
        if window.limit() != before {
            // Who waits has set its clock by the old limit.
            self.buckets.iter().for_each(|line| line.queue.wake_all());
        }
    }

    /// An answer describes only the limit that was hit (ironclad-api.md §5), which may be the company's.
    fn is_of_company(&self, bucket: Bucket, heard: &Heard) -> bool {
        let own = self.buckets.get(bucket as usize).map_or(0, |line| line.window.known());
        heard.limit.is_some_and(|limit| limit != own && limit >= self.company.known())
    }

    /// How a bucket stands; the company's limit counts where it leaves less.
    pub(super) fn standing(&mut self, bucket: Bucket, now: Instant) -> Standing {
        let company = self.company.standing(now);
        let own = self.line(bucket).map_or(company, |line| line.window.standing(now));
        if company.remaining < own.remaining {
            Standing { limit: own.limit, remaining: company.remaining, reset: company.reset }
        } else {
            own
        }
    }

    /// How many wait for a bucket.
    pub(super) fn queued(&mut self, bucket: Bucket) -> usize {
        self.line(bucket).map_or(0, |line| line.queue.len())
    }
}

impl Heard {
    /// What the other replicas should know: that nothing goes out, that little is left, that the limit is another.
    fn word(&self, scope: Scope) -> Option<Word> {
        let short = |left: usize| left.saturating_mul(4) < self.limit.unwrap_or(scope.documented());
        let word = Word {
            closed: self.closes_for(),
            left: self.remaining.filter(|left| short(*left)).zip(self.reset),
            limit: self.limit.filter(|limit| *limit > 0 && *limit != scope.documented()),
        };
        (word != Word::default()).then_some(word)
    }

    /// For how long the bucket of the request is shut.
    ///
    /// Ironclad also answers 429 where one thing may be done once an hour (ironclad-api.md §3). Such an answer says
    /// nothing of the bucket, and is told by what the bucket has left, or by a pause longer than any window.
    fn closes_for(&self) -> Option<std::time::Duration> {
        let pause = self.retry_after.or(self.reset).filter(|_| self.refused)?;
        match self.remaining {
            Some(remaining) => (remaining == 0).then_some(pause),
            None => (pause <= WINDOW).then_some(pause),
        }
    }
}
