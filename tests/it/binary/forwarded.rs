//! What proxies say of a request counts from those that are listed, and from nobody else.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::json;

use super::{http::Served, program::Home};

const CLIENT: &str = "203.0.113.9";

async fn served(trusted: Option<&str>) -> Served {
    let home = Home::new().with("IRONCLAD_SIMULATOR", "true").with("IRONCLAD_ALLOWED_HOSTS", "mcp.example");
    let added = home.run(&["approver", "add", "maria"]).await;
    assert_eq!(added.code(), 0, "{}", added.stderr);
    std::fs::write(home.path("approver"), added.stdout).unwrap();
    let home = match trusted {
        Some(networks) => home.with("IRONCLAD_TRUSTED_PROXIES", networks),
        None => home,
    };
    Served::at(home).await
}

async fn call(served: &Served, headers: &[(&str, &str)]) -> StatusCode {
    served.modern_call("list_users", &json!({"limit": 1}), headers).send().await.unwrap().status()
}

/// Signs in to the approvals page, as a browser does that came through a proxy.
async fn sign_in(served: &Served, headers: &[(&str, &str)]) -> Response {
    let told = std::fs::read_to_string(served.home.path("approver")).unwrap();
    let token = told.trim();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request = client.post(served.url.replace("/mcp", "/approvals/sign-in")).form(&[("token", token)]);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

#[tokio::test]
async fn a_listed_proxy_tells_the_name_that_it_was_asked_by_and_others_tell_nothing() {
    let named = [("x-forwarded-host", "mcp.example"), ("x-forwarded-for", CLIENT)];
    let foreign = [("host", "mcp.example"), ("x-forwarded-host", "evil.example")];
    for (trusted, expected) in [
        (Some("127.0.0.0/8"), (StatusCode::OK, StatusCode::FORBIDDEN)),
        (Some("10.0.0.0/8, 127.0.0.1"), (StatusCode::OK, StatusCode::FORBIDDEN)),
        (Some("10.0.0.0/8"), (StatusCode::FORBIDDEN, StatusCode::OK)),
        (None, (StatusCode::FORBIDDEN, StatusCode::OK)),
    ] {
        let served = served(trusted).await;
        assert_eq!((call(&served, &named).await, call(&served, &foreign).await), expected, "{trusted:?}");
    }
}

#[tokio::test]
async fn the_cookie_of_the_approvals_page_is_secure_where_a_listed_proxy_has_tls() {
    let forwarded = [("host", "mcp.example"), ("origin", "http://mcp.example"), ("x-forwarded-proto", "https")];
    for (trusted, expected) in [(Some("127.0.0.1"), true), (None, false)] {
        let served = served(trusted).await;
        let reply = sign_in(&served, &forwarded).await;
        assert_eq!(reply.status(), StatusCode::SEE_OTHER, "{trusted:?}");
        let cookie = reply.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert_eq!(cookie.ends_with("; Secure"), expected, "{trusted:?}: {cookie}");
        assert_eq!(reply.headers()["location"], "/approvals", "no name stands in it");
    }
}

#[tokio::test]
async fn the_log_tells_the_address_of_who_was_refused() {
    for (trusted, expected) in [(Some("127.0.0.1"), CLIENT), (None, "127.0.0.1")] {
        let served = served(trusted).await;
        let claims = [("host", "evil.example"), ("x-forwarded-for", CLIENT)];
        assert_eq!(call(&served, &claims).await, StatusCode::FORBIDDEN);
        let told = async {
            loop {
                let said = served.said.lock().unwrap().clone();
                if let Some(line) = said.lines().find(|line| line.contains("a request was refused")) {
                    return line.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let line = tokio::time::timeout(Duration::from_secs(60), told).await.expect("the log says nothing");
        assert!(line.contains(&format!("client={expected}")) && line.contains("status=403"), "{line}");
    }
}

#[tokio::test]
async fn a_network_that_is_none_is_named() {
    let ended = Home::new().run(&["http", "--simulator", "--trusted-proxy", "proxy.example"]).await;
    assert!(ended.code() == 2 && ended.stderr.contains("proxy.example"), "{}", ended.stderr);
}
