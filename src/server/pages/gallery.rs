//! The gallery: a principal's apps, newest change first.

use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::access::{self, Access};
use super::error::PagesError;
use super::{PagesState, html};
use crate::content_urls::ContentUrls;
use crate::storage::{Document, DocumentKind, PrincipalId, keys};

/// More apps than these are found by the agent, not by looking.
const SHOWN: u32 = 500;
/// Colours of the placeholders.
const HUES: u32 = 8;

const PAGE: &str = include_str!("gallery.html");
const STYLE: &str = include_str!("gallery.css");
const SCRIPT: &str = include_str!("gallery.js");

/// `GET /gallery`, and the launch link `GET /gallery?key=…`.
pub(super) async fn show(
    State(state): State<PagesState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PagesError> {
    match access::check(&state.inner, &uri, &headers)? {
        Access::Launched { cookie, is_foreign } => Ok(access::launch(cookie, is_foreign)),
        Access::Granted(principal) => page(&state, &principal).await,
    }
}

async fn page(state: &PagesState, principal: &PrincipalId) -> Result<Response, PagesError> {
    let documents = state.inner.catalog.documents_of_principal(principal, SHOWN).await?;
    let is_cut = u32::try_from(documents.len()).is_ok_and(|count| count == SHOWN);
    let documents: Vec<&Document> =
        documents.iter().filter(|document| document.kind == DocumentKind::WebApp).collect();
    let has_users = documents
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one.owner.user != other.owner.user));
    let cards = documents
        .into_iter()
        .map(|document| Card::new(document, &state.inner.urls, has_users))
        .collect();
    let nonce = keys::content_token()?;
    let body = render(&View { cards, is_cut, style: STYLE, script: SCRIPT, nonce: &nonce })
        .map_err(|error| {
            tracing::error!(error.cause = %error, "the gallery cannot be rendered");
            PagesError::Broken
        })?;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = html(StatusCode::OK, body);
    let policy = HeaderValue::try_from(policy).map_err(|_| PagesError::Broken)?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

/// What the template shows.
#[derive(Serialize)]
struct View<'a> {
    cards: Vec<Card>,
    is_cut: bool,
    style: &'static str,
    script: &'static str,
    nonce: &'a str,
}

/// An app in the gallery.
#[derive(Serialize)]
struct Card {
    title: String,
    name: Option<String>,
    user: Option<String>,
    version: i64,
    updated: String,
    updated_at: String,
    size: String,
    url: String,
    download: String,
    initial: String,
    hue: u32,
}

impl Card {
    fn new(document: &Document, urls: &ContentUrls, has_users: bool) -> Self {
        let title = document
            .title
            .as_deref()
            .map(str::trim)
            .filter(|title| !title.is_empty())
            .unwrap_or(&document.name)
            .to_owned();
        let (updated, updated_at) = shown_time(document.updated_at);
        Self {
            name: (title != document.name).then(|| document.name.clone()),
            user: has_users.then(|| document.owner.user.clone()),
            version: document.head,
            updated,
            updated_at,
            size: shown_size(document.bytes),
            url: urls.app(&document.token),
            download: urls.download(&document.token),
            initial: initial(&title),
            hue: document
                .name
                .bytes()
                .fold(7_u32, |hue, byte| hue.wrapping_mul(31).wrapping_add(u32::from(byte)))
                % HUES,
            title,
        }
    }
}

fn render(view: &View<'_>) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.render_str(PAGE, Serde(view))
}

/// The first letter or digit, large, where a picture will be.
fn initial(title: &str) -> String {
    title
        .chars()
        .find(|character| character.is_alphanumeric())
        .map(|character| character.to_uppercase().collect())
        .unwrap_or_default()
}

/// A date for people and one for programs; the script turns the first into "2 hours ago".
fn shown_time(millis: i64) -> (String, String) {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)) else {
        return Default::default();
    };
    let date = format_description!("[day padding:none] [month repr:short] [year]");
    (moment.format(date).unwrap_or_default(), moment.format(&Rfc3339).unwrap_or_default())
}

/// A size in three digits or fewer.
fn shown_size(bytes: i64) -> String {
    match bytes {
        ..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", (bytes + 500) / 1_000),
        _ => {
            let tenths = (bytes + 50_000) / 100_000;
            format!("{}.{} MB", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_dates_are_short() {
        assert_eq!(shown_size(0), "0 B");
        assert_eq!(shown_size(999), "999 B");
        assert_eq!(shown_size(12_600), "13 kB");
        assert_eq!(shown_size(2_449_999), "2.4 MB");
        let (date, exact) = shown_time(1_772_632_800_123);
        assert_eq!((date.as_str(), exact.as_str()), ("4 Mar 2026", "2026-03-04T14:00:00Z"));
    }

    #[test]
    fn the_initial_is_a_letter_of_the_title() {
        assert_eq!(initial("  🎲 dice"), "D");
        assert_eq!(initial("ß"), "SS");
        assert_eq!(initial("🎲"), "");
    }
}
