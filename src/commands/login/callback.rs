//! The page that the browser comes back to: a small HTTP server on this machine, for one sign-in.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::commands::CommandError;

/// How long the last page may take to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often another free port is tried where only half of one is free.
const PORTS: u32 = 10;

/// What a visitor sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// Signed in, as whom.
    Done(Option<String>),
    /// The person said no.
    Denied,
    /// It went wrong, and why.
    Failed(String),
    /// The answer is another sign-in's.
    Foreign,
    /// There is no answer in it.
    Nothing,
    /// Elsewhere: another page.
    Elsewhere(String),
}

/// Somebody who came to the page.
pub(super) struct Visit {
    /// What they brought.
    pub(super) query: String,
    reply: oneshot::Sender<Page>,
}

impl Visit {
    /// Shows a page.
    pub(super) fn show(self, page: Page) {
        // Whoever left need not see it.
        let _ = self.reply.send(page);
    }

    /// Sends the browser on.
    pub(super) fn send_on(self, url: String) {
        self.show(Page::Elsewhere(url));
    }
}

/// Brings answers by other ways than a browser.
#[derive(Clone)]
pub(super) struct Visitor(mpsc::Sender<Visit>);

impl Visitor {
    /// Brings a query, and gives what a browser would show, as plain text.
    pub(super) async fn bring(&self, query: &str) -> Option<String> {
        match self.page(query.to_owned()).await? {
            Page::Elsewhere(url) => {
                Some(format!("Ironclad refused a scope; open this page, which asks for fewer:\n\n{url}\n"))
            }
            // Said by the command itself.
            Page::Done(_) | Page::Denied | Page::Failed(_) | Page::Foreign => None,
            Page::Nothing => Some("there is no answer in that address; it has ?code= or ?error= in it".into()),
        }
    }

    async fn page(&self, query: String) -> Option<Page> {
        let (reply, page) = oneshot::channel();
        self.0.send(Visit { query, reply }).await.ok()?;
        page.await.ok()
    }
}

/// The server.
pub(super) struct Callback {
    port: u16,
    visitor: Visitor,
    stop: CancellationToken,
    serving: JoinSet<io::Result<()>>,
}

impl Callback {
    /// Listens on a port of this machine, or on a free one for 0; visits come out of the receiver.
    pub(super) async fn listen(port: u16) -> Result<(Self, mpsc::Receiver<Visit>), CommandError> {
        let listeners = bind(port).await.map_err(|error| taken(port, &error))?;
        let port = listeners.first().and_then(|listener| listener.local_addr().ok()).map_or(port, |bound| bound.port());
        let (sender, visits) = mpsc::channel(1);
        let visitor = Visitor(sender);
        let router = Router::new().route("/callback", get(answer)).with_state(visitor.clone());
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        for listener in listeners {
            let (router, stop) = (router.clone(), stop.clone());
            serving.spawn(async move {
                axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
            });
        }
        Ok((Self { port, visitor, stop, serving }, visits))
    }

    /// The redirect URI, as it is registered with the client.
    pub(super) fn redirect(&self) -> String {
        format!("http://localhost:{}/callback", self.port)
    }

    /// For answers that come by other ways.
    pub(super) fn visitor(&self) -> Visitor {
        self.visitor.clone()
    }

    /// Lets the last page go out, and ends.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(FAREWELL, async { while self.serving.join_next().await.is_some() {} }).await;
    }
}

/// Both loopback addresses, since browsers take `localhost` for either; a machine may lack IPv6, but nobody else may sit
/// there: the code would go to them.
async fn bind(port: u16) -> io::Result<Vec<TcpListener>> {
    let mut tries = 0;
    loop {
        let four = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let bound = four.local_addr()?.port();
        tries += 1;
        match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, bound))).await {
            Ok(six) => return Ok(vec![four, six]),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Ok(vec![four]),
            Err(_) if port == 0 && tries < PORTS => {}
            Err(error) => return Err(error),
        }
    }
}

fn taken(port: u16, error: &io::Error) -> CommandError {
    if error.kind() == io::ErrorKind::AddrInUse {
        return CommandError::Failed(format!(
            "port {port} is taken by another program; end it, or give another with --redirect-port, whose redirect URI \
             http://localhost:PORT/callback must be registered with the client (0 takes a free one)"
        ));
    }
    CommandError::Failed(format!("port {port} cannot be listened on ({error}); give another with --redirect-port"))
}

async fn answer(State(visitor): State<Visitor>, RawQuery(query): RawQuery) -> Response {
    let page = visitor.page(query.unwrap_or_default()).await;
    shown(page.unwrap_or(Page::Failed("the sign-in is over".into())))
}

fn shown(page: Page) -> Response {
    let (status, title, text) = match page {
        Page::Elsewhere(url) => return Redirect::to(&url).into_response(),
        Page::Done(who) => {
            let who = who.map(|who| format!(" as {who}")).unwrap_or_default();
            (StatusCode::OK, "Done", format!("You are signed in{who}. You can close this page."))
        }
        Page::Denied => (
            StatusCode::OK,
            "Not signed in",
            "You did not allow it, and nothing was kept. If that was a mistake, run ironclad-mcp login again.".to_owned(),
        ),
        Page::Failed(why) => (
            StatusCode::BAD_REQUEST,
            "Not signed in",
            format!("It did not work: {why}. The terminal where you ran ironclad-mcp login says more."),
        ),
        Page::Foreign => (
            StatusCode::BAD_REQUEST,
            "Not signed in",
            "This answer belongs to another sign-in, so nothing was kept. Run ironclad-mcp login again, and open the page \
             that it prints."
                .to_owned(),
        ),
        Page::Nothing => (
            StatusCode::BAD_REQUEST,
            "Nothing to see here",
            "Ironclad sends your browser here once you have signed in. Open the page that ironclad-mcp login prints."
                .to_owned(),
        ),
    };
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title} - ironclad-mcp</title>\n\
         <h1>{title}</h1>\n<p>{}</p>\n</html>\n",
        escaped(&text)
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The browser would hold the connection, and the command could not end.
        (header::CONNECTION, "close"),
    ]
    .map(|(name, value): (HeaderName, &'static str)| (name, HeaderValue::from_static(value)));
    (status, headers, html).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn html(page: Page) -> (StatusCode, String) {
        let response = shown(page);
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_page_says_what_happened_and_what_to_do() {
        let (status, done) = html(Page::Done(Some("maya@example.com".into()))).await;
        assert!(status.is_success() && done.contains("Done") && done.contains("maya@example.com"), "{done}");
        let (_, denied) = html(Page::Denied).await;
        assert!(denied.contains("did not allow") && denied.contains("ironclad-mcp login"), "{denied}");
        let (status, failed) = html(Page::Failed("<script>alert(1)</script>".into())).await;
        assert!(status.is_client_error() && !failed.contains("<script>"), "{failed}");
        for page in [Page::Foreign, Page::Nothing] {
            let (status, text) = html(page).await;
            assert!(status.is_client_error() && text.contains("ironclad-mcp login"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_said_and_a_free_one_can_be_had() {
        let (first, _visits) = Callback::listen(0).await.unwrap();
        assert!(first.redirect().starts_with("http://localhost:") && first.redirect().ends_with("/callback"));
        let error = Callback::listen(first.port).await.err().unwrap().to_string();
        assert!(error.contains("--redirect-port") && error.contains(&first.port.to_string()), "{error}");
        let port = first.port;
        first.close().await;
        Callback::listen(port).await.unwrap();
    }
}
