//! `page`/`pageSize` lists.
//!
//! A page beyond the end is an empty list with the true count, not an error: that is how a client sees the end
//! (ironclad-api.md §4).

use std::ops::Range;

use serde_json::{Value, json};

use super::errors::ApiError;
use super::exchange::Query;

const LAST_PAGE: usize = 100_000_000;
const LARGEST_PAGE: usize = 100;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// Reads `page` (default 0) and `pageSize` (default 20, at most 100).
    ///
    /// # Errors
    /// 400 `INVALID_PARAM` naming the parameter that is out of range or no integer.
    pub(crate) fn of(query: &Query) -> Result<Self, ApiError> {
        let number = bounded(query, "page", 0, (0, LAST_PAGE))?;
        let size = bounded(query, "pageSize", 20, (1, LARGEST_PAGE))?;
        Ok(Self { number, size })
    }

    /// The items of this page.
    pub(crate) fn cut<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        all.get(self.range(all.len())).unwrap_or_default()
    }

    /// The places of this page's items in a list of so many.
    pub(crate) fn range(&self, length: usize) -> Range<usize> {
        let start = self.number.saturating_mul(self.size).min(length);
        start..start.saturating_add(self.size).min(length)
    }

    /// The envelope with `count`, the number of matches over all pages.
    pub(crate) fn envelope(&self, count: usize, list: Vec<Value>) -> Value {
        json!({ "page": self.number, "pageSize": self.size, "count": count, "list": Value::Array(list) })
    }

    /// The envelope of `GET /webhooks`, which has no count (ironclad-api.md §8.23).
    pub(crate) fn envelope_without_count(&self, list: Vec<Value>) -> Value {
        json!({ "page": self.number, "pageSize": self.size, "list": Value::Array(list) })
    }
}

fn bounded(query: &Query, name: &str, default: usize, range: (usize, usize)) -> Result<usize, ApiError> {
    let Some(text) = query.get(name) else { return Ok(default) };
    let (least, most) = range;
    let value = text.parse::<usize>().ok().filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| {
        ApiError::invalid(name, format!("invalid query value '{text}'; {name} must be between {least} and {most}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(raw: &str) -> Result<Page, ApiError> {
        Page::of(&Query::parse(raw))
    }

    #[test]
    fn the_last_page_may_be_short_and_later_ones_are_empty() {
        let all: Vec<u32> = (0..45).collect();
        assert_eq!(page("page=2").expect("valid").cut(&all).len(), 5);
        assert!(page("page=3").expect("valid").cut(&all).is_empty());
    }

    #[test]
    fn sizes_outside_one_to_a_hundred_are_refused() {
        for raw in ["pageSize=0", "pageSize=101", "pageSize=ten", "page=-1", "page=100000001"] {
            assert_eq!(page(raw).expect_err(raw).code, "INVALID_PARAM");
        }
    }
}
