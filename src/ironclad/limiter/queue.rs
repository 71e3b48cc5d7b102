//! Who goes next: agents in turn, and of one agent's calls the one that came first. Pure.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::Notify;

use super::{Share, window::Serial};

/// The calls that wait for one bucket.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The agents in the order of their turns; none is without a call.
    lines: VecDeque<Line>,
}

/// The calls of one agent.
#[derive(Debug)]
struct Line {
    agent: Arc<str>,
    share: Share,
    waiting: VecDeque<Waiter>,
}

impl Line {
    fn wake_first(&self) {
        self.waiting.iter().take(1).for_each(|waiter| waiter.wake.notify_one());
    }
}

/// One call that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) serial: Serial,
    /// Woken when its place is there, or when it has to look again.
    pub(super) wake: Arc<Notify>,
}

impl Queue {
    /// Puts a call behind those of its agent; one that had its turn already and was sent back goes before them.
    pub(super) fn join(&mut self, (agent, share): (&Arc<str>, Share), waiter: Waiter, sent_back: bool) {
        let line = match self.lines.iter_mut().position(|line| line.agent == *agent) {
            Some(index) => self.lines.get_mut(index),
            None => {
                self.lines.push_back(Line { agent: Arc::clone(agent), share, waiting: VecDeque::new() });
                self.lines.back_mut()
            }
        };
        let Some(line) = line else { return };
        if sent_back {
            line.waiting.push_front(waiter);
        } else {
            line.waiting.push_back(waiter);
        }
    }

    /// The call whose turn it is, of the agents that may go now; its agent's next turn comes after all others'.
    pub(super) fn next(&mut self, mut may: impl FnMut(&str, Share) -> bool) -> Option<(Waiter, Arc<str>)> {
        let index = self.lines.iter().position(|line| may(&line.agent, line.share))?;
        let mut line = self.lines.remove(index)?;
        let waiter = line.waiting.pop_front()?;
        let agent = Arc::clone(&line.agent);
        if !line.waiting.is_empty() {
            line.wake_first();
            self.lines.push_back(line);
        }
        Some((waiter, agent))
    }

    /// Takes a call out that gave up; `false` where it is not here any more.
    pub(super) fn leave(&mut self, serial: Serial) -> bool {
        let Some((line, place)) = self.find(serial) else { return false };
        if let Some(line) = self.lines.get_mut(line) {
            line.waiting.remove(place);
            line.wake_first();
        }
        self.lines.retain(|line| !line.waiting.is_empty());
        true
    }

    /// Whether a call is the first of its agent's; the others need not watch the clock, they are woken.
    pub(super) fn is_first(&self, serial: Serial) -> bool {
        self.find(serial).is_some_and(|(_, place)| place == 0)
    }

    /// How many go before a call, if nobody joins or leaves.
    pub(super) fn ahead_of(&self, serial: Serial) -> usize {
        let Some((own, place)) = self.find(serial) else { return 0 };
        let others = self.lines.iter().enumerate().filter(|(index, _)| *index != own);
        let before = others.map(|(index, line)| line.waiting.len().min(place + usize::from(index < own)));
        place + before.sum::<usize>()
    }

    fn find(&self, serial: Serial) -> Option<(usize, usize)> {
        self.lines
            .iter()
            .enumerate()
            .find_map(|(index, line)| Some((index, line.waiting.iter().position(|waiter| waiter.serial == serial)?)))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Has everybody look again.
    pub(super) fn wake_all(&self) {
        self.lines.iter().flat_map(|line| &line.waiting).for_each(|waiter| waiter.wake.notify_one());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(calls: &[(&str, Serial)]) -> Queue {
        let mut queue = Queue::default();
        for (agent, serial) in calls {
            let waiter = Waiter { serial: *serial, wake: Arc::default() };
            queue.join((&(*agent).into(), Share::WHOLE), waiter, false);
        }
        queue
    }

    fn order(mut queue: Queue) -> Vec<Serial> {
        std::iter::from_fn(|| queue.next(|_, _| true)).map(|(waiter, _)| waiter.serial).collect()
    }

    #[test]
    fn agents_take_turns_and_each_keeps_its_order() {
        let calls = [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)];
        assert_eq!(order(queue(&calls)), [1, 4, 5, 2, 6, 3]);
        let queue = queue(&calls);
        for (place, serial) in order(self::queue(&calls)).into_iter().enumerate() {
            assert_eq!(queue.ahead_of(serial), place, "{serial}");
        }
    }

    #[test]
    fn an_agent_that_may_not_go_is_passed_over_and_keeps_its_turn() {
        let mut queue = queue(&[("a", 1), ("b", 2), ("b", 3)]);
        let next = |queue: &mut Queue, not: &str| queue.next(|agent, _| agent != not).map(|(waiter, _)| waiter.serial);
        assert_eq!(next(&mut queue, "a"), Some(2));
        assert_eq!(next(&mut queue, ""), Some(1));
        assert_eq!(next(&mut queue, "b"), None);
        assert_eq!(next(&mut queue, ""), Some(3));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_call_that_leaves_is_gone_and_one_that_was_sent_back_goes_first() {
        let mut queue = queue(&[("a", 1), ("b", 2), ("a", 3)]);
        assert!(queue.is_first(1) && queue.is_first(2) && !queue.is_first(3));
        assert!(queue.leave(1) && !queue.leave(1));
        assert_eq!(queue.len(), 2);
        assert!(queue.is_first(3) && !queue.is_first(1));
        queue.join((&"a".into(), Share::WHOLE), Waiter { serial: 4, wake: Arc::default() }, true);
        assert_eq!(queue.ahead_of(3), 2);
        assert_eq!(order(queue), [4, 2, 3]);
    }
}
