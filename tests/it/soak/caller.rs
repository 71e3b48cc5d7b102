//! Somebody who calls tools one after the other, changes their mind at times, and remembers what they were told.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ironclad_mcp::simulator::Simulator;
use rmcp::model::{CallToolRequest, CallToolResult, ClientRequest, ContentBlock, ResourceContents, ServerResult};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Luck, Peer};
use crate::support::{NDA, by_agent, call_of, nda, text};

/// One call in so many is given up by its caller.
const CHANGES_OF_MIND: usize = 12;

/// What is there from the beginning.
#[derive(Default)]
pub(crate) struct Estate {
    workflows: Vec<String>,
    records: Vec<String>,
    users: Vec<String>,
    /// Workflow, key, size and digest.
    documents: Vec<(String, String, usize, String)>,
}

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It worked.
    Ok,
    /// It failed, and its request was not sent.
    NotSent,
    /// Ironclad said no.
    Refused,
    /// Nobody can say.
    Unknown,
    /// A read failed.
    Failed,
    /// Nothing: the caller gave it up.
    Cancelled,
}

/// A call, and what its caller was told.
pub(crate) struct Done {
    pub(crate) number: usize,
    pub(crate) tool: &'static str,
    pub(crate) is_write: bool,
    /// What only this call's path holds, where its body holds nothing of its own.
    pub(crate) path: Option<String>,
    pub(crate) told: Told,
    pub(crate) code: String,
}

/// The name of a call, which stands in its request and is its agent in the audit log.
pub(crate) fn mark(number: usize) -> String {
    format!("soak-{number:06}")
}

pub(crate) struct Caller {
    luck: Luck,
    estate: Arc<Estate>,
    /// What this caller made, as far as it knows.
    workflows: Vec<String>,
    records: Vec<String>,
    webhooks: Vec<String>,
}

struct Plan {
    tool: &'static str,
    arguments: Value,
    is_write: bool,
    path: Option<String>,
}

impl Plan {
    fn read(tool: &'static str, arguments: Value) -> Self {
        Self { tool, arguments, is_write: false, path: None }
    }

    fn write(tool: &'static str, arguments: Value) -> Self {
        Self { tool, arguments, is_write: true, path: None }
    }
}

impl Estate {
    /// Looks around by plain HTTP, while all is well.
    pub(crate) async fn seen(http: &reqwest::Client, simulator: &Simulator) -> Arc<Self> {
        let credentials = simulator.credentials();
        let get = async |path: &str| {
            let request = http.get(format!("{}{path}", simulator.base_url())).bearer_auth(&credentials.access_token);
            let request = request.header("x-as-user-email", &credentials.as_user_email);
            request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap()
        };
        let list = async |path: &str, member: &str| -> Vec<Value> {
            let body: Value = serde_json::from_slice(&get(path).await).unwrap();
            body[member].as_array().unwrap().clone()
        };
        let ids = |all: &[Value]| all.iter().map(|one| text(&one["id"]).to_owned()).collect::<Vec<_>>();
        let workflows = list("/public/api/v1/workflows?pageSize=20", "list").await;
        let mut estate = Self {
            workflows: ids(&workflows),
            records: ids(&list("/public/api/v1/records?pageSize=20", "list").await),
            users: ids(&list("/scim/v2/Users?count=20", "Resources").await),
            documents: Vec::new(),
        };
        for workflow in &workflows {
            let keys =
                workflow["attributes"].as_object().unwrap().values().filter_map(|value| value[0]["key"].as_str());
            for key in keys {
                let id = text(&workflow["id"]);
                let bytes = get(&format!("/public/api/v1/workflows/{id}/document/{key}/download")).await;
                if bytes.len() < 1_000_000 && estate.documents.len() < 5 {
                    estate.documents.push((id.to_owned(), key.to_owned(), bytes.len(), hex(&bytes)));
                }
            }
        }
        assert!(!estate.documents.is_empty() && !estate.records.is_empty() && !estate.users.is_empty());
        Arc::new(estate)
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Caller {
    pub(crate) fn new(seed: u64, number: usize, estate: Arc<Estate>) -> Self {
        let luck = Luck::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        Self { luck, estate, workflows: Vec::new(), records: Vec::new(), webhooks: Vec::new() }
    }

    /// Makes the calls of these numbers, one after the other.
    pub(crate) async fn work(&mut self, client: &Peer, numbers: impl Iterator<Item = usize>) -> Vec<Done> {
        let mut done = Vec::new();
        for number in numbers {
            let plan = self.plan(number);
            let result = self.call(client, number, &plan).await;
            let (told, code) = result.as_ref().map_or((Told::Cancelled, String::new()), |result| told(&plan, result));
            if let (Told::Ok, Some(result)) = (told, &result) {
                self.learn(&plan, result);
            }
            let Plan { tool, is_write, path, .. } = plan;
            done.push(Done { number, tool, is_write, path, told, code });
        }
        done
    }

    /// The result of a call, unless the caller gave it up.
    async fn call(&mut self, client: &Peer, number: usize, plan: &Plan) -> Option<CallToolResult> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(call_of(plan.tool, &plan.arguments)));
        let mut handle = client.send_cancellable_request(request, by_agent(&mark(number))).await.unwrap();
        let patience = self.luck.below(60) as u64;
        let answer = if self.luck.below(CHANGES_OF_MIND) == 0 {
            tokio::select! {
                answer = &mut handle.rx => answer,
                () = tokio::time::sleep(Duration::from_millis(patience)) => {
                    handle.cancel(None).await.unwrap();
                    return None;
                }
            }
        } else {
            (&mut handle.rx).await
        };
        let answer = answer.unwrap().unwrap();
        let ServerResult::CallToolResult(result) = answer else { panic!("{}: {answer:?}", plan.tool) };
        Some(result)
    }

    fn plan(&mut self, number: usize) -> Plan {
        let estate = Arc::clone(&self.estate);
        let mark = mark(number);
        let luck = &mut self.luck;
        let mut any = |all: &[String]| luck.one_of(all).cloned().unwrap_or_default();
        let (workflow, record, user) = (any(&estate.workflows), any(&estate.records), any(&estate.users));
        let (own_workflow, own_record) = (any(&self.workflows), any(&self.records));
        match self.luck.below(100) {
            0..8 => Plan::read("get_workflow", json!({"workflow_id": workflow})),
            8..14 => Plan::read("list_workflows", json!({"limit": 1 + self.luck.below(20), "status": ["active"]})),
            14..24 => Plan::read("list_records", json!({"filter": format!("Contains([name], '{mark}')")})),
            24..30 => Plan::read("get_record", json!({"record_id": record})),
            30..34 => Plan::read("list_users", json!({"limit": 1 + self.luck.below(25)})),
            34..38 => Plan::read("get_user", json!({"user_id": user})),
            38..41 => Plan::read("get_workflow_schema", json!({"template_id": NDA})),
            41..45 => Plan::read("list_webhooks", json!({})),
            45..49 => Plan::read("list_workflow_approvals", json!({"workflow_id": workflow})),
            49..55 => {
                let (workflow, key, ..) = self.luck.one_of(&estate.documents).cloned().unwrap();
                Plan::read("download_workflow_document", json!({"workflow_id": workflow, "document_key": key}))
            }
            55..64 => Plan::write("launch_workflow", launch(&mark, false)),
            64..66 => Plan::write("launch_workflow", launch(&mark, true)),
            66..76 => Plan::write("create_record", json!({"type": "mutualNda", "name": mark, "properties": {}})),
            76..81 if !own_record.is_empty() => {
                Plan::write("update_record", json!({"record_id": own_record, "name": mark}))
            }
            81..85 if !own_workflow.is_empty() => {
                Plan::write("pause_workflow", json!({"workflow_id": own_workflow, "comment": mark}))
            }
            85..89 if !own_workflow.is_empty() => {
                Plan::write("resume_workflow", json!({"workflow_id": own_workflow, "comment": mark}))
            }
            89..92 if !own_workflow.is_empty() => {
                let update = json!({"action": "set", "path": "additionalNotes", "value": mark});
                Plan::write("update_workflow_attributes", json!({"workflow_id": own_workflow, "updates": [update]}))
            }
            92..93 if !own_workflow.is_empty() => {
                Plan::write("cancel_workflow", json!({"workflow_id": own_workflow, "comment": mark}))
            }
            93..97 if !self.webhooks.is_empty() => {
                let id = self.webhooks.swap_remove(self.luck.below(self.webhooks.len()));
                let path = Some(format!("/public/api/v1/webhooks/{id}"));
                Plan { path, ..Plan::write("delete_webhook", json!({"webhook_id": id})) }
            }
            _ => {
                let target = format!("https://hooks.example/{mark}");
                Plan::write("create_webhook", json!({"events": ["workflow_launched"], "target_url": target}))
            }
        }
    }

    /// What can be worked on from now on.
    fn learn(&mut self, plan: &Plan, result: &CallToolResult) {
        let answer = result.structured_content.as_ref().unwrap();
        let id = || answer["id"].as_str().map(str::to_owned);
        match plan.tool {
            "launch_workflow" => self.workflows.extend(id()),
            "create_record" => self.records.extend(id()),
            "create_webhook" => self.webhooks.extend(id()),
            "cancel_workflow" => self.workflows.retain(|own| *own != plan.arguments["workflow_id"]),
            _ => self.check(plan, result),
        }
    }

    /// An answer is whole, or it is none.
    fn check(&self, plan: &Plan, result: &CallToolResult) {
        let answer = result.structured_content.as_ref().unwrap();
        let arguments = &plan.arguments;
        match plan.tool {
            "get_workflow" => assert_eq!(answer["id"], arguments["workflow_id"]),
            "get_record" => assert_eq!(answer["id"], arguments["record_id"]),
            "get_user" => assert_eq!(answer["id"], arguments["user_id"]),
            "list_records" => assert_eq!(answer["items"], json!([]), "nothing is named like a read"),
            "list_users" => {
                assert_eq!(answer["total"], 25, "{answer}");
                assert_eq!(answer["items"].as_array().unwrap().len() as u64, arguments["limit"].as_u64().unwrap());
            }
            "list_workflows" | "list_webhooks" => assert!(answer["items"].is_array(), "{answer}"),
            "download_workflow_document" => {
                let blob = result.content.iter().find_map(|block| {
                    let ContentBlock::Resource(embedded) = block else { return None };
                    let ResourceContents::BlobResourceContents { blob, .. } = &embedded.resource else { return None };
                    Some(STANDARD.decode(blob).unwrap())
                });
                let blob = blob.expect("the document");
                let known = |(_, key, ..): &&(String, String, usize, String)| arguments["document_key"] == *key;
                let (_, _, size, digest) = self.estate.documents.iter().find(known).unwrap();
                // A document that ends early and in good order cannot be told from a short one: nothing says its length.
                assert!(blob.len() == *size / 2 || (blob.len(), hex(&blob)) == (*size, digest.clone()), "{arguments}");
            }
            _ => {}
        }
    }
}

/// An NDA that is launched at once, or by a job because Ironclad has to fetch its draft.
fn launch(mark: &str, by_job: bool) -> Value {
    let mut launch = nda();
    launch["attributes"]["counterpartyName"] = mark.into();
    if by_job {
        launch["attributes"]["draft"] = json!([{"url": format!("https://files.example/{mark}.docx")}]);
    }
    launch
}

fn told(plan: &Plan, result: &CallToolResult) -> (Told, String) {
    if result.is_error != Some(true) {
        return (Told::Ok, String::new());
    }
    let error = &result.structured_content.as_ref().unwrap()["error"];
    let code = text(&error["code"]).to_owned();
    let told = match error["outcome"].as_str() {
        _ if !plan.is_write => Told::Failed,
        Some("not_sent") => Told::NotSent,
        Some("refused") => Told::Refused,
        Some("unknown") => Told::Unknown,
        other => panic!("{}: a write without an outcome: {other:?} {error}", plan.tool),
    };
    (told, code)
}
