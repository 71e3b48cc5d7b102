//! What a caller may do, and why something is missing, in words that a model can pass on to a person.

use serde_json::{Map, Value, json};

use super::Call;
use crate::{
    manifest::Effect,
    policy::{self, Access, Confirm},
};

/// The answer's body.
pub(super) fn body(call: Call<'_>) -> Value {
    let agent = &call.caller.agent;
    let settings = agent.policy();
    let mut told = Map::new();
    told.insert("agent".into(), agent.name.as_str().into());
    if let Some(principal) = agent.principal() {
        told.insert("caller".into(), principal.subject.as_str().into());
    }
    if let Some(user) = agent.user().name() {
        told.insert("acting_user".into(), user.into());
    }
    let confirm = match settings.confirm {
        Confirm::Auto => "auto",
        Confirm::Always => "always",
        Confirm::Never => "never",
    };
    told.insert("confirm".into(), confirm.into());
    told.insert("groups".into(), call.catalog.groups().into_iter().map(|name| group(call, name)).collect());
    told.insert("tools_left_out".into(), left_out(call).into());
    if let Some(profile) = &settings.agent {
        told.extend(profile.launch.as_ref().map(|listed| ("launch".to_owned(), json!(listed))));
        told.extend(profile.record_types.as_ref().map(|listed| ("record_types".to_owned(), json!(listed))));
    }
    if let Some(share) = agent.share() {
        told.insert("budget_share_percent".into(), share.into());
    }
    told.into()
}

fn group(call: Call<'_>, name: &str) -> Value {
    let (access, withheld) = policy::reach(name, call.caller.agent.policy());
    let mut told = json!({ "group": name, "access": access.to_string() });
    let effects = || call.catalog.all().filter(|tool| tool.entry.group == name).map(|tool| tool.entry.effect);
    // A group without writes has nothing more to withhold.
    let complete = access == Access::Read && !effects().any(Effect::is_write);
    if let (Some(denial), Value::Object(told)) = (withheld.filter(|_| !complete), &mut told) {
        told.insert("withheld_by".into(), denial.rule.into());
        told.insert("hint".into(), denial.hint.into());
    }
    told
}

/// The tools that the lists of names take away from what access grants.
fn left_out(call: Call<'_>) -> Vec<Value> {
    let settings = call.caller.agent.policy();
    let granted = call.catalog.all().filter(|tool| policy::grants(&tool.entry, settings));
    let withheld = granted.filter_map(|tool| Some((tool, policy::visible(&tool.entry, settings).err()?)));
    withheld.map(|(tool, denial)| json!({"tool": tool.name, "withheld_by": denial.rule, "hint": denial.hint})).collect()
}
