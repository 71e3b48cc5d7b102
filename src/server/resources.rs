//! What entries read, as resources: templates, and reading one of their URIs.
//!
//! Reading a resource is a call of the tool that the template belongs to, so policy, the check of ids, the budget and the
//! audit log are the same. What fails is a protocol error whose `data` holds the URI and the tool's error object.

use std::sync::Arc;

use futures_util::future::join_all;
use rmcp::{
    ErrorData, RoleServer,
    model::{
        JsonObject, MetaObject, ReadResourceResult, Resource as LinkedResource, ResourceContents, ResourceTemplate,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

use super::{Server, in_words};
use crate::{
    answer::{Answer, Resource},
    catalog::Tool,
    choices::Choice,
    dispatch::Reached,
    error::{CallError, Code},
    manifest, resource_uri,
    visible::visible,
};

const JSON: &str = "application/json";

/// The largest document that is read as a resource: it travels in base64 within one message.
const DOCUMENT_BYTES: u64 = 20_000_000;

impl Server {
    /// The templates whose tools the caller is granted.
    pub(super) fn resource_templates(&self, cx: &RequestContext<RoleServer>) -> Vec<ResourceTemplate> {
        let granted = self.shared.catalog.all().filter(|tool| self.grants(tool, cx));
        granted.filter_map(|tool| self.template(tool)).collect()
    }

    fn template(&self, tool: &Tool) -> Option<ResourceTemplate> {
        let resource = tool.entry.resource.as_ref()?;
        let template = ResourceTemplate::new(resource.uri.as_str(), resource.name.as_str())
            .with_title(resource.title.as_str())
            .with_description(self.shared.catalog.words().of(&resource.description));
        let is_file = matches!(tool.entry.answer, manifest::Answer::Document {});
        Some(if is_file { template } else { template.with_mime_type(JSON) })
    }

    /// The resources that there are of templates that list them; whatever cannot be looked up is left out.
    pub(super) async fn resources(&self, cx: &RequestContext<RoleServer>) -> Vec<LinkedResource> {
        let granted = self.shared.catalog.all().filter(|tool| self.grants(tool, cx));
        let listed = granted.filter_map(|tool| tool.entry.resource.as_ref()).filter(|resource| resource.listed);
        let looked_up = listed.map(async |resource| {
            let Some(source) = resource.complete.values().next() else { return Vec::new() };
            let choices = self.choices(*source, ("", None), cx).await;
            choices.items.iter().map(|choice| link(resource, choice)).collect()
        });
        join_all(looked_up).await.concat()
    }

    /// Reads the resource of a URI.
    pub(super) async fn read(
        &self,
        uri: &str,
        cx: &RequestContext<RoleServer>,
    ) -> Result<ReadResourceResult, ErrorData> {
        let Some((tool, arguments)) = self.named_by(uri) else {
            let message = "no resource has this URI; resources/templates/list tells what the URIs look like";
            return Err(ErrorData::resource_not_found(message, Some(json!({ "uri": uri }))));
        };
        match self.call(&tool, arguments, (None, Some(DOCUMENT_BYTES)), cx).await? {
            Ok(Reached::Answer(answer)) => contents(uri, answer),
            // A read asks nobody.
            Ok(Reached::Question) => Err(ErrorData::internal_error("the question was lost", None)),
            Err(error) => Err(failure(uri, &in_words(error, self.shared.catalog.words()))),
        }
    }

    /// The tool that reads a URI, with its arguments.
    fn named_by(&self, uri: &str) -> Option<(Arc<Tool>, JsonObject)> {
        self.shared.catalog.all().find_map(|tool| {
            let values = resource_uri::matched(&tool.entry.resource.as_ref()?.uri, uri)?;
            let names = tool.entry.path_arguments().map(str::to_owned);
            Some((Arc::clone(tool), names.zip(values.into_iter().map(Value::from)).collect()))
        })
    }
}

fn link(resource: &manifest::Resource, choice: &Choice) -> LinkedResource {
    let uri = resource_uri::filled(&resource.uri, [choice.value.as_str()]);
    let name = if choice.label.is_empty() { &choice.value } else { &choice.label };
    LinkedResource::new(uri, format!("{} {}", resource.name, choice.value))
        .with_title(format!("{}: {}", resource.title, visible(name)))
        .with_mime_type(JSON)
}

fn contents(uri: &str, answer: Answer) -> Result<ReadResourceResult, ErrorData> {
    let contents = match answer.resource {
        None => ResourceContents::text(answer.text, uri).with_mime_type(JSON),
        Some(Resource::Blob { media_type, base64, .. }) => {
            ResourceContents::blob(base64, uri).with_mime_type(media_type)
        }
        Some(Resource::Link { .. }) => {
            let message =
                "the document cannot be read here; download_workflow_document can save it into --download-dir";
            let data = json!({ "uri": uri, "document": answer.structured });
            return Err(ErrorData::internal_error(message, Some(data)));
        }
    };
    let mut result = ReadResourceResult::new(vec![contents]);
    result.meta = (!answer.meta.is_empty()).then(|| MetaObject::from(answer.meta));
    Ok(result)
}

/// A failed read, as a protocol error: there is no other way for a resource to fail.
fn failure(uri: &str, error: &CallError) -> ErrorData {
    let data = json!({ "uri": uri, "error": error.to_json().get("error") });
    let message = error.message.clone();
    match error.code {
        Code::NotFound => ErrorData::resource_not_found(message, Some(data)),
        Code::InvalidArguments | Code::AccessDenied => ErrorData::invalid_params(message, Some(data)),
        Code::ConfirmationDeclined
        | Code::Unauthorized
        | Code::Forbidden
        | Code::Conflict
        | Code::Rejected
        | Code::RateLimited
        | Code::UpstreamUnavailable
        | Code::OutcomeUnknown
        | Code::ResponseTooLarge
        | Code::AuditUnavailable
        | Code::Cancelled => ErrorData::internal_error(message, Some(data)),
    }
}
