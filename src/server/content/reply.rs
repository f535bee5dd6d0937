//! Answers with a body: entity tags, ranges, download names.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

/// How long a browser may keep an answer without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It asks each time; an unchanged page costs no body.
    Checked,
    /// For ever: the address names the content.
    Immutable,
}

impl Freshness {
    const fn header(self) -> HeaderValue {
        match self {
            Self::Checked => HeaderValue::from_static("private, no-cache"),
            Self::Immutable => HeaderValue::from_static("private, max-age=31536000, immutable"),
        }
    }
}

/// The headers that name a body, before it is there.
pub(super) struct Description {
    pub(super) etag: String,
    pub(super) freshness: Freshness,
    pub(super) media_type: HeaderValue,
    pub(super) encoding: Option<&'static str>,
    pub(super) disposition: Option<HeaderValue>,
}

impl Description {
    /// Whether the client has this body already.
    pub(super) fn is_known(&self, request: &HeaderMap) -> bool {
        request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
    }

    /// `304`: what the client has is right.
    pub(super) fn not_modified(self) -> Response {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        self.add_validators(response.headers_mut());
        response
    }

    /// The whole body.
    pub(super) fn with(self, body: Bytes) -> Response {
        self.with_body(Body::from(body))
    }

    /// The whole body, in pieces.
    pub(super) fn with_body(self, body: Body) -> Response {
        let mut response = Response::new(body);
        self.add_to(response.headers_mut());
        response
    }

    /// The part of the body that was asked for, or all of it.
    pub(super) fn with_range(self, body: Bytes, request: &HeaderMap) -> Response {
        let total = body.len();
        // A client that holds a part of another body gets the whole of this one.
        let current =
            request.get(IF_RANGE).is_none_or(|tag| tag.as_bytes() == self.etag.as_bytes());
        let wanted = if current { wanted_range(request, total) } else { Wanted::Everything };
        let mut response = match wanted {
            Wanted::Everything => self.with(body),
            Wanted::Part { first, last } => {
                let mut response = self.with(body.slice(first..=last));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                add_content_range(&mut response, &format!("bytes {first}-{last}/{total}"));
                response
            }
            Wanted::Nothing => {
                let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
                add_content_range(&mut response, &format!("bytes */{total}"));
                response
            }
        };
        response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        response
    }

    fn add_validators(&self, headers: &mut HeaderMap) {
        if let Ok(etag) = HeaderValue::try_from(self.etag.as_str()) {
            headers.insert(ETAG, etag);
        }
        headers.insert(CACHE_CONTROL, self.freshness.header());
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }

    fn add_to(self, headers: &mut HeaderMap) {
        headers.reserve(16);
        self.add_validators(headers);
        headers.insert(CONTENT_TYPE, self.media_type);
        if let Some(encoding) = self.encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if let Some(disposition) = self.disposition {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
    }
}

fn add_content_range(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Everything,
    Part { first: usize, last: usize },
    Nothing,
}

/// Reads `Range`. Several ranges, other units and nonsense get everything, as the standard allows.
fn wanted_range(request: &HeaderMap, total: usize) -> Wanted {
    let range = request
        .get(RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("bytes="))
        .and_then(|range| range.trim().split_once('-'));
    let Some((first, last)) = range else { return Wanted::Everything };
    let end = total.saturating_sub(1);
    let part = match (first.trim(), last.trim()) {
        ("", suffix) => match suffix.parse::<usize>() {
            Ok(0) => None,
            Ok(length) => Some((total.saturating_sub(length), end)),
            Err(_) => return Wanted::Everything,
        },
        (first, "") => match first.parse::<usize>() {
            Ok(first) => Some((first, end)),
            Err(_) => return Wanted::Everything,
        },
        (first, last) => match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last => Some((first, last.min(end))),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => return Wanted::Everything,
        },
    };
    match part {
        Some((first, last)) if first < total => Wanted::Part { first, last },
        Some(_) | None => Wanted::Nothing,
    }
}

/// `Content-Disposition: attachment` with a name that every file system takes.
pub(super) fn attachment_disposition(name: &str) -> HeaderValue {
    disposition("attachment", name)
}

/// `Content-Disposition: inline`: shown, and saved under this name when it is saved.
pub(super) fn inline_disposition(name: &str) -> HeaderValue {
    disposition("inline", name)
}

fn disposition(kind: &'static str, name: &str) -> HeaderValue {
    let fallback: String = name
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' | ' ' => character,
            _ => '_',
        })
        .collect();
    let encoded = percent_encoded(name);
    HeaderValue::try_from(format!("{kind}; filename=\"{fallback}\"; filename*=UTF-8''{encoded}"))
        .unwrap_or_else(|_| HeaderValue::from_static(kind))
}

/// RFC 8187: everything but unreserved characters as `%XX`.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(range: &str) -> Wanted {
        let mut request = HeaderMap::new();
        request.insert(RANGE, range.parse().unwrap());
        wanted_range(&request, 10)
    }

    #[test]
    fn one_range_is_served_and_anything_else_is_everything_or_nothing() {
        assert_eq!(wanted("bytes=2-4"), Wanted::Part { first: 2, last: 4 });
        assert_eq!(wanted("bytes=2-"), Wanted::Part { first: 2, last: 9 });
        assert_eq!(wanted("bytes=-3"), Wanted::Part { first: 7, last: 9 });
        assert_eq!(wanted("bytes=-30"), Wanted::Part { first: 0, last: 9 });
        assert_eq!(wanted("bytes=9-99"), Wanted::Part { first: 9, last: 9 });
        assert_eq!(wanted("bytes=10-"), Wanted::Nothing);
        assert_eq!(wanted("bytes=-0"), Wanted::Nothing);
        for odd in ["bytes=1-2,4-5", "bytes=4-2", "bytes=a-b", "items=1-2", "bytes=", "bytes=-"] {
            assert_eq!(wanted(odd), Wanted::Everything, "{odd}");
        }
    }

    #[test]
    fn download_names_cannot_leave_their_header() {
        let header = attachment_disposition("Grüße \"x\"\r\nSet-Cookie: a=b;.html");
        assert_eq!(
            header.to_str().unwrap(),
            "attachment; filename=\"Gr__e _x___Set-Cookie_ a_b_.html\"; \
             filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22x%22%0D%0ASet-Cookie%3A%20a%3Db%3B.html"
        );
    }
}
