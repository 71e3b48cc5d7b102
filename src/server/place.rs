//! A call's place among those that are worked on at once.
//!
//! A transport that serves many gives out places, so that a crowd waits at the door, where it costs little. A call that
//! waits for something else (the budget, a person, Ironclad's own work) gives its place up and goes on without.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::Extensions;
use tokio::sync::OwnedSemaphorePermit;

/// A place, in the extensions of the HTTP request; it is given up with the last copy.
#[derive(Debug, Clone)]
pub(crate) struct Place(Option<Arc<Mutex<Option<OwnedSemaphorePermit>>>>);

impl Place {
    /// The place that a permit stands for.
    pub(crate) fn of(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(permit)))))
    }

    /// The place of a request; none where its transport gives out none.
    pub(super) fn taken(extensions: &Extensions) -> Self {
        let place = extensions.get::<http::request::Parts>().and_then(|head| head.extensions.get::<Self>());
        place.cloned().unwrap_or(Self(None))
    }

    /// Gives the place up before the call has ended.
    pub(super) fn leave(&self) {
        if let Some(place) = &self.0 {
            place.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_when_it_is_left_or_its_last_copy_is_gone() {
        let places = Arc::new(Semaphore::new(1));
        let take = || Arc::clone(&places).try_acquire_owned().map(Place::of);
        let (place, copy) = take().map(|place| (place.clone(), place)).unwrap();
        drop(place);
        assert!(take().is_err(), "a copy holds it");
        copy.leave();
        let next = take().unwrap();
        copy.leave();
        assert!(take().is_err(), "it is left once");
        drop(next);
        assert!(take().is_ok());
    }
}
