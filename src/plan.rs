//! Seals what a dry run showed into a plan, and opens it when the call comes again.
//!
//! A plan says which tool, for which agent, until when, and holds a digest of the very request, so that nothing else can
//! be sent by it. Small arguments go along, and the call may then bring the plan alone; large ones (a launch with
//! documents) would cost a model more than it gains, so of them the plan holds a digest, and the call brings them again.
//! It is signed rather than encrypted: whoever holds it gave everything that is in it. Pure: time and chance come in.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    arguments::Args,
    error::ArgumentFault,
    keys::{Key, Ring, mac},
    request::{Content, Request},
};

/// The bytes of the tag that a plan carries: half a SHA-256 is past any guessing.
const TAG_BYTES: usize = 16;

/// The largest arguments that a plan carries, in bytes of JSON.
const CARRIED_BYTES: usize = 1000;

/// The longest text that is looked at as a plan.
const LONGEST: usize = 8000;

/// Arguments that say how this call is made, and not what it does.
const OF_THE_CALL: [&str; 3] = ["plan", "dry_run", "force_after_unknown"];

/// What a dry run allows, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id, which is used up by the call; people name an approval by it too.
    #[serde(rename = "i")]
    pub id: String,
    /// The published name of the tool.
    #[serde(rename = "t")]
    pub tool: String,
    /// A digest of the agent's name.
    #[serde(rename = "a")]
    agent: String,
    /// The last second in which it is good, since 1970.
    #[serde(rename = "e")]
    pub expires: i64,
    /// What the object was like; absent where there is none, or it could not be read.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of the request.
    #[serde(rename = "r")]
    pub request: String,
    /// The arguments.
    #[serde(rename = "g")]
    arguments: Carried,
}

/// The arguments of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Carried {
    Whole(Map<String, Value>),
    Digest(String),
}

/// What a plan is made of, beside its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Its id.
    pub id: &'a str,
    /// The published name of the tool.
    pub tool: &'a str,
    /// The agent's name.
    pub agent: &'a str,
    /// The last second in which it is good, since 1970.
    pub expires: i64,
    /// What the object is like.
    pub version: Option<&'a str>,
    /// The digest of the request.
    pub request: &'a str,
}

impl Plan {
    /// A plan for a call with these checked arguments.
    #[must_use]
    pub fn new(terms: Terms<'_>, args: &Args) -> Self {
        let arguments = lasting(args);
        let small = Value::Object(arguments.clone()).to_string().len() <= CARRIED_BYTES;
        let arguments = if small { Carried::Whole(arguments) } else { Carried::Digest(digest_of(&arguments.into())) };
        Self {
            id: terms.id.to_owned(),
            tool: terms.tool.to_owned(),
            agent: agent_digest(terms.agent),
            expires: terms.expires,
            version: terms.version.map(str::to_owned),
            request: terms.request.to_owned(),
            arguments,
        }
    }

    /// Whether the call may bring the plan alone.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        matches!(self.arguments, Carried::Whole(_))
    }

    /// Whether it was made for this agent.
    #[must_use]
    pub fn is_for(&self, agent: &str) -> bool {
        self.agent == agent_digest(agent)
    }

    /// The arguments of the call: those given, over those that the plan carries.
    ///
    /// # Errors
    /// The plan carries none, and none are given.
    pub fn fill(&self, given: Map<String, Value>) -> Result<Map<String, Value>, ArgumentFault> {
        match &self.arguments {
            Carried::Whole(held) => {
                let mut filled = held.clone();
                filled.extend(given);
                Ok(filled)
            }
            Carried::Digest(_) if given.keys().all(|name| OF_THE_CALL.contains(&name.as_str())) => {
                Err(ArgumentFault::new(
                    "plan",
                    "was made for arguments too large to go along in it",
                    "the plan with \
                     the same arguments beside it",
                ))
            }
            Carried::Digest(_) => Ok(given),
        }
    }

    /// The faults of arguments that are not those of the plan.
    #[must_use]
    pub fn differing(&self, args: &Args) -> Vec<ArgumentFault> {
        let given = lasting(args);
        let fault =
            |path: &str| ArgumentFault::new(path, "differs from the plan", "the value of the dry run, or nothing");
        match &self.arguments {
            Carried::Whole(held) => {
                let other = |name: &&String| held.get(*name) != given.get(*name);
                let names = held.keys().chain(given.keys().filter(|name| !held.contains_key(*name)));
                names.filter(other).map(|name| fault(name)).collect()
            }
            Carried::Digest(held) if *held == digest_of(&given.into()) => Vec::new(),
            Carried::Digest(_) => {
                let expected = "exactly the arguments of the dry run";
                vec![ArgumentFault::new("plan", "was made for other arguments", expected)]
            }
        }
    }
}

/// The arguments without those that only say how the call is made.
fn lasting(args: &Args) -> Map<String, Value> {
    let lasting = args.iter().filter(|(name, _)| !OF_THE_CALL.contains(name));
    lasting.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

fn agent_digest(agent: &str) -> String {
    short(&Sha256::digest(agent.as_bytes()), 8)
}

/// The first bytes of a digest, in hexadecimal digits.
pub(crate) fn short(bytes: &[u8], most: usize) -> String {
    bytes.iter().take(most).map(|byte| format!("{byte:02x}")).collect()
}

/// A digest of a value that is the same whatever the order of members.
#[must_use]
pub fn digest_of(value: &Value) -> String {
    let mut digest = Sha256::new();
    feed(value, &mut digest);
    short(&digest.finalize(), 16)
}

fn feed(value: &Value, digest: &mut Sha256) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            digest.update(b"{");
            for (name, value) in sorted {
                digest.update(Value::from(name.as_str()).to_string());
                digest.update(b":");
                feed(value, digest);
            }
            digest.update(b"}");
        }
        Value::Array(items) => {
            digest.update(b"[");
            for item in items {
                feed(item, digest);
                digest.update(b",");
            }
            digest.update(b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => digest.update(value.to_string()),
    }
}

/// A digest of what would be sent, and as whom; `files` are the digests of the documents on disk, in their order.
#[must_use]
pub fn request_digest(request: &Request, as_user: Option<&str>, files: &[String]) -> String {
    let in_memory = request.files.iter().filter_map(|upload| match &upload.content {
        Content::Bytes(bytes) => Some(short(&Sha256::digest(bytes), 16)),
        Content::File(_) => None,
    });
    let contents: Vec<String> = in_memory.chain(files.iter().cloned()).collect();
    digest_of(&json!({"request": request.to_json(), "as": as_user, "contents": contents}))
}

/// The keys under which plans are sealed.
#[derive(Debug, Clone)]
pub struct PlanKey(Ring);

impl PlanKey {
    /// The keys that follow from those of an account, apart from all others that follow from them.
    #[must_use]
    pub fn derive(secrets: &Ring) -> Self {
        Self(secrets.derived("ironclad-mcp plan 1"))
    }

    /// The plan as the caller keeps it.
    #[must_use]
    pub fn seal(&self, plan: &Plan) -> String {
        seal_bytes(self.0.first(), &serde_json::to_vec(plan).unwrap_or_default())
    }

    /// The plan in a text, or `None` where it was altered or is none of ours.
    #[must_use]
    pub fn open(&self, text: &str) -> Option<Plan> {
        if text.len() > LONGEST {
            return None;
        }
        serde_json::from_slice(&open_sealed(&self.0, text)?).ok()
    }
}

/// Bytes as text that only the holder of the key can make.
#[must_use]
pub fn seal_bytes(key: &Key, content: &[u8]) -> String {
    let tag = mac(key, content);
    let sealed: Vec<u8> = content.iter().chain(tag.iter().take(TAG_BYTES)).copied().collect();
    URL_SAFE_NO_PAD.encode(sealed)
}

/// The bytes in a text that one of the keys sealed, or `None` where it was altered.
#[must_use]
pub fn open_sealed(keys: &Ring, text: &str) -> Option<Vec<u8>> {
    keys.all().find_map(|key| open_bytes(key, text))
}

fn open_bytes(key: &Key, text: &str) -> Option<Vec<u8>> {
    let sealed = URL_SAFE_NO_PAD.decode(text.trim()).ok()?;
    let (content, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_BYTES)?)?;
    let mut expected = Hmac::<Sha256>::new_from_slice(key).ok()?;
    expected.update(content);
    expected.verify_truncated_left(tag).ok()?;
    Some(content.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn args(value: &Value) -> Args {
        let mut args = Args::default();
        for (name, value) in value.as_object().unwrap() {
            args.replace(name, value.clone());
        }
        args
    }

    fn plan(arguments: &Value) -> Plan {
        let version = Some("v");
        let terms =
            Terms { id: "k7q2m9xd", tool: "pause_workflow", agent: "bot", expires: 1000, version, request: "r" };
        Plan::new(terms, &args(arguments))
    }

    fn key() -> PlanKey {
        PlanKey::derive(&[7; 32].into())
    }

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_plan_comes_back_as_it_was_sealed_and_stays_short() {
        let plan = plan(&json!({"workflow_id": "5f0375c4cdc1927c5c4ed001", "comment": "no deal", "dry_run": true}));
        let sealed = key().seal(&plan);
        assert_eq!(key().open(&sealed).unwrap(), plan);
        assert!(sealed.len() < 400, "{}", sealed.len());
        assert!(plan.is_for("bot") && !plan.is_for("other") && plan.stands_alone());
    }

    #[test]
    fn another_key_opens_nothing() {
        let sealed = key().seal(&plan(&json!({})));
        assert_eq!(PlanKey::derive(&[8; 32].into()).open(&sealed), None);
        for text in ["", "x", "AAAA", &sealed[1..], &"A".repeat(100_000)] {
            assert_eq!(key().open(text), None, "{text:.20}");
        }
    }

    #[test]
    fn a_small_plan_stands_alone_and_what_is_given_beside_it_must_be_the_same() {
        let plan = plan(&json!({"workflow_id": "w", "comment": "c", "dry_run": true}));
        let filled = plan.fill(map(&json!({"comment": "c"}))).unwrap();
        assert_eq!(Value::from(filled), json!({"workflow_id": "w", "comment": "c"}));
        assert!(plan.differing(&args(&json!({"comment": "c", "workflow_id": "w", "plan": "p"}))).is_empty());
        let other = json!({"workflow_id": "w", "comment": "d", "add_users_to_workflow": true});
        let paths: Vec<String> = plan.differing(&args(&other)).into_iter().map(|fault| fault.path).collect();
        assert_eq!(paths, ["comment", "add_users_to_workflow"]);
    }

    #[test]
    fn a_large_plan_stays_short_and_wants_the_arguments_again() {
        let large = json!({"attributes": {"a": "x".repeat(5000), "b": [1, {"c": 2, "d": 3}]}, "template_id": "t"});
        let plan = plan(&large);
        assert!(!plan.stands_alone() && key().seal(&plan).len() < 400);
        assert!(plan.fill(map(&json!({"plan": "p"}))).is_err());
        let filled = plan.fill(map(&large)).unwrap();
        assert_eq!(Value::from(filled), large);
        let reordered = json!({"template_id": "t", "attributes": {"b": [1, {"d": 3, "c": 2}], "a": "x".repeat(5000)}});
        assert!(plan.differing(&args(&reordered)).is_empty());
        let mut other = large;
        other["attributes"]["b"][0] = 2.into();
        assert_eq!(plan.differing(&args(&other)).len(), 1);
    }

    #[test]
    fn the_digest_is_of_everything_that_is_sent() {
        let request = Request { body: Some(json!({"a": 1})), ..Request::look_up("/x") };
        let digest = request_digest(&request, Some("maya"), &[]);
        assert_eq!(digest, request_digest(&request, Some("maya"), &[]));
        let table = [
            request_digest(&request, None, &[]),
            request_digest(&request, Some("maya"), &["file".into()]),
            request_digest(&Request { body: Some(json!({"a": 2})), ..request.clone() }, Some("maya"), &[]),
            request_digest(&Request { query: vec![("q".into(), "1".into())], ..request.clone() }, Some("maya"), &[]),
            request_digest(&Request { path: "/y".into(), ..request.clone() }, Some("maya"), &[]),
        ];
        assert!(table.iter().all(|other| *other != digest));
    }

    proptest! {
        #[test]
        fn any_altered_plan_is_refused(at in 0usize..400, to in "[A-Za-z0-9_-]") {
            let sealed = key().seal(&plan(&json!({"workflow_id": "w", "comment": "c"})));
            let mut altered = sealed.clone();
            altered.replace_range(at % sealed.len()..=at % sealed.len(), &to);
            prop_assume!(altered != sealed);
            // The last character of base64 may hold bits that are no part of the bytes.
            prop_assume!(URL_SAFE_NO_PAD.decode(&altered).is_ok());
            prop_assert_eq!(key().open(&altered), None);
        }

        #[test]
        fn no_text_opens_by_chance(text in ".*") {
            prop_assert_eq!(key().open(&text), None);
        }
    }
}
