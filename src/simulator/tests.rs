//! Behaviour over real HTTP, with a client that shares nothing with the simulator.

mod control;
mod endpoints;
mod oauth;
mod rules;
mod workflow_life;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{Settings, Simulator};

/// Acting user who approves "Mutual NDA".
const MAYA: &str = "maya.ortiz@simulator.example";
/// The "Mutual NDA" template.
const NDA: &str = "5f0375c4cdc1927c5c4ed001";

/// A started simulator and a signed-in client.
struct Bench {
    simulator: Simulator,
    http: reqwest::Client,
    token: String,
    user: Option<String>,
}

/// A reply that has been read.
struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    #[track_caller]
    fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }

    #[track_caller]
    fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        self.body
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn quiet() -> Settings {
    let clock = time::macros::datetime!(2026-09-01 09:00 UTC);
    Settings { rate_limits: false, clock: Some(clock), ..Settings::default() }
}

impl Bench {
    async fn new() -> Self {
        Self::with(quiet()).await
    }

    async fn with(settings: Settings) -> Self {
        let simulator = Simulator::start("127.0.0.1:0".parse().expect("address"), settings).await.expect("start");
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("client");
        let mut bench = Self { simulator, http, token: String::new(), user: Some(MAYA.to_owned()) };
        bench.token = bench.client_token("").await["access_token"].as_str().expect("token").to_owned();
        bench
    }

    async fn client_token(&self, scope: &str) -> Value {
        let credentials = self.simulator.credentials();
        let body = json!({
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "scope": scope,
        });
        let url = format!("{}/oauth/token", self.simulator.base_url());
        self.http.post(url).json(&body).send().await.expect("token").json().await.expect("JSON")
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let whole = path.starts_with("/oauth") || path.starts_with("/scim") || path.starts_with("/__");
        let prefix = if whole { "" } else { "/public/api/v1" };
        let request = self.http.request(method, format!("{}{prefix}{path}", self.simulator.base_url()));
        let request = request.bearer_auth(&self.token);
        match &self.user {
            Some(user) => request.header("x-as-user-email", user),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::read(self.request(Method::GET, path).send().await.expect("answer")).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        Answer::read(self.request(method, path).json(&body).send().await.expect("answer")).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, body).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, body).await
    }

    async fn launch_nda(&self, counterparty: &str) -> Value {
        self.post("/workflows", json!({ "template": NDA, "attributes": nda(counterparty) })).await.ok()
    }

    async fn approve(&self, workflow: &Value) -> Answer {
        let id = workflow["id"].as_str().expect("id");
        let approvals = self.get(&format!("/workflows/{id}/approvals")).await.ok();
        let role = approvals["approvalGroups"][0]["reviewers"][0]["role"].as_str().expect("role").to_owned();
        self.patch(&format!("/workflows/{id}/approvals/{role}"), json!({ "status": "approved" })).await
    }
}

fn nda(counterparty: &str) -> Value {
    json!({
        "counterpartyName": counterparty,
        "effectiveDate": "2026-10-01",
        "paperSource": "Our paper",
        "counterpartySigner": "Astrid Holm",
        "counterpartySignerEmail": "astrid@counterparty.example",
    })
}

fn comment() -> Value {
    json!({ "comment": { "message": "for a test" } })
}
