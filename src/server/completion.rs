//! Completes what a person types into a prompt's argument or a resource template's variable.

use rmcp::{
    ErrorData, RoleServer,
    model::{CompleteRequestParams, CompletionInfo, Reference},
    service::RequestContext,
};

use super::Server;
use crate::{
    catalog::Tool,
    choices::{Choice, Choices, Desk},
    manifest::Source,
    prompts, resource_uri,
};

/// Where the values of one argument come from.
enum Values {
    /// A look-up; and the argument that holds the workflow whose documents are wanted.
    LookedUp(Source, Option<String>),
    /// What the prompt proposes.
    Proposed(Vec<String>),
}

impl Server {
    /// What there is of a source, for the caller.
    pub(super) async fn choices(
        &self,
        source: Source,
        typed: (&str, Option<&str>),
        cx: &RequestContext<RoleServer>,
    ) -> Choices {
        let shared = &self.shared;
        let grants = |tool: &Tool| self.grants(tool, cx);
        let caller = || self.caller(cx);
        let desk = Desk { dispatch: &shared.dispatch, catalog: &shared.catalog, grants: &grants, caller: &caller };
        shared.lookups.choices(source, typed, &desk).await
    }

    /// The values that may complete what was typed.
    pub(super) async fn completion(
        &self,
        request: &CompleteRequestParams,
        cx: &RequestContext<RoleServer>,
    ) -> Result<CompletionInfo, ErrorData> {
        let typed = request.argument.value.as_str();
        let choices = match self.values(request, cx)? {
            Values::Proposed(values) => proposed(values).matching(typed),
            Values::LookedUp(source, within) => {
                let chosen = within.and_then(|name| request.context.as_ref()?.get_argument(&name));
                if source == Source::DocumentKey && chosen.is_none() {
                    Choices::default()
                } else {
                    self.choices(source, (typed, chosen.map(String::as_str)), cx).await
                }
            }
        };
        let total = u32::try_from(choices.items.len()).ok().filter(|_| !choices.more);
        let values = choices.items.into_iter().map(|choice| choice.value).collect();
        CompletionInfo::with_pagination(values, total, choices.more)
            .map_err(|error| ErrorData::internal_error(error, None))
    }

    fn values(&self, request: &CompleteRequestParams, cx: &RequestContext<RoleServer>) -> Result<Values, ErrorData> {
        let name = request.argument.name.as_str();
        let values = match &request.r#ref {
            Reference::Prompt(prompt) => self.of_prompt(&prompt.name, name, cx)?,
            Reference::Resource(resource) => self.of_resource(&resource.uri, name, cx)?,
            _ => None,
        };
        values.ok_or_else(|| ErrorData::invalid_params(format!("there is no argument {name} to complete"), None))
    }

    fn of_prompt(
        &self,
        prompt: &str,
        name: &str,
        cx: &RequestContext<RoleServer>,
    ) -> Result<Option<Values>, ErrorData> {
        let shared = &self.shared;
        let grants = |tool: &Tool| self.grants(tool, cx);
        let grants = prompts::Grants { catalog: &shared.catalog, grants: &grants };
        let Some(prompt) = shared.prompts.get(prompt, &grants) else {
            return Err(ErrorData::invalid_params(format!("unknown prompt: {prompt}"), None));
        };
        let argument = prompt.arguments.iter().find(|argument| argument.name == name);
        let workflow = prompt.arguments.iter().find(|argument| argument.complete == Some(Source::WorkflowId));
        Ok(argument.map(|argument| match argument.complete {
            Some(source) => Values::LookedUp(source, workflow.map(|argument| argument.name.clone())),
            None => Values::Proposed(argument.options.clone()),
        }))
    }

    fn of_resource(&self, uri: &str, name: &str, cx: &RequestContext<RoleServer>) -> Result<Option<Values>, ErrorData> {
        let resources = self.shared.catalog.all().filter(|tool| self.grants(tool, cx));
        let mut resources = resources.filter_map(|tool| tool.entry.resource.as_ref());
        let Some(resource) = resources.find(|resource| resource.uri == uri) else {
            return Err(ErrorData::invalid_params(format!("unknown resource template: {uri}"), None));
        };
        if !resource_uri::variables(uri).any(|variable| variable == name) {
            return Ok(None);
        }
        let mut sources = resource.complete.iter();
        let workflow = sources.find(|(_, source)| **source == Source::WorkflowId).map(|(name, _)| name.clone());
        Ok(Some(match resource.complete.get(name) {
            Some(source) => Values::LookedUp(*source, workflow),
            None => Values::Proposed(Vec::new()),
        }))
    }
}

fn proposed(values: Vec<String>) -> Choices {
    let items = values.into_iter().map(|value| Choice { label: value.clone(), value });
    Choices { items: items.collect(), more: false }
}
