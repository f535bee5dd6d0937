//! The page itself and its assets, which are part of the program.

use std::future::{Ready, ready};

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::ChatState;
use super::access::{self, Access};
use crate::server::pages::access as gallery_access;
use crate::server::pages::error::PagesError;
use crate::server::pages::gallery::picture_origin;
use crate::server::pages::{add_common, html, see_other};

const PAGE: &str = include_str!("assets/chat.html");
const LAUNCH: &str = include_str!("assets/launch.html");
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Name, media type and content of each asset.
const ASSETS: [(&str, &str, &str); 10] = [
    ("chat.css", STYLE, include_str!("assets/chat.css")),
    ("main.js", SCRIPT, include_str!("assets/main.js")),
    ("api.js", SCRIPT, include_str!("assets/api.js")),
    ("dom.js", SCRIPT, include_str!("assets/dom.js")),
    ("clean.js", SCRIPT, include_str!("assets/clean.js")),
    ("markdown.js", SCRIPT, include_str!("assets/markdown.js")),
    ("fold.js", SCRIPT, include_str!("assets/fold.js")),
    ("turn.js", SCRIPT, include_str!("assets/turn.js")),
    ("composer.js", SCRIPT, include_str!("assets/composer.js")),
    ("sidebar.js", SCRIPT, include_str!("assets/sidebar.js")),
];

/// `GET /chat`, and the link `GET /chat?key=…`.
pub(super) async fn show(
    State(state): State<ChatState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PagesError> {
    match access::check_page(&state, &uri, &headers).await? {
        Access::Launched { cookie, is_foreign } => {
            // Browsers keep the cookie from a redirect that began on another site, so there a
            // page of ours begins anew.
            let mut response = if is_foreign {
                html(StatusCode::OK, LAUNCH.to_owned())
            } else {
                see_other("chat")
            };
            response.headers_mut().insert(SET_COOKIE, cookie);
            Ok(response)
        }
        Access::Granted(person) => {
            let content = picture_origin(&state.pages.parts().urls.bases().content);
            let word = access::action_word(&state, &person.principal);
            // Both are made of letters that mean nothing in HTML.
            let body = PAGE.replace("{{ word }}", &word).replace("{{ content }}", &content);
            let policy = format!(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                 img-src 'self' data: blob: {content}; frame-src {content}; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'; \
                 require-trusted-types-for 'script'; trusted-types 'none'"
            );
            let mut response = html(StatusCode::OK, body);
            let policy = HeaderValue::try_from(policy).map_err(|_| PagesError::Broken)?;
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
            Ok(response)
        }
    }
}

/// `GET /gallery/chat`: whoever is in the gallery gets a link to the chat, and goes there.
pub(super) async fn from_gallery(
    State(state): State<ChatState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PagesError> {
    let access = gallery_access::check(state.pages.parts(), &uri, &headers)?;
    let gallery_access::Access::Granted(principal) = access else {
        return Err(PagesError::NotOpened);
    };
    let key = state.chat.new_link(&principal).await?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::try_from(format!("../chat?key={key}"));
    response.headers_mut().insert(LOCATION, location.map_err(|_| PagesError::Broken)?);
    add_common(response.headers_mut());
    Ok(response)
}

/// `GET /chat/assets/{name}`. They hold nothing of anybody's.
#[expect(clippy::needless_pass_by_value, reason = "extractors are given by value")]
pub(super) fn asset(
    State(state): State<ChatState>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Ready<Result<Response, PagesError>> {
    ready(found_asset(&state, &name, &uri, &headers))
}

fn found_asset(
    state: &ChatState,
    name: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, PagesError> {
    access::check_source(state, uri, headers)?;
    let found = ASSETS.iter().find(|(known, ..)| *known == name);
    let (_, media_type, content) = *found.ok_or(PagesError::NotFound)?;
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    add_common(headers);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_for_nothing_that_is_not_there() {
        let bytes: usize = ASSETS.iter().map(|(.., content)| content.len()).sum();
        assert!(bytes + PAGE.len() < 150_000, "{bytes}");
        let all = ASSETS.iter().map(|(.., content)| *content).chain([PAGE]);
        for content in all {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!content.contains(word), "{word}");
            }
            for part in content.split("from \"./").skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(ASSETS.iter().any(|(known, ..)| *known == name), "{name}");
            }
        }
    }
}
