//! Launches by the asynchronous route, and tells how such a launch stands.
//!
//! A launch that failed is HTTP 200 with an error inside (ironclad-api.md §9.1). Here it becomes the failure that the
//! same launch would have met by the synchronous route, so that nobody takes it for an answer.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Call, Prepared, launch::Launch, receive::Shaped};
use crate::{
    answer::{self, Answer, Fields, Shape, ShapeError},
    audit::Record,
    error::{CallError, Code, Outcome},
    forms::says_no,
    ironclad::{Failure, Head},
    manifest::Entry,
    request::{self, Request},
};

/// How much longer each pause between two looks is: a job takes 2 to 4 s, and looks cost the company's read budget.
const STEP: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How a job stands.
enum Stand {
    /// Ironclad still works on it.
    Running,
    /// The workflow was launched.
    Done,
    /// It was not; the error, as a launch refused at once would have it.
    Failed(Vec<u8>),
}

fn read(job: Map<String, Value>) -> Result<Map<String, Value>, ShapeError> {
    if job.get("status").is_some_and(Value::is_string) { Ok(job) } else { Err(ShapeError::Malformed) }
}

fn stand(job: &Map<String, Value>) -> Stand {
    match job.get("status").and_then(Value::as_str) {
        Some("success") => Stand::Done,
        Some("failed") => Stand::Failed(job.get("error").unwrap_or(&Value::Null).to_string().into_bytes()),
        Some(_) | None => Stand::Running,
    }
}

/// The answer of a call that asks how a job stands.
pub(super) async fn status(
    call: Call<'_>,
    entry: &Entry,
    prepared: &Prepared,
    record: &mut Record,
) -> Result<Answer, CallError> {
    let none = Launch::default();
    let refused = |failure| none.refusal(call, entry, &failure);
    let (head, mut job) = call.exchange(&prepared.request, Shaped::new(read), record).await.map_err(refused)?;
    if let Stand::Failed(body) = stand(&job) {
        let template = job.get("requestPayload").and_then(|payload| payload.get("template")?.as_str());
        let launch = match template {
            Some(id) => Launch::of(call.template(id).await.ok()),
            None => Launch::default(),
        };
        return Err(failed(call, entry, &launch, (head, body)));
    }
    if let Some(Value::Object(workflow)) = job.get_mut("workflow") {
        workflow.remove("schema");
        if let Some(id) = workflow.get("id").and_then(Value::as_str) {
            let url = format!("{}/workflow/{id}", call.client.origin());
            workflow.insert("url".into(), url.into());
        }
    }
    let shape =
        Shape { origin: call.client.origin(), max_bytes: call.max_result_bytes, fields: Fields::of(&prepared.args) };
    shaped(&Value::Object(job), head, |body| answer::object(entry, body, &shape)).map_err(refused)
}

fn shaped(
    body: &Value,
    head: Head,
    mut shape: impl FnMut(&[u8]) -> Result<Answer, ShapeError>,
) -> Result<Answer, Failure> {
    shape(body.to_string().as_bytes()).map_err(|error| Failure::Unsound(head, (&error).into()))
}

/// The failure of a job, as a launch that was refused at once reads.
fn failed(call: Call<'_>, entry: &Entry, launch: &Launch, (head, body): (Head, Vec<u8>)) -> CallError {
    let mut error = launch.refusal(call, entry, &Failure::Refused { head, body });
    let said = format!("Ironclad refused {}", entry.name);
    error.message = error.message.replacen(&said, "Ironclad did not launch it", 1);
    if error.code == Code::NotFound {
        error.hint = Some("check template_id against list_workflow_schemas, and the ids among the attributes".into());
    }
    error
}

/// A launch that goes the asynchronous route and is waited for.
pub(super) struct Job<'a> {
    pub(super) call: Call<'a>,
    pub(super) entry: &'a Entry,
    pub(super) launch: &'a Launch,
}

impl Job<'_> {
    /// Starts the job, waits for it as long as one request may take, and answers with its workflow.
    pub(super) async fn run(&self, request: &Request, record: &mut Record) -> Result<Answer, CallError> {
        let refused = |failure| self.launch.refusal(self.call, self.entry, &failure);
        let accepted = Shaped::new(|job| {
            job.get("asyncJobId").and_then(Value::as_str).map(str::to_owned).ok_or(ShapeError::Malformed)
        });
        let (_, id) = self.call.exchange(request, accepted, record).await.map_err(refused)?;
        record.found("async_job_id", &id);
        let waited = tokio::time::timeout(self.call.client.timeout(), self.wait(&id)).await;
        waited.unwrap_or_else(|_| Err(self.unknown(&id, "it was not done in time")))
    }

    async fn wait(&self, id: &str) -> Result<Answer, CallError> {
        let mut pause = STEP;
        let mut waited = Duration::ZERO;
        loop {
            self.tell(waited).await;
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause + STEP).min(LONGEST_PAUSE);
            let looked = self.call.look_up(&look(id), &mut Shaped::new(read)).await;
            let (head, job) = match looked {
                Ok(answered) => answered,
                Err(failure) if says_no(&failure) => return Err(self.unknown(id, "its status cannot be read")),
                // The job goes on whether or not this look came through.
                Err(_) => continue,
            };
            match stand(&job) {
                Stand::Running => {}
                Stand::Done => return self.done(&job, head),
                Stand::Failed(body) => return Err(failed(self.call, self.entry, self.launch, (head, body))),
            }
        }
    }

    async fn tell(&self, waited: Duration) {
        if let Some(progress) = self.call.caller.progress {
            progress.report(waited, "Ironclad is launching the workflow").await;
        }
    }

    fn done(&self, job: &Map<String, Value>, head: Head) -> Result<Answer, CallError> {
        let shape = Shape { origin: self.call.client.origin(), max_bytes: self.call.max_result_bytes, fields: None };
        let workflow = job.get("workflow").cloned().unwrap_or_else(|| by_url(job));
        shaped(&workflow, head, |body| answer::object(self.entry, body, &shape))
            .map_err(|failure| self.launch.refusal(self.call, self.entry, &failure))
    }

    fn unknown(&self, id: &str, why: &str) -> CallError {
        let name = &self.entry.name;
        let message = format!("{name} was sent once and accepted as job {id}, but {why}: it may yet take effect");
        let hint = format!(
            "call get_launch_status with async_job_id {id} (toolset async-launch), or look in list_workflows, and only if \
             it did not take effect call {name} again"
        );
        CallError::new(Code::OutcomeUnknown, message, hint).with_outcome(Outcome::Unknown)
    }
}

/// A finished job that brings no workflow still names it.
fn by_url(job: &Map<String, Value>) -> Value {
    let url = job.get("workflowUrls").and_then(|urls| urls.get("apiUrl")?.as_str()).unwrap_or_default();
    match url.rsplit('/').next().filter(|id| !id.is_empty()) {
        Some(id) => json!({ "id": id }),
        None => json!({}),
    }
}

/// The request that asks how a job stands.
fn look(id: &str) -> Request {
    Request::look_up(&format!("/workflows/async/{}", request::segment(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(value: &Value) -> Map<String, Value> {
        read(value.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_job_stands_as_its_status_says_and_an_unheard_one_still_runs() {
        assert!(matches!(stand(&job(&json!({"status": "in_progress"}))), Stand::Running));
        assert!(matches!(stand(&job(&json!({"status": "queued"}))), Stand::Running));
        assert!(matches!(stand(&job(&json!({"status": "success"}))), Stand::Done));
        let error = json!({"code": "NOT_FOUND", "message": "m"});
        let Stand::Failed(body) = stand(&job(&json!({"status": "failed", "error": error}))) else { panic!() };
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), error);
    }

    #[test]
    fn a_body_without_a_status_is_no_job() {
        for body in [json!({}), json!({"status": 5})] {
            assert!(read(body.as_object().unwrap().clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_workflow_is_named_by_its_url_where_the_job_leaves_it_out() {
        let url = "https://ironcladapp.com/public/api/v1/workflows/62e5";
        assert_eq!(by_url(&job(&json!({"status": "success", "workflowUrls": {"apiUrl": url}}))), json!({"id": "62e5"}));
        assert_eq!(by_url(&job(&json!({"status": "success"}))), json!({}));
    }
}
