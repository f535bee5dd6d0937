//! The gallery: a principal's apps and documents, newest change first.

use std::collections::HashSet;

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
use url::Url;

use super::access::{self, Access};
use super::error::PagesError;
use super::{PagesState, html};
use crate::content_urls::ContentUrls;
use crate::storage::{Document, DocumentId, DocumentKind, PrincipalId, keys};

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
    match access::check(state.parts(), &uri, &headers)? {
        Access::Launched { cookie, is_foreign } => Ok(access::launch(cookie, is_foreign)),
        Access::Granted(principal) => page(&state, &principal).await,
    }
}

async fn page(state: &PagesState, principal: &PrincipalId) -> Result<Response, PagesError> {
    let parts = state.parts();
    let documents = parts.catalog.documents_of_principal(principal, SHOWN).await?;
    let pictured: HashSet<DocumentId> =
        parts.catalog.pictured_documents(principal).await?.into_iter().collect();
    let is_cut = u32::try_from(documents.len()).is_ok_and(|count| count == SHOWN);
    let has_users = documents
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one.owner.user != other.owner.user));
    let has_pdfs = documents.iter().any(|document| document.kind == DocumentKind::Pdf);
    let has_apps = documents.iter().any(|document| document.kind == DocumentKind::WebApp);
    let cards = documents
        .iter()
        .map(|document| {
            let picture = pictured.contains(&document.id).then_some(Picture);
            Card::new(document, &parts.urls, has_users, picture)
        })
        .collect();
    let nonce = keys::content_token()?;
    let view = View {
        cards,
        noun: if has_pdfs { ["item", "items"] } else { ["app", "apps"] },
        has_kinds: has_pdfs && has_apps,
        is_cut,
        style: STYLE,
        script: SCRIPT,
        nonce: &nonce,
        word: access::action_word(parts, principal),
    };
    let body = render(&view).map_err(|error| {
        tracing::error!(error.cause = %error, "the gallery cannot be rendered");
        PagesError::Broken
    })?;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         img-src data: {}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        picture_origin(&parts.urls.bases().content)
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
    /// What one card is called, and several.
    noun: [&'static str; 2],
    has_kinds: bool,
    is_cut: bool,
    style: &'static str,
    script: &'static str,
    nonce: &'a str,
    word: String,
}

/// Says that the newest version has a picture.
struct Picture;

/// An app in the gallery.
#[derive(Serialize)]
struct Card {
    kind: &'static str,
    title: String,
    /// Its name, and whether the title says something else.
    name: String,
    has_own_title: bool,
    user: String,
    has_users: bool,
    version: i64,
    updated: String,
    updated_at: String,
    updated_ms: i64,
    size: String,
    bytes: i64,
    url: String,
    /// One file to keep; a PDF is one already.
    download: Option<String>,
    picture: Option<String>,
    initial: String,
    hue: u32,
}

impl Card {
    fn new(
        document: &Document,
        urls: &ContentUrls,
        has_users: bool,
        picture: Option<Picture>,
    ) -> Self {
        let token = &document.token;
        let (url, download) = match document.kind {
            DocumentKind::WebApp => (urls.app(token), Some(urls.download(token))),
            DocumentKind::Pdf => (urls.pdf(token), Some(urls.pdf_download(token))),
        };
        let title = document
            .title
            .as_deref()
            .map(str::trim)
            .filter(|title| !title.is_empty())
            .unwrap_or(&document.name)
            .to_owned();
        let (updated, updated_at) = shown_time(document.updated_at);
        Self {
            kind: document.kind.as_str(),
            name: document.name.clone(),
            has_own_title: title != document.name,
            user: document.owner.user.clone(),
            has_users,
            version: document.head,
            updated,
            updated_at,
            updated_ms: document.updated_at,
            size: shown_size(document.bytes),
            bytes: document.bytes,
            url,
            download,
            picture: picture.map(|Picture| match document.kind {
                DocumentKind::WebApp => urls.thumbnail(token, document.head),
                DocumentKind::Pdf => urls.pdf_thumbnail(token, document.head),
            }),
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

/// Where pictures come from, as a source of the page's policy.
pub(super) fn picture_origin(content: &str) -> String {
    Url::parse(content).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// A time for programs.
pub(super) fn exact_time(millis: i64) -> String {
    shown_time(millis).1
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
