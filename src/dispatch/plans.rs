//! Makes the plan of a dry run, and holds a call to the plan that it brings.

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::io::AsyncReadExt as _;

use super::{
    Call, Dispatch,
    preview::Wanted,
    subject::{Looked, look},
};
use crate::{
    approvals::{self, Shared, Standing, Trouble},
    arguments::Args,
    audit::{Decision, Record},
    catalog::Tool,
    error::{ArgumentFault, CallError, Code, Outcome},
    keys::Ring,
    plan::{Plan, PlanKey, Terms, request_digest},
    policy,
    request::{Content, Request},
};

/// How long a plan is good, in seconds: a chat's turn or two.
const LIFE: i64 = 600;

/// Tells the present second, since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What plans and approvals need.
#[derive(Clone)]
pub struct Plans {
    /// The key that seals plans.
    pub key: PlanKey,
    /// Which of them are used up, and which wait for a person.
    pub shared: Arc<dyn Shared>,
    /// The time.
    pub clock: Clock,
    /// The keys that seal sessions of the approvals page.
    pub page_keys: Ring,
    /// How long a call waits for a person's decision out of band.
    pub approval_life: Duration,
}

impl Plans {
    /// Plans sealed under what follows from `secrets`.
    #[must_use]
    pub fn new(secrets: &Ring, shared: Arc<dyn Shared>, approval_life: Duration) -> Self {
        let page_keys = secrets.derived("ironclad-mcp approvals page 1");
        Self { key: PlanKey::derive(secrets), page_keys, shared, clock: Arc::new(approvals::now), approval_life }
    }

    /// The present second.
    #[must_use]
    pub fn now(&self) -> i64 {
        (self.clock)()
    }
}

fn refused(tool: &Tool, message: &str, expected: &str) -> CallError {
    CallError::invalid_arguments(&tool.name, vec![ArgumentFault::new("plan", message, expected)])
}

/// What is shared between servers cannot be read or written, so nothing that hangs on it is sent.
pub(super) fn unshared(tool: &Tool, shared: &dyn Shared, error: &io::Error) -> CallError {
    let Trouble { what, hint } = shared.trouble();
    let message = format!("{} was not sent: {what} ({error})", tool.name);
    CallError::new(Code::AuditUnavailable, message, hint).with_outcome(Outcome::NotSent)
}

const AGAIN: &str = "the plan of another call with dry_run: true";

/// Takes the plan out of the arguments, and puts in those that it carries.
pub(super) async fn take(
    call: Call<'_>,
    tool: &Tool,
    arguments: &mut Map<String, Value>,
) -> Result<Option<Plan>, CallError> {
    if !tool.entry.effect.is_write() {
        return Ok(None);
    }
    let Some(text) = arguments.get("plan").and_then(Value::as_str).map(str::to_owned) else { return Ok(None) };
    arguments.shift_remove("plan");
    if arguments.get("dry_run").is_some_and(|dry_run| *dry_run != Value::Bool(false)) {
        return Err(refused(tool, "does not go with dry_run", "a plan, or dry_run: true for a new one"));
    }
    let plans = &call.plans;
    let Some(plan) = plans.key.open(&text) else {
        return Err(refused(tool, "is no plan of this server: it was altered, or cut", AGAIN));
    };
    if !plan.is_for(call.caller.agent.identity()) {
        return Err(refused(tool, "was made for another agent", AGAIN));
    }
    if plan.tool != tool.name {
        return Err(refused(tool, &format!("was made for {}", plan.tool), AGAIN));
    }
    let unshared = |error| unshared(tool, &*plans.shared, &error);
    if !plans.shared.knows(&plan.id).await.map_err(unshared)? {
        return Err(refused(tool, "was made before Redis was started anew, which has forgotten what was used", AGAIN));
    }
    if plans.shared.is_claimed(&plan.id).await.map_err(unshared)? {
        return Err(refused(tool, "was used already, and a plan works once", AGAIN));
    }
    if plans.now() > plan.expires && !waits_longer(plans, tool, &plan).await? {
        return Err(refused(tool, "has expired", AGAIN));
    }
    *arguments =
        plan.fill(std::mem::take(arguments)).map_err(|fault| CallError::invalid_arguments(&tool.name, vec![fault]))?;
    Ok(Some(plan))
}

/// A plan that a person was asked about is good for as long as the question.
async fn waits_longer(plans: &Plans, tool: &Tool, plan: &Plan) -> Result<bool, CallError> {
    let approval = plans.shared.find(&plan.id).await.map_err(|error| unshared(tool, &*plans.shared, &error))?;
    // Whoever declined wants to be quoted, and not that it is late.
    Ok(approval.is_some_and(|approval| approval.standing(plans.now()) != Standing::Expired))
}

/// The arguments with those that their plan carries, for the audit log; whether the plan counts is not looked at.
pub(super) fn filled<'a>(
    dispatch: &Dispatch,
    tool: &Tool,
    arguments: &'a Map<String, Value>,
) -> Cow<'a, Map<String, Value>> {
    let plan = arguments.get("plan").filter(|_| tool.entry.effect.is_write()).and_then(Value::as_str);
    let filled = plan.and_then(|text| dispatch.plans.key.open(text)?.fill(arguments.clone()).ok());
    filled.map_or(Cow::Borrowed(arguments), Cow::Owned)
}

/// Holds the arguments to those of the plan; without one, tells whether it is wanted.
pub(super) fn hold(
    tool: &Tool,
    args: &Args,
    plan: Option<&Plan>,
    (settings, record): (&policy::Settings, &mut Record),
) -> Result<(), CallError> {
    match plan {
        Some(plan) => {
            let faults = plan.differing(args);
            if faults.is_empty() { Ok(()) } else { Err(CallError::invalid_arguments(&tool.name, faults)) }
        }
        None if args.flag("dry_run") || !policy::wants_plan(&tool.entry, settings) => Ok(()),
        None => {
            record.decide(Decision::Denied, &format!("require-plan {}", tool.entry.name));
            let expected =
                "call with dry_run: true, look at what it shows, then call again with the plan that it answers";
            Err(refused(tool, "is required here: the operator wants a dry run first", expected))
        }
    }
}

/// The digest of a request; documents on disk are read for it.
pub(super) async fn digest(call: Call<'_>, tool: &Tool, request: &Request) -> Result<String, CallError> {
    let mut files = Vec::new();
    for upload in &request.files {
        if let Content::File(path) = &upload.content {
            let unreadable = |error: io::Error| {
                let fault = format!("{} cannot be read ({error})", upload.filename);
                CallError::invalid_arguments(
                    &tool.name,
                    vec![ArgumentFault::new("attributes", fault, "a file that can be read")],
                )
            };
            files.push(file_digest(path).await.map_err(unreadable)?);
        }
    }
    let agent = &call.caller.agent;
    let user = agent.user().name();
    // Two callers may act as the same user, and neither's approval is the other's.
    let caller = agent.principal().map(|_| format!("{} {}", user.unwrap_or_default(), agent.identity()));
    Ok(request_digest(request, caller.as_deref().or(user), &files))
}

async fn file_digest(path: &std::path::Path) -> io::Result<String> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece).await? {
            0 => return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            length => digest.update(piece.get(..length).unwrap_or_default()),
        }
    }
}

/// Makes a plan for a call with these arguments, as they were given.
pub(super) fn make(
    call: Call<'_>,
    wanted: Wanted<'_>,
    (id, expires): (&str, i64),
    (request, version): (&str, Option<&str>),
) -> (Plan, String) {
    let terms = Terms { id, tool: &wanted.tool.name, agent: call.caller.agent.identity(), expires, version, request };
    let plan = Plan::new(terms, wanted.args);
    let sealed = call.plans.key.seal(&plan);
    (plan, sealed)
}

/// The plan of a dry run, and until when it is good.
pub(super) async fn of_dry_run(
    call: Call<'_>,
    wanted: Wanted<'_>,
    (request, looked): (&Request, Option<&Looked>),
) -> Result<(Plan, String, String), CallError> {
    let digest = digest(call, wanted.tool, request).await?;
    let shared = &*call.plans.shared;
    let id = shared.new_id().map_err(|error| unshared(wanted.tool, shared, &error))?;
    let expires = call.plans.now().saturating_add(LIFE);
    let version = looked.map(Looked::version);
    let (plan, sealed) = make(call, wanted, (&id, expires), (&digest, version.as_deref()));
    Ok((plan, sealed, stamp(expires)))
}

/// A second since 1970 as text.
fn stamp(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Refuses a request that is not the one that the plan showed.
pub(super) fn same_request(tool: &Tool, plan: &Plan, digest: &str) -> Result<(), CallError> {
    if plan.request == digest {
        return Ok(());
    }
    let message = format!("{} was not sent: what it would send now is not what the plan showed", tool.name);
    let hint = "a form, a default, a document or the acting user changed since; call with dry_run: true again";
    Err(CallError::new(Code::Conflict, message, hint).with_outcome(Outcome::NotSent))
}

/// Refuses what was decided by an object that has changed since.
pub(super) fn unchanged(tool: &Tool, held: Option<&str>, looked: Option<&Looked>) -> Result<(), CallError> {
    let (Some(held), Some(looked)) = (held, looked) else { return Ok(()) };
    if held == looked.version() {
        return Ok(());
    }
    let noun = tool.entry.preview.as_ref().and_then(|preview| preview.subject).map_or("object", |one| one.noun());
    let when = looked.last_updated().map(|at| format!(" (lastUpdated is {at})")).unwrap_or_default();
    let message = format!("{} was not sent: the {noun} changed since it was shown{when}", tool.name);
    let hint = "look at it again: call with dry_run: true, and go on with the new plan if it still holds";
    Err(CallError::new(Code::Conflict, message, hint).with_outcome(Outcome::NotSent))
}

/// The object as it is now; one that a plan was made by must be readable still.
pub(super) async fn look_again(
    call: Call<'_>,
    wanted: Wanted<'_>,
    held: Option<&str>,
) -> Result<Option<Looked>, CallError> {
    let looked = look(call, &wanted.tool.entry, wanted.args).await;
    if held.is_some() { looked } else { Ok(looked.ok().flatten()) }
}

/// Uses a plan up, just before its request is sent.
pub(super) async fn use_up(call: Call<'_>, tool: &Tool, plan: &Plan) -> Result<(), CallError> {
    let Plans { shared, .. } = &call.plans;
    let waited = shared.find(&plan.id).await.map_err(|error| unshared(tool, &**shared, &error))?;
    let until = waited.map_or(plan.expires, |approval| approval.remembered_until());
    match shared.claim(&plan.id, until).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused(tool, "was used already, and a plan works once", AGAIN)),
        Err(error) => Err(unshared(tool, &**shared, &error)),
    }
}

/// Gives a plan back whose write was surely not sent: whoever waited for the budget in vain, or approved it, need not begin anew.
pub(super) async fn give_back(call: Call<'_>, id: &str) {
    if let Err(error) = call.plans.shared.give_back(id).await {
        tracing::warn!(%error, "a plan that was not carried out stays used up");
    }
}
