//! Settles whether a write may be sent: the plan that it brings, the person who is asked, and what changed meanwhile.
//!
//! A person is asked by the client where it can, or out of band: the call is filed for somebody who decides with
//! `ironclad-mcp approve`, and comes again with its plan.

use serde_json::Value;

use super::{
    Call, Consent, Person, Question,
    plans::{self, unshared},
    preview::{self, Preview, Wanted},
    subject::Looked,
};
use crate::{
    approvals::{Approval, Standing},
    arguments::Args,
    audit::Record,
    error::{CallError, Code, Outcome},
    plan::Plan,
    policy::Confirm,
    request::Request,
    visible::visible,
};

/// The most calls that wait for a person at once.
const MOST_PENDING: usize = 100;

/// The largest request that is kept for a person to look at, in bytes of JSON.
const SHOWN_REQUEST_BYTES: usize = 50_000;

/// A write that is about to be sent.
pub(super) struct Case<'a> {
    /// The call, with its arguments as they were given.
    pub(super) wanted: Wanted<'a>,
    /// The arguments as they are sent.
    pub(super) args: &'a Args,
    pub(super) request: &'a Request,
    pub(super) plan: Option<Plan>,
    /// Whether policy wants a person's yes.
    pub(super) asks: bool,
    /// The template's name, of a launch.
    pub(super) template: Option<String>,
    /// What would change, where the preparation found it out.
    pub(super) diff: Option<Vec<Value>>,
    /// The object, where the preparation read it just now.
    pub(super) looked: Option<Looked>,
}

/// Whether a write may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It may, now.
    Go,
    /// The client must bring a person's answer first.
    Postponed,
}

/// Who says yes.
enum Way<'a> {
    /// Nobody has to; or the client shows an approval of its own, since it has the tool's destructiveHint.
    Nobody,
    /// The person behind the client.
    Client(&'a dyn Person),
    /// Somebody who decides elsewhere.
    OutOfBand,
}

/// Settles a write; what is claimed is used up, so it must be sent next.
pub(super) async fn settle(call: Call<'_>, mut case: Case<'_>, record: &mut Record) -> Result<Settled, CallError> {
    let way = match (case.asks, call.caller.person, call.caller.agent.policy().confirm) {
        (false, _, _) | (true, None, Confirm::Auto | Confirm::Never) => Way::Nobody,
        (true, Some(person), _) => Way::Client(person),
        (true, None, Confirm::Always) => Way::OutOfBand,
    };
    if case.plan.is_none() && matches!(way, Way::Nobody) {
        return Ok(Settled::Go);
    }
    let tool = case.wanted.tool;
    let digest = plans::digest(call, tool, case.request).await?;
    let held = case.plan.as_ref().and_then(|plan| plan.version.as_deref());
    if let Some(plan) = &case.plan {
        plans::same_request(tool, plan, &digest)?;
        record.by_plan(&plan.id);
    }
    let looked = match case.looked.take() {
        Some(looked) => Some(looked),
        None if held.is_none() && matches!(way, Way::Nobody) => None,
        None => plans::look_again(call, case.sent(), held).await?,
    };
    plans::unchanged(tool, held, looked.as_ref())?;
    let asked = Asked { call, case: &case, digest, looked };
    let approver = match way {
        Way::Nobody => None,
        Way::Client(person) => match asked.the_client(person, record).await? {
            Some(approver) => Some(approver),
            None => return Ok(Settled::Postponed),
        },
        Way::OutOfBand => Some(asked.out_of_band(record).await?),
    };
    if let Some(approver) = approver {
        record.approved_by(&approver);
    }
    if let Some(plan) = &case.plan {
        plans::use_up(call, tool, plan).await?;
    }
    Ok(Settled::Go)
}

impl<'a> Case<'a> {
    /// The call with its arguments as they are sent.
    fn sent(&self) -> Wanted<'a> {
        Wanted { args: self.args, ..self.wanted }
    }
}

/// A question to a person.
struct Asked<'a> {
    call: Call<'a>,
    case: &'a Case<'a>,
    digest: String,
    looked: Option<Looked>,
}

impl Asked<'_> {
    /// Asks the person behind the client; `None` is that the client must bring the answer.
    async fn the_client(&self, person: &dyn Person, record: &mut Record) -> Result<Option<String>, CallError> {
        if let Some(approver) = self.approved_already().await? {
            return Ok(Some(approver));
        }
        let tool = self.case.wanted.tool;
        let version = self.looked.as_ref().map(Looked::version);
        let binding = format!("{} {}", self.digest, version.as_deref().unwrap_or_default());
        let text = self.text().await;
        match person.ask(Question { text: &text, binding: &binding }).await {
            Consent::Postponed => Ok(None),
            Consent::Given => {
                if person.is_waited_for() && version.is_some() {
                    let looked = plans::look_again(self.call, self.case.sent(), version.as_deref()).await?;
                    plans::unchanged(tool, version.as_deref(), looked.as_ref())?;
                }
                Ok(Some("the person behind the client".into()))
            }
            Consent::Refused => {
                record.decline();
                Err(self.declined("the person did not say yes", "do not try again unless the person asks for it"))
            }
            Consent::Spent => {
                record.decline();
                Err(self.declined(
                    "the answer was brought before, and counts once",
                    "call without requestState, so that the person is asked again",
                ))
            }
        }
    }

    /// Who approved the plan out of band, if somebody did.
    async fn approved_already(&self) -> Result<Option<String>, CallError> {
        let Some(plan) = &self.case.plan else { return Ok(None) };
        let approval = self.call.plans.shared.find(&plan.id).await;
        let approval = approval.map_err(|error| unshared(self.case.wanted.tool, &*self.call.plans.shared, &error))?;
        let approval = approval.filter(|one| one.standing(self.call.plans.now()) == Standing::Approved);
        Ok(approval.and_then(|approval| approval.decision).map(|decision| decision.by))
    }

    fn declined(&self, why: &str, hint: impl Into<String>) -> CallError {
        let message = format!("{} was not sent: {why}", self.case.wanted.tool.name);
        CallError::new(Code::ConfirmationDeclined, message, hint).with_outcome(Outcome::NotSent)
    }

    /// Who approved the call out of band; else it waits for somebody, and the caller learns how.
    async fn out_of_band(&self, record: &mut Record) -> Result<String, CallError> {
        let tool = self.case.wanted.tool;
        let plans = &self.call.plans;
        let (id, expires) = match &self.case.plan {
            Some(plan) => (plan.id.clone(), plan.expires),
            None => self.place(record).await?,
        };
        let found = plans.shared.find(&id).await.map_err(|error| unshared(tool, &*plans.shared, &error))?;
        let Some(approval) = found else {
            record.decline();
            let approval = self.file(&id).await?;
            return Err(self.waits(&id, approval.expires));
        };
        let by = |said: &str| {
            let decision = approval.decision.as_ref();
            let reason = decision.and_then(|one| one.reason.as_ref()).map(|why| format!(": {why:?}"));
            let by = decision.map(|one| one.by.as_str()).unwrap_or_default();
            format!("{by} {said} it (approval {id}){}", reason.unwrap_or_default())
        };
        let standing = approval.standing(plans.now());
        match (standing, &approval.decision, &self.case.plan) {
            (Standing::Approved, Some(decision), Some(_)) => return Ok(decision.by.clone()),
            // Approved, but the call came without its plan, which is what was approved.
            (Standing::Approved, _, _) => {
                record.decline();
                let hint =
                    format!("{}; call {} again with plan {:?}", by("approved"), tool.name, self.sealed(&id, expires));
                return Err(self.declined("it was approved, and wants its plan", hint));
            }
            (Standing::Pending, _, _) => {
                record.decline();
                return Err(self.waits(&id, expires.max(approval.expires)));
            }
            (Standing::Declined | Standing::Used | Standing::Expired, _, _) => {}
        }
        record.decline();
        Err(match standing {
            Standing::Declined => self.declined(&by("declined"), "do not try again unless a person asks for it"),
            Standing::Pending | Standing::Approved | Standing::Used | Standing::Expired => self.declined(
                &format!("approval {id} has expired"),
                format!("call {} without plan, so that a person is asked anew", tool.name),
            ),
        })
    }

    /// The id of the approval that waits for this very call already, or a new one.
    async fn place(&self, record: &mut Record) -> Result<(String, i64), CallError> {
        let tool = self.case.wanted.tool;
        let plans = &self.call.plans;
        let now = plans.now();
        let version = self.looked.as_ref().map(Looked::version);
        let open = |one: &Approval| matches!(one.standing(now), Standing::Pending | Standing::Approved);
        let all = plans.shared.all().await.map_err(|error| unshared(tool, &*plans.shared, &error))?;
        let same = all.iter().find(|one| {
            let call = (one.agent == self.call.caller.agent.name, one.tool == tool.name, one.digest == self.digest);
            call == (true, true, true) && one.version == version && open(one)
        });
        if let Some(same) = same {
            return Ok((same.id.clone(), same.expires));
        }
        if all.iter().filter(|one| one.standing(now) == Standing::Pending).count() >= MOST_PENDING {
            record.decline();
            let hint = "people must decide what waits first: `ironclad-mcp approvals` lists it";
            return Err(self.declined("too many calls wait for a person's decision", hint));
        }
        let id = plans.shared.new_id().map_err(|error| unshared(tool, &*plans.shared, &error))?;
        Ok((id, now.saturating_add(self.life())))
    }

    fn life(&self) -> i64 {
        i64::try_from(self.call.plans.approval_life.as_secs()).unwrap_or(i64::MAX)
    }

    /// Files the call for somebody who decides.
    async fn file(&self, id: &str) -> Result<Approval, CallError> {
        let Self { call, case, digest, looked } = self;
        let entry = &case.wanted.tool.entry;
        let (preview, template) = self.preview().await;
        let request = case.request.to_json();
        let filed = call.plans.now();
        let approval = Approval {
            id: id.to_owned(),
            tool: case.wanted.tool.name.clone(),
            title: entry.title.clone(),
            agent: call.caller.agent.name.to_owned(),
            as_user: call.caller.agent.user().name().map(str::to_owned),
            host: call.client.origin().to_owned(),
            facts: preview::facts(case.sent(), &preview, template.as_deref(), looked.as_ref()),
            sentence: preview.sentence,
            diff: preview.diff.unwrap_or_default(),
            lasting: preview.lasting,
            request: Some(request).filter(|request| request.to_string().len() <= SHOWN_REQUEST_BYTES),
            digest: digest.clone(),
            version: looked.as_ref().map(Looked::version),
            filed,
            expires: filed.saturating_add(self.life()),
            decision: None,
            used: false,
        };
        call.plans
            .shared
            .file(approval.clone())
            .await
            .map_err(|error| unshared(case.wanted.tool, &*call.plans.shared, &error))?;
        Ok(approval)
    }

    fn sealed(&self, id: &str, expires: i64) -> String {
        let version = self.looked.as_ref().map(Looked::version);
        let (_, sealed) = plans::make(self.call, self.case.wanted, (id, expires), (&self.digest, version.as_deref()));
        sealed
    }

    /// The call waits for a person, and how it goes on.
    fn waits(&self, id: &str, expires: i64) -> CallError {
        let tool = &self.case.wanted.tool.name;
        let again = match &self.case.plan {
            Some(_) => format!("call {tool} again with the same plan"),
            None => format!("call {tool} again with plan {:?}", self.sealed(id, expires)),
        };
        let hint = format!(
            "ask a person to run `ironclad-mcp approve {id}`, or to decide on the server's page /approvals; then {again}"
        );
        self.declined(&format!("it waits for a person's yes (approval {id})"), hint)
    }

    /// What would happen; the template's name is looked up, since people know templates by it.
    async fn preview(&self) -> (Preview, Option<String>) {
        let Self { call, case, looked, .. } = self;
        let template = match (&case.template, looked.as_ref().and_then(Looked::template)) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(id)) => {
                let template = call.template(id).await.ok();
                template.map(|template| template.name.clone()).filter(|name| !name.is_empty())
            }
            (None, None) => None,
        };
        let preview = preview::of(*call, case.sent(), template.as_deref(), (case.diff.clone(), looked.as_ref()));
        (preview, template)
    }

    /// The question to a person: what, to what, and what cannot be taken back.
    async fn text(&self) -> String {
        let (preview, template) = self.preview().await;
        let entry = &self.case.wanted.tool.entry;
        let facts = preview::facts(self.case.sent(), &preview, template.as_deref(), self.looked.as_ref());
        let destroys = entry.effect == crate::manifest::Effect::Destroy;
        let warning = if destroys { " This cannot be undone." } else { "" };
        let mut lines = vec![format!("{}?{warning}", entry.title), String::new(), format!("{}.", preview.sentence)];
        lines.push(String::new());
        lines.extend(facts.iter().map(|(label, text)| format!("{label}: {text}")));
        let subject = entry.preview.as_ref().and_then(|preview| preview.subject);
        if let (Some(subject), None) = (subject, &self.looked) {
            lines.push(format!("(The {} could not be read, so nothing more is known of it.)", subject.noun()));
        }
        if let Some(lasting) = &preview.lasting {
            lines.extend([String::new(), format!("What cannot be undone: {lasting}")]);
        }
        // A person must see what they say yes to.
        visible(&lines.join("\n")).into_owned()
    }
}
