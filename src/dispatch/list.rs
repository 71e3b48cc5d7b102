//! Fetches the pages of a list: as many as the call needs, one ahead of the one that is being read.
//!
//! What was gathered before a page failed is the answer, with a cursor that asks for that page again; a list is shortened
//! rather than lost.

use std::time::Instant;

use futures_util::{StreamExt as _, stream::FuturesOrdered};

use super::{Call, Place, sent};
use crate::{
    answer::{Answer, Gathered, Page, PageRead, PageReader, Shape},
    arguments::Args,
    audit::{Record, Sent},
    ironclad::{Errand, Exchange, Failure, Head, json::Json},
    manifest::{Entry, Paging},
    request::Request,
};

/// A call of a list.
pub(super) struct List<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) entry: &'a Entry,
    pub(super) args: &'a Args,
    pub(super) shape: &'a Shape<'a>,
    pub(super) paging: Paging,
}

impl List<'_> {
    /// Brings the items of a window; `request` is that of its first page.
    pub(super) async fn gather(
        &self,
        request: &Request,
        place: &Place,
        record: &mut Record,
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let mut gathered = Gathered::new(self.paging, place.window, self.shape.max_bytes);
        // Counted where a page's request goes out, so that a call that was dropped in the queue counts as never sent.
        let times_sent = record.times_sent();
        let errand = Errand { sent: Some(&times_sent), ..self.call.caller.errand() };
        let mut under_way = FuturesOrdered::new();
        let mut head = Head::default();
        let mut attempts = 0;
        loop {
            while let Some(page) = gathered.wanted(under_way.len()) {
                under_way.push_back(self.fetch(request, page, place.window.limit, errand));
            }
            let Some((page, exchange)) = under_way.next().await else { break };
            attempts += exchange.attempts;
            record.sent(Sent { attempts, ..sent(&exchange) });
            match exchange.result {
                Ok((answered, read)) => {
                    gathered.add(page, read);
                    head = answered;
                }
                Err(failure) if gathered.given() == 0 => return Err(failure),
                Err(failure) => {
                    tracing::debug!(?failure, tool = self.entry.name, "a list was shortened: its next page failed");
                    break;
                }
            }
            if gathered.wanted(0).is_none() {
                break;
            }
            self.tell(&gathered, began).await;
        }
        record.sent(Sent { attempts, status: Some(head.status), request_id: head.request_id.clone() });
        let seal = |spot| self.call.cursor_key.seal(&place.digest, spot);
        gathered.finish(seal).map_err(|error| Failure::Unsound(head, (&error).into()))
    }

    async fn fetch(&self, first: &Request, page: Page, most: u64, errand: Errand<'_>) -> (Page, Exchange<PageRead>) {
        let mut request = first.clone();
        for (name, value) in page.query(self.paging) {
            match request.query.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => request.query.push((name, value)),
            }
        }
        let mut reading = Json::new(PageReader::new(self.entry, self.args, self.shape, (page, most)));
        (page, self.call.client.send(&request, &mut reading, errand).await)
    }

    async fn tell(&self, gathered: &Gathered, began: Instant) {
        if let Some(progress) = self.call.caller.progress {
            let what = format!("{} of {} items", gathered.given(), gathered.expected());
            progress.report(began.elapsed(), &what).await;
        }
    }
}
