//! Typed launch tools: one for each template that the acting user may launch, kept up to date while clients look on.

use std::{collections::BTreeSet, time::Duration};

use ironclad_mcp::{launch_tools::Choice, policy::Settings, schema_profile, simulator::Simulator};
use rmcp::model::{SubscriptionFilter, Tool};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

use crate::support::{NDA, Setting, Stage, call_of, nda, template, text};

const ALL: [&str; 6] = [
    "launch_data_processing_addendum",
    "launch_master_services_agreement",
    "launch_mutual_nda",
    "launch_order_form",
    "launch_statement_of_work",
    "launch_vendor_onboarding",
];

fn typed(choice: Choice) -> Setting {
    Setting { launch_tools: choice, ..Setting::default() }
}

fn only(named: &[&str]) -> Choice {
    Choice::Only(named.iter().map(|name| (*name).to_owned()).collect())
}

fn meta(tool: &Tool) -> Value {
    serde_json::to_value(&tool.meta).unwrap()
}

/// The typed launch tools among those that are listed.
async fn listed(stage: &Stage) -> Vec<Tool> {
    let tools = stage.client.list_all_tools().await.unwrap();
    tools.into_iter().filter(|tool| meta(tool).get("ironclad/template_id").is_some()).collect()
}

async fn names(stage: &Stage) -> BTreeSet<String> {
    listed(stage).await.into_iter().map(|tool| tool.name.into_owned()).collect()
}

#[tokio::test]
async fn each_template_has_a_tool_that_keeps_to_the_profile() {
    for modern in [false, true] {
        let stage = Stage::with(Setting { modern, ..typed(Choice::Auto) }).await;
        let tools = listed(&stage).await;
        assert_eq!(tools.iter().map(|tool| tool.name.as_ref()).collect::<BTreeSet<_>>(), ALL.into());
        for tool in tools {
            let description = tool.description.as_deref().unwrap();
            assert_eq!(schema_profile::tool_faults(&tool.name, description), Vec::<String>::new());
            assert_eq!(schema_profile::schema_faults(&tool.input_schema), Vec::<String>::new(), "{}", tool.name);
            assert!(description.starts_with("WRITE: "), "{description}");
            assert_eq!(tool.annotations.as_ref().unwrap().read_only_hint, Some(false));
            let meta = meta(&tool);
            assert_eq!((&meta["ironclad/group"], &meta["ironclad/access"]), (&json!("workflows"), &json!("write")));
            assert!(!text(&meta["ironclad/template_name"]).is_empty());
            let properties = tool.input_schema["properties"].as_object().unwrap();
            let names = ["attributes", "use_default_values", "dry_run", "plan", "force_after_unknown"];
            assert_eq!(properties.keys().collect::<Vec<_>>(), names);
        }
    }
}

#[tokio::test]
async fn a_typed_tool_launches_its_template_with_the_defaults() {
    let stage = Stage::with(typed(Choice::Auto)).await;
    assert_eq!(names(&stage).await.len(), 6);
    let attributes = &nda()["attributes"];
    let launched = stage.ok("launch_mutual_nda", json!({"attributes": attributes})).await;
    assert_eq!((&launched["template"], &launched["attributes"]["term"]), (&json!(NDA), &json!({"years": 2})));
    let plain = stage.ok("launch_mutual_nda", json!({"attributes": attributes, "use_default_values": false})).await;
    assert!(plain["attributes"].get("term").is_none(), "{plain}");
    let line = stage.audit().pop().unwrap();
    assert_eq!((&line["tool"], &line["object"]["template_id"]), (&json!("launch_mutual_nda"), &json!(NDA)));
    assert_eq!(line["object"]["id"], plain["id"]);
}

#[tokio::test]
async fn a_typed_tool_is_checked_and_can_be_tried() {
    let stage = Stage::with(typed(Choice::Auto)).await;
    names(&stage).await;
    let tried =
        stage.ok("launch_mutual_nda", json!({"attributes": nda()["attributes"].to_string(), "dry_run": true})).await;
    assert_eq!(tried["request"]["body"]["template"], NDA);
    assert_eq!(tried["request"]["query"]["useDefaultValues"], "true");
    let wrong = json!({"attributes": {"counterpartyNames": "Acme"}, "templateid": NDA});
    let error = stage.fails("launch_mutual_nda", wrong).await;
    assert_eq!((&error["code"], &error["errors"][0]["path"]), (&json!("invalid_arguments"), &json!("templateid")));
    let error = stage.fails("launch_mutual_nda", json!({"attributes": {"counterpartyNames": "Acme"}})).await;
    assert!(text(&error["hint"]).contains("counterpartyName"), "{error}");
    assert!(stage.requests().await.iter().all(|request| request["method"] == "GET"));
}

#[tokio::test]
async fn the_operator_chooses_by_name_by_id_or_none() {
    assert_eq!(names(&Stage::with(typed(Choice::Off)).await).await, BTreeSet::new());
    let chosen = typed(only(&["Order Form", NDA, "No Such Template", "order form"]));
    let stage = Stage::with(chosen).await;
    assert_eq!(names(&stage).await, ["launch_mutual_nda", "launch_order_form"].map(str::to_owned).into());
}

#[tokio::test]
async fn too_many_templates_get_no_tool_unless_they_are_named() {
    let stage = Stage::open().await;
    for number in 0..3 {
        let mut another = template("Mutual NDA");
        another["id"] = format!("5f0375c4cdc1927c5c4edd{number:02}").into();
        another["name"] = format!("NDA {number}").into();
        stage.control("templates", another.to_string()).await;
    }
    for (choice, count) in [(Choice::Auto, 0), (only(&["NDA 1", "NDA 2"]), 2)] {
        let client = stage.another(typed(choice)).await;
        let tools = client.list_all_tools().await.unwrap();
        assert_eq!(tools.len(), 26 + count);
    }
}

#[tokio::test]
async fn templates_of_one_name_and_of_long_names_get_tools_of_their_own() {
    let stage = Stage::open().await;
    let long = "Agreement on the Provision of Consulting Services and Other Matters";
    for (id, name) in [("5f0375c4cdc1927c5c4edd01", "mutual-nda"), ("5f0375c4cdc1927c5c4edd02", long)] {
        let mut another = template("Mutual NDA");
        (another["id"], another["name"]) = (id.into(), name.into());
        stage.control("templates", another.to_string()).await;
    }
    let seen = async || {
        let client = stage.another(typed(Choice::Auto)).await;
        let tools = client.list_all_tools().await.unwrap();
        tools.iter().map(|tool| tool.name.to_string()).skip(26).collect::<BTreeSet<_>>()
    };
    let first = seen().await;
    assert_eq!(first.len(), 8, "{first:?}");
    assert!(!first.contains("launch_mutual_nda"), "two templates would claim it: {first:?}");
    assert_eq!(first.iter().filter(|name| name.starts_with("launch_mutual_nda_")).count(), 2);
    assert!(first.iter().all(|name| name.len() <= 40), "{first:?}");
    assert_eq!(seen().await, first, "the names outlast a restart");
}

/// Lists again after each change that is told of, until the list is as wanted.
async fn followed(stage: &Stage, modern: bool, wanted: impl Fn(&[Tool]) -> bool) -> Vec<Tool> {
    let told_until = async {
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        let mut stream = if modern { Some(stage.client.listen(filter).await.unwrap()) } else { None };
        loop {
            match &mut stream {
                Some(stream) => assert!(stream.next().await.unwrap().is_some(), "the stream ended"),
                None => stage.client.service().news.notified().await,
            }
            let tools = listed(stage).await;
            if wanted(&tools) {
                return tools;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told_until).await.expect("the client was never told")
}

#[tokio::test]
async fn clients_are_told_of_templates_that_come_and_change() {
    for modern in [false, true] {
        let template_refresh = Duration::from_secs(1);
        let stage = Stage::with(Setting { modern, template_refresh, ..typed(Choice::Auto) }).await;
        assert_eq!(names(&stage).await.len(), 6);
        let mut changed = template("Mutual NDA");
        changed["id"] = "5f0375c4cdc1927c5c4edd01".into();
        changed["name"] = "Supplier NDA".into();
        let has = |tools: &[Tool], name: &str| tools.iter().any(|tool| tool.name == name);
        stage.control("templates", changed.to_string()).await;
        followed(&stage, modern, |tools| has(tools, "launch_supplier_nda")).await;
        let launch = json!({"attributes": nda()["attributes"]});
        stage.ok("launch_supplier_nda", launch.clone()).await;
        changed["schema"]["costCentre"] = json!({"type": "number", "displayName": "Cost Centre", "required": "always"});
        stage.control("templates", changed.to_string()).await;
        let asks = |tools: &[Tool]| {
            let tool = tools.iter().find(|tool| tool.name == "launch_supplier_nda");
            tool.is_some_and(|tool| tool.input_schema["properties"].to_string().contains("costCentre"))
        };
        followed(&stage, modern, asks).await;
        let error = stage.fails("launch_supplier_nda", launch).await;
        assert_eq!(error["errors"][0]["path"], "attributes.costCentre", "{error}");
    }
}

#[tokio::test]
async fn a_template_pinned_by_name_outlives_its_id() {
    let template_refresh = Duration::from_secs(1);
    let stage = Stage::with(Setting { template_refresh, ..typed(only(&["Mutual NDA"])) }).await;
    assert_eq!(names(&stage).await, ["launch_mutual_nda".to_owned()].into());
    let fresh = stage.control(&format!("templates/{NDA}/republish"), "{}".into()).await;
    let moved = |tools: &[Tool]| tools.iter().any(|tool| meta(tool)["ironclad/template_id"] == fresh["id"]);
    let tools = followed(&stage, false, moved).await;
    assert_eq!(tools[0].name, "launch_mutual_nda");
    let launched = stage.ok("launch_mutual_nda", json!({"attributes": nda()["attributes"]})).await;
    assert_eq!(launched["template"], fresh["id"]);
}

/// What a refusal taught is shown to whoever asks next.
#[tokio::test]
async fn a_conditional_attribute_that_was_asked_for_is_told_in_the_tool() {
    let template_refresh = Duration::from_secs(1);
    let stage = Stage::with(Setting { template_refresh, ..typed(only(&["Mutual NDA"])) }).await;
    names(&stage).await;
    let mut attributes = nda()["attributes"].clone();
    attributes["paperSource"] = "Counterparty paper".into();
    let error = stage.fails("launch_mutual_nda", json!({"attributes": attributes})).await;
    assert_eq!(error["errors"][0]["path"], "attributes.draft");
    let told = |tools: &[Tool]| json!(tools[0].input_schema).to_string().contains("Ironclad has required this before");
    followed(&stage, false, told).await;
}

#[tokio::test]
async fn a_tool_that_is_narrowed_away_is_not_listed_and_refused() {
    let exclude_tools = vec!["launch_mutual_nda".to_owned()];
    let policy = Settings { enable_writes: true, exclude_tools, ..Settings::default() };
    let stage = Stage::with(Setting { policy, ..typed(Choice::Auto) }).await;
    let listed = names(&stage).await;
    assert!(listed.len() == 5 && !listed.contains("launch_mutual_nda"), "{listed:?}");
    let error = stage.fails("launch_mutual_nda", json!({"attributes": nda()["attributes"]})).await;
    assert_eq!(error["code"], "access_denied");
    let line = stage.audit().pop().unwrap();
    assert_eq!((&line["decision"], &line["rule"]), (&json!("denied"), &json!("exclude-tools launch_mutual_nda")));
}

#[tokio::test]
async fn without_launching_there_are_no_typed_tools_and_no_look_ups() {
    for policy in [
        Settings::default(),
        Settings { access: [("records".to_owned(), ironclad_mcp::policy::Access::Full)].into(), ..Settings::default() },
    ] {
        let stage = Stage::with(Setting { policy, ..typed(Choice::Auto) }).await;
        assert_eq!(names(&stage).await, BTreeSet::new());
        assert!(stage.client.call_tool(call_of("launch_mutual_nda", &json!({"attributes": {}}))).await.is_err());
        assert_eq!(stage.all_requests().await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn the_list_of_tools_does_not_wait_for_a_slow_ironclad() {
    let mut setting = typed(Choice::Auto);
    setting.simulator.faults = Some("slow:ms=60000".into());
    let stage = Stage::with(setting).await;
    let list = stage.client.list_all_tools();
    let tools = tokio::time::timeout(Duration::from_millis(2500), list).await.expect("it waits").unwrap();
    assert_eq!(tools.len(), 26);
}

#[tokio::test]
async fn a_failing_ironclad_leaves_the_other_tools() {
    let stage = Stage::with(Setting { launch_tools: Choice::Auto, ..with_faults("503:path=/workflow-schemas") }).await;
    assert_eq!(stage.client.list_all_tools().await.unwrap().len(), 26);
    stage.ok("list_webhooks", json!({})).await;
}

fn with_faults(faults: &str) -> Setting {
    let mut setting = Setting::default();
    setting.simulator.faults = Some(faults.to_owned());
    setting
}

/// Runs the program with no setting but these; the exit code, and what it printed as JSON.
async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ironclad-mcp"));
    command.args(arguments).env_clear().env("XDG_STATE_HOME", folder.path()).envs(environment.iter().copied());
    let output = command.output().await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), serde_json::from_str(&printed).unwrap_or(Value::Null))
}

fn printed_names(printed: &Value) -> BTreeSet<&str> {
    let typed = |tool: &&Value| tool["_meta"].get("ironclad/template_id").is_some();
    printed["tools"].as_array().unwrap().iter().filter(typed).map(|tool| text(&tool["name"])).collect()
}

#[tokio::test]
async fn the_commands_know_the_typed_tools_of_the_simulator() {
    let (code, printed) = run(&["tools", "--simulator", "--enable-writes"], &[]).await;
    assert_eq!((code, printed_names(&printed)), (0, ALL.into()));
    let (_, reads) = run(&["tools", "--simulator"], &[]).await;
    assert_eq!(printed_names(&reads), BTreeSet::new());
    let launch = json!({"attributes": nda()["attributes"]}).to_string();
    let call = ["call", "launch_mutual_nda", "--args", &launch, "--simulator"];
    let (code, launched) = run(&[&call[..], &["--access", "workflows=full"]].concat(), &[]).await;
    assert_eq!((code, &launched["template"]), (0, &json!(NDA)), "{launched}");
    assert_eq!(run(&call, &[]).await.0, 2, "no writes, no such tool");
    let (code, _) = run(&["call", "launch_mutual_nad", "--simulator", "--enable-writes"], &[]).await;
    assert_eq!(code, 2);
}

#[tokio::test]
async fn the_commands_sign_in_for_typed_tools_and_wait_no_longer_than_a_list() {
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), Setting::default().simulator).await.unwrap();
    let credentials = simulator.credentials();
    let environment = [
        ("IRONCLAD_BASE_URL", simulator.base_url()),
        ("IRONCLAD_CLIENT_ID", credentials.client_id),
        ("IRONCLAD_CLIENT_SECRET", credentials.client_secret),
        ("IRONCLAD_AS_USER_EMAIL", credentials.as_user_email),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (code, printed) = run(&["tools", "--enable-writes"], &environment).await;
    assert_eq!((code, printed_names(&printed)), (0, ALL.into()));
    let faults = format!("{}/__simulator/faults", simulator.base_url());
    reqwest::Client::new().post(faults).body("slow:ms=60000").send().await.unwrap();
    let slow = tokio::time::timeout(Duration::from_secs(10), run(&["tools", "--enable-writes"], &environment));
    let (code, printed) = slow.await.expect("it waits for Ironclad");
    assert_eq!((code, printed["tools"].as_array().unwrap().len()), (0, 26));
}

#[tokio::test]
async fn without_credentials_the_commands_open_no_connection() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let environment = [("IRONCLAD_BASE_URL", url.as_str())];
    let (code, printed) = run(&["tools", "--enable-writes"], &environment).await;
    assert_eq!((code, printed_names(&printed)), (0, BTreeSet::new()));
    let (code, _) = run(&["call", "launch_mutual_nda", "--enable-writes"], &environment).await;
    assert_eq!(code, 2);
    let called = tokio::time::timeout(Duration::from_millis(50), nobody.accept()).await;
    assert!(called.is_err(), "somebody connected");
}
