//! Token storms, shared logins, and kill -9: a refresh token is spent once, and what comes of it is never lost.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{
    super::program::{Home, Session},
    IMANI,
    browser::sign_in,
    control, home, requests, simulator,
};

/// As many calls as are asked for, all under way at once.
async fn storm(session: &mut Session, calls: usize) {
    let mut waiting = BTreeSet::new();
    for _ in 0..calls {
        let call = json!({"name": "list_users", "arguments": {"limit": 1, "fields": ["id"]}});
        waiting.insert(session.ask("tools/call", call).await);
    }
    while !waiting.is_empty() {
        let answer = session.receive().await;
        if let Some(id) = answer["id"].as_u64() {
            assert_eq!(answer["result"]["structuredContent"]["total"], 25, "{answer}");
            assert!(waiting.remove(&id));
        }
    }
}

#[tokio::test]
async fn two_hundred_calls_at_expiry_make_one_token_request() {
    let simulator = simulator().await;
    let login = home(&simulator);
    sign_in(&login, &[], IMANI).await;
    let client = home(&simulator).with("IRONCLAD_AS_USER_EMAIL", &simulator.credentials().as_user_email);
    for (home, grant) in [(login, "refresh_token"), (client, "client_credentials")] {
        let home = home.with("IRONCLAD_RATE_BUDGET", "off");
        let mut session = home.open(&["stdio"]).await;
        session.is_well().await;
        let before = requests(&simulator, "/oauth/token").await.len();
        control(&simulator, "tokens/expire", json!({})).await;
        storm(&mut session, 200).await;
        let asked = requests(&simulator, "/oauth/token").await.split_off(before);
        let grants: Vec<&Value> = asked.iter().map(|request| &request["body"]["grant_type"]).collect();
        assert_eq!(grants, [grant]);
    }
}

#[tokio::test]
async fn two_processes_share_a_login_through_a_hundred_rotations() {
    let simulator = simulator().await;
    let home = home(&simulator).with("IRONCLAD_RATE_BUDGET", "off");
    sign_in(&home, &[], IMANI).await;
    let mut one = home.open(&["stdio"]).await;
    let mut two = home.open(&["stdio"]).await;
    for _ in 0..100 {
        control(&simulator, "tokens/expire", json!({})).await;
        tokio::join!(storm(&mut one, 2), storm(&mut two, 2));
    }
    let spent = requests(&simulator, "/oauth/token").await.split_off(1);
    let refused = spent.iter().filter(|request| request["status"] != 200).count();
    assert_eq!((spent.len(), refused), (100, 0), "each refresh token was spent once, by one of the two");
}

/// Waits until the simulator has seen more token requests than `seen`, or the call has ended without one.
async fn spending(home: &Home, simulator: &ironclad_mcp::simulator::Simulator, seen: usize) {
    let mut child = home.command(&["call", "list_users"]).spawn().unwrap();
    while requests(simulator, "/oauth/token").await.len() == seen {
        if child.try_wait().unwrap().is_some() {
            return;
        }
    }
    // Ironclad has just spent the refresh token: the worst moment there is.
    child.start_kill().unwrap();
    child.wait().await.unwrap();
}

async fn killed_after(home: &Home, pause: Duration) {
    let mut child = home.command(&["call", "list_users"]).spawn().unwrap();
    let ended = tokio::time::timeout(pause, child.wait()).await;
    if ended.is_err() {
        child.start_kill().unwrap();
        child.wait().await.unwrap();
    }
}

#[tokio::test]
async fn a_program_killed_at_any_point_of_a_rotation_loses_no_sign_in() {
    let simulator = simulator().await;
    let home = home(&simulator);
    sign_in(&home, &[], IMANI).await;
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    for round in 0..24 {
        control(&simulator, "tokens/expire", json!({})).await;
        if round % 2 == 0 {
            let seen = requests(&simulator, "/oauth/token").await.len();
            spending(&home, &simulator, seen).await;
        } else {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            killed_after(&home, Duration::from_millis(seed % 200)).await;
        }
        let next = home.run(&["call", "list_users", "--args", r#"{"limit": 1}"#]).await;
        assert_eq!(next.code(), 0, "round {round}: {}{}", next.stdout, next.stderr);
    }
    let refused = requests(&simulator, "/oauth/token").await.iter().filter(|request| request["status"] != 200).count();
    assert_eq!(refused, 0, "no spent refresh token was ever sent again");
}

#[tokio::test]
async fn two_hundred_calls_of_two_processes_at_expiry_make_one_token_request() {
    let simulator = simulator().await;
    let home = home(&simulator).with("IRONCLAD_RATE_BUDGET", "off");
    sign_in(&home, &[], IMANI).await;
    let mut one = home.open(&["stdio"]).await;
    let mut two = home.open(&["stdio"]).await;
    control(&simulator, "tokens/expire", json!({})).await;
    tokio::join!(storm(&mut one, 100), storm(&mut two, 100));
    assert_eq!(requests(&simulator, "/oauth/token").await.len(), 2);
}
