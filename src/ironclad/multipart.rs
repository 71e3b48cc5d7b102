//! Writes a request that carries files: the JSON body in the part `data`, each file in a part of its own
//! (ironclad-api.md §8.3). Files are streamed, so a large one never lies in memory.

use std::io;

use reqwest::{
    Body,
    multipart::{Form, Part},
};
use serde_json::Value;

use super::Failure;
use crate::request::{Content, Upload};

/// The form of one attempt; files are opened anew for each.
pub(super) async fn form(body: &Value, files: &[Upload]) -> Result<Form, Failure> {
    let mut form = Form::new().part("data", Part::text(body.to_string()));
    for file in files {
        let part = part(file).await.map_err(Failure::Unreadable)?;
        let part = part.file_name(file.filename.clone()).mime_str(file.media_type).map_err(Failure::NeverArrived)?;
        form = form.part(file.part.clone(), part);
    }
    Ok(form)
}

async fn part(file: &Upload) -> io::Result<Part> {
    let path = match &file.content {
        Content::Bytes(bytes) => return Ok(Part::stream_with_length(Body::from(bytes.clone()), file.size)),
        Content::File(path) => path,
    };
    let open = tokio::fs::File::open(path).await?;
    if open.metadata().await?.len() != file.size {
        return Err(io::Error::other("the file has changed since it was checked"));
    }
    Ok(Part::stream_with_length(Body::from(open), file.size))
}
