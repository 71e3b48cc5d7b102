//! Refuses a call whose scope the token surely lacks, before a person is asked or anything is sent.
//!
//! Scopes that the operator left out by name are not refused here: Ironclad says in its own words what is missing.

use super::Dispatch;
use crate::{
    audit::{Decision, Record},
    catalog::Tool,
    error::{CallError, Code, Outcome},
};

impl Dispatch {
    /// Goes on unless a scope of the tool was not granted at the sign-in.
    pub(super) fn within_scopes(&self, tool: &Tool, record: &mut Record) -> Result<(), CallError> {
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
