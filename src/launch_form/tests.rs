//! What the translation, the check and the refusals say, type by type.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema_profile::schema_faults;

fn form(schema: &Value) -> LaunchForm {
    LaunchForm::parse(schema.as_object().unwrap())
}

fn one(node: &Value) -> LaunchForm {
    form(&json!({"counterpartyName": {"type": "string"}, "it": node}))
}

fn translated(form: &LaunchForm) -> Translation {
    form.attributes_schema(false, &BTreeSet::new())
}

fn tool(schema: &Map<String, Value>) -> Map<String, Value> {
    json!({"type": "object", "properties": {"attributes": schema}}).as_object().unwrap().clone()
}

fn property(node: &Value) -> Value {
    let schema = translated(&one(node)).schema;
    assert_eq!(schema_faults(&tool(&schema)), Vec::<String>::new());
    schema["properties"]["it"].clone()
}

fn checked(node: &Value, value: &Value) -> Result<Checked, Vec<ArgumentFault>> {
    let attributes = json!({"counterpartyName": "Acme", "it": value});
    one(node).check(attributes.as_object().unwrap(), false, &BTreeSet::new())
}

fn sent(node: &Value, value: &Value) -> Value {
    checked(node, value).unwrap().attributes["it"].clone()
}

fn text(node: &Value, value: &Value) -> String {
    let faults = checked(node, value).unwrap_err();
    let lines = faults.iter().map(|f| format!("{}: {} | {}", f.path, f.message, f.expected.as_deref().unwrap()));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_type_has_its_schema() {
    let text = || json!({"type": "string"});
    let table = [
        (
            json!({"type": "string", "displayName": "Purpose"}),
            json!({"type": "string", "description": "Purpose. E.g. Example"}),
        ),
        (
            json!({"type": "boolean", "displayName": "Urgent?"}),
            json!({"type": "boolean", "description": "Urgent? E.g. false"}),
        ),
        (
            json!({"type": "number", "displayName": "Seats", "default": 10}),
            json!({"type": "number", "description": "Seats. Default 10"}),
        ),
        (
            json!({"type": "date", "displayName": "Start"}),
            json!({"type": "string", "description": "Start. E.g. 2026-01-31T00:00:00Z"}),
        ),
        (
            json!({"type": "email", "displayName": "Contact"}),
            json!({"type": "string", "description": "Contact. E.g. jane.doe@example.com"}),
        ),
        (
            json!({"type": "monetaryAmount", "displayName": "Fee"}),
            json!({"type": "object", "properties": {"currency": text(), "amount": {"type": "number"}}, "required": ["currency", "amount"],
                "description": "Fee. E.g. {\"currency\":\"USD\",\"amount\":1000}"}),
        ),
        (
            json!({"type": "document", "displayName": "Policy"}),
            json!({"type": "object", "properties": {"url": text(), "path": text(), "filename": text(), "content_base64": text()},
                "description": "Policy. A pdf, doc or docx: url, or path (local file), or filename with content_base64. E.g. {\"url\":\"https://example.com/contract.docx\"}"}),
        ),
        (
            json!({"type": "parentRecord", "displayName": "Parent"}),
            json!({"type": "string", "description": "Parent. A record's Ironclad ID or UUID. E.g. IC-456"}),
        ),
        (
            json!({"type": "entity_reference", "displayName": "Supplier", "required": "conditional"}),
            json!({"type": "string", "description": "Supplier. An entity's id or UUID. Ironclad may require this, depending on other answers. E.g. ENTITY-1"}),
        ),
        (
            json!({"type": "array", "elementType": {"type": "string"}, "displayName": "Regions", "options": {"values": ["A", "B"], "freeTextAllowed": false}}),
            json!({"type": "array", "items": {"type": "string", "enum": ["A", "B"]}, "minItems": 1, "description": "Regions"}),
        ),
        (
            json!({"type": "string", "displayName": "Law", "options": {"values": ["NY", "DE"], "freeTextAllowed": true}, "default": "NY"}),
            json!({"type": "string", "description": "Law. Suggested: NY, DE. Default NY"}),
        ),
        (
            json!({"type": "hologram", "displayName": "View"}),
            json!({"type": "string", "x-open": true, "description": "View. Type unknown here; passed on as given"}),
        ),
    ];
    for (node, schema) in table {
        assert_eq!(property(&node), schema);
    }
}

#[test]
fn a_duration_an_address_and_a_table_have_typed_members() {
    assert_eq!(property(&json!({"type": "duration"}))["properties"].as_object().unwrap().len(), 4);
    let address = property(&json!({"type": "address"}));
    assert_eq!(address["properties"]["lines"]["type"], "array");
    assert_eq!(address["required"], json!(["lines", "locality", "country"]));
    let columns = json!({"price": {"type": "monetaryAmount", "required": "always"}, "site": {"type": "address"}, "files": {"type": "array",
        "elementType": {"type": "document"}}, "sum": {"type": "formula"}});
    let table = property(&json!({"type": "array", "elementType": {"type": "object", "schema": columns}}));
    let row = &table["items"];
    assert_eq!(row["required"], json!(["price"]));
    assert_eq!(row["properties"]["price"]["type"], "object");
    assert_eq!(row["properties"]["site"]["properties"]["lines"]["type"], "string");
    assert_eq!(row["properties"]["files"]["x-open"], true);
    assert_eq!(row["properties"].get("sum"), None);
    assert!(table["description"].as_str().unwrap().contains(r#"E.g. [{"price":{"currency""#));
}

#[test]
fn only_always_is_required_and_a_default_counts_where_defaults_are_used() {
    let form = form(&json!({
        "counterpartyName": {"type": "string", "required": "never", "default": "Acme"},
        "fee": {"type": "number", "required": "always"},
        "term": {"type": "duration", "required": "always", "default": {"years": 1}},
        "rows": {"type": "array", "elementType": {"type": "object", "schema": {}}, "required": "always", "default": [{}]},
        "maybe": {"type": "string", "required": "conditional", "displayName": "Maybe"},
        "total": {"type": "formula", "required": "always"},
    }));
    let required = |defaults| form.attributes_schema(defaults, &BTreeSet::new()).schema["required"].clone();
    assert_eq!(required(false), json!(["counterpartyName", "fee", "term", "rows"]));
    assert_eq!(required(true), json!(["counterpartyName", "fee", "rows"]));
    let learned = BTreeSet::from(["maybe".to_owned()]);
    let translation = form.attributes_schema(true, &learned);
    let expected = Conditional { id: "maybe".into(), display_name: "Maybe".into(), learned: true };
    assert_eq!(translation.conditional, [expected]);
    let described = translation.schema["properties"]["maybe"]["description"].as_str().unwrap();
    assert!(described.contains("Ironclad has required this before"), "{described}");
    let given = json!({"counterpartyName": "A", "fee": 1, "rows": [{}, {}]});
    let faults = form.check(given.as_object().unwrap(), true, &learned).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn a_form_without_a_counterparty_asks_for_one_all_the_same() {
    let form = form(&json!({}));
    assert_eq!(translated(&form).schema["required"], json!(["counterpartyName"]));
    let faults = form.check(&Map::new(), true, &BTreeSet::new()).unwrap_err();
    assert_eq!(faults[0].path, "attributes.counterpartyName");
    assert_eq!(faults[0].message, "Counterparty Name: required and missing");
}

#[test]
fn long_lists_of_options_are_told_and_checked_here() {
    let values: Vec<String> = (0..1_000).map(|n| format!("Option {n}")).collect();
    let node =
        json!({"type": "string", "displayName": "Pick", "options": {"values": values, "freeTextAllowed": false}});
    let property = property(&node);
    assert_eq!(property.get("enum"), None);
    let told = property["description"].as_str().unwrap();
    assert!(told.starts_with("Pick. One of: Option 0, Option 1") && told.contains("more (checked"), "{told}");
    assert_eq!(sent(&node, &json!("Option 999")), "Option 999");
    assert!(text(&node, &json!("option 999")).contains("is no option | \"Option 999\" (did you mean that?)"));
}

#[test]
fn every_fault_is_named_at_once_with_label_value_and_remedy() {
    let form = form(&json!({
        "counterpartyName": {"type": "string", "displayName": "Counterparty"},
        "effectiveDate": {"type": "date", "displayName": "Effective Date", "required": "always"},
        "unit": {"type": "string", "displayName": "Unit", "options": {"values": ["Robotics"], "freeTextAllowed": false}},
        "lineItems": {"type": "array", "displayName": "Items", "elementType": {"type": "object", "schema": {
            "price": {"type": "monetaryAmount", "displayName": "Price", "required": "always"}, "n": {"type": "number", "required": "always", "displayName": "N"}}}},
        "total": {"type": "formula", "displayName": "Total"},
        "when": {"type": "date", "displayName": "When"},
    }));
    let given = json!({"efectiveDate": "2026-01-01", "Unit": "x", "unit": "robotics", "lineItems": [{"price": {"currency": "dollars", "amount": 5}}],
        "total": 5, "when": null});
    let faults = form.check(given.as_object().unwrap(), false, &BTreeSet::new()).unwrap_err();
    let lines: Vec<String> =
        faults.iter().map(|f| format!("{} | {} | {}", f.path, f.message, f.expected.clone().unwrap())).collect();
    assert_eq!(
        lines,
        [
            "attributes.efectiveDate | the launch form has no such attribute | effectiveDate (Effective Date; did you mean that?)",
            "attributes.Unit | the launch form has no such attribute | unit (Unit; did you mean that?)",
            "attributes.unit | Unit: \"robotics\" is no option | \"Robotics\" (did you mean that?), or one of Robotics",
            "attributes.lineItems[0].price.currency | Price: \"dollars\" is no currency | an ISO 4217 code such as \"USD\"",
            "attributes.lineItems[0].n | N: required and missing | a value such as 1",
            "attributes.total | Total: Ironclad computes this; it cannot be set | no value: leave it out",
            "attributes.when | When: null is no value | leave it out, or a value such as \"2026-01-31T00:00:00Z\"",
            "attributes.counterpartyName | Counterparty: required and missing | a value such as \"Acme LLC\"",
            "attributes.effectiveDate | Effective Date: required and missing | a value such as \"2026-01-31T00:00:00Z\"",
        ]
    );
}

#[test]
fn harmless_forms_are_mended_and_told() {
    let table = [
        (json!({"type": "date"}), json!("2026-09-01"), json!("2026-09-01T00:00:00Z")),
        (json!({"type": "boolean"}), json!("true"), json!(true)),
        (json!({"type": "number"}), json!("12.5"), json!(12.5)),
        (json!({"type": "duration"}), json!("P1Y"), json!({"years": 1})),
        (
            json!({"type": "monetaryAmount"}),
            json!(r#"{"currency":"USD","amount":5}"#),
            json!({"currency": "USD", "amount": 5}),
        ),
        (json!({"type": "array", "elementType": {"type": "string"}}), json!(r#"["a","b"]"#), json!(["a", "b"])),
        (json!({"type": "hologram"}), json!(r#"{"x":1}"#), json!({"x": 1})),
    ];
    for (node, given, expected) in table {
        let checked = checked(&node, &given).unwrap();
        assert_eq!((&checked.attributes["it"], checked.notes.len()), (&expected, 1), "{:?}", checked.notes);
        assert!(checked.notes[0].starts_with("attributes.it: "));
    }
    assert_eq!(sent(&json!({"type": "string"}), &json!("{\"a\":1}")), "{\"a\":1}");
    assert!(text(&json!({"type": "boolean"}), &json!("yes")).contains("neither true nor false"));
}

#[test]
fn a_published_name_is_taken_back_to_its_id() {
    let form = form(&json!({"fee cap": {"type": "number"}, "rows": {"type": "array", "elementType": {"type": "object",
        "schema": {"unit price": {"type": "number"}}}}}));
    let ids = translated(&form).ids;
    assert_eq!(
        ids,
        IndexMap::from([("fee_cap".into(), "fee cap".into()), ("rows.unit_price".to_owned(), "unit price".to_owned())])
    );
    let given = json!({"counterpartyName": "A", "fee_cap": 1, "rows": [{"unit_price": 2}]});
    let checked = form.check(given.as_object().unwrap(), false, &BTreeSet::new()).unwrap();
    assert_eq!(
        Value::from(checked.attributes),
        json!({"counterpartyName": "A", "fee cap": 1, "rows": [{"unit price": 2}]})
    );
    let twice = json!({"counterpartyName": "A", "fee_cap": 1, "fee cap": 2});
    let faults = form.check(twice.as_object().unwrap(), false, &BTreeSet::new()).unwrap_err();
    assert!(faults[0].message.contains("given twice"));
}

#[test]
fn what_was_learned_is_told_and_never_required() {
    let form = form(&json!({"renewal": {"type": "duration", "displayName": "Renewal", "required": "conditional"}}));
    let given = json!({"counterpartyName": "A"});
    let checked = form.check(given.as_object().unwrap(), false, &BTreeSet::from(["renewal".into()])).unwrap();
    assert_eq!(checked.notes, ["attributes.renewal (Renewal) is missing, and Ironclad has required it before"]);
}

#[test]
fn one_value_is_checked_by_itself() {
    let form = form(
        &json!({"draft": {"type": "array", "elementType": {"type": "document"}}, "start": {"type": "date", "displayName": "Start"}}),
    );
    assert!(form.holds_documents("draft") && !form.holds_documents("start"));
    let checked = form.check_value("start", &json!("2026-01-31"), "updates[0].value").unwrap();
    assert_eq!(checked.value, "2026-01-31T00:00:00Z");
    assert!(checked.notes[0].starts_with("updates[0].value: "));
    assert!(
        form.check_value("strat", &json!(1), "updates[0].path").unwrap_err()[0]
            .expected
            .as_deref()
            .unwrap()
            .contains("start")
    );
}

#[test]
fn a_refusal_becomes_the_same_faults_and_teaches() {
    let form = form(&json!({
        "address": {"type": "address", "displayName": "Address", "required": "conditional"},
        "odd id": {"type": "email", "displayName": "Contact", "required": "conditional"},
        "rows": {"type": "array", "displayName": "Rows", "elementType": {"type": "object", "schema": {}}},
    }));
    let refusal = |code, message, param, key_path| faults_of_refusal(code, message, param, key_path, &form);
    let missing =
        refusal("MISSING_PARAM", "Missing", Some(r#"["address", "odd id", "counterpartyName", "foreign"]"#), None);
    let paths: Vec<&str> = missing.faults.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["attributes.address", "attributes.counterpartyName", "attributes.odd_id"]);
    assert_eq!(missing.learned, BTreeSet::from(["address".into(), "odd id".into()]));
    assert_eq!(refusal("MISSING_PARAM", "x", Some("address"), None).learned.len(), 1);
    let invalid = refusal("INVALID_PARAM", "bad row", Some("attributes"), Some("attributes.rows.0.price"));
    assert_eq!(invalid.faults[0].path, "attributes.rows[0].price");
    assert_eq!(invalid.faults[0].message, "Rows: Ironclad says bad row");
    assert!(invalid.learned.is_empty());
    let unknown = refusal("INVALID_PARAM", "non-existent attribute(s) specified: adress, x", Some("attributes"), None);
    assert_eq!(unknown.faults.len(), 2);
    assert!(unknown.faults[0].expected.as_deref().unwrap().starts_with("address"));
    assert_eq!(refusal("INVALID_STATE", "x", None, None), Refusal::default());
    assert_eq!(refusal("MISSING_PARAM", "x", Some("template"), None), Refusal::default());
}

#[test]
fn an_example_prefers_our_own_paper_and_shows_what_may_be_asked() {
    let form = form(&json!({
        "counterpartyName": {"type": "string"},
        "paperSource": {"type": "string", "required": "always"},
        "draft": {"type": "array", "elementType": {"type": "document"}, "required": "conditional"},
        "term": {"type": "duration", "required": "conditional", "default": {"months": 3}},
        "note": {"type": "string", "required": "never"},
    }));
    assert_eq!(
        Value::from(form.example()),
        json!({"counterpartyName": "Acme LLC", "paperSource": "Our paper", "term": {"months": 3}})
    );
}

#[test]
fn a_form_that_makes_no_sense_is_still_a_form() {
    let form = form(
        &json!({"a": 5, "b": {"type": "array"}, "c": {"type": "object"}, "d": {"type": ["string"]}, "counterpartyName": []}),
    );
    let translation = translated(&form);
    assert_eq!(schema_faults(&tool(&translation.schema)), Vec::<String>::new());
    assert_eq!(translation.warnings.len(), 4, "{:?}", translation.warnings);
}

fn any_node() -> impl Strategy<Value = Value> {
    let kinds = "string|boolean|number|date|email|monetaryAmount|duration|address|document|linkedRecord|entity_reference|formula|[a-z]{0,9}";
    let texts = prop_oneof![any::<String>(), Just("x".repeat(5_000)), Just("é \u{0}\n".repeat(2_000))];
    let options = proptest::collection::vec(prop_oneof![any::<String>(), Just("long".repeat(2_000))], 0..3);
    let required = prop_oneof![Just("always"), Just("never"), Just("conditional")];
    let leaf = (kinds, texts, options, required, any::<bool>()).prop_map(|(kind, label, values, required, free)| {
        json!({"type": kind, "displayName": label, "required": required, "default": label,
               "options": {"values": values, "freeTextAllowed": free}})
    });
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|element| json!({"type": "array", "elementType": element, "required": "always"})),
            proptest::collection::btree_map(any_id(), inner, 0..4)
                .prop_map(|columns| json!({"type": "object", "schema": columns})),
        ]
    })
}

fn any_id() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z_]{1,5}",
        Just("x".repeat(5_000)),
        Just("y".repeat(65)),
        Just("ünï".repeat(1_000))
    ]
}

proptest! {
    #[test]
    fn whatever_a_form_holds_its_schema_keeps_the_profile(nodes in proptest::collection::btree_map(any_id(), any_node(), 0..6)) {
        let form = form(&json!(nodes));
        let translation = translated(&form);
        prop_assert_eq!(schema_faults(&tool(&translation.schema)), Vec::<String>::new());
        prop_assert!(translation.warnings.iter().all(|warning| warning.len() < 4_000));
    }

    #[test]
    fn an_example_passes_its_own_check(nodes in proptest::collection::btree_map(any_id(), any_node(), 0..6)) {
        let form = form(&json!(nodes));
        let checked = form.check(&form.example(), false, &BTreeSet::new());
        // A required table without one settable column can be satisfied by nothing.
        let unsatisfiable = |fault: &ArgumentFault| fault.message.ends_with("is no value");
        prop_assert!(checked.as_ref().err().is_none_or(|faults| faults.iter().all(unsatisfiable)), "{:?}", checked);
    }
}

#[test]
fn three_hundred_fields_are_three_hundred_properties() {
    let nodes: Map<String, Value> =
        (0..300).map(|n| (format!("Field {n}!"), json!({"type": "string", "displayName": "Same name"}))).collect();
    let translation = translated(&form(&nodes.into()));
    assert_eq!(translation.schema["properties"].as_object().unwrap().len(), 301);
    assert_eq!(schema_faults(&tool(&translation.schema)), Vec::<String>::new());
    assert_eq!(translation.ids.len(), 300);
}

#[test]
fn a_description_hides_nothing() {
    let described = |name: &str| {
        let property = property(&json!({"type": "string", "displayName": name}));
        property["description"].as_str().unwrap().to_owned()
    };
    assert!(described("Pur\u{202e}pose").starts_with("Pur⟪U+202E⟫pose. "), "{}", described("Pur\u{202e}pose"));
    assert_eq!(describe::shown(format!("x{}y", "\u{200b}".repeat(190))), "xy");
}
