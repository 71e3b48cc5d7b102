//! Bytes to payloads and replies to bytes.
//!
//! A body over the limit is dropped and its payload says so; the vendor knows no 413 (ironclad-api.md §3).

use std::convert::Infallible;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest as _, Multipart};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

use super::exchange::{Part, Payload, Query, Reply, ReplyBody};
use super::incoming::Incoming;

/// Largest JSON body, bytes.
const JSON_LIMIT: usize = 5 * 1024 * 1024;
/// Largest multipart body, bytes: 100 MB of files and some room for the rest.
const FORM_LIMIT: usize = 110 * 1024 * 1024;

/// Reads the whole body and what it says.
pub(crate) async fn read(parts: &Parts, body: Body) -> (Bytes, Payload) {
    let media = content_type(parts);
    let form = media.starts_with("multipart/form-data");
    let Ok(bytes) = to_bytes(body, if form { FORM_LIMIT } else { JSON_LIMIT }).await else {
        let message = "parameter 'attachment' too large, please limit upload files less than 100MB";
        let why = if form { message } else { "the body is too large" };
        return (Bytes::new(), Payload::Unreadable(why.to_owned()));
    };
    let payload = if form { parts_of(parts, bytes.clone()).await } else { payload(&media, &bytes) };
    (bytes, payload)
}

fn content_type(parts: &Parts) -> String {
    let value = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}

/// The request without its payload's meaning.
pub(crate) fn incoming(parts: &Parts, body: Bytes) -> Incoming {
    Incoming {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        headers: parts.headers.clone(),
        body,
    }
}

fn payload(content_type: &str, bytes: &Bytes) -> Payload {
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

/// The reply as HTTP; documents are drawn here, where nothing is locked.
pub(crate) fn write(reply: Reply, request_id: String) -> Response {
    let mut headers = reply.headers;
    let (content_type, body) = match reply.body {
        ReplyBody::Empty => (None, Body::empty()),
        ReplyBody::Json(value) => (Some("application/json; charset=utf-8".to_owned()), Body::from(value.to_string())),
        ReplyBody::Text(content_type, text) => (Some(content_type.to_owned()), Body::from(text)),
        ReplyBody::Document(source) => {
            let (pieces, length, content_type) = source.pieces();
            headers.push(("content-length", length.to_string()));
            (Some(content_type), Body::from_stream(stream::iter(pieces.map(Ok::<Bytes, Infallible>))))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(reply.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let fixed = [("cache-control", "no-store, no-cache".to_owned()), ("x-response-id", request_id.clone())];
    let own = content_type.map(|content_type| ("content-type", content_type));
    let all = own.into_iter().chain(fixed).chain([("x-ironclad-requestid", request_id)]).chain(headers);
    for (name, value) in all {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
