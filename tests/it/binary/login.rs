//! `login` and `logout`, with the test as the browser; what a kept login does; and that no crash loses one.

pub(super) mod browser;
mod kept;
mod key_store;
mod rotation;
mod scopes;

use std::path::PathBuf;

use ironclad_mcp::simulator::{self, Simulator};
use serde_json::Value;
use tokio::net::TcpListener;

use self::browser::{Browser, sign_in};
use super::program::Home;

/// Somebody who is not the acting user of the simulator's credentials.
pub(super) const IMANI: &str = "imani.bakari@simulator.example";

async fn simulator() -> Simulator {
    let settings = simulator::Settings { rate_limits: false, ..simulator::Settings::default() };
    Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap()
}

/// A home with the simulator's client and no acting user.
pub(super) fn home(simulator: &Simulator) -> Home {
    let credentials = simulator.credentials();
    Home::new()
        .with("IRONCLAD_BASE_URL", &simulator.base_url())
        .with("IRONCLAD_CLIENT_ID", &credentials.client_id)
        .with("IRONCLAD_CLIENT_SECRET", &credentials.client_secret)
}

/// The files of kept logins.
pub(super) fn kept(home: &Home) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(home.path("state/ironclad-mcp/logins")) else { return Vec::new() };
    let files = folder.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

pub(super) async fn control(simulator: &Simulator, path: &str, body: Value) {
    let url = format!("{}/__simulator/{path}", simulator.base_url());
    reqwest::Client::new().post(url).json(&body).send().await.unwrap().error_for_status().unwrap();
}

/// The requests that the simulator saw below a path.
async fn requests(simulator: &Simulator, path: &str) -> Vec<Value> {
    let url = format!("{}/__simulator/requests?path={path}", simulator.base_url());
    let log: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    log["list"].as_array().unwrap().clone()
}

#[tokio::test]
async fn whoever_allows_it_in_the_browser_is_signed_in_and_acts() {
    let simulator = simulator().await;
    let home = home(&simulator);
    let browser = Browser::start(&home, &["--redirect-port", "0"]).await;
    assert!(browser.redirect().starts_with("http://localhost:"), "{}", browser.redirect());
    let page = browser.allow(IMANI).await;
    assert!(page.contains("<h1>Done</h1>") && page.contains(IMANI), "{page}");
    let ended = browser.ended().await;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stdout.contains(&format!("as {IMANI}")), "{}", ended.stdout);
    let authorize = &requests(&simulator, "/oauth/authorize").await[0]["query"];
    assert_eq!(authorize["code_challenge_method"], "S256");
    assert!(authorize["state"].as_str().unwrap().len() >= 16);
    let file = kept(&home).remove(0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    }
    let users = home.run(&["call", "list_users", "--args", r#"{"limit": 1}"#]).await;
    assert_eq!(users.json()["total"], 25, "{}", users.stderr);
    let seen = requests(&simulator, "/scim/v2/Users").await;
    assert!(seen[0]["headers"].get("x-as-user-email").is_none(), "{}", seen[0]);
    let audit = std::fs::read_to_string(home.audit_log()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(audit.lines().next().unwrap()).unwrap()["as_user"], IMANI);
    let out = home.run(&["logout"]).await;
    assert!(out.code() == 0 && out.stdout.contains(IMANI), "{}{}", out.stdout, out.stderr);
    assert!(kept(&home).is_empty());
    assert_eq!(home.run(&["logout"]).await.code(), 0);
    let none = home.run(&["call", "list_users"]).await;
    assert!(none.code() == 2 && none.stderr.contains("ironclad-mcp login"), "{}", none.stderr);
}

#[tokio::test]
async fn who_says_no_is_not_signed_in() {
    let simulator = simulator().await;
    let home = home(&simulator);
    let browser = Browser::start(&home, &["--redirect-port", "0"]).await;
    let page = browser.deny().await;
    assert!(page.contains("Not signed in") && page.contains("did not allow"), "{page}");
    let ended = browser.ended().await;
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.contains("not allowed"), "{}", ended.stderr);
    assert!(kept(&home).is_empty());
}

#[tokio::test]
async fn the_answer_of_another_sign_in_is_not_taken() {
    let simulator = simulator().await;
    let home = home(&simulator);
    let browser = Browser::start(&home, &["--redirect-port", "0"]).await;
    let redirect = browser.redirect();
    let page = browser.visit(&redirect).await;
    assert!(page.contains("Nothing to see here"), "{page}");
    let page = browser.visit(&format!("{redirect}?code=sim-code-1&state=forged")).await;
    assert!(page.contains("another sign-in"), "{page}");
    let ended = browser.ended().await;
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.contains("state"), "{}", ended.stderr);
    assert!(kept(&home).is_empty());
    assert_eq!(requests(&simulator, "/oauth/token").await.len(), 0);
}

#[tokio::test]
async fn a_code_that_ironclad_does_not_take_is_said() {
    let simulator = simulator().await;
    let home = home(&simulator);
    let browser = Browser::start(&home, &["--redirect-port", "0"]).await;
    let page = browser.visit(&format!("{}?code=made-up&state={}", browser.redirect(), browser.state())).await;
    assert!(page.contains("invalid_grant"), "{page}");
    let ended = browser.ended().await;
    assert!(ended.code() == 1 && ended.stderr.contains("invalid_grant"), "{}", ended.stderr);
    assert!(kept(&home).is_empty());
}

#[tokio::test]
async fn a_taken_port_is_said_with_the_way_out() {
    let simulator = simulator().await;
    let home = home(&simulator);
    let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = home.run(&["login", "--no-browser", "--redirect-port", &port]).await;
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.contains(&port) && ended.stderr.contains("--redirect-port"), "{}", ended.stderr);
}

#[tokio::test]
async fn pkce_can_be_left_out() {
    let simulator = simulator().await;
    let home = home(&simulator);
    sign_in(&home, &["--no-pkce"], IMANI).await;
    let authorize = &requests(&simulator, "/oauth/authorize").await[0]["query"];
    assert!(authorize.get("code_challenge").is_none(), "{authorize}");
    let token = &requests(&simulator, "/oauth/token").await[0]["body"];
    assert!(!token.to_string().contains("code_verifier"), "{token}");
    assert_eq!(home.run(&["call", "list_users", "--args", r#"{"limit": 1}"#]).await.code(), 0);
}

#[tokio::test]
async fn a_browser_on_another_machine_can_bring_its_answer_by_hand() {
    let simulator = simulator().await;
    let home = home(&simulator);
    let mut browser = Browser::start(&home, &["--redirect-port", "0"]).await;
    let answer = browser.last_page(IMANI).await;
    browser.paste("this is no address").await;
    browser.paste(&answer).await;
    let ended = browser.ended().await;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stdout.contains(IMANI), "{}", ended.stdout);
    assert_eq!(kept(&home).len(), 1);
}

#[tokio::test]
async fn a_login_needs_a_client_and_says_which_settings_name_it() {
    for command in ["login", "logout"] {
        let ended = Home::new().run(&[command]).await;
        assert_eq!(ended.code(), 2);
        assert!(ended.stderr.contains("IRONCLAD_CLIENT_ID"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_login_at_the_simulator_inside_can_be_tried_and_keeps_nothing() {
    let home = Home::new();
    let browser = Browser::start(&home, &["--simulator", "--redirect-port", "0"]).await;
    assert!(browser.allow(IMANI).await.contains("Done"));
    let ended = browser.ended().await;
    assert!(ended.code() == 0 && ended.stdout.contains("Nothing is kept"), "{}{}", ended.stdout, ended.stderr);
    assert!(kept(&home).is_empty());
}

#[tokio::test]
async fn a_wrong_secret_is_said_on_the_page_and_in_the_terminal() {
    let simulator = simulator().await;
    let home = home(&simulator).with("IRONCLAD_CLIENT_SECRET", "MARKED-secret");
    let browser = Browser::start(&home, &["--redirect-port", "0"]).await;
    let page = browser.allow(IMANI).await;
    assert!(page.contains("unauthorized_client") && !page.contains("MARKED"), "{page}");
    let ended = browser.ended().await;
    assert!(ended.code() == 1 && !(ended.stdout + &ended.stderr).contains("MARKED"));
}
