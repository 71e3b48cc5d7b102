//! Answers a plain tool call of the revision without sessions (2026-07-28) at once.
//!
//! rmcp gives every request a service of its own, with three tasks and three channels, so that the two sides can talk while
//! it runs. A call whose client asks for no progress has nothing to talk about, and this takes half the time. Whatever is not
//! plain in every respect goes on to rmcp untouched, so its checks and its refusals stay the only ones.

use std::convert::Infallible;

use axum::{
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN},
        request::Parts,
        uri::Authority,
    },
    response::{IntoResponse, Response},
};
use rmcp::{
    Peer, RoleServer, Service,
    model::{
        CallToolRequest, CallToolRequestParams, ClientRequest, JsonObject, ProtocolVersion, RequestId,
        RequestMetaObject, ServerJsonRpcMessage,
    },
    service::{RequestContext, RxJsonRpcMessage, TxJsonRpcMessage, serve_directly},
    transport::Transport,
};
use serde::Deserialize;

use super::{bounds::Whole, sessions::SESSION};
use crate::server::Server;

const CALL: &str = "tools/call";
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// What answers plain calls.
pub(super) struct Direct {
    server: Server,
    /// A client that cannot be reached: a plain call tells it nothing but its answer.
    nobody: Peer<RoleServer>,
    /// What may stand in `Host`.
    hosts: Vec<Authority>,
}

impl Direct {
    /// Answers for a server that is called by these hosts' names.
    pub(super) fn new(server: Server, hosts: &[String]) -> Self {
        let nobody = serve_directly(server.clone(), Silence, None).peer().clone();
        let hosts = hosts.iter().filter_map(|host| host.parse().ok()).collect();
        Self { server, nobody, hosts }
    }

    /// Whether the head is that of a plain call, as far as a head tells.
    pub(super) fn is_plain(&self, request: &Whole) -> bool {
        let headers = request.headers();
        let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
        request.method() == Method::POST
            && is("mcp-protocol-version", ProtocolVersion::V_2026_07_28.as_str())
            && is("mcp-method", CALL)
            && !headers.contains_key(SESSION)
            && !headers.contains_key(ORIGIN)
            && !headers.keys().any(|name| name.as_str().starts_with("mcp-param-"))
            && headers.get(CONTENT_TYPE).is_some_and(|given| given == JSON)
            && accepts_both(headers)
            && headers.get(HOST).is_some_and(|host| is_one_of(&self.hosts, host))
    }

    /// The call that a body holds, if it is a plain one of a tool that there is.
    pub(super) fn call(&self, head: &Parts, body: &[u8]) -> Option<Call> {
        let Message { jsonrpc, id, method, params } = serde_json::from_slice(body).ok()?;
        let is_plain = jsonrpc == "2.0"
            && method == CALL
            && head.headers.get("mcp-name").is_some_and(|name| name == params.name.as_str())
            && params.meta.protocol_version() == Some(ProtocolVersion::V_2026_07_28)
            && params.meta.client_capabilities().is_some()
            && !params.meta.contains_key("progressToken")
            && self.server.has_tool(&params.name);
        is_plain.then_some(Call { id, params })
    }

    /// Makes a call, and answers as rmcp would.
    pub(super) async fn answer(&self, head: Parts, Call { id, params }: Call) -> Response {
        let Params { name, arguments, meta } = params;
        let mut cx = RequestContext::new(id.clone(), self.nobody.clone());
        cx.meta = meta;
        cx.extensions.insert(head);
        let mut params = CallToolRequestParams::new(name);
        params.arguments = arguments;
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let message = match self.server.handle_request(request, cx).await {
            Ok(result) => ServerJsonRpcMessage::response(result, id),
            Err(error) => ServerJsonRpcMessage::error(error, Some(id)),
        };
        match serde_json::to_vec(&message) {
            Ok(body) => ([(CONTENT_TYPE, JSON)], body).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        }
    }
}

/// A plain call.
pub(super) struct Call {
    id: RequestId,
    params: Params,
}

/// A call, if it has no member that this does not know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    jsonrpc: &'a str,
    id: RequestId,
    method: &'a str,
    params: Params,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    name: String,
    #[serde(default)]
    arguments: Option<JsonObject>,
    #[serde(rename = "_meta")]
    meta: RequestMetaObject,
}

/// Whether a host is one of those that are listed; a listed one without a port is so at every port.
fn is_one_of(hosts: &[Authority], given: &HeaderValue) -> bool {
    let Ok(given) = Authority::try_from(given.as_bytes()) else { return false };
    hosts.iter().any(|host| {
        host.host().eq_ignore_ascii_case(given.host())
            && host.port_u16().is_none_or(|port| given.port_u16() == Some(port))
    })
}

/// Whether a client takes JSON and event streams, and says so without any weights.
fn accepts_both(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(ACCEPT).iter();
    let (Some(Ok(given)), None) = (given.next().map(HeaderValue::to_str), given.next()) else { return false };
    let names = |wanted: &str| given.split(',').any(|kind| kind.trim() == wanted);
    names(JSON) && names(EVENTS)
}

/// A connection on which nobody says anything any more.
struct Silence;

impl Transport<RoleServer> for Silence {
    type Error = Infallible;

    fn send(
        &mut self,
        _message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        None
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::LOOPBACK_HOSTS;

    #[test]
    fn only_listed_hosts_are_taken() {
        let hosts = |hosts: &[&str]| -> Vec<Authority> { hosts.iter().filter_map(|host| host.parse().ok()).collect() };
        let (loopback, named) = (hosts(&LOOPBACK_HOSTS), hosts(&["mcp.example", "other.example:8443"]));
        let is = |hosts: &[Authority], given: &str| is_one_of(hosts, &HeaderValue::from_str(given).unwrap());
        for good in ["localhost", "LOCALHOST:8000", "127.0.0.1:1"] {
            assert!(is(&loopback, good), "{good}");
        }
        for good in ["mcp.example", "MCP.example:443", "other.example:8443"] {
            assert!(is(&named, good), "{good}");
        }
        let bad =
            ["", ":", ":1", "localhost.evil.example", "evil.example", "127.0.0.1.evil.example:1", "user@evil", "a b"];
        for bad in bad {
            assert!(!is(&loopback, bad) && !is(&named, bad), "{bad}");
        }
        assert!(!is(&named, "other.example") && !is(&named, "other.example:1") && !is(&named, "localhost"));
    }

    #[test]
    fn only_a_plain_accept_of_both_kinds_is_taken() {
        let accepts = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ACCEPT, HeaderValue::from_str(value).unwrap());
            }
            accepts_both(&headers)
        };
        assert!(
            accepts(&["application/json, text/event-stream"]) && accepts(&["text/event-stream,application/json,a/b"])
        );
        for other in [
            &[][..],
            &["application/json"],
            &["*/*"],
            &["application/json;q=0, text/event-stream"],
            &["application/json", "text/event-stream"],
        ] {
            assert!(!accepts(other), "{other:?}");
        }
    }
}
