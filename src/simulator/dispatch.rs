//! From a request off the wire to an operation and back.
//!
//! Authentication comes before routing, so an unknown path without a token is a 401 (ironclad-api.md §2). The data is
//! made on the first request that needs it: a simulator that only starts costs nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use http::request::Parts;
use serde_json::{Value, json};

use super::archive;
use super::clock::{Clock, stamp};
use super::control;
use super::errors::ApiError;
use super::exchange::{Call, Payload, Reply};
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
use super::visit::{Visit, Witness};
use super::wire;

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
    pub(crate) fn new(origin: String, settings: Settings, faults: Faults) -> Self {
        let inner = Inner {
            sessions: Sessions::new(settings.seed, settings.token_seconds, settings.client_scopes.clone()),
            limits: Limits::new(settings.rate_limits),
            log: RequestLog::default(),
            store: None,
        };
        Self { origin, misfortunes: Misfortunes::new(faults), settings, inner: Mutex::new(inner) }
    }

    /// The data, made now if nobody needed it before.
    pub(crate) fn store<'a>(&self, inner: &'a mut Inner) -> &'a mut Store {
        let settings = &self.settings;
        inner.store.get_or_insert_with(|| {
            let mut store = Store::new(settings.seed, Clock::new(settings.clock));
            let seeded = settings.records.min(archive::MOST_SEEDED);
            seed::fill(&mut store, settings.workflows, seeded);
            store.archived = settings.records.saturating_sub(store.records.len().max(seeded));
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

    /// Moves an active workflow one step on; `false` where that cannot be.
    pub(crate) fn advance(&self, workflow_id: &str) -> bool {
        let mut inner = self.lock();
        self.store(&mut inner).advance(workflow_id).is_ok()
    }

    /// Logs a request that the router did not answer.
    fn log_unanswered(&self, visit: Visit, parts: &Parts, (status, code): (u16, &'static str)) {
        let request = wire::incoming(parts, Bytes::new());
        let operation = operations::find(&request.method, &request.path).map_or("", |(operation, _)| operation.name);
        let result = request_log::Result { status, operation, applied: false, user_id: "", code: Some(code) };
        let time = stamp(time::OffsetDateTime::now_utc());
        self.lock().log.add((visit, &time), &request, &Payload::Empty, result);
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

impl Witness for World {
    fn kept_off(&self, visit: Visit, parts: &Parts) {
        let status = match visit.fault {
            Some(Fault::Status { status, .. } | Fault::Html { status }) => status,
            Some(Fault::ExpiredToken) => 401,
            Some(
                Fault::Slow { .. }
                | Fault::Trickle { .. }
                | Fault::Cut
                | Fault::Hang
                | Fault::Stall
                | Fault::ResetBefore
                | Fault::ResetAfter
                | Fault::WrongType
                | Fault::Malformed
                | Fault::Endless { .. }
                | Fault::Bomb { .. }
                | Fault::Headers { .. },
            )
            | None => 0,
        };
        self.log_unanswered(visit, parts, (status, "FAULT"));
    }

    fn left(&self, visit: Visit, parts: &Parts) {
        if parts.uri.path().starts_with("/__simulator") || self.lock().log.left(visit) {
            return;
        }
        self.log_unanswered(visit, parts, (0, "GONE"));
        self.lock().log.left(visit);
    }
}

/// Answers one request; the router's only handler.
pub(crate) async fn answer(
    State(world): State<Arc<World>>,
    Extension(visit): Extension<Visit>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let (bytes, mut payload) = wire::read(&parts, body).await;
    let request = wire::incoming(&parts, bytes);
    let (reply, number) = {
        let mut inner = world.lock();
        let settled = world.settle(&mut inner, &request, &mut payload);
        let Settled { reply, operation, user_id, code } = settled;
        if operation != "control" {
            let time = stamp(time::OffsetDateTime::now_utc());
            let (status, applied) = (reply.status, reply.applied);
            let result = request_log::Result { status, operation, applied, user_id: &user_id, code };
            inner.log.add((visit, &time), &request, &payload, result);
        }
        (reply, inner.log.seen())
    };
    wire::write(reply, Random::new(world.settings.seed ^ number.rotate_left(32)).uuid())
}
