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
    // The newest files first: what was shown long ago gives way.
    let mut left = REQUEST_BYTES;
    let mut fit = Vec::new();
    for part in request.messages.iter().rev().flat_map(|message| message.parts.iter().rev()) {
        let Part::StoredFile(file) = part else { continue };
        let fits = file.bytes <= FILE_BYTES.min(left) && reads(&file.media_type);
        if fits {
            left -= file.bytes;
        }
        fit.push(fits);
    }
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            let Part::StoredFile(file) = part else {
                parts.push(part.clone());
                continue;
            };
            if fit.pop() == Some(true) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{ExpectedKind, Expects};

    #[tokio::test]
    async fn the_newest_files_are_sent_and_older_ones_give_way() {
        let blobs = Blobs::in_memory();
        let mut messages = Vec::new();
        for number in 0..5_u8 {
            // The size is the row's; the bytes behind it may be fewer here.
            let sha = blobs.put(vec![number]).await.unwrap();
            messages.push(Message {
                role: crate::llm::Role::User,
                parts: vec![Part::StoredFile(StoredFile {
                    sha: sha.as_str().to_owned(),
                    media_type: "image/png".into(),
                    name: number.to_string(),
                    bytes: 3_600_000,
                    label: format!("label {number}"),
                    text: Some(format!("words {number}")),
                })],
            });
        }
        let request =
            Request { messages, ..Request::new("", "", Expects::kind(ExpectedKind::Text)) };
        let sent = with_files(&request, |_| true, &blobs).await.unwrap();
        let firsts: Vec<Part> =
            sent.messages.iter().map(|message| message.parts[0].clone()).collect();
        let text = |text: &str| Part::Text(text.into());
        assert_eq!(
            firsts,
            [text("words 0"), text("words 1"), text("label 2"), text("label 3"), text("label 4"),]
        );
        let blind = with_files(&request, |_| false, &blobs).await.unwrap();
        assert_eq!(blind.messages[4].parts, [text("words 4")]);
    }
}
