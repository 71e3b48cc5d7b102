//! Sessions of the approvals page: a sealed cookie that names the approver, and a form token that follows from it.

use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

use super::super::http::proxies::PROTO;
use crate::{
    approvals::{Approver, new_id},
    keys::Ring,
    plan::{open_sealed, seal_bytes},
};

const COOKIE: &str = "ironclad_approvals";

/// A cookie that ends the session.
pub(super) const ENDED: &str = "ironclad_approvals=; Path=/approvals; HttpOnly; SameSite=Strict; Max-Age=0";

/// How long a session lasts, in seconds: a working day.
const LIFE: i64 = 8 * 60 * 60;

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// The approver's name.
    pub(super) name: String,
    /// The digest of the token that they signed in with: a new token ends the session.
    sha256: String,
    expires: i64,
    /// Tells sessions of one approver apart.
    id: String,
}

/// Seals and opens sessions.
pub(super) struct Sessions<'a> {
    pub(super) keys: &'a Ring,
    pub(super) now: i64,
}

impl Sessions<'_> {
    /// The cookie of a new session; `None` where the system gives no random bytes.
    pub(super) fn cookie(&self, approver: &Approver, headers: &HeaderMap) -> Option<String> {
        let session = Session {
            name: approver.name.clone(),
            sha256: approver.sha256.clone(),
            expires: self.now.saturating_add(LIFE),
            id: new_id().ok()?,
        };
        let sealed = seal_bytes(self.keys.first(), &serde_json::to_vec(&session).ok()?);
        let secure = if is_encrypted(headers) { "; Secure" } else { "" };
        Some(format!("{COOKIE}={sealed}; Path=/approvals; HttpOnly; SameSite=Strict; Max-Age={LIFE}{secure}"))
    }

    /// The session of a request, if it lasts and its approver may still decide.
    pub(super) fn of(&self, headers: &HeaderMap, everybody: &[Approver]) -> Option<Session> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, sealed) = values.find(|(name, _)| *name == COOKIE)?;
        let session: Session = serde_json::from_slice(&open_sealed(self.keys, sealed)?).ok()?;
        let known = everybody.iter().any(|one| one.name == session.name && one.sha256 == session.sha256);
        (known && self.now <= session.expires).then_some(session)
    }

    /// What a form of this session carries; another site cannot know it.
    pub(super) fn csrf(&self, session: &Session) -> String {
        seal_bytes(self.keys.first(), form(session).as_bytes())
    }

    /// Whether a form is of this session.
    pub(super) fn is_csrf(&self, session: &Session, token: &str) -> bool {
        open_sealed(self.keys, token).is_some_and(|opened| opened == form(session).as_bytes())
    }
}

fn form(session: &Session) -> String {
    format!("form {} {}", session.id, session.name)
}

/// Whether the browser speaks TLS to whoever is in front of us.
fn is_encrypted(headers: &HeaderMap) -> bool {
    // Only a listed proxy's word is still there.
    headers.get(PROTO).is_some_and(|scheme| scheme == "https")
        || headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_in(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pair = cookie.split(';').next().unwrap();
        headers.insert(header::COOKIE, format!("other=1; {pair}").parse().unwrap());
        headers
    }

    #[test]
    fn a_session_lasts_a_day_and_ends_with_its_approver() {
        let sessions = Sessions { keys: &Ring::from([7; 32]), now: 1000 };
        let (maria, _) = Approver::new("maria").unwrap();
        let cookie = sessions.cookie(&maria, &HeaderMap::new()).unwrap();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict;") && !cookie.contains("Secure"), "{cookie}");
        let headers = signed_in(&cookie);
        let everybody = [maria.clone()];
        let session = sessions.of(&headers, &everybody).unwrap();
        assert_eq!(session.name, "maria");
        assert!(Sessions { now: 1000 + LIFE + 1, ..sessions }.of(&headers, &everybody).is_none());
        assert!(Sessions { keys: &Ring::from([8; 32]), ..sessions }.of(&headers, &everybody).is_none());
        assert!(sessions.of(&headers, &[]).is_none());
        let (renewed, _) = Approver::new("maria").unwrap();
        assert!(sessions.of(&headers, &[renewed]).is_none());
        let again = sessions.of(&signed_in(&sessions.cookie(&maria, &headers).unwrap()), &everybody).unwrap();
        assert_ne!(sessions.csrf(&session), sessions.csrf(&again));
    }

    #[test]
    fn a_form_token_is_no_session() {
        let sessions = Sessions { keys: &Ring::from([7; 32]), now: 1000 };
        let (maria, _) = Approver::new("maria").unwrap();
        let session =
            sessions.of(&signed_in(&sessions.cookie(&maria, &HeaderMap::new()).unwrap()), std::slice::from_ref(&maria));
        let forged = format!("{COOKIE}={}", sessions.csrf(&session.unwrap()));
        assert!(sessions.of(&signed_in(&forged), &[maria]).is_none());
    }
}
