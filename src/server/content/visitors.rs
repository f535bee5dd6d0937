//! Who looks at an app: a random cookie per app, and what is derived from it.
//!
//! The cookie is never shown to a page (`HttpOnly`) and never stored. Its keyed hash names the
//! visitor of this one app; the hash, signed, is the token with which the page writes. A page's
//! own requests carry no cookie, since it has an opaque origin; the token is what it has.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::content_urls::ContentUrls;
use crate::installation_key::{InstallationKey, Purpose};
use crate::storage::{DocumentId, StorageResult, keys};

const COOKIE_NAME: &str = "atelier_visitor";
/// As long as browsers keep a cookie at most: 400 days.
const COOKIE_SECONDS: u32 = 400 * 24 * 60 * 60;
/// Digits of a visitor's name: 132 bits of the hash.
const NAME_DIGITS: usize = 22;

/// Knows visitors.
pub(super) struct Visitors {
    key: InstallationKey,
    urls: ContentUrls,
}

/// A visitor of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visitor {
    /// The name under which its things are stored.
    pub(super) name: String,
    /// The cookie that makes it known again.
    cookie: String,
    /// Whether it came with the cookie.
    pub(super) acquaintance: Acquaintance,
}

/// Whether a visitor was here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acquaintance {
    New,
    Known,
}

impl Visitors {
    pub(super) const fn new(key: InstallationKey, urls: ContentUrls) -> Self {
        Self { key, urls }
    }

    /// Who sent this request.
    pub(super) fn of_request(
        &self,
        document: &DocumentId,
        headers: &HeaderMap,
    ) -> StorageResult<Visitor> {
        let (cookie, acquaintance) = match cookie(headers) {
            Some(cookie) => (cookie.to_owned(), Acquaintance::Known),
            None => (keys::content_token()?, Acquaintance::New),
        };
        let mut name = self.key.sign(Purpose::Visitor, &format!("{document} {cookie}"));
        name.truncate(NAME_DIGITS);
        Ok(Visitor { name, cookie, acquaintance })
    }

    /// The header that makes the visitor known again.
    pub(super) fn set_cookie(&self, token: &str, visitor: &Visitor) -> Option<HeaderValue> {
        let bases = self.urls.bases();
        let (scheme, rest) = bases.content.split_once("://")?;
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
        let secure = if scheme == "https" { "; Secure" } else { "" };
        let Visitor { cookie, .. } = visitor;
        HeaderValue::try_from(format!(
            "{COOKIE_NAME}={cookie}; Path={path}/a/{token}/; Max-Age={COOKIE_SECONDS}; HttpOnly; \
             SameSite=Lax{secure}"
        ))
        .ok()
    }

    /// With this a page of the app writes for the visitor.
    pub(super) fn token(&self, document: &DocumentId, visitor: &str) -> String {
        let signature = self.key.sign(Purpose::PageStorage, &format!("{document} {visitor}"));
        format!("{visitor}.{signature}")
    }

    /// The visitor that a token was made for, when it was made for this app.
    pub(super) fn of_token(&self, document: &DocumentId, token: &str) -> Option<String> {
        let (visitor, signature) = token.split_once('.')?;
        let message = format!("{document} {visitor}");
        let is_ours =
            is_name(visitor) && self.key.verify(Purpose::PageStorage, &message, signature);
        is_ours.then(|| visitor.to_owned())
    }
}

/// Whether the text has the form of a visitor's name.
pub(super) fn is_name(text: &str) -> bool {
    text.len() == NAME_DIGITS && text.bytes().all(is_word)
}

/// A cookie of ours that has the form of one.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
        .find(|value| value.len() == NAME_DIGITS && value.bytes().all(is_word))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn visitors(public_base: Option<&str>) -> Visitors {
        let key = InstallationKey::new("secret");
        let base = public_base.map(|text| Url::parse(text).unwrap());
        let address = "127.0.0.1:7411".parse().unwrap();
        Visitors::new(key.clone(), ContentUrls::new(base.as_ref(), address, key))
    }

    fn with_cookie(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, value.parse().unwrap())])
    }

    #[test]
    fn a_cookie_names_the_same_visitor_of_one_app_again() {
        let visitors = visitors(None);
        let (app, other) = (DocumentId::from("app"), DocumentId::from("other"));
        let first = visitors.of_request(&app, &HeaderMap::new()).unwrap();
        assert_eq!(first.acquaintance, Acquaintance::New);
        let sent = format!("x=y; {COOKIE_NAME}={}; z=1", first.cookie);
        let again = visitors.of_request(&app, &with_cookie(&sent)).unwrap();
        assert_eq!((&again.name, again.acquaintance), (&first.name, Acquaintance::Known));
        assert_ne!(visitors.of_request(&other, &with_cookie(&sent)).unwrap().name, first.name);
        assert_ne!(visitors.of_request(&app, &HeaderMap::new()).unwrap().name, first.name);
        for wrong in ["", "short", "AAAAAAAAAAAAAAAAAAAAA!", &"A".repeat(500)] {
            let sent = with_cookie(&format!("{COOKIE_NAME}={wrong}"));
            let visitor = visitors.of_request(&app, &sent).unwrap();
            assert_eq!(visitor.acquaintance, Acquaintance::New, "{wrong}");
        }
    }

    #[test]
    fn a_token_serves_one_visitor_of_one_app() {
        let visitors = visitors(None);
        let app = DocumentId::from("app");
        let token = visitors.token(&app, TOKEN);
        assert_eq!(visitors.of_token(&app, &token).as_deref(), Some(TOKEN));
        assert_eq!(visitors.of_token(&DocumentId::from("other"), &token), None);
        let (_, signature) = token.split_once('.').unwrap();
        for forged in [
            format!("BAAAAAAAAAAAAAAAAAAAAA.{signature}"),
            format!("{TOKEN}."),
            TOKEN.to_owned(),
            String::new(),
        ] {
            assert_eq!(visitors.of_token(&app, &forged), None, "{forged}");
        }
    }

    #[test]
    fn the_cookie_stays_below_its_app_behind_any_proxy() {
        let cookie = |base| {
            let visitors = visitors(base);
            let visitor = visitors.of_request(&DocumentId::from("app"), &HeaderMap::new()).unwrap();
            let header = visitors.set_cookie(TOKEN, &visitor).unwrap();
            let text = header.to_str().unwrap().to_owned();
            text.split_once("; ").unwrap().1.to_owned()
        };
        let rest = "Max-Age=34560000; HttpOnly; SameSite=Lax";
        assert_eq!(cookie(None), format!("Path=/a/{TOKEN}/; {rest}"));
        assert_eq!(
            cookie(Some("https://apps.example.org/workshop/")),
            format!("Path=/workshop/a/{TOKEN}/; {rest}; Secure")
        );
    }
}
