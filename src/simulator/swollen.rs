//! Answers that are larger than anybody asked for: a list whose items go on for ever, a gzip bomb, headers by the thousand.

use std::io::{self, Write as _};

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt as _, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    response::Parts,
};
use serde_json::Value;

/// Where the items of a list reply are.
const LISTS: [&str; 2] = ["list", "Resources"];

/// What of a swollen body is repeated at once: about so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// The most headers that the HTTP library takes.
const MOST_HEADERS: u64 = 24_000;

/// A body that is as usual, but for one place that can go on for as long as anybody likes.
struct Swollen {
    before: Bytes,
    piece: Bytes,
    after: &'static [u8],
}

impl Swollen {
    /// A list goes on with its first item, any other object with one more member, and what is no JSON with zeros.
    fn of(body: &[u8]) -> Self {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else {
            return Self { before: Bytes::copy_from_slice(body), piece: vec![0; PIECE_BYTES].into(), after: b"" };
        };
        let list = LISTS.iter().find_map(|name| {
            let first = members.get(*name)?.as_array()?.first()?.to_string();
            members.remove(*name);
            Some((*name, first))
        });
        let (name, item) = list.unwrap_or(("more", "0".to_owned()));
        let mut before = Value::Object(members).to_string();
        before.pop();
        let comma = if before.len() > 1 { "," } else { "" };
        let before = format!("{before}{comma}\"{name}\":[{item}");
        let item = format!(",{item}");
        let piece = item.repeat(PIECE_BYTES.div_ceil(item.len()));
        Self { before: before.into(), piece: piece.into(), after: b"]}" }
    }
}

/// An answer whose body never ends.
pub(super) fn endless(mut parts: Parts, body: &[u8]) -> Response<Body> {
    let Swollen { before, piece, .. } = Swollen::of(body);
    parts.headers.remove(CONTENT_LENGTH);
    let pieces = stream::once(async { before }).chain(stream::repeat(piece));
    Response::from_parts(parts, Body::from_stream(pieces.map(Ok::<_, io::Error>)))
}

/// An answer whose body is small, until somebody unpacks it: packed piece by piece, as fast as it is taken.
pub(super) fn bomb(mut parts: Parts, body: &[u8], mb: u64) -> Response<Body> {
    let Swollen { before, piece, after } = Swollen::of(body);
    let pieces = (0..mb).map(move |_| piece.clone());
    let mut pieces = std::iter::once(before).chain(pieces).chain([Bytes::from_static(after)]);
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    let packed = std::iter::from_fn(move || {
        let packed = match (pieces.next(), &mut encoder) {
            (Some(piece), Some(encoder)) => encoder.write_all(&piece).map(|()| std::mem::take(encoder.get_mut())),
            (None, encoder) => encoder.take()?.finish(),
            (Some(_), None) => return None,
        };
        Some(packed.map(Bytes::from))
    });
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(parts, Body::from_stream(stream::iter(packed)))
}

/// More headers than anybody reads.
pub(super) fn add_headers(headers: &mut HeaderMap, count: u64) {
    for number in 0..count.min(MOST_HEADERS) {
        if let Ok(name) = HeaderName::try_from(format!("x-header-{number}")) {
            // Past what the HTTP library takes there are none.
            let _ = headers.try_insert(name, HeaderValue::from_static("of no use to anybody"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swollen(body: &str, pieces: usize) -> Value {
        let Swollen { before, piece, after } = Swollen::of(body.as_bytes());
        serde_json::from_slice(&[&before, piece.repeat(pieces).as_slice(), after].concat()).unwrap()
    }

    #[test]
    fn a_swollen_body_is_as_sound_as_it_was() {
        let list = swollen(r#"{"page": 0, "list": [{"id": "a"}, {"id": "b"}], "count": 2}"#, 2);
        let items = list["list"].as_array().unwrap();
        assert!(items.len() > 1_000 && items.iter().all(|item| item["id"] == "a") && list["count"] == 2);
        assert_eq!(swollen(r#"{"id": "a"}"#, 1)["id"], "a");
        assert!(swollen("{}", 1)["more"].as_array().unwrap().len() > 1_000);
    }

    #[test]
    fn headers_are_as_many_as_are_asked_for_and_can_be_sent() {
        for (asked, given) in [(300, 300), (1_000_000, 24_000)] {
            let mut headers = HeaderMap::new();
            add_headers(&mut headers, asked);
            assert_eq!(headers.len(), given);
        }
    }
}
