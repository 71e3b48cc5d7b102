//! OAuth for callers over HTTP: whose tokens are taken, whom they make somebody, and that they go no further.

#[path = "../../src/caller_token/signer_tests.rs"]
pub(crate) mod signer;
pub(crate) mod site;

use std::time::Duration;

use ironclad_mcp::approvals;
use ironclad_mcp::issuer::{FLOOR, FRESH};
use reqwest::{Response, StatusCode};
use rmcp::{
    model::ProtocolVersion,
    service::{ClientLifecycleMode, ClientServiceExt},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::{
    signer::{Signer, shared, unsigned},
    site::{Idp, MODERN, Mood, RESOURCE, Site, TEODOR, message},
};
use crate::support::{NDA, call_of, nda, text};

fn challenge(response: &Response) -> String {
    response.headers()["www-authenticate"].to_str().unwrap().to_owned()
}

const METADATA: &str = r#"resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp""#;

#[tokio::test]
async fn a_caller_acts_as_themselves_in_both_eras_and_their_token_goes_no_further() {
    let signer = Signer::new("k", "RS256");
    let site = Site::open(&signer).await;
    let token = site.token(&signer, &json!({}));
    let modern = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    for lifecycle in [ClientLifecycleMode::Initialize, modern] {
        let config = StreamableHttpClientTransportConfig::with_uri(site.url()).auth_header(token.clone());
        let transport = StreamableHttpClientTransport::from_config(config);
        let client = ().serve_with_lifecycle(transport, lifecycle).await.unwrap();
        let who = client.call_tool(call_of("whoami", &json!({}))).await.unwrap().structured_content.unwrap();
        assert_eq!((text(&who["agent"]), text(&who["caller"]), text(&who["acting_user"])), ("staff", "teodor", TEODOR));
        let users = client.call_tool(call_of("list_users", &json!({"limit": 1}))).await.unwrap();
        assert_eq!(users.structured_content.unwrap()["total"], 25);
        client.cancel().await.unwrap();
    }
    let requests = site.requests().await;
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request["headers"]["x-as-user-email"] == TEODOR), "{requests:?}");
    let lines = site.audit();
    let line = lines.iter().find(|line| line["tool"] == "list_users").unwrap();
    assert_eq!(
        [&line["agent"], &line["caller"], &line["as_user"]].map(text),
        ["staff", "teodor", TEODOR],
        "the agent, who is behind it, and whom it acts as"
    );
    let signature = token.rsplit('.').next().unwrap();
    let everything = format!("{:?} {}", site.all_requests().await, site.logs());
    assert!(!everything.contains(&token) && !everything.contains(signature));
    assert_eq!(site.idp.fetches(), 1);
}

#[tokio::test]
async fn a_token_that_is_not_good_here_is_refused_with_the_way_to_a_good_one() {
    let (signer, stranger) = (Signer::new("k", "RS256"), Signer::new("k", "RS256"));
    let site = Site::open(&signer).await;
    let sound = site.claims(&json!({}));
    let with = |others: Value| site.token(&signer, &others);
    let cases = [
        (with(json!({"exp": 1})), "expired"),
        (with(json!({"aud": "https://other.example/mcp"})), "not made for this server"),
        (with(json!({"aud": null})), "not made for this server"),
        (with(json!({"iss": "https://login.example"})), "another issuer"),
        (with(json!({"nbf": 9_999_999_999_i64})), "not valid yet"),
        (unsigned("none", "k", &sound), "not signed with an allowed algorithm"),
        (shared("k", &signer.public(), &sound), "not signed with an allowed algorithm"),
        (stranger.token(&sound), "signature of the token is wrong"),
        (Signer::new("other", "RS256").token(&sound), "does not publish"),
        (with(json!({"x": "x".repeat(20_000)})), "too long"),
        ("no token".replace(' ', "-"), "no JWT"),
    ];
    for (token, told) in cases {
        let refused = site.ask(&token, "tools/list", json!({})).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{told}");
        let challenge = challenge(&refused);
        assert!(challenge.starts_with("Bearer ") && challenge.contains(METADATA), "{challenge}");
        assert!(challenge.contains(r#"error="invalid_token""#) && challenge.contains(told), "{challenge}");
        assert!(challenge.contains(r#"scope="ironclad:read ironclad:write""#), "{challenge}");
        assert!(refused.text().await.unwrap().contains(told));
    }
    let good = with(json!({}));
    let list = || site.modern("tools/list", json!({}));
    let nothing = list().send().await.unwrap();
    assert_eq!(nothing.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&nothing).contains(METADATA) && !challenge(&nothing).contains("error="), "nothing was tried");
    let twice = list().bearer_auth(&good).header("authorization", format!("Bearer {good}")).send().await.unwrap();
    assert_eq!(twice.status(), StatusCode::BAD_REQUEST);
    assert!(challenge(&twice).contains("invalid_request"));
    let basic = list().header("authorization", "Basic dDp0").send().await.unwrap();
    assert_eq!(basic.status(), StatusCode::UNAUTHORIZED);
    let in_query = site.http.get(format!("{}?access_token={good}", site.url())).send().await.unwrap();
    assert_eq!(in_query.status(), StatusCode::UNAUTHORIZED);
    assert!(site.all_requests().await.is_empty());
    assert_eq!(site.ask(&good, "tools/list", json!({})).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn whoever_has_no_scope_no_agent_or_no_user_is_forbidden() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let refused = async |others: Value| site.ask(&site.token(&signer, &others), "tools/list", json!({})).await;
    for scope in [json!("openid email"), json!(null), json!("ironclad:admin")] {
        let response = refused(json!({"scope": scope})).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let challenge = challenge(&response);
        assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
        assert!(challenge.contains(r#"scope="ironclad:read""#) && challenge.contains(METADATA), "{challenge}");
    }
    for (others, told) in [
        (json!({"agent": "ghost"}), "names no agent"),
        (json!({"agent": ["staff", "robot"]}), "several agents"),
        (json!({"email_verified": false}), "nobody to act as"),
        (json!({"email": null}), "nobody to act as"),
    ] {
        let response = refused(others).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{told}");
        assert!(!challenge(&response).contains("error="), "another token would be no better");
        assert!(response.text().await.unwrap().contains(told));
    }
    assert!(site.all_requests().await.is_empty());
    let robot = site.token(&signer, &json!({"agent": "robot", "email": null, "sub": "machine"}));
    assert_eq!(site.ok(&robot, "whoami", json!({})).await["acting_user"], TEODOR, "the agent's own user");
}

#[tokio::test]
async fn nothing_that_a_caller_sends_changes_whom_they_act_as() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let token = site.token(&signer, &json!({}));
    let boss = site.simulator.credentials().as_user_email;
    assert_ne!(boss, TEODOR);
    for arguments in [
        json!({"limit": 1}),
        json!({"limit": 1, "as_user_email": boss}),
        json!({"limit": 1, "x-as-user-email": boss}),
        json!({"limit": 1, "headers": {"x-as-user-email": boss}}),
    ] {
        let call = site.modern("tools/call", json!({"name": "list_workflows", "arguments": arguments}));
        let call = call.header("x-as-user-email", &boss).header("x-as-user-id", "1").header("x-forwarded-email", &boss);
        let call = call.header("mcp-param-x-as-user-email", &boss);
        assert_eq!(call.bearer_auth(&token).send().await.unwrap().status(), StatusCode::OK);
    }
    let requests = site.requests().await;
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!(request["headers"]["x-as-user-email"], TEODOR);
        assert!(request["headers"].get("x-as-user-id").is_none() && !request.to_string().contains(&boss), "{request}");
    }
}

#[tokio::test]
async fn a_token_for_reads_only_narrows_what_the_agent_may() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let reader = site.token(&signer, &json!({"scope": "ironclad:read"}));
    let writer = site.token(&signer, &json!({"scope": "ironclad:write"}));
    let tools = async |token: &str| {
        let listed = message(site.ask(token, "tools/list", json!({})).await).await;
        let tools = listed["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| text(&tool["name"]).to_owned()).collect::<Vec<_>>()
    };
    let (reads, writes) = (tools(&reader).await, tools(&writer).await);
    assert!(reads.contains(&"list_workflows".into()) && !reads.contains(&"launch_workflow".into()), "{reads:?}");
    assert!(writes.contains(&"list_workflows".into()) && writes.contains(&"launch_workflow".into()), "{writes:?}");
    assert!(!writes.contains(&"list_records".into()), "the agent is granted none");
    let denied = site.call(&reader, "launch_workflow", nda()).await["structuredContent"]["error"].clone();
    assert_eq!(denied["code"], "access_denied", "{denied}");
    assert!(text(&denied["message"]).contains("token without ironclad:write"), "{denied}");
    assert!(text(&denied["hint"]).contains("ironclad:write"), "{denied}");
    let told = site.ok(&reader, "whoami", json!({})).await;
    let group = told["groups"].as_array().unwrap().iter().find(|group| group["group"] == "workflows").unwrap();
    assert_eq!((&group["access"], &group["withheld_by"]), (&json!("read"), &json!("token without ironclad:write")));
    let lines = site.audit();
    let line = lines.iter().find(|line| line["decision"] == "denied").unwrap();
    assert_eq!(line["rule"], "token without ironclad:write");
    assert!(site.requests().await.is_empty());
    site.ok(&writer, "launch_workflow", nda()).await;
}

/// A client that can have another token is told which (the body still says it to a model), in either era.
#[tokio::test]
async fn a_call_beyond_the_tokens_scope_is_told_the_way_to_one_that_reaches() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let reader = site.token(&signer, &json!({"scope": "ironclad:read"}));
    let call = |tool: &str, arguments: Value| json!({"name": tool, "arguments": arguments});
    let beyond = site.ask(&reader, "tools/call", call("launch_workflow", nda())).await;
    assert_eq!(beyond.status(), StatusCode::FORBIDDEN);
    let told = challenge(&beyond);
    for part in [r#"scope="ironclad:read ironclad:write""#, r#"error="insufficient_scope""#, METADATA] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(message(beyond).await["result"]["structuredContent"]["error"]["code"], "access_denied");
    // No token would reach what the agent is not granted, and these are within this one's reach.
    for (tool, arguments, code) in [
        ("create_record", json!({}), json!("access_denied")),
        ("get_workflow", json!({}), json!("invalid_arguments")),
        ("whoami", json!({}), json!(null)),
    ] {
        let within = site.ask(&reader, "tools/call", call(tool, arguments)).await;
        assert_eq!(within.status(), StatusCode::OK, "{tool}");
        let answer = message(within).await;
        assert_eq!(answer["result"]["structuredContent"]["error"]["code"], code, "{tool}: {answer}");
    }
    let session = session(&site, &reader).await;
    let again = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call("launch_workflow", nda())});
    let legacy = site.post(&again).bearer_auth(&reader).header("mcp-session-id", session).send().await.unwrap();
    assert_eq!(legacy.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&legacy).contains("insufficient_scope"));
    assert!(legacy.text().await.unwrap().contains("access_denied"));
    let denied = site.audit().iter().filter(|line| line["rule"] == "token without ironclad:write").count();
    assert_eq!(denied, 2, "both are on record");
    assert!(site.requests().await.is_empty());
}

#[tokio::test]
async fn keys_are_rotated_without_a_restart_and_no_flood_of_made_up_keys_reaches_the_issuer() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let site = Site::open(&old).await;
    let status = async |token: &str| site.ask(token, "tools/list", json!({})).await.status();
    let (of_old, of_new) = (site.token(&old, &json!({})), site.token(&new, &json!({})));
    assert_eq!(status(&of_old).await, StatusCode::OK);
    for number in 0..30 {
        let head = json!({"alg": "ES256", "kid": format!("made-up-{number}")});
        assert_eq!(status(&new.token_with(&head, &site.claims(&json!({})))).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(site.idp.fetches(), 1, "within the floor");
    site.idp.publish(&[&new]);
    assert_eq!(status(&of_new).await, StatusCode::UNAUTHORIZED);
    site.wait(FLOOR);
    assert_eq!(status(&of_new).await, StatusCode::OK);
    assert_eq!(status(&of_old).await, StatusCode::UNAUTHORIZED, "its key is withdrawn");
    assert_eq!(site.idp.fetches(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_stops_nobody_whose_key_is_known() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let status = async || site.ask(&site.token(&signer, &json!({})), "tools/list", json!({})).await.status();
    assert_eq!(status().await, StatusCode::OK);
    site.idp.is(Mood::Down);
    site.wait(FRESH);
    for _ in 0..3 {
        assert_eq!(status().await, StatusCode::OK);
    }
}

#[tokio::test]
async fn without_keys_nobody_is_called_wrong_and_all_are_told_to_come_again() {
    let signer = Signer::new("k", "ES256");
    let elsewhere = Idp::start(&[&signer]).await;
    for mood in [Mood::Down, Mood::Floods, Mood::Leads(format!("{}/keys", elsewhere.url))] {
        let idp = Idp::start(&[&signer]).await;
        idp.is(mood);
        let site = Site::with(idp, "").await;
        let told = site.ask(&site.token(&signer, &json!({})), "tools/list", json!({})).await;
        assert_eq!(
            (told.status(), told.headers()["retry-after"].to_str().unwrap()),
            (StatusCode::SERVICE_UNAVAILABLE, "30")
        );
        assert!(told.text().await.unwrap().contains("keys of the authorization server cannot be had"));
        site.idp.is(Mood::Well);
        site.wait(FLOOR);
        assert_eq!(site.ask(&site.token(&signer, &json!({})), "tools/list", json!({})).await.status(), StatusCode::OK);
    }
    assert_eq!(elsewhere.fetches(), 0, "nobody is led elsewhere");
}

#[tokio::test]
async fn keys_at_another_host_are_fetched_where_the_operator_says_so() {
    let signer = Signer::new("k", "ES256");
    for (more, expected, rule) in [
        ("", StatusCode::SERVICE_UNAVAILABLE, "egress=enforce"),
        ("egress_allow = [\"localhost\"]", StatusCode::OK, "egress_allow=localhost"),
        ("oauth_jwks_url = \"http://localhost:PORT/keys\"", StatusCode::OK, "oauth_jwks_url"),
    ] {
        let idp = Idp::start(&[&signer]).await;
        let there = idp.url.replace("127.0.0.1", "localhost");
        idp.has_keys_at(format!("{there}/keys"));
        let more = more.replace("PORT", there.rsplit(':').next().unwrap());
        let site = Site::with(idp, &more).await;
        let told = site.ask(&site.token(&signer, &json!({})), "tools/list", json!({})).await;
        assert_eq!(told.status(), expected, "{more}");
        assert_eq!(site.idp.fetches() > 0, expected == StatusCode::OK, "{more}");
        let destinations = std::fs::read_to_string(site.path("audit-egress.jsonl")).unwrap();
        assert!(destinations.contains(&format!(r#""rule":"{rule}""#)), "{destinations}");
    }
}

/// Opens a session of the era before; its id.
async fn session(site: &Site, token: &str) -> String {
    let client = json!({"name": "tests", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let welcome = site.post(&hello).bearer_auth(token).send().await.unwrap();
    let id = welcome.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let ready = site.post(&ready).bearer_auth(token).header("mcp-session-id", &id).send().await.unwrap();
    assert!(ready.status().is_success());
    id
}

#[tokio::test]
async fn a_session_is_its_callers_and_not_its_agents() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let (owner, thief) = (
        site.token(&signer, &json!({})),
        site.token(&signer, &json!({"sub": "maya", "email": "maya.ortiz@simulator.example"})),
    );
    let id = session(&site, &owner).await;
    let in_session = async |token: &str| {
        let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
        site.post(&ping).bearer_auth(token).header("mcp-session-id", &id).send().await.unwrap().status()
    };
    let end = |token: &str| site.http.delete(site.url()).bearer_auth(token).header("mcp-session-id", &id).send();
    let hear = |token: &str| {
        let stream = site.http.get(site.url()).header("accept", "text/event-stream");
        stream.bearer_auth(token).header("mcp-session-id", &id).send()
    };
    assert_eq!(in_session(&owner).await, StatusCode::OK);
    assert_eq!(in_session(&thief).await, StatusCode::NOT_FOUND, "the same agent, somebody else");
    assert_eq!(end(&thief).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(hear(&thief).await.unwrap().status(), StatusCode::NOT_FOUND);
    let robot = site.token(&signer, &json!({"agent": "robot"}));
    assert_eq!(in_session(&robot).await, StatusCode::NOT_FOUND, "the same person, another agent");
    let next = site.token(&signer, &json!({"jti": "the next token"}));
    assert_ne!(next, owner);
    assert_eq!(in_session(&next).await, StatusCode::OK, "a session outlives a token");
    site.wait(700);
    assert_eq!(in_session(&owner).await, StatusCode::UNAUTHORIZED, "and a token does not outlive its time");
    let last = site.token(&signer, &json!({}));
    assert!(end(&last).await.unwrap().status().is_success());
    assert_eq!(in_session(&last).await, StatusCode::NOT_FOUND);
}

/// Or else a token that has ended would be good for as long as a connection is kept.
#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let id = session(&site, &site.token(&signer, &json!({}))).await;
    for era in ["session", MODERN] {
        // Its time is up but for the seconds that clocks may differ by; a machine that is slow may miss those.
        let stream = loop {
            let ending = site.token(&signer, &json!({"exp": approvals::now() - 26}));
            let request = if era == MODERN {
                site.modern("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}))
            } else {
                site.http.get(site.url()).header("accept", "text/event-stream").header("mcp-session-id", &id)
            };
            let stream = request.bearer_auth(&ending).send().await.unwrap();
            if stream.status() != StatusCode::UNAUTHORIZED {
                break stream;
            }
        };
        assert_eq!(
            (stream.status(), stream.headers()["content-type"].to_str().unwrap()),
            (StatusCode::OK, "text/event-stream")
        );
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.bytes()).await;
        ended.expect("it goes on").unwrap();
    }
}

#[tokio::test]
async fn the_metadata_are_at_both_places_and_for_everybody() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let place = |path: &str| format!("http://{}{path}", site.address);
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let page = site.http.get(place(path)).header("origin", "https://client.example").send().await.unwrap();
        assert_eq!(
            (page.status(), page.headers()["access-control-allow-origin"].to_str().unwrap()),
            (StatusCode::OK, "*")
        );
        assert_eq!(page.headers()["content-type"], "application/json");
        let told: Value = page.json().await.unwrap();
        assert_eq!(
            told,
            json!({
                "resource": RESOURCE,
                "authorization_servers": [site.idp.url],
                "scopes_supported": ["ironclad:read", "ironclad:write"],
                "bearer_methods_supported": ["header"],
                "resource_name": "ironclad-mcp",
            })
        );
        let preflight =
            site.http.request(reqwest::Method::OPTIONS, place(path)).header("origin", "https://client.example");
        let preflight = preflight.header("access-control-request-method", "GET");
        let preflight =
            preflight.header("access-control-request-headers", "mcp-protocol-version").send().await.unwrap();
        assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
        let posted = site.http.post(place(path)).send().await.unwrap();
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let other = site.http.get(place("/.well-known/oauth-protected-resource/other")).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
}

/// Nobody has to be let in to make the server wait or to fill it up.
#[tokio::test]
async fn whoever_is_not_let_in_is_told_so_before_their_body_is_read() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    for length in ["content-length: 1073741824", "content-length: 100", "transfer-encoding: chunked"] {
        let mut stream = tokio::net::TcpStream::connect(site.address).await.unwrap();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\n{length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut said = [0; 12];
        let heard = tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut said));
        heard.await.expect("it waits for the body").unwrap();
        assert_eq!(&said, b"HTTP/1.1 401", "{length}");
    }
}

#[tokio::test]
async fn a_good_token_opens_no_door_for_a_page_of_somebody_elses() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    let token = site.token(&signer, &json!({}));
    for (header, value) in [("host", "evil.example"), ("origin", "https://evil.example"), ("origin", "null")] {
        let list = site.modern("tools/list", json!({})).bearer_auth(&token).header(header, value);
        assert_eq!(list.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{header}: {value}");
    }
}

/// One who calls a lot takes nothing from others who call through the same agent.
#[tokio::test]
async fn the_budget_knows_callers_and_not_only_their_agent() {
    let signer = Signer::new("k", "ES256");
    let sharing = "[agents.sharing]\naccess = { users = \"read\" }\nshare = 50";
    let more = format!("rate_limit_wait = 0\nrate_limits = {{ scim-users-read = 4 }}\n{sharing}");
    let site = Site::with(Idp::start(&[&signer]).await, &more).await;
    for subject in ["one", "other"] {
        let token = site.token(&signer, &json!({"agent": "sharing", "sub": subject}));
        for _ in 0..2 {
            site.ok(&token, "list_users", json!({"limit": 1})).await;
        }
        let over = site.call(&token, "list_users", json!({"limit": 1})).await;
        assert_eq!(over["structuredContent"]["error"]["code"], "rate_limited", "{subject}: {over}");
    }
}

#[tokio::test]
async fn each_caller_has_the_launch_tools_of_their_own() {
    let signer = Signer::new("k", "ES256");
    let site = Site::with(Idp::start(&[&signer]).await, "launch_tools = [\"Mutual NDA\"]").await;
    let token = site.token(&signer, &json!({}));
    let listed = message(site.ask(&token, "tools/list", json!({})).await).await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "launch_mutual_nda"), "{tools:?}");
    let arguments = json!({"attributes": nda()["attributes"], "dry_run": true});
    site.ok(&token, "launch_mutual_nda", arguments).await;
    let requests = site.requests().await;
    assert!(requests.iter().any(|request| text(&request["path"]).ends_with("/workflow-schemas")), "{requests:?}");
    assert!(requests.iter().all(|request| request["headers"]["x-as-user-email"] == TEODOR), "{requests:?}");
}

/// Everything that goes to a client and comes back is bound to whoever it was given to.
#[tokio::test]
async fn what_one_caller_was_given_is_of_no_use_to_another_or_twice() {
    let signer = Signer::new("k", "ES256");
    let site = Site::open(&signer).await;
    // The same agent and the same acting user: nothing but the subject tells them apart.
    let (one, other) = (site.token(&signer, &json!({})), site.token(&signer, &json!({"sub": "somebody else"})));
    let workflow = site.ok(&one, "launch_workflow", nda()).await;
    assert_eq!(workflow["template"], NDA);
    let pause = json!({"workflow_id": workflow["id"], "comment": "c", "dry_run": true});
    let plan = site.ok(&one, "pause_workflow", pause).await["plan"].clone();
    let refused = async |token: &str, plan: &Value| {
        let error =
            site.call(token, "pause_workflow", json!({"plan": plan})).await["structuredContent"]["error"].clone();
        assert_eq!((text(&error["code"]), text(&error["outcome"])), ("invalid_arguments", "not_sent"), "{error}");
    };
    refused(&other, &plan).await;
    refused(&one, &tampered(text(&plan)).into()).await;
    site.ok(&one, "pause_workflow", json!({"plan": plan})).await;
    site.ok(&one, "resume_workflow", json!({"workflow_id": workflow["id"], "comment": "c"})).await;
    refused(&one, &plan).await;

    let cancel = json!({"name": "cancel_workflow", "arguments": {"workflow_id": workflow["id"], "comment": "c"}});
    let asked = message(site.ask(&one, "tools/call", cancel.clone()).await).await["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let state = text(&asked["requestState"]).to_owned();
    let question = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answered = async |token: &str, state: &str| {
        let mut again = cancel.clone();
        again["requestState"] = state.into();
        again["inputResponses"] = json!({&question: {"action": "accept", "content": {}}});
        message(site.ask(token, "tools/call", again).await).await
    };
    for (token, state) in [(&other, state.clone()), (&one, tampered(&state)), (&one, "x".into())] {
        assert_eq!(answered(token, &state).await["error"]["code"], -32602);
    }
    let cancels = async || {
        let requests = site.requests().await;
        requests.iter().filter(|request| text(&request["path"]).ends_with("/cancel")).count()
    };
    assert_eq!(cancels().await, 0);
    assert_eq!(answered(&one, &state).await["result"]["isError"], false);
    assert_eq!(cancels().await, 1);
    let replayed = answered(&one, &state).await;
    assert_ne!(replayed["result"]["isError"], false, "{replayed}");
    assert_eq!(cancels().await, 1, "an answer counts once");
}

/// The same with one letter in its middle changed.
fn tampered(sealed: &str) -> String {
    let middle = sealed.len() / 2;
    let other = if &sealed[middle..=middle] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &sealed[..middle], &sealed[middle + 1..])
}
