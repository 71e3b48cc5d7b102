//! Sends requests to Ironclad: the only place that does HTTP outwards.
//!
//! An attempt includes reading its answer, because a cut or malformed body is as much a failure as a bad status; what
//! makes an answer sound is the [`Receiver`]'s to say. Redirects are never followed for a write, and never with our
//! headers to another host.

pub mod auth;
pub mod door;
mod errand;
mod head;
pub mod json;
pub mod limiter;
mod multipart;
pub mod page;
pub mod region;
pub mod retry;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    StatusCode,
    header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION},
};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use tokio::time::Instant;
use url::Url;

use self::{
    auth::{Auth, AuthError},
    door::{Door, DoorError, Gate},
    errand::Trip,
    limiter::{Bucket, Limiter, Place, Standing, Turn, common::Common},
    region::{Origin, is_loopback},
    retry::{Ending, Next, Patience},
};
pub use self::{
    errand::{Errand, Exchange, Progress},
    head::Head,
};
use crate::{
    audit::AuditLog,
    egress::{self, Barred, Rules},
    manifest::{Effect, Method},
    metrics::{Level, Metrics},
    request::{ActingUser, Request},
    traces::Traces,
};

/// The most bytes of an error body that are read: Ironclad's are a few hundred.
const ERROR_BYTES: usize = 64 * 1024;

/// How long a request may have queued for the token that was looked up before to be good still.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// How many redirects a download may take.
const MAX_REDIRECTS: usize = 5;

/// Everything that a client needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The Ironclad host.
    pub origin: Origin,
    /// The whole of one request, its answer included; of a document each wait for its next bytes.
    pub timeout: Duration,
    /// Making the connection.
    pub connect_timeout: Duration,
    /// How patient a call is.
    pub patience: Patience,
    /// The rate limits to keep to; `None` keeps to none.
    pub rate_budget: Option<limiter::Settings>,
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

    /// Whether the body is a document: wanted as it is kept, not compressed on the way, and for as long as it keeps coming.
    fn is_document(&self) -> bool {
        false
    }
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
    /// It would have gone where this program may not connect to.
    Barred(Barred),
    /// The connection was never made.
    NeverArrived(reqwest::Error),
    /// It was sent, and the connection broke or time ran out.
    Lost(Option<reqwest::Error>),
    /// It was answered, unsoundly.
    Unsound(Head, Unsound),
    /// A file that should go along cannot be read, so nothing was sent.
    Unreadable(std::io::Error),
}

/// A client of one Ironclad account.
pub struct Client {
    settings: Settings,
    auth: Auth,
    limiter: Option<Limiter>,
    gate: Arc<Gate>,
    door: OnceLock<Door>,
    metrics: Arc<Metrics>,
    traces: Traces,
}

impl Client {
    /// A client; the HTTP stack is built when first needed, because loading root certificates takes milliseconds.
    #[must_use]
    pub fn new(settings: Settings, auth: Auth) -> Self {
        let limiter = settings.rate_budget.as_ref().map(Limiter::new);
        let gate = Gate::new(Rules::new(egress::Settings::default(), settings.origin.host()), None);
        Self {
            settings,
            auth,
            limiter,
            gate: Arc::new(gate),
            door: OnceLock::new(),
            metrics: Metrics::new(),
            traces: Traces::default(),
        }
    }

    /// The same client, as one of at most so many replicas that count their requests together.
    #[must_use]
    pub fn together(mut self, count: Arc<dyn Common>, replicas: usize) -> Self {
        let limiter = |settings| Limiter::together(settings, count, replicas);
        self.limiter = self.settings.rate_budget.as_ref().map(limiter);
        self
    }

    /// The same client with what the operator says of other destinations, and a log for what comes of it.
    #[must_use]
    pub fn with_egress(self, settings: egress::Settings, log: Option<Arc<AuditLog>>) -> Self {
        self.with_egress_to(settings, &[], log)
    }

    /// The same with hosts that other settings name, each with the rule that lets it through.
    #[must_use]
    pub fn with_egress_to(
        mut self,
        settings: egress::Settings,
        named: &[(String, &'static str)],
        log: Option<Arc<AuditLog>>,
    ) -> Self {
        let rules = Rules::new(settings, self.settings.origin.host());
        let rules = named.iter().fold(rules, |rules, (host, rule)| rules.and(host, rule));
        self.gate = Arc::new(Gate::new(rules, log));
        self
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

    /// How the budget stands that an entry's requests draw on, if there is one to keep to.
    #[must_use]
    pub fn standing(&self, bucket: Bucket) -> Option<Standing> {
        self.limiter.as_ref().map(|limiter| limiter.standing(bucket))
    }

    /// The same client, its requests traced.
    #[must_use]
    pub fn with_traces(mut self, traces: Traces) -> Self {
        self.traces = traces;
        self
    }

    /// Where this client and its server trace what they do.
    #[must_use]
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// What this client and its server count.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How every rate limit stands; nothing where none is kept to.
    #[must_use]
    pub fn levels(&self) -> Vec<Level> {
        let Some(limiter) = &self.limiter else { return Vec::new() };
        let level = |bucket: Bucket| {
            let Standing { limit, remaining, .. } = limiter.standing(bucket);
            Level { bucket: bucket.name(), limit, remaining, queued: limiter.queued(bucket) }
        };
        Bucket::all().map(level).into()
    }

    fn door(&self) -> Result<&Door, reqwest::Error> {
        if let Some(door) = self.door.get() {
            return Ok(door);
        }
        let door = Door::new(Arc::clone(&self.gate), &self.settings, Arc::clone(&self.metrics))?;
        Ok(self.door.get_or_init(|| door))
    }

    /// Sends a request as often as it takes and may be, and hands its answer to `receiver`.
    pub async fn send<R: Receiver>(
        &self,
        request: &Request,
        receiver: &mut R,
        errand: Errand<'_>,
    ) -> Exchange<R::Answer> {
        let mut trip = Trip::new(errand);
        loop {
            let failure = match self.attempt(request, receiver, &mut trip).await {
                Ok(answer) => return trip.ended(Ok(answer)),
                Err(failure) => failure,
            };
            let Some((ending, retry_after)) = ending(&failure) else { return trip.ended(Err(failure)) };
            if retry::did_nothing(ending) {
                trip.came_to_nothing();
            }
            let renewable = self.auth.can_renew();
            match retry::next(request.effect, ending, trip.attempt(retry_after, renewable), self.settings.patience) {
                Next::GiveUp => return trip.ended(Err(failure)),
                Next::Renew => trip.renewed = true,
                Next::After(pause) => {
                    trip.repeats += 1;
                    trip.sent_back = ending == Ending::Status(429);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn attempt<R: Receiver>(
        &self,
        request: &Request,
        receiver: &mut R,
        trip: &mut Trip<'_>,
    ) -> Result<(Head, R::Answer), Failure> {
        let door = self.door().map_err(Failure::NeverArrived)?;
        let mut token = self.auth.token(door, trip.refused_token.as_ref()).await.map_err(Failure::NoToken)?;
        let queued = Instant::now();
        let bucket = Bucket::of(request.api, request.method, &request.path);
        let mut place = self.place(bucket, trip).await?;
        if queued.elapsed() >= LONG_WAIT {
            // Meanwhile it may have ended.
            token = self.auth.token(door, trip.refused_token.as_ref()).await.map_err(Failure::NoToken)?;
        }
        let began = Instant::now();
        let (mut timer, mut span) =
            (self.metrics.request(bucket.name()), self.traces.request(request.method.as_str(), bucket.name()));
        let reply = self.reply(door, request, (&token, receiver.is_document()), (trip, &mut place)).await;
        let (mut reply, head) = match reply {
            Ok(reply) => {
                let head = Head::of(reply.status().as_u16(), reply.headers(), OffsetDateTime::now_utc().into());
                (reply, head)
            }
            Err(failure) => {
                timer.failed(cause(&failure));
                span.failed(cause(&failure));
                if let (Failure::NeverArrived(_) | Failure::Barred(_), Some(place)) = (&failure, place) {
                    place.unused();
                }
                return Err(failure);
            }
        };
        timer.answered(head.status);
        span.answered(head.status);
        if let Some(place) = place {
            place.answered(&head.heard);
        }
        tracing::debug!(
            method = request.method.as_str(),
            path = request.path,
            status = head.status,
            request_id = head.request_id,
            ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "Ironclad answered"
        );
        if !reply.status().is_success() {
            if reply.status() == StatusCode::UNAUTHORIZED {
                trip.refused_token = Some(token);
            }
            let body = error_body(&mut reply).await;
            return Err(Failure::Refused { head, body });
        }
        let received = receive(reply, head, receiver).await;
        if matches!(received, Err(Failure::Lost(_))) {
            timer.failed("lost");
            span.failed("lost");
        }
        received
    }

    /// A place in the budget, if there is one to keep to.
    async fn place(&self, bucket: Bucket, trip: &mut Trip<'_>) -> Result<Option<Place<'_>>, Failure> {
        let Some(limiter) = &self.limiter else { return Ok(None) };
        let began = Instant::now();
        let patience = self.settings.patience.longest_wait.saturating_sub(trip.queued);
        let until = began + trip.left(began).map_or(patience, |left| left.min(patience));
        let Errand { agent, share, progress, .. } = trip.errand;
        let turn = Turn { bucket, agent, share, sent_back: trip.sent_back, until, progress };
        let place = limiter.admit(turn).await;
        trip.queued += began.elapsed();
        place.map(Some).map_err(Failure::OverBudget)
    }

    async fn reply(
        &self,
        door: &Door,
        request: &Request,
        (token, is_document): (&SecretString, bool),
        (trip, place): (&Trip<'_>, &mut Option<Place<'_>>),
    ) -> Result<reqwest::Response, Failure> {
        let mut url = self.url(request)?;
        for redirects in 0..=MAX_REDIRECTS {
            let same_host = url.origin().ascii_serialization() == self.settings.origin.as_str();
            let mut builder = door.request(http_method(request.method), url.clone());
            if same_host {
                builder = builder.bearer_auth(token.expose_secret());
                // Whoever signed in acts; a header would only be ignored (ironclad-api.md §2).
                if !self.has_login() {
                    builder = acting(builder, trip.errand.user);
                }
            }
            let most = if is_document { DOCUMENT_TIME } else { self.settings.timeout };
            builder = builder.timeout(trip.left(Instant::now()).map_or(most, |left| left.min(most)));
            if is_document {
                builder = builder.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            builder = match &request.body {
                Some(body) if request.files.is_empty() => builder.json(body),
                Some(body) => builder.multipart(multipart::form(body, &request.files).await?),
                None => builder,
            };
            if redirects == 0 {
                trip.goes(place.as_mut());
            }
            let outgoing = builder.build().map_err(sending_failure)?;
            let reply = door.execute(outgoing).await.map_err(|error| match error {
                DoorError::Barred(barred) => Failure::Barred(barred),
                DoorError::Http(error) => sending_failure(error),
            })?;
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

    /// Where a redirect of a read may lead: https, or this machine if Ironclad is the simulator on it; the door judges
    /// the host.
    fn redirect_target(&self, from: &Url, headers: &HeaderMap) -> Option<Url> {
        let target = from.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
        let allowed = target.scheme() == "https" || (self.settings.origin.is_loopback() && is_loopback(&target));
        allowed.then_some(target)
    }
}

/// Why a request brought no answer, in a word.
fn cause(failure: &Failure) -> &'static str {
    match failure {
        Failure::NeverArrived(_) => "unreachable",
        Failure::Barred(_) => "barred",
        Failure::Unreadable(_) => "unreadable",
        Failure::NoToken(_)
        | Failure::OverBudget(_)
        | Failure::Refused { .. }
        | Failure::Lost(_)
        | Failure::Unsound(..) => "lost",
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
    if heads_without_end(&error) {
        return Failure::Unsound(Head::default(), Unsound::TooLarge(HEAD_BYTES));
    }
    if error.is_connect() || error.is_builder() { Failure::NeverArrived(error) } else { Failure::Lost(Some(error)) }
}

/// The longest that a document may take while its bytes keep coming.
const DOCUMENT_TIME: Duration = Duration::from_secs(60 * 60);

/// About what `hyper` takes as the head of an answer.
const HEAD_BYTES: usize = 400 * 1024;

/// Whether an answer was given up because of its headers.
fn heads_without_end(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse_too_large)
}

async fn receive<R: Receiver>(
    mut reply: reqwest::Response,
    head: Head,
    receiver: &mut R,
) -> Result<(Head, R::Answer), Failure> {
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

/// How an attempt ended, for the decision to repeat it; `None` where repeating is out of the question.
fn ending(failure: &Failure) -> Option<(Ending, Option<Duration>)> {
    match failure {
        Failure::Refused { head, .. } => Some((Ending::Status(head.status), head.heard.retry_after)),
        Failure::NeverArrived(_) => Some((Ending::NeverArrived, None)),
        Failure::Lost(_) => Some((Ending::Lost, None)),
        Failure::Unsound(_, Unsound::Malformed) => Some((Ending::Malformed, None)),
        Failure::NoToken(AuthError::Unreachable(_)) => Some((Ending::NeverArrived, None)),
        Failure::NoToken(_)
        | Failure::Barred(_)
        | Failure::OverBudget(_)
        | Failure::Unsound(_, Unsound::TooLarge(_))
        | Failure::Unreadable(_) => None,
    }
}
