//! Asks the person behind the client, in either protocol era.
//!
//! Up to 2025-11-25 the server sends the question itself; since 2026-07-28 the call ends with the question, and comes
//! again with the answer and the sealed state, which is bound to the tool, its exact arguments and the client.

use std::{sync::Mutex, time::Duration};

use futures_util::future::BoxFuture;
use rmcp::{
    ErrorData, Peer, RoleServer,
    model::{
        CallToolRequestParams, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, InputRequest,
        InputRequests, InputRequiredResult, JsonObject, RequestStateCodec, SealOptions,
    },
    service::RequestContext,
};
use serde_json::json;

use super::is_modern;
use crate::dispatch::{Consent, Person};

/// How long a question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The name of the one question of a call.
const QUESTION: &str = "confirm";

/// The way to the person behind one call.
pub(super) struct Asker<'a> {
    states: &'a RequestStateCodec,
    /// What a sealed state is bound to.
    bound_to: String,
    era: Era,
}

enum Era {
    /// The server sends the question.
    Legacy(Peer<RoleServer>),
    /// The call is repeated with the answer.
    Modern { said: Option<Consent>, question: Mutex<Option<String>> },
}

impl<'a> Asker<'a> {
    /// The way to the person, if the client declared that it can ask one.
    ///
    /// # Errors
    /// The request brings a state that was altered, has expired, or belongs to another call.
    pub(super) fn new(
        states: &'a RequestStateCodec,
        request: &mut CallToolRequestParams,
        arguments: &JsonObject,
        cx: &RequestContext<RoleServer>,
    ) -> Result<Option<Self>, ErrorData> {
        if cx.client_capabilities().is_none_or(|capabilities| capabilities.elicitation.is_none()) {
            return Ok(None);
        }
        let bound_to = format!("tools/call {} {}", request.name, json!(arguments));
        if !is_modern(cx) {
            return Ok(Some(Self { states, bound_to, era: Era::Legacy(cx.peer.clone()) }));
        }
        let mut said = None;
        if let Some(state) = &request.request_state {
            states
                .open_with(state, bound_to.as_bytes())
                .map_err(|error| ErrorData::invalid_params(format!("requestState: {error}"), None))?;
            let answer = request.input_responses.as_ref().and_then(|answers| answers.get(QUESTION));
            said = answer.and_then(|answer| serde_json::from_value(answer.clone()).ok()).map(|answer| consent(&answer));
        }
        Ok(Some(Self { states, bound_to, era: Era::Modern { said, question: Mutex::new(None) } }))
    }

    /// The question that the call ends with, if one was asked.
    pub(super) fn into_question(self) -> Option<InputRequiredResult> {
        let Era::Modern { question, .. } = self.era else { return None };
        let question = question.into_inner().ok().flatten()?;
        let options = SealOptions::new().associated_data(self.bound_to.as_bytes()).ttl(PATIENCE);
        let state = self.states.seal_with(b"{}", &options);
        let mut asked = InputRequests::new();
        asked.insert(QUESTION.into(), InputRequest::Elicitation(ElicitRequest::new(form(&question)?)));
        Some(InputRequiredResult::new(Some(asked), Some(state)))
    }
}

impl Person for Asker<'_> {
    fn ask<'a>(&'a self, question: &'a str) -> BoxFuture<'a, Consent> {
        Box::pin(async move {
            match &self.era {
                Era::Legacy(peer) => {
                    let Some(form) = form(question) else { return Consent::Refused };
                    match tokio::time::timeout(PATIENCE, peer.create_elicitation(form)).await {
                        Ok(Ok(answer)) => consent(&answer),
                        Ok(Err(_)) | Err(_) => Consent::Refused,
                    }
                }
                Era::Modern { said: Some(said), .. } => *said,
                Era::Modern { said: None, question: asked } => {
                    if let Ok(mut asked) = asked.lock() {
                        *asked = Some(question.to_owned());
                    }
                    Consent::Postponed
                }
            }
        })
    }
}

fn consent(answer: &ElicitResult) -> Consent {
    if answer.action == ElicitationAction::Accept { Consent::Given } else { Consent::Refused }
}

/// A question that is answered by accepting or declining: there is nothing to fill in.
fn form(question: &str) -> Option<ElicitRequestParams> {
    let requested_schema = serde_json::from_value(json!({ "type": "object", "properties": {} })).ok()?;
    Some(ElicitRequestParams::FormElicitationParams { meta: None, message: question.to_owned(), requested_schema })
}
