//! What the approvals page looks like. Every text is escaped by the templates themselves.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::approvals::{Approval, Standing};

/// Who looks, and when.
pub(super) struct View<'a> {
    pub(super) who: &'a str,
    pub(super) csrf: &'a str,
    pub(super) now: i64,
    /// What was just done, and to which.
    pub(super) told: Option<(&'a str, &'a Approval)>,
}

fn frame(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Ironclad MCP" }
                link rel="stylesheet" href="/approvals/style.css";
            }
            body { (body) }
        }
    }
}

/// The page before anybody signed in.
pub(super) fn sign_in(wrong: bool, nobody: bool) -> Markup {
    frame(
        "Sign in",
        &html! {
            main.narrow {
                h1 { "Approvals" }
                p { "Calls of agents that wait for a person’s decision." }
                @if wrong { p.notice.bad role="alert" { "That token is not known. Nothing was shown." } }
                @if nobody {
                    p.notice { "Nobody can sign in yet. Make a token with " code { "ironclad-mcp approver add NAME" } "." }
                }
                form method="post" action="/approvals/sign-in" {
                    label for="token" { "Your sign-in token" }
                    input #token name="token" type="password" autocomplete="current-password" required autofocus;
                    button.primary type="submit" { "Sign in" }
                }
            }
        },
    )
}

/// A page that says why not.
pub(super) fn refusal(why: &str) -> Markup {
    frame(
        "Not done",
        &html! {
            main.narrow {
                h1 { "Not done" }
                p.notice.bad role="alert" { (why) }
                p { a href="/approvals" { "Back to the approvals" } }
            }
        },
    )
}

/// What waits, and what was decided.
pub(super) fn approvals(view: &View<'_>, all: &[Approval]) -> Markup {
    let (waiting, mut past): (Vec<&Approval>, Vec<&Approval>) =
        all.iter().partition(|one| one.standing(view.now) == Standing::Pending);
    past.sort_by_key(|one| std::cmp::Reverse(ended(one)));
    let title = match waiting.len() {
        0 => "Approvals".to_owned(),
        count => format!("({count}) Approvals"),
    };
    frame(
        &title,
        &html! {
            header {
                h1 { "Approvals" }
                form.who method="post" action="/approvals/sign-out" {
                    input type="hidden" name="csrf" value=(view.csrf);
                    span { "Signed in as " strong { (view.who) } }
                    button.plain type="submit" { "Sign out" }
                }
            }
            main {
                @if let Some((said, approval)) = view.told { (told(said, approval, view.now)) }
                section aria-labelledby="waiting" {
                    h2 #waiting { "Waiting for a decision" @if !waiting.is_empty() { " " span.count { (waiting.len()) } } }
                    @if waiting.is_empty() {
                        p.empty { "Nothing waits. " a href="/approvals" { "Look again" } }
                    }
                    @for approval in &waiting { (card(view, approval)) }
                }
                section aria-labelledby="past" {
                    h2 #past { "Recent decisions" }
                    @if past.is_empty() { p.empty { "None in the last week." } } @else { (decisions(view, &past)) }
                }
            }
        },
    )
}

fn told(said: &str, approval: &Approval, now: i64) -> Markup {
    let by = approval.decision.as_ref().map(|decision| decision.by.as_str());
    html! {
        p.notice role="status" {
            @match (said, approval.standing(now)) {
                ("approved", _) => { "Approved: " (approval.sentence) ". It goes on when the agent calls again." }
                ("declined", _) => { "Declined: " (approval.sentence) "." }
                (_, Standing::Expired) => { "Too late: this expired, and nothing was decided." }
                (_, standing) => {
                    "Nothing was changed: this is " (standing.as_str()) " already"
                    @if let Some(by) = by { ", by " (by) } "."
                }
            }
        }
    }
}

fn card(view: &View<'_>, approval: &Approval) -> Markup {
    let id = &approval.id;
    html! {
        article aria-labelledby=(format!("title-{id}")) {
            div.head {
                h3 id=(format!("title-{id}")) { (approval.title) }
                p.meta { "asked " (ago(view.now, approval.filed)) " · good for " (span(approval.expires - view.now)) }
            }
            p.sentence { (approval.sentence) "." }
            @if let Some(lasting) = &approval.lasting { p.lasting { strong { "Cannot be undone. " } (lasting) } }
            dl {
                @for (label, text) in approval.facts.iter().filter(|(label, _)| label != "Change") {
                    div { dt { (label) } dd { (text) } }
                }
            }
            @if !approval.diff.is_empty() { (changes(&approval.diff)) }
            @if let Some(request) = &approval.request {
                details {
                    summary { "The request that would be sent to " (approval.host) }
                    pre { (serde_json::to_string_pretty(request).unwrap_or_default()) }
                }
            }
            form.decide method="post" action=(format!("/approvals/decide/{id}")) {
                input type="hidden" name="csrf" value=(view.csrf);
                label for=(format!("reason-{id}")) { "Reason (the agent is told)" }
                input id=(format!("reason-{id}")) name="reason" type="text" maxlength="300" autocomplete="off";
                div.buttons {
                    button.primary type="submit" name="decision" value="approve" { "Approve" }
                    button type="submit" name="decision" value="decline" { "Decline" }
                    code.id { (id) }
                }
            }
        }
    }
}

fn changes(diff: &[Value]) -> Markup {
    let text = |change: &Value, member: &str| match change.get(member) {
        None | Some(Value::Null) => "—".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    html! {
        table.changes {
            caption { "What would change" }
            thead { tr { th scope="col" { "Field" } th scope="col" { "Now" } th scope="col" { "Then" } } }
            tbody {
                @for change in diff {
                    tr {
                        th scope="row" { (text(change, "path")) }
                        td { del { (text(change, "before")) } }
                        td { ins { (text(change, "after")) } }
                    }
                }
            }
        }
    }
}

fn decisions(view: &View<'_>, past: &[&Approval]) -> Markup {
    html! {
        table.past {
            thead {
                tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Decision" } th scope="col" { "By" } }
            }
            tbody {
                @for approval in past {
                    @let standing = approval.standing(view.now);
                    @let at = ended(approval);
                    tr {
                        td { time datetime=(stamp(at)) { (date(at)) } }
                        td {
                            (approval.sentence)
                            @if let Some(reason) = approval.decision.as_ref().and_then(|one| one.reason.as_ref()) {
                                span.reason { "“" (reason) "”" }
                            }
                        }
                        td { span class=(format!("standing {}", standing.as_str())) { (word(standing)) } }
                        td { (approval.decision.as_ref().map_or("—", |decision| decision.by.as_str())) }
                    }
                }
            }
        }
    }
}

/// When somebody decided, or it was too late.
fn ended(approval: &Approval) -> i64 {
    approval.decision.as_ref().map_or(approval.expires, |decision| decision.at)
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Used => "approved, done",
        Standing::Pending | Standing::Approved | Standing::Declined | Standing::Expired => standing.as_str(),
    }
}

fn ago(now: i64, then: i64) -> String {
    match now.saturating_sub(then) {
        seconds if seconds < 60 => "just now".into(),
        seconds => format!("{} ago", span(seconds)),
    }
}

/// A stretch of time in its largest unit.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds if seconds < 2 * 60 * 60 => format!("{} min", seconds / 60),
        seconds if seconds < 48 * 60 * 60 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn stamp(at: i64) -> String {
    OffsetDateTime::from_unix_timestamp(at).ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

fn date(at: i64) -> String {
    let format = format_description!("[day padding:none] [month repr:short], [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp(at).ok().and_then(|at| at.format(&format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_contract_says_stays_text() {
        let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
        let approval: Approval = serde_json::from_value(json!({
            "id": "abcdefghjkmn", "tool": evil, "title": evil, "agent": evil, "host": evil, "sentence": evil,
            "facts": [[evil, evil]], "diff": [{"path": evil, "before": evil, "after": {"x": evil}}], "lasting": evil,
            "request": {"body": evil}, "digest": "d", "filed": 0, "expires": 100}))
        .unwrap();
        for now in [50, 500] {
            let view = View { who: evil, csrf: evil, now, told: Some(("approved", &approval)) };
            let page = approvals(&view, std::slice::from_ref(&approval)).into_string();
            assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("\"'>"), "{page}");
        }
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        assert_eq!(span(59), "59 s");
        assert_eq!(span(86_390), "23 h");
        assert_eq!(span(-5), "0 s");
        assert_eq!(ago(100, 90), "just now");
        assert_eq!(date(0), "1 Jan, 00:00 UTC");
    }
}
