//! Who may see a page of ours.
//!
//! A browser sends our cookie with whatever asks for the page, so besides the cookie it must be
//! the right thing that asks: the person, by opening a tab, or our own page. Hosted apps and other
//! sites are refused before the cookie is looked at.

use http::header::{COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use url::{Url, form_urlencoded};

use super::error::PagesError;
use super::{PagesParts, see_other};
use crate::installation_key::{InstallationKey, Purpose};
use crate::storage::PrincipalId;

pub(super) const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Header that our page alone sends with what changes something: its value stands in the page, and
/// no other site can send it without our leave.
pub(super) const ACTION: HeaderName = HeaderName::from_static("x-atelier-action");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// How long a browser keeps a gallery open.
const COOKIE_SECONDS: u32 = 30 * 24 * 3600;

/// What a request for a page leads to.
pub(super) enum Access {
    /// The page of this principal.
    Granted(PrincipalId),
    /// The launch link: the browser gets the cookie and goes on to the page.
    Launched {
        /// The cookie.
        cookie: HeaderValue,
        /// Whether a foreign page holds the link. Browsers do not send the cookie on a redirect
        /// that began elsewhere, so a page of ours has to begin anew.
        is_foreign: bool,
    },
}

/// Decides about a request.
pub(super) fn check(
    parts: &PagesParts,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Access, PagesError> {
    if !parts.hosts.allows(uri, headers) {
        return Err(PagesError::HostRefused);
    }
    if !is_own_origin(headers) || !is_opened_by_a_person_or_us(headers) {
        return Err(PagesError::Foreign);
    }
    if let Some(check) = &parts.bearer
        && let Some(principal) = check(headers)
    {
        return Ok(Access::Granted(principal));
    }
    if let Some(key) = launch_key(uri) {
        principal_of(parts, &key).ok_or(PagesError::NotOpened)?;
        let is_foreign = text(headers, &FETCH_SITE).is_some_and(|site| site == "cross-site");
        return Ok(Access::Launched { cookie: cookie(&parts.key, &key)?, is_foreign });
    }
    let name = cookie_name(&parts.key);
    cookies(headers, &name)
        .find_map(|key| principal_of(parts, key))
        .map(Access::Granted)
        .ok_or(PagesError::NotOpened)
}

/// Decides about a request that changes something: it must come from our own page, as its origin,
/// the cookie and the header with the page's word show.
pub(super) fn check_action(
    parts: &PagesParts,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<PrincipalId, PagesError> {
    let Access::Granted(principal) = check(parts, uri, headers)? else {
        return Err(PagesError::NotOpened);
    };
    let word = text(headers, &ACTION).unwrap_or_default();
    if headers.contains_key(ORIGIN)
        && parts.key.verify(Purpose::GalleryAction, principal.as_str(), word)
    {
        Ok(principal)
    } else {
        Err(PagesError::Foreign)
    }
}

/// The word by which a page shows that a request is its own.
pub(super) fn action_word(parts: &PagesParts, principal: &PrincipalId) -> String {
    parts.key.sign(Purpose::GalleryAction, principal.as_str())
}

/// The answer to a launch link.
pub(super) fn launch(cookie: HeaderValue, is_foreign: bool) -> axum::response::Response {
    let mut response = if is_foreign {
        super::html(http::StatusCode::OK, include_str!("launch.html").to_owned())
    } else {
        see_other("gallery")
    };
    response.headers_mut().insert(http::header::SET_COOKIE, cookie);
    response
}

/// The principal of a key that we signed, when it still has a gallery.
fn principal_of(parts: &PagesParts, key: &str) -> Option<PrincipalId> {
    let principal = PrincipalId(parts.key.principal_of_launch_key(key)?);
    parts.principals.rights(&principal).is_some().then_some(principal)
}

pub(super) fn launch_key(uri: &Uri) -> Option<String> {
    let query = uri.query()?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "key")
        .map(|(_, key)| key.into_owned())
}

/// Cookies are shared by all ports of a host, so the name tells installations apart.
fn cookie_name(key: &InstallationKey) -> String {
    let name = key.sign(Purpose::Gallery, "\0cookie");
    format!("atelier_{}", name.get(..8).unwrap_or_default())
}

fn cookie(key: &InstallationKey, launch_key: &str) -> Result<HeaderValue, PagesError> {
    let name = cookie_name(key);
    HeaderValue::try_from(format!(
        "{name}={launch_key}; Path=/gallery; HttpOnly; SameSite=Strict; Max-Age={COOKIE_SECONDS}"
    ))
    .map_err(|_| PagesError::NotOpened)
}

pub(super) fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter_map(move |(found, value)| (found == name).then_some(value))
}

/// Whether the request names no origin, or the one it is sent to.
pub(super) fn is_own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Some(host) = text(headers, &HOST) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    origin.is_some_and(|origin| {
        let scheme = origin.scheme();
        // Behind a proxy only the browser knows the scheme, so the origin's is taken for both.
        matches!(scheme, "http" | "https")
            && Url::parse(&format!("{scheme}://{host}"))
                .is_ok_and(|own| own.origin() == origin.origin())
    })
}

/// By what the browser says about the request. A tab that a person opens cannot be read by
/// whoever made it open. Programs that are no browser say nothing and send no cookie unasked.
pub(super) fn is_opened_by_a_person_or_us(headers: &HeaderMap) -> bool {
    match text(headers, &FETCH_SITE) {
        None | Some("none" | "same-origin") => true,
        Some(_) => {
            text(headers, &FETCH_MODE) == Some("navigate")
                && text(headers, &FETCH_DEST) == Some("document")
        }
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_own_origin_may_be_named() {
        let own =
            |host: &str, origin: &str| is_own_origin(&headers(&[(&HOST, host), (&ORIGIN, origin)]));
        assert!(own("127.0.0.1:7410", "http://127.0.0.1:7410"));
        assert!(own("gallery.example.org", "https://gallery.example.org"));
        assert!(own("LOCALHOST", "http://localhost"));
        assert!(!own("127.0.0.1:7410", "http://127.0.0.1:7411"));
        assert!(!own("127.0.0.1:7410", "http://localhost:7410"));
        assert!(!own("127.0.0.1:7410", "null"));
        assert!(!own("127.0.0.1:7410", "file://"));
        assert!(is_own_origin(&HeaderMap::new()));
    }

    #[test]
    fn another_site_may_open_a_tab_and_nothing_else() {
        let asked = |site: &str, mode: &str, dest: &str| {
            let headers = headers(&[(&FETCH_SITE, site), (&FETCH_MODE, mode), (&FETCH_DEST, dest)]);
            is_opened_by_a_person_or_us(&headers)
        };
        assert!(asked("none", "navigate", "document"));
        assert!(asked("same-origin", "cors", "empty"));
        assert!(asked("cross-site", "navigate", "document"));
        assert!(!asked("cross-site", "navigate", "iframe"));
        assert!(!asked("cross-site", "no-cors", "image"));
        assert!(!asked("same-site", "cors", "empty"));
        assert!(is_opened_by_a_person_or_us(&HeaderMap::new()));
    }
}
