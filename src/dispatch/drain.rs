//! Knows which calls are under way, and lets them end in good order once the server is told to stop.
//!
//! A read is cut after a short while, since nothing is lost by it. A write that was sent is waited for longer: its answer
//! is the only proof of what happened. A write that was not sent yet ends at once, so that nothing begins any more.

use std::{
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

/// How long calls under way may still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// Reads.
    pub reads: Duration,
    /// Writes whose request was sent.
    pub writes: Duration,
    /// Whether calls may still begin, and writes be sent, while reads may take their time.
    pub goes_on: bool,
}

impl Grace {
    /// The operating system asked the server to stop.
    pub const TOLD: Self = Self { reads: Duration::from_secs(5), writes: Duration::from_secs(20), goes_on: false };

    /// The only client hung up: what it asked for is done, but it hardly waits for an answer.
    pub const HUNG_UP: Self =
        Self { reads: Duration::from_millis(1500), writes: Duration::from_secs(20), goes_on: true };

    /// Nothing is waited for.
    pub const NONE: Self = Self { reads: Duration::ZERO, writes: Duration::ZERO, goes_on: false };
}

/// When the server was told to stop, and how patient it is.
#[derive(Debug, Clone, Copy)]
struct Stop {
    reads_end: Instant,
    writes_end: Instant,
    goes_on: bool,
}

/// The calls that are under way.
#[derive(Debug)]
pub struct Drain {
    told: Grace,
    stop: watch::Sender<Option<Stop>>,
    under_way: AtomicUsize,
    one_less: Notify,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new(Grace::TOLD)
    }
}

impl Drain {
    /// Calls that get `told` to end in once the server is told to stop.
    #[must_use]
    pub fn new(told: Grace) -> Self {
        Self { told, stop: watch::Sender::default(), under_way: AtomicUsize::default(), one_less: Notify::default() }
    }

    /// Tells every call to end in the time that it has when the server is told to stop.
    pub fn told(&self) {
        self.stop(self.told);
    }

    /// Tells every call to end within `grace`; told again, the sooner end counts.
    pub fn stop(&self, grace: Grace) {
        let now = Instant::now();
        self.stop.send_modify(|stop| {
            let (reads_end, writes_end) = (now + grace.reads, now + grace.writes);
            *stop = Some(stop.map_or(Stop { reads_end, writes_end, goes_on: grace.goes_on }, |before| Stop {
                reads_end: before.reads_end.min(reads_end),
                writes_end: before.writes_end.min(writes_end),
                goes_on: before.goes_on && grace.goes_on,
            }));
        });
    }

    /// Whether calls are refused because the server was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some_and(|stop| !stop.goes_on)
    }

    /// Waits until no call is under way.
    pub async fn emptied(&self) {
        loop {
            let one_less = self.one_less.notified();
            tokio::pin!(one_less);
            // Before the look, so that a call that ends in between is not missed.
            one_less.as_mut().enable();
            if self.under_way.load(Ordering::Acquire) == 0 {
                return;
            }
            one_less.await;
        }
    }

    /// Counts a call that begins.
    pub(super) fn enter(&self, is_write: bool) -> Passage<'_> {
        // Counted first: whoever stops the server either sees this call or is seen by it.
        self.under_way.fetch_add(1, Ordering::AcqRel);
        Passage { drain: self, is_write, is_refused: self.is_stopping() }
    }
}

/// One call under way; dropped when its line is written.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    drain: &'a Drain,
    is_write: bool,
    is_refused: bool,
}

impl Passage<'_> {
    /// Whether the call came after the server was told to stop.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Waits until the call has to end, which most never have to; `sent` counts how often its request went out.
    pub(super) async fn cut(&self, sent: &AtomicU32) {
        let mut stops = self.drain.stop.subscribe();
        loop {
            let stop = *stops.borrow_and_update();
            let Some(stop) = stop else {
                if stops.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            };
            let end = self.end(stop, sent.load(Ordering::Acquire) > 0);
            if end <= Instant::now() {
                return;
            }
            // A change of the end is a reason to look again, and so is the end: a write may have been sent since.
            tokio::select! { _ = stops.changed() => {}, () = sleep_until(end) => {} }
        }
    }

    fn end(&self, stop: Stop, sent: bool) -> Instant {
        match (self.is_write, sent) {
            (true, true) => stop.writes_end,
            (true, false) if !stop.goes_on => Instant::now(),
            (true | false, _) => stop.reads_end,
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.drain.under_way.fetch_sub(1, Ordering::AcqRel);
        self.drain.one_less.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// When a call is cut, in milliseconds after the stop.
    async fn cut_after(grace: Grace, is_write: bool, sent: bool) -> u128 {
        let drain = Drain::default();
        let passage = drain.enter(is_write);
        drain.stop(grace);
        let began = Instant::now();
        passage.cut(&AtomicU32::new(u32::from(sent))).await;
        began.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_of_call_has_its_time() {
        let table = [
            (Grace::TOLD, false, false, 5000),
            (Grace::TOLD, false, true, 5000),
            (Grace::TOLD, true, false, 0),
            (Grace::TOLD, true, true, 20_000),
            (Grace::HUNG_UP, false, true, 1500),
            (Grace::HUNG_UP, true, false, 1500),
            (Grace::HUNG_UP, true, true, 20_000),
            (Grace::NONE, false, true, 0),
            (Grace::NONE, true, true, 0),
        ];
        for (grace, is_write, sent, expected) in table {
            let cut = cut_after(grace, is_write, sent).await;
            // The timer counts whole milliseconds.
            assert!((expected..=expected + 1).contains(&cut), "{grace:?} write: {is_write} sent: {sent}: {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_not_cut_before_the_server_is_told_to_stop() {
        let drain = Drain::default();
        let passage = drain.enter(false);
        assert!(tokio::time::timeout(Duration::from_secs(3600), passage.cut(&AtomicU32::new(0))).await.is_err());
        assert!(!drain.is_stopping());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_sent_after_its_client_hung_up_is_waited_for() {
        let drain = Drain::default();
        let (passage, sent) = (drain.enter(true), AtomicU32::new(0));
        drain.stop(Grace::HUNG_UP);
        let began = Instant::now();
        let sends = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sent.fetch_add(1, Ordering::Release);
        };
        futures_util::future::join(passage.cut(&sent), sends).await;
        assert_eq!(began.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_word_to_stop_counts_from_then() {
        let drain = Drain::default();
        let (passage, sent) = (drain.enter(true), AtomicU32::new(1));
        drain.stop(Grace::TOLD);
        let began = Instant::now();
        let again = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            drain.stop(Grace::TOLD);
            tokio::time::sleep(Duration::from_secs(1)).await;
            drain.stop(Grace::NONE);
        };
        futures_util::future::join(passage.cut(&sent), again).await;
        assert_eq!(began.elapsed().as_secs(), 3);
    }

    #[tokio::test]
    async fn calls_are_refused_once_the_server_is_told_to_stop_and_its_end_is_waited_for() {
        let drain = Drain::default();
        let (one, two) = (drain.enter(true), drain.enter(false));
        drain.stop(Grace::HUNG_UP);
        assert!(!drain.enter(false).is_refused(), "it was asked for before the client hung up");
        drain.stop(Grace::TOLD);
        assert!(drain.enter(true).is_refused() && drain.is_stopping());
        let mut emptied = Box::pin(drain.emptied());
        assert!(emptied.as_mut().now_or_never().is_none());
        drop(one);
        assert!(emptied.as_mut().now_or_never().is_none());
        drop(two);
        emptied.await;
    }
}
