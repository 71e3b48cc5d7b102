//! Every grant, and the odd statuses of the vendor.

use base64::Engine as _;

use super::*;

async fn authorize(bench: &Bench, query: &str) -> Answer {
    let client = bench.simulator.credentials().client_id;
    let base = bench.simulator.base_url();
    let url = format!("{base}/oauth/authorize?response_type=code&client_id={client}&{query}");
    Answer::read(bench.http.get(url).send().await.expect("answer")).await
}

async fn token(bench: &Bench, fields: &[(&str, &str)]) -> Answer {
    let credentials = bench.simulator.credentials();
    let mut all = fields.to_vec();
    all.push(("client_id", &credentials.client_id));
    all.push(("client_secret", &credentials.client_secret));
    let url = format!("{}/oauth/token", bench.simulator.base_url());
    Answer::read(bench.http.post(url).form(&all).send().await.expect("answer")).await
}

const REDIRECT: &str = "http://127.0.0.1:7777/callback";

async fn code(bench: &Bench, more: &str) -> String {
    let answer = authorize(bench, &format!("redirect_uri={REDIRECT}&state=s1&{more}")).await;
    assert_eq!(answer.status, 302, "{}", answer.body);
    let location = url::Url::parse(answer.header("location").expect("location")).expect("URL");
    let pairs: std::collections::HashMap<_, _> = location.query_pairs().into_owned().collect();
    assert_eq!(pairs["state"], "s1");
    pairs["code"].clone()
}

pub(super) async fn user_token(bench: &Bench, scope: &str) -> Value {
    let code = code(bench, &format!("scope={}", scope.replace(' ', "%20"))).await;
    let fields = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", REDIRECT)];
    token(bench, &fields).await.ok()
}

#[tokio::test]
async fn a_code_works_once_and_its_token_acts_as_the_consenting_user() {
    let mut bench = Bench::new().await;
    let code = code(&bench, "scope=public.workflows.readWorkflows&user=imani.bakari@simulator.example").await;
    let fields = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", REDIRECT)];
    let grant = token(&bench, &fields).await.ok();
    assert_eq!((&grant["token_type"], &grant["expires_in"]), (&json!("Bearer"), &json!(21_600)));
    assert_eq!(grant["scope"], "public.workflows.readWorkflows");
    let again = token(&bench, &fields).await;
    assert_eq!((again.status.as_u16(), &again.body["error"]), (403, &json!("invalid_grant")));
    bench.token = grant["access_token"].as_str().expect("token").to_owned();
    bench.user = None;
    let info = bench.get("/oauth/userinfo").await.ok();
    assert_eq!(info["email"], "imani.bakari@simulator.example");
    assert_eq!(info["scopes"], json!(["public.workflows.readWorkflows"]));
    bench.get("/workflows?pageSize=1").await.ok();
    bench.get("/records").await.refused(403, "FORBIDDEN");
    assert!(bench.get("/oauth/company-info").await.ok()["companyId"].is_string());
}

#[tokio::test]
async fn refresh_tokens_rotate() {
    let bench = Bench::new().await;
    let grant = user_token(&bench, "").await;
    assert!(grant.get("scope").is_none(), "scope is listed only when asked for");
    let first = grant["refresh_token"].as_str().expect("refresh");
    let renewed = token(&bench, &[("grant_type", "refresh_token"), ("refresh_token", first)]).await.ok();
    assert_ne!(renewed["refresh_token"], grant["refresh_token"]);
    let spent = token(&bench, &[("grant_type", "refresh_token"), ("refresh_token", first)]).await;
    assert_eq!((spent.status.as_u16(), &spent.body["error"]), (403, &json!("invalid_grant")));
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_but_not_widen_it() {
    let bench = Bench::new().await;
    let grant = user_token(&bench, "public.records.readRecords public.workflows.readWorkflows").await;
    let refresh = grant["refresh_token"].as_str().expect("refresh");
    let fields =
        [("grant_type", "refresh_token"), ("refresh_token", refresh), ("scope", "public.webhooks.readWebhooks")];
    assert_eq!(token(&bench, &fields).await.body["error"], "invalid_scope");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("scope", "public.records.readRecords")];
    assert_eq!(token(&bench, &fields).await.ok()["scope"], "public.records.readRecords");
}

#[tokio::test]
async fn client_credentials_have_no_refresh_token_and_take_basic_and_json() {
    let bench = Bench::new().await;
    let grant = bench.client_token("public.records.readRecords").await;
    assert!(grant.get("refresh_token").is_none());
    let credentials = bench.simulator.credentials();
    let pair = format!("{}:{}", credentials.client_id, credentials.client_secret);
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let url = format!("{}/oauth/token", bench.simulator.base_url());
    let request = bench.http.post(url).header("authorization", basic).form(&[("grant_type", "client_credentials")]);
    assert!(Answer::read(request.send().await.expect("answer")).await.ok()["access_token"].is_string());
    assert_eq!(bench.client_token("public.search.conversational").await["error"], "invalid_scope");
}

#[tokio::test]
async fn wrong_clients_get_the_vendors_statuses() {
    let bench = Bench::new().await;
    let url = format!("{}/oauth/token", bench.simulator.base_url());
    for (id, secret, status, error) in [
        ("me", "x", 400, "invalid_request"),
        ("00000000-0000-4000-8000-000000000000", "x", 403, "unauthorized_client"),
        (bench.simulator.credentials().client_id.as_str(), "x", 403, "unauthorized_client"),
    ] {
        let body = json!({ "grant_type": "client_credentials", "client_id": id, "client_secret": secret });
        let answer = Answer::read(bench.http.post(&url).json(&body).send().await.expect("answer")).await;
        assert_eq!((answer.status.as_u16(), answer.body["error"].as_str()), (status, Some(error)));
    }
}

#[tokio::test]
async fn pkce_is_enforced_when_a_challenge_was_given() {
    let bench = Bench::new().await;
    let challenge = "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    for (verifier, status) in [("wrong", 403), ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", 200)] {
        let code = code(&bench, challenge).await;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        assert_eq!(token(&bench, &fields).await.status.as_u16(), status, "{verifier}");
    }
}

#[tokio::test]
async fn a_browser_sees_a_consent_page_and_denial_goes_back_as_an_error() {
    let bench = Bench::new().await;
    let client = bench.simulator.credentials().client_id;
    let query = format!("response_type=code&client_id={client}&redirect_uri={REDIRECT}&state=%3Cb%3E");
    let url = format!("{}/oauth/authorize?{query}", bench.simulator.base_url());
    let page = bench.http.get(&url).header("accept", "text/html,*/*").send().await.expect("page");
    let page = Answer::read(page).await.ok();
    let html = page.as_str().expect("text");
    assert!(html.contains("<form") && html.contains("&lt;b&gt;") && !html.contains("<b>"));
    let denied = authorize(&bench, &format!("redirect_uri={REDIRECT}&consent=deny")).await;
    assert!(denied.header("location").expect("location").contains("error=access_denied"));
    let bad = authorize(&bench, &format!("redirect_uri={REDIRECT}&scope=nope")).await;
    assert!(bad.header("location").expect("location").contains("error=invalid_scope"));
    let elsewhere = authorize(&bench, "redirect_uri=http://elsewhere.example/").await;
    assert_eq!((elsewhere.status.as_u16(), &elsewhere.body["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn only_registered_scopes_can_be_asked_for_and_a_refusal_may_name_the_scope() {
    let bench = Bench::new().await;
    let control = format!("{}/__simulator/oauth", bench.simulator.base_url());
    let set = |body: Value| bench.http.post(&control).json(&body).send();
    set(json!({ "scopes": ["public.records.readRecords"] })).await.expect("answer");
    assert!(bench.client_token("public.records.readRecords").await["access_token"].is_string());
    let refused = bench.client_token("public.webhooks.readWebhooks").await;
    assert_eq!(refused["error"], "invalid_scope");
    assert!(refused["error_description"].as_str().expect("text").contains("readWebhooks"));
    set(json!({ "namesRefusedScope": false, "tokenSeconds": 30 })).await.expect("answer");
    let refused = bench.client_token("public.webhooks.readWebhooks").await;
    assert!(!refused["error_description"].as_str().expect("text").contains("readWebhooks"));
    let location = authorize(&bench, &format!("redirect_uri={REDIRECT}&scope=public.webhooks.readWebhooks")).await;
    assert!(location.header("location").expect("location").contains("error=invalid_scope"));
    set(json!({ "scopes": null })).await.expect("answer");
    assert_eq!(bench.client_token("public.webhooks.readWebhooks").await["expires_in"], 30);
}
