//! Lists: any limit, any size cap, any page and any total bring each item once, in order.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::manifest::Paging;

pub(super) const PAGINGS: [(&str, Paging); 3] =
    [("numbered", Paging::Numbered), ("scim", Paging::Scim), ("whole", Paging::Whole)];

/// What Ironclad would answer to a page's query; `counts` says whether it tells the total.
fn reply(items: &[Value], page: Page, paging: Paging, counts: bool) -> Vec<u8> {
    let query = page.query(paging);
    let number = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.parse().unwrap());
    let part = |from: usize, size: usize| items.iter().skip(from).take(size).cloned().collect::<Vec<_>>();
    let mut body = match paging {
        Paging::Numbered => {
            let size: usize = number("pageSize").unwrap();
            assert!((1..=100).contains(&size), "Ironclad's largest page");
            json!({"page": 0, "list": part(number("page").unwrap() * size, size), "count": items.len()})
        }
        Paging::Scim => {
            let (from, size): (usize, usize) = (number("startIndex").unwrap(), number("count").unwrap());
            // SCIM may bring fewer than it was asked for.
            json!({"Resources": part(from - 1, size.min(300)), "totalResults": items.len()})
        }
        Paging::Whole => json!({ "list": items }),
    };
    if !counts {
        body.as_object_mut().unwrap().shift_remove("count");
        body.as_object_mut().unwrap().shift_remove("totalResults");
    }
    body.to_string().into_bytes()
}

/// The place that a cursor of these tests stands for; it is as long as a real one.
fn seal(spot: Spot) -> String {
    format!("{:020}.{:033x}", spot.offset, spot.mark)
}

fn open(cursor: &Value) -> Spot {
    let (offset, mark) = cursor.as_str().unwrap().split_once('.').unwrap();
    Spot { offset: offset.parse().unwrap(), mark: u64::from_str_radix(mark.trim_start_matches('0'), 16).unwrap_or(0) }
}

/// One call of a list, its pages brought by `server` as they are asked for.
pub(super) fn call(
    entry: &manifest::Entry,
    args: &Args,
    shape: &Shape<'_>,
    window: Window,
    server: &mut dyn FnMut(Page) -> Vec<u8>,
) -> Result<Answer, ShapeError> {
    let manifest::Answer::Page { paging, .. } = entry.answer else { panic!("no list") };
    let mut gathered = Gathered::new(paging, window, shape.max_bytes);
    let mut under_way = VecDeque::new();
    while gathered.wanted(0).is_some() {
        while let Some(page) = gathered.wanted(under_way.len()) {
            under_way.push_back((page, server(page)));
        }
        assert!(under_way.len() <= 2, "one page ahead");
        let (page, body) = under_way.pop_front().unwrap();
        let reader = PageReader::new(entry, args, shape, (page, window.limit));
        gathered.add(page, reader.read(&mut serde_json::Deserializer::from_slice(&body))?);
    }
    gathered.finish(seal)
}

/// A call of twenty items that gets one body.
pub(super) fn one(entry: &manifest::Entry, args: &Args, body: &[u8], shape: &Shape<'_>) -> Result<Answer, ShapeError> {
    call(entry, args, shape, Window::first(20), &mut |_| body.to_vec())
}

fn first_page(entry: &manifest::Entry, values: &Value, body: &Value, fields: &[&str]) -> Value {
    one(entry, &args(values), body.to_string().as_bytes(), &shape(60_000, fields)).unwrap().structured
}

#[test]
fn a_list_is_one_envelope_whichever_api_is_behind_it() {
    let items = [json!({"id": "a", "schema": 1}), json!({"id": "b"})];
    let expected = json!({"has_more": false, "total": 2, "items": [
        {"id": "a", "url": format!("{ORIGIN}/workflow/a")}, {"id": "b", "url": format!("{ORIGIN}/workflow/b")}]});
    let bodies = [
        ("numbered", json!({"page": 0, "pageSize": 20, "count": 2, "list": items})),
        ("scim", json!({"schemas": ["x"], "totalResults": 2, "Resources": items, "startIndex": 1})),
        ("whole", json!({ "list": items })),
    ];
    for (paging, body) in bodies {
        assert_eq!(first_page(&list(paging), &json!({}), &body, &[]), expected, "{paging}");
    }
}

#[test]
fn total_is_absent_where_ironclad_does_not_say() {
    let items: Vec<Value> = (0..20).map(|n| json!({"id": n.to_string()})).collect();
    let full = first_page(&list("numbered"), &json!({}), &json!({ "list": items }), &[]);
    assert_eq!((full.get("total"), &full["has_more"]), (None, &json!(true)));
    assert_eq!(open(&full["next_cursor"]).offset, 20);
    let short = first_page(&list("numbered"), &json!({}), &json!({"list": items[..19]}), &[]);
    assert_eq!((&short["has_more"], short.get("next_cursor")), (&json!(false), None));
}

#[test]
fn an_empty_list_ends_the_walk_even_where_the_total_promises_more() {
    let empty = json!({"items": [], "has_more": false, "total": 7});
    assert_eq!(first_page(&list("numbered"), &json!({}), &json!({"list": [], "count": 7}), &[]), empty);
    let none = json!({"items": [], "has_more": false, "total": 0});
    assert_eq!(first_page(&list("scim"), &json!({}), &json!({"totalResults": 0}), &[]), none);
}

#[test]
fn an_endpoint_that_knows_no_pages_does_not_bring_the_same_one_for_ever() {
    let items: Vec<Value> = (0..100).map(|n| json!({"id": n.to_string()})).collect();
    let body = json!({ "list": items }).to_string().into_bytes();
    for (limit, given) in [(100, 100), (1000, 100)] {
        let (mut from, mut calls, mut found) = (Spot::default(), 0, 0);
        loop {
            let window = Window { from, limit };
            let answer = call(&list("numbered"), &Args::default(), &shape(60_000, &[]), window, &mut |_| body.clone());
            let answer = answer.unwrap().structured;
            found += answer["items"].as_array().unwrap().len();
            calls += 1;
            assert!(calls <= 2, "{limit}");
            let Some(cursor) = answer.get("next_cursor") else { break };
            from = open(cursor);
        }
        assert_eq!(found, given, "{limit}");
    }
}

#[test]
fn pages_that_come_short_are_followed_to_the_end_and_cost_no_more_than_they_must() {
    // Every other item is hidden from the acting user, and still counted.
    let items: Vec<Value> = (0..500).map(|n| json!({"id": n.to_string()})).collect();
    let (mut from, mut found, mut asked) = (Spot::default(), Vec::new(), 0);
    loop {
        let mut server = |page: Page| {
            asked += 1;
            let all = &items[usize::try_from(page.start).unwrap()..][..100];
            json!({"list": all.iter().step_by(2).collect::<Vec<_>>(), "count": 500}).to_string().into_bytes()
        };
        let window = Window { from, limit: 100 };
        let answer = call(&list("numbered"), &Args::default(), &shape(60_000, &["id"]), window, &mut server).unwrap();
        found.extend(answer.structured["items"].as_array().unwrap().iter().map(|item| item["id"].to_string()));
        let Some(cursor) = answer.structured.get("next_cursor") else { break };
        from = open(cursor);
    }
    let expected: Vec<String> = items.iter().step_by(2).map(|item| item["id"].to_string()).collect();
    assert_eq!((found, asked), (expected, 5));
}

#[test]
fn items_are_projected_and_filtered_by_members_that_fields_leave_out() {
    let body = json!({"list": [{"id": "1", "name": "Mutual NDA"}, {"id": "2", "name": "Order"}, {"id": "3"},
        {"id": "4", "name": "nda, one way"}]});
    let values = json!({"name_contains": "NDA"});
    let found = first_page(&list("whole"), &values, &body, &["id"]);
    assert_eq!(found, json!({"items": [{"id": "1"}, {"id": "4"}], "has_more": false, "total": 2}));
}

#[test]
fn windows_ask_in_the_words_of_each_paging() {
    let asked = |offset, limit, paging| {
        let window = Window { from: Spot { offset, mark: 0 }, limit };
        let page = Gathered::new(paging, window, 60_000).wanted(0).unwrap();
        let query = page.query(paging).into_iter().map(|(name, value)| format!("{name}={value}"));
        (query.collect::<Vec<_>>().join("&"), page.skip)
    };
    let query = |text: &str, skip| (text.to_owned(), skip);
    assert_eq!(asked(0, 20, Paging::Numbered), query("page=0&pageSize=20", 0));
    assert_eq!(asked(40, 20, Paging::Numbered), query("page=2&pageSize=20", 0));
    assert_eq!(asked(47, 20, Paging::Numbered), query("page=2&pageSize=23", 1), "one page holds 47 to 66");
    assert_eq!(asked(37, 100, Paging::Numbered), query("page=0&pageSize=100", 37));
    assert_eq!(asked(230, 1000, Paging::Numbered), query("page=2&pageSize=100", 30));
    assert_eq!(asked(0, 25, Paging::Scim), query("startIndex=1&count=25", 0));
    assert_eq!(asked(47, 25, Paging::Scim), query("startIndex=48&count=25", 0));
    assert_eq!(asked(47, 25, Paging::Whole), query("", 47));
    assert_eq!(asked(5, 0, Paging::Numbered), query("page=5&pageSize=1", 0), "no panic");
    assert_eq!(asked(u64::MAX, 1, Paging::Scim), query(&format!("startIndex={}&count=1", u64::MAX), 0));
}

#[test]
fn a_list_past_the_limit_is_cut_at_an_item_and_goes_on_there() {
    let items: Vec<Value> = (0..10).map(|n| json!({"id": n.to_string(), "text": "x".repeat(400)})).collect();
    for (name, paging) in PAGINGS {
        let mut server = |page| reply(&items, page, paging, true);
        let cut = call(&list(name), &Args::default(), &shape(4_000, &[]), Window::first(10), &mut server).unwrap();
        let given = cut.structured["items"].as_array().unwrap().len();
        assert!((1..10).contains(&given), "{name}: {given}");
        assert_eq!(open(&cut.structured["next_cursor"]).offset, given as u64, "{name}");
        assert!(result_bytes(&cut) <= 4_000, "{name}");
        assert_eq!(cut.structured["items"][given - 1]["text"], "x".repeat(400), "{name}: items stay whole");
    }
}

#[test]
fn an_item_that_fits_no_page_is_refused_with_its_size() {
    let body = json!({"list": [{"id": "1", "text": "x".repeat(3_000)}], "count": 1}).to_string();
    let refused = |fields: &[&str]| one(&list("numbered"), &Args::default(), body.as_bytes(), &shape(2_000, fields));
    assert!(matches!(refused(&[]), Err(ShapeError::TooLarge { bytes }) if bytes > 6_000));
    assert!(refused(&["id"]).is_ok(), "fields bring it below the limit");
}

/// The pages that one call asks for, in order, with the number under way at each.
fn asked(items: &[Value], counts: bool, limit: u64, max_bytes: usize) -> Vec<u64> {
    let mut pages = Vec::new();
    let mut server = |page: Page| {
        pages.push(page.start / page.size);
        reply(items, page, Paging::Numbered, counts)
    };
    call(&list("numbered"), &Args::default(), &shape(max_bytes, &[]), Window::first(limit), &mut server).unwrap();
    pages
}

#[test]
fn no_page_is_asked_for_that_surely_is_not_needed() {
    let items = |count: usize, length: usize| -> Vec<Value> {
        (0..count).map(|n| json!({"id": n.to_string(), "text": "x".repeat(length)})).collect()
    };
    let whole: Vec<u64> = (0..10).collect();
    assert_eq!(asked(&items(1000, 10), true, 1000, 1 << 20), whole);
    assert_eq!(asked(&items(1234, 10), true, 1000, 1 << 20), whole, "the limit ends it");
    assert_eq!(asked(&items(230, 10), true, 1000, 1 << 20), [0, 1, 2], "the total ends it");
    assert_eq!(asked(&items(200, 10), true, 1000, 1 << 20), [0, 1], "the total ends it at a page's edge");
    assert_eq!(asked(&items(230, 10), false, 1000, 1 << 20), [0, 1, 2], "a short page ends it");
    assert_eq!(asked(&items(1000, 300), true, 1000, 60_000), [0], "the first page fills the result");
    assert_eq!(asked(&items(1000, 300), true, 1000, 120_000), [0, 1], "the second page fills the result");
    assert_eq!(asked(&items(1000, 300), true, 1000, 200_000), [0, 1, 2], "and the third");
}

#[test]
fn one_page_is_asked_for_ahead_where_the_total_is_known() {
    let items: Vec<Value> = (0..1000).map(|n| json!({"id": n.to_string()})).collect();
    let mut gathered = Gathered::new(Paging::Numbered, Window::first(1000), 1 << 20);
    assert_eq!(gathered.wanted(1), None, "nothing is known yet");
    let add = |gathered: &mut Gathered| {
        let page = gathered.wanted(0).unwrap();
        let reader = PageReader::new(&list("numbered"), &Args::default(), &shape(1 << 20, &[]), (page, 1000));
        let body = reply(&items, page, Paging::Numbered, true);
        gathered.add(page, reader.read(&mut serde_json::Deserializer::from_slice(&body)).unwrap());
    };
    for first in 1..9 {
        add(&mut gathered);
        assert_eq!(gathered.wanted(0).map(|page| page.start), Some(first * 100));
        assert_eq!(gathered.wanted(1).map(|page| page.start), Some(first * 100 + 100));
        assert_eq!(gathered.wanted(2), None);
        assert_eq!((gathered.given(), gathered.expected()), (first * 100, 1000));
    }
    add(&mut gathered);
    assert_eq!(gathered.wanted(0).map(|page| page.start), Some(900));
    assert_eq!(gathered.wanted(1), None, "the last page has none after it");
}

fn numbered_items(texts: &[String]) -> Vec<Value> {
    let item = |(id, text): (usize, &String)| json!({"id": id.to_string(), "n": id, "text": text});
    texts.iter().enumerate().map(item).collect()
}

/// Walks a whole list by its cursors, each call with the next limit and size cap, and gives the numbers in order;
/// `change` may do anything to the list before each page.
fn walk(
    (name, paging): (&str, Paging),
    mut items: Vec<Value>,
    counts: bool,
    steps: &[(u64, usize)],
    mut change: impl FnMut(&mut Vec<Value>),
) -> Vec<u64> {
    let entry = list(name);
    let (mut from, mut found) = (Spot::default(), Vec::new());
    for (limit, max_bytes) in steps.iter().copied().cycle().take(5_000) {
        let window = Window { from, limit };
        let mut server = |page| {
            change(&mut items);
            reply(&items, page, paging, counts)
        };
        let answer = call(&entry, &Args::default(), &shape(max_bytes, &[]), window, &mut server).unwrap();
        assert!(result_bytes(&answer) <= max_bytes, "{} > {max_bytes}", result_bytes(&answer));
        assert_eq!(serde_json::from_str::<Value>(&answer.text).unwrap(), answer.structured);
        let page = answer.structured["items"].as_array().unwrap();
        assert!(page.len() as u64 <= limit);
        found.extend(page.iter().map(|item| item["n"].as_u64().unwrap()));
        assert_eq!(answer.structured["has_more"], answer.structured.get("next_cursor").is_some());
        let Some(cursor) = answer.structured.get("next_cursor") else { return found };
        let next = open(cursor);
        assert!(next.offset > from.offset, "a walk goes on behind the place where it was");
        from = next;
    }
    panic!("the walk does not end: {found:?}")
}

/// A limit that a call may have, and a size cap.
fn steps() -> impl Strategy<Value = Vec<(u64, usize)>> {
    let limit = prop_oneof![1u64..=100, 1u64..=1000, Just(1000)];
    let cap = prop_oneof![2_000usize..20_000, 2_000usize..400_000];
    prop::collection::vec((limit, cap), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cursors_walk_a_list_exactly_once_whatever_the_limits_and_cuts(
        paging in 0usize..3, counts: bool, texts in prop::collection::vec(any_item(), 0..40), steps in steps(),
    ) {
        let found = walk(PAGINGS[paging], numbered_items(&texts), counts || paging == 2, &steps, |_| ());
        prop_assert_eq!(found, (0..texts.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn so_do_they_over_many_pages(paging in 0usize..3, counts: bool, total in 0usize..650, steps in steps()) {
        let texts = vec![String::new(); total];
        let steps: Vec<_> = steps.into_iter().map(|(limit, cap)| (limit.max(50), cap.max(40_000))).collect();
        let found = walk(PAGINGS[paging], numbered_items(&texts), counts || paging == 2, &steps, |_| ());
        prop_assert_eq!(found, (0..total as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_walk_ends_while_items_are_added_removed_and_moved_and_misses_none_that_stays_in_its_place(
        paging in 0usize..3, counts: bool, total in 0usize..400, steps in steps(),
        changes in prop::collection::vec((0usize..3, 0usize..500), 0..60),
    ) {
        // What stays in its place: the items before the first change of all.
        let first = changes.iter().map(|(_, at)| at % total.max(1)).min().unwrap_or(total).min(total);
        let mut changes = changes.into_iter();
        let mut fresh = 10_000;
        let found = walk(PAGINGS[paging], numbered_items(&vec![String::new(); total]), counts || paging == 2, &steps, |items| {
            let Some((what, at)) = changes.next() else { return };
            let at = at % total.max(1);
            match what {
                0 if at <= items.len() => {
                    fresh += 1;
                    items.insert(at, json!({"id": fresh.to_string(), "n": fresh, "text": ""}));
                }
                1 if at < items.len() => drop(items.remove(at)),
                _ if at < items.len() => items[at..].reverse(),
                _ => {}
            }
        });
        prop_assert_eq!(&found[..first.min(found.len())], &(0..first as u64).collect::<Vec<_>>()[..]);
        // What was given twice had moved: an item that no change came before is given once.
        let once: BTreeSet<u64> = found.iter().copied().filter(|n| (*n as usize) < first).collect();
        prop_assert_eq!(once.len(), first.min(found.len()));
    }
}
