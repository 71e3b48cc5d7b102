use std::{collections::BTreeMap, sync::Mutex as Plain};

use futures_util::future::BoxFuture;
use tokio::{
    task::JoinSet,
    time::{advance, sleep, timeout},
};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOURS: Duration = Duration::from_secs(36_000);

fn limiter() -> Arc<Limiter> {
    Arc::new(Limiter::new(&Settings::default()))
}

fn limited(limits: &[(Scope, usize)]) -> Arc<Limiter> {
    let limits = limits.iter().copied().collect();
    Arc::new(Limiter::new(&Settings { limits, ..Settings::default() }))
}

fn turn(bucket: Bucket, agent: &str, wait: Duration) -> Turn<'_> {
    let until = Instant::now() + wait;
    Turn { bucket, agent, share: Share::WHOLE, sent_back: false, until, progress: None }
}

/// One request that is answered at once.
async fn send(limiter: &Limiter, bucket: Bucket, agent: &str, wait: Duration) -> Result<(), Duration> {
    limiter.admit(turn(bucket, agent, wait)).await.map(|place| place.answered(&Heard::default()))
}

async fn exhaust(limiter: &Limiter, bucket: Bucket, count: usize) {
    for _ in 0..count {
        send(limiter, bucket, "earlier", Duration::ZERO).await.unwrap();
    }
}

/// Somebody who keeps what was told.
#[derive(Default)]
struct Ear(Plain<Vec<(Duration, String)>>);

impl Progress for Ear {
    fn report<'a>(&'a self, waited: Duration, what: &'a str) -> BoxFuture<'a, ()> {
        self.0.lock().unwrap().push((waited, what.to_owned()));
        Box::pin(async {})
    }
}

#[test]
fn a_share_is_a_number_up_to_one() {
    for (text, limit, expected) in [("1", 40, 40), ("0.5", 40, 20), (" 0.29 ", 100, 29), ("1e-9", 40, 1), ("0.5", 1, 1)]
    {
        assert_eq!(text.parse::<Share>().unwrap().of(limit), expected, "{text}");
    }
    for wrong in ["0", "-1", "1.01", "50%", "", "NaN", "inf"] {
        assert!(wrong.parse::<Share>().is_err(), "{wrong}");
    }
    assert_eq!(Share::WHOLE.of(usize::MAX), usize::MAX);
    for (percent, expected) in [(0, 1), (25, 10), (100, 40), (255, 40)] {
        assert_eq!(Share::percent(percent).of(40), expected, "{percent}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_minute_ever_sees_more_than_the_limit() {
    let limiter = limiter();
    let began = Instant::now();
    let mut sent = Vec::new();
    for _ in 0..130 {
        send(&limiter, Bucket::WorkflowsWrite, "a", HOURS).await.unwrap();
        sent.push(began.elapsed());
    }
    for (first, last) in sent.iter().zip(sent.iter().skip(40)) {
        assert!(*last - *first >= MINUTE, "{first:?} {last:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(181), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_as_long_as_it_may_and_learns_how_much_longer_it_would_take() {
    let limiter = limiter();
    exhaust(&limiter, Bucket::WorkflowsWrite, 40).await;
    let began = Instant::now();
    let wait = Duration::from_secs(30);
    assert_eq!(send(&limiter, Bucket::WorkflowsWrite, "a", wait).await, Err(Duration::from_secs(30)));
    assert_eq!(began.elapsed(), wait);
    assert_eq!(send(&limiter, Bucket::WorkflowsRead, "a", wait).await, Ok(()), "another bucket is untouched");
    assert_eq!(send(&limiter, Bucket::WorkflowsWrite, "a", wait).await, Ok(()));
    assert_eq!(began.elapsed(), MINUTE);
    exhaust(&limiter, Bucket::WorkflowsWrite, 39).await;
    assert_eq!(send(&limiter, Bucket::WorkflowsWrite, "a", Duration::ZERO).await, Err(MINUTE));
}

#[tokio::test(start_paused = true)]
async fn twenty_callers_with_long_queues_are_served_in_turn() {
    let limiter = limiter();
    exhaust(&limiter, Bucket::WorkflowsWrite, 40).await;
    let began = Instant::now();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for caller in 0..20usize {
        // The first caller has all its calls in the queue before the second comes.
        for _ in 0..25 {
            let (limiter, tell) = (Arc::clone(&limiter), tell.clone());
            tokio::spawn(async move {
                send(&limiter, Bucket::WorkflowsWrite, &format!("caller {caller}"), HOURS).await.unwrap();
                tell.send(caller).unwrap();
            });
        }
        tokio::task::yield_now().await;
    }
    drop(tell);
    let mut counts = [0i32; 20];
    while let Some(caller) = told.recv().await {
        counts[caller] += 1;
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{counts:?}");
    }
    assert_eq!(counts, [25; 20]);
    assert_eq!(began.elapsed(), MINUTE * 13);
}

/// Sends `reads` and `writes` at once under a company limit that is short, and gives the order in which they went.
async fn race(reads: usize, writes: usize) -> Vec<&'static str> {
    let limiter = limited(&[(Scope::Company, 10)]);
    exhaust(&limiter, Bucket::Webhooks, 10).await;
    let order = Arc::new(Plain::new(Vec::new()));
    let mut calls = JoinSet::new();
    let reads = std::iter::repeat_n((Bucket::RecordsRead, "read"), reads);
    let writes = std::iter::repeat_n((Bucket::WorkflowsWrite, "write"), writes);
    // Whoever is many comes first.
    let mut all: Vec<_> = reads.chain(writes).collect();
    if all.iter().filter(|(_, kind)| *kind == "write").count() > all.len() / 2 {
        all.reverse();
    }
    for (bucket, kind) in all {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        calls.spawn(async move {
            send(&limiter, bucket, "one agent", HOURS).await.unwrap();
            order.lock().unwrap().push(kind);
        });
    }
    calls.join_all().await;
    order.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn neither_reads_nor_writes_starve_where_the_companys_limit_is_short() {
    for (few, order) in [("write", race(200, 5).await), ("read", race(5, 39).await)] {
        let last = order.iter().rposition(|kind| *kind == few).unwrap();
        assert_eq!(order[..=last].iter().filter(|kind| **kind == few).count(), 5);
        assert!(last < 10, "the last {few} went as number {last}: {order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_bucket_holds_no_other_bucket_up() {
    let limiter = limiter();
    exhaust(&limiter, Bucket::WorkflowsWrite, 40).await;
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let limiter = Arc::clone(&limiter);
        waiting.spawn(async move { send(&limiter, Bucket::WorkflowsWrite, "a", HOURS).await });
    }
    tokio::task::yield_now().await;
    let began = Instant::now();
    send(&limiter, Bucket::WorkflowsRead, "a", Duration::ZERO).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_frees_its_place_at_once() {
    let limiter = limiter();
    exhaust(&limiter, Bucket::WorkflowsWrite, 39).await;
    // One has the last place, and two wait behind it.
    let place = limiter.admit(turn(Bucket::WorkflowsWrite, "a", HOURS)).await.unwrap();
    let waiting = |name: &'static str| {
        let limiter = Arc::clone(&limiter);
        tokio::spawn(async move { send(&limiter, Bucket::WorkflowsWrite, name, HOURS).await })
    };
    let (second, third) = (waiting("b"), waiting("c"));
    tokio::task::yield_now().await;
    let began = Instant::now();
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    // The call that had the place was dropped before anything was sent.
    drop(place);
    third.await.unwrap().unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(limiter.standing(Bucket::WorkflowsWrite).remaining, 0);
}

/// The place was given out, and the caller was dropped before it saw it.
#[tokio::test(start_paused = true)]
async fn a_place_that_nobody_fetched_is_given_to_the_next() {
    let limiter = limited(&[(Scope::Bucket(Bucket::WorkflowsWrite), 1)]);
    let place = limiter.admit(turn(Bucket::WorkflowsWrite, "a", HOURS)).await.unwrap();
    let mut second = Box::pin(limiter.admit(turn(Bucket::WorkflowsWrite, "b", HOURS)));
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(place);
    drop(second);
    let began = Instant::now();
    send(&limiter, Bucket::WorkflowsWrite, "c", Duration::ZERO).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_place_counts_once_its_request_went_out_and_only_then() {
    let limiter = limiter();
    let left = || limiter.standing(Bucket::WorkflowsWrite).remaining;
    let admit = || limiter.admit(turn(Bucket::WorkflowsWrite, "a", Duration::ZERO));
    drop(admit().await.unwrap());
    assert_eq!(left(), 40, "never sent");
    let mut place = admit().await.unwrap();
    place.used();
    drop(place);
    assert_eq!(left(), 39, "sent, and the call was dropped");
    let mut place = admit().await.unwrap();
    place.used();
    place.unused();
    assert_eq!(left(), 39, "the connection was refused");
    assert_eq!(limiter.budget().standing(Bucket::Other, Instant::now()).remaining, 800);
    admit().await.unwrap().answered(&Heard::default());
    assert_eq!(left(), 38);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_at_once_and_every_second() {
    let limiter = limiter();
    exhaust(&limiter, Bucket::WorkflowsWrite, 40).await;
    let waiting = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { send(&limiter, Bucket::WorkflowsWrite, "b", HOURS).await }
    });
    tokio::task::yield_now().await;
    let ear = Ear::default();
    let turn = Turn { progress: Some(&ear), ..turn(Bucket::WorkflowsWrite, "a", HOURS) };
    limiter.admit(turn).await.unwrap().answered(&Heard::default());
    waiting.await.unwrap().unwrap();
    let told = ear.0.into_inner().unwrap();
    assert_eq!(told.len(), 60, "{told:?}");
    assert_eq!(told[0].0, Duration::ZERO);
    assert_eq!(told[0].1, "waiting for Ironclad's rate limit workflows-write: 1 call before this one, about 60 s");
    assert_eq!(told[45].0, Duration::from_secs(45));
    assert!(told[45].1.ends_with("about 15 s"), "{}", told[45].1);
}

/// Somebody who never takes what is told.
struct Deaf;

impl Progress for Deaf {
    fn report<'a>(&'a self, _: Duration, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_takes_nothing_holds_the_call_up_no_longer_than_its_wait() {
    let limiter = limiter();
    exhaust(&limiter, Bucket::WorkflowsWrite, 40).await;
    let turn = Turn { progress: Some(&Deaf), ..turn(Bucket::WorkflowsWrite, "a", Duration::from_secs(30)) };
    let refused = timeout(Duration::from_secs(31), limiter.admit(turn)).await.unwrap();
    assert!(refused.is_err());
}

fn heard(limit: usize, remaining: usize, reset: u64) -> Heard {
    Heard {
        limit: Some(limit),
        remaining: Some(remaining),
        reset: Some(Duration::from_secs(reset)),
        ..Heard::default()
    }
}

fn refused(heard: Heard, retry_after: Option<u64>) -> Heard {
    Heard { refused: true, retry_after: retry_after.map(Duration::from_secs), ..heard }
}

async fn answered(limiter: &Limiter, bucket: Bucket, heard: &Heard) {
    limiter.admit(turn(bucket, "a", Duration::ZERO)).await.unwrap().answered(heard);
}

#[tokio::test(start_paused = true)]
async fn what_ironclad_tells_is_kept_to() {
    let limit_of = |limiter: &Limiter| limiter.standing(Bucket::RecordsWrite).limit;
    // What is heard, then the bucket's limit, what is left of it, and the seconds until more is.
    let table = [
        (Heard::default(), (200, 199, 60)),
        (heard(200, 150, 20), (200, 150, 20)),
        (heard(200, 199, 60), (200, 199, 60)),
        (heard(200, 0, 20), (200, 0, 20)),
        (heard(100, 99, 60), (100, 99, 60)),
        (heard(300, 250, 30), (300, 250, 30)),
        (Heard { limit: Some(0), ..Heard::default() }, (200, 199, 60)),
        (refused(heard(200, 0, 20), Some(25)), (200, 0, 25)),
        (refused(heard(200, 0, 20), None), (200, 0, 20)),
        (refused(Heard::default(), Some(25)), (200, 0, 25)),
        // Of the one thing that may be done once an hour, not of the bucket.
        (refused(Heard::default(), Some(3600)), (200, 199, 60)),
        (refused(heard(200, 150, 20), Some(30)), (200, 150, 20)),
        (refused(Heard::default(), None), (200, 199, 60)),
    ];
    for (heard, expected) in table {
        let limiter = limiter();
        answered(&limiter, Bucket::RecordsWrite, &heard).await;
        let Standing { limit, remaining, reset } = limiter.standing(Bucket::RecordsWrite);
        assert_eq!((limit, remaining, reset.as_secs()), expected, "{heard:?}");
        let other = limiter.standing(Bucket::RecordsRead);
        assert_eq!((other.limit, other.remaining), (600, 600), "{heard:?}");
        assert_eq!(limit_of(&limiter), expected.0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_on_the_companys_limit_shuts_all_buckets() {
    let limiter = limiter();
    answered(&limiter, Bucket::WorkflowsWrite, &refused(heard(4_500, 0, 12), Some(12))).await;
    let writes = limiter.standing(Bucket::WorkflowsWrite);
    assert_eq!((writes.limit, writes.remaining, writes.reset.as_secs()), (40, 0, 12));
    let began = Instant::now();
    send(&limiter, Bucket::ScimUsersRead, "a", HOURS).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_raised_lets_those_who_wait_go() {
    let limiter = limiter();
    let place = limiter.admit(turn(Bucket::WorkflowsWrite, "a", Duration::ZERO)).await.unwrap();
    exhaust(&limiter, Bucket::WorkflowsWrite, 39).await;
    let mut waiting = JoinSet::new();
    for _ in 0..60 {
        let limiter = Arc::clone(&limiter);
        waiting.spawn(async move { send(&limiter, Bucket::WorkflowsWrite, "b", HOURS).await });
    }
    tokio::task::yield_now().await;
    let began = Instant::now();
    place.answered(&heard(100, 60, 60));
    waiting.join_all().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_share_leaves_the_rest_to_other_programs_and_an_agents_share_to_other_agents() {
    let limiter = Arc::new(Limiter::new(&Settings { share: "0.5".parse().unwrap(), ..Settings::default() }));
    assert_eq!(limiter.standing(Bucket::WorkflowsWrite).limit, 20);
    assert_eq!(limiter.budget().standing(Bucket::Other, Instant::now()).limit, 400);
    let tenth = || Turn { share: "0.1".parse().unwrap(), ..turn(Bucket::WorkflowsWrite, "small", Duration::ZERO) };
    for _ in 0..2 {
        limiter.admit(tenth()).await.unwrap().answered(&Heard::default());
    }
    assert!(limiter.admit(tenth()).await.is_err());
    exhaust(&limiter, Bucket::WorkflowsWrite, 18).await;
    assert!(send(&limiter, Bucket::WorkflowsWrite, "big", Duration::ZERO).await.is_err());
    advance(MINUTE).await;
    limiter.admit(tenth()).await.unwrap().answered(&Heard::default());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ironclad_sent_back_goes_before_the_others_of_its_agent() {
    let limiter = limited(&[(Scope::Bucket(Bucket::WorkflowsWrite), 1)]);
    exhaust(&limiter, Bucket::WorkflowsWrite, 1).await;
    let order = Arc::new(Plain::new(Vec::new()));
    let mut calls = JoinSet::new();
    for (name, sent_back) in [("first", false), ("second", false), ("sent back", true)] {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        calls.spawn(async move {
            let turn = Turn { sent_back, ..turn(Bucket::WorkflowsWrite, "a", HOURS) };
            limiter.admit(turn).await.unwrap().answered(&Heard::default());
            order.lock().unwrap().push(name);
        });
        tokio::task::yield_now().await;
    }
    calls.join_all().await;
    assert_eq!(*order.lock().unwrap(), ["sent back", "first", "second"]);
}

/// Hundreds of calls of every kind, some dropped while they wait or while they are out: the limits hold, everything that
/// waits gets through, and in the end the budget is full again.
#[tokio::test(start_paused = true)]
async fn whatever_callers_do_the_limits_hold_and_no_place_is_lost() {
    let limits = [(Bucket::WorkflowsWrite, 7), (Bucket::RecordsRead, 30), (Bucket::Webhooks, 11)];
    let scopes = limits.map(|(bucket, limit)| (Scope::Bucket(bucket), limit));
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let limiter = limited(&[&scopes[..], &[(Scope::Company, 40)]].concat());
        let began = Instant::now();
        let sent: Arc<Plain<BTreeMap<usize, Vec<Duration>>>> = Arc::default();
        let mut calls = JoinSet::new();
        for call in 0..400 {
            let (limiter, sent) = (Arc::clone(&limiter), Arc::clone(&sent));
            let (index, agent) = (random.usize(..3), format!("agent {}", random.u8(..4)));
            let [latency, patience] = [(); 2].map(|()| Duration::from_millis(random.u64(..1_900)));
            let fate = random.u8(..10);
            calls.spawn(async move {
                let sending = async {
                    let mut place = limiter.admit(turn(limits[index].0, &agent, HOURS)).await.unwrap();
                    if fate == 0 {
                        return place.unused();
                    }
                    place.used();
                    sent.lock().unwrap().entry(index).or_default().push(began.elapsed());
                    sleep(latency).await;
                    place.answered(&Heard::default());
                };
                // One in five does not wait long.
                if fate < 3 { drop(timeout(patience * 40, sending).await) } else { sending.await }
            });
            if call % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        calls.join_all().await;
        let sent = sent.lock().unwrap().clone();
        let mut all: Vec<Duration> = sent.values().flatten().copied().collect();
        all.sort();
        let checks = sent.iter().map(|(index, times)| (times.clone(), limits[*index].1)).chain([(all, 40)]);
        for (times, limit) in checks {
            for (first, last) in times.iter().zip(times.iter().skip(limit)) {
                assert!(*last - *first >= MINUTE, "seed {seed}: {first:?} {last:?}");
            }
        }
        advance(MINUTE + Duration::from_secs(2)).await;
        for (bucket, limit) in limits {
            assert_eq!(limiter.standing(bucket).remaining, limit, "seed {seed} {bucket:?}");
        }
    }
}
