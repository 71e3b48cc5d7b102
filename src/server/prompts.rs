//! The prompts that a caller's tools allow, as MCP has them.

use rmcp::{
    ErrorData, RoleServer,
    model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role},
    service::RequestContext,
};
use serde_json::json;

use super::Server;
use crate::{catalog::Tool, error::CallError, prompts};

impl Server {
    /// The prompts whose tools the caller is granted.
    pub(super) fn prompts(&self, cx: &RequestContext<RoleServer>) -> Vec<Prompt> {
        let shared = &self.shared;
        let grants = |tool: &Tool| self.grants(tool, cx);
        let grants = prompts::Grants { catalog: &shared.catalog, grants: &grants };
        shared.prompts.granted(&grants).map(listed).collect()
    }

    /// The text of a prompt.
    pub(super) fn prompt(
        &self,
        name: &str,
        arguments: &JsonObject,
        cx: &RequestContext<RoleServer>,
    ) -> Result<GetPromptResult, ErrorData> {
        let shared = &self.shared;
        let grants = |tool: &Tool| self.grants(tool, cx);
        let grants = prompts::Grants { catalog: &shared.catalog, grants: &grants };
        let Some(prompt) = shared.prompts.get(name, &grants) else {
            return Err(ErrorData::invalid_params(format!("unknown prompt: {name}"), None));
        };
        let text = prompt.text(arguments, &grants).map_err(|faults| {
            let error = CallError::invalid_arguments(name, faults);
            ErrorData::invalid_params(
                error.message.clone(),
                Some(json!({ "errors": error.to_json().pointer("/error/errors") })),
            )
        })?;
        let message = PromptMessage::new_text(Role::User, text);
        Ok(GetPromptResult::new(vec![message]).with_description(prompt.description.as_str()))
    }
}

fn listed(prompt: &prompts::Prompt) -> Prompt {
    let arguments = prompt.arguments.iter().map(|argument| {
        PromptArgument::new(argument.name.as_str())
            .with_title(argument.title.as_str())
            .with_description(argument.description.as_str())
            .with_required(argument.required)
    });
    Prompt::new(prompt.name.as_str(), Some(prompt.description.as_str()), Some(arguments.collect()))
        .with_title(prompt.title.as_str())
}
