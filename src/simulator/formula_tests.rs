//! Formulas asked about one made-up record.

use proptest::prelude::*;
use serde_json::json;
use time::macros::date;

use super::*;

fn record(name: &str) -> Property {
    match name.to_lowercase().as_str() {
        "counterpartyname" => Property::Value(json!("Bramble & Finch Ltd")),
        "amount" => Property::Value(json!(1200.5)),
        "contractvalue" => Property::Value(json!({ "currency": "USD", "amount": 50_000 })),
        "signed" => Property::Value(json!(true)),
        "agreementdate" => Property::Value(json!("2026-03-10T00:00:00-05:00")),
        "regions" => Property::Value(json!(["Europe", "Asia Pacific"])),
        "term" => Property::Value(json!("P2Y")),
        "address" => Property::Value(json!({ "lines": ["4 Mill Lane"], "country": "Ireland" })),
        "rows" => Property::Value(json!([{}])),
        "notes" => Property::Empty,
        _ => Property::Unknown,
    }
}

fn ask(text: &str) -> Result<bool, FormulaError> {
    Formula::parse(text)?.matches(&mut record, date!(2026 - 03 - 17))
}

#[track_caller]
fn yes(text: &str) {
    assert_eq!(ask(text), Ok(true), "{text}");
}

#[track_caller]
fn no(text: &str) {
    assert_eq!(ask(text), Ok(false), "{text}");
}

#[track_caller]
fn refused(text: &str) -> String {
    ask(text).expect_err(text).to_string()
}

#[test]
fn texts_are_equal_or_not_in_either_kind_of_quote() {
    yes("Equals([counterpartyName], 'Bramble & Finch Ltd')");
    yes("equals([COUNTERPARTYNAME], \"Bramble & Finch Ltd\")");
    no("Equals([counterpartyName], 'Bramble')");
    yes("NotEqual([counterpartyName], 'Bramble')");
}

#[test]
fn outer_parentheses_change_nothing() {
    yes("(Equals([signed], true))");
    yes("((And((Equals([signed], true)), (IsEmpty([notes])))))");
}

#[test]
fn contains_disregards_case_and_looks_into_lists_and_objects() {
    yes("Contains([counterpartyName], 'FINCH')");
    yes("Contains([regions], 'asia')");
    yes("Contains([address], 'mill lane')");
    yes("Contains([term], 'p2')");
    no("Contains([notes], 'a')");
    assert!(refused("Contains([amount], '12')").contains("texts only"));
}

#[test]
fn numbers_compare_quoted_and_unquoted_and_money_by_its_amount() {
    yes("GreaterThan([amount], '1000')");
    yes("LessThanOrEqual([amount], 1200.5)");
    yes("GreaterThanOrEqual([contractValue], 50000)");
    no("LessThan([contractValue], 5e4)");
    yes("Equals([contractValue], '50000')");
    yes("LessThan(1000, [amount])");
    assert!(refused("GreaterThan([amount], 'lots')").contains("cannot be compared"));
    assert!(refused("GreaterThan([counterpartyName], 'A')").contains("numbers and dates"));
}

#[test]
fn dates_compare_by_the_day_in_their_own_offset() {
    yes("Equals([agreementDate], Date(2026, 3, 10))");
    yes("Equals([agreementDate], Date('2026-03-10'))");
    yes("Equals([agreementDate], '2026-03-10')");
    yes("GreaterThan([agreementDate], Date(2026, 3, 9))");
    yes("LessThan([agreementDate], Today())");
    yes("Equals([agreementDate], RelativeDate(Today(), -7, 'days'))");
    yes("Equals([agreementDate], RelativeDate(-1, 'weeks'))");
    yes("Equals([agreementDate], RelativeDate(RelativeDate(Date(2025, 2, 10), 1, 'years'), '1', 'month'))");
    assert!(refused("Equals([counterpartyName], Today())").contains("cannot be compared"));
    assert!(refused("Equals([agreementDate], Date(2026, 2, 30))").contains("calendar"));
    assert!(refused("Equals([agreementDate], RelativeDate(1, 'fortnights'))").contains("unit"));
    assert!(refused("Equals([agreementDate], RelativeDate(999999999, 'years'))").contains("calendar"));
}

#[test]
fn booleans_compare_with_words_and_with_quoted_words() {
    yes("Equals([signed], TRUE)");
    yes("NotEqual([signed], 'false')");
    assert!(refused("Equals([signed], 'maybe')").contains("cannot be compared"));
    assert!(refused("LessThan([signed], true)").contains("cannot be compared"));
}

#[test]
fn emptiness_can_be_asked_of_everything() {
    yes("IsEmpty([notes])");
    yes("IsEmpty([rows])");
    yes("IsNotEmpty([address])");
    yes("IsNotEmpty([signed])");
    no("IsNotEmpty([notes])");
}

#[test]
fn a_property_without_a_value_equals_nothing_and_differs_from_everything() {
    no("Equals([notes], 'a')");
    yes("NotEqual([notes], 'a')");
    no("GreaterThan([notes], 1)");
}

#[test]
fn lists_match_when_any_of_their_values_does() {
    yes("Equals([regions], 'Europe')");
    no("Equals([regions], 'Mars')");
    yes("NotEqual([regions], 'Mars')");
    assert!(refused("LessThan([regions], 1)").contains("cannot be compared"));
}

#[test]
fn complex_values_support_emptiness_and_contains_only() {
    for text in ["Equals([address], 'x')", "Equals([term], 'P2Y')", "NotEqual([address], 'x')", "LessThan([term], 1)"] {
        assert!(refused(text).contains("supports only"), "{text}");
    }
}

#[test]
fn and_needs_all_or_needs_one_and_both_take_more_than_two() {
    yes("And(Equals([signed], true), IsEmpty([notes]), Contains([regions], 'Europe'))");
    no("And(Equals([signed], true), IsNotEmpty([notes]))");
    yes("Or(Equals([signed], false), IsEmpty([notes]))");
    assert!(refused("And(IsEmpty([notes]))").contains("two or more"));
}

#[test]
fn an_unknown_property_is_reported_even_where_the_rest_already_decides() {
    assert_eq!(refused("Or(Equals([signed], true), IsEmpty([colour]))"), "unknown property 'colour'");
    assert!(refused("And(Equals([signed], false), GreaterThan([counterpartyName], 1))").contains("cannot be compared"));
}

#[test]
fn bare_names_and_foreign_functions_are_unknown() {
    assert!(refused("Equals(name, 'x')").contains("unknown name 'name'"));
    assert_eq!(refused("Like([signed], true)"), "unknown function 'Like'");
    assert!(refused("Contains([notes], Upper('x'))").contains("unknown function 'Upper'"));
}

#[test]
fn malformed_text_says_where() {
    for (text, at) in [
        ("", 1),
        ("Equals([notes], 'a'", 20),
        ("Equals([notes], 'a)", 17),
        ("Equals([notes, 'a')", 8),
        ("Equals([notes] 'a')", 16),
        ("Equals([notes], 'a') x", 22),
        ("Equals([], 'a')", 8),
        ("IsEmpty([notes]) & IsEmpty([notes])", 18),
        ("Equals([notes], 1x)", 17),
        ("[notes]", 1),
        ("Equals('a', 'a')", 1),
        ("Equals([notes], IsEmpty([notes]))", 1),
        ("And(IsEmpty([notes]), 'a')", 1),
        ("Today(1)", 1),
    ] {
        match Formula::parse(text) {
            Err(FormulaError::Malformed { at: found, .. }) => assert_eq!(found, at, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn nesting_has_a_bottom() {
    let deep = |depth: usize| format!("{}IsEmpty([notes]){}", "(".repeat(depth), ")".repeat(depth));
    yes(&deep(20));
    assert!(refused(&deep(5000)).contains("deeper"));
}

#[test]
fn each_property_is_named_once() {
    let formula = Formula::parse("Or(Equals([a], 'x'), Equals([A], 'y'), LessThan([b], [c]))").unwrap();
    assert_eq!(formula.property_names(), ["a", "b", "c"]);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = ask(&text);
    }

    #[test]
    fn no_row_of_symbols_panics(symbols in prop::collection::vec(
        prop_oneof![Just("And("), Just("Equals("), Just("Date("), Just("RelativeDate("), Just("["), Just("]"), Just("notes"),
            Just("[signed]"), Just(")"), Just(","), Just("'a'"), Just("1e308"), Just("-9"), Just("'days'"), Just("(")], 0..24)) {
        let _ = ask(&symbols.concat());
    }

    #[test]
    fn any_text_without_quotes_can_be_asked_for(text in "[^'\"]{1,20}") {
        let formula = Formula::parse(&format!("Equals([x], '{text}')")).unwrap();
        let found = formula.matches(&mut |_| Property::Value(json!(text.clone())), date!(2026 - 03 - 17));
        prop_assume!(crate::simulator::calendar::Term::parse(&text).is_none());
        prop_assert_eq!(found, Ok(true));
    }
}
