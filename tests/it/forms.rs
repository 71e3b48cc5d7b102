//! Composes launch forms over every attribute type, and values for what the translated schema asks.
//!
//! References name what the simulator's account holds, since it looks each of them up.

use serde_json::{Map, Value, json};

/// A stream of numbers that is the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

const SINGLE: [&str; 12] = [
    "string",
    "boolean",
    "number",
    "date",
    "email",
    "monetaryAmount",
    "duration",
    "address",
    "linkedRecord",
    "parentRecord",
    "childRecord",
    "entity_reference",
];

const COLUMNS: [&str; 8] = ["string", "boolean", "number", "date", "email", "monetaryAmount", "duration", "address"];

const REQUIRED: [&str; 3] = ["always", "never", "conditional"];

/// A form with `count` generated fields, and the hidden conditions of its conditional ones.
pub(crate) fn form(dice: &mut Dice, count: usize) -> (Map<String, Value>, Value) {
    let mut form = Map::new();
    let text = json!({"type": "string", "displayName": "Counterparty Name", "required": "always", "options": {"freeTextAllowed": true}});
    form.insert("counterpartyName".into(), text);
    form.insert("trigger".into(), json!({"type": "boolean", "displayName": "Is more needed?", "required": "always"}));
    let mut conditions = Map::new();
    for index in 0..count {
        let id = id(dice, index);
        let mut node = node(dice, &id);
        node["displayName"] = (*dice.pick(&["Fee", "Élan vital", "名前", "A  b\nc", "Is it?", ""])).into();
        node["required"] = (*dice.pick(&REQUIRED)).into();
        if node["required"] == "conditional" && dice.chance(50) {
            conditions.insert(id.clone(), json!({"when": "trigger", "equals": true}));
        }
        if dice.chance(30) && node["type"] != "document" && node["elementType"]["type"] != "document" {
            node["default"] = value(dice, &node);
        }
        form.insert(id, node);
    }
    let backstage = json!({"record_type": "x", "conditions": conditions, "approval_groups": [], "signers": [],
        "property_keys": {}, "formulas": {}, "triggers": {}, "paper": null, "launchers": "everyone"});
    (form, backstage)
}

fn id(dice: &mut Dice, index: usize) -> String {
    match dice.below(8) {
        0 => format!("odd id {index}"),
        1 => format!("feld-{index}-größe"),
        2 => format!("{index}{}", "x".repeat(200)),
        3 => format!("approver{:032x}", index),
        4 => format!("role{:032x}", index),
        5 => format!("名前{index}"),
        _ => format!("field{index}"),
    }
}

fn options(dice: &mut Dice) -> Value {
    let count = *dice.pick(&[1, 2, 5, 199, 200, 201, 500]);
    let values: Vec<String> = (0..count).map(|n| format!("Option {n}")).collect();
    json!({"values": values, "freeTextAllowed": dice.chance(40)})
}

fn node(dice: &mut Dice, id: &str) -> Value {
    if id.starts_with("approver") {
        return json!({"type": "string", "options": {"freeTextAllowed": true}});
    }
    match dice.below(18) {
        12 => json!({"type": "document"}),
        13 => json!({"type": "array", "elementType": {"type": "document"}}),
        14 => json!({"type": "array", "elementType": {"type": "string"}, "options": options(dice)}),
        15 => json!({"type": "array", "elementType": {"type": "object", "schema": columns(dice)}}),
        16 => json!({"type": "string", "options": options(dice)}),
        17 => json!({"type": "array", "elementType": {"type": "string"}, "options": {"freeTextAllowed": true}}),
        single => json!({"type": SINGLE[single]}),
    }
}

fn columns(dice: &mut Dice) -> Value {
    let mut columns = Map::new();
    for index in 0..=dice.below(5) {
        let mut node = json!({"type": dice.pick(&COLUMNS), "displayName": "Column"});
        node["required"] = (*dice.pick(&["always", "never"])).into();
        if node["type"] == "string" && dice.chance(30) {
            node["options"] = options(dice);
        }
        columns.insert(if dice.chance(20) { format!("column {index}") } else { format!("column{index}") }, node);
    }
    columns.into()
}

/// A value that the vendor takes for a form's node.
pub(crate) fn value(dice: &mut Dice, node: &Value) -> Value {
    let options = node["options"]["values"].as_array().filter(|values| !values.is_empty()).cloned();
    match node["type"].as_str().unwrap() {
        "array" if node["elementType"]["type"] == "string" => match options {
            Some(options) => json!([dice.pick(&options)]),
            None => json!(["one", "two"]),
        },
        "array" => (0..=dice.below(2)).map(|_| value(dice, &node["elementType"])).collect(),
        "object" => {
            let columns = node["schema"].as_object().unwrap();
            let mut chosen: Vec<_> = columns.iter().filter(|(_, c)| c["required"] == "always" || dice.chance(50)).collect();
            if chosen.is_empty() {
                chosen.extend(columns.iter().next());
            }
            chosen.into_iter().map(|(id, column)| (id.clone(), value(dice, column))).collect::<Map<_, _>>().into()
        }
        "string" => match options {
            Some(options) => dice.pick(&options).clone(),
            None => "maya.ortiz@simulator.example".into(),
        },
        "boolean" => dice.chance(50).into(),
        "number" => dice.pick(&[json!(0), json!(12.5), json!(-3)]).clone(),
        "date" => (*dice.pick(&["2026-01-31", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00.123-07:00"])).into(),
        "email" => (*dice.pick(&["a@b.example", "a.b+c@x-y.example"])).into(),
        "monetaryAmount" => json!({"currency": "EUR", "amount": dice.pick(&[0.5, 10.0, 25.37])}),
        "duration" => dice.pick(&[json!({"years": 1}), json!({"days": 0, "months": 18}), json!({"weeks": 2})]).clone(),
        "address" => dice
            .pick(&[
                json!({"lines": ["1 Rue X"], "locality": "Paris", "country": "France"}),
                json!({"lines": ["1 Main", "Floor 2"], "locality": "X", "region": "NY", "postcode": "10001", "country": "USA"}),
            ])
            .clone(),
        "document" => json!({"url": "https://files.example/x.docx"}),
        "entity_reference" => (*dice.pick(&["ENTITY-12", "7ef1fd0e-d154-4fcd-9f84-10633ef306ac"])).into(),
        _ => (*dice.pick(&["IC-51", "0630166a-1b89-41b6-a171-3a2a460ac44f"])).into(),
    }
}

/// A value for a node of the translated schema; the form's node tells what its text has to look like.
pub(crate) fn asked(dice: &mut Dice, schema: &Value, node: &Value) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return dice.pick(values).clone();
    }
    if schema["x-open"] == true {
        return value(dice, node).to_string().into();
    }
    match schema["type"].as_str().unwrap() {
        "array" => (0..=dice.below(2)).map(|_| list_item(dice, schema, node)).collect(),
        "object" if node["type"] == "object" => row(dice, schema, node["schema"].as_object().unwrap()).into(),
        "object" => member_by_member(dice, schema, node),
        _ => value(dice, node),
    }
}

fn list_item(dice: &mut Dice, schema: &Value, node: &Value) -> Value {
    let mut element = node["elementType"].clone();
    if element["type"] == "string" {
        element["options"] = node["options"].clone();
    }
    asked(dice, &schema["items"], &element)
}

/// Required properties, and half of the others, under their published names.
pub(crate) fn row(dice: &mut Dice, schema: &Value, nodes: &Map<String, Value>) -> Map<String, Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().unwrap();
    // Properties stand in the form's order, so a renamed one is found by its place.
    assert_eq!(properties.len(), nodes.len());
    let mut row = Map::new();
    for ((name, property), node) in properties.iter().zip(nodes.values()) {
        if required.contains(&name.as_str().into()) || dice.chance(50) {
            row.insert(name.clone(), asked(dice, property, node));
        }
    }
    if let (true, Some((name, property)), Some(node)) =
        (row.is_empty(), properties.iter().next(), nodes.values().next())
    {
        row.insert(name.clone(), asked(dice, property, node));
    }
    row
}

fn member_by_member(dice: &mut Dice, schema: &Value, node: &Value) -> Value {
    let mut value = value(dice, node);
    for (name, member) in value.as_object_mut().unwrap() {
        let wanted = schema["properties"][name]["type"].as_str().unwrap();
        if wanted == "string" && member.is_array() {
            let lines: Vec<&str> = member.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            *member = lines.join("\n").into();
        }
    }
    value
}
