//! MCP over stdin and stdout, one JSON message a line.
//!
//! rmcp's own line transport drops what it cannot read without a word; a client then waits for ever. This one answers:
//! -32700 for what is no JSON or too long, -32600 for what is no request.

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleServer, ServerHandler as _, ServiceExt,
    model::{
        ClientRequest, ContentBlock, GetMeta as _, JsonRpcMessage, ProtocolVersion, RequestId, ResourceContents,
        ServerResult,
    },
    service::{RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage},
    transport::Transport,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::Mutex,
};
use tokio_util::sync::CancellationToken;

use super::{LAST_ANSWERS, Stop, TransportError, last_calls};
use crate::server::Server;

/// The longest line that is read: a document of 10 MB in base64, and then some.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// A read buffer that grew past this is given back.
const KEPT_BYTES: usize = 64 * 1024;

/// Serves one client until stdin ends or the server is told to stop, and the calls under way have ended.
///
/// # Errors
/// The client did not open the connection as MCP has it, or a stream broke.
pub async fn serve_stdio(server: Server, stop: Stop) -> Result<(), TransportError> {
    let (read, write) = rmcp::transport::stdio_pipes();
    serve_lines(server, read, write, stop).await
}

/// The same over any pair of streams.
///
/// # Errors
/// As [`serve_stdio`].
pub async fn serve_lines<R, W>(server: Server, read: R, write: W, stop: Stop) -> Result<(), TransportError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (ended, over) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(server.clone().follow_templates(over.clone()));
    let versions = server.supported_protocol_versions().into_owned();
    let lines = Lines::new((read, write), versions, (ended.clone(), over.clone()));
    let listeners = server.clone();
    let last_calls = async {
        last_calls(listeners.drain(), &stop, ended.cancelled()).await;
        listeners.end_streams();
        over.cancel();
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    let served = async {
        match server.serve(lines).await {
            Ok(running) => running.waiting().await.map(drop).map_err(|error| TransportError::Io(error.into())),
            Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
            Err(error) => Err(TransportError::Opening(error.to_string())),
        }
    };
    tokio::select! { served = served => served, () = last_calls => Ok(()) }
}

/// A transport of lines.
struct Lines<R, W> {
    read: BufReader<R>,
    line: Vec<u8>,
    /// The rest of a line that is too long is skipped; kept here because a read can be dropped half-way.
    skipping: bool,
    /// The MCP revisions that open the connection; none once it is open. What is no request has no meaning before, and would
    /// end the connection.
    opened_by: Option<Vec<ProtocolVersion>>,
    write: Arc<Mutex<Option<W>>>,
    /// The client hung up.
    ended: CancellationToken,
    /// No call is under way any more, and no more is read.
    over: CancellationToken,
}

enum Line {
    Whole,
    TooLong,
    End,
}

impl<R: AsyncRead + Send + Unpin, W: AsyncWrite + Send + Unpin + 'static> Lines<R, W> {
    fn new(
        (read, write): (R, W),
        versions: Vec<ProtocolVersion>,
        (ended, over): (CancellationToken, CancellationToken),
    ) -> Self {
        let write = Arc::new(Mutex::new(Some(write)));
        Self {
            read: BufReader::new(read),
            line: Vec::new(),
            skipping: false,
            opened_by: Some(versions),
            write,
            ended,
            over,
        }
    }

    /// Reads one line into `self.line`. Dropping the future loses nothing: bytes are taken and kept without a wait between.
    async fn next_line(&mut self) -> Line {
        loop {
            let Ok(available) = self.read.fill_buf().await else { return Line::End };
            if available.is_empty() {
                return Line::End;
            }
            let newline = available.iter().position(|byte| *byte == b'\n');
            let taken = newline.map_or(available.len(), |at| at + 1);
            let too_long = self.line.len() + taken > MAX_LINE_BYTES;
            if !self.skipping && !too_long {
                self.line.extend(available.iter().take(taken));
            }
            self.read.consume(taken);
            if self.skipping {
                self.skipping = newline.is_none();
            } else if too_long {
                self.line = Vec::new();
                self.skipping = newline.is_none();
                return Line::TooLong;
            } else if newline.is_some() {
                return Line::Whole;
            }
        }
    }

    fn take_message(&mut self) -> Result<Option<RxJsonRpcMessage<RoleServer>>, Unreadable> {
        let line = self.line.trim_ascii();
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let message = if line.is_empty() { Ok(None) } else { read_message(line) };
        if self.line.capacity() > KEPT_BYTES {
            self.line = Vec::new();
        }
        self.line.clear();
        message
    }
}

/// Whether a request opens the connection: what came before is answered and counts for nothing (MCP 2025-11-25 lifecycle,
/// 2026-07-28 discovery).
fn opens(request: &ClientRequest, versions: &[ProtocolVersion]) -> bool {
    if matches!(request, ClientRequest::InitializeRequest(_)) {
        return true;
    }
    let meta = request.get_meta();
    !matches!(request, ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_))
        && meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
        && meta.protocol_version().is_some_and(|version| versions.contains(&version))
}

/// A line that is no message: the error, and the id it belongs to if that could be read.
struct Unreadable {
    error: ErrorData,
    id: Option<RequestId>,
}

fn read_message(line: &[u8]) -> Result<Option<RxJsonRpcMessage<RoleServer>>, Unreadable> {
    match serde_json::from_slice(line) {
        Ok(message) => Ok(Some(message)),
        Err(_) => match serde_json::from_slice::<Value>(line) {
            // A notification is never answered, not even an unknown one.
            Ok(value) if value.get("method").is_some_and(Value::is_string) && value.get("id").is_none() => Ok(None),
            Ok(value) => Err(Unreadable {
                error: ErrorData::invalid_request("the message is no JSON-RPC request that MCP knows", None),
                id: value.get("id").and_then(|id| serde_json::from_value(id.clone()).ok()),
            }),
            Err(error) => Err(Unreadable {
                error: ErrorData::parse_error(format!("the line is no JSON: {error}"), None),
                id: None,
            }),
        },
    }
}

async fn write_message<W: AsyncWrite + Unpin>(
    write: &Mutex<Option<W>>,
    mut message: TxJsonRpcMessage<RoleServer>,
) -> std::io::Result<()> {
    let blob = take_blob(&mut message).unwrap_or_default();
    let mut line = serde_json::to_vec(&message)?;
    drop(message);
    line.push(b'\n');
    let gap = if blob.is_empty() { 0 } else { gap(&line).ok_or(std::io::ErrorKind::InvalidData)? };
    let (head, tail) = line.split_at(gap);
    let mut write = write.lock().await;
    let Some(write) = write.as_mut() else { return Err(std::io::ErrorKind::NotConnected.into()) };
    for part in [head, blob.as_bytes(), tail] {
        write.write_all(part).await?;
    }
    write.flush().await
}

/// Takes the document out of a result, to be written as it is: base64 needs no escaping, and a second copy of it would
/// double the peak of memory.
fn take_blob(message: &mut TxJsonRpcMessage<RoleServer>) -> Option<String> {
    let JsonRpcMessage::Response(response) = message else { return None };
    if let ServerResult::ReadResourceResult(result) = &mut response.result {
        return result.contents.iter_mut().find_map(taken);
    }
    let ServerResult::CallToolResult(result) = &mut response.result else { return None };
    result.content.iter_mut().find_map(|block| {
        let ContentBlock::Resource(embedded) = block else { return None };
        taken(&mut embedded.resource)
    })
}

fn taken(contents: &mut ResourceContents) -> Option<String> {
    let ResourceContents::BlobResourceContents { blob, .. } = contents else { return None };
    Some(std::mem::take(blob))
}

/// Where a document was taken out: inside any other text the quotation marks are escaped.
fn gap(line: &[u8]) -> Option<usize> {
    const EMPTY: &[u8] = b"\"blob\":\"\"";
    line.windows(EMPTY.len()).position(|window| window == EMPTY).map(|at| at + EMPTY.len() - 1)
}

impl<R: AsyncRead + Send + Unpin, W: AsyncWrite + Send + Unpin + 'static> Transport<RoleServer> for Lines<R, W> {
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let write = Arc::clone(&self.write);
        async move { write_message(&write, message).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let over = self.over.clone();
            let line = tokio::select! { line = self.next_line() => line, () = over.cancelled() => return None };
            let unreadable = match line {
                Line::End => {
                    // The end of what is asked is not the end of what is answered.
                    self.ended.cancel();
                    over.cancelled().await;
                    return None;
                }
                Line::TooLong => Unreadable {
                    error: ErrorData::parse_error(format!("the line is longer than {MAX_LINE_BYTES} bytes"), None),
                    id: None,
                },
                Line::Whole => match self.take_message() {
                    Ok(None) => continue,
                    Ok(Some(message)) => match (&self.opened_by, &message) {
                        (None, _) => return Some(message),
                        (Some(versions), JsonRpcMessage::Request(asked)) => {
                            if opens(&asked.request, versions) {
                                self.opened_by = None;
                            }
                            return Some(message);
                        }
                        (Some(_), _) => continue,
                    },
                    Err(unreadable) => unreadable,
                },
            };
            // In a task of its own: this future may be dropped while it waits, and the answer would be lost.
            let write = Arc::clone(&self.write);
            tokio::spawn(async move {
                let error = TxJsonRpcMessage::<RoleServer>::error(unreadable.error, unreadable.id);
                if let Err(error) = write_message(&write, error).await {
                    tracing::debug!(%error, "an error answer could not be written");
                }
            });
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.write.lock().await.take();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::{CallToolResult, ReadResourceResult};
    use serde_json::json;

    use super::*;

    async fn written(result: ServerResult) -> (String, String) {
        let message = || TxJsonRpcMessage::<RoleServer>::response(result.clone(), RequestId::Number(7));
        let write = Mutex::new(Some(Vec::new()));
        write_message(&write, message()).await.unwrap();
        let bytes = write.into_inner().unwrap();
        (String::from_utf8(bytes).unwrap(), serde_json::to_string(&message()).unwrap() + "\n")
    }

    #[tokio::test]
    async fn a_document_stands_where_it_would_if_the_line_were_made_whole() {
        let quoting = "the text \"blob\":\"\" is no gap";
        for blob in ["JVBERi0xLjcK", ""] {
            let document =
                ResourceContents::blob(blob, "ironclad://workflows/1/documents/2").with_mime_type("application/pdf");
            let mut result =
                CallToolResult::success(vec![ContentBlock::text(quoting), ContentBlock::resource(document)]);
            result.structured_content = Some(json!({"filename": quoting}));
            let (line, whole) = written(ServerResult::CallToolResult(result)).await;
            assert_eq!(line, whole);
        }
        let (line, whole) =
            written(ServerResult::CallToolResult(CallToolResult::success(vec![ContentBlock::text(quoting)]))).await;
        assert_eq!(line, whole);
        let document = ResourceContents::blob("JVBERi0xLjcK", "ironclad://workflows/1/documents/2");
        let (line, whole) = written(ServerResult::ReadResourceResult(ReadResourceResult::new(vec![document]))).await;
        assert_eq!(line, whole);
    }
}
