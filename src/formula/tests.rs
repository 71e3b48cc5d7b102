//! What is read, refused and written.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema_profile::schema_faults;

fn wire(text: &str) -> String {
    Formula::parse(text).unwrap().to_wire()
}

#[test]
fn every_function_goes_out_in_its_safest_form() {
    let table = [
        ("Equals([counterpartyName], 'Acme Corp.')", "(Equals([counterpartyName], 'Acme Corp.'))"),
        (r#"equals( [ counterpartyName ] ,"Acme")"#, "(Equals([counterpartyName], 'Acme'))"),
        (r#"NotEqual([a], "O'Brien")"#, r#"(NotEqual([a], "O'Brien"))"#),
        ("((Contains([a], 'say \"hi\"')))", "(Contains([a], 'say \"hi\"'))"),
        ("IsEmpty([a b])", "(IsEmpty([a b]))"),
        ("IsNotEmpty([名前])", "(IsNotEmpty([名前]))"),
        ("GreaterThan([amount], 1000)", "(GreaterThan([amount], '1000'))"),
        ("LessThan([amount], '-12.5')", "(LessThan([amount], '-12.5'))"),
        ("GreaterThanOrEqual([d], '2026-01-31')", "(GreaterThanOrEqual([d], Date(2026, 1, 31)))"),
        ("LessThanOrEqual([d], Date('2026-01-31'))", "(LessThanOrEqual([d], Date(2026, 1, 31)))"),
        ("Equals([d], Today())", "(Equals([d], Today()))"),
        ("Equals([d], RelativeDate(-7, 'day'))", "(Equals([d], RelativeDate(Today(), -7, 'days')))"),
        (
            "Equals([d], RelativeDate(Date(2026, 1, 1), 2, \"Months\"))",
            "(Equals([d], RelativeDate(Date(2026, 1, 1), 2, 'months')))",
        ),
        ("Equals([flag], TRUE)", "(Equals([flag], true))"),
        ("Equals([a], [b])", "(Equals([a], [b]))"),
        ("And((IsEmpty([a])), Or(IsEmpty([b]), IsEmpty([c])))", "(And(IsEmpty([a]), Or(IsEmpty([b]), IsEmpty([c]))))"),
        ("And(IsEmpty([a]))", "(IsEmpty([a]))"),
    ];
    for (text, expected) in table {
        assert_eq!(wire(text), expected, "{text}");
    }
}

#[test]
fn a_mistake_is_found_where_it_is() {
    let table = [
        ("", 1, "a function is missing"),
        ("Equal([a], 'x')", 1, "did you mean Equals?"),
        ("Like([a], 'x')", 1, "there are Equals"),
        ("Equals(a, 'x')", 8, "neither [a], a property"),
        ("IsEmpty(counterpartyName)", 9, "[counterpartyName]"),
        ("Equals([a], Acme)", 13, "nor 'Acme', a text"),
        ("Equals([a, 'x')", 8, "never closed"),
        ("Equals([a], 'x", 13, "never closed"),
        ("Equals([a], 'O''Brien')", 16, "cannot be escaped"),
        ("Equals([a])", 11, "second argument"),
        ("Equals([a], 'x'", 16, "ends here with a )"),
        ("Equals([a], 'x', 'y')", 16, "ends here with a )"),
        ("Equals('a', 'x')", 8, "one side must be a property"),
        ("Equals([a], 1_000)", 13, "no number"),
        ("GreaterThan([a], 'much')", 18, "numbers and dates"),
        ("LessThan([a], true)", 15, "numbers and dates"),
        ("Contains([a], Today())", 15, "text in quotes"),
        ("Equals([d], Date(2026, 2, 30))", 13, "no such day"),
        ("Equals([d], Date(2026))", 22, "year, month and day"),
        ("Equals([d], Dat(2026, 1, 1))", 13, "did you mean Date?"),
        ("Equals([d], RelativeDate(Today(), 1, 'hours'))", 38, "the unit is"),
        ("(IsEmpty([a])", 14, "a ) is missing"),
        ("IsEmpty([a]) and IsEmpty([b])", 14, "And(…, …)"),
        ("IsEmpty([])", 9, "one property's name"),
        ("Éq([a], 'x')", 1, "no function"),
        ("Equals([é], x)", 13, "neither"),
    ];
    for (text, position, message) in table {
        let error = Formula::parse(text).unwrap_err();
        assert!(error.position == position && error.message.contains(message), "{text}: {error}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| format!("{}IsEmpty([a]){}", "(".repeat(levels), ")".repeat(levels));
    assert!(Formula::parse(&nested(40)).is_ok());
    assert!(Formula::parse(&nested(100_000)).unwrap_err().message.contains("nested deeper"));
    let moments = format!("Equals([a], {}Today(){})", "RelativeDate(".repeat(60), ", 1, 'days')".repeat(60));
    assert!(Formula::parse(&moments).unwrap_err().message.contains("nested deeper"));
}

#[test]
fn unknown_properties_are_named_with_what_was_meant() {
    let formula = Formula::parse(
        "And(IsEmpty([conterpartyName]), IsEmpty([COUNTERPARTYNAME]), IsEmpty([status]), IsEmpty([zzz]))",
    )
    .unwrap();
    assert_eq!(formula.properties(), ["conterpartyName", "COUNTERPARTYNAME", "status", "zzz"]);
    let faults = formula.check_names(&["counterpartyName", "contractValue"]);
    let lines: Vec<String> =
        faults.iter().map(|f| format!("{} | {}", f.message, f.expected.as_deref().unwrap())).collect();
    assert_eq!(lines[0], "[conterpartyName] is no property here | [counterpartyName] (did you mean that?)");
    assert!(lines[1].starts_with("[zzz] is no property here | one of counterpartyName, contractValue, name"));
    assert_eq!(lines.len(), 2);
}

fn compiled(conditions: &Value) -> Result<String, Vec<ArgumentFault>> {
    compile(conditions.as_array().unwrap()).map(|formula| formula.to_wire())
}

#[test]
fn plain_conditions_become_a_formula() {
    let table = [
        (
            json!([{"property": "counterpartyName", "op": "equals", "value": "Acme"}]),
            "(Equals([counterpartyName], 'Acme'))",
        ),
        (json!([{"property": "[a]", "op": "not_equal", "value": true}]), "(NotEqual([a], true))"),
        (json!([{"property": "a", "op": "contains", "value": "2026-01-31"}]), "(Contains([a], '2026-01-31'))"),
        (json!([{"property": "a", "op": "contains", "value": 5}]), "(Contains([a], '5'))"),
        (
            json!([{"property": "a", "op": "is_empty"}, {"property": "b", "op": "is_not_empty", "value": null}]),
            "(And(IsEmpty([a]), IsNotEmpty([b])))",
        ),
        (json!([{"property": "d", "op": "less_than", "value": "2026-01-31"}]), "(LessThan([d], Date(2026, 1, 31)))"),
        (json!([{"property": "n", "op": "greater_than_or_equal", "value": 12.5}]), "(GreaterThanOrEqual([n], '12.5'))"),
        (
            json!([{"property": "n", "op": "less_than_or_equal", "value": 1e21}]),
            "(LessThanOrEqual([n], '1000000000000000000000'))",
        ),
        (json!([{"property": "n", "op": "greater_than", "value": "1000"}]), "(GreaterThan([n], '1000'))"),
    ];
    for (conditions, expected) in table {
        assert_eq!(compiled(&conditions).as_deref(), Ok(expected), "{conditions}");
    }
}

#[test]
fn every_fault_of_every_condition_is_named() {
    let conditions = json!([
        {"property": "", "op": "equal", "value": "x"},
        {"op": "less_than", "property": "a", "value": "soon"},
        {"property": "a", "op": "equals"},
        {"property": "a", "op": "is_empty", "value": "x"},
        {"property": "a", "op": "equals", "value": "'\""},
        {"property": "a]", "op": "contains", "value": {}, "not": true},
        {},
        5,
    ]);
    let paths: Vec<String> = compiled(&conditions).unwrap_err().into_iter().map(|fault| fault.path).collect();
    assert_eq!(
        paths,
        [
            "where[0].property",
            "where[0].op",
            "where[1].value",
            "where[2].value",
            "where[3].value",
            "where[4].value",
            "where[5].not",
            "where[5].property",
            "where[5].value",
            "where[6].property",
            "where[6].op",
            "where[7]",
        ]
    );
    assert_eq!(compiled(&json!([])).unwrap_err()[0].path, "where");
}

#[test]
fn the_schema_of_where_keeps_the_profile() {
    let tool = json!({"type": "object", "properties": {"where": where_schema()}});
    assert_eq!(schema_faults(tool.as_object().unwrap()), Vec::<String>::new());
}

#[test]
fn lists_offer_conditions_as_they_are_compiled() {
    let catalog = crate::catalog::Catalog::load(None, "").unwrap();
    for name in ["list_workflows", "list_records"] {
        let entry = &catalog.get(name).unwrap().entry;
        assert_eq!(entry.parameters["where"].schema, where_schema(), "{name}");
    }
}

fn any_text() -> impl Strategy<Value = Text> {
    any::<String>().prop_filter_map("both quotes", Text::new)
}

fn any_name() -> impl Strategy<Value = String> {
    any::<String>()
        .prop_map(|name| name.replace(['[', ']'], "").trim().to_owned())
        .prop_filter("empty", |name| !name.is_empty())
}

fn any_moment() -> impl Strategy<Value = Moment> {
    let day =
        (1i64..=9999, 1i64..=12, 1i64..=28).prop_filter_map("day", |(y, m, d)| calendar_day(y, m, d).map(Moment::Day));
    let unit = prop_oneof![Just(Unit::Days), Just(Unit::Weeks), Just(Unit::Months), Just(Unit::Years)];
    prop_oneof![Just(Moment::Today), day].prop_recursive(3, 4, 1, move |inner| {
        (inner, any::<i64>(), unit.clone())
            .prop_map(|(from, amount, unit)| Moment::Relative(Box::new(from), amount, unit))
    })
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let number = (any::<i32>(), 0u32..99).prop_map(|(a, b)| Operand::Text(Text(format!("{a}.{b}"))));
    let ordered = prop_oneof![number, any_moment().prop_map(Operand::Moment), any_name().prop_map(Operand::Property)];
    let any =
        prop_oneof![ordered.clone(), any_text().prop_map(Operand::Text), any::<bool>().prop_map(Operand::Boolean)];
    let equal = prop_oneof![Just(Comparison::Equals), Just(Comparison::NotEqual)];
    let order = prop_oneof![
        Just(Comparison::LessThan),
        Just(Comparison::LessThanOrEqual),
        Just(Comparison::GreaterThan),
        Just(Comparison::GreaterThanOrEqual)
    ];
    let leaf = prop_oneof![
        any_name().prop_map(Condition::IsEmpty),
        any_name().prop_map(Condition::IsNotEmpty),
        (any_name(), any_text()).prop_map(|(name, text)| Condition::Contains(name, text)),
        (equal, any_name(), any).prop_map(|(by, name, value)| Condition::Compare(by, Operand::Property(name), value)),
        (order, ordered, any_name()).prop_map(|(by, value, name)| Condition::Compare(
            by,
            value,
            Operand::Property(name)
        )),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = proptest::collection::vec(inner, 2..4);
        prop_oneof![parts.clone().prop_map(Condition::All), parts.prop_map(Condition::Any)]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(root in any_condition()) {
        let formula = Formula { root };
        prop_assert_eq!(Formula::parse(&formula.to_wire()), Ok(formula));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), pieces in r#"([A-Za-z]{1,12}|[(),\[\]'" .0-9-]){0,40}"#) {
        let _ = Formula::parse(&text);
        if let Ok(formula) = Formula::parse(&pieces) {
            prop_assert_eq!(Formula::parse(&formula.to_wire()), Ok(formula));
        }
    }
}
