//! Ids and secrets, from the operating system's random source. No secret contains a time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{CallId, CompletionHandle, DocumentId, JobId, StorageError, StorageResult};

/// Alphabet of RFC 4648 base32, lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Random bytes from the operating system.
fn random<const N: usize>() -> StorageResult<[u8; N]> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| StorageError::Unavailable(format!("no random source: {error}")))?;
    Ok(bytes)
}

/// A token of 128 random bits in 22 characters: the capability in a content URL.
pub fn content_token() -> StorageResult<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<16>()?))
}

/// A secret of 256 random bits in 43 characters: signing keys, launch links.
pub fn secret() -> StorageResult<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// A call id: 8 hex digits. The catalog refuses one that the principal has already.
pub fn call_id() -> StorageResult<CallId> {
    let bytes = random::<4>()?;
    Ok(CallId(format!("{:08x}", u32::from_be_bytes(bytes))))
}

/// So many call ids, one behind the other from a random first, so that their rows lie together. The
/// catalog leaves out those that the principal has already.
pub fn call_ids(count: u32) -> StorageResult<Vec<CallId>> {
    let first = u32::from_be_bytes(random::<4>()?);
    Ok((0..count).map(|step| CallId(format!("{:08x}", first.wrapping_add(step)))).collect())
}

/// A completion handle: `cmp_` and 160 random bits in base32.
pub fn completion_handle() -> StorageResult<CompletionHandle> {
    let bytes = random::<20>()?;
    let mut text = String::from("cmp_");
    let mut buffer = 0_u32;
    let mut bits = 0;
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            let index = (buffer >> bits) & 31;
            if let Some(letter) = BASE32.get(index as usize) {
                text.push(char::from(*letter));
            }
        }
    }
    Ok(CompletionHandle(text))
}

/// A job id: UUID version 4.
pub fn job_id() -> JobId {
    JobId(uuid::Uuid::new_v4().to_string())
}

/// A document id: UUID version 7, so that rows of one time lie together.
pub fn document_id() -> DocumentId {
    DocumentId(uuid::Uuid::now_v7().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_carry_160_bits_of_base32() {
        let handle = completion_handle().unwrap();
        let body = handle.0.strip_prefix("cmp_").unwrap();
        assert_eq!(body.len(), 32);
        assert!(body.bytes().all(|byte| BASE32.contains(&byte)));
        assert_ne!(handle, completion_handle().unwrap());
    }

    #[test]
    fn content_tokens_are_22_url_safe_characters() {
        let token = content_token().unwrap();
        assert_eq!(token.len(), 22);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }

    #[test]
    fn call_ids_are_8_hex_digits() {
        let id = call_id().unwrap();
        assert_eq!(id.0.len(), 8);
        assert!(id.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    }

    #[test]
    fn nothing_is_made_twice() {
        let made = |make: &dyn Fn() -> String| {
            (0..200).map(|_| make()).collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!(made(&|| content_token().unwrap()), 200);
        assert_eq!(made(&|| secret().unwrap()), 200);
        assert_eq!(made(&|| completion_handle().unwrap().0), 200);
        assert_eq!(made(&|| job_id().0), 200);
        assert_eq!(made(&|| document_id().0), 200);
    }
}
