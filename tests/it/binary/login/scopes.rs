//! A tenant that lacks a scope: the sign-in goes on without it, and the tools that need it are left out.

use ironclad_mcp::simulator::{self, Simulator};
use serde_json::{Value, json};

use super::{
    super::program::{Home, Session},
    IMANI,
    browser::{Browser, sign_in},
    home, kept, requests,
};

/// What the simulator's client is registered with.
async fn tenant(scopes: &[&str], names_refused: bool) -> Simulator {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let settings = simulator::Settings { client_scopes: Some(scopes), ..simulator::Settings::default() };
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    super::control(&simulator, "oauth", json!({"namesRefusedScope": names_refused})).await;
    simulator
}

/// Enough for the workflows and records, and nothing of webhooks and users.
const SOME: [&str; 6] = [
    "public.records.readRecords",
    "public.records.readSchemas",
    "public.workflows.readApprovals",
    "public.workflows.readDocuments",
    "public.workflows.readSchemas",
    "public.workflows.readWorkflows",
];

async fn names(session: &mut Session) -> Vec<String> {
    let listed = session.request("tools/list", json!({})).await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// The answer to a request, with the notifications before it.
async fn answer_and_news(session: &mut Session, id: u64) -> (Value, Vec<String>) {
    let mut news = Vec::new();
    loop {
        let message = session.receive().await;
        if message["id"] == id {
            return (message["result"].clone(), news);
        }
        let method = message["method"].as_str().unwrap();
        // Prompts that need those tools come and go as well, a moment later.
        if method != "notifications/prompts/list_changed" {
            news.push(method.to_owned());
        }
    }
}

async fn with_client_credentials(simulator: &Simulator) -> Home {
    home(simulator).with("IRONCLAD_AS_USER_EMAIL", &simulator.credentials().as_user_email)
}

#[tokio::test]
async fn tools_whose_scope_is_refused_go_and_the_client_is_told() {
    for (names_refused, tries) in [(true, 3), (false, 6)] {
        let simulator = tenant(&SOME, names_refused).await;
        let home = with_client_credentials(&simulator).await;
        let mut session = home.open(&["stdio"]).await;
        // Nothing is known yet, and nobody waits for the network to list tools.
        assert!(names(&mut session).await.contains(&"list_users".to_owned()));
        assert_eq!(requests(&simulator, "/oauth").await.len(), 0);
        let id = session.ask("tools/call", json!({"name": "list_workflows", "arguments": {"limit": 1}})).await;
        let (answer, mut news) = answer_and_news(&mut session, id).await;
        assert_eq!(answer["structuredContent"]["items"].as_array().unwrap().len(), 1, "{answer}");
        let asked = requests(&simulator, "/oauth/token").await;
        assert_eq!(asked.len(), tries, "{names_refused}");
        let id = session.ask("tools/list", json!({})).await;
        let (listed, more) = answer_and_news(&mut session, id).await;
        news.extend(more);
        assert_eq!(news, ["notifications/tools/list_changed"]);
        let listed = listed.to_string();
        for gone in ["list_users", "get_user", "list_webhooks"] {
            assert!(!listed.contains(&format!("\"name\":\"{gone}\"")), "{gone}");
        }
        assert!(listed.contains("\"name\":\"get_record\""));
        let refused = session.call("list_users", json!({})).await["structuredContent"]["error"].clone();
        assert_eq!(refused["code"], "forbidden", "{refused}");
        assert_eq!((&refused["scope"], &refused["outcome"]), (&json!("scim.users.readUsers"), &json!("not_sent")));
        assert!(refused["hint"].as_str().unwrap().contains("administrator"), "{refused}");
        assert!(requests(&simulator, "/scim").await.is_empty());
        let audit = std::fs::read_to_string(home.audit_log()).unwrap();
        let last: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
        assert_eq!((&last["tool"], &last["decision"]), (&json!("list_users"), &json!("denied")));
    }
}

#[tokio::test]
async fn check_names_the_scope_the_tools_and_the_way_out() {
    let simulator = tenant(&SOME, false).await;
    let checked = with_client_credentials(&simulator).await.run(&["check"]).await;
    assert_eq!(checked.code(), 1, "{}", checked.stdout);
    let line = checked.stdout.lines().find(|line| line.contains("scim.users.readUsers")).unwrap();
    assert!(line.starts_with("FAIL") && line.contains("list_users") && line.contains("get_user"), "{line}");
    assert!(line.contains("administrator") && line.contains("--toolsets"), "{line}");
    let without = ["check", "--toolsets", "workflows,workflow-actions,records,documents"];
    let checked = with_client_credentials(&simulator).await.run(&without).await;
    assert_eq!(checked.code(), 0, "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("all that the published tools need"), "{}", checked.stdout);
}

#[tokio::test]
async fn scopes_named_by_the_operator_are_asked_for_as_they_are() {
    let simulator = tenant(&SOME, true).await;
    let home = with_client_credentials(&simulator).await;
    let named = "public.workflows.readWorkflows scim.users.readUsers";
    let refused = home.run(&["call", "list_workflows", "--scopes", named]).await.json();
    assert_eq!(refused["error"]["code"], "unauthorized");
    assert!(refused["error"]["message"].as_str().unwrap().contains("invalid_scope"), "{refused}");
    let asked = requests(&simulator, "/oauth/token").await;
    assert_eq!(asked.len(), 1);
    let mut session = home.open(&["stdio", "--scopes", "public.workflows.readWorkflows"]).await;
    assert_eq!(names(&mut session).await, ["list_workflows", "get_workflow"]);
    session.call("list_workflows", json!({"limit": 1})).await;
    let asked = requests(&simulator, "/oauth/token").await;
    assert_eq!(asked[1]["body"]["scope"], "public.workflows.readWorkflows", "{}", asked[1]);
    let checked = home.run(&["check", "--scopes", "public.workflows.readWorkflows"]).await;
    assert!(checked.code() == 0 && checked.stdout.contains("warn  scopes: --scopes"), "{}", checked.stdout);
}

#[tokio::test]
async fn a_login_is_sent_on_without_the_scopes_that_are_refused() {
    let simulator = tenant(&SOME, false).await;
    let home = home(&simulator);
    let browser = Browser::start(&home, &["--redirect-port", "0"]).await;
    assert!(browser.allow(IMANI).await.contains("Done"));
    let ended = browser.ended().await;
    assert!(ended.code() == 0 && ended.stdout.contains("scim.users.readUsers"), "{}", ended.stdout);
    let consents = requests(&simulator, "/oauth/authorize").await;
    let states: std::collections::BTreeSet<&str> =
        consents.iter().map(|request| request["query"]["state"].as_str().unwrap()).collect();
    assert_eq!((consents.len(), states.len()), (3, 3), "every question has a state of its own");
    // Known from the file: nothing is asked of Ironclad.
    let before = requests(&simulator, "/").await.len();
    let mut session = home.open(&["stdio"]).await;
    let listed = names(&mut session).await;
    assert!(!listed.contains(&"list_users".to_owned()) && listed.contains(&"get_record".to_owned()), "{listed:?}");
    let printed = home.run(&["tools", "--format", "markdown"]).await.stdout;
    assert!(!printed.contains("list_users") && printed.contains("get_record"), "{printed}");
    assert_eq!(requests(&simulator, "/").await.len(), before);
}

#[tokio::test]
async fn writes_that_the_login_did_not_ask_for_want_another_login() {
    let simulator = super::simulator().await;
    let home = home(&simulator);
    sign_in(&home, &[], IMANI).await;
    assert_eq!(kept(&home).len(), 1);
    let mut session = home.open(&["stdio", "--enable-writes", "--launch-tools", "off"]).await;
    assert!(!names(&mut session).await.contains(&"cancel_workflow".to_owned()));
    let cancel = json!({"workflow_id": "IC-301", "comment": "no deal"});
    let refused = session.call("cancel_workflow", cancel).await["structuredContent"]["error"].clone();
    assert_eq!((&refused["code"], &refused["scope"]), (&json!("forbidden"), &json!("public.workflows.cancel")));
    assert!(refused["hint"].as_str().unwrap().contains("ironclad-mcp login"), "{refused}");
    let checked = home.run(&["check", "--enable-writes"]).await;
    assert!(checked.code() == 1 && checked.stdout.contains("login did not ask for"), "{}", checked.stdout);
    sign_in(&home, &["--enable-writes"], IMANI).await;
    assert!(names(&mut session).await.contains(&"list_users".to_owned()));
    // The server takes the wider login up with its next call, and tells the client.
    let id = session.ask("tools/call", json!({"name": "list_users", "arguments": {"limit": 1}})).await;
    let (_, mut news) = answer_and_news(&mut session, id).await;
    let id = session.ask("tools/list", json!({})).await;
    let (listed, more) = answer_and_news(&mut session, id).await;
    news.extend(more);
    assert_eq!(news, ["notifications/tools/list_changed"]);
    assert!(listed.to_string().contains("\"name\":\"cancel_workflow\""));
}
