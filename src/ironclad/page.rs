//! Fetches a small document of another host, such as the key set of an issuer: through the same door, without credentials.

use std::time::Duration;

use reqwest::{StatusCode, header::ACCEPT};
use url::Url;

use super::{Client, door::DoorError};
use crate::egress::Barred;

/// The longest document, in bytes.
const LONGEST: usize = 256 * 1024;

/// How long one may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a document did not come.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// This program may not connect to its host.
    #[error("{0}")]
    Barred(#[from] Barred),
    /// The host cannot be reached, or the answer broke.
    #[error("{}", in_words(.0))]
    Unreachable(#[from] reqwest::Error),
    /// The host answered with something else; redirects are not followed.
    #[error("the answer was the status {0}")]
    Status(u16),
    /// The document is too long.
    #[error("the answer is longer than {} KiB", LONGEST / 1024)]
    TooLong,
}

/// The last cause says what a person can do something about; the URL is told elsewhere.
fn in_words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Client {
    /// The document at a URL.
    ///
    /// # Errors
    /// It did not come whole, or from elsewhere.
    pub async fn page(&self, url: Url) -> Result<Vec<u8>, PageError> {
        let door = self.door()?;
        let request = door.request(reqwest::Method::GET, url).header(ACCEPT, "application/json").timeout(PATIENCE);
        let mut reply = door.execute(request.build()?).await.map_err(|error| match error {
            DoorError::Barred(barred) => PageError::Barred(barred),
            DoorError::Http(error) => PageError::Unreachable(error),
        })?;
        if reply.status() != StatusCode::OK {
            return Err(PageError::Status(reply.status().as_u16()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = reply.chunk().await? {
            if document.len() + chunk.len() > LONGEST {
                return Err(PageError::TooLong);
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}
