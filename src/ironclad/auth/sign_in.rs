//! A sign-in through the browser: the page to open, what its answer means, and the login that comes of it.
//!
//! The page is opened by a browser and its answer comes back through one, so neither is trusted: `state` ties the answer
//! to the question, and PKCE the code to this process.

use secrecy::SecretString;

use super::{
    AuthError,
    endpoint::{Asked, Endpoint, Issued},
    grants::{Grants, Tiers, Wanted},
    login::Login,
    user,
};
use crate::ironclad::door::Door;

/// A sign-in that waits for its answer.
pub struct SignIn {
    endpoint: Endpoint,
    redirect: String,
    pkce: bool,
    wanted: Wanted,
    tiers: Tiers,
    asked: Asked,
}

/// What a browser brought.
#[derive(Debug)]
pub enum Answered {
    /// A code, to be redeemed.
    Code(SecretString),
    /// Ironclad refuses a scope; the browser is to open this page, which asks for fewer.
    Again(String),
    /// The person, or Ironclad, said no: OAuth's word and its explanation.
    Refused {
        /// OAuth's error code.
        code: String,
        /// Its explanation.
        description: Option<String>,
    },
    /// It belongs to another sign-in, or to none.
    Foreign,
    /// It has neither a code nor an error.
    Nothing,
}

impl SignIn {
    /// Asks for what is wanted; the answer goes to `redirect`.
    ///
    /// # Errors
    /// The origin or the redirect is no URL.
    pub fn new(endpoint: Endpoint, redirect: String, pkce: bool, wanted: Wanted) -> Result<Self, AuthError> {
        let tiers = Tiers::new(&wanted);
        let asked = endpoint.consent(&redirect, tiers.ask(), pkce)?;
        Ok(Self { endpoint, redirect, pkce, wanted, tiers, asked })
    }

    /// The page to open.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.asked.url
    }

    /// Reads the query that a browser brought to the redirect.
    ///
    /// # Errors
    /// The next page cannot be made.
    pub fn answer(&mut self, query: &str) -> Result<Answered, AuthError> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let (code, error, state) = (value("code"), value("error"), value("state"));
        if code.is_none() && error.is_none() {
            return Ok(Answered::Nothing);
        }
        if state.is_none_or(|state| state != *self.asked.state.secret()) {
            return Ok(Answered::Foreign);
        }
        let description = value("error_description");
        match (error, code) {
            (Some(error), _) if error == "invalid_scope" => {
                let words = description.clone().unwrap_or_default();
                if !self.tiers.narrow(&words) {
                    return Ok(Answered::Refused { code: error, description });
                }
                self.asked = self.endpoint.consent(&self.redirect, self.tiers.ask(), self.pkce)?;
                Ok(Answered::Again(self.asked.url.clone()))
            }
            (Some(code), _) => Ok(Answered::Refused { code, description }),
            (None, Some(code)) => Ok(Answered::Code(code.into())),
            (None, None) => Ok(Answered::Nothing),
        }
    }

    /// Redeems the code, and asks who signed in.
    pub(in crate::ironclad) async fn redeem(mut self, http: &Door, code: &SecretString) -> Result<Login, AuthError> {
        let verifier = self.asked.verifier.take();
        let mut issued: Issued = self.endpoint.by_code(http, code, (&self.redirect, verifier)).await?;
        let (user, told) = user::behind(http, &self.endpoint.origin, &issued.access).await;
        issued.scopes = issued.scopes.or(told);
        let mut grants = Grants::of(self.tiers.ask(), issued.scopes.as_deref());
        grants.withheld = self.wanted.scopes().iter().filter(|scope| !grants.allow(scope)).cloned().collect();
        Ok(Login::new((&self.endpoint.origin, &self.endpoint.id), user, &grants, issued))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(wanted: Wanted) -> SignIn {
        let endpoint = Endpoint { origin: "https://a.example".into(), id: "id".into(), secret: "hush".into() };
        SignIn::new(endpoint, "http://localhost:1/callback".into(), true, wanted).unwrap()
    }

    fn scopes() -> Vec<String> {
        vec!["public.workflows.readWorkflows".into(), "scim.users.readUsers".into()]
    }

    #[test]
    fn only_the_answer_to_this_question_is_taken() {
        let mut asked = sign_in(Wanted::Needed(scopes()));
        let state = asked.asked.state.secret().clone();
        assert!(matches!(asked.answer("code=1&state=other").unwrap(), Answered::Foreign));
        assert!(matches!(asked.answer("code=1").unwrap(), Answered::Foreign));
        assert!(matches!(asked.answer("error=access_denied").unwrap(), Answered::Foreign));
        assert!(matches!(asked.answer("").unwrap(), Answered::Nothing));
        let denied = asked.answer(&format!("error=access_denied&state={state}")).unwrap();
        assert!(matches!(denied, Answered::Refused { code, .. } if code == "access_denied"));
        assert!(matches!(asked.answer(&format!("code=1&state={state}")).unwrap(), Answered::Code(_)));
    }

    #[test]
    fn a_refused_scope_asks_again_for_fewer_with_a_new_state() {
        let mut asked = sign_in(Wanted::Needed(scopes()));
        let (first, state) = (asked.url().to_owned(), asked.asked.state.secret().clone());
        let again = asked.answer(&format!("error=invalid_scope&state={state}")).unwrap();
        let Answered::Again(second) = again else { panic!("{again:?}") };
        assert!(first.contains("scim.users.readUsers") && !second.contains("scim.users.readUsers"), "{second}");
        assert_ne!(*asked.asked.state.secret(), state);
        let state = asked.asked.state.secret().clone();
        let end = asked.answer(&format!("error=invalid_scope&state={state}")).unwrap();
        assert!(matches!(end, Answered::Refused { code, .. } if code == "invalid_scope"));
        let mut named = sign_in(Wanted::Named(scopes()));
        let state = named.asked.state.secret().clone();
        let end = named.answer(&format!("error=invalid_scope&state={state}")).unwrap();
        assert!(matches!(end, Answered::Refused { .. }));
    }
}
