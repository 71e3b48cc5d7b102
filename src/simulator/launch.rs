//! Launching a workflow, from JSON or multipart bodies.
//!
//! The synchronous route answers 200, not 201 (ironclad-api.md §8.3). The asynchronous one runs the same `start`
//! later, so both refuse the same things.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::answers::{self, Given};
use super::approval_state::Approval;
use super::errors::ApiError;
use super::exchange::{Actor, Call, Outcome, Part, Payload, Reply};
use super::launch_check::{self, LaunchFault, LaunchOptions};
use super::random::Random;
use super::signing_state::{PacketState, SignerState, SignerStatus};
use super::store::Store;
use super::strict;
use super::templates::{Signer, Template};
use super::workflow_document::{Content, Document};
use super::workflow_state::{Status, Step, Workflow};
use super::workflow_view;

/// Members a launch body may have; no others are allowed in any mode (ironclad-api.md §8.3).
pub(crate) const MEMBERS: &[&str] =
    &["template", "attributes", "creator", "creator.type", "creator.email", "creator.id"];

impl From<LaunchFault> for ApiError {
    fn from(fault: LaunchFault) -> Self {
        let LaunchFault { code, message, param, key_path } = fault;
        Self { status: 400, code, message, param, key_path }
    }
}

/// What is to be launched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The body's object.
    pub(crate) body: &'a Map<String, Value>,
    /// Uploaded files by part name; none for a JSON body.
    pub(crate) files: Option<&'a [Part]>,
    /// Whom it acts as.
    pub(crate) actor: &'a Actor,
    /// `useDefaultValues`.
    pub(crate) use_defaults: bool,
}

/// `POST /workflows`.
pub(crate) fn launch(store: &mut Store, call: &Call) -> Outcome {
    let use_defaults = call.query.flag("useDefaultValues")?;
    let from_form = match &call.payload {
        Payload::Parts(parts) => Some((data_part(parts)?, parts)),
        Payload::Empty | Payload::Json(_) | Payload::Unreadable(_) => None,
    };
    let (body, files) = match &from_form {
        Some((data, parts)) => (data, Some(parts.as_slice())),
        None => (call.object()?, None),
    };
    if files.is_some() {
        // The dispatcher has checked JSON bodies; it does not look into parts.
        strict::check_body(&Payload::Json(Value::Object(body.clone())), MEMBERS)?;
    }
    let request = Request { body, files, actor: &call.actor, use_defaults };
    let id = start(store, &request)?;
    let workflow = store.workflow(&id, super::store::IdForm::HexOnly)?;
    Ok(Reply::changed(workflow_view::full(store, workflow, &call.origin, false)))
}

fn data_part(parts: &[Part]) -> Result<Map<String, Value>, ApiError> {
    let Some(part) = parts.iter().find(|part| part.name == "data") else {
        return Err(ApiError::missing("data", "missing required form-data part 'data'"));
    };
    match serde_json::from_slice(&part.bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) | Err(_) => Err(ApiError::invalid("data", "form-data part 'data' must be a JSON object")),
    }
}

/// Launches and gives the new workflow's id.
///
/// # Errors
/// Every refusal of §8.3; nothing has changed then.
pub(crate) fn start(store: &mut Store, request: &Request<'_>) -> Result<String, ApiError> {
    let template_id = match request.body.get("template") {
        None => return Err(ApiError::missing("template", "template is required")),
        Some(value) => value.as_str().ok_or_else(|| ApiError::invalid("template", "template must be a string"))?,
    };
    let attributes = match request.body.get("attributes") {
        None => return Err(ApiError::missing("attributes", "attributes is required")),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(ApiError::invalid("attributes", "attributes must be an object")),
    };
    let creator_id = creator(store, request)?;
    let Some(template) = store.template(template_id) else {
        return Err(ApiError::not_found("template", "template does not exist"));
    };
    let email = store.person(&creator_id).map(|person| person.email.clone()).unwrap_or_default();
    if !template.backstage.may_launch(&email) {
        return Err(ApiError::forbidden("access forbidden"));
    }
    let options = LaunchOptions { use_defaults: request.use_defaults };
    let completed = launch_check::check(&template.schema, &template.backstage, attributes, options)?;
    let given = answers::resolve(store, &template, &completed, request.files)?;
    let workflow = assemble(store, &template, given, &creator_id);
    let id = workflow.id.clone();
    store.workflows.push(workflow);
    store.emit("workflow_launched", &id);
    Ok(id)
}

/// With OAuth the acting user, whatever the body says; with a legacy token the `creator` the body must name.
fn creator(store: &Store, request: &Request<'_>) -> Result<String, ApiError> {
    if !request.actor.legacy {
        return Ok(request.actor.user_id.clone().unwrap_or_default());
    }
    let Some(creator) = request.body.get("creator") else {
        return Err(ApiError::missing("creator", "creator is required"));
    };
    let field = |name: &str| creator.get(name).and_then(Value::as_str);
    let person = field("email").or_else(|| field("id")).and_then(|named| store.person_named(named));
    person.map(|person| person.id.clone()).ok_or_else(|| ApiError::invalid("creator", "creator does not exist"))
}

fn assemble(store: &mut Store, template: &Arc<Template>, given: Given, creator_id: &str) -> Workflow {
    let id = store.random.hex(24);
    let number = store.take_number();
    let now = store.clock.now();
    let counterparty = given.attributes.get("counterpartyName").and_then(Value::as_str).unwrap_or("Counterparty");
    let mut workflow = Workflow {
        id,
        number,
        title: format!("{} with {counterparty}", template.name),
        template: Arc::clone(template),
        step: Step::Review,
        status: Status::Active,
        groups: groups(store, template, &given.attributes),
        signers: signers(store, template, &given.attributes),
        attributes: given.attributes,
        documents: Vec::new(),
        creator_id: creator_id.to_owned(),
        created: now,
        updated: now,
        requests: Vec::new(),
        packet: PacketState::NotSent,
        record_ids: Vec::new(),
        rolled_back: false,
    };
    let mut documents = given.documents;
    if !documents.iter().any(|document| document.attribute == "draft") {
        let filename = format!("{} - {} ({}).docx", workflow.title, template.name, workflow.suffix());
        documents.insert(0, Document::new("draft", filename, Content::Draft, &mut store.fresh()));
    }
    for document in &mut documents {
        document.author_id = document.author_id.take().map(|_| creator_id.to_owned());
    }
    workflow.documents = documents;
    workflow.open_requests(now);
    workflow
}

/// The approvals that these attributes ask for, none given yet.
pub(crate) fn groups(store: &Store, template: &Template, attributes: &Map<String, Value>) -> Vec<Vec<Approval>> {
    let approval = |approver: super::templates::Approver| {
        let chosen = attributes.get(&approver.role_id).and_then(Value::as_str);
        let person = store.person_named(chosen.unwrap_or(&approver.assignee_email));
        Approval {
            user_id: person.map(|person| person.id.clone()).unwrap_or_default(),
            role_id: approver.role_id,
            display_name: approver.display_name,
            approved: false,
        }
    };
    let triggered = template.backstage.triggered_groups(attributes);
    triggered.into_iter().map(|group| group.into_iter().map(approval).collect()).collect()
}

/// The signers with the names and addresses the attributes give.
pub(crate) fn signers(store: &Store, template: &Template, attributes: &Map<String, Value>) -> Vec<SignerState> {
    let text = |id: &Option<String>| {
        let value = id.as_ref().and_then(|id| attributes.get(id)).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let state = |(order, signer): (usize, &Signer)| {
        let person = signer.user_email.as_ref().and_then(|email| store.person_named(email));
        SignerState {
            role_id: format!("signer{}", Random::new(order as u64 ^ fold(&template.id)).hex(32)),
            role_name: signer.role_name.clone(),
            name: person.map_or_else(|| text(&signer.name_attribute), super::people::Person::display_name),
            email: person.map_or_else(|| text(&signer.email_attribute), |person| person.email.clone()),
            user_id: person.map(|person| person.id.clone()),
            status: SignerStatus::Pending,
        }
    };
    template.backstage.signers.iter().enumerate().map(state).collect()
}

fn fold(text: &str) -> u64 {
    text.bytes().fold(0, |sum, byte| sum.rotate_left(5) ^ u64::from(byte))
}
