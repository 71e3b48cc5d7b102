//! The budget of several replicas is one: whatever dies or starts anew, no window sees more than the company may send.
//!
//! The windows are short here, and so is the memory of everybody; the clock is the real one.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ironclad_mcp::{
    ironclad::limiter::{self, Bucket, Heard, Limiter, Scope, Share, Turn, common::BEYOND},
    replicas::{Address, Redis as Shared, SharedBudget},
};
use tokio::time::{Instant, sleep};

use super::redis::Redis;

const WINDOW: Duration = Duration::from_secs(2);

/// Requests that a window may see.
const WRITES: usize = 8;
const READS: usize = 40;

/// How many replicas may share it.
const REPLICAS: usize = 4;

fn settings(window: Duration) -> limiter::Settings {
    let limits =
        HashMap::from([(Scope::Bucket(Bucket::WorkflowsWrite), WRITES), (Scope::Bucket(Bucket::WorkflowsRead), READS)]);
    limiter::Settings { limits, share: Share::WHOLE, window }
}

fn replica(redis: &Redis) -> Arc<Limiter> {
    replica_over(redis, WINDOW)
}

fn replica_over(redis: &Redis, window: Duration) -> Arc<Limiter> {
    let address = Address::read(&redis.url()).unwrap();
    let shared = Shared::new(&address, ("https://a.example", "client")).unwrap();
    Arc::new(Limiter::together(&settings(window), Arc::new(SharedBudget::new(Arc::new(shared), window)), REPLICAS))
}

fn turn(bucket: Bucket, patience: Duration) -> Turn<'static> {
    let until = Instant::now() + patience;
    Turn { bucket, agent: "tests", share: Share::WHOLE, sent_back: false, until, progress: None }
}

/// What Ironclad saw, and when.
#[derive(Default)]
struct Seen {
    log: std::sync::Mutex<Vec<(Instant, Bucket)>>,
}

impl Seen {
    fn count(&self, bucket: Bucket) -> usize {
        self.log.lock().unwrap().iter().filter(|(_, seen)| *seen == bucket).count()
    }

    /// The most requests in any window.
    fn most(&self, bucket: Bucket) -> usize {
        let log = self.log.lock().unwrap();
        let times: Vec<Instant> = log.iter().filter(|(_, seen)| *seen == bucket).map(|(at, _)| *at).collect();
        let within = |start: &Instant| times.iter().filter(|at| **at >= *start && **at < *start + WINDOW).count();
        times.iter().map(within).max().unwrap_or_default()
    }
}

/// Sends as much as it may until it is told to stop.
fn load(
    limiter: &Arc<Limiter>,
    seen: &Arc<Seen>,
    stop: &Arc<AtomicBool>,
    bucket: Bucket,
) -> tokio::task::JoinHandle<()> {
    let (limiter, seen, stop) = (Arc::clone(limiter), Arc::clone(seen), Arc::clone(stop));
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let Ok(mut place) = limiter.admit(turn(bucket, Duration::from_millis(500))).await else { continue };
            place.used();
            seen.log.lock().unwrap().push((Instant::now(), bucket));
            place.answered(&Heard::default());
        }
    })
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_keep_to_one_budget_while_one_dies_and_redis_starts_anew() {
    let Some(mut redis) = Redis::start().await else { return };
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let mut replicas = Vec::new();
    for _ in 0..3 {
        let limiter = replica(&redis);
        let tasks: Vec<_> = [Bucket::WorkflowsWrite, Bucket::WorkflowsRead]
            .iter()
            .flat_map(|bucket| (0..6).map(|_| load(&limiter, &seen, &stop, *bucket)).collect::<Vec<_>>())
            .collect();
        replicas.push(tasks);
    }
    let writes = || seen.count(Bucket::WorkflowsWrite);
    until("two windows of writes", || writes() >= 2 * WRITES).await;
    // One dies, and with Redis goes the memory of what it and the others sent just now.
    replicas.pop().unwrap().iter().for_each(tokio::task::JoinHandle::abort);
    redis.again().await;
    let anew = writes();
    until("a window of writes after Redis started anew", || writes() >= anew + WRITES).await;
    redis.kill();
    let reads = seen.count(Bucket::WorkflowsRead);
    let before = writes();
    until("reads without Redis", || seen.count(Bucket::WorkflowsRead) > reads + 2).await;
    assert!(writes() <= before + 2, "places that were taken before may be used, and no more");
    redis.again().await;
    until("a window of writes after the outage", || writes() >= before + WRITES).await;
    stop.store(true, Ordering::Relaxed);
    for task in replicas.into_iter().flatten() {
        task.await.unwrap();
    }
    let most = [Bucket::WorkflowsWrite, Bucket::WorkflowsRead].map(|bucket| seen.most(bucket));
    assert!(most[0] <= WRITES && most[1] <= READS, "{most:?}");
    assert_eq!(most[0], WRITES, "and the whole budget is used");
}

#[tokio::test]
async fn a_place_that_was_not_used_is_given_back_to_all() {
    let Some(redis) = Redis::start().await else { return };
    let [one, other] = [replica(&redis), replica(&redis)];
    for _ in 0..3 * WRITES {
        one.admit(turn(Bucket::WorkflowsWrite, Duration::from_secs(60))).await.unwrap().unused();
    }
    let mut kept = Vec::new();
    for limiter in [&one, &other].into_iter().cycle().take(WRITES) {
        let mut place = limiter.admit(turn(Bucket::WorkflowsWrite, Duration::from_secs(60))).await.unwrap();
        place.used();
        kept.push(place);
    }
    let began = Instant::now();
    let wait = other.admit(turn(Bucket::WorkflowsWrite, Duration::ZERO)).await.unwrap_err();
    assert!(wait <= WINDOW + BEYOND && began.elapsed() < Duration::from_secs(30), "{wait:?}");
}

#[tokio::test]
async fn what_ironclad_tells_one_replica_all_keep_to() {
    let Some(redis) = Redis::start().await else { return };
    let [one, other] = [replica(&redis), replica(&redis)];
    let patience = Duration::from_secs(60);
    let mut place = one.admit(turn(Bucket::RecordsWrite, patience)).await.unwrap();
    place.used();
    let refused = Heard { refused: true, retry_after: Some(Duration::from_secs(2)), ..Heard::default() };
    let told = Instant::now();
    place.answered(&refused);
    // The word goes its way beside the calls; from when it is there, nothing goes out anywhere.
    let closed = async {
        while let Ok(place) = other.admit(turn(Bucket::RecordsWrite, Duration::ZERO)).await {
            place.unused();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the others never hear of it");
    other.admit(turn(Bucket::RecordsWrite, patience)).await.unwrap().unused();
    assert!(told.elapsed() >= Duration::from_secs(2), "{:?}", told.elapsed());
}

#[tokio::test]
async fn while_redis_does_not_know_what_was_sent_reads_go_on_by_each_replicas_own_part() {
    let Some(redis) = Redis::start().await else { return };
    // However slow this test is, it ends before Redis knows.
    let window = Duration::from_secs(600);
    let [one, other] = [replica_over(&redis, window), replica_over(&redis, window)];
    for limiter in [&one, &other] {
        let mut place = limiter.admit(turn(Bucket::WorkflowsRead, Duration::ZERO)).await.unwrap();
        place.used();
        place.answered(&Heard::default());
        let wait = limiter.admit(turn(Bucket::WorkflowsWrite, Duration::ZERO)).await.unwrap_err();
        assert!(wait > Duration::from_secs(60) && wait <= window + BEYOND + Duration::from_secs(2), "{wait:?}");
    }
}

#[tokio::test]
async fn alone_a_replica_reads_by_its_own_part_and_no_more() {
    let Some(mut redis) = Redis::start().await else { return };
    let limiter = replica(&redis);
    redis.kill();
    let own = READS / 5 / REPLICAS;
    let read = AtomicUsize::new(0);
    for _ in 0..own {
        let mut place = limiter.admit(turn(Bucket::WorkflowsRead, Duration::from_secs(20))).await.unwrap();
        place.used();
        place.answered(&Heard::default());
        read.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(read.into_inner(), own);
    assert!(limiter.admit(turn(Bucket::WorkflowsRead, Duration::ZERO)).await.is_err());
    assert!(limiter.admit(turn(Bucket::WorkflowsWrite, Duration::ZERO)).await.is_err());
}
