//! Answers that go on for as long as a client listens, without what a connection keeps for requests and answers.
//!
//! hyper holds two buffers of 8 kB for each connection, for as long as it lasts. A client that listens needs neither: once the
//! head of its answer is written, the body is streamed from here, in the chunks that the head announced (RFC 9112 §7.1).

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::CONNECTION},
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

/// Where a service leaves the body of a long answer for whoever drives its connection.
#[derive(Clone, Default)]
pub(super) struct Handover {
    body: Arc<Mutex<Option<Body>>>,
    /// Whether everything that was to be written is.
    is_clear: Arc<AtomicBool>,
}

impl Handover {
    /// The same answer, whose body stays here if it is the long one that was asked for.
    pub(super) fn leave(&self, response: Response) -> Response {
        let (mut head, body) = response.into_parts();
        if head.status != StatusCode::OK || body.size_hint().exact().is_some() {
            return Response::from_parts(head, body);
        }
        // The connection ends with the stream, and no client should try it again.
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        self.is_clear.store(false, Ordering::Release);
        self.body.lock().unwrap_or_else(PoisonError::into_inner).replace(body);
        Response::from_parts(head, Body::new(Elsewhere))
    }

    /// The body, once its head is written.
    pub(super) fn take(&self) -> Option<Body> {
        if !self.is_clear.load(Ordering::Acquire) {
            return None;
        }
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body of unknown length that comes by another way.
struct Elsewhere;

impl HttpBody for Elsewhere {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A connection that notes whether all that it was given is written.
pub(super) struct Outlet {
    pub(super) stream: TcpStream,
    is_clear: Arc<AtomicBool>,
}

impl Outlet {
    pub(super) fn new(stream: TcpStream, handover: &Handover) -> Self {
        Self { stream, is_clear: Arc::clone(&handover.is_clear) }
    }

    fn note(&self, written: Poll<io::Result<usize>>, wanted: usize) -> Poll<io::Result<usize>> {
        let all = matches!(&written, Poll::Ready(Ok(written)) if *written == wanted);
        self.is_clear.store(all, Ordering::Release);
        written
    }
}

impl AsyncRead for Outlet {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Outlet {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.note(written, parts.iter().map(|part| part.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Streams a body whose head is written, until it ends or the client is gone. The connection ends with it.
///
/// # Errors
/// The connection broke.
pub(super) async fn stream(mut connection: TcpStream, mut body: Body) -> io::Result<()> {
    let (mut from, mut to) = connection.split();
    let mut heard = [0; 1];
    loop {
        tokio::select! {
            frame = body.frame() => match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() && !data.is_empty() {
                        to.write_all(&chunk(&data)).await?;
                    }
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => {
                    to.write_all(b"0\r\n\r\n").await?;
                    return to.shutdown().await;
                }
            },
            // Whoever listens has nothing to say here, so it is the end of the connection, or no HTTP.
            heard = from.read(&mut heard) => return heard.map(|_| ()),
        }
    }
}

fn chunk(data: &[u8]) -> Bytes {
    let mut chunk = BytesMut::with_capacity(data.len() + 16);
    chunk.put_slice(format!("{:X}\r\n", data.len()).as_bytes());
    chunk.put_slice(data);
    chunk.put_slice(b"\r\n");
    chunk.freeze()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_is_streamed_in_chunks_and_ended() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (connection, _) = listener.accept().await.unwrap();
        let parts = ["data: a\n\n", "", "data: 0123456789\n\n"].map(|part| Ok::<_, Infallible>(Bytes::from(part)));
        stream(connection, Body::from_stream(stream::iter(parts))).await.unwrap();
        let mut read = String::new();
        client.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "9\r\ndata: a\n\n\r\n12\r\ndata: 0123456789\n\n\r\n0\r\n\r\n");
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (connection, _) = listener.accept().await.unwrap();
        let endless = stream(connection, Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
        drop(client);
        tokio::time::timeout(std::time::Duration::from_secs(5), endless).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn only_an_answer_without_a_length_is_handed_over_and_only_once_its_head_is_out() {
        let handover = Handover::default();
        handover.leave(Response::new(Body::from("short")));
        handover.is_clear.store(true, Ordering::Release);
        assert!(handover.take().is_none());
        let endless = || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        handover.leave(Response::new(endless()));
        assert!(handover.take().is_none(), "the head is not written");
        handover.is_clear.store(true, Ordering::Release);
        assert!(handover.take().is_some());
        assert!(handover.take().is_none());
    }
}
