//! One session: a client that said hello, and its requests under way. What it costs while it waits is this struct.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rmcp::{
    model::{ClientJsonRpcMessage, ClientNotification, InitializeRequestParams, JsonRpcMessage, RequestId},
    transport::common::server_side_http::SessionId,
};
use tokio_util::sync::CancellationToken;

use super::exchange::{Conversation, Exchange};
use crate::{agents::Agent, server::Seen};

/// How long an answer that nobody read is kept.
const UNREAD: Duration = Duration::from_secs(60);

/// How many such answers are kept.
const MOST_UNREAD: usize = 8;

/// A session of a client up to 2025-11-25.
pub(in crate::transport::http) struct Session {
    pub(super) id: SessionId,
    /// The first exchange, until it is over; it is nobody's to resume.
    hello: Mutex<Option<Arc<Exchange>>>,
    welcomed: OnceLock<Welcomed>,
    exchanges: Mutex<HashMap<u64, Arc<Exchange>>>,
    /// How many requests there were.
    count: AtomicU64,
    /// How many questions its services asked.
    questions: Arc<AtomicU64>,
    last_heard: Mutex<Instant>,
    /// The lists as the client was last told of them.
    seen: Mutex<Option<Seen>>,
    /// The client asked for the end.
    pub(in crate::transport::http) is_left: AtomicBool,
    /// Cancelled when the session ends.
    pub(super) ended: CancellationToken,
}

/// Whom a session was opened by.
#[derive(Clone)]
pub(super) struct Welcomed {
    pub(super) agent: Agent,
    /// What the client said of itself, with the revision that was agreed on.
    pub(super) client: InitializeRequestParams,
}

impl Session {
    pub(super) fn new(id: SessionId, ended: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            id,
            hello: Mutex::new(Some(Exchange::new(0, None))),
            welcomed: OnceLock::new(),
            exchanges: Mutex::default(),
            count: AtomicU64::new(1),
            questions: Arc::default(),
            last_heard: Mutex::new(Instant::now()),
            seen: Mutex::default(),
            is_left: AtomicBool::new(false),
            ended,
        })
    }

    /// The first exchange, if it is not over.
    pub(super) fn hello(&self) -> Option<Arc<Exchange>> {
        self.hello.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the hello is over, and what came of it.
    pub(super) fn welcome(&self, welcomed: Welcomed, seen: Option<Seen>) {
        self.hello.lock().unwrap_or_else(PoisonError::into_inner).take();
        // There is one hello.
        let _ = self.welcomed.set(welcomed);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    pub(super) fn welcomed(&self) -> Option<&Welcomed> {
        self.welcomed.get()
    }

    /// Who opened it.
    pub(in crate::transport::http) fn agent(&self) -> Option<&Agent> {
        self.welcomed().map(|welcomed| &welcomed.agent)
    }

    /// The lists as the client was last told of them.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what the client is told of now; whether it was not yet.
    pub(super) fn sees(&self, now: &Seen) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.replace(now.clone()).is_none_or(|before| before != *now)
    }

    fn exchanges(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Exchange>>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an exchange with the client's request.
    pub(super) fn begin(&self, request: ClientJsonRpcMessage) -> Arc<Exchange> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let exchange = Exchange::new(number, Some(request));
        let mut exchanges = self.exchanges();
        forget_unread(&mut exchanges);
        exchanges.insert(number, Arc::clone(&exchange));
        drop(exchanges);
        if self.ended.is_cancelled() {
            exchange.end();
        }
        exchange
    }

    /// The exchange of a number, unless it was read to its end.
    pub(super) fn exchange(&self, number: u64) -> Option<Arc<Exchange>> {
        self.exchanges().get(&number).cloned()
    }

    pub(super) fn forget(&self, number: u64) {
        self.exchanges().remove(&number);
    }

    /// The service's side of an exchange.
    pub(super) fn conversation(&self, exchange: Arc<Exchange>) -> Conversation {
        Conversation { exchange, questions: Arc::clone(&self.questions) }
    }

    /// Takes what the client says beside its requests to the service that waits for it.
    pub(super) fn hear(&self, mut message: ClientJsonRpcMessage) {
        match &mut message {
            JsonRpcMessage::Response(answer) => {
                if let Some((exchange, own)) = self.asker(&answer.id) {
                    answer.id = own;
                    exchange.hear(message);
                }
            }
            JsonRpcMessage::Error(error) => {
                if let Some((exchange, own)) = error.id.as_ref().and_then(|id| self.asker(id)) {
                    error.id = Some(own);
                    exchange.hear(message);
                }
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                    && let Some(exchange) = self.running(id)
                {
                    exchange.hear(message);
                    exchange.end();
                }
            }
            JsonRpcMessage::Request(_) => {}
        }
    }

    /// Who asked a question, and what they call it.
    fn asker(&self, asked_as: &RequestId) -> Option<(Arc<Exchange>, RequestId)> {
        let exchanges = self.exchanges();
        exchanges.values().find_map(|exchange| Some((Arc::clone(exchange), exchange.take_question(asked_as)?)))
    }

    fn running(&self, id: &RequestId) -> Option<Arc<Exchange>> {
        let exchanges = self.exchanges();
        exchanges.values().find(|exchange| exchange.id.as_ref() == Some(id) && exchange.over().is_none()).cloned()
    }

    /// Notes that the client is there.
    pub(super) fn touch(&self) {
        *self.last_heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether nothing was heard for so long, and nothing is under way.
    pub(super) fn is_idle(&self, patience: Duration) -> bool {
        let heard = *self.last_heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.elapsed() >= patience && self.exchanges().values().all(|exchange| exchange.over().is_some())
    }

    /// Ends it, and whatever is under way in it.
    pub(super) fn end(&self) {
        self.ended.cancel();
        if let Some(hello) = self.hello() {
            hello.end();
        }
        self.exchanges().values().for_each(|exchange| exchange.end());
    }
}

/// Answers that nobody came back for: those that are too old, and the oldest of too many.
fn forget_unread(exchanges: &mut HashMap<u64, Arc<Exchange>>) {
    exchanges.retain(|_, exchange| exchange.over().is_none_or(|over| over.elapsed() < UNREAD));
    let over = |exchange: &Arc<Exchange>| exchange.over().is_some();
    let mut unread: Vec<u64> = exchanges.values().filter(|exchange| over(exchange)).map(|it| it.number).collect();
    unread.sort_unstable();
    for number in unread.iter().take((unread.len() + 1).saturating_sub(MOST_UNREAD)) {
        exchanges.remove(number);
    }
}
