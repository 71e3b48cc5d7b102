//! What the translated schema allows is launched, and what the simulator refuses is refused before it is sent.
//!
//! The simulator is the judge, over HTTP: its launch check shares no code with the translator.

use std::collections::BTreeSet;

use ironclad_mcp::{
    launch_form::{LaunchForm, faults_of_refusal},
    schema_profile::schema_faults,
    simulator::{Settings, Simulator},
};
use serde_json::{Map, Value, json};

use crate::forms::{self, Dice};

/// Where generated forms are launched.
struct Judge {
    simulator: Simulator,
    http: reqwest::Client,
    template: String,
}

/// Why the simulator refused a launch.
#[derive(Debug)]
struct Refusal {
    code: String,
    message: String,
    param: Option<String>,
    key_path: Option<String>,
}

impl Judge {
    async fn open() -> Self {
        let settings = Settings { strict: true, rate_limits: false, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        Self { simulator, http: reqwest::Client::new(), template: format!("{:024x}", 0xabc) }
    }

    async fn publish(&self, form: &Map<String, Value>, backstage: &Value) {
        let url = format!("{}/__simulator/templates", self.simulator.base_url());
        let template = json!({"id": self.template, "name": "Generated", "schema": form, "backstage": backstage});
        self.http.post(url).json(&template).send().await.unwrap().error_for_status().unwrap();
    }

    async fn launch(&self, template: &str, attributes: &Map<String, Value>, defaults: bool) -> Result<(), Refusal> {
        let url = format!("{}/public/api/v1/workflows?useDefaultValues={defaults}", self.simulator.base_url());
        let credentials = self.simulator.credentials();
        let creator = json!({"type": "email", "email": credentials.as_user_email});
        let body = json!({"template": template, "attributes": attributes, "creator": creator});
        let request = self.http.post(url).bearer_auth(credentials.access_token).json(&body);
        let reply = request.send().await.unwrap();
        if reply.status() == 200 {
            return Ok(());
        }
        assert_eq!(reply.status(), 400);
        let said: Value = reply.json().await.unwrap();
        let text = |pointer: &str| said.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Err(Refusal {
            code: text("/code").unwrap(),
            message: text("/message").unwrap(),
            param: text("/param"),
            key_path: text("/metadata/keyPath"),
        })
    }

    async fn judge(&self, case: &Case, attributes: &Map<String, Value>) -> Result<(), Refusal> {
        self.launch(&self.template, attributes, case.use_defaults).await
    }

    /// Fills in what only the simulator knows to be required, as a caller would after its refusal.
    async fn completed(&self, dice: &mut Dice, case: &Case) -> Map<String, Value> {
        let checked = case.form.check(&case.given, case.use_defaults, &BTreeSet::new());
        let mut sent = checked.unwrap_or_else(|faults| panic!("{:?}\n{:#?}", case.given, faults)).attributes;
        let Err(refused) = self.judge(case, &sent).await else { return sent };
        assert_eq!(refused.code, "MISSING_PARAM", "{refused:?} {sent:?} {:?}", case.vendor);
        let (param, key) = (refused.param.as_deref(), refused.key_path.as_deref());
        let refusal = faults_of_refusal(&refused.code, &refused.message, param, key, &case.form);
        assert_eq!(refusal.learned.len(), refusal.faults.len());
        assert!(!refusal.learned.is_empty(), "{refused:?} {sent:?}");
        for id in refusal.learned {
            assert_eq!(case.vendor[&id]["required"], "conditional");
            sent.insert(id.clone(), forms::value(dice, &case.vendor[&id]));
        }
        let checked = case.form.check(&sent, case.use_defaults, &BTreeSet::new()).unwrap();
        self.judge(case, &checked.attributes).await.unwrap();
        checked.attributes
    }
}

fn tool(attributes: &Map<String, Value>) -> Map<String, Value> {
    json!({"type": "object", "properties": {"attributes": attributes}}).as_object().unwrap().clone()
}

struct Case {
    vendor: Map<String, Value>,
    form: LaunchForm,
    use_defaults: bool,
    given: Map<String, Value>,
}

impl Case {
    async fn compose(dice: &mut Dice, count: usize, judge: &Judge) -> Self {
        let (vendor, backstage) = forms::form(dice, count);
        judge.publish(&vendor, &backstage).await;
        let form = LaunchForm::parse(&vendor);
        let use_defaults = dice.chance(50);
        let translation = form.attributes_schema(use_defaults, &BTreeSet::new());
        assert_eq!(schema_faults(&tool(&translation.schema)), Vec::<String>::new());
        let given = forms::row(dice, &translation.schema.into(), &vendor);
        Self { vendor, form, use_defaults, given }
    }
}

fn wrong_values() -> Vec<Value> {
    serde_json::from_str(include_str!("wrong_values.json")).unwrap()
}

/// Changes one thing: an attribute, a member or a cell is taken away or becomes something else.
fn mutate(dice: &mut Dice, sent: &Map<String, Value>) -> Map<String, Value> {
    let mut mutated = sent.clone();
    if dice.chance(10) {
        mutated.insert((*dice.pick(&["efectiveDate", "field", "Fee", ""])).into(), json!("x"));
        return mutated;
    }
    let keys: Vec<String> = mutated.keys().cloned().collect();
    let key = dice.pick(&keys).clone();
    if dice.chance(20) {
        mutated.remove(&key);
        return mutated;
    }
    let at = mutated.get_mut(&key).unwrap();
    change(dice, at);
    mutated
}

fn change(dice: &mut Dice, value: &mut Value) {
    if dice.chance(50) {
        if let Some(items) = value.as_array_mut().filter(|items| !items.is_empty()) {
            let at = dice.below(items.len());
            return change(dice, &mut items[at]);
        }
        if let Some(members) = value.as_object_mut().filter(|members| !members.is_empty()) {
            *members = mutate(dice, members);
            return;
        }
    }
    *value = dice.pick(&wrong_values()).clone();
}

/// What a form does not tell: hidden conditions, and whether what is referred to exists.
fn only_the_simulator_knows(refusal: &Refusal, vendor: &Map<String, Value>) -> bool {
    let ids = refusal.param.as_deref().and_then(|ids| serde_json::from_str::<Vec<String>>(ids).ok());
    let ids = ids.unwrap_or_default();
    let unmet = refusal.code == "MISSING_PARAM" && !ids.is_empty();
    let absent = ["no such", "invalid user", "already has a parent"];
    (unmet && ids.iter().all(|id| vendor[id]["required"] == "conditional"))
        || absent.iter().any(|words| refusal.message.contains(words))
}

#[tokio::test]
async fn whatever_the_translated_schema_allows_is_launched() {
    let judge = Judge::open().await;
    for seed in 0..150 {
        let dice = &mut Dice::new(seed);
        let count = dice.below(12);
        let case = Case::compose(dice, count, &judge).await;
        judge.completed(dice, &case).await;
    }
}

#[tokio::test]
async fn whatever_the_simulator_refuses_is_refused_or_mended_before_it_is_sent() {
    let judge = Judge::open().await;
    for seed in 1_000..1_060 {
        let dice = &mut Dice::new(seed);
        let count = dice.below(8);
        let case = Case::compose(dice, count, &judge).await;
        let sent = judge.completed(dice, &case).await;
        for _ in 0..15 {
            let mutated = mutate(dice, &sent);
            let Err(refused) = judge.judge(&case, &mutated).await else { continue };
            if only_the_simulator_knows(&refused, &case.vendor) {
                continue;
            }
            let Ok(checked) = case.form.check(&mutated, case.use_defaults, &BTreeSet::new()) else { continue };
            let after = judge.judge(&case, &checked.attributes).await;
            let hidden = after.as_ref().err().is_some_and(|refused| only_the_simulator_knows(refused, &case.vendor));
            let of = format!("{mutated:?}\nas {:?}\nof {:?}", checked.attributes, case.vendor);
            assert!(after.is_ok() || hidden, "seed {seed}: {after:?}\n{of}");
            assert!(!checked.notes.is_empty(), "seed {seed}: mended without a word: {of}");
        }
    }
}

#[tokio::test]
async fn the_example_of_any_form_is_launched() {
    let judge = Judge::open().await;
    for seed in 2_000..2_100 {
        let dice = &mut Dice::new(seed);
        let count = dice.below(12);
        let (vendor, backstage) = forms::form(dice, count);
        judge.publish(&vendor, &backstage).await;
        let form = LaunchForm::parse(&vendor);
        let example = form.example();
        assert!(form.check(&example, false, &BTreeSet::new()).is_ok(), "seed {seed}");
        if let Err(refused) = judge.launch(&judge.template, &example, false).await {
            // An example cannot know which records, entities and users an account has.
            let known = !["no such", "invalid user"].iter().any(|words| refused.message.contains(words));
            assert!(!known, "seed {seed}: {refused:?} {example:?}");
        }
    }
}
