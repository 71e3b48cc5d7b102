//! What rmcp's HTTP service asks of sessions.

use std::sync::{Arc, atomic::Ordering};

use futures_util::{Stream, StreamExt, stream};
use rmcp::{
    ServerHandler,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, Extensions, InitializeRequestParams,
        InitializedNotification, JsonRpcMessage, ServerJsonRpcMessage, ServerResult,
    },
    service::serve_directly_with_ct,
    transport::{
        common::server_side_http::{ServerSseMessage, SessionId},
        streamable_http_server::session::SessionManager,
    },
};

use super::{
    Sessions,
    exchange::{Conversation, Exchange},
    session::{Session, Welcomed},
};
use crate::server::{Server, ToldByTransport};

/// Serves the requests of sessions.
pub(in crate::transport::http) struct Manager<H> {
    /// What answers.
    pub(in crate::transport::http) handler: H,
    /// Who calls, and what their lists look like.
    pub(in crate::transport::http) server: Server,
    pub(in crate::transport::http) sessions: Arc<Sessions>,
}

/// Why a session does not serve.
#[derive(Debug, thiserror::Error)]
pub(in crate::transport::http) enum SessionsError {
    #[error("there are as many sessions as there may be")]
    Full,
    #[error("there is no such session")]
    Unknown,
    #[error("the first request is not initialize, or was not answered")]
    NoHello,
    #[error("there is no such event to go on from")]
    NoSuchEvent,
}

impl<H> Manager<H> {
    fn session(&self, id: &SessionId) -> Result<Arc<Session>, SessionsError> {
        let session = self.sessions.get(id).ok_or(SessionsError::Unknown)?;
        session.touch();
        Ok(session)
    }

    /// What changes in the lists of the client from now on, or since it was last told.
    fn news(&self, session: Arc<Session>) -> impl Stream<Item = ServerSseMessage> + Send + Sync + use<H> {
        let ended = session.ended.clone();
        let agent = session.agent().cloned();
        let server = self.server.clone();
        let news = stream::once(async move {
            let watched = match agent {
                Some(agent) => Some(server.watched_by(agent, session.seen()).await),
                None => None,
            };
            stream::unfold(watched, move |listing| {
                let session = Arc::clone(&session);
                async move {
                    let mut listing = listing?;
                    loop {
                        let news = listing.changed().await?;
                        // Another stream of the same session may have told it already.
                        if session.sees(listing.seen()) && !news.is_empty() {
                            return Some((news, Some(listing)));
                        }
                    }
                }
            })
        });
        let messages = news
            .flatten()
            .flat_map(stream::iter)
            .map(|list| ServerSseMessage::from_message(ServerJsonRpcMessage::notification(list.notification())));
        messages.take_until(async move { ended.cancelled().await })
    }

    fn messages(
        session: &Arc<Session>,
        exchange: Arc<Exchange>,
        from: usize,
    ) -> impl Stream<Item = ServerSseMessage> + Send + Sync + use<H> {
        let session = Arc::clone(session);
        exchange.messages(from, move |exchange| session.forget(exchange.number))
    }
}

/// The first request of a session: what the client says of itself, and who it is.
fn opening(message: &ClientJsonRpcMessage) -> Option<(InitializeRequestParams, Extensions)> {
    let JsonRpcMessage::Request(request) = message else { return None };
    let ClientRequest::InitializeRequest(initialize) = &request.request else { return None };
    Some((initialize.params.clone(), initialize.extensions.clone()))
}

/// The notification after which the handshake of a session is over. The client's own says nothing more.
fn initialized() -> ClientJsonRpcMessage {
    let mut initialized = InitializedNotification::default();
    initialized.extensions.insert(ToldByTransport);
    ClientJsonRpcMessage::notification(ClientNotification::InitializedNotification(initialized))
}

/// Where a client goes on: after which message of which request; `None` where it names none of a request's.
fn place(event_id: &str) -> Option<(usize, u64)> {
    let (at, number) = event_id.split_once('/')?;
    Some((at.parse().ok()?, number.parse().ok()?))
}

impl<H: ServerHandler + Clone> SessionManager for Manager<H> {
    type Error = SessionsError;
    type Transport = Conversation;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let session = self.sessions.begin().ok_or(SessionsError::Full)?;
        let hello = session.hello().ok_or(SessionsError::NoHello)?;
        Ok((Arc::clone(&session.id), session.conversation(hello)))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        let session = self.session(id)?;
        let (Some(hello), Some((mut client, extensions))) = (session.hello(), opening(&message)) else {
            self.sessions.end(id);
            return Err(SessionsError::NoHello);
        };
        hello.hear(message);
        hello.hear(initialized());
        let Some(answer) = hello.first().await.map(Arc::unwrap_or_clone) else {
            self.sessions.end(id);
            return Err(SessionsError::NoHello);
        };
        match &answer {
            JsonRpcMessage::Response(response) => {
                if let ServerResult::InitializeResult(result) = &response.result {
                    client.protocol_version = result.protocol_version.clone();
                }
                let agent = self.server.opener(&extensions, &client.client_info);
                let seen = self.server.seen_at_once(&agent);
                session.welcome(Welcomed { agent, client }, seen);
            }
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) | JsonRpcMessage::Error(_) => {
                self.sessions.end(id);
            }
        }
        Ok(answer)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        Ok(self.sessions.get(id).is_some())
    }

    /// rmcp closes a session as well when its handshake is over, which is no end here.
    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        if self.sessions.get(id).is_some_and(|session| session.is_left.load(Ordering::Acquire)) {
            self.sessions.end(id);
        }
        Ok(())
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.session(id)?;
        let client = session.welcomed().ok_or(SessionsError::NoHello)?.client.clone();
        let exchange = session.begin(message);
        let conversation = session.conversation(Arc::clone(&exchange));
        let cut = self.sessions.cut.child_token();
        let service = serve_directly_with_ct(self.handler.clone(), conversation, Some(client), cut);
        tokio::spawn(async move {
            if let Err(error) = service.waiting().await {
                tracing::error!(%error, "the service of a request broke off");
            }
        });
        let opening = exchange.opening();
        Ok(stream::once(async move { opening }).chain(Self::messages(&session, exchange, 0)))
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        self.session(id)?.hear(message);
        Ok(())
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(self.news(self.session(id)?))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.session(id)?;
        match place(&last_event_id) {
            Some((from, number)) => {
                let exchange = session.exchange(number).ok_or(SessionsError::NoSuchEvent)?;
                Ok(Self::messages(&session, exchange, from).left_stream())
            }
            None => Ok(self.news(session).right_stream()),
        }
    }
}
