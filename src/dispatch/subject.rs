//! Reads the object that a write is about: to show it before anything is sent, and to notice when it changes.

use serde_json::{Map, Value, json};

use super::{Call, prepare::not_read};
use crate::{
    arguments::Args,
    error::CallError,
    ironclad::{
        Failure,
        json::{Json, Object},
    },
    manifest::{Entry, Subject},
    plan::digest_of,
    request::{Request, segment},
};

/// The object of a write, as it is now.
pub(super) struct Looked {
    kind: Subject,
    object: Map<String, Value>,
    /// What stands beside a workflow: the approval of the role, or how signing goes. Null where it could not be read.
    beside: Value,
    /// What could not be read.
    pub(super) missing: Option<String>,
}

/// Reads the object of an entry; `None` where it has none.
pub(super) async fn look(call: Call<'_>, entry: &Entry, args: &Args) -> Result<Option<Looked>, CallError> {
    let Some(kind) = entry.preview.as_ref().and_then(|preview| preview.subject) else { return Ok(None) };
    let id = entry.path_arguments().next().and_then(|name| args.text(name)).map(segment).unwrap_or_default();
    let path = format!("/{}s/{id}", kind.noun());
    let object =
        read(call, &path).await.map_err(|failure| not_read(entry, &failure, &format!("the {}", kind.noun())))?;
    let mut looked = Looked::new(kind, object);
    let (below, what) = match kind {
        Subject::Workflow | Subject::Record | Subject::Webhook => return Ok(Some(looked)),
        Subject::Approval => ("approvals", "how the approvals stand"),
        Subject::Signing => ("signatures", "how signing goes"),
    };
    match read(call, &format!("{path}/{below}")).await {
        Ok(found) if kind == Subject::Approval => looked.beside = approval(&found, args),
        Ok(found) => looked.beside = found.into(),
        Err(_) => looked.missing = Some(format!("{what} could not be read, so it is not shown")),
    }
    Ok(Some(looked))
}

async fn read(call: Call<'_>, path: &str) -> Result<Map<String, Value>, Failure> {
    let result = call.look_up(&Request::look_up(path), &mut Json::new(Object)).await;
    result.map(|(_, object)| object)
}

/// The status of the role's approval.
fn approval(found: &Map<String, Value>, args: &Args) -> Value {
    let groups = found.get("approvalGroups").and_then(Value::as_array).into_iter().flatten();
    let mut reviewers = groups.filter_map(|group| group.get("reviewers")?.as_array()).flatten();
    let role = args.get("role_id");
    let reviewer = reviewers.find(|reviewer| reviewer.get("role") == role);
    reviewer.and_then(|reviewer| reviewer.get("status")).cloned().unwrap_or_default()
}

impl Looked {
    /// An object that was read.
    pub(super) fn new(kind: Subject, object: Map<String, Value>) -> Self {
        Self { kind, object, beside: Value::Null, missing: None }
    }

    /// A digest of what people go by: nothing tells that `lastUpdated` moves with all of it.
    pub(super) fn version(&self) -> String {
        let part = |names: &[&str]| -> Value {
            names.iter().filter_map(|name| Some(((*name).to_owned(), self.object.get(*name)?.clone()))).collect()
        };
        let status = |signer: &Value| signer.pointer("/signatureStatus/status").cloned();
        let signers = self.signers().map(|signer| json!([signer.get("name"), signer.get("email"), status(signer)]));
        digest_of(&match self.kind {
            // How often deliveries fail is no change that anybody made.
            Subject::Webhook => part(&["targetURL", "events", "status"]),
            Subject::Record => part(&["lastUpdated", "name", "type", "contractStatus"]),
            Subject::Workflow => part(&["lastUpdated", "title", "step", "status"]),
            Subject::Approval => json!([part(&["lastUpdated", "title", "step", "status"]), self.beside]),
            Subject::Signing => {
                json!([part(&["lastUpdated", "title", "step", "status"]), signers.collect::<Vec<Value>>()])
            }
        })
    }

    /// When it last changed, as Ironclad says.
    pub(super) fn last_updated(&self) -> Option<&str> {
        self.text("lastUpdated")
    }

    /// What a member of it is, or stands beside it.
    pub(super) fn member(&self, name: &str) -> &Value {
        match (self.kind, name) {
            (Subject::Approval, "approval") => &self.beside,
            (_, name) => self.object.get(name).unwrap_or(&Value::Null),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.object.get(name).and_then(Value::as_str)
    }

    /// Its name and id: `workflow IC-12 "Mutual NDA with Acme"`.
    pub(super) fn called(&self) -> (Option<&str>, Option<&str>) {
        let id = self.text("ironcladId").or_else(|| self.text("id"));
        let name = match self.kind {
            Subject::Webhook => self.text("targetURL"),
            Subject::Record => self.text("name"),
            Subject::Workflow | Subject::Approval | Subject::Signing => self.text("title"),
        };
        (id, name)
    }

    /// The template's id of a workflow.
    pub(super) fn template(&self) -> Option<&str> {
        self.text("template")
    }

    /// Who signs, where the object tells how signing goes.
    fn signers(&self) -> impl Iterator<Item = &Value> {
        self.beside.get("signers").and_then(Value::as_array).into_iter().flatten()
    }

    /// Whether each signer is asked only after the one before.
    pub(super) fn signs_in_turn(&self) -> bool {
        self.beside.get("routing").is_some_and(|routing| routing == "sequential")
    }

    /// Who signs, name and address each.
    pub(super) fn who_signs(&self) -> Vec<String> {
        let person = |name: Option<&Value>, email: Option<&Value>| {
            let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().trim().to_owned();
            match (text(name), text(email)) {
                (name, email) if name.is_empty() => email,
                (name, email) if email.is_empty() => name,
                (name, email) => format!("{name} <{email}>"),
            }
        };
        let mut people: Vec<String> =
            self.signers().map(|signer| person(signer.get("name"), signer.get("email"))).collect();
        if people.is_empty() {
            let attribute = |name: &str| self.object.get("attributes").and_then(|all| all.get(name));
            people.push(person(attribute("counterpartySigner"), attribute("counterpartySignerEmail")));
            for role in self.roles().filter(|role| names_a_signer(role)) {
                let assignees = role.get("assignees").and_then(Value::as_array).into_iter().flatten();
                people.extend(assignees.map(|one| person(one.get("userName"), one.get("email"))));
            }
        }
        people.retain(|one| !one.is_empty());
        people
    }

    fn roles(&self) -> impl Iterator<Item = &Value> {
        self.object.get("roles").and_then(Value::as_array).into_iter().flatten()
    }

    fn owner(&self) -> Option<&str> {
        let owner = self.roles().find(|role| role.get("id").is_some_and(|id| id == "owner"))?;
        owner.pointer("/assignees/0/userName").or_else(|| owner.pointer("/assignees/0/email"))?.as_str()
    }

    /// What a person decides by, as label and text; the texts are Ironclad's own, and not yet made safe to show.
    pub(super) fn facts(&self, template: Option<&str>) -> Vec<(&'static str, String)> {
        let named = |(id, name): (Option<&str>, Option<&str>)| match (id, name) {
            (Some(id), Some(name)) => format!("{name} ({id})"),
            (id, name) => id.or(name).unwrap_or_default().to_owned(),
        };
        let text = |name: &str| self.text(name).unwrap_or_default().to_owned();
        let held = |holder: &str, name: &str| {
            let value = self.object.get(holder).and_then(|all| all.get(name));
            let value = value.map(|value| value.get("value").unwrap_or(value));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut facts = match self.kind {
            Subject::Workflow | Subject::Approval | Subject::Signing => vec![
                ("Workflow", named(self.called())),
                ("Counterparty", held("attributes", "counterpartyName")),
                ("Template", template.or(self.template()).unwrap_or_default().to_owned()),
                ("Step", [text("step"), text("status")].join(", ")),
                ("Owner", self.owner().unwrap_or_default().to_owned()),
                ("Signers", self.who_signs().join("; ")),
            ],
            Subject::Record => vec![
                ("Record", named(self.called())),
                ("Counterparty", held("properties", "counterpartyName")),
                ("Type", text("type")),
                ("Status", held("contractStatus", "status")),
            ],
            Subject::Webhook => {
                let events = self.object.get("events").and_then(Value::as_array).into_iter().flatten();
                let events: Vec<&str> = events.filter_map(Value::as_str).collect();
                vec![("Webhook", text("targetURL")), ("Events", events.join(", ")), ("Status", text("status"))]
            }
        };
        facts.retain(|(_, text)| !text.trim_matches([',', ' ']).is_empty());
        facts
    }
}

/// Roles have names that people gave them; the vendor's own say "Signer".
fn names_a_signer(role: &Value) -> bool {
    role.get("displayName").and_then(Value::as_str).is_some_and(|name| name.to_lowercase().contains("signer"))
}
