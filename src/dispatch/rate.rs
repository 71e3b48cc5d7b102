//! Says in a result's `_meta` how the rate limit stands that its tool draws on.
//!
//! By the IETF's names. The two fields of the present draft (draft-ietf-httpapi-ratelimit-headers-10 and later) are given
//! as HTTP has them, with the bucket's name. The plain numbers go by the names of the drafts up to 06, because they are
//! what most programs know, and a client of JSON has no parser for structured fields.

use serde_json::{Map, Value};

use crate::ironclad::limiter::{Bucket, Standing};

/// The members of `_meta`.
pub(super) fn meta(bucket: Bucket, standing: Standing) -> Map<String, Value> {
    let (name, Standing { limit, remaining, reset }) = (bucket.name(), standing);
    // Rounded up: who comes back that much later finds a place.
    let seconds = reset.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
    let members: [(&str, Value); 5] = [
        ("RateLimit-Policy", format!("\"{name}\";q={limit};w=60").into()),
        ("RateLimit", format!("\"{name}\";r={remaining};t={seconds}").into()),
        ("RateLimit-Limit", limit.into()),
        ("RateLimit-Remaining", remaining.into()),
        ("RateLimit-Reset", seconds.into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_standing_is_told_by_the_ietfs_names() {
        let standing = Standing { limit: 40, remaining: 3, reset: Duration::from_millis(12_001) };
        let expected = json!({
            "RateLimit-Policy": "\"workflows-write\";q=40;w=60", "RateLimit": "\"workflows-write\";r=3;t=13",
            "RateLimit-Limit": 40, "RateLimit-Remaining": 3, "RateLimit-Reset": 13});
        assert_eq!(Value::from(meta(Bucket::WorkflowsWrite, standing)), expected);
    }
}
