//! Refuses a call whose scope the token surely lacks, before a person is asked or anything is sent; and one that is to be
//! made as another user than the one who signed in, since Ironclad would act as the one who did.
//!
//! Scopes that the operator left out by name are not refused here: Ironclad says in its own words what is missing.

use super::Dispatch;
use crate::{
    agents::Agent,
    audit::{Decision, Record},
    catalog::Tool,
    error::{CallError, Code, Outcome},
};

impl Dispatch {
    /// Goes on unless a scope of the tool was not granted at the sign-in.
    pub(super) fn within_scopes(&self, tool: &Tool, agent: &Agent, record: &mut Record) -> Result<(), CallError> {
        if let Some(error) = another_user(self.client.login_user(), agent.user().name()) {
            record.decide(Decision::Denied, "the login is another user's");
            return Err(error);
        }
        let grants = self.client.grants();
        let grants = grants.borrow();
        let is_login = self.client.has_login();
        let lacks = |scope: &&str| !grants.allow(scope) && (is_login || grants.withhold(scope));
        let Some(scope) = tool.entry.scopes().find(lacks) else { return Ok(()) };
        record.decide(Decision::Denied, &format!("scope {scope} was not granted"));
        let again = if is_login { " and the operator run `ironclad-mcp login` again" } else { "" };
        let (why, hint) = if grants.withhold(scope) {
            let hint = format!("an Ironclad administrator must add {scope} to the OAuth client{again}");
            ("did not grant it to this server", hint)
        } else {
            let hint = format!("the operator must run `ironclad-mcp login` again, which then asks for {scope} too");
            ("was not asked for it at the login", hint)
        };
        let message = format!("{} needs the scope {scope}, and Ironclad {why}", tool.name);
        let mut error = CallError::new(Code::Forbidden, message, hint).with_outcome(Outcome::NotSent);
        error.scope = Some(scope.to_owned());
        Err(error)
    }
}

/// Why a call cannot be made as `wanted`, where `login` is whose login is kept.
fn another_user(login: Option<&str>, wanted: Option<&str>) -> Option<CallError> {
    let (login, wanted) = (login?, wanted?);
    if login == wanted {
        return None;
    }
    let message =
        format!("the calls of this agent are made as {wanted}, but Ironclad would act as {login}, who signed in");
    let hint =
        "the operator must give this agent no acting user, or run `ironclad-mcp logout` and use client credentials";
    Some(CallError::new(Code::AccessDenied, message, hint).with_outcome(Outcome::NotSent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_makes_calls_for_nobody_else() {
        let error = another_user(Some("maya@example.com"), Some("imani@example.com")).unwrap();
        assert_eq!(error.code, Code::AccessDenied);
        assert!(error.message.contains("maya@example.com") && error.message.contains("imani@example.com"));
        for (login, wanted) in [(Some("a"), Some("a")), (Some("a"), None), (None, Some("a")), (None, None)] {
            assert!(another_user(login, wanted).is_none(), "{login:?} {wanted:?}");
        }
    }
}
