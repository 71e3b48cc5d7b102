//! The fixtures that ask the client for something: by requests of the server up to 2025-11-25, by results since 2026-07-28.

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, CreateMessageRequest, CreateMessageRequestParams,
        ElicitRequest, ElicitRequestParams, InputRequest, InputRequests, InputRequiredResult, ListRootsRequest,
        SamplingMessage, SealOptions,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

use crate::{handler::Own, tools::said};

pub(crate) fn asked(requests: impl IntoIterator<Item = (&'static str, InputRequest)>) -> InputRequests {
    requests.into_iter().map(|(name, request)| (name.to_owned(), request)).collect()
}

fn form(message: &str, schema: Value) -> Result<ElicitRequestParams, ErrorData> {
    let requested_schema = serde_json::from_value(schema).map_err(internal)?;
    Ok(ElicitRequestParams::FormElicitationParams { meta: None, message: message.into(), requested_schema })
}

/// A form with one field.
pub(crate) fn name_form(message: &str, field: &str, kind: &str) -> Result<InputRequest, ErrorData> {
    let schema = json!({"type": "object", "properties": {field: {"type": kind}}, "required": [field]});
    Ok(InputRequest::Elicitation(ElicitRequest::new(form(message, schema)?)))
}

fn sample(prompt: &str) -> InputRequest {
    let messages = vec![SamplingMessage::user_text(prompt)];
    InputRequest::CreateMessage(CreateMessageRequest::new(CreateMessageRequestParams::new(messages, 100)))
}

pub(crate) fn internal(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

/// An answer counts only if it is an object; anything else is asked for again.
fn answer<'a>(request: &'a CallToolRequestParams, name: &str) -> Option<&'a Value> {
    request.input_responses.as_ref()?.get(name).filter(|answer| answer.is_object())
}

/// A call that may end with questions.
struct Rounds<'a> {
    own: &'a Own,
    request: &'a CallToolRequestParams,
}

impl Rounds<'_> {
    fn bound_to(&self) -> String {
        format!("tools/call:{}", self.request.name)
    }

    fn seal(&self, state: &Value) -> String {
        let bound_to = self.bound_to();
        let options = SealOptions::new().associated_data(bound_to.as_bytes()).ttl(Duration::from_secs(300));
        self.own.states.seal_with(state.to_string().as_bytes(), &options)
    }

    /// The state that the client brought back, if it brought one.
    fn state(&self) -> Result<Option<Value>, ErrorData> {
        let Some(state) = &self.request.request_state else { return Ok(None) };
        let opened = self.own.states.open_with(state, self.bound_to().as_bytes());
        let opened = opened.map_err(|error| ErrorData::invalid_params(format!("requestState: {error}"), None))?;
        serde_json::from_slice(&opened).map(Some).map_err(internal)
    }

    fn ask(
        &self,
        requests: impl IntoIterator<Item = (&'static str, InputRequest)>,
        state: Option<&Value>,
    ) -> CallToolResponse {
        InputRequiredResult::new(Some(asked(requests)), state.map(|state| self.seal(state))).into()
    }

    fn one(&self, name: &'static str, request: InputRequest) -> CallToolResponse {
        match answer(self.request, name) {
            Some(answer) => {
                let given = answer.pointer("/content/name").and_then(Value::as_str);
                said(given.map_or_else(|| answer.to_string(), |name| format!("Hello, {name}!")))
            }
            None => self.ask([(name, request)], None),
        }
    }

    fn with_state(&self) -> Result<CallToolResponse, ErrorData> {
        if self.state()?.is_some() && answer(self.request, "confirm").is_some() {
            return Ok(said("state-ok"));
        }
        Ok(self.ask([("confirm", name_form("Please confirm", "ok", "boolean")?)], Some(&json!({"round": 1}))))
    }

    fn several(&self) -> Result<CallToolResponse, ErrorData> {
        let all = ["user_name", "greeting", "client_roots"];
        if self.state()?.is_some() && all.iter().all(|name| answer(self.request, name).is_some()) {
            return Ok(said("all inputs received"));
        }
        let name = name_form("What is your name?", "name", "string")?;
        let roots = InputRequest::ListRoots(ListRootsRequest::default());
        let asked = [("user_name", name), ("greeting", sample("Generate a greeting")), ("client_roots", roots)];
        Ok(self.ask(asked, Some(&json!({"round": 1}))))
    }

    fn two_rounds(&self) -> Result<CallToolResponse, ErrorData> {
        let state = self.state()?;
        let round = state.as_ref().and_then(|state| state.get("round")).and_then(Value::as_u64);
        let has = |name: &str| answer(self.request, name).is_some();
        if round == Some(2) && has("step2") {
            return Ok(said("all rounds complete"));
        }
        if round == Some(2) || (round == Some(1) && has("step1")) {
            let form = name_form("Step 2: What is your favorite color?", "color", "string")?;
            return Ok(self.ask([("step2", form)], Some(&json!({"round": 2}))));
        }
        let form = name_form("Step 1: What is your name?", "name", "string")?;
        Ok(self.ask([("step1", form)], Some(&json!({"round": 1}))))
    }

    /// Asks for no more than the client says that it can do.
    fn what_it_can(&self, can: &ClientCapabilities) -> Result<CallToolResponse, ErrorData> {
        let mut wanted = Vec::new();
        if can.elicitation.is_some() {
            wanted.push(("user_name", name_form("What is your name?", "name", "string")?));
        }
        if can.sampling.is_some() {
            wanted.push(("greeting", sample("Generate a greeting")));
        }
        Ok(if wanted.is_empty() { said("nothing to ask") } else { self.ask(wanted, None) })
    }
}

/// The fixtures of 2026-07-28: the call ends with the question.
pub(crate) fn by_result(
    own: &Own,
    request: &CallToolRequestParams,
    cx: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let rounds = Rounds { own, request };
    match request.name.strip_prefix("test_input_required_result_").unwrap_or_default() {
        "elicitation" => Ok(rounds.one("user_name", name_form("What is your name?", "name", "string")?)),
        "sampling" => Ok(rounds.one("capital_question", sample("What is the capital of France?"))),
        "list_roots" => Ok(rounds.one("client_roots", InputRequest::ListRoots(ListRootsRequest::default()))),
        "request_state" | "tampered_state" => rounds.with_state(),
        "multiple_inputs" => rounds.several(),
        "multi_round" => rounds.two_rounds(),
        "capabilities" => rounds.what_it_can(&cx.client_capabilities().unwrap_or_default()),
        other => Err(internal(format!("no fixture {other}"))),
    }
}

/// A question after a first streamed message.
pub(crate) fn name_question(own: &Own, request: &CallToolRequestParams) -> Result<CallToolResponse, ErrorData> {
    Ok(Rounds { own, request }.ask([("name", name_form("Name?", "name", "string")?)], None))
}

/// The fixtures of 2025-11-25: the server asks, and the call waits.
pub(crate) async fn by_request(
    request: &CallToolRequestParams,
    cx: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let given = |name: &str| {
        let value = request.arguments.as_ref().and_then(|arguments| arguments.get(name));
        value.and_then(Value::as_str).unwrap_or("?").to_owned()
    };
    if request.name == "test_sampling" {
        let messages = vec![SamplingMessage::user_text(given("prompt"))];
        let answer = cx.peer.create_message(CreateMessageRequestParams::new(messages, 100)).await.map_err(internal)?;
        return Ok(said(format!("LLM response: {}", json!(answer.message))));
    }
    let (message, schema) = match request.name.as_ref() {
        "test_elicitation" => (given("message"), contact_schema()),
        "test_elicitation_sep1034_defaults" => ("Please review".into(), defaults_schema()),
        _ => ("Please choose".into(), choices_schema()),
    };
    let answer = cx.peer.create_elicitation(form(&message, schema)?).await.map_err(internal)?;
    let action = json!(answer.action);
    let content = answer.content.unwrap_or_default();
    Ok(said(format!("Elicitation completed: action={}, content={content}", action.as_str().unwrap_or("?"))))
}

fn contact_schema() -> Value {
    json!({"type": "object", "required": ["username", "email"], "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"}}})
}

fn defaults_schema() -> Value {
    json!({"type": "object", "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": true}}})
}

fn choices_schema() -> Value {
    let titled = |names: [&str; 3]| -> Vec<Value> {
        let numbered = (1..).zip(names);
        numbered.map(|(number, name)| json!({"const": format!("value{number}"), "title": name})).collect()
    };
    let (one, many) =
        (["First Option", "Second Option", "Third Option"], ["First Choice", "Second Choice", "Third Choice"]);
    let plain = ["option1", "option2", "option3"];
    json!({"type": "object", "properties": {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled(one)},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled(many)}}}})
}
