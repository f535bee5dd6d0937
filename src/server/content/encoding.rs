//! Content codings: which one a client takes, and making it.

use std::io::Write as _;

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Smaller bodies are sent as they are: a coding would not save a packet.
const SMALLEST_ENCODED: usize = 860;
/// A page is compressed once and then served from the cache, so some effort pays.
const BROTLI_QUALITY: i32 = 6;
const BROTLI_WINDOW: i32 = 22;
const GZIP_LEVEL: u32 = 6;

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Brotli,
}

impl Encoding {
    /// The best coding that the client accepts for a body of this size.
    pub(super) fn negotiate(headers: &HeaderMap, bytes: usize) -> Self {
        if bytes < SMALLEST_ENCODED {
            return Self::Identity;
        }
        match accepted(headers) {
            (_, true) => Self::Brotli,
            (true, false) => Self::Gzip,
            (false, false) => Self::Identity,
        }
    }

    /// The same among the codings in which pages are put together.
    pub(super) fn negotiate_gzip(headers: &HeaderMap, bytes: usize) -> Self {
        let (gzip, _) = accepted(headers);
        if gzip && bytes >= SMALLEST_ENCODED { Self::Gzip } else { Self::Identity }
    }

    /// Value of `Content-Encoding`.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }

    /// Encodes a body. Writing to memory does not fail; if it did, the answer would be an error of
    /// the server and never a cut body.
    pub(super) fn encode(self, body: &Bytes) -> std::io::Result<Bytes> {
        match self {
            Self::Identity => Ok(body.clone()),
            Self::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(body)?;
                encoder.finish().map(Bytes::from)
            }
            Self::Brotli => {
                let params = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    size_hint: body.len(),
                    ..Default::default()
                };
                let mut encoded = Vec::new();
                brotli::BrotliCompress(&mut body.as_ref(), &mut encoded, &params)?;
                Ok(Bytes::from(encoded))
            }
        }
    }
}

/// Whether the client takes gzip, and whether it takes brotli.
fn accepted(headers: &HeaderMap) -> (bool, bool) {
    let (mut gzip, mut brotli) = (false, false);
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut parts = item.split(';');
            let name = parts.next().unwrap_or_default().trim();
            if parts.any(is_zero_quality) {
                continue;
            }
            brotli |= name.eq_ignore_ascii_case("br");
            gzip |= name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip");
        }
    }
    (gzip, brotli)
}

/// Whether this parameter says `q=0`.
fn is_zero_quality(parameter: &str) -> bool {
    parameter
        .trim()
        .strip_prefix(['q', 'Q'])
        .and_then(|rest| rest.trim_start().strip_prefix('='))
        .is_some_and(|quality| quality.trim().parse::<f32>().is_ok_and(|quality| quality <= 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiated(accepted: &str) -> Encoding {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accepted.parse().unwrap());
        Encoding::negotiate(&headers, 10_000)
    }

    #[test]
    fn the_best_accepted_coding_is_chosen() {
        assert_eq!(negotiated("gzip, deflate, br, zstd"), Encoding::Brotli);
        assert_eq!(negotiated("gzip;q=0.5, br;q=0"), Encoding::Gzip);
        assert_eq!(negotiated("GZIP"), Encoding::Gzip);
        assert_eq!(negotiated("br; q=0.0"), Encoding::Identity);
        assert_eq!(negotiated("identity"), Encoding::Identity);
        assert_eq!(Encoding::negotiate(&HeaderMap::new(), 10_000), Encoding::Identity);
    }

    #[test]
    fn small_bodies_travel_as_they_are() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, "br".parse().unwrap());
        assert_eq!(Encoding::negotiate(&headers, SMALLEST_ENCODED - 1), Encoding::Identity);
        assert_eq!(Encoding::negotiate(&headers, SMALLEST_ENCODED), Encoding::Brotli);
    }
}
