//! Decisions out of band: `approvals`, `approve` and `decline`, and the page `/approvals` of `http`.

use std::time::Duration;

use ironclad_mcp::simulator::{self, Simulator};
use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use super::program::Home;
use crate::support::text;

async fn home() -> (Simulator, Home) {
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), simulator::Settings::default()).await.unwrap();
    let home = Home::new().at(&simulator).with("IRONCLAD_ENABLE_WRITES", "true").with("IRONCLAD_CONFIRM", "always");
    (simulator, home)
}

/// The id and the plan of a call that waits.
fn waiting(error: &Value) -> (String, String) {
    let hint = error["error"]["hint"].as_str().unwrap_or_else(|| panic!("{error}"));
    let between =
        |before: &str, after: char| hint.split(before).nth(1).unwrap().split(after).next().unwrap().to_owned();
    (between("ironclad-mcp approve ", '`'), between("with plan \"", '"'))
}

/// A call that waits for a person: the id of its approval, and its plan.
async fn asked(home: &Home) -> (String, String) {
    let workflow = home.run(&["call", "get_workflow", "--args", r#"{"workflow_id": "IC-301"}"#]).await.json();
    let arguments = json!({"workflow_id": workflow["id"], "comment": "x"}).to_string();
    let refused = home.run(&["call", "cancel_workflow", "--args", &arguments]).await;
    assert_eq!(refused.code(), 1, "{}", refused.stderr);
    waiting(&refused.json())
}

#[tokio::test]
async fn a_person_decides_from_a_shell_and_the_system_says_who() {
    let (_simulator, home) = home().await;
    let (id, plan) = asked(&home).await;
    let listed = home.run(&["approvals"]).await.json();
    assert_eq!((&listed["id"], &listed["standing"]), (&json!(id), &json!("pending")));
    let shown = home.run(&["approvals", "--format", "text"]).await.stdout;
    assert!(shown.contains("Counterparty: ") && shown.contains("What cannot be undone: "), "{shown}");
    let approved = home.run(&["approve", &id.to_uppercase()]).await;
    assert_eq!(approved.code(), 0, "{}", approved.stderr);
    assert!(approved.stdout.starts_with("approved: cli would cancel workflow IC-301"), "{}", approved.stdout);
    let line = last_line(&home);
    assert_eq!(
        (&line["decision"], &line["object"]["approval_id"], &line["agent"]),
        (&json!("allowed"), &json!(id), &json!("cli"))
    );
    assert!(
        text(&line["sentence"]).contains(" approved what was asked for: cli would cancel workflow IC-301"),
        "{line}"
    );
    let again = home.run(&["decline", &id]).await;
    assert_eq!(again.code(), 1);
    assert!(again.stderr.contains("is approved by "), "{}", again.stderr);
    assert_eq!(last_line(&home), line, "what changes nothing is not recorded");
    assert_eq!(home.run(&["approvals"]).await.stdout, "");
    let all = home.run(&["approvals", "--all"]).await.json();
    assert_eq!(all["decision"]["approved"], true);
    assert_ne!(all["decision"]["by"], "anonymous", "the system knows who runs this");
    assert_eq!(home.run(&["approve", "nosuchid"]).await.code(), 1);
    let arguments = json!({ "plan": plan }).to_string();
    let done = home.run(&["call", "cancel_workflow", "--args", &arguments]).await;
    assert_eq!(done.code(), 0, "{}", done.stdout);
    let audit = std::fs::read_to_string(home.audit_log()).unwrap();
    let by = format!("; plan {id}; approved by {}", all["decision"]["by"].as_str().unwrap());
    assert!(audit.contains(&by), "{by} is not in {audit}");
    let verified = home.run(&["audit", "--verify"]).await;
    assert_eq!(verified.code(), 0, "{}", verified.stderr);
}

/// The last line of the audit log.
fn last_line(home: &Home) -> Value {
    let audit = std::fs::read_to_string(home.audit_log()).unwrap();
    serde_json::from_str(audit.lines().last().unwrap()).unwrap()
}

/// A server with the page, and the token that it tells at its start.
struct Page {
    _child: Child,
    url: String,
    token: String,
    http: Client,
}

impl Page {
    async fn serve(home: &Home) -> Self {
        let mut child = home.command(&["http", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut url, mut token) = (None, None);
        let reading = async {
            while url.is_none() || token.is_none() {
                let line = said.next_line().await.unwrap().expect("it ended");
                if let Some(rest) = line.strip_prefix("listening on ") {
                    url = Some(rest.trim_end_matches("/mcp").to_owned());
                } else if let Some(rest) = line.strip_prefix("sign in to /approvals with ") {
                    token = rest.split(' ').next().map(str::to_owned);
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { _child: child, url: url.unwrap(), token: token.unwrap(), http }
    }

    async fn get(&self, cookie: &str) -> (reqwest::header::HeaderMap, String) {
        let request = self.http.get(format!("{}/approvals", self.url)).header("cookie", cookie);
        let reply = request.send().await.unwrap();
        (reply.headers().clone(), reply.text().await.unwrap())
    }

    /// Posts a form as a page of `origin` would.
    async fn post(&self, path: &str, origin: &str, cookie: &str, form: &[(&str, &str)]) -> reqwest::Response {
        let request = self.http.post(format!("{}/approvals/{path}", self.url)).form(form).header("cookie", cookie);
        request.header("origin", origin).send().await.unwrap()
    }

    async fn sign_in(&self, token: &str) -> Option<String> {
        let reply = self.post("sign-in", &self.url, "", &[("token", token)]).await;
        assert_eq!(reply.status(), StatusCode::SEE_OTHER);
        let cookie = reply.headers().get("set-cookie")?.to_str().unwrap().to_owned();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        Some(cookie.split(';').next().unwrap().to_owned())
    }
}

fn csrf(page: &str) -> &str {
    page.split(r#"name="csrf" value=""#).nth(1).unwrap().split('"').next().unwrap()
}

#[tokio::test]
async fn the_page_shows_what_waits_to_whoever_signed_in_and_to_nobody_else() {
    let (_simulator, home) = home().await;
    let (id, _) = asked(&home).await;
    let page = Page::serve(&home).await;
    let (headers, stranger) = page.get("").await;
    assert!(stranger.contains("sign-in token") && !stranger.contains(&id), "{stranger}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["cache-control"], "no-store");
    for wrong in ["", "icma_wrong", &page.token[1..]] {
        assert_eq!(page.sign_in(wrong).await, None, "{wrong}");
    }
    for forged in ["ironclad_approvals=x", "ironclad_approvals="] {
        assert!(!page.get(forged).await.1.contains(&id));
    }
    let cookie = page.sign_in(&page.token).await.unwrap();
    let (_, shown) = page.get(&cookie).await;
    assert!(shown.contains(&id) && shown.contains("Cancel a workflow") && !shown.contains("<script"), "{shown}");
    let foreign = page.http.get(format!("{}/approvals", page.url)).header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_counts_only_from_the_page_itself_and_a_decision_once() {
    let (_simulator, home) = home().await;
    let (id, _) = asked(&home).await;
    let page = Page::serve(&home).await;
    let cookie = page.sign_in(&page.token).await.unwrap();
    let shown = page.get(&cookie).await.1;
    let decide = format!("decide/{id}");
    let form = |csrf, decision| [("csrf", csrf), ("decision", decision)];
    let own = form(csrf(&shown), "approve");
    assert_eq!(page.post(&decide, "https://evil.example", &cookie, &own).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(page.post(&decide, "null", &cookie, &own).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(page.post(&decide, &page.url, &cookie, &form("x", "approve")).await.status(), StatusCode::FORBIDDEN);
    let other = page.sign_in(&page.token).await.unwrap();
    assert_eq!(page.post(&decide, &page.url, &other, &own).await.status(), StatusCode::FORBIDDEN, "another session's");
    assert_eq!(page.post(&decide, &page.url, "", &own).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(home.run(&["approvals"]).await.json()["standing"], "pending");
    let approved = page.post(&decide, &page.url, &cookie, &own).await;
    assert_eq!(approved.headers()["location"], format!("/approvals?said=approved&id={id}").as_str());
    let late = page.post(&decide, &page.url, &cookie, &form(csrf(&shown), "decline")).await;
    assert_eq!(late.headers()["location"], format!("/approvals?said=before&id={id}").as_str());
    let unknown = page.post("decide/aaaaaaaaaaaa", &page.url, &cookie, &own).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_approver_has_a_token_of_their_own_until_it_is_taken_back() {
    let (_simulator, home) = home().await;
    let page = Page::serve(&home).await;
    let made = home.run(&["approver", "add", "Maria Lopez"]).await;
    let token = made.stdout.trim();
    assert!(token.starts_with("icma_") && made.stderr.contains("not shown again"), "{} {}", made.stdout, made.stderr);
    assert_eq!(home.run(&["approver", "list"]).await.json()["name"], "Maria Lopez");
    assert_eq!(home.run(&["approver", "add", "<b>"]).await.code(), 2);
    let cookie = page.sign_in(token).await.unwrap();
    assert!(page.get(&cookie).await.1.contains("Maria Lopez"));
    let (id, _) = asked(&home).await;
    let shown = page.get(&cookie).await.1;
    let form = [("csrf", csrf(&shown)), ("decision", "decline"), ("reason", "not yet")];
    page.post(&format!("decide/{id}"), &page.url, &cookie, &form).await;
    let decided = home.run(&["approvals", "--all"]).await.json();
    let decision = &decided["decision"];
    assert_eq!((&decision["by"], &decision["reason"]), (&json!("Maria Lopez"), &json!("not yet")));
    let found = home.run(&["audit", "--decision", "declined", "--format", "json"]).await;
    let line: Value = serde_json::from_str(found.stdout.lines().last().unwrap()).unwrap();
    assert!(text(&line["sentence"]).starts_with("Maria Lopez declined what was asked for: "), "{line}");
    assert!(!found.stdout.contains("not yet"), "a reason is a person's own words");
    assert_eq!(home.run(&["approver", "remove", "Maria Lopez"]).await.code(), 0);
    assert!(!page.get(&cookie).await.1.contains("Maria Lopez"), "taken back at once");
    assert_eq!(page.sign_in(token).await, None);
}
