//! Keeps to Ironclad's rate limits, so that a call waits here rather than being refused there.
//!
//! The vendor counts per company and per bucket. A request goes out only while fewer than the limit went out in the last
//! minute, in its bucket and in the company's limit over all buckets. Who has to wait queues: agents take turns, and so
//! do buckets where the company's limit is short. What other programs of the company use shows only in the vendor's
//! answers, so their `X-RateLimit-*` and `Retry-After` are believed.

mod bucket;
mod budget;
pub mod common;
mod queue;
mod window;

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

pub use self::{
    bucket::{Bucket, Scope},
    window::{Standing, WINDOW},
};
use self::{
    budget::{Asker, Budget, Look},
    common::{Common, Gone, Taken, Together, Token, Wanted},
    window::{Key, Serial},
};
use super::errand::Progress;

/// How often somebody who waits is told how it stands.
const TELLING: Duration = Duration::from_secs(1);

/// How late a request may go out after its place was taken in the common count, before that is told there.
const LATE: Duration = Duration::from_secs(1);

/// How long one waits for its own part, or for the common count to be within reach again, before both are tried anew.
const SLICE: Duration = Duration::from_secs(1);

/// What the limits are, as the operator sets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Limits other than the vendor's documented ones.
    pub limits: HashMap<Scope, usize>,
    /// How much of each limit is used here; the rest is left to the company's other programs.
    pub share: Share,
    /// The length of the vendor's windows; shorter only in tests.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limits: HashMap::new(), share: Share::WHOLE, window: WINDOW }
    }
}

/// A part of a limit, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(1_000_000);

    /// So much of a limit, and never nothing: a program that may send nothing would wait for ever.
    fn of(self, limit: usize) -> usize {
        let part = (limit as u128).saturating_mul(self.0.into()) / u128::from(Self::WHOLE.0);
        usize::try_from(part).unwrap_or(limit).max(1)
    }

    /// So many hundredths.
    #[must_use]
    pub fn percent(percent: u8) -> Self {
        Self(u32::from(percent.clamp(1, 100)) * (Self::WHOLE.0 / 100))
    }

    /// It in millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    fn is_whole(self) -> bool {
        self == Self::WHOLE
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no share; give a number above 0 and up to 1, such as 0.5");
        let share: f64 = text.trim().parse().map_err(|_| wrong())?;
        if share > 0.0 && share <= 1.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a million")]
            return Ok(Self((share * f64::from(Self::WHOLE.0)).round().max(1.0) as u32));
        }
        Err(wrong())
    }
}

/// What an answer tells of the rate limit that its request met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// `X-RateLimit-Limit`
    pub limit: Option<usize>,
    /// `X-RateLimit-Remaining`
    pub remaining: Option<usize>,
    /// `X-RateLimit-Reset`, as time from now.
    pub reset: Option<Duration>,
    /// `Retry-After`, as time from now.
    pub retry_after: Option<Duration>,
    /// Whether it is a 429.
    pub refused: bool,
}

/// A request that wants to go out.
pub struct Turn<'a> {
    /// The bucket that it draws on.
    pub bucket: Bucket,
    /// Whose it is.
    pub agent: &'a str,
    /// How much of a limit this agent may use.
    pub share: Share,
    /// It had its turn already, and Ironclad sent it back.
    pub sent_back: bool,
    /// How long it waits.
    pub until: Instant,
    /// Who wants to hear how it stands in the queue.
    pub progress: Option<&'a dyn Progress>,
}

/// The budget of one account.
#[derive(Debug)]
pub struct Limiter {
    budget: Mutex<Budget>,
    together: Option<Box<Together>>,
}

impl Limiter {
    /// A full budget.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { budget: Mutex::new(Budget::new(settings, false)), together: None }
    }

    /// The budget of one of at most so many replicas, which count together.
    #[must_use]
    pub fn together(settings: &Settings, count: Arc<dyn Common>, replicas: usize) -> Self {
        let together = Together::new(settings, count, replicas);
        Self { budget: Mutex::new(Budget::new(settings, true)), together: Some(Box::new(together)) }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place in the budget, and takes it. Dropping the future gives the place in the queue up.
    ///
    /// # Errors
    /// There is none in time: how long it would have taken from now.
    pub async fn admit(&self, mut turn: Turn<'_>) -> Result<Place<'_>, Duration> {
        let began = Instant::now();
        let Some(together) = self.together.as_deref() else { return self.admit_here(&turn, began).await };
        loop {
            let mut place = self.admit_here(&turn, began).await?;
            match together.count.take(self.wanted(together, turn.bucket)).await {
                Ok(Taken::Place(token)) => {
                    place.count_in(token);
                    return Ok(place);
                }
                Ok(Taken::Later { scope, wait }) => {
                    let now = Instant::now();
                    self.budget().used_up(scope, now + wait, now);
                    drop(place);
                }
                Err(Gone { back }) => {
                    drop(place);
                    if let Some(place) = together.alone(&turn, began, back).await? {
                        return Ok(place);
                    }
                }
            }
            // It had its turn, and keeps it.
            turn.sent_back = true;
        }
    }

    fn wanted(&self, together: &Together, bucket: Bucket) -> Wanted {
        let [own, company] = self.budget().limits(bucket);
        let limits = [together.limit(Scope::Bucket(bucket), own), together.limit(Scope::Company, company)];
        Wanted { bucket, limits, share: together.share() }
    }

    /// Waits for a place in this process's own count.
    async fn admit_here(&self, turn: &Turn<'_>, began: Instant) -> Result<Place<'_>, Duration> {
        let asker = Asker { agent: turn.agent.into(), share: turn.share };
        let (serial, wake) = self.budget().ask(turn.bucket, &asker, turn.sent_back);
        let ticket = Ticket { limiter: self, bucket: turn.bucket, serial, asker, wake };
        let mut telling = Instant::now();
        loop {
            let now = Instant::now();
            let (again, ahead, comes) = match ticket.look(now) {
                Look::Granted(key) => {
                    return Ok(Place { limiter: self, bucket: turn.bucket, key, token: None, is_used: false });
                }
                Look::Waiting { again, ahead, turn } => (again, ahead, turn),
            };
            let wait = comes.saturating_duration_since(now);
            if now >= turn.until {
                return Err(wait);
            }
            let mut alarm = again.map_or(turn.until, |again| again.min(turn.until));
            if let Some(progress) = turn.progress {
                if now >= telling {
                    telling = now + TELLING;
                    let what = queueing(turn.bucket, ahead, wait);
                    // Whoever does not listen any more holds nobody up.
                    let _ = timeout_at(telling, progress.report(began.elapsed(), &what)).await;
                    continue;
                }
                alarm = alarm.min(telling);
            }
            tokio::select! { () = ticket.wake.notified() => {}, () = sleep_until(alarm) => {} }
        }
    }

    /// How a bucket stands now.
    #[must_use]
    pub fn standing(&self, bucket: Bucket) -> Standing {
        self.budget().standing(bucket, Instant::now())
    }

    /// How many requests wait for a bucket.
    #[must_use]
    pub fn queued(&self, bucket: Bucket) -> usize {
        self.budget().queued(bucket)
    }
}

impl Together {
    /// Waits a moment for a place in this replica's own part, while the common count is out of reach; `None` is to try
    /// both again.
    async fn alone(&self, turn: &Turn<'_>, began: Instant, back: Duration) -> Result<Option<Place<'_>>, Duration> {
        let now = Instant::now();
        let until = turn.until.min(now + SLICE);
        if self.own(turn.bucket) == 0 {
            sleep_until(until).await;
            return if Instant::now() >= turn.until { Err(back) } else { Ok(None) };
        }
        match self.spare.admit_here(&Turn { until, ..*turn }, began).await {
            Ok(place) => Ok(Some(place)),
            Err(wait) if Instant::now() >= turn.until => Err(wait.min(back)),
            Err(_) => Ok(None),
        }
    }
}

fn queueing(bucket: Bucket, ahead: usize, wait: Duration) -> String {
    let seconds = wait.as_secs_f64().ceil();
    let before = match ahead {
        0 => "next in the queue".to_owned(),
        1 => "1 call before this one".to_owned(),
        _ => format!("{ahead} calls before this one"),
    };
    format!("waiting for Ironclad's rate limit {}: {before}, about {seconds} s", bucket.name())
}

/// A place in a queue, given up when it is dropped.
struct Ticket<'a> {
    limiter: &'a Limiter,
    bucket: Bucket,
    serial: Serial,
    asker: Asker,
    wake: Arc<Notify>,
}

impl Ticket<'_> {
    fn look(&self, now: Instant) -> Look {
        self.limiter.budget().look((self.bucket, self.serial), &self.asker, now)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.limiter.budget().leave(self.bucket, self.serial, Instant::now());
    }
}

/// A place in the budget. Dropped before its request went out, it is given back.
#[derive(Debug)]
#[must_use]
pub struct Place<'a> {
    limiter: &'a Limiter,
    bucket: Bucket,
    key: Key,
    /// The same place in the common count.
    token: Option<Token>,
    is_used: bool,
}

impl Place<'_> {
    fn count_in(&mut self, token: Token) {
        self.token = Some(token);
        self.limiter.budget().counted(self.bucket, self.key, Instant::now());
    }

    /// The request goes out now: from here on the place counts, whatever becomes of the call.
    pub fn used(&mut self) {
        self.is_used = true;
        self.key = self.limiter.budget().restart(self.bucket, self.key, Instant::now());
        if let (Some(together), Some(token)) = (&self.limiter.together, &self.token)
            && token.at.elapsed() > LATE
        {
            together.count.late(token);
        }
    }

    /// The request surely never reached Ironclad.
    pub fn unused(mut self) {
        self.is_used = false;
    }

    /// The request was answered.
    pub fn answered(mut self, heard: &Heard) {
        self.is_used = true;
        let word = self.limiter.budget().settle(self.bucket, self.key, (Instant::now(), heard));
        if let (Some(together), Some((scope, word))) = (&self.limiter.together, word) {
            together.count.told(scope, word);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            if let (Some(together), Some(token)) = (&self.limiter.together, self.token.take()) {
                together.count.give_back(token);
            }
            self.limiter.budget().give_back(self.bucket, self.key, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
