use proptest::prelude::*;

use super::*;
use crate::cursor::Spot;

mod lists;

const ORIGIN: &str = "https://na1.ironcladapp.com";

fn entry(effect: &str, answer: &Value) -> manifest::Entry {
    let (prefix, method) = if effect == "read" { ("", "GET") } else { ("WRITE: ", "POST") };
    let manifest = json!({"group": "things", "tools": [{
        "name": "any_thing", "title": "T", "description": format!("{prefix}does it."), "effect": effect,
        "scope": "s", "bucket": "other", "deed": "did it", "answer": answer,
        "request": {"api": "public", "method": method, "path": "/things/{thing_id}"},
        "parameters": {
            "thing_id": {"in": "path", "required": true, "schema": {"type": "string"}},
            "name_contains": {"in": "item", "wire": "/name", "schema": {"type": "string"}}}}]});
    manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
}

fn workflow(effect: &str) -> manifest::Entry {
    entry(effect, &json!({"kind": "object", "omit": ["schema"], "page": "/workflow/{id}", "members": {}}))
}

fn list(paging: &str) -> manifest::Entry {
    let page = json!({"kind": "page", "paging": paging, "omit": ["schema"], "page": "/workflow/{id}", "members": {}});
    entry("read", &page)
}

fn args(values: &Value) -> Args {
    let mut args = Args::default();
    for (name, value) in values.as_object().unwrap() {
        args.replace(name, value.clone());
    }
    args
}

fn shape(max_bytes: usize, fields: &[&str]) -> Shape<'static> {
    Shape { origin: ORIGIN, max_bytes, fields: Fields::of(&args(&json!({ "fields": fields }))) }
}

/// One object, projected.
fn shaped(value: &Value, fields: &[&str]) -> Value {
    object(&workflow("read"), value.to_string().as_bytes(), &shape(60_000, fields)).unwrap().structured
}

/// The bytes of the whole result that a client gets, stamped as the newest revision has it.
fn result_bytes(answer: &Answer) -> usize {
    let result = json!({"resultType": "complete", "content": [{"type": "text", "text": answer.text}],
        "structuredContent": answer.structured, "isError": false, "_meta": {"io.modelcontextprotocol/serverInfo":
            {"name": "ironclad-mcp", "title": "Ironclad", "version": "0.1.0"}}});
    result.to_string().len()
}

#[test]
fn a_member_whose_own_name_holds_dots_can_be_asked_for() {
    let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let root = Fields::of(&args(&json!({"fields": [format!("{urn}.department")]}))).unwrap();
    let user = json!({"id": "1", urn: {"department": "Legal", "other": 1}});
    let kept = root.project_object(user.as_object().cloned().unwrap());
    assert_eq!(Value::Object(kept), json!({urn: {"department": "Legal"}}));
}

#[test]
fn an_object_is_passed_on_without_its_bulky_members_and_with_its_url() {
    let body = json!({"id": "w1", "status": "some new status", "schema": {"a": {"type": "string"}}, "x": [1, null]});
    let expected =
        json!({"id": "w1", "status": "some new status", "x": [1, null], "url": format!("{ORIGIN}/workflow/w1")});
    assert_eq!(shaped(&body, &[]), expected);
}

#[test]
fn an_object_without_the_member_that_its_url_needs_has_none() {
    assert_eq!(shaped(&json!({"title": "x"}), &[]), json!({"title": "x"}));
    assert_eq!(shaped(&json!({"id": 5}), &[]), json!({"id": 5}));
}

#[test]
fn fields_keep_what_they_name_and_bring_back_what_is_left_out() {
    let body = json!({"id": "w1", "title": "t", "schema": {"a": {"type": "string"}, "b": {}},
        "attributes": {"fee": {"amount": 5, "currency": "USD"}, "draft": [{"key": "k1", "v": 1}, {"key": "k2"}, 7]},
        "roles": [], "step": "Review"});
    let url = format!("{ORIGIN}/workflow/w1");
    let table: [(&[&str], Value); 12] = [
        (&["title"], json!({"title": "t"})),
        (&["id", "step"], json!({"id": "w1", "step": "Review"})),
        (&["url"], json!({ "url": url })),
        (&["schema"], json!({"schema": {"a": {"type": "string"}, "b": {}}})),
        (&["schema.a"], json!({"schema": {"a": {"type": "string"}}})),
        (&["attributes.fee.amount"], json!({"attributes": {"fee": {"amount": 5}}})),
        (&["attributes.draft.key"], json!({"attributes": {"draft": [{"key": "k1"}, {"key": "k2"}]}})),
        (
            &["attributes.fee", "attributes.fee.amount"],
            json!({"attributes": {"fee": {"amount": 5, "currency": "USD"}}}),
        ),
        (&["schema.b", "schema"], json!({"schema": {"a": {"type": "string"}, "b": {}}})),
        (&["title.x"], json!({})),
        (&["nothing", "roles.id"], json!({"roles": []})),
        (&[""], json!({})),
    ];
    for (fields, expected) in table {
        assert_eq!(shaped(&body, fields), expected, "{fields:?}");
    }
}

#[test]
fn a_document_is_narrowed_beside_its_content() {
    let resource = Resource::Link { uri: "u".into(), name: "n".into(), media_type: "m".into(), size: None };
    let document =
        Answer { resource: Some(resource.clone()), ..Answer::new(json!({"size": 3, "sha256": "x", "uri": "u"})) };
    assert_eq!(document.clone().narrowed(None), document);
    let narrow = document.narrowed(shape(2_000, &["size"]).fields.as_ref());
    assert_eq!((narrow.structured, narrow.text.as_str()), (json!({"size": 3}), "{\"size\":3}"));
    assert_eq!(narrow.resource, Some(resource));
}

#[test]
fn a_read_past_the_limit_is_too_large_and_fields_narrow_it() {
    let body = json!({"id": "w1", "text": "x".repeat(3_000)}).to_string();
    let read = |fields: &[&str]| object(&workflow("read"), body.as_bytes(), &shape(2_000, fields));
    assert!(matches!(read(&[]), Err(ShapeError::TooLarge { bytes }) if bytes > 6_000));
    assert_eq!(read(&["id"]).unwrap().structured, json!({"id": "w1"}));
}

#[test]
fn a_write_past_the_limit_is_cut_to_its_ids_and_says_so() {
    let body = json!({"id": "w1", "ironcladId": "IC-1", "title": "t", "recordIds": ["r"], "companyId": "x".repeat(300),
        "attributes": {"a": "x".repeat(3_000)}})
    .to_string();
    let cut = object(&workflow("write"), body.as_bytes(), &shape(2_000, &[])).unwrap();
    let url = format!("{ORIGIN}/workflow/w1");
    assert_eq!(cut.structured, json!({"id": "w1", "ironcladId": "IC-1", "url": url, "truncated": true}));
    assert_eq!(serde_json::from_str::<Value>(&cut.text).unwrap(), cut.structured);
}

#[test]
fn a_write_that_returns_nothing_is_answered_by_the_ids_of_its_call() {
    let entry = entry("write", &json!({"kind": "empty"}));
    let values = args(&json!({"thing_id": "t1", "comment": "x"}));
    for body in ["", " \n", "true", "{}", "null", "\"ok\""] {
        let answer = empty(&entry, &values, body.as_bytes()).unwrap();
        assert_eq!(answer.structured, json!({"done": true, "thing_id": "t1"}), "{body:?}");
    }
    for body in ["<html>", "tru", "{} {}", "{"] {
        assert_eq!(empty(&entry, &values, body.as_bytes()), Err(ShapeError::Malformed), "{body:?}");
    }
}

#[test]
fn a_dry_run_shows_the_request() {
    let request = crate::request::build(&workflow("write"), &args(&json!({"thing_id": "t1"})), None);
    let request_json = json!({"method": "POST", "path": "/public/api/v1/things/t1"});
    assert_eq!(dry_run(&request).structured, json!({"dry_run": true, "request": request_json}));
}

#[test]
fn a_body_that_is_not_the_endpoints_is_malformed() {
    let as_page = |body: &str| {
        let read = lists::one(&list("numbered"), &Args::default(), body.as_bytes(), &shape(60_000, &[]));
        read.map(|answer| answer.structured)
    };
    let bodies =
        ["", "<html>", "true", "null", "[]", "\"text\"", "{", "{\"id\":\"w1\"", "{\"id\":\"w1\"} x", "\u{feff}{}"];
    for body in bodies {
        let as_object = object(&workflow("read"), body.as_bytes(), &shape(60_000, &[]));
        assert_eq!(as_object, Err(ShapeError::Malformed), "{body:?}");
        assert_eq!(as_page(body), Err(ShapeError::Malformed), "{body:?}");
    }
    for body in ["{}", "{\"count\":3}", "{\"list\":null}", "{\"list\":{}}", "{\"list\":[1]}", "{\"list\":[{}],"] {
        assert_eq!(as_page(body), Err(ShapeError::Malformed), "{body:?}");
    }
    let invalid = object(&workflow("read"), b"{\"id\":\"\xff\"}", &shape(60_000, &[]));
    assert_eq!(invalid, Err(ShapeError::Malformed));
}

#[test]
fn json_of_any_depth_is_refused_or_skipped_and_never_overflows() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let kept = format!("{{\"id\":\"w1\",\"x\":{deep}}}");
    let refused = object(&workflow("read"), kept.as_bytes(), &shape(60_000, &[]));
    assert!(matches!(refused, Err(ShapeError::TooLarge { .. })), "{refused:?}");
    let skipped = format!("{{\"id\":\"w1\",\"schema\":{deep}}}");
    let answer = object(&workflow("read"), skipped.as_bytes(), &shape(60_000, &["id"])).unwrap();
    assert_eq!(answer.structured, json!({"id": "w1"}));
    assert!(empty(&entry("write", &json!({"kind": "empty"})), &Args::default(), deep.as_bytes()).is_ok());
}

#[test]
fn numbers_come_through_as_ironclad_wrote_them() {
    let body = r#"{"a":25.37,"b":1234.5600000000002,"c":0.30000000000000004,"d":9007199254740993,"e":1.0,"f":-0.1}"#;
    let answer = object(&workflow("read"), body.as_bytes(), &shape(60_000, &[])).unwrap();
    assert_eq!(answer.text, body);
}

fn any_item() -> impl Strategy<Value = String> {
    prop_oneof![".{0,40}", "[\"\\\\\\n\\t]{0,200}", "x{0,400}"]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), "[ab\"]{0,3}".prop_map(Value::from)];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let members = prop::collection::vec(("[abc]", inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whether every leaf of `part` lies at the same names in `whole`.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| is_part(value, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => part.iter().all(|value| whole.iter().any(|w| is_part(value, w))),
        (part, whole) => part == whole,
    }
}

proptest! {
    #[test]
    fn a_result_never_passes_its_limit(text in any_item(), repeats in 1usize..60, max_bytes in 2_000usize..9_000) {
        let body = json!({"id": "w1", "text": text.repeat(repeats)}).to_string();
        for effect in ["read", "write"] {
            if let Ok(answer) = object(&workflow(effect), body.as_bytes(), &shape(max_bytes, &[])) {
                prop_assert!(result_bytes(&answer) <= max_bytes);
                prop_assert_eq!(&serde_json::from_str::<Value>(&answer.text).unwrap(), &answer.structured);
            } else {
                prop_assert_eq!(effect, "read");
            }
        }
    }

    #[test]
    fn the_bytes_of_an_answer_are_counted_as_they_travel(value in any_json()) {
        let answer = Answer::new(value);
        let text = Value::from(answer.text.as_str()).to_string();
        prop_assert_eq!(answer.bytes(), answer.text.len() + text.len() - 2);
    }

    #[test]
    fn a_projection_is_a_part_of_the_object_and_asking_for_more_never_gives_less(
        value in any_json(),
        paths in prop::collection::vec("[abc](\\.[abc]){0,2}", 1..4),
        more in "[abc](\\.[abc])?",
    ) {
        let body = json!({ "a": value, "b": [value] });
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let narrow = shaped(&body, &paths);
        let wide = shaped(&body, &[&paths[..], &[&more]].concat());
        prop_assert!(is_part(&narrow, &body), "{narrow}");
        prop_assert!(is_part(&narrow, &wide), "{narrow} and {wide}");
    }

    #[test]
    fn no_body_makes_shaping_panic(body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60), "[{}\\[\\]\",:a0-9]{0,60}".prop_map(String::into_bytes),
        any_json().prop_map(|value| json!({"list": value, "count": value}).to_string().into_bytes()),
    ], offset: u64, mark: u64, limit: u64) {
        let window = Window { from: Spot { offset, mark }, limit };
        let _ = object(&workflow("read"), &body, &shape(2_000, &["a.b"]));
        for (name, _) in lists::PAGINGS {
            let mut server = |_: Page| body.clone();
            let _ = lists::call(&list(name), &Args::default(), &shape(2_000, &[]), window, &mut server);
        }
    }
}
