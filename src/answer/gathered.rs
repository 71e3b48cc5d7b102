//! Gathers the pages of a list into one answer, and decides which page to ask for next.
//!
//! Places in a list are counted in items from its beginning, since Ironclad's pages know no other. Every answer that says
//! there is more goes on behind the place where it began, so a walk ends however the list changes on the way; an item that
//! moves across that place while somebody walks can be missed or come twice. Pure: the requests are `dispatch`'s.

use serde_json::{Map, Value};

use super::{
    Answer, Shape, ShapeError, WRAPPING_BYTES,
    list::{Page, PageRead, PageReader},
    travelling_bytes,
};
use crate::{
    arguments::Args,
    cursor::Spot,
    manifest::{self, Paging},
};

/// Which part of a list a call wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Where in the whole list it begins.
    pub from: Spot,
    /// How many items at most.
    pub limit: u64,
}

impl Window {
    /// The window of a list's first items.
    #[must_use]
    pub fn first(limit: u64) -> Self {
        Self { from: Spot::default(), limit }
    }

    /// The size of the pages that bring this window.
    ///
    /// Ironclad's pages begin at multiples of their size. Where the window begins between two of them (the size cap cut the
    /// answer before it), a somewhat larger page may still hold all of it, and saves a request.
    fn page_size(self, paging: Paging) -> u64 {
        let (largest, limit) = (paging.largest_page(), self.limit.max(1));
        if paging != Paging::Numbered || limit >= largest {
            return limit.min(largest);
        }
        let holds_all = |size: &u64| self.from.offset % size + limit <= *size;
        (limit..=largest).find(holds_all).unwrap_or(limit)
    }
}

/// The items of a list that were brought so far.
#[derive(Debug)]
pub struct Gathered {
    paging: Paging,
    limit: u64,
    size: u64,
    /// The place behind the last item, or where the next page begins.
    next: u64,
    /// Whether there may be items from there on.
    more: bool,
    total: Option<u64>,
    /// The mark of the last page.
    mark: u64,
    /// How many more pages may be asked for: an endpoint whose pages come short must not cost the company its budget.
    pages_left: u64,
    /// The bytes of the item that did not fit any more.
    too_large: Option<usize>,
    fitted: Fitted,
}

impl Gathered {
    /// Nothing yet of a window.
    #[must_use]
    pub fn new(paging: Paging, window: Window, max_bytes: usize) -> Self {
        let (limit, size) = (window.limit.max(1), window.page_size(paging));
        Self {
            paging,
            limit,
            size,
            pages_left: limit.div_ceil(size).saturating_add(1),
            next: window.from.offset,
            more: true,
            total: None,
            mark: window.from.mark,
            too_large: None,
            fitted: Fitted::new(max_bytes),
        }
    }

    /// The page to ask for while `under_way` others are; `None` where it is not needed, or not surely.
    #[must_use]
    pub fn wanted(&self, under_way: usize) -> Option<Page> {
        if self.given() >= self.limit || !self.more || self.too_large.is_some() || self.pages_left <= under_way as u64 {
            return None;
        }
        let next = self.page_at(self.next);
        match under_way {
            0 => Some(next),
            1 => self.wanted_after(next),
            _ => None,
        }
    }

    /// The page after the one that is on its way, if that one can leave neither too few items nor too much text for it.
    fn wanted_after(&self, first: Page) -> Option<Page> {
        let total = self.total.filter(|_| self.paging == Paging::Numbered)?;
        let second = self.page_at(first.start.saturating_add(first.size));
        let brings = second.start.saturating_sub(self.next);
        let each = (self.fitted.bytes - WRAPPING_BYTES).checked_div(self.fitted.items.len())?;
        // A quarter more than the items so far took, since those to come may be larger.
        let expected = each.saturating_add(each / 4).saturating_mul(usize::try_from(brings).ok()?);
        let has_room = self.fitted.bytes.saturating_add(expected) < self.fitted.max_bytes;
        (second.start < total && self.given() + brings < self.limit && has_room).then_some(second)
    }

    fn page_at(&self, place: u64) -> Page {
        match self.paging {
            Paging::Numbered => {
                let skip = place % self.size;
                Page { start: place - skip, size: self.size, skip }
            }
            Paging::Scim => Page { start: place, size: self.size.min(self.limit - self.given()), skip: 0 },
            Paging::Whole => Page { start: 0, size: self.size, skip: place },
        }
    }

    /// How many items there are so far.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.fitted.items.len() as u64
    }

    /// How many items the answer will have, as far as that can be told.
    #[must_use]
    pub fn expected(&self) -> u64 {
        let left = self.total.map(|total| total.saturating_sub(self.next)).filter(|_| self.more);
        self.limit.min(left.map_or(self.limit, |left| self.given().saturating_add(left)))
    }

    /// Takes the items of the page that was wanted next.
    pub fn add(&mut self, page: Page, read: PageRead) {
        self.pages_left = self.pages_left.saturating_sub(1);
        self.total = read.total.or(self.total);
        // Without a count, an endpoint that knows no pages would bring the same one for ever.
        let again = read.mark != 0 && read.mark == self.mark && page.skip == 0 && self.total.is_none();
        self.mark = read.mark;
        if again || read.received == 0 {
            self.more = false;
            return;
        }
        let first = page.start.saturating_add(page.skip);
        let room = self.limit - self.given();
        let kept = read.items.len() as u64;
        let mut taken = 0;
        for (item, text) in read.items.into_iter().take(usize::try_from(room).unwrap_or(usize::MAX)) {
            if let Err(bytes) = self.fitted.add(item, &text) {
                self.too_large = Some(bytes);
                break;
            }
            taken += 1;
        }
        if taken == kept && taken < room && self.too_large.is_none() {
            self.too_large = read.too_large;
        }
        if taken < read.new {
            self.next = first.saturating_add(taken);
            return;
        }
        let (next, more) = self.behind(page, read.received, first.saturating_add(taken));
        // A place that does not move on would be asked for again and again.
        self.more = more && next > self.next;
        self.next = next.max(self.next);
    }

    /// The place behind a page all of whose items were taken, and whether there may be items.
    fn behind(&self, page: Page, received: u64, taken_to: u64) -> (u64, bool) {
        match (self.paging, self.total) {
            (Paging::Numbered, Some(total)) => {
                // Also where a page came short: items that the acting user may not see can be missing.
                let next = page.start.saturating_add(page.size).min(total);
                (next, next < total)
            }
            (Paging::Numbered, None) => (page.start.saturating_add(page.size), received >= page.size),
            (Paging::Scim, Some(total)) => (taken_to, taken_to < total),
            // RFC 7644 §3.4.2.4: a page may be shorter than it was asked to be, so only an empty one ends the list.
            (Paging::Scim, None) => (taken_to, true),
            (Paging::Whole, total) => (taken_to, total.is_some_and(|total| taken_to < total)),
        }
    }

    /// The answer; `seal` makes the cursor of a place.
    ///
    /// # Errors
    /// Not even one item fits.
    pub fn finish(self, seal: impl FnOnce(Spot) -> String) -> Result<Answer, ShapeError> {
        if let Some(bytes) = self.too_large.filter(|_| self.fitted.items.is_empty()) {
            return Err(ShapeError::TooLarge { bytes });
        }
        let spot = Spot { offset: self.next, mark: if self.total.is_none() { self.mark } else { 0 } };
        let more = self.more && !self.fitted.items.is_empty();
        Ok(self.fitted.envelope(more.then(|| seal(spot)), self.total))
    }
}

/// Shapes a list of which one body brings all that is wanted.
///
/// # Errors
/// The body is not such a list, or not even one item fits.
pub fn page(
    entry: &manifest::Entry,
    args: &Args,
    body: &[u8],
    shape: &Shape<'_>,
    (window, seal): (Window, impl FnOnce(Spot) -> String),
) -> Result<Answer, ShapeError> {
    let manifest::Answer::Page { paging, .. } = entry.answer else { return Err(ShapeError::Malformed) };
    let mut gathered = Gathered::new(paging, window, shape.max_bytes);
    if let Some(page) = gathered.wanted(0) {
        let reader = PageReader::new(entry, args, shape, (page, window.limit));
        gathered.add(page, reader.read(&mut serde_json::Deserializer::from_slice(body))?);
    }
    gathered.finish(seal)
}

/// Items that fit the size limit together, and their JSON text.
#[derive(Debug)]
struct Fitted {
    items: Vec<Value>,
    text: String,
    bytes: usize,
    max_bytes: usize,
}

impl Fitted {
    fn new(max_bytes: usize) -> Self {
        Self { items: Vec::new(), text: r#"{"items":["#.to_owned(), bytes: WRAPPING_BYTES, max_bytes }
    }

    /// Adds an item, or tells the bytes that it would make.
    fn add(&mut self, item: Value, text: &str) -> Result<(), usize> {
        let bytes = self.bytes + travelling_bytes(text) + 2;
        if bytes > self.max_bytes {
            return Err(bytes);
        }
        self.bytes = bytes;
        if !self.items.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(text);
        self.items.push(item);
        Ok(())
    }

    fn envelope(mut self, next_cursor: Option<String>, total: Option<u64>) -> Answer {
        self.text.push(']');
        let mut rest = Map::from_iter([("has_more".to_owned(), Value::Bool(next_cursor.is_some()))]);
        if let Some(cursor) = next_cursor {
            rest.insert("next_cursor".into(), cursor.into());
        }
        if let Some(total) = total {
            rest.insert("total".into(), total.into());
        }
        let mut structured = Map::with_capacity(4);
        structured.insert("items".into(), Value::Array(self.items));
        for (name, value) in rest {
            self.text.push_str(&format!(",\"{name}\":{value}"));
            structured.insert(name, value);
        }
        self.text.push('}');
        Answer { structured: structured.into(), text: self.text, resource: None, meta: Map::new() }
    }
}
