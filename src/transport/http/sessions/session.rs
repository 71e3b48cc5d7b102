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

/// How many such answers are kept, and of what size in bytes.
const MOST_UNREAD: usize = 4;
const LARGEST_UNREAD: usize = 256 * 1024;

/// How long a client may take from the first request of a hello to its end.
const HELLO: Duration = Duration::from_secs(60);

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
        self.tidy();
        self.exchanges().insert(number, Arc::clone(&exchange));
        if self.ended.is_cancelled() {
            exchange.end();
        }
        exchange
    }

    /// Forgets answers that nobody came back for: those that are too old or too large, and the oldest of too many.
    pub(super) fn tidy(&self) {
        let mut exchanges = self.exchanges();
        let lasts = |exchange: &Exchange| {
            exchange.over().is_none_or(|over| over.elapsed() < UNREAD && exchange.size() <= LARGEST_UNREAD)
        };
        exchanges.retain(|_, exchange| exchange.is_read() || lasts(exchange));
        let unread = exchanges.values().filter(|exchange| exchange.over().is_some() && !exchange.is_read());
        let mut unread: Vec<u64> = unread.map(|exchange| exchange.number).collect();
        unread.sort_unstable();
        for number in unread.iter().take(unread.len().saturating_sub(MOST_UNREAD)) {
            exchanges.remove(number);
        }
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
        let patience = if self.welcomed().is_some() { patience } else { patience.min(HELLO) };
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

#[cfg(test)]
mod tests {
    use rmcp::{
        ErrorData,
        model::{PingRequest, ServerJsonRpcMessage},
        transport::Transport as _,
    };

    use super::*;

    fn session() -> Arc<Session> {
        Session::new("s".into(), CancellationToken::new())
    }

    /// A request that was answered with so many bytes, and whose answer nobody has read.
    async fn answered(session: &Session, bytes: usize) -> Arc<Exchange> {
        let request = ClientJsonRpcMessage::request(PingRequest::default().into(), RequestId::Number(1));
        let exchange = session.begin(request);
        let error = ErrorData::internal_error("x".repeat(bytes), None);
        let answer = ServerJsonRpcMessage::error(error, Some(RequestId::Number(1)));
        session.conversation(Arc::clone(&exchange)).send(answer).await.unwrap();
        exchange
    }

    #[tokio::test]
    async fn few_and_small_answers_are_kept_for_whoever_comes_back() {
        let session = session();
        let mut numbers = Vec::new();
        for _ in 0..MOST_UNREAD + 2 {
            numbers.push(answered(&session, 10).await.number);
        }
        session.tidy();
        let kept: Vec<bool> = numbers.iter().map(|number| session.exchange(*number).is_some()).collect();
        assert_eq!(kept, [false, false, true, true, true, true]);
        let large = answered(&session, LARGEST_UNREAD + 1).await.number;
        session.tidy();
        assert!(session.exchange(large).is_none());
    }

    #[tokio::test]
    async fn an_answer_that_is_being_read_stays_whatever_its_size() {
        let session = session();
        let large = answered(&session, LARGEST_UNREAD + 1).await;
        let number = large.number;
        let stream = large.messages(0, |_| {});
        session.tidy();
        assert!(session.exchange(number).is_some());
        drop(stream);
        session.tidy();
        assert!(session.exchange(number).is_none());
    }

    #[tokio::test]
    async fn what_is_under_way_is_no_idleness_and_ends_with_the_session() {
        let session = session();
        assert!(session.is_idle(Duration::ZERO));
        let request = ClientJsonRpcMessage::request(PingRequest::default().into(), RequestId::Number(1));
        let exchange = session.begin(request);
        assert!(!session.is_idle(Duration::ZERO));
        session.end();
        assert!(exchange.over().is_some());
        let late = ClientJsonRpcMessage::request(PingRequest::default().into(), RequestId::Number(2));
        assert!(session.begin(late).over().is_some(), "nothing begins any more");
    }
}
