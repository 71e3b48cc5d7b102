//! `ironclad-mcp approvals`, `approve`, `decline`: what waits for a person, and what the person says.
//! `approver` makes and takes back the tokens of the approvals page.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{
    CommandError, Ended, FAILED,
    console::{complain, say, stdout_is_terminal},
};
use crate::{
    approvals::{self, Approval, Approvers, Decided, Decision, Shared, Standing, is_approver_name},
    assembly,
    audit::{self, AuditLog},
    cli::{ApprovalsArgs, ApprovalsFormat, ApproverCommand, DecideArgs},
    config::{Config, ConfigError},
};

fn state(config: &Config) -> Result<PathBuf, CommandError> {
    config.state.clone().ok_or_else(|| ConfigError::NoStateDirectory.into())
}

/// Where servers leave what waits: in Redis, else in the state directory.
fn shared(config: &Config) -> Result<Arc<dyn Shared>, CommandError> {
    if config.redis.is_none() {
        state(config)?;
    }
    Ok(assembly::shared(config)?.approvals)
}

fn unreadable() -> impl FnOnce(std::io::Error) -> CommandError {
    CommandError::io("the approvals cannot be read or written")
}

/// Lists what waits, and with `--all` what was decided of late.
pub(super) async fn list(args: ApprovalsArgs, config: Config) -> Ended {
    let now = approvals::now();
    let mut all = shared(&config)?.all().await.map_err(unreadable())?;
    all.retain(|approval| args.all || approval.standing(now) == Standing::Pending);
    let default = if stdout_is_terminal() { ApprovalsFormat::Text } else { ApprovalsFormat::Json };
    match args.format.unwrap_or(default) {
        ApprovalsFormat::Json => {
            for approval in &all {
                let mut line = serde_json::to_value(approval).unwrap_or_default();
                if let Some(members) = line.as_object_mut() {
                    members.insert("standing".into(), approval.standing(now).as_str().into());
                }
                say(&line.to_string())?;
            }
        }
        ApprovalsFormat::Text if all.is_empty() => complain("nothing waits for a decision"),
        ApprovalsFormat::Text => {
            let blocks: Vec<String> = all.iter().map(|approval| block(approval, now)).collect();
            say(&blocks.join("\n\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An approval as people read it.
fn block(approval: &Approval, now: i64) -> String {
    let standing = approval.standing(now);
    let mut lines = vec![format!("{}  {}  {}", approval.id, standing.as_str(), approval.title)];
    lines.push(format!("  {}", approval.sentence));
    lines.extend(approval.facts.iter().map(|(label, text)| format!("  {label}: {text}")));
    if let Some(lasting) = &approval.lasting {
        lines.push(format!("  What cannot be undone: {lasting}"));
    }
    match &approval.decision {
        Some(decision) => {
            let word = if decision.approved { "approved" } else { "declined" };
            let reason = decision.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            lines.push(format!("  {word} by {}{reason}", decision.by));
        }
        None if standing == Standing::Pending => {
            lines.push(format!("  good for {} min more", (approval.expires - now) / 60));
        }
        None => {}
    }
    lines.join("\n")
}

/// Decides one call, in the name of the operating system's user.
pub(super) async fn decide(args: DecideArgs, approved: bool, config: Config) -> Ended {
    let id = args.id.trim().to_lowercase();
    let reason = args.reason.map(|reason| reason.chars().filter(|c| !c.is_control()).take(300).collect());
    let decision = Decision { approved, by: operator(), at: approvals::now(), reason };
    let decided = approvals::decide(&*shared(&config)?, &id, decision).await.map_err(unreadable())?;
    if let Decided::Now(approval) = &decided {
        record(config, approval);
    }
    let now = approvals::now();
    match decided {
        Decided::Now(approval) => {
            let word = if approved { "approved" } else { "declined" };
            say(&format!("{word}: {}", approval.sentence))?;
            if approved {
                complain("it goes on when the agent calls again with its plan");
            }
            Ok(ExitCode::SUCCESS)
        }
        Decided::Before(approval) => {
            let by = approval.decision.as_ref().map(|decision| format!(" by {}", decision.by)).unwrap_or_default();
            complain(&format!("nothing was decided: approval {id} is {}{by}", approval.standing(now).as_str()));
            Ok(ExitCode::from(FAILED))
        }
        Decided::Unknown => {
            complain(&format!("there is no approval {id}; `ironclad-mcp approvals` lists what waits"));
            Ok(ExitCode::from(FAILED))
        }
    }
}

/// Records a decision that counts. The call that it allows is not made where the log cannot be written.
fn record(config: Config, approval: &Approval) {
    let Some(target) = config.audit else { return };
    let log = AuditLog::new(target).rotated(config.audit_rotation);
    if let Err(error) = audit::decided(&log, approval) {
        complain(&format!("the decision counts, but the audit log cannot be written ({error})"));
    }
}

/// The operating system's user, whom no variable can change.
pub(super) fn operator() -> String {
    whoami::username().unwrap_or_else(|_| "somebody on this machine".into())
}

/// Makes, lists or takes back the tokens of the approvals page.
pub(super) fn approver(command: ApproverCommand, config: &Config) -> Ended {
    let approvers = Approvers::below(&state(config)?);
    match command {
        ApproverCommand::Add { name } if !is_approver_name(&name) => {
            Err(CommandError::Usage(format!("{name:?} is no name: give letters, digits, blanks and . - _ @ '")))
        }
        ApproverCommand::Add { name } => {
            let token = approvers.add(&name).map_err(unreadable())?;
            say(token.expose_secret())?;
            complain(&format!("this is {name}'s token for the page /approvals; it is not shown again"));
            Ok(ExitCode::SUCCESS)
        }
        ApproverCommand::List => {
            for approver in approvers.all().map_err(unreadable())? {
                say(&json!({"name": approver.name, "added": approver.added}).to_string())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ApproverCommand::Remove { name } => {
            if approvers.remove(&name).map_err(unreadable())? {
                return Ok(ExitCode::SUCCESS);
            }
            complain(&format!("there is no approver {name}"));
            Ok(ExitCode::from(FAILED))
        }
    }
}
