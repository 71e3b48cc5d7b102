//! Sends requests to Ironclad: the only place that does HTTP outwards.
//!
//! An attempt includes reading its answer, because a cut or malformed body is as much a failure as a bad status; what
//! makes an answer sound is the [`Receiver`]'s to say. Redirects are never followed for a write, and never with our
//! headers to another host.

pub mod auth;
pub mod json;
pub mod limiter;
mod multipart;
pub mod region;
pub mod retry;

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use reqwest::{
    StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use self::{
    auth::{Auth, AuthError},
    limiter::{Bucket, Limiter},
    region::{Origin, is_loopback},
    retry::{Ending, Next, Patience},
};
use crate::{
    manifest::{Effect, Method},
    request::{ActingUser, Request},
};

/// The most bytes of an error body that are read: Ironclad's are a few hundred.
const ERROR_BYTES: usize = 64 * 1024;

/// How many redirects a download may take.
const MAX_REDIRECTS: usize = 5;

/// Everything that a client needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The Ironclad host.
    pub origin: Origin,
    /// The whole of one request, its answer included.
    pub timeout: Duration,
    /// Making the connection.
    pub connect_timeout: Duration,
    /// How patient a call is.
    pub patience: Patience,
    /// Whether to keep to Ironclad's rate limits here.
    pub rate_budget: bool,
}

/// The head of an answer.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Ironclad's HTTP status.
    pub status: u16,
    /// `x-ironclad-requestid`.
    pub request_id: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// `X-RateLimit-Remaining`.
    pub remaining: Option<u64>,
    /// `X-RateLimit-Reset`, read as seconds from now.
    pub reset: Option<Duration>,
    /// `Content-Type`.
    pub media_type: Option<String>,
    /// `Content-Disposition`.
    pub disposition: Option<String>,
    /// `Content-Length`.
    pub length: Option<u64>,
}

/// Takes the body of a good answer as it comes.
pub trait Receiver: Send {
    /// What a sound body becomes.
    type Answer: Send;

    /// Forgets an attempt before, and prepares for a body.
    fn begin(&mut self, head: &Head);

    /// Takes the next piece; `false` where the body grows past what is taken.
    fn push(&mut self, chunk: &[u8]) -> bool;

    /// What the whole body is.
    ///
    /// # Errors
    /// It is not what the endpoint answers with.
    fn finish(&mut self) -> Result<Self::Answer, Unsound>;
}

/// Why a body is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsound {
    /// It is not what the endpoint answers with.
    Malformed,
    /// It is past the limit of so many bytes.
    TooLarge(usize),
}

/// Why a request brought no answer.
#[derive(Debug)]
pub enum Failure {
    /// No token can be had.
    NoToken(AuthError),
    /// The budget leaves no place within the wait that is allowed; how long it would be.
    OverBudget(Duration),
    /// Ironclad answered no.
    Refused {
        /// Status and headers.
        head: Head,
        /// Its body, as far as it was read.
        body: Vec<u8>,
    },
    /// The connection was never made.
    NeverArrived(reqwest::Error),
    /// It was sent, and the connection broke or time ran out.
    Lost(Option<reqwest::Error>),
    /// It was answered, unsoundly.
    Unsound(Head, Unsound),
    /// A file that should go along cannot be read, so nothing was sent.
    Unreadable(std::io::Error),
}

/// On whose behalf a request is sent.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// The acting user: it goes into headers.
    pub user: &'a ActingUser,
}

impl<'a> Errand<'a> {
    /// An errand for this user, of which nobody wants to hear before it is done.
    #[must_use]
    pub fn of(user: &'a ActingUser) -> Self {
        Self { user }
    }
}

/// How often a request was sent, and how its last attempt ended.
#[derive(Debug)]
pub struct Exchange<T> {
    /// Times sent.
    pub attempts: u32,
    /// The answer with its head, or why there is none.
    pub result: Result<(Head, T), Failure>,
}

/// A client of one Ironclad account.
pub struct Client {
    settings: Settings,
    auth: Auth,
    limiter: Option<Limiter>,
    http: OnceLock<reqwest::Client>,
}

impl Client {
    /// A client; the HTTP stack is built when first needed, because loading root certificates takes milliseconds.
    #[must_use]
    pub fn new(settings: Settings, auth: Auth) -> Self {
        let limiter = settings.rate_budget.then(|| Limiter::new(settings.patience.longest_wait));
        Self { settings, auth, limiter, http: OnceLock::new() }
    }

    /// The Ironclad host.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.settings.origin.as_str()
    }

    /// The longest that one request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    fn http(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ironclad-mcp/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.settings.connect_timeout)
            .timeout(self.settings.timeout)
            .tcp_nodelay(true);
        if self.settings.origin.is_loopback() {
            builder = builder.no_proxy();
        }
        let http = builder.build()?;
        Ok(self.http.get_or_init(|| http))
    }

    /// Sends a request as often as it takes and may be, and hands its answer to `receiver`.
    pub async fn send<R: Receiver>(
        &self,
        request: &Request,
        receiver: &mut R,
        errand: Errand<'_>,
    ) -> Exchange<R::Answer> {
        let mut attempts = 0;
        // Counted apart from what was sent: a sign-in that fails again and again must end too.
        let mut tries = 0;
        let mut renewed = false;
        let mut refused_token = None;
        loop {
            let result = self.attempt(request, receiver, errand, &mut refused_token).await;
            let sent = !matches!(result, Err(Failure::NoToken(_) | Failure::OverBudget(_) | Failure::Unreadable(_)));
            attempts += u32::from(sent);
            let failure = match result {
                Ok(answer) => return Exchange { attempts, result: Ok(answer) },
                Err(failure) => failure,
            };
            if is_unauthorized(&failure) && self.auth.can_renew() && !renewed {
                renewed = true;
                tries += 1;
                continue;
            }
            let pause = ending(&failure).map_or(Next::GiveUp, |(ending, retry_after)| {
                retry::next(request.effect, ending, tries, retry_after, self.settings.patience)
            });
            tries += 1;
            match pause {
                Next::GiveUp => return Exchange { attempts, result: Err(failure) },
                Next::After(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    async fn attempt<R: Receiver>(
        &self,
        request: &Request,
        receiver: &mut R,
        errand: Errand<'_>,
        refused_token: &mut Option<SecretString>,
    ) -> Result<(Head, R::Answer), Failure> {
        let http = self.http().map_err(Failure::NeverArrived)?;
        let token = self.auth.token(http, refused_token.as_ref()).await.map_err(Failure::NoToken)?;
        let bucket = Bucket::of(request.api, request.method, &request.path);
        if let Some(limiter) = &self.limiter {
            limiter.admit(bucket).await.map_err(Failure::OverBudget)?;
        }
        let began = Instant::now();
        let mut reply = self.reply(http, request, errand, &token).await?;
        let head = head(&reply);
        tracing::debug!(
            method = request.method.as_str(),
            path = request.path,
            status = head.status,
            request_id = head.request_id,
            ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "Ironclad answered"
        );
        if let (Some(limiter), Some(pause)) = (&self.limiter, head.exhausted_for()) {
            limiter.exhausted(bucket, pause);
        }
        if !reply.status().is_success() {
            if reply.status() == StatusCode::UNAUTHORIZED {
                *refused_token = Some(token);
            }
            let body = error_body(&mut reply).await;
            return Err(Failure::Refused { head, body });
        }
        receiver.begin(&head);
        loop {
            match reply.chunk().await {
                Ok(Some(chunk)) if receiver.push(&chunk) => {}
                Ok(_) => break,
                Err(error) => return Err(Failure::Lost(Some(error.without_url()))),
            }
        }
        match receiver.finish() {
            Ok(answer) => Ok((head, answer)),
            Err(unsound) => Err(Failure::Unsound(head, unsound)),
        }
    }

    async fn reply(
        &self,
        http: &reqwest::Client,
        request: &Request,
        errand: Errand<'_>,
        token: &SecretString,
    ) -> Result<reqwest::Response, Failure> {
        let mut url = self.url(request)?;
        for _ in 0..=MAX_REDIRECTS {
            let same_host = url.origin().ascii_serialization() == self.settings.origin.as_str();
            let mut builder = http.request(http_method(request.method), url.clone());
            if same_host {
                builder = builder.bearer_auth(token.expose_secret());
                // Whoever signed in acts; a header would only be ignored (ironclad-api.md §2).
                if !self.has_login() {
                    builder = acting(builder, errand.user);
                }
            }
            builder = match &request.body {
                Some(body) if request.files.is_empty() => builder.json(body),
                Some(body) => builder.multipart(multipart::form(body, &request.files).await?),
                None => builder,
            };
            let reply = builder.send().await.map_err(sending_failure)?;
            if !reply.status().is_redirection() || request.effect != Effect::Read {
                return Ok(reply);
            }
            let Some(target) = self.redirect_target(&url, reply.headers()) else { return Ok(reply) };
            url = target;
        }
        Err(Failure::Lost(None))
    }

    fn url(&self, request: &Request) -> Result<Url, Failure> {
        let text = format!("{}{}", self.origin(), request.path);
        let mut url = Url::parse(&text).map_err(|_| Failure::Lost(None))?;
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }

    /// Where a redirect of a read may lead: https anywhere, or this machine if Ironclad is the simulator on it.
    fn redirect_target(&self, from: &Url, headers: &HeaderMap) -> Option<Url> {
        let target = from.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
        let allowed = target.scheme() == "https" || (self.settings.origin.is_loopback() && is_loopback(&target));
        allowed.then_some(target)
    }
}

fn acting(mut builder: reqwest::RequestBuilder, user: &ActingUser) -> reqwest::RequestBuilder {
    for (name, value) in [("x-as-user-email", &user.email), ("x-as-user-id", &user.id)] {
        if let Some(value) = value {
            builder = builder.header(name, value);
        }
    }
    builder
}

fn http_method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

fn sending_failure(error: reqwest::Error) -> Failure {
    // Its URL holds ids and filters, which belong in no log.
    let error = error.without_url();
    if error.is_connect() || error.is_builder() { Failure::NeverArrived(error) } else { Failure::Lost(Some(error)) }
}

fn head(reply: &reqwest::Response) -> Head {
    let text = |name: &HeaderName| Some(reply.headers().get(name)?.to_str().ok()?.to_owned());
    Head {
        status: reply.status().as_u16(),
        request_id: text(&HeaderName::from_static("x-ironclad-requestid")),
        retry_after: text(&RETRY_AFTER).and_then(|seconds| Some(Duration::from_secs(seconds.trim().parse().ok()?))),
        remaining: text(&HeaderName::from_static("x-ratelimit-remaining")).and_then(|count| count.trim().parse().ok()),
        reset: text(&HeaderName::from_static("x-ratelimit-reset")).and_then(|reset| seconds_from_now(&reset)),
        media_type: text(&CONTENT_TYPE),
        disposition: text(&CONTENT_DISPOSITION),
        length: text(&CONTENT_LENGTH).and_then(|length| length.parse().ok()),
    }
}

/// The unit of `X-RateLimit-Reset` is not told (ironclad-api.md §5): a time of day is too large to be a pause, and is
/// left out, since a pause that is too short costs one 429 and a wrong one blocks for years.
fn seconds_from_now(reset: &str) -> Option<Duration> {
    let seconds: u64 = reset.trim().parse().ok()?;
    (seconds <= 600).then(|| Duration::from_secs(seconds))
}

impl Head {
    /// For how long Ironclad says that the request's bucket is empty, if it does.
    fn exhausted_for(&self) -> Option<Duration> {
        if self.status == 429 {
            return self.retry_after.or(self.reset);
        }
        self.reset.filter(|_| self.remaining == Some(0))
    }
}

async fn error_body(reply: &mut reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = reply.chunk().await {
        let room = ERROR_BYTES.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if room == 0 {
            break;
        }
    }
    body
}

fn is_unauthorized(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused { head, .. } if head.status == 401)
}

/// How an attempt ended, for the decision to repeat it; `None` where repeating is out of the question.
fn ending(failure: &Failure) -> Option<(Ending, Option<Duration>)> {
    match failure {
        Failure::Refused { head, .. } => Some((Ending::Status(head.status), head.retry_after)),
        Failure::NeverArrived(_) => Some((Ending::NeverArrived, None)),
        Failure::Lost(_) => Some((Ending::Lost, None)),
        Failure::Unsound(_, Unsound::Malformed) => Some((Ending::Malformed, None)),
        Failure::NoToken(AuthError::Unreachable(_)) => Some((Ending::NeverArrived, None)),
        Failure::NoToken(_)
        | Failure::OverBudget(_)
        | Failure::Unsound(_, Unsound::TooLarge(_))
        | Failure::Unreadable(_) => None,
    }
}
