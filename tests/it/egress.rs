//! Egress: nothing goes out but to the Ironclad host and to what the operator lists, and what was judged is recorded.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
};
use ironclad_mcp::{
    audit::{AuditLog, Expected, Target, verify},
    egress::{Mode, Settings as Egress},
    ironclad::{
        Client, Errand, Failure, Settings,
        auth::{Auth, Credentials},
        retry::Patience,
    },
    manifest::{Api, Effect, Method},
    request::{ActingUser, Request},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{Collected, text};

/// A host that leads every request to `location`, or answers it.
async fn host(location: Option<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(move || {
        let answer = match &location {
            Some(location) => (StatusCode::FOUND, [(LOCATION, location.clone())]).into_response(),
            None => "arrived".into_response(),
        };
        async move { answer }
    });
    tokio::spawn(axum::serve(listener, router).into_future());
    port
}

/// A client of a host, and the log of where it went.
struct Traveller {
    client: Client,
    folder: TempDir,
}

impl Traveller {
    fn new(port: u16, mode: Mode, allow: &[&str]) -> Self {
        let origin = format!("http://127.0.0.1:{port}");
        let settings = Settings {
            origin: origin.parse().unwrap(),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            patience: Patience { max_retries: 3, longest_retry: Duration::ZERO, longest_wait: Duration::ZERO },
            rate_budget: None,
        };
        let auth = Auth::new(Some(Credentials::Token("token".to_owned().into())), &origin);
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::new(Target::File(folder.path().join("audit-egress.jsonl")));
        let egress = Egress { mode, allow: allow.iter().map(|place| place.parse().unwrap()).collect() };
        let client = Client::new(settings, auth).with_egress(egress, Some(Arc::new(log)));
        Self { client, folder }
    }

    async fn goes(&self) -> Result<Vec<u8>, Failure> {
        let request = Request {
            api: Api::Public,
            method: Method::Get,
            path: "/public/api/v1/to".into(),
            query: Vec::new(),
            body: None,
            files: Vec::new(),
            effect: Effect::Read,
        };
        let nobody = ActingUser::default();
        self.client.send(&request, &mut Collected::default(), Errand::of(&nobody)).await.result.map(|(_, body)| body)
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("audit-egress.jsonl")
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn is_chained(path: &Path) -> bool {
    verify(path, Expected::default()).unwrap().is_ok()
}

#[tokio::test]
async fn a_redirect_to_a_host_that_is_not_listed_ends_with_what_to_list() {
    let port = host(None).await;
    for elsewhere in ["127.0.0.2", "localhost", "[::1]", "2130706434"] {
        let from = host(Some(format!("http://{elsewhere}:{port}/"))).await;
        let traveller = Traveller::new(from, Mode::Enforce, &["files.example.com"]);
        let failure = traveller.goes().await.unwrap_err();
        let Failure::Barred(barred) = failure else { panic!("{elsewhere}: {failure:?}") };
        assert!(barred.hint().contains("--egress-allow"), "{}", barred.hint());
        let lines = traveller.lines();
        let gist: Vec<[&str; 3]> =
            lines.iter().map(|line| [&line["object"]["host"], &line["decision"], &line["rule"]].map(text)).collect();
        let host = if elsewhere == "2130706434" { "127.0.0.2" } else { elsewhere.trim_matches(['[', ']']) };
        assert_eq!(gist, [["127.0.0.1", "allowed", "base_url"], [host, "denied", "egress=enforce"]]);
        assert!(is_chained(&traveller.log()));
    }
}

#[tokio::test]
async fn a_host_is_listed_by_its_name_or_by_the_network_that_it_leads_into() {
    let port = host(None).await;
    for allow in [&["localhost"][..], &["127.0.0.0/8", "::1"]] {
        let from = host(Some(format!("http://localhost:{port}/"))).await;
        let traveller = Traveller::new(from, Mode::Enforce, allow);
        assert_eq!(traveller.goes().await.unwrap(), b"arrived", "{allow:?}");
        let lines = traveller.lines();
        assert!(text(&lines.last().unwrap()["rule"]).starts_with("egress_allow="), "{lines:?}");
    }
}

/// The addresses are judged when the connection itself looks the name up, so the refusal comes out of the HTTP stack.
#[tokio::test]
async fn a_name_that_leads_into_another_network_than_the_listed_is_refused_and_not_tried_again() {
    let port = host(None).await;
    let from = host(Some(format!("http://localhost:{port}/"))).await;
    let traveller = Traveller::new(from, Mode::Enforce, &["10.0.0.0/8"]);
    let failure = traveller.goes().await.unwrap_err();
    assert!(matches!(&failure, Failure::Barred(barred) if barred.host == "localhost"), "{failure:?}");
    assert_eq!(traveller.lines().len(), 2);
}

#[tokio::test]
async fn with_a_warning_everything_goes_and_is_recorded() {
    let port = host(None).await;
    for elsewhere in ["localhost", "127.0.0.2"] {
        let from = host(Some(format!("http://{elsewhere}:{port}/"))).await;
        let traveller = Traveller::new(from, Mode::Warn, &["10.0.0.0/8"]);
        if elsewhere == "localhost" {
            assert_eq!(traveller.goes().await.unwrap(), b"arrived");
        } else {
            // Nothing listens at that address: it was tried.
            assert!(matches!(traveller.goes().await, Err(Failure::NeverArrived(_)) | Ok(_)));
        }
        let lines = traveller.lines();
        let last = lines.last().unwrap();
        assert_eq!((&last["decision"], &last["rule"]), (&"allowed".into(), &"egress=warn".into()), "{lines:?}");
        assert!(text(&last["sentence"]).contains("let through with a warning"), "{last}");
    }
}

#[tokio::test]
async fn a_destination_is_told_once() {
    let port = host(None).await;
    let traveller = Traveller::new(port, Mode::Enforce, &[]);
    for _ in 0..5 {
        traveller.goes().await.unwrap();
    }
    assert_eq!(traveller.lines().len(), 1);
}
