//! Faults as a client at the other end of a real socket meets them.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use axum::routing::{any, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A server with a small reply, a large one and an empty one, that counts what it did.
struct Site {
    address: std::net::SocketAddr,
    done: Arc<AtomicUsize>,
    book: Arc<Book>,
    misfortunes: Misfortunes,
    shutdown: CancellationToken,
}

/// What a witness saw.
#[derive(Default)]
struct Book {
    kept: Mutex<Vec<(String, Option<Fault>)>>,
    left: Mutex<Vec<(String, Option<Fault>)>>,
}

impl Witness for Book {
    fn kept_off(&self, visit: Visit, parts: &http::request::Parts) {
        self.kept.lock().unwrap().push((parts.uri.path().to_owned(), visit.fault));
    }

    fn left(&self, visit: Visit, parts: &http::request::Parts) {
        self.left.lock().unwrap().push((parts.uri.path().to_owned(), visit.fault));
    }
}

impl Site {
    async fn with(faults: &str) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        let router = Router::new()
            .route("/large", get(|| async { vec![b'x'; 20_000_000] }))
            .route("/empty", any(|| async { StatusCode::NO_CONTENT }))
            .fallback(any(|body: String| async move {
                axum::Json(serde_json::json!({ "list": [1, 2, 3], "got": body.len() }))
            }))
            .layer(axum::middleware::map_request(move |request: Request<Body>| {
                count.fetch_add(1, Ordering::SeqCst);
                async move { request }
            }));
        let book = Arc::<Book>::default();
        let witness = Arc::<Book>::clone(&book);
        let misfortunes = Misfortunes::new(Faults::parse(faults).unwrap()).witnessed_by(witness);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, router, misfortunes.clone(), shutdown.clone()));
        Self { address, done, book, misfortunes, shutdown }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    async fn get(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(format!("http://{}{path}", self.address))
            .send()
            .await
    }

    /// Sends one request over a bare socket and reads until the connection ends.
    async fn raw(&self, path: &str) -> (Vec<u8>, io::Result<usize>) {
        self.raw_with(path, "").await
    }

    /// The same, where the connection ends with the answer.
    async fn raw_closing(&self, path: &str) -> (Vec<u8>, io::Result<usize>) {
        self.raw_with(path, "connection: close\r\n").await
    }

    async fn raw_with(&self, path: &str, header: &str) -> (Vec<u8>, io::Result<usize>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).await;
        (bytes, end)
    }
}

#[tokio::test]
async fn without_faults_requests_reach_the_router_over_one_kept_connection() {
    let site = Site::with("").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..3 {
        let reply = client.post(format!("http://{}/a", site.address)).body("four").send().await.unwrap();
        assert_eq!(reply.json::<serde_json::Value>().await.unwrap()["got"], 4);
    }
    assert_eq!(site.get("/large").await.unwrap().bytes().await.unwrap().len(), 20_000_000);
    assert_eq!(site.done(), 4);
}

#[tokio::test]
async fn status_faults_answer_in_the_vendors_form_without_acting() {
    let site = Site::with("429:count=1,retry-after=2;503:count=1;expired-token:count=1;html:count=1").await;
    let busy = site.get("/a?x=1").await.unwrap();
    assert_eq!((busy.status().as_u16(), busy.headers()["retry-after"].to_str().unwrap()), (429, "2"));
    assert_eq!(busy.json::<serde_json::Value>().await.unwrap()["code"], "TOO_MANY_REQUESTS");
    let down = site.get("/a").await.unwrap();
    assert!(down.status() == 503 && !down.headers().contains_key("retry-after"));
    let expired = site.get("/a").await.unwrap();
    assert_eq!(expired.status(), 401);
    assert_eq!(expired.json::<serde_json::Value>().await.unwrap()["message"], "token has expired");
    let page = site.get("/a").await.unwrap();
    assert!(page.status() == 502 && page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(site.done(), 0);
    assert_eq!(site.get("/a").await.unwrap().status(), 200);
    let kept = site.book.kept.lock().unwrap().clone();
    assert_eq!(kept.len(), 4);
    assert_eq!(kept[0], ("/a".to_owned(), Some(Fault::Status { status: 429, retry_after: Some(2) })));
}

#[tokio::test]
async fn reset_before_tears_the_connection_down_and_nothing_is_done() {
    let site = Site::with("reset-before").await;
    let (bytes, end) = site.raw("/a").await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(bytes.is_empty());
    assert_eq!((site.done(), site.book.kept.lock().unwrap().len()), (0, 1));
}

#[tokio::test]
async fn reset_after_tears_the_connection_down_once_the_work_is_done() {
    let site = Site::with("reset-after").await;
    let (bytes, end) = site.raw("/a").await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(bytes.is_empty());
    assert_eq!((site.done(), site.book.kept.lock().unwrap().len()), (1, 0));
}

#[tokio::test]
async fn a_cut_body_is_half_of_what_its_head_promised() {
    let site = Site::with("cut").await;
    for path in ["/a", "/large"] {
        let (bytes, end) = site.raw(path).await;
        assert!(end.is_ok(), "{end:?}");
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&bytes[..split]).to_lowercase();
        let promised: usize =
            head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        assert_eq!(bytes.len() - split, promised / 2, "{path}");
    }
    assert!(site.get("/a").await.unwrap().bytes().await.is_err());
    assert_eq!(site.done(), 3);
}

#[tokio::test]
async fn an_empty_body_that_is_cut_leaves_no_answer_at_all() {
    let site = Site::with("cut").await;
    let (bytes, end) = site.raw("/empty").await;
    assert!(bytes.is_empty() && end.is_ok());
    assert_eq!(site.done(), 1);
}

#[tokio::test]
async fn wrong_type_and_malformed_act_and_spoil_the_answer() {
    let site = Site::with("wrong-type:count=1;malformed").await;
    let plain = site.get("/a").await.unwrap();
    assert_eq!(plain.headers()["content-type"], "text/plain");
    assert!(serde_json::from_str::<serde_json::Value>(&plain.text().await.unwrap()).is_ok());
    let broken = site.get("/a").await.unwrap();
    assert_eq!(
        (broken.status().as_u16(), broken.headers()["content-type"].to_str().unwrap()),
        (200, "application/json")
    );
    assert!(serde_json::from_str::<serde_json::Value>(&broken.text().await.unwrap()).is_err());
    assert_eq!(site.done(), 2);
}

#[tokio::test]
async fn slow_waits_and_then_answers() {
    let site = Site::with("slow:ms=60").await;
    let start = Instant::now();
    assert_eq!(site.get("/a").await.unwrap().status(), 200);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn faults_can_be_replaced_while_serving() {
    let site = Site::with("500").await;
    assert_eq!(site.get("/a").await.unwrap().status(), 500);
    site.misfortunes.replace(Faults::parse("").unwrap());
    assert_eq!(site.get("/a").await.unwrap().status(), 200);
}

#[tokio::test]
async fn sign_in_is_never_struck_by_a_general_fault() {
    let site = Site::with("reset-before").await;
    assert_eq!(site.get("/oauth/token").await.unwrap().status(), 200);
}

#[tokio::test]
async fn shutting_down_ends_open_connections() {
    let site = Site::with("slow:ms=60000").await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    site.shutdown.cancel();
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await;
    assert!(end.is_ok() && bytes.is_empty());
}

/// Asks over a bare socket, reads until `enough` bytes have come, hangs up, and waits until that was noticed.
async fn leaves(site: &Site, path: &str, enough: usize) {
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    let mut bytes = vec![0; enough];
    stream.read_exact(&mut bytes).await.unwrap();
    while site.misfortunes.visits.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(site.book.left.lock().unwrap().is_empty());
    drop(stream);
    let noticed = async {
        while site.book.left.lock().unwrap().is_empty() || site.misfortunes.connections() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), noticed).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_wherever_its_answer_stands() {
    for (faults, path, enough, done) in
        [("slow:ms=60000", "/a", 0, 0), ("hang", "/a", 0, 1), ("stall", "/a", 20, 1), ("", "/large", 20, 1)]
    {
        let site = Site::with(faults).await;
        leaves(&site, path, enough).await;
        let left = site.book.left.lock().unwrap().clone();
        assert_eq!(left, [(path.to_owned(), Faults::parse(faults).unwrap().next("GET", path))], "{faults}");
        assert_eq!(site.done(), done, "{faults}");
    }
}

#[tokio::test]
async fn a_client_that_took_its_answer_or_was_thrown_out_has_not_left() {
    for faults in ["", "503", "cut", "reset-after", "reset-before", "malformed", "wrong-type", "slow:ms=1"] {
        let site = Site::with(faults).await;
        for path in ["/a", "/large", "/empty"] {
            let _ = site.raw_closing(path).await;
        }
        while site.misfortunes.connections() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(site.book.left.lock().unwrap().len(), 0, "{faults}");
    }
}
