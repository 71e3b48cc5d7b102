//! `ironclad-mcp call`: one tool call from a shell.
//!
//! It walks the same path as a client's call, the audit log included. Its result is printed indented on a pipe too: the
//! sizes are small, and every JSON reader takes it.

use std::{path::Path, process::ExitCode, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{
    CommandError, Ended, FAILED,
    agent::chosen,
    console::{complain, say},
    stop,
};
use crate::{
    agents::Agent,
    answer::{Answer, Resource},
    assembly::{self, Assembly},
    catalog::Tool,
    cli::CallArgs,
    config::Config,
    dispatch::{Caller, Reached},
    manifest,
};

/// The agent's name in the audit log.
pub(super) const AGENT: &str = "cli";

/// Calls the tool, and prints its result or its error.
pub(super) async fn run(args: CallArgs, mut config: Config) -> Ended {
    let arguments = arguments(&args.args)?;
    let simulator = if config.simulator { Some(assembly::simulate(&mut config).await?) } else { None };
    let has_credentials = !config.secrets.is_empty();
    let assembly = assembly::assemble(config)?;
    let agent = chosen(&assembly.roster.now(), args.agent.agent.as_deref(), AGENT)?;
    let Some(tool) = tool(&args.tool, &assembly, &agent, has_credentials).await else {
        return Err(CommandError::Usage(unknown(&args.tool, &assembly, &agent)));
    };
    let Assembly { dispatch, .. } = assembly;
    if args.out.is_some() && !matches!(tool.entry.answer, manifest::Answer::Document {}) {
        return Err(CommandError::Usage(format!("--out: {} brings no document", args.tool)));
    }
    let caller = Caller { agent, person: None, progress: None, deadline: None, document_bytes: None };
    stop::on_signal_end_the_call(Arc::clone(&dispatch));
    let reached = dispatch.call(&tool, arguments, caller).await;
    drop(simulator);
    match reached {
        Ok(Reached::Answer(answer)) => {
            say(&pretty(&answer.structured))?;
            keep_document(&answer, args.out.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Reached::Question) => Err(CommandError::Failed("the call waits for a person's answer".into())),
        Err(error) => {
            say(&pretty(&error.to_json()))?;
            Ok(ExitCode::from(FAILED))
        }
    }
}

/// The tool of a name; for one that only a template can bring, the templates are fetched.
async fn tool(name: &str, assembly: &Assembly, agent: &Agent, has_credentials: bool) -> Option<Arc<Tool>> {
    let Assembly { dispatch, catalog, launchers, .. } = assembly;
    if let Some(tool) = catalog.get(name) {
        return Some(Arc::clone(tool));
    }
    if !has_credentials || !launchers.may_name(name) || !launchers.is_on(catalog, agent.policy()) {
        return None;
    }
    launchers.refresh_now(dispatch, catalog, agent.user()).await;
    launchers.get(name, agent)
}

fn arguments(text: &str) -> Result<Map<String, Value>, CommandError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err(CommandError::Usage("--args: give one JSON object, such as '{\"limit\": 5}'".into())),
        Err(error) => Err(CommandError::Usage(format!(
            "--args is no JSON ({error}); give one JSON object, such as '{{\"limit\": 5}}'"
        ))),
    }
}

fn unknown(name: &str, assembly: &Assembly, agent: &Agent) -> String {
    let Assembly { catalog, launchers, .. } = assembly;
    if launchers.may_name(name) && !launchers.is_on(catalog, agent.policy()) {
        return format!(
            "there is no tool {name}; typed launch tools need --access workflows=full, and --launch-tools other than off"
        );
    }
    let typed = launchers.published(agent);
    let names = catalog.published(agent.policy()).chain(&typed).map(|tool| tool.name.as_str());
    let nearest = names.min_by_key(|known| strsim::damerau_levenshtein(known, name));
    let nearest = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
    format!("there is no tool {name}{nearest} `ironclad-mcp tools` prints them all")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

fn keep_document(answer: &Answer, out: Option<&Path>) -> Result<(), CommandError> {
    match (&answer.resource, out) {
        (None, _) => Ok(()),
        (Some(_), None) => {
            complain("the document itself is not printed; --out FILE saves it");
            Ok(())
        }
        (Some(Resource::Link { .. }), Some(_)) => Err(CommandError::Failed(
            "the document was not kept: it is larger than --max-document-bytes (IRONCLAD_MAX_DOCUMENT_BYTES); raise it"
                .into(),
        )),
        (Some(Resource::Blob { base64, .. }), Some(path)) => {
            let bytes = STANDARD.decode(base64).map_err(|error| CommandError::Failed(error.to_string()))?;
            std::fs::write(path, bytes).map_err(CommandError::io(format!("{} cannot be written", path.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Options, load_from};

    #[test]
    fn arguments_are_one_object() {
        assert_eq!(arguments("{}").unwrap().len(), 0);
        assert_eq!(arguments(r#"{"limit": 5}"#).unwrap().get("limit"), Some(&5.into()));
        for wrong in ["[]", "5", "limit=5", "", "{} {}"] {
            assert!(matches!(arguments(wrong), Err(CommandError::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_tool_is_answered_with_the_nearest() {
        let options = Options { audit_log: Some("-".into()), ..Options::default() };
        let assembly = assembly::assemble(load_from(options, &|_| None).unwrap()).unwrap();
        let agent = chosen(&assembly.roster.now(), None, AGENT).unwrap();
        let told = unknown("get_workflw", &assembly, &agent);
        assert!(told.contains("did you mean get_workflow?"), "{told}");
        let told = unknown("launch_mutual_nda", &assembly, &agent);
        assert!(told.contains("--access workflows=full"), "{told}");
    }
}
