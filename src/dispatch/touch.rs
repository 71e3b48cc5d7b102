//! Holds a write to the templates and record types that its agent may touch.
//!
//! What a call touches is looked up where its arguments do not tell, and only for agents that have such a list. What
//! cannot be found out is refused: a limit that yields when Ironclad does not answer would be none.

use serde::Deserialize;

use super::{Call, launch::no_form, prepare::not_read, receive::Shaped};
use crate::{
    answer::ShapeError,
    arguments::Args,
    audit::Record,
    catalog::Tool,
    error::CallError,
    ironclad::Failure,
    policy::{self, Denial, KnownTemplate, Touch},
    request::{self, Request},
};

/// What of a workflow or record decides.
#[derive(Deserialize)]
struct Object {
    template: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Checks what a call would change.
pub(super) async fn check(call: Call<'_>, tool: &Tool, args: &Args, record: &mut Record) -> Result<(), CallError> {
    let Some(profile) = call.caller.agent.policy().agent.as_deref() else { return Ok(()) };
    let Some(touch) = policy::touch(&tool.entry) else { return Ok(()) };
    let limited = match touch {
        Touch::Launch | Touch::Workflow(_) | Touch::SomeWorkflow => profile.launch.is_some(),
        Touch::NewRecord | Touch::Record(_) | Touch::SomeRecord => profile.record_types.is_some(),
    };
    if !limited {
        return Ok(());
    }
    let judged = match touch {
        Touch::Launch => launch(call, tool, args).await?,
        Touch::Workflow(argument) => workflow(call, tool, args.text(argument).unwrap_or_default()).await?,
        Touch::SomeWorkflow => policy::template(KnownTemplate::default(), call.caller.agent.policy()),
        Touch::NewRecord => policy::record_type(args.text("type"), call.caller.agent.policy()),
        Touch::Record(argument) => changed_record(call, tool, (args, argument)).await?,
        Touch::SomeRecord => policy::record_type(None, call.caller.agent.policy()),
    };
    judged.map_err(|denial| call.denied(&tool.entry, &denial, record))
}

async fn launch(call: Call<'_>, tool: &Tool, args: &Args) -> Result<Result<(), Denial>, CallError> {
    let settings = call.caller.agent.policy();
    let target = tool.launch.as_ref().map(|target| target.template_id.as_str());
    let Some(id) = target.or_else(|| args.text("template_id")) else {
        return Ok(policy::template(KnownTemplate::default(), settings));
    };
    let by_id = policy::template(KnownTemplate { id: Some(id), name: None }, settings);
    // What is no id is the next check's to refuse.
    if by_id.is_ok() || !crate::arguments::is_segment(id) {
        return Ok(by_id);
    }
    match call.template(id).await {
        Ok(template) => Ok(policy::template(KnownTemplate { id: Some(id), name: Some(&template.name) }, settings)),
        Err(Failure::Refused { head, .. }) if head.status == 403 => Ok(by_id),
        Err(failure) => Err(no_form(&tool.entry, &failure)),
    }
}

async fn workflow(call: Call<'_>, tool: &Tool, id: &str) -> Result<Result<(), Denial>, CallError> {
    let settings = call.caller.agent.policy();
    let object = read(call, tool, ("workflows", id), "the workflow").await?;
    let id = object.template.as_deref();
    let by_id = policy::template(KnownTemplate { id, name: None }, settings);
    let (Err(_), Some(template_id)) = (&by_id, id) else { return Ok(by_id) };
    // A template of the past is not there any more, and so has no name.
    let Ok(template) = call.template(template_id).await else { return Ok(by_id) };
    Ok(policy::template(KnownTemplate { id, name: Some(&template.name) }, settings))
}

async fn changed_record(
    call: Call<'_>,
    tool: &Tool,
    (args, argument): (&Args, &str),
) -> Result<Result<(), Denial>, CallError> {
    let settings = call.caller.agent.policy();
    let becomes = args.text("type").map_or(Ok(()), |kind| policy::record_type(Some(kind), settings));
    if becomes.is_err() {
        return Ok(becomes);
    }
    let object = read(call, tool, ("records", args.text(argument).unwrap_or_default()), "the record").await?;
    Ok(policy::record_type(object.kind.as_deref(), settings))
}

async fn read(call: Call<'_>, tool: &Tool, (of, id): (&str, &str), what: &str) -> Result<Object, CallError> {
    let request = Request::look_up(&format!("/{of}/{}", request::segment(id)));
    let mut receiver =
        Shaped::new(|object| serde_json::from_value::<Object>(object.into()).map_err(|_| ShapeError::Malformed));
    let read = call.look_up(&request, &mut receiver).await;
    read.map(|(_, object)| object).map_err(|failure| not_read(&tool.entry, &failure, what))
}
