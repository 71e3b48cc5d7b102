//! What a kept login does: who signs in first, and what servers that run make of changes.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::program::{Home, Session},
    IMANI,
    browser::sign_in,
    control, home, kept, requests, simulator,
};

const MAYA: &str = "maya.ortiz@simulator.example";

/// Everything that `list_users` did: its error, if it failed.
async fn error_of(session: &mut Session) -> Value {
    session.call("list_users", json!({"limit": 1})).await["structuredContent"]["error"].clone()
}

/// Whom the last call was made as.
fn last_user(home: &Home) -> Value {
    let audit = std::fs::read_to_string(home.audit_log()).unwrap();
    serde_json::from_str::<Value>(audit.lines().last().unwrap()).unwrap()["as_user"].clone()
}

fn token_of(home: &Home) -> Value {
    serde_json::from_slice::<Value>(&std::fs::read(&kept(home)[0]).unwrap()).unwrap()["tokens"]["plain"].clone()
}

/// Makes it time for the next pair, while the token still serves.
fn make_due(home: &Home) {
    let file = kept(home).remove(0);
    let mut login: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    login["renew_from"] = json!(0);
    std::fs::write(&file, login.to_string()).unwrap();
}

#[tokio::test]
async fn a_static_token_comes_before_a_login_and_a_login_before_the_client() {
    let simulator = simulator().await;
    let home = home(&simulator).with("IRONCLAD_AS_USER_EMAIL", MAYA);
    sign_in(&home, &[], IMANI).await;
    let call = ["call", "list_users", "--args", r#"{"limit": 1}"#];
    assert_eq!(home.run(&call).await.code(), 0);
    assert_eq!(last_user(&home), IMANI);
    let grants: Vec<Value> = requests(&simulator, "/oauth/token")
        .await
        .iter()
        .map(|request| request["body"]["grant_type"].clone())
        .collect();
    assert_eq!(grants, ["authorization_code"]);
    let other = "00000000-0000-4000-8000-000000000000";
    let stranger = home.command(&call).env("IRONCLAD_CLIENT_ID", other).output().await.unwrap();
    assert!(String::from_utf8_lossy(&stranger.stdout).contains("unauthorized_client"), "another client has no login");
    let legacy = home.command(&call).env("IRONCLAD_ACCESS_TOKEN", "simulator-legacy-token").output().await.unwrap();
    assert!(legacy.status.success());
    assert_eq!(last_user(&home), MAYA);
    assert_eq!(home.run(&["logout"]).await.code(), 0);
    assert_eq!(home.run(&call).await.code(), 0);
    assert_eq!(last_user(&home), MAYA);
    let last = requests(&simulator, "/oauth/token").await.pop().unwrap();
    assert_eq!(last["body"]["grant_type"], "client_credentials");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_goes_again() {
    let simulator = simulator().await;
    let home = home(&simulator);
    sign_in(&home, &[], IMANI).await;
    let before = token_of(&home);
    let mut session = home.open(&["stdio"]).await;
    session.is_well().await;
    control(&simulator, "tokens/expire", json!({})).await;
    session.is_well().await;
    let statuses: Vec<Value> =
        requests(&simulator, "/scim/v2/Users").await.iter().map(|request| request["status"].clone()).collect();
    assert_eq!(statuses, [json!(200), json!(401), json!(200)]);
    let tokens = requests(&simulator, "/oauth/token").await;
    assert_eq!((tokens.len(), &tokens[1]["body"]["grant_type"]), (2, &json!("refresh_token")));
    let after = token_of(&home);
    assert!(before["access"] != after["access"] && before["refresh"] != after["refresh"]);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let simulator = simulator().await;
    let home = home(&simulator);
    sign_in(&home, &[], IMANI).await;
    make_due(&home);
    let mut session = home.open(&["stdio"]).await;
    session.is_well().await;
    session.is_well().await;
    let statuses: Vec<Value> =
        requests(&simulator, "/scim/v2/Users").await.iter().map(|request| request["status"].clone()).collect();
    assert_eq!(statuses, [json!(200), json!(200)], "no call met a token that had ended");
    assert_eq!(requests(&simulator, "/oauth/token").await.len(), 2);
}

#[tokio::test]
async fn a_login_that_has_ended_says_so_and_the_next_one_is_taken_up_without_a_restart() {
    let simulator = simulator().await;
    let home = home(&simulator);
    sign_in(&home, &[], IMANI).await;
    let mut session = home.open(&["stdio"]).await;
    session.is_well().await;
    control(&simulator, "tokens/revoke", json!({})).await;
    for _ in 0..3 {
        let error = error_of(&mut session).await;
        assert_eq!(error["code"], "unauthorized");
        assert!(error["hint"].as_str().unwrap().contains("ironclad-mcp login"), "{error}");
    }
    let spent = requests(&simulator, "/oauth/token").await;
    assert_eq!(spent.len(), 2, "a dead refresh token is tried once");
    sign_in(&home, &[], IMANI).await;
    session.is_well().await;
    assert_eq!(home.run(&["logout"]).await.code(), 0);
    let error = error_of(&mut session).await;
    assert!(error["code"] == "unauthorized" && error["message"].as_str().unwrap().contains("logout"), "{error}");
}

#[tokio::test]
async fn a_running_server_does_not_become_somebody_else() {
    let simulator = simulator().await;
    let home = home(&simulator);
    sign_in(&home, &[], IMANI).await;
    let mut session = home.open(&["stdio"]).await;
    session.is_well().await;
    sign_in(&home, &[], MAYA).await;
    let error = error_of(&mut session).await;
    assert_eq!(error["code"], "unauthorized");
    assert!(error["message"].as_str().unwrap().contains(MAYA), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("start the server again"), "{error}");
    home.open(&["stdio"]).await.is_well().await;
}

#[tokio::test]
async fn a_renewal_in_trouble_is_no_trouble_while_the_token_serves() {
    let simulator = simulator().await;
    let home = home(&simulator);
    sign_in(&home, &[], IMANI).await;
    make_due(&home);
    let faults = format!("{}/__simulator/faults", simulator.base_url());
    let faults = reqwest::Client::new().post(faults).body("503:path=/oauth/token");
    faults.send().await.unwrap().error_for_status().unwrap();
    let mut session = home.open(&["stdio"]).await;
    session.is_well().await;
    session.is_well().await;
    assert_eq!(requests(&simulator, "/oauth/token").await.len(), 2, "and is not tried with every call");
}

#[tokio::test]
async fn a_login_that_cannot_be_read_is_not_passed_over() {
    let simulator = simulator().await;
    let home = home(&simulator).with("IRONCLAD_AS_USER_EMAIL", MAYA);
    sign_in(&home, &[], IMANI).await;
    let file = kept(&home).remove(0);
    std::fs::write(&file, "{").unwrap();
    for command in [&["call", "list_users"][..], &["check"], &["stdio"]] {
        let ended = home.run(command).await;
        assert_eq!(ended.code(), 2, "{command:?}");
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(file.to_str().unwrap()) && said.contains("ironclad-mcp login"), "{said}");
    }
    sign_in(&home, &[], IMANI).await;
    assert_eq!(home.run(&["call", "list_users"]).await.code(), 0);
}

#[tokio::test]
async fn check_says_whose_login_it_is_and_whether_others_can_read_it() {
    let simulator = simulator().await;
    let home = home(&simulator);
    sign_in(&home, &[], IMANI).await;
    let good = home.run(&["check"]).await;
    assert_eq!(good.code(), 0, "{}{}", good.stdout, good.stderr);
    assert!(good.stdout.contains(&format!("login of {IMANI}")), "{}", good.stdout);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&kept(&home)[0], std::fs::Permissions::from_mode(0o644)).unwrap();
        let exposed = home.run(&["check"]).await;
        assert!(exposed.code() == 1 && exposed.stdout.contains("chmod 600"), "{}", exposed.stdout);
    }
    control(&simulator, "tokens/revoke", json!({})).await;
    let dead = home.run(&["check"]).await;
    assert!(dead.code() == 1 && dead.stdout.contains("FAIL"), "{}", dead.stdout);
}

/// At the loudest level, everywhere: stdout, stderr, the audit log, the pages; only the store may hold them.
#[tokio::test]
async fn no_token_is_written_anywhere_but_to_the_store() {
    let simulator = simulator().await;
    let home = home(&simulator).with("RUST_LOG", "trace");
    sign_in(&home, &[], IMANI).await;
    let mut secrets = vec![simulator.credentials().client_secret];
    let mut session = home.open(&["stdio"]).await;
    let mut remember = |home: &Home| {
        let pair = token_of(home);
        secrets.extend(["access", "refresh"].map(|name| pair[name].as_str().unwrap().to_owned()));
    };
    remember(&home);
    session.is_well().await;
    control(&simulator, "tokens/expire", json!({})).await;
    session.is_well().await;
    remember(&home);
    session.hang_up();
    let served = session.ended(Duration::from_secs(10)).await;
    let mut written = served.stdout + &served.stderr;
    assert!(written.contains(" TRACE "), "the loudest level was not heard");
    for arguments in [&["check"][..], &["call", "list_users"], &["logout"], &["call", "list_users"]] {
        let ended = home.run(arguments).await;
        written.push_str(&ended.stdout);
        written.push_str(&ended.stderr);
    }
    written.push_str(&std::fs::read_to_string(home.audit_log()).unwrap());
    for secret in secrets {
        assert!(!written.contains(&secret), "{secret} was written");
    }
    // Nothing of it is left behind either.
    let left = std::fs::read_dir(home.path("state/ironclad-mcp/logins")).unwrap();
    for file in left {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0, "{file:?} is left");
    }
}
