//! One request of a session: its service reads and writes here, and whoever streams the answer reads.
//!
//! Every request has a service of its own that ends with it, so a session that waits costs next to nothing. What the service
//! says is kept until it is read to the end, so that a client whose connection broke can come back for it (`Last-Event-ID`).

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{Stream, stream};
use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, JsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerNotification},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::{Transport, common::server_side_http::ServerSseMessage},
};
use tokio::sync::Notify;

/// How long a client that lost its connection should wait before it comes back.
const RETRY: Duration = Duration::from_secs(3);

/// The most messages that are kept for a client that does not read them.
const KEPT: usize = 256;

/// A request and what belongs to it.
pub(super) struct Exchange {
    /// Which of the session's requests it is.
    pub(super) number: u64,
    /// The client's own id of it.
    pub(super) id: Option<RequestId>,
    state: Mutex<State>,
    /// The service has something to read.
    heard: Notify,
    /// The client has something to read.
    told: Notify,
    /// How many streams have read it; only the last one still does.
    readers: AtomicU64,
    /// How many streams there are.
    reading: AtomicUsize,
}

#[derive(Default)]
struct State {
    inbox: VecDeque<ClientJsonRpcMessage>,
    outbox: VecDeque<Arc<ServerJsonRpcMessage>>,
    /// How many messages were left out at the front of the outbox.
    dropped: usize,
    /// The questions of the service to its client that are open: the session's id of each, and the service's.
    questions: Vec<(RequestId, RequestId)>,
    over: Option<Instant>,
}

/// What a reader finds.
enum Next {
    Message(usize, Arc<ServerJsonRpcMessage>),
    Later,
    Nothing,
}

impl Exchange {
    pub(super) fn new(number: u64, first: impl IntoIterator<Item = ClientJsonRpcMessage>) -> Arc<Self> {
        let inbox: VecDeque<ClientJsonRpcMessage> = first.into_iter().collect();
        let id = match inbox.front() {
            Some(JsonRpcMessage::Request(request)) => Some(request.id.clone()),
            _ => None,
        };
        let state = Mutex::new(State { inbox, ..State::default() });
        let (heard, told) = (Notify::new(), Notify::new());
        let (readers, reading) = (AtomicU64::new(0), AtomicUsize::new(0));
        Arc::new(Self { number, id, state, heard, told, readers, reading })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message of the client for the service.
    pub(super) fn hear(&self, message: ClientJsonRpcMessage) {
        self.state().inbox.push_back(message);
        self.heard.notify_one();
    }

    /// Nothing more comes, to neither side.
    pub(super) fn end(&self) {
        self.state().over.get_or_insert_with(Instant::now);
        self.heard.notify_one();
        self.told.notify_waiters();
    }

    /// When it ended.
    pub(super) fn over(&self) -> Option<Instant> {
        self.state().over
    }

    /// Whether somebody reads it.
    pub(super) fn is_read(&self) -> bool {
        self.reading.load(Ordering::Acquire) > 0
    }

    /// How many bytes wait to be read.
    pub(super) fn size(&self) -> usize {
        let mut count = Count(0);
        for message in &self.state().outbox {
            // A message that cannot be written is not sent either.
            let _ = serde_json::to_writer(&mut count, &**message);
        }
        count.0
    }

    /// The service's id of an open question that the session gave this id; it is closed with that.
    pub(super) fn take_question(&self, asked_as: &RequestId) -> Option<RequestId> {
        let questions = &mut self.state().questions;
        let at = questions.iter().position(|(of_session, _)| of_session == asked_as)?;
        Some(questions.swap_remove(at).1)
    }

    fn tell(&self, message: ServerJsonRpcMessage) {
        let last = matches!(message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        {
            let mut state = self.state();
            if state.over.is_some() {
                return;
            }
            if state.outbox.len() >= KEPT {
                state.outbox.pop_front();
                state.dropped += 1;
            }
            state.outbox.push_back(Arc::new(message));
        }
        if last { self.end() } else { self.told.notify_waiters() }
    }

    fn next(&self, from: usize, reader: u64) -> Next {
        if self.readers.load(Ordering::Acquire) != reader {
            return Next::Nothing;
        }
        let state = self.state();
        let at = from.max(state.dropped);
        match state.outbox.get(at - state.dropped) {
            Some(message) => Next::Message(at, Arc::clone(message)),
            None if state.over.is_some() => Next::Nothing,
            None => Next::Later,
        }
    }

    async fn read(&self, from: usize, reader: u64) -> Option<(usize, Arc<ServerJsonRpcMessage>)> {
        loop {
            let told = self.told.notified();
            tokio::pin!(told);
            // What is told from here on is not missed.
            told.as_mut().enable();
            match self.next(from, reader) {
                Next::Message(at, message) => return Some((at, message)),
                Next::Nothing => return None,
                Next::Later => told.await,
            }
        }
    }

    /// The first message that the service says.
    pub(super) async fn first(&self) -> Option<Arc<ServerJsonRpcMessage>> {
        self.read(0, self.new_reader()).await.map(|(_, message)| message)
    }

    /// Whoever read before reads no more.
    fn new_reader(&self) -> u64 {
        let reader = self.readers.fetch_add(1, Ordering::AcqRel) + 1;
        self.told.notify_waiters();
        reader
    }

    /// The messages from one on, each with the id by which a client can come back for those after it. `read` is called when
    /// all were read.
    pub(super) fn messages(
        self: Arc<Self>,
        from: usize,
        read: impl Fn(&Self) + Send + Sync + 'static,
    ) -> impl Stream<Item = ServerSseMessage> + Send + Sync + 'static {
        let reader = self.new_reader();
        stream::unfold((Reader::of(self), from, read), move |(exchange, from, read)| async move {
            let Some((at, message)) = exchange.0.read(from, reader).await else {
                if exchange.0.readers.load(Ordering::Acquire) == reader {
                    read(&exchange.0);
                }
                return None;
            };
            let mut event = ServerSseMessage::default();
            event.event_id = Some(format!("{}/{}", at + 1, exchange.0.number));
            event.message = Some(message);
            Some((event, (exchange, at + 1, read)))
        })
    }

    /// The event that comes first: where to come back to before anything was said.
    pub(super) fn opening(&self) -> ServerSseMessage {
        ServerSseMessage::priming(format!("0/{}", self.number), RETRY)
    }
}

/// A stream that reads an exchange.
struct Reader(Arc<Exchange>);

impl Reader {
    fn of(exchange: Arc<Exchange>) -> Self {
        exchange.reading.fetch_add(1, Ordering::AcqRel);
        Self(exchange)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts what is written.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The service's side of an exchange.
pub(in crate::transport::http) struct Conversation {
    pub(super) exchange: Arc<Exchange>,
    /// Gives the next question of the session its id.
    pub(super) questions: Arc<AtomicU64>,
}

impl Conversation {
    /// Several services ask in one session, each counting from nought: their questions get ids of the session.
    fn renamed(&self, mut message: ServerJsonRpcMessage) -> ServerJsonRpcMessage {
        match &mut message {
            JsonRpcMessage::Request(question) => {
                let number = self.questions.fetch_add(1, Ordering::Relaxed);
                let asked_as = RequestId::Number(i64::try_from(number).unwrap_or(i64::MAX));
                let own = std::mem::replace(&mut question.id, asked_as.clone());
                self.exchange.state().questions.push((asked_as, own));
            }
            JsonRpcMessage::Notification(notification) => {
                if let ServerNotification::CancelledNotification(cancelled) = &mut notification.notification
                    && let Some(id) = &mut cancelled.params.request_id
                {
                    let questions = &mut self.exchange.state().questions;
                    if let Some(at) = questions.iter().position(|(_, own)| own == id) {
                        *id = questions.swap_remove(at).0;
                    }
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        message
    }
}

impl Transport<RoleServer> for Conversation {
    type Error = std::convert::Infallible;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.exchange.tell(self.renamed(message));
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            {
                let mut state = self.exchange.state();
                match state.inbox.pop_front() {
                    Some(message) => return Some(message),
                    None if state.over.is_some() => return None,
                    None => {}
                }
            }
            self.exchange.heard.notified().await;
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        // A service that ended without an answer has nothing more to say.
        self.exchange.end();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use rmcp::model::{EmptyResult, PingRequest, ServerRequest, ServerResult};

    use super::*;

    fn exchange() -> Arc<Exchange> {
        Exchange::new(7, None)
    }

    fn conversation(exchange: &Arc<Exchange>, questions: &Arc<AtomicU64>) -> Conversation {
        Conversation { exchange: Arc::clone(exchange), questions: Arc::clone(questions) }
    }

    fn answer(id: i64) -> ServerJsonRpcMessage {
        ServerJsonRpcMessage::response(ServerResult::EmptyResult(EmptyResult {}), RequestId::Number(id))
    }

    fn ask() -> ServerJsonRpcMessage {
        ServerJsonRpcMessage::request(ServerRequest::PingRequest(PingRequest::default()), RequestId::Number(0))
    }

    async fn ids(stream: impl Stream<Item = ServerSseMessage>) -> Vec<String> {
        stream.filter_map(|event| async { event.event_id }).collect().await
    }

    #[tokio::test]
    async fn an_answer_that_nobody_read_waits_for_whoever_comes_back() {
        let (exchange, questions) = (exchange(), Arc::default());
        let mut service = conversation(&exchange, &questions);
        let lost = Arc::clone(&exchange).messages(0, |_| panic!("it was not read to the end"));
        service.send(ask()).await.unwrap();
        service.send(answer(1)).await.unwrap();
        let back = Arc::clone(&exchange).messages(0, |_| {});
        assert_eq!(ids(lost).await, [""; 0], "whoever read before reads no more");
        assert_eq!(ids(back).await, ["1/7", "2/7"]);
        assert_eq!(ids(Arc::clone(&exchange).messages(1, |_| {})).await, ["2/7"], "those after the last that came");
        assert!(service.receive().await.is_none(), "the service has nothing more to do");
    }

    #[tokio::test]
    async fn what_comes_late_is_streamed_as_it_comes_and_nothing_after_the_answer() {
        let (exchange, questions) = (exchange(), Arc::default());
        let mut service = conversation(&exchange, &questions);
        let reading = tokio::spawn(ids(Arc::clone(&exchange).messages(0, |_| {})));
        for message in [ask(), answer(1), ask()] {
            tokio::task::yield_now().await;
            service.send(message).await.unwrap();
        }
        assert_eq!(reading.await.unwrap(), ["1/7", "2/7"]);
    }

    #[tokio::test]
    async fn questions_of_two_services_are_told_apart() {
        let (one, other, questions) = (exchange(), exchange(), Arc::default());
        for exchange in [&one, &other] {
            conversation(exchange, &questions).send(ask()).await.unwrap();
        }
        assert_eq!(other.take_question(&RequestId::Number(1)), Some(RequestId::Number(0)));
        assert_eq!(other.take_question(&RequestId::Number(1)), None, "it counts once");
        assert_eq!(one.take_question(&RequestId::Number(1)), None, "it is the other's");
        assert_eq!(one.take_question(&RequestId::Number(0)), Some(RequestId::Number(0)));
    }

    #[tokio::test]
    async fn a_client_that_never_reads_costs_no_more_than_so_much() {
        let (exchange, questions) = (exchange(), Arc::default());
        let mut service = conversation(&exchange, &questions);
        for _ in 0..KEPT + 10 {
            service.send(ask()).await.unwrap();
        }
        service.send(answer(1)).await.unwrap();
        let all = ids(Arc::clone(&exchange).messages(0, |_| {})).await;
        assert_eq!(all.len(), KEPT);
        assert_eq!(all.last().unwrap(), &format!("{}/7", KEPT + 11));
    }
}
