//! Who signed in: `/oauth/userinfo`, which needs no scope.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::login::User;
use crate::ironclad::door::Door;

/// Where it is, and where it was on an older page of Ironclad's (ironclad-api.md §12).
const PATHS: [&str; 2] = ["/oauth/userinfo", "/public/api/v1/oauth/userinfo"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    id: Option<String>,
    sub: Option<String>,
    email: Option<String>,
    display_name: Option<String>,
    scopes: Option<Vec<String>>,
}

/// The user behind a token, and its scopes; what is not told stays empty.
pub(super) async fn behind(http: &Door, origin: &str, token: &SecretString) -> (User, Option<Vec<String>>) {
    for path in PATHS {
        let Ok(url) = format!("{origin}{path}").parse() else { continue };
        let request = http.request(reqwest::Method::GET, url).bearer_auth(token.expose_secret());
        let Ok(request) = request.build() else { continue };
        let Ok(reply) = http.execute(request).await else { continue };
        let Ok(reply) = reply.error_for_status() else { continue };
        let Ok(info) = reply.json::<Info>().await else { continue };
        let text = |text: Option<String>| text.filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
        let user = User { email: text(info.email), name: text(info.display_name), id: text(info.id.or(info.sub)) };
        return (user, info.scopes);
    }
    tracing::warn!("Ironclad does not tell who signed in");
    (User::default(), None)
}
