//! Asks the person behind the client, in either protocol era.
//!
//! Up to 2025-11-25 the server sends the question itself; since 2026-07-28 the call ends with the question, and comes
//! again with the answer and the sealed state. The state is bound to the agent, the tool and its exact arguments, names
//! the request and the object that the person was shown, and counts once.

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
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{is_modern, place::Place};
use crate::{
    dispatch::{Consent, Person, Plans, Question},
    keys::{Key, Ring, derived},
    plan::short,
};

/// How long a question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The name of the one question of a call.
const QUESTION: &str = "confirm";

/// How the person behind a client is reached.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// Seals what the client brings back.
    pub(super) states: &'a RequestStateCodec,
    /// Remembers what was brought back.
    pub(super) plans: &'a Plans,
    /// Who calls.
    pub(super) agent: &'a str,
}

/// The way to the person behind one call.
pub(super) struct Asker<'a> {
    way: Way<'a>,
    /// What a sealed state is bound to.
    bound_to: String,
    era: Era,
}

enum Era {
    /// The server sends the question, and waits.
    Legacy(Peer<RoleServer>, Place),
    /// The call is repeated with the answer.
    Modern { said: Option<(Consent, State)>, asked: Mutex<Option<(String, State)>> },
}

/// What a client brings back with the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Used up by the answer.
    id: String,
    /// What the person was shown.
    binding: String,
}

/// Seals what a client brings back with the first key, and opens it with any.
pub(super) fn codec(keys: &Ring) -> RequestStateCodec {
    // A sealed state names its key, and may not tell anything of it.
    let name = |key| short(&derived(key, "ironclad-mcp key name 1"), 8);
    let named: Vec<(String, &Key)> = keys.all().map(|key| (name(key), key)).collect();
    let first: String = name(keys.first());
    RequestStateCodec::new_with_keyring(&first, named).unwrap_or_else(|error| {
        // It refuses short keys and equal names; a ring has neither.
        tracing::error!(%error, "only the first state key is used for answers that clients bring back");
        #[expect(deprecated, reason = "try_new checks that the key has 32 bytes, which its type says already")]
        RequestStateCodec::new(*keys.first())
    })
}

impl<'a> Asker<'a> {
    /// The way to the person, if the client declared that it can ask one.
    ///
    /// # Errors
    /// The request brings a state that was altered, has expired, or belongs to another call or agent.
    pub(super) fn new(
        way: Way<'a>,
        request: &mut CallToolRequestParams,
        arguments: &JsonObject,
        cx: &RequestContext<RoleServer>,
    ) -> Result<Option<Self>, ErrorData> {
        if cx.client_capabilities().is_none_or(|capabilities| capabilities.elicitation.is_none()) {
            return Ok(None);
        }
        let bound_to = json!(["tools/call", way.agent, request.name, arguments]).to_string();
        if !is_modern(cx) {
            let era = Era::Legacy(cx.peer.clone(), Place::taken(&cx.extensions));
            return Ok(Some(Self { way, bound_to, era }));
        }
        let mut said = None;
        if let Some(state) = &request.request_state {
            let wrong = |error: String| ErrorData::invalid_params(format!("requestState: {error}"), None);
            let opened = way.states.open_with(state, bound_to.as_bytes()).map_err(|error| wrong(error.to_string()))?;
            let state: State = serde_json::from_slice(&opened).map_err(|error| wrong(error.to_string()))?;
            let answer = request.input_responses.as_ref().and_then(|answers| answers.get(QUESTION));
            let answer = answer.and_then(|answer| serde_json::from_value(answer.clone()).ok());
            said = answer.map(|answer| (consent(&answer), state));
        }
        Ok(Some(Self { way, bound_to, era: Era::Modern { said, asked: Mutex::new(None) } }))
    }

    /// The question that the call ends with, if one was asked.
    pub(super) fn into_question(self) -> Option<InputRequiredResult> {
        let Era::Modern { asked, .. } = self.era else { return None };
        let (question, state) = asked.into_inner().ok().flatten()?;
        let options = SealOptions::new().associated_data(self.bound_to.as_bytes()).ttl(PATIENCE);
        let state = self.way.states.seal_with(&serde_json::to_vec(&state).ok()?, &options);
        let mut asked = InputRequests::new();
        asked.insert(QUESTION.into(), InputRequest::Elicitation(ElicitRequest::new(form(&question)?)));
        Some(InputRequiredResult::new(Some(asked), Some(state)))
    }

    /// What the client brought back counts once, and for what the person was shown only.
    async fn brought(&self, said: Consent, state: &State, binding: &str) -> Option<Consent> {
        let Plans { shared, .. } = self.way.plans;
        let until = self.way.plans.now().saturating_add(i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX));
        if let Ok(false) = shared.knows(&state.id).await {
            // Whether it was brought before is forgotten: the person is asked again.
            return None;
        }
        match shared.claim(&state.id, until).await {
            Ok(true) => (state.binding == binding).then_some(said),
            Ok(false) => Some(Consent::Spent),
            Err(error) => {
                let what = shared.trouble().what;
                tracing::warn!(%error, "{what}, so a person's answer does not count");
                Some(Consent::Refused)
            }
        }
    }
}

impl Person for Asker<'_> {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Consent> {
        Box::pin(async move {
            match &self.era {
                Era::Legacy(peer, place) => {
                    place.leave();
                    let Some(form) = form(question.text) else { return Consent::Refused };
                    match tokio::time::timeout(PATIENCE, peer.create_elicitation(form)).await {
                        Ok(Ok(answer)) => consent(&answer),
                        Ok(Err(_)) | Err(_) => Consent::Refused,
                    }
                }
                Era::Modern { said, asked } => {
                    if let Some((said, state)) = said
                        && let Some(consent) = self.brought(*said, state, question.binding).await
                    {
                        return consent;
                    }
                    let Ok(id) = self.way.plans.shared.new_id() else { return Consent::Refused };
                    if let Ok(mut asked) = asked.lock() {
                        let state = State { id, binding: question.binding.to_owned() };
                        *asked = Some((question.text.to_owned(), state));
                    }
                    Consent::Postponed
                }
            }
        })
    }

    fn is_waited_for(&self) -> bool {
        matches!(self.era, Era::Legacy(..))
    }
}

/// Only a plain yes counts: the form has nothing to fill in, so whatever a client fills in all the same must say yes as well.
fn consent(answer: &ElicitResult) -> Consent {
    let says_yes = match &answer.content {
        None | Some(Value::Null) => true,
        Some(Value::Object(members)) => members.values().all(|value| *value == Value::Bool(true)),
        Some(_) => false,
    };
    if says_yes && answer.action == ElicitationAction::Accept { Consent::Given } else { Consent::Refused }
}

/// A question that is answered by accepting or declining: there is nothing to fill in.
fn form(question: &str) -> Option<ElicitRequestParams> {
    let requested_schema = serde_json::from_value(json!({ "type": "object", "properties": {} })).ok()?;
    Some(ElicitRequestParams::FormElicitationParams { meta: None, message: question.to_owned(), requested_schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_fills_in_anything_but_a_yes_is_no_yes() {
        let consent_to = |answer: Value| consent(&serde_json::from_value(answer).unwrap());
        assert_eq!(consent_to(json!({"action": "accept"})), Consent::Given);
        for content in [json!({}), json!({"confirm": true})] {
            assert_eq!(consent_to(json!({"action": "accept", "content": content})), Consent::Given);
        }
        for content in [
            json!({"cancel_it": "not yet"}),
            json!({"sure": true, "now": false}),
            json!([]),
            json!("yes"),
            json!(false),
        ] {
            let answer = json!({"action": "accept", "content": content});
            assert_eq!(consent_to(answer.clone()), Consent::Refused, "{answer}");
        }
    }
}
