//! The tools that the suite calls.

use std::{sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, JsonObject,
        LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, ResourceContents, Tool,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

use crate::{
    asking,
    handler::{Own, is_modern},
};

pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

const NAMES: [&str; 25] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_tool_with_logging",
    "test_tool_with_progress",
    "test_error_handling",
    "test_sampling",
    "test_elicitation",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_logging_tool",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
];

/// A tool whose schema uses what JSON Schema 2020-12 has; the suite compares it word by word.
const WITH_SCHEMA: &str = "json_schema_2020_12_tool";

/// A tool whose argument also stands in a header, for the check that both say the same.
const WITH_HEADER: &str = "test_custom_header";

pub(crate) fn all() -> impl Iterator<Item = Tool> {
    names().filter_map(get)
}

fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain([WITH_HEADER, WITH_SCHEMA])
}

pub(crate) fn get(name: &str) -> Option<Tool> {
    let name = names().find(|known| *known == name)?;
    let schema = match name {
        WITH_HEADER => {
            json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}})
        }
        WITH_SCHEMA => schema_2020_12(),
        _ => json!({"type": "object"}),
    };
    let schema: JsonObject = schema.as_object().cloned().unwrap_or_default();
    Some(Tool::new(name, "A fixture of the conformance suite.", Arc::new(schema)))
}

fn schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
        "properties": {
            "name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"}, "email": {"type": "string"}},
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false})
}

pub(crate) fn said(text: impl Into<String>) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(text.into())]).into()
}

fn contents(blocks: Vec<ContentBlock>) -> CallToolResponse {
    CallToolResult::success(blocks).into()
}

pub(crate) async fn call(
    own: &Own,
    request: &CallToolRequestParams,
    cx: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let name = request.name.as_ref();
    if name.starts_with("test_input_required_result_") {
        return asking::by_result(own, request, cx);
    }
    match name {
        "test_sampling"
        | "test_elicitation"
        | "test_elicitation_sep1034_defaults"
        | "test_elicitation_sep1330_enums" => asking::by_request(request, cx).await,
        "test_streaming_elicitation" => {
            progress(cx, 1.0).await;
            asking::name_question(own, request)
        }
        "test_missing_capability" => missing_capability(cx),
        "test_tool_with_logging" => {
            for message in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                log(cx, message).await;
                pause().await;
            }
            Ok(said("logged"))
        }
        "test_logging_tool" => {
            log(cx, "only when it is asked for").await;
            Ok(said("ok"))
        }
        "test_tool_with_progress" => {
            for done in [0.0, 50.0, 100.0] {
                progress(cx, done).await;
                pause().await;
            }
            Ok(said("done"))
        }
        "test_trigger_tool_change" => {
            own.tools_changed.send_modify(|version| *version += 1);
            Ok(said("changed"))
        }
        "test_trigger_prompt_change" => {
            own.prompts_changed.send_modify(|version| *version += 1);
            Ok(said("changed"))
        }
        _ => Ok(plain(name)),
    }
}

/// The fixtures that answer the same to everybody.
fn plain(name: &str) -> CallToolResponse {
    let image = || ContentBlock::image(PNG, "image/png");
    match name {
        "test_simple_text" => said("This is a simple text response for testing."),
        "test_image_content" => contents(vec![image()]),
        "test_audio_content" => contents(vec![ContentBlock::audio(WAV, "audio/wav")]),
        "test_embedded_resource" => contents(vec![ContentBlock::resource(ResourceContents::text(
            "This is an embedded resource content.",
            "test://embedded-resource",
        ))]),
        "test_multiple_content_types" => {
            let data = json!({"test": "data", "value": 123}).to_string();
            let data = ResourceContents::text(data, "test://mixed-content-resource").with_mime_type("application/json");
            contents(vec![ContentBlock::text("Multiple content types test:"), image(), ContentBlock::resource(data)])
        }
        "test_error_handling" => {
            CallToolResult::error(vec![ContentBlock::text("This tool intentionally returns an error for testing")])
                .into()
        }
        _ => said("ok"),
    }
}

fn missing_capability(cx: &RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
    if cx.client_capabilities().is_some_and(|can| can.sampling.is_some()) {
        return Ok(said("ok"));
    }
    let wanted = ClientCapabilities::builder().enable_sampling().build();
    Err(ErrorData::missing_required_client_capability(wanted))
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn progress(cx: &RequestContext<RoleServer>, done: f64) {
    if let Some(token) = cx.meta.get_progress_token() {
        let told = ProgressNotificationParam::new(token, done).with_total(100.0).with_message("working");
        let _ = cx.peer.notify_progress(told).await;
    }
}

/// A log message: since 2026-07-28 only where the request asks for a level.
async fn log(cx: &RequestContext<RoleServer>, message: &str) {
    if !is_modern(cx) || cx.meta.log_level().is_some() {
        let told = LoggingMessageNotificationParam::new(LoggingLevel::Info, Value::from(message));
        let _ = cx.peer.notify_logging_message(told).await;
    }
}
