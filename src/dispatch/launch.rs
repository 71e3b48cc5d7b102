//! Checks a launch against its template's form before anything is sent, and learns from what Ironclad refuses.

use std::{borrow::Cow, sync::Arc};

use serde_json::{Map, Value, json};

use super::{Call, failure, prepare::not_read};
use crate::{
    arguments::{self, Args},
    audit::Record,
    catalog::Tool,
    error::{ArgumentFault, CallError, Code, Outcome},
    forms::Template,
    ironclad::Failure,
    launch_form::{LaunchForm, faults_of_refusal},
    manifest::Entry,
    request::{Request, Upload},
};

/// A launch whose attributes keep to its template's form.
#[derive(Default)]
pub(super) struct Launch {
    /// `None` where the form could not be looked at.
    template: Option<Arc<Template>>,
    /// What was normalised, and what the caller should know.
    pub(super) notes: Vec<String>,
    /// The documents that go along.
    uploads: Vec<Upload>,
    /// Ironclad has to fetch documents, which is too slow for the synchronous route (ironclad-api.md §8.3).
    fetches: bool,
    /// The launch becomes a job that this server waits for.
    job: bool,
}

/// The arguments with the template that a typed launch tool stands for, for the audit log.
pub(super) fn named<'a>(tool: &Tool, arguments: &'a Map<String, Value>) -> Cow<'a, Map<String, Value>> {
    let Some(target) = &tool.launch else { return Cow::Borrowed(arguments) };
    let mut arguments = arguments.clone();
    arguments.insert("template_id".into(), target.template_id.as_str().into());
    Cow::Owned(arguments)
}

/// Fetches the form, and checks and normalises every attribute in place.
pub(super) async fn prepare(call: Call<'_>, tool: &Tool, args: &mut Args) -> Result<Launch, CallError> {
    if let Some(target) = &tool.launch {
        args.replace("template_id", target.template_id.as_str().into());
        if args.get("use_default_values").is_none() {
            args.replace("use_default_values", true.into());
        }
    }
    let id = args.text("template_id").unwrap_or_default().to_owned();
    if !arguments::is_segment(&id) {
        let fault = ArgumentFault::new("template_id", "cannot be an id", "a template's id from list_workflow_schemas");
        return Err(CallError::invalid_arguments(&tool.name, vec![fault]));
    }
    let template = match call.template(&id).await {
        Ok(template) => template,
        Err(Failure::Refused { head, .. }) if head.status == 403 => {
            return Ok(unchecked("the acting user may not read launch forms, so the attributes went unchecked"));
        }
        Err(failure) => return Err(no_form(&tool.entry, &failure)),
    };
    if !template.launchable {
        return Err(may_not_launch(tool, &template));
    }
    let Some(form) = &template.form else {
        return Ok(unchecked("Ironclad showed no launch form, so the attributes went unchecked"));
    };
    let given = args.get("attributes").and_then(Value::as_object).cloned().unwrap_or_default();
    let checked = form
        .check(&given, args.flag("use_default_values"), &call.learned(&id))
        .map_err(|faults| CallError::invalid_arguments(&tool.name, faults))?;
    let mut attributes = checked.attributes;
    let mut launch = Launch { notes: checked.notes, ..Launch::default() };
    let faults = launch.take_documents(form, &mut attributes, call, &tool.entry).await;
    if !faults.is_empty() {
        return Err(CallError::invalid_arguments(&tool.name, faults));
    }
    args.replace("attributes", attributes.into());
    Ok(Launch { template: Some(template), ..launch })
}

fn unchecked(why: &str) -> Launch {
    Launch { notes: vec![why.to_owned()], ..Launch::default() }
}

/// The form could not be fetched, so nothing was launched.
pub(super) fn no_form(entry: &Entry, failure: &Failure) -> CallError {
    let mut error = not_read(entry, failure, "the template's launch form");
    if error.code == Code::NotFound {
        error.message = format!("{} was not sent: there is no such template", entry.name);
        error.hint =
            Some("take template_id from list_workflow_schemas; it changes when a design is published again".into());
    }
    error
}

fn may_not_launch(tool: &Tool, template: &Template) -> CallError {
    let message = format!("{} was not sent: the acting user may not launch {:?}", tool.name, template.name);
    let hint =
        "ask an Ironclad administrator for the permission, or launch another template from list_workflow_schemas";
    CallError::new(Code::Forbidden, message, hint).with_outcome(Outcome::NotSent)
}

/// The attribute that names the other party, in every template that has one (ironclad-api.md §8.2).
const COUNTERPARTY: &str = "counterpartyName";

/// The end of the asynchronous route, which takes JSON alone (ironclad-api.md §9.1).
const ASYNC: &str = "/async";

impl Launch {
    /// A launch of this template, to explain its refusal by.
    pub(super) fn of(template: Option<Arc<Template>>) -> Self {
        Self { template, ..Self::default() }
    }

    /// Tells the audit log which contract it is, and with whom.
    pub(super) fn name(&self, args: &Args, record: &mut Record) {
        if let Some(template) = &self.template {
            record.named("template_id", &template.name);
        }
        let counterparty = args.get("attributes").and_then(|attributes| attributes.get(COUNTERPARTY)?.as_str());
        record.concerns(counterparty.unwrap_or_default());
    }

    /// The template's name, where the form could be looked at.
    pub(super) fn template_name(&self) -> Option<String> {
        self.template.as_ref().map(|template| template.name.clone()).filter(|name| !name.is_empty())
    }

    /// Puts the name of its part in the place of each document that goes along; faults are those of its file.
    async fn take_documents(
        &mut self,
        form: &LaunchForm,
        attributes: &mut Map<String, Value>,
        call: Call<'_>,
        entry: &Entry,
    ) -> Vec<ArgumentFault> {
        let takes_files = !entry.request.path.ends_with(ASYNC);
        let mut faults = Vec::new();
        for (at, document) in form.documents(attributes) {
            let part = format!("file{}", self.uploads.len());
            match call.upload_folders.read(document, &at, part).await {
                Ok(None) => self.fetches = true,
                Ok(Some(_)) if !takes_files => faults.push(ArgumentFault::new(
                    at,
                    "a launch job takes no files",
                    "a url that Ironclad can fetch, or launch_workflow instead",
                )),
                Ok(Some(upload)) => {
                    *document = json!({ "file": upload.part });
                    self.uploads.push(upload);
                }
                Err(fault) => faults.push(fault),
            }
        }
        faults
    }

    /// Files make the request multipart; documents to fetch make it a job, since fetching takes its time.
    pub(super) fn address(&mut self, request: &mut Request) {
        request.files = std::mem::take(&mut self.uploads);
        self.job = self.fetches && request.files.is_empty() && !request.path.ends_with(ASYNC);
        if self.job {
            request.path.push_str(ASYNC);
        }
    }

    /// Whether the launch becomes a job that this server waits for.
    pub(super) fn is_job(&self) -> bool {
        self.job
    }

    /// The failure of a launch; a 400 that names attributes becomes the faults that our own check would have named.
    pub(super) fn refusal(&self, call: Call<'_>, entry: &Entry, failure: &Failure) -> CallError {
        let mut error = failure::call_error(entry, failure);
        let (Failure::Refused { head, body }, Some(template)) = (failure, &self.template) else { return error };
        let Some(form) = template.form.as_ref().filter(|_| matches!(head.status, 200 | 400)) else { return error };
        let Ok(said) = serde_json::from_slice::<Value>(body) else { return error };
        let text = |pointer: &str| said.pointer(pointer).and_then(Value::as_str);
        let refusal = faults_of_refusal(
            text("/code").unwrap_or_default(),
            text("/message").unwrap_or_default(),
            text("/param"),
            text("/metadata/keyPath"),
            form,
        );
        if refusal.faults.is_empty() {
            return error;
        }
        call.forms.learn(call.caller.agent.user(), &template.id, &refusal);
        let named = CallError::invalid_arguments(&entry.name, refusal.faults);
        error.code = Code::InvalidArguments;
        error.message = format!("Ironclad did not launch it: {} of the attributes must change", named.errors.len());
        error.hint = named.hint;
        error.errors = named.errors;
        error
    }
}
