//! `http --auth oauth` as it is started: what must be set, and that no token is ever written down.

use reqwest::StatusCode;
use serde_json::json;

use super::{
    agents::{company, home, in_session, session, until, write},
    http::{Served, message},
    login::browser::sign_in,
};
use crate::oauth_callers::{
    signer::Signer,
    site::{Idp, Mood, RESOURCE, TEODOR, settings_file},
};

#[tokio::test]
async fn what_is_missing_for_tokens_of_an_issuer_is_named() {
    let whole = settings_file("https://login.example", "");
    let without = |key: &str| whole.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n");
    let nobody = whole.split("[agents").next().unwrap().to_owned();
    let table = [
        (without("oauth_issuer"), "--oauth-issuer (IRONCLAD_OAUTH_ISSUER)"),
        (without("oauth_resource"), "--oauth-resource (IRONCLAD_OAUTH_RESOURCE)"),
        (without("oauth_agent"), "--oauth-agent (IRONCLAD_OAUTH_AGENT)"),
        (nobody, "[agents.NAME]"),
        (whole.replace("\"staff\"", "\"ghost\""), "there are: robot, staff"),
        (whole.replace("https://login.example", "http://login.example"), "--oauth-issuer"),
        (whole.replace("auth = \"oauth\"", "auth = \"guess\""), "none, agents or oauth"),
        (without("auth = "), "agents are configured"),
        ("oauth_issuer = \"https://login.example\"".to_owned(), "--auth oauth"),
        (format!("oauth_algorithms = \"HS256\"\n{whole}"), "HS256"),
    ];
    for (file, told) in table {
        let ended = home(&file).run(&["http", "--simulator", "--listen", "127.0.0.1:0"]).await;
        assert_eq!(ended.code(), 2, "{told}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{told}: {}", ended.stderr);
    }
}

/// Or else everybody who signs in would have the rights of one person.
#[tokio::test]
async fn a_kept_login_is_no_way_to_act_as_each_caller() {
    let simulator = company().await;
    let home = home("");
    let credentials = simulator.credentials();
    let home = home
        .with("IRONCLAD_BASE_URL", &simulator.base_url())
        .with("IRONCLAD_CLIENT_ID", &credentials.client_id)
        .with("IRONCLAD_CLIENT_SECRET", &credentials.client_secret);
    sign_in(&home, &[], TEODOR).await;
    write(&home, &settings_file("https://login.example", ""));
    for command in [&["http", "--listen", "127.0.0.1:0"][..], &["check"]] {
        let ended = home.run(command).await;
        assert_eq!(ended.code(), 2, "{}{}", ended.stdout, ended.stderr);
        let told = ended.stdout + &ended.stderr;
        assert!(told.contains(&format!("the kept login acts as {TEODOR}")) && told.contains("logout"), "{told}");
    }
    assert_eq!(home.run(&["logout"]).await.code(), 0);
}

#[tokio::test]
async fn an_agent_that_is_taken_out_is_nobodys_any_more() {
    let signer = Signer::new("k", "ES256");
    let idp = Idp::start(&[&signer]).await;
    let whole = settings_file(&idp.url, "");
    let served = Served::at(home(&whole).with("IRONCLAD_SIMULATOR", "true")).await;
    let token = |agent: &str| {
        signer.token(&json!({
            "iss": idp.url, "aud": RESOURCE, "sub": "teodor", "exp": 9_999_999_999_i64, "scope": "ironclad:read",
            "email": TEODOR, "email_verified": true, "agent": agent,
        }))
    };
    let (staff, robot) = (token("staff"), token("robot"));
    let (of_staff, of_robot) = (session(&served, &staff).await, session(&served, &robot).await);
    assert_eq!(in_session(&served, &robot, &of_robot).await.status(), StatusCode::OK);
    write(&served.home, whole.split("[agents.robot]").next().unwrap());
    until(async || {
        let status = in_session(&served, &robot, &of_robot).await.status();
        (status == StatusCode::FORBIDDEN).then_some(())
    })
    .await;
    assert_eq!(in_session(&served, &staff, &of_staff).await.status(), StatusCode::OK, "the others go on");
    write(&served.home, &whole);
    until(async || {
        let status = in_session(&served, &robot, &of_robot).await.status();
        (status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

#[tokio::test]
async fn check_says_whether_the_keys_can_be_had() {
    let signer = Signer::new("k", "ES256");
    let (idp, simulator) = (Idp::start(&[&signer]).await, company().await);
    let home = home(&settings_file(&idp.url, "")).at(&simulator);
    let good = home.run(&["check"]).await;
    assert_eq!(good.code(), 0, "{}{}", good.stdout, good.stderr);
    assert!(good.stdout.contains(&format!("ok    callers: the keys of {}", idp.url)), "{}", good.stdout);
    assert!(
        good.stdout.contains("all that the published tools need"),
        "those that no agent is granted: {}",
        good.stdout
    );
    idp.is(Mood::Down);
    let down = home.run(&["check"]).await;
    assert_eq!(down.code(), 1, "{}", down.stdout);
    assert!(down.stdout.contains("FAIL  callers: the keys of"), "{}", down.stdout);
    assert!(down.stderr.contains("/keys: the answer was the status 503"), "{}", down.stderr);
}

#[tokio::test]
async fn a_callers_token_is_written_nowhere_however_much_is_logged() {
    let signer = Signer::new("k", "RS256");
    let (idp, simulator) = (Idp::start(&[&signer]).await, company().await);
    let file = settings_file(&idp.url, "launch_tools = \"off\"");
    let served = Served::at(home(&file).at(&simulator).with("RUST_LOG", "trace")).await;
    let claims = json!({
        "iss": idp.url, "aud": RESOURCE, "sub": "teodor", "exp": 9_999_999_999_i64, "scope": "ironclad:read",
        "email": TEODOR, "email_verified": true,
    });
    let good = signer.token(&claims);
    let wrong = signer.token(&json!({"iss": idp.url}));
    for (token, status) in [(&good, 200), (&wrong, 401)] {
        let authorization = format!("Bearer {token}");
        let call = served.modern_call("list_users", &json!({"limit": 1}), &[("authorization", &authorization)]);
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status(), status);
        if status == 200 {
            assert_eq!(message(answer).await["result"]["structuredContent"]["total"], 25);
        }
    }
    let said = served.said.lock().unwrap().clone();
    let audit = std::fs::read_to_string(served.home.audit_log()).unwrap();
    assert!(said.contains("a caller was not let in") && audit.contains("teodor"), "it was logged");
    for token in [&good, &wrong] {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!said.contains(signature) && !audit.contains(signature));
    }
}

#[tokio::test]
async fn the_public_name_need_not_be_allowed_a_second_time() {
    let signer = Signer::new("k", "ES256");
    let idp = Idp::start(&[&signer]).await;
    let served = Served::at(home(&settings_file(&idp.url, "")).with("IRONCLAD_SIMULATOR", "true")).await;
    let claims = json!({
        "iss": idp.url, "aud": RESOURCE, "sub": "teodor", "exp": 9_999_999_999_i64, "scope": "ironclad:read",
        "email": TEODOR, "email_verified": true,
    });
    let authorization = format!("Bearer {}", signer.token(&claims));
    for (host, status) in
        [("mcp.example", 200), ("localhost", 200), ("evil.example", 403), ("mcp.example.evil.example", 403)]
    {
        let headers = [("authorization", authorization.as_str()), ("host", host)];
        let answer = served.modern_call("whoami", &json!({}), &headers).send().await.unwrap();
        assert_eq!(answer.status(), status, "{host}");
    }
}
