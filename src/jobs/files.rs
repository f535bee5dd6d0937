//! Stored files in a request, put in for the model that will read it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::llm::{Message, Part, Request, StoredFile};
use crate::storage::blobs::Blobs;
use crate::storage::{Sha256Hex, StorageResult};

/// Most bytes of one file: vendors refuse pictures of more than 5 MB in base64.
const FILE_BYTES: u64 = 3_700_000;
/// Most bytes of all files of a request: vendors refuse requests of more than 20 MB.
const REQUEST_BYTES: u64 = 12_000_000;

/// The request with its stored files as bytes where the model `reads` them and they are not too
/// large, and as their text elsewhere.
///
/// # Errors
/// When the store cannot be read.
pub(super) async fn with_files<'request>(
    request: &'request Request,
    reads: impl Fn(&str) -> bool + Send + Sync,
    blobs: &Blobs,
) -> StorageResult<Cow<'request, Request>> {
    let is_stored = |part: &Part| matches!(part, Part::StoredFile(_));
    if !request.messages.iter().any(|message| message.parts.iter().any(is_stored)) {
        return Ok(Cow::Borrowed(request));
    }
    let mut left = REQUEST_BYTES;
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            let Part::StoredFile(file) = part else {
                parts.push(part.clone());
                continue;
            };
            if file.bytes <= FILE_BYTES.min(left) && reads(&file.media_type) {
                left -= file.bytes;
                parts.push(Part::Text(file.label.clone()));
                parts.push(in_full(file, blobs).await?);
            } else {
                parts.extend(file.text.clone().map(Part::Text));
            }
        }
        messages.push(Message { role: message.role, parts });
    }
    Ok(Cow::Owned(Request { messages, ..request.clone() }))
}

async fn in_full(file: &StoredFile, blobs: &Blobs) -> StorageResult<Part> {
    let bytes = blobs.get(&Sha256Hex(file.sha.clone())).await?;
    Ok(Part::File {
        media_type: file.media_type.clone(),
        name: file.name.clone(),
        base64: STANDARD.encode(&bytes),
    })
}
