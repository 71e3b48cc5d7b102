//! `unauthorized` and `forbidden`: tokens that cannot be had, have expired, or do not reach far enough.

use ironclad_mcp::{catalog::Catalog, policy::Settings};
use serde_json::{Value, json};

use super::gist;
use crate::support::{Setting, Stage, nda, text};

#[tokio::test]
async fn a_wrong_secret_is_said_without_being_repeated() {
    let secret = "a-secret-that-nobody-may-see";
    let stage = Stage::with(Setting { client_secret: Some(secret.to_owned()), ..Setting::default() }).await;
    for (tool, arguments) in [("list_users", json!({})), ("launch_workflow", nda())] {
        let error = stage.fails(tool, arguments).await;
        assert_eq!(gist(&error), ("unauthorized", None, Some("not_sent")), "{tool}");
        assert!(text(&error["hint"]).contains("IRONCLAD_CLIENT_SECRET"), "{error}");
        assert!(!error.to_string().contains(secret));
    }
    assert_eq!(stage.requests().await, Vec::<Value>::new());
    assert!(!stage.audit_text().contains(secret));
}

#[tokio::test]
async fn an_expired_token_is_cured_by_one_fresh_one_and_one_repeat() {
    let stage = Stage::open().await;
    for (tool, arguments) in [("list_users", json!({})), ("launch_workflow", nda())] {
        stage.launched().await;
        stage.control("tokens/expire", "{}".into()).await;
        stage.forget_requests().await;
        stage.ok(tool, arguments).await;
        let statuses: Vec<Value> = stage.requests().await.iter().map(|request| request["status"].clone()).collect();
        assert_eq!(statuses, [json!(401), json!(200)], "{tool}");
        assert_eq!(stage.sign_ins().await, 1, "{tool}");
        assert_eq!(stage.audit().last().unwrap()["attempts"], 2, "{tool}");
    }
}

#[tokio::test]
async fn a_token_that_expires_between_two_tries_is_renewed_too() {
    let mut setting = Setting { max_retries: 2, ..Setting::default() };
    setting.simulator.faults = Some("503:count=1;expired-token:count=1".into());
    let stage = Stage::with(setting).await;
    stage.ok("list_users", json!({})).await;
    let statuses: Vec<Value> = stage.requests().await.iter().map(|request| request["status"].clone()).collect();
    assert_eq!(statuses, [json!(503), json!(401), json!(200)]);
}

#[tokio::test]
async fn a_refusal_that_a_fresh_token_does_not_cure_is_unauthorized() {
    let stage = Stage::open().await;
    stage.launched().await;
    stage.set_faults("expired-token").await;
    for (tool, arguments) in [("list_users", json!({})), ("launch_workflow", nda())] {
        stage.forget_requests().await;
        let error = stage.fails(tool, arguments).await;
        assert_eq!(gist(&error), ("unauthorized", Some(401), Some("refused")), "{tool}");
        assert!(text(&error["message"]).contains("token has expired"), "{error}");
        assert_eq!(stage.requests().await.len(), 2, "{tool}");
    }
}

#[tokio::test]
async fn a_static_token_that_is_refused_is_not_tried_twice() {
    let mut setting = Setting { static_token: true, ..Setting::default() };
    setting.simulator.faults = Some("expired-token".into());
    let stage = Stage::with(setting).await;
    assert_eq!(gist(&stage.fails("list_users", json!({})).await), ("unauthorized", Some(401), Some("refused")));
    assert_eq!((stage.requests().await.len(), stage.sign_ins().await), (1, 0));
}

/// Trouble at the sign-in says nothing about the credentials, and nothing was sent.
#[tokio::test]
async fn a_sign_in_that_is_in_trouble_is_unavailable_and_tried_again() {
    for fault in ["503", "429", "html", "reset-before", "reset-after"] {
        let stage = Stage::with_faults(&format!("{fault}:path=/oauth/token")).await;
        for (tool, arguments) in [("list_users", json!({})), ("launch_workflow", nda())] {
            let error = stage.fails(tool, arguments).await;
            assert_eq!(gist(&error), ("upstream_unavailable", None, Some("not_sent")), "{tool} under {fault}");
        }
        assert_eq!(stage.requests().await, Vec::<Value>::new());
    }
    let mut setting = Setting { max_retries: 1, ..Setting::default() };
    setting.simulator.faults = Some("503:path=/oauth/token,count=1".into());
    let stage = Stage::with(setting).await;
    stage.launched().await;
    assert_eq!((stage.sign_ins().await, stage.audit().last().unwrap()["attempts"].clone()), (2, json!(1)));
}

#[tokio::test]
async fn a_sign_in_that_stays_in_trouble_is_given_up_after_its_retries() {
    let mut setting = Setting { max_retries: 2, ..Setting::default() };
    setting.simulator.faults = Some("503:path=/oauth/token".into());
    let stage = Stage::with(setting).await;
    assert_eq!(stage.fails("launch_workflow", nda()).await["code"], "upstream_unavailable");
    assert_eq!((stage.sign_ins().await, stage.requests().await.len()), (3, 0));
}

#[tokio::test]
async fn many_calls_wait_for_one_token() {
    let stage = Stage::open().await;
    let calls = (0..20).map(|_| stage.ok("list_webhooks", json!({})));
    futures_util::future::join_all(calls).await;
    assert_eq!((stage.sign_ins().await, stage.requests().await.len()), (1, 20));
}

#[tokio::test]
async fn a_scope_that_was_not_granted_is_named() {
    let policy = Settings { enable_writes: true, ..Settings::default() };
    let mut scopes = Catalog::load(None, "").unwrap().scopes(&policy);
    scopes.retain(|scope| scope != "public.workflows.cancel" && scope != "scim.users.readUsers");
    let stage = Stage::with(Setting { scopes: Some(scopes), ..Setting::default() }).await;
    let cancel = json!({"workflow_id": stage.launched().await["id"], "comment": "no deal"});
    for (tool, arguments, scope) in
        [("cancel_workflow", cancel, "public.workflows.cancel"), ("list_users", json!({}), "scim.users.readUsers")]
    {
        let error = stage.fails(tool, arguments).await;
        assert_eq!(gist(&error), ("forbidden", Some(403), Some("refused")), "{tool}");
        assert_eq!(error["scope"], scope);
        assert!(text(&error["hint"]).contains(scope), "{error}");
        assert_eq!(text(&error["request_id"]).len(), 36);
    }
}
