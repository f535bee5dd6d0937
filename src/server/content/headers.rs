//! The headers that isolate hosted content.

use std::sync::{Arc, PoisonError, RwLock};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::content_urls::{Bases, ContentUrls};

/// Keeps a page in an opaque origin: without `allow-same-origin` it has no cookies, no storage
/// and no readable neighbours. Windows that it opens are free of the sandbox; our own pages carry
/// it anyway.
const SANDBOX: &str = "sandbox allow-scripts allow-forms allow-popups allow-modals \
                       allow-downloads allow-popups-to-escape-sandbox";
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), display-capture=(), \
                           payment=(), usb=(), serial=(), hid=(), midi=()";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// Methods that content answers.
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// The policy of app pages. Which pages may frame them changes with the gallery's address.
pub(super) struct AppPolicy {
    urls: ContentUrls,
    configured: String,
    current: RwLock<(Arc<Bases>, HeaderValue)>,
}

impl AppPolicy {
    pub(super) fn new(urls: ContentUrls, frame_ancestors: &[String]) -> Self {
        let mut configured = String::new();
        for origin in frame_ancestors {
            if is_source_expression(origin) {
                configured.push(' ');
                configured.push_str(origin);
            } else {
                tracing::warn!(
                    config.key = "server.frame_ancestors",
                    config.value = %origin,
                    "not an origin, left out"
                );
            }
        }
        let bases = urls.bases();
        let value = app_policy(&bases, &configured);
        Self { urls, configured, current: RwLock::new((bases, value)) }
    }

    /// `Content-Security-Policy` of an app page.
    pub(super) fn value(&self) -> HeaderValue {
        let bases = self.urls.bases();
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current.0, &bases) {
                return current.1.clone();
            }
        }
        let value = app_policy(&bases, &self.configured);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = (bases, value.clone());
        value
    }

    /// The same without the sandbox, for files whose viewer does not work in one.
    pub(super) fn frames_only(&self) -> HeaderValue {
        let ancestors = ancestors(&self.urls.bases(), &self.configured);
        HeaderValue::try_from(ancestors)
            .unwrap_or_else(|_| HeaderValue::from_static("frame-ancestors 'none'"))
    }
}

fn app_policy(bases: &Bases, configured: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{SANDBOX}; {}", ancestors(bases, configured)))
        .unwrap_or_else(|_| HeaderValue::from_static("sandbox; frame-ancestors 'none'"))
}

fn ancestors(bases: &Bases, configured: &str) -> String {
    match &bases.pages {
        Some(pages) => format!("frame-ancestors {pages}{configured}"),
        None if configured.is_empty() => "frame-ancestors 'none'".to_owned(),
        None => format!("frame-ancestors{configured}"),
    }
}

/// Whether the text can stand in a policy as one source: nothing that ends a directive or a header.
fn is_source_expression(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.*-_[]".contains(&byte))
}

/// Adds what every answer of the content listener carries, unless the route said otherwise.
pub(super) fn add_common(headers: &mut HeaderMap, policy: &AppPolicy) {
    headers.reserve(8);
    headers.entry(CONTENT_SECURITY_POLICY).or_insert_with(|| policy.value());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(PERMISSIONS));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
}

/// Adds what an opaque origin needs to use its own files: to the browser they are foreign.
pub(super) fn add_sharing(headers: &mut HeaderMap) {
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// Adds the answer to a preflight.
pub(super) fn add_preflight(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("content-type, range, if-none-match, cache-control"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installation_key::InstallationKey;

    #[test]
    fn frames_are_open_to_the_gallery_and_to_configured_origins_only() {
        let address = "127.0.0.1:7411".parse().unwrap();
        let urls = ContentUrls::new(None, address, InstallationKey::new("secret"));
        let nobody = AppPolicy::new(urls.clone(), &[]);
        assert!(nobody.value().to_str().unwrap().ends_with("; frame-ancestors 'none'"));

        let configured = ["https://chat.example.org".to_owned(), "x; script-src *".to_owned()];
        let policy = AppPolicy::new(urls.clone(), &configured);
        let text = policy.value().to_str().unwrap().to_owned();
        assert!(text.ends_with("; frame-ancestors https://chat.example.org"), "{text}");

        urls.set_pages_address("127.0.0.1:7410".parse().unwrap());
        let text = policy.value().to_str().unwrap().to_owned();
        let expected = "; frame-ancestors http://127.0.0.1:7410 https://chat.example.org";
        assert!(text.ends_with(expected), "{text}");
        assert!(!text.contains("allow-same-origin"));
    }
}
