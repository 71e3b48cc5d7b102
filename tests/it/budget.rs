//! The budget against the simulator's own limiter: no 429 is ever drawn, the pace is kept, and callers are served in turn.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ironclad_mcp::{
    ironclad::limiter::{self, Bucket, Heard, Limiter, Share, Turn},
    simulator::{LimitHeaders, Limits},
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{Setting, Stage, nda, text};

const CALLERS: usize = 20;
const LAUNCHES: usize = 25;

/// What the client reads of the headers.
fn heard(headers: &LimitHeaders) -> Heard {
    let number =
        |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).and_then(|(_, text)| text.parse().ok());
    let count = |name| number(name).and_then(|count| usize::try_from(count).ok());
    Heard {
        limit: count("x-ratelimit-limit"),
        remaining: count("x-ratelimit-remaining"),
        reset: number("x-ratelimit-reset").map(Duration::from_secs),
        retry_after: number("retry-after").map(Duration::from_secs),
        refused: false,
    }
}

/// A company on a simulated clock.
struct Company {
    limiter: Limiter,
    limits: Mutex<Limits>,
    random: Mutex<fastrand::Rng>,
    /// Who launched, and when.
    order: Mutex<Vec<(Instant, usize)>>,
}

impl Company {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            limiter: Limiter::new(&limiter::Settings::default()),
            limits: Mutex::new(Limits::documented()),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            order: Mutex::default(),
        })
    }

    /// One request: queued, some time on its way, counted at Ironclad, some time on its way back.
    async fn request(&self, bucket: Bucket, (method, path): (&str, &str), caller: usize) {
        let agent = format!("caller {caller}");
        let until = Instant::now() + Duration::from_secs(36_000);
        let turn = Turn { bucket, agent: &agent, share: Share::WHOLE, sent_back: false, until, progress: None };
        let mut place = self.limiter.admit(turn).await.unwrap();
        place.used();
        if bucket == Bucket::WorkflowsWrite {
            self.order.lock().unwrap().push((Instant::now(), caller));
        }
        let travel = |most| Duration::from_millis(self.random.lock().unwrap().u64(..most));
        sleep(travel(900)).await;
        let counted = self.limits.lock().unwrap().count_at(Instant::now().into_std(), method, path);
        let headers = counted.unwrap_or_else(|headers| panic!("a 429 after {:?}: {headers:?}", Instant::now()));
        // Launches take their time.
        sleep(travel(4_000)).await;
        place.answered(&heard(&headers));
    }

    async fn launch(&self, caller: usize) {
        self.request(Bucket::WorkflowsWrite, ("POST", "/public/api/v1/workflows"), caller).await;
    }
}

/// At every instant no caller is more than one launch ahead of another.
fn assert_fair(order: &[(Instant, usize)]) {
    let mut counts = [0usize; CALLERS];
    for at_once in order.chunk_by(|(one, _), (next, _)| one == next) {
        at_once.iter().for_each(|(_, caller)| counts[*caller] += 1);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{counts:?}");
    }
    assert_eq!(counts, [LAUNCHES; CALLERS]);
}

/// How many launches a minute.
fn pace(began: Instant, launches: usize) -> f64 {
    launches as f64 / (began.elapsed().as_secs_f64() / 60.0)
}

/// Each caller has all its launches in the queue from the beginning, while reads of all kinds go on beside them.
#[tokio::test(start_paused = true)]
async fn five_hundred_launches_of_twenty_callers_draw_no_429_keep_the_pace_and_are_fair() {
    for seed in 0..10 {
        let company = Company::new(seed);
        // Ironclad's minute begins at some time of its own, and everybody has to queue.
        company.launch(0).await;
        sleep(Duration::from_secs(seed * 5)).await;
        futures_util::future::join_all((0..39).map(|_| company.launch(0))).await;
        company.order.lock().unwrap().clear();
        let began = Instant::now();
        let (mut launches, mut reads) = (JoinSet::new(), JoinSet::new());
        for caller in 0..CALLERS {
            for _ in 0..LAUNCHES {
                let company = Arc::clone(&company);
                launches.spawn(async move { company.launch(caller).await });
            }
            let company = Arc::clone(&company);
            reads.spawn(async move {
                for _ in 0..50 {
                    company.request(Bucket::WorkflowsRead, ("GET", "/public/api/v1/workflows"), caller).await;
                    company.request(Bucket::RecordsRead, ("GET", "/public/api/v1/records"), caller).await;
                }
            });
        }
        launches.join_all().await;
        assert_fair(&company.order.lock().unwrap());
        // A full budget lies before them, so the best that can be had is forty in each of thirteen minutes.
        let best = 60 * (CALLERS * LAUNCHES).div_ceil(40);
        let kept = best as f64 / began.elapsed().as_secs_f64();
        assert!(kept >= 0.95, "seed {seed}: {kept} of the pace");
        reads.join_all().await;
    }
}

/// Each caller launches one after the other, as models do.
#[tokio::test(start_paused = true)]
async fn callers_that_launch_one_after_the_other_draw_no_429_either() {
    for seed in 0..10 {
        let company = Company::new(seed);
        let began = Instant::now();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let company = Arc::clone(&company);
            callers.spawn(async move {
                for _ in 0..LAUNCHES {
                    company.launch(caller).await;
                }
            });
        }
        callers.join_all().await;
        assert!(
            pace(began, CALLERS * LAUNCHES) >= 0.95 * 40.0,
            "seed {seed}: {} a minute",
            pace(began, CALLERS * LAUNCHES)
        );
    }
}

/// Another program of the company launches as well, and asks nobody.
#[tokio::test(start_paused = true)]
async fn what_another_program_uses_is_left_to_it_after_one_answer() {
    let company = Company::new(1);
    let path = "/public/api/v1/workflows";
    for _ in 0..30 {
        company.limits.lock().unwrap().count_at(Instant::now().into_std(), "POST", path).unwrap();
    }
    let began = Instant::now();
    // The first answer tells that 9 are left; more than that wait for the window to end.
    company.launch(0).await;
    assert_eq!(company.limiter.standing(Bucket::WorkflowsWrite).remaining, 9);
    let mut calls = JoinSet::new();
    for caller in 0..CALLERS {
        let company = Arc::clone(&company);
        calls.spawn(async move { company.launch(caller).await });
    }
    calls.join_all().await;
    assert!(began.elapsed() > Duration::from_secs(55), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(70), "{:?}", began.elapsed());
}

/// The same through the whole server, over HTTP and in real time: a minute's budget, and then `BUDGET_LAUNCHES` of each
/// caller who all queue, as `just budget` asks for.
#[tokio::test]
async fn budget_in_real_time() {
    #[expect(clippy::disallowed_methods, reason = "it asks for launches that queue, and is no setting of the program")]
    let each: usize = std::env::var_os("BUDGET_LAUNCHES").map_or(0, |each| each.to_str().unwrap().parse().unwrap());
    let limit = Bucket::WorkflowsWrite.limit();
    let rate_budget = Some(limiter::Settings::default());
    let rate_limit_wait = Duration::from_secs(3_600);
    let mut setting = Setting { rate_budget, rate_limit_wait, modern: true, ..Setting::default() };
    setting.simulator.rate_limits = true;
    let stage = Arc::new(Stage::with(setting).await);
    let launch = |caller: usize| {
        let stage = Arc::clone(&stage);
        let mut launch = nda();
        launch["attributes"]["counterpartyName"] = json!(caller.to_string());
        async move { stage.ok_as(&format!("caller {caller}"), "launch_workflow", launch).await }
    };
    futures_util::future::join_all((0..limit).map(|number| launch(number % CALLERS))).await;
    let began = Instant::now();
    futures_util::future::join_all((0..CALLERS * each).map(|number| launch(number / each))).await;
    let pace = pace(began, CALLERS * each);
    let requests = stage.requests().await;
    let launches: Vec<_> = requests.iter().filter(|request| request["method"] == "POST").collect();
    assert_eq!(launches.len(), limit + CALLERS * each);
    let refused = launches.iter().filter(|request| request["status"] == 429).count();
    let mut counts = [0usize; CALLERS];
    let mut widest = 0;
    // Those of one minute go out nearly at once, and may overtake each other on their way.
    for minute in launches.chunks(limit) {
        for launch in minute {
            counts[text(&launch["body"]["attributes"]["counterpartyName"]).parse::<usize>().unwrap()] += 1;
        }
        widest = widest.max(counts.iter().max().unwrap() - counts.iter().min().unwrap());
    }
    eprintln!("{} launches, {pace:.1} a minute, {refused} answered with 429, callers {widest} apart", launches.len());
    assert_eq!((refused, widest <= 1), (0, true));
    assert!(each == 0 || pace >= 0.95 * 40.0, "{pace} a minute");
}
