//! Thousands of mixed calls over faults of every kind. The simulator's request log is the judge: whatever went wrong, no
//! write took effect twice, none took effect that its caller was told had not, and every read was answered or failed for
//! a reason.
//!
//! What strikes which call depends on the order in which calls meet, so no two runs are alike; the rules hold in all of
//! them. `SOAK_ROUNDS` asks for more than one round, as `just soak` does.

mod caller;
mod judge;

use std::{
    fmt,
    time::{Duration, Instant},
};

use ironclad_mcp::{
    simulator::Simulator,
    transport::{self, Stop},
};
use rmcp::{
    RoleClient,
    model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt, RunningService},
};
use serde_json::Value;
use tokio::task::JoinHandle;

use self::{
    caller::{Caller, Done, Estate},
    judge::{Figures, Judge},
};
use crate::support::{self, Setting};

const CALLS: usize = 2048;
const CALLERS: usize = 16;
const SERVERS: usize = 2;

/// So many calls between two looks at the simulator's log, which keeps 10,000 requests.
const STRETCH: usize = 512;

/// Every kind there is, at a rate that leaves most calls a way through.
const FAULTS: &str = "429:rate=0.02,retry-after=0;429:rate=0.01;500:rate=0.01;502:rate=0.01;503:rate=0.02;\
    503:rate=0.005,retry-after=1;504:rate=0.01;slow:rate=0.05,ms=40;slow:rate=0.004,ms=3000;hang:rate=0.004;\
    stall:rate=0.004;cut:rate=0.02;reset-before:rate=0.02;reset-after:rate=0.02;expired-token:rate=0.01;\
    html:rate=0.01;html:rate=0.01,status=200;wrong-type:rate=0.01;malformed:rate=0.02;\
    503:path=/oauth/token,rate=0.1;cut:path=/oauth/token,rate=0.05;reset-after:path=/oauth/token,rate=0.05";

/// A sequence of numbers that follows from its seed (splitmix64).
pub(crate) struct Luck(u64);

impl Luck {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let index = self.below(all.len());
        all.get(index)
    }
}

type Peer = RunningService<RoleClient, ClientConfig>;

/// Servers with their clients, over one simulator and one audit log.
struct Field {
    simulator: Simulator,
    clients: Vec<Peer>,
    servers: Vec<JoinHandle<()>>,
    stop: Stop,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

impl Field {
    async fn open() -> Self {
        let mut setting = Setting { max_retries: 2, timeout: Duration::from_millis(2500), ..Setting::default() };
        setting.simulator.workflows = 30;
        setting.simulator.records = 60;
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), setting.simulator.clone()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (stop, mut clients, mut servers) = (Stop::default(), Vec::new(), Vec::new());
        for _ in 0..SERVERS {
            let server = support::server(&setting, &simulator, folder.path().join("audit.jsonl"));
            let (wire, far) = tokio::io::duplex(1 << 20);
            let (read, write) = tokio::io::split(far);
            let stop = stop.clone();
            servers.push(tokio::spawn(async move {
                transport::serve_lines(server, read, write, stop).await.unwrap();
            }));
            let config = ClientConfig::new(ClientCapabilities::default(), Implementation::new("soak", "1"));
            let modern = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
            clients.push(config.serve_with_lifecycle(wire, modern).await.unwrap());
        }
        // A pool may open another connection before the last one is back, and would keep both.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        Self { simulator, clients, servers, stop, http, folder }
    }

    async fn page(&self, path: &str) -> Value {
        let url = format!("{}/__simulator/{path}", self.simulator.base_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn control(&self, path: &str, body: String) {
        let url = format!("{}/__simulator/{path}", self.simulator.base_url());
        let request = self.http.post(url).header("content-type", "application/json").body(body);
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// Ends the servers, and waits until nothing that they sent is under way any more.
    async fn quiet(&mut self) {
        self.stop.ask();
        for server in self.servers.drain(..) {
            server.await.unwrap();
        }
        // Dropped with their servers, the connections end when the simulator has read what is in them. What is left is the
        // one that asks, since ours are not kept.
        let alone = async {
            while self.page("connections").await["open"] != 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), alone).await.expect("a server's connection is still open");
    }
}

async fn round(seed: u64) -> Figures {
    let mut field = Field::open().await;
    field.control("async-launch", r#"{"milliseconds": 300}"#.into()).await;
    let estate = Estate::seen(&field.http, &field.simulator).await;
    let mut judge = Judge::new(field.page("state").await["counts"].clone());
    field.control("faults", format!("{FAULTS};seed={seed}")).await;
    let mut callers: Vec<Caller> = (0..CALLERS).map(|number| Caller::new(seed, number, estate.clone())).collect();
    for stretch in 0..CALLS.div_ceil(STRETCH) {
        let each = STRETCH / CALLERS;
        let first = stretch * STRETCH;
        let working = callers.iter_mut().enumerate().map(|(index, caller)| {
            let client = &field.clients[index % SERVERS];
            caller.work(client, (first + index..first + each * CALLERS).step_by(CALLERS))
        });
        let done: Vec<Vec<Done>> = futures_util::future::join_all(working).await;
        judge.told(done.into_iter().flatten());
        let seen = field.page(&format!("requests?after={}", judge.seen())).await;
        judge.saw(seen["list"].as_array().unwrap());
        // Every token is refused from here on.
        field.control("tokens/expire", String::new()).await;
    }
    let log = field.folder.path().join("audit.jsonl");
    judge.wait_for_lines(&log).await;
    field.quiet().await;
    let seen = field.page(&format!("requests?after={}", judge.seen())).await;
    judge.saw(seen["list"].as_array().unwrap());
    // A job that was accepted last makes its workflow a little later.
    let settled = async {
        while !judge.found(&field.page("state").await["counts"]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), settled).await;
    judge.judge(&std::fs::read_to_string(&log).unwrap())
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, requests, struck, gone, told, applied, applied_unheard } = self;
        writeln!(
            f,
            "{calls} calls, {requests} requests, {struck} of them struck by a fault, {gone} given up by the client"
        )?;
        for ((kind, outcome), count) in told {
            writeln!(f, "  {kind} {outcome}: {count}")?;
        }
        write!(f, "{applied} writes took effect, {applied_unheard} of them unknown to their callers; none twice")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_doubled_or_denied_and_every_read_is_answered_or_truly_failed() {
    #[expect(clippy::disallowed_methods, reason = "it asks for more rounds, and is no setting of the program")]
    let rounds = std::env::var_os("SOAK_ROUNDS").map_or(1, |rounds| rounds.to_str().unwrap().parse().unwrap());
    let began = Instant::now();
    let mut figures = Figures::default();
    for seed in 1..=rounds {
        figures.add(round(seed).await);
    }
    eprintln!("{figures}\nin {:?}", began.elapsed());
    // A soak in which nothing happened would prove nothing.
    assert!(figures.struck > figures.calls / 20 && figures.gone > 0 && figures.applied_unheard > 0, "{figures}");
    for told in ["ok", "refused", "unknown", "cancelled"] {
        assert!(
            figures.told.iter().any(|((kind, outcome), _)| *kind == "write" && outcome == told),
            "{told}: {figures}"
        );
    }
}
