//! `GET /oauth/authorize`: the consent page and its redirects.
//!
//! A browser sees a page with Allow and Deny; anything that does not ask for HTML is taken as consenting, so that
//! tests and terminals can sign in without a browser. Any loopback or https redirect URI counts as registered.

use std::time::{Duration, Instant};

use super::exchange::{Query, Reply};
use super::identity::{COMPANY_NAME, Pending, Sessions};
use super::incoming::Incoming;
use super::oauth::{OAuthError, check_client_id};
use super::people::Person;
use super::scopes;

const CODE_LIFETIME: Duration = Duration::from_secs(600);

/// Shows the page, or redirects with a code or an error.
pub(crate) fn authorize(request: &Incoming, sessions: &mut Sessions, people: &[Person]) -> Reply {
    let query = &request.query;
    let redirect = match checked_redirect(query) {
        Ok(redirect) => redirect,
        Err(error) => return error.reply(),
    };
    if query.get("response_type") != Some("code") {
        return send_back(redirect, query, &[("error", "unsupported_response_type")]);
    }
    let asked = query.get("scope").unwrap_or_default();
    let Ok(granted) = scopes::parse(asked, sessions.client.offered(false)) else {
        return send_back(redirect, query, &[("error", "invalid_scope")]);
    };
    let wants_page = request.header("accept").is_some_and(|accept| accept.contains("text/html"));
    match query.get("consent") {
        Some("deny") => return send_back(redirect, query, &[("error", "access_denied")]),
        None if wants_page => return page(query, people, &granted),
        Some(_) | None => {}
    }
    let Some(person) = consenting(query, people) else {
        return OAuthError::new(400, "invalid_request", "no such user in this company").reply();
    };
    let method = query.get("code_challenge_method").unwrap_or("plain").to_owned();
    let code = sessions.add_code(Pending {
        scopes: granted,
        scope_asked: !asked.is_empty(),
        user_id: person.id.clone(),
        redirect_uri: query.get("redirect_uri").unwrap_or_default().to_owned(),
        challenge: query.get("code_challenge").map(|challenge| (challenge.to_owned(), method)),
        expires: Instant::now().checked_add(CODE_LIFETIME),
    });
    send_back(redirect, query, &[("code", &code)])
}

fn checked_redirect(query: &Query) -> Result<url::Url, OAuthError> {
    check_client_id(query.get("client_id").unwrap_or_default())?;
    let text = query.get("redirect_uri").unwrap_or_default();
    let bad = || OAuthError::new(400, "invalid_request", "Invalid or missing parameters: redirect_uri");
    let uri = url::Url::parse(text).map_err(|_| bad())?;
    let loopback = matches!(uri.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if uri.scheme() == "https" || (uri.scheme() == "http" && loopback) { Ok(uri) } else { Err(bad()) }
}

fn consenting<'a>(query: &Query, people: &'a [Person]) -> Option<&'a Person> {
    match query.get("user") {
        Some(email) => people.iter().find(|person| person.email.eq_ignore_ascii_case(email)),
        None => people.first(),
    }
}

fn send_back(mut redirect: url::Url, query: &Query, pairs: &[(&str, &str)]) -> Reply {
    for (name, value) in pairs {
        redirect.query_pairs_mut().append_pair(name, value);
    }
    if let Some(state) = query.get("state") {
        redirect.query_pairs_mut().append_pair("state", state);
    }
    Reply::text("text/plain; charset=utf-8", String::new()).with_status(302).with_header("location", redirect.as_str())
}

fn page(query: &Query, people: &[Person], granted: &[String]) -> Reply {
    let hidden = |(name, value): &(String, String)| {
        format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value))
    };
    let kept = query.pairs().iter().filter(|(name, _)| name != "consent" && name != "user");
    let fields: String = kept.map(hidden).collect();
    let option = |person: &Person| {
        let (email, name) = (escape(&person.email), escape(&person.display_name()));
        format!("<option value=\"{email}\">{name} ({email})</option>")
    };
    let options: String = people.iter().map(option).collect();
    let scopes: String = granted.iter().map(|scope| format!("<li>{}</li>", escape(scope))).collect();
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Ironclad simulator: sign in</title>\
         <h1>Ironclad simulator</h1><p>An application asks for access to {COMPANY_NAME}.</p>\
         <form method=\"get\" action=\"/oauth/authorize\">{fields}\
         <p><label>Sign in as <select name=\"user\">{options}</select></label></p>\
         <p><button name=\"consent\" value=\"allow\">Allow</button> \
         <button name=\"consent\" value=\"deny\">Deny</button></p></form>\
         <p>It will be able to use:</p><ul>{scopes}</ul></html>"
    );
    Reply::text("text/html; charset=utf-8", html)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_https_redirects_are_registered() {
        let base = format!("client_id={}&redirect_uri=", super::super::identity::CLIENT_ID);
        let allowed = |uri: &str| checked_redirect(&Query::parse(&format!("{base}{uri}"))).is_ok();
        assert!(allowed("http://127.0.0.1:8123/callback"));
        assert!(allowed("https://client.example/cb"));
        assert!(!allowed("http://client.example/cb"));
        assert!(!allowed("javascript:alert(1)"));
    }

    #[test]
    fn markup_in_parameters_is_escaped() {
        assert_eq!(escape("\"><script>"), "&quot;&gt;&lt;script&gt;");
    }
}
