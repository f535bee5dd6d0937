//! Who may see the chat: whoever opened a link that serves once, or carries a bearer token.
//!
//! As in the gallery, the right thing must ask, before the cookie is looked at: the person, by
//! opening a tab, or our own page.

use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue, Uri};

use super::ChatState;
use super::api::Refusal;
use crate::agent::chat::{Person, SESSION_MS};
use crate::installation_key::Purpose;
use crate::server::pages::access::{
    ACTION, FETCH_SITE, cookies, is_opened_by_a_person_or_us, is_own_origin, launch_key, text,
};
use crate::server::pages::error::PagesError;
use crate::storage::PrincipalId;

/// What a request leads to.
pub(super) enum Access {
    /// It is this person's.
    Granted(Person),
    /// It opened a link: the browser gets the cookie and goes on to the page.
    Launched {
        /// The cookie.
        cookie: HeaderValue,
        /// Whether another site holds the link.
        is_foreign: bool,
    },
}

/// Decides about a request for the page.
pub(super) async fn check_page(
    state: &ChatState,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Access, PagesError> {
    check_source(state, uri, headers)?;
    if let Some(key) = launch_key(uri) {
        let opened = state.chat.open_link(&key).await?;
        let (principal, session) = opened.ok_or(PagesError::ChatNotOpened)?;
        person(state, principal)?;
        let is_foreign = text(headers, &FETCH_SITE).is_some_and(|site| site == "cross-site");
        return Ok(Access::Launched { cookie: cookie(state, &session)?, is_foreign });
    }
    known(state, headers).await.map(Access::Granted)
}

/// Decides about a request that only reads.
pub(super) async fn check(
    state: &ChatState,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Person, Refusal> {
    check_source(state, uri, headers)?;
    Ok(known(state, headers).await?)
}

/// Decides about a request that changes something: it comes from our own page, as its origin, the
/// cookie and the page's word show.
pub(super) async fn check_action(
    state: &ChatState,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Person, Refusal> {
    let person = check(state, uri, headers).await?;
    let word = text(headers, &ACTION).unwrap_or_default();
    let key = &state.pages.parts().key;
    let is_ours = text(headers, &FETCH_SITE).is_none_or(|site| site == "same-origin");
    if is_ours
        && headers.contains_key(ORIGIN)
        && key.verify(Purpose::ChatAction, person.principal.as_str(), word)
    {
        Ok(person)
    } else {
        Err(PagesError::Foreign.into())
    }
}

/// The word by which the page shows that a request is its own.
pub(super) fn action_word(state: &ChatState, principal: &PrincipalId) -> String {
    state.pages.parts().key.sign(Purpose::ChatAction, principal.as_str())
}

/// Whether the request comes from where one may.
pub(super) fn check_source(
    state: &ChatState,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), PagesError> {
    if !state.pages.parts().hosts.allows(uri, headers) {
        return Err(PagesError::HostRefused);
    }
    if !is_own_origin(headers) || !is_opened_by_a_person_or_us(headers) {
        return Err(PagesError::Foreign);
    }
    Ok(())
}

async fn known(state: &ChatState, headers: &HeaderMap) -> Result<Person, PagesError> {
    if let Some(bearer) = &state.pages.parts().bearer
        && let Some(principal) = bearer(headers)
    {
        return person(state, principal);
    }
    for session in cookies(headers, &cookie_name(state)) {
        if let Some(principal) = state.chat.session(session).await? {
            return person(state, principal);
        }
    }
    Err(PagesError::ChatNotOpened)
}

/// The person with what the configuration lets them use.
fn person(state: &ChatState, principal: PrincipalId) -> Result<Person, PagesError> {
    let rights = state.pages.parts().principals.rights(&principal).cloned();
    Ok(Person { rights: rights.ok_or(PagesError::ChatNotOpened)?, principal })
}

/// Cookies are shared by all ports of a host, so the name tells installations apart.
fn cookie_name(state: &ChatState) -> String {
    let name = state.pages.parts().key.sign(Purpose::ChatAction, "\0cookie");
    format!("atelier_chat_{}", name.get(..8).unwrap_or_default())
}

fn cookie(state: &ChatState, session: &str) -> Result<HeaderValue, PagesError> {
    let name = cookie_name(state);
    let seconds = SESSION_MS / 1000;
    HeaderValue::try_from(format!(
        "{name}={session}; Path=/chat; HttpOnly; SameSite=Strict; Max-Age={seconds}"
    ))
    .map_err(|_| PagesError::Broken)
}
