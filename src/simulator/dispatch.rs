//! From a request off the wire to an operation and back.
//!
//! Authentication comes before routing, so an unknown path without a token is a 401 (ironclad-api.md §2). The data is
//! made on the first request that needs it: a simulator that only starts costs nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest as _, Multipart, State};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use serde_json::{Value, json};

use super::clock::{Clock, stamp};
use super::control;
use super::errors::ApiError;
use super::exchange::{Call, Part, Payload, Query, Reply, ReplyBody};
use super::faults::{Fault, Faults};
use super::identity::Sessions;
use super::incoming::Incoming;
use super::limits::Limits;
use super::oauth;
use super::operations::{self, Operation};
use super::random::Random;
use super::request_log::{self, RequestLog};
use super::seed;
use super::serving::Misfortunes;
use super::settings::Settings;
use super::store::Store;
use super::strict;

const JSON_LIMIT: usize = 5 * 1024 * 1024;
const FORM_LIMIT: usize = 110 * 1024 * 1024;

/// Everything one simulator has.
pub(crate) struct World {
    /// `http://host:port`.
    pub(crate) origin: String,
    /// Faults in force.
    pub(crate) misfortunes: Misfortunes,
    settings: Settings,
    inner: Mutex<Inner>,
}

/// The part that changes.
pub(crate) struct Inner {
    /// Sign-ins.
    pub(crate) sessions: Sessions,
    /// Rate limits.
    pub(crate) limits: Limits,
    /// Request log.
    pub(crate) log: RequestLog,
    store: Option<Store>,
}

/// What became of a request, before it is written out.
struct Settled {
    reply: Reply,
    operation: &'static str,
    user_id: String,
    code: Option<&'static str>,
}

impl Settled {
    fn plain(reply: Reply, operation: &'static str) -> Self {
        Self { reply, operation, user_id: String::new(), code: None }
    }
}

impl World {
    /// A world without data yet.
    pub(crate) fn new(origin: String, settings: Settings) -> Self {
        let inner = Inner {
            sessions: Sessions::new(settings.seed, settings.token_seconds),
            limits: Limits::new(settings.rate_limits),
            log: RequestLog::default(),
            store: None,
        };
        Self { origin, misfortunes: Misfortunes::default(), settings, inner: Mutex::new(inner) }
    }

    /// The data, made now if nobody needed it before.
    pub(crate) fn store<'a>(&self, inner: &'a mut Inner) -> &'a mut Store {
        let settings = &self.settings;
        inner.store.get_or_insert_with(|| {
            let mut store = Store::new(settings.seed, Clock::new(settings.clock));
            seed::fill(&mut store, settings.workflows, settings.records);
            store
        })
    }

    /// Everything but the sign-ins as at the start.
    pub(crate) fn reset(&self, inner: &mut Inner) {
        inner.store = None;
        inner.limits = Limits::new(self.settings.rate_limits);
        inner.log.clear();
        let faults = self.settings.faults.as_deref().unwrap_or_default();
        self.misfortunes.replace(Faults::parse(faults).unwrap_or_default());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a request that a fault kept from reaching the router.
    pub(crate) fn witness(&self, parts: &Parts, fault: Fault) {
        let request = incoming(parts, Bytes::new());
        let (status, code) = match fault {
            Fault::Status { status, .. } | Fault::Html { status } => (status, "FAULT"),
            Fault::ExpiredToken => (401, "FAULT"),
            Fault::Slow { .. }
            | Fault::Cut
            | Fault::ResetBefore
            | Fault::ResetAfter
            | Fault::WrongType
            | Fault::Malformed => (0, "FAULT"),
        };
        let operation = operations::find(&request.method, &request.path).map_or("", |(operation, _)| operation.name);
        let result = request_log::Result { status, operation, applied: false, user_id: "", code: Some(code) };
        let time = stamp(time::OffsetDateTime::now_utc());
        self.lock().log.add(&request, &Payload::Empty, time, result);
    }

    fn settle(&self, inner: &mut Inner, request: &Incoming, payload: &mut Payload) -> Settled {
        let path = request.path.as_str();
        if path == "/__simulator" || path.starts_with("/__simulator/") {
            return Settled::plain(control::answer(self, inner, request, payload), "control");
        }
        if path.starts_with("/oauth/") {
            let people = self.store(inner).people.clone();
            return Settled::plain(oauth::answer(request, &mut inner.sessions, &people), "oauth");
        }
        if !path.starts_with("/public/api/v1/") && !path.starts_with("/scim/v2/") {
            let body = json!({ "code": "NOT_FOUND", "message": "not found; GET /__simulator/ tells what is here" });
            return Settled::plain(Reply::ok(body).with_status(404), "");
        }
        self.api(inner, request, payload)
    }

    fn api(&self, inner: &mut Inner, request: &Incoming, payload: &mut Payload) -> Settled {
        let mut settled = Settled::plain(Reply::ok(Value::Null), "");
        let admitted = match inner.sessions.authenticate(request) {
            Ok(grant) => inner.limits.admit(&request.method, &request.path).map(|headers| (grant, headers)),
            Err(error) => Err((error, Vec::new())),
        };
        let (outcome, headers) = match admitted {
            Err((error, headers)) => (Err(error), headers),
            Ok((grant, headers)) => match operations::find(&request.method, &request.path) {
                None => (Err(ApiError::new(404, "NOT_FOUND", "not found")), headers),
                Some((operation, captured)) => {
                    settled.operation = operation.name;
                    let run = self.run(inner, request, (operation, captured), (&grant, payload));
                    (
                        run.map(|(reply, user_id)| {
                            settled.user_id = user_id;
                            reply
                        }),
                        headers,
                    )
                }
            },
        };
        let scim = request.path.starts_with("/scim/");
        let mut reply = outcome.unwrap_or_else(|error| {
            settled.code = Some(error.code);
            Reply::ok(if scim { error.scim_body() } else { error.body() }).with_status(error.status)
        });
        reply.headers.extend(headers);
        if scim {
            reply.headers.push(("content-type", "application/scim+json".into()));
        }
        settled.reply = reply;
        settled
    }

    fn run(
        &self,
        inner: &mut Inner,
        request: &Incoming,
        route: (&'static Operation, Vec<String>),
        body: (&super::identity::Grant, &mut Payload),
    ) -> Result<(Reply, String), ApiError> {
        let ((operation, path), (grant, payload)) = (route, body);
        if let Some(scope) = operation.scope {
            grant.require(scope)?;
        }
        let store = self.store(inner);
        store.run_due_jobs();
        let actor = grant.acting(request, &store.people)?;
        if self.settings.strict {
            strict::check_query(&request.query, operation.query)?;
        }
        if self.settings.strict || operation.closed {
            strict::check_body(payload, operation.body)?;
        }
        let call = Call {
            origin: self.origin.clone(),
            actor,
            path,
            query: request.query.clone(),
            payload: std::mem::take(payload),
        };
        let outcome = (operation.run)(store, &call);
        let user_id = call.actor.user_id.unwrap_or_default();
        *payload = call.payload;
        outcome.map(|reply| (reply, user_id))
    }
}

/// Answers one request; the router's only handler.
pub(crate) async fn answer(State(world): State<Arc<World>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let form = content_type(&parts).starts_with("multipart/form-data");
    let limit = if form { FORM_LIMIT } else { JSON_LIMIT };
    let (bytes, too_large) = match to_bytes(body, limit).await {
        Ok(bytes) => (bytes, false),
        Err(_) => (Bytes::new(), true),
    };
    let mut payload = if too_large {
        let message = "parameter 'attachment' too large, please limit upload files less than 100MB";
        Payload::Unreadable(if form { message.to_owned() } else { String::from("the body is too large") })
    } else if form {
        parts_of(&parts, bytes.clone()).await
    } else {
        read(&content_type(&parts), &bytes)
    };
    let request = incoming(&parts, bytes);
    let (reply, number) = {
        let mut inner = world.lock();
        let settled = world.settle(&mut inner, &request, &mut payload);
        let Settled { reply, operation, user_id, code } = settled;
        if operation != "control" {
            let time = stamp(time::OffsetDateTime::now_utc());
            let (status, applied) = (reply.status, reply.applied);
            let result = request_log::Result { status, operation, applied, user_id: &user_id, code };
            inner.log.add(&request, &payload, time, result);
        }
        (reply, inner.log.seen())
    };
    write(reply, Random::new(world.settings.seed ^ number.rotate_left(32)).uuid())
}

fn content_type(parts: &Parts) -> String {
    let value = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}

fn incoming(parts: &Parts, body: Bytes) -> Incoming {
    Incoming {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        headers: parts.headers.clone(),
        body,
    }
}

fn read(content_type: &str, bytes: &Bytes) -> Payload {
    if bytes.is_empty() {
        return Payload::Empty;
    }
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if media != "application/json" && !media.ends_with("+json") {
        return Payload::Unreadable(format!("unsupported content type '{media}'; send application/json"));
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => Payload::Json(value),
        Err(error) => Payload::Unreadable(format!("the body is not valid JSON: {error}")),
    }
}

async fn parts_of(parts: &Parts, bytes: Bytes) -> Payload {
    let mut request = Request::new(Body::from(bytes));
    *request.headers_mut() = parts.headers.clone();
    *request.extensions_mut() = parts.extensions.clone();
    let mut form = match Multipart::from_request(request, &()).await {
        Ok(form) => form,
        Err(error) => return Payload::Unreadable(error.body_text()),
    };
    let mut found = Vec::new();
    loop {
        let field = match form.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => return Payload::Parts(found),
            Err(error) => return Payload::Unreadable(error.body_text()),
        };
        let (name, filename) = (field.name().unwrap_or_default().to_owned(), field.file_name().map(str::to_owned));
        let content_type = field.content_type().map(str::to_owned);
        match field.bytes().await {
            Ok(bytes) => found.push(Part { name, filename, content_type, bytes }),
            Err(error) => return Payload::Unreadable(error.body_text()),
        }
    }
}

fn write(reply: Reply, request_id: String) -> Response {
    let (content_type, body) = match reply.body {
        ReplyBody::Empty => (None, Body::empty()),
        ReplyBody::Json(value) => (Some("application/json; charset=utf-8".to_owned()), Body::from(value.to_string())),
        ReplyBody::Text(content_type, text) => (Some(content_type.to_owned()), Body::from(text)),
        ReplyBody::Document(source) => {
            let (bytes, content_type) = source.render();
            (Some(content_type), Body::from(bytes))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(reply.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let fixed = [("cache-control", "no-store, no-cache".to_owned()), ("x-response-id", request_id.clone())];
    let own = content_type.map(|content_type| ("content-type", content_type));
    let all = own.into_iter().chain(fixed).chain([("x-ironclad-requestid", request_id)]).chain(reply.headers);
    for (name, value) in all {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
