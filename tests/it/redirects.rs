//! Redirects: a download may lead to another host, and nothing of ours may go there.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request as HttpRequest, State},
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use ironclad_mcp::{
    ironclad::{
        Client, Errand, Failure, Head, Settings,
        auth::{Auth, Credentials},
        retry::Patience,
    },
    manifest::{Api, Effect, Method},
    request::{ActingUser, Request},
};
use tokio::{net::TcpListener, sync::Mutex};

use crate::support::Collected;

/// A host that redirects `/public/api/v1/to/...` to wherever it was told, and remembers what it was sent.
struct Host {
    address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    location: Option<String>,
    requests: Mutex<Vec<(String, HeaderMap)>>,
}

impl Host {
    async fn start(location: Option<String>) -> Self {
        let seen = Arc::new(Seen { location, requests: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { address, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn requests(&self) -> Vec<(String, HeaderMap)> {
        self.seen.requests.lock().await.clone()
    }
}

async fn answer(State(seen): State<Arc<Seen>>, request: HttpRequest) -> Response {
    let path = request.uri().path().to_owned();
    seen.requests.lock().await.push((path.clone(), request.headers().clone()));
    match &seen.location {
        Some(location) if path != "/here" => (StatusCode::FOUND, [(LOCATION, location.as_str())]).into_response(),
        _ => "arrived".into_response(),
    }
}

async fn send(host: &Host, effect: Effect) -> Result<Vec<u8>, Failure> {
    let origin = host.url("");
    let settings = Settings {
        origin: origin.parse().unwrap(),
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
        patience: Patience { max_retries: 0, longest_wait: Duration::ZERO, longest_retry: Duration::ZERO },
        rate_budget: None,
    };
    let auth = Auth::new(Some(Credentials::Token("our-token".to_owned().into())), &origin);
    let method = if effect == Effect::Read { Method::Get } else { Method::Post };
    let path = "/public/api/v1/to".to_owned();
    let request = Request { api: Api::Public, method, path, query: Vec::new(), body: None, files: Vec::new(), effect };
    let client = Client::new(settings, auth);
    let user = ActingUser { email: Some("maya@acme.example".into()), id: None };
    client.send(&request, &mut Collected::default(), Errand::of(&user)).await.result.map(|(_, body)| body)
}

#[tokio::test]
async fn another_host_sees_neither_the_token_nor_the_acting_user() {
    let other = Host::start(None).await;
    let host = Host::start(Some(other.url("/file?signature=x"))).await;
    assert_eq!(send(&host, Effect::Read).await.unwrap(), b"arrived");
    let (_, ours) = host.requests().await.remove(0);
    assert!(ours.contains_key("authorization") && ours.contains_key("x-as-user-email"));
    let (path, theirs) = other.requests().await.remove(0);
    assert_eq!(path, "/file");
    assert!(!theirs.contains_key("authorization") && !theirs.contains_key("x-as-user-email"), "{theirs:?}");
    assert!(!format!("{theirs:?}").contains("our-token"));
}

#[tokio::test]
async fn the_same_host_sees_them_again() {
    let host = Host::start(Some("/here".into())).await;
    assert_eq!(send(&host, Effect::Read).await.unwrap(), b"arrived");
    let requests = host.requests().await;
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|(_, headers)| headers.contains_key("authorization")));
}

#[tokio::test]
async fn a_write_is_never_redirected() {
    let other = Host::start(None).await;
    let host = Host::start(Some(other.url("/"))).await;
    let failure = send(&host, Effect::Write).await.unwrap_err();
    assert!(matches!(failure, Failure::Refused { head: Head { status: 302, .. }, .. }), "{failure:?}");
    assert_eq!((host.requests().await.len(), other.requests().await.len()), (1, 0));
}

#[tokio::test]
async fn redirects_without_end_end() {
    let host = Host::start(Some("/round".into())).await;
    assert!(send(&host, Effect::Read).await.is_err());
    assert!(host.requests().await.len() <= 10);
}

#[tokio::test]
async fn a_redirect_to_what_is_no_web_address_is_not_followed() {
    for location in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://example.com/", "javascript:1", "http://"] {
        let host = Host::start(Some(location.into())).await;
        assert!(send(&host, Effect::Read).await.is_err(), "{location}");
        assert_eq!(host.requests().await.len(), 1, "{location}");
    }
}
