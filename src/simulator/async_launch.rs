//! Asynchronous launches: `POST /workflows/async` and the job's status.
//!
//! A job runs when the first request after its time comes in, so no task runs in the background. A failed launch is
//! HTTP 200 (ironclad-api.md §9.1).

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::errors::ApiError;
use super::exchange::{Call, Outcome, Reply};
use super::launch::{self, Request};
use super::store::{IdForm, Job, Store};
use super::workflow_view;

/// `POST /workflows/async`: accepts nearly anything, since checking is the job's part.
pub(crate) fn accept(store: &mut Store, call: &Call) -> Outcome {
    let use_defaults = call.query.flag("useDefaultValues")?;
    let payload = call.object()?.clone();
    if !payload.contains_key("template") {
        return Err(ApiError::missing("template", "template is required"));
    }
    let id = store.random.nanoid();
    let url = format!("{}/public/api/v1/workflows/async/{id}", call.origin);
    let due = Instant::now().checked_add(store.launch_time).unwrap_or_else(Instant::now);
    let body = json!({ "asyncJobId": id, "asyncJobStatusUrl": url });
    store.jobs.push(Job { id, payload, actor: call.actor.clone(), use_defaults, due, outcome: None });
    Ok(Reply::changed(body))
}

/// `GET /workflows/async/{asyncJobId}`.
pub(crate) fn status(store: &mut Store, call: &Call) -> Outcome {
    let found = store.jobs.iter().find(|job| job.id == call.segment(0));
    let Some(job) = found else { return Err(ApiError::not_found("asyncJobId", "job does not exist")) };
    let mut body = Map::new();
    let mut add = |name: &str, value: Value| body.insert(name.to_owned(), value);
    match &job.outcome {
        None => {
            add("status", json!("in_progress"));
            add("requestPayload", json!(job.payload));
        }
        Some(Err(error)) => {
            add("status", json!("failed"));
            add("requestPayload", json!(job.payload));
            add("error", error.body());
        }
        Some(Ok(id)) => {
            let workflow = store.workflow(id, IdForm::HexOnly)?;
            let origin = &call.origin;
            let api = format!("{origin}/public/api/v1/workflows/{id}");
            add("status", json!("success"));
            add("requestPayload", json!(job.payload));
            add("workflowUrls", json!({ "browserUrl": format!("{origin}/workflow/{id}"), "apiUrl": api }));
            add("workflow", workflow_view::full(store, workflow, origin, false));
        }
    }
    Ok(Reply::ok(Value::Object(body)))
}

impl Store {
    /// Runs every job whose time has come.
    pub(crate) fn run_due_jobs(&mut self) {
        let now = Instant::now();
        for at in 0..self.jobs.len() {
            let Some(job) = self.jobs.get(at).filter(|job| job.outcome.is_none() && job.due <= now).cloned() else {
                continue;
            };
            let request =
                Request { body: &job.payload, files: None, actor: &job.actor, use_defaults: job.use_defaults };
            let outcome = launch::start(self, &request);
            if let Some(job) = self.jobs.get_mut(at) {
                job.outcome = Some(outcome);
            }
        }
    }
}
