//! URLs of hosted apps and of the gallery.
//!
//! The addresses change while the program runs: in `stdio` another process may own the port, or a
//! port may have to be replaced. So everybody holds a clone of one [`ContentUrls`] and asks it each
//! time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use url::Url;

use crate::installation_key::InstallationKey;

/// Makes the URLs that results carry. Clones share one state.
#[derive(Debug, Clone)]
pub struct ContentUrls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Set when a proxy stands in front: then the content listener's own address never shows.
    public_base: Option<String>,
    key: InstallationKey,
    bases: RwLock<Arc<Bases>>,
}

/// Roots of the listeners, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bases {
    /// Root of hosted apps.
    pub content: String,
    /// Root of the pages (gallery), once they are served.
    pub pages: Option<String>,
}

impl ContentUrls {
    /// URLs below the public base when there is one, else below the content listener's address.
    pub fn new(public_base: Option<&Url>, content: SocketAddr, key: InstallationKey) -> Self {
        let public_base = public_base.map(|url| url.as_str().trim_end_matches('/').to_owned());
        let content = public_base.clone().unwrap_or_else(|| base_of(content));
        let bases = RwLock::new(Arc::new(Bases { content, pages: None }));
        Self { shared: Arc::new(Shared { public_base, key, bases }) }
    }

    /// Tells where the content listener is now.
    pub fn set_content_address(&self, address: SocketAddr) {
        let content = self.shared.public_base.clone().unwrap_or_else(|| base_of(address));
        self.replace(|bases| Bases { content, ..bases });
    }

    /// Tells where the gallery is now.
    pub fn set_pages_address(&self, address: SocketAddr) {
        self.replace(|bases| Bases { pages: Some(base_of(address)), ..bases });
    }

    /// The roots as they are now.
    pub fn bases(&self) -> Arc<Bases> {
        let bases = self.shared.bases.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&bases)
    }

    /// The newest version of an app.
    pub fn app(&self, token: &str) -> String {
        format!("{}/a/{token}/", self.bases().content)
    }

    /// One version of an app.
    pub fn version(&self, token: &str, n: i64) -> String {
        format!("{}/a/{token}/v/{n}/", self.bases().content)
    }

    /// The source of the newest version as plain text.
    pub fn raw(&self, token: &str) -> String {
        format!("{}/a/{token}/raw", self.bases().content)
    }

    /// The small picture of an app's version.
    pub fn thumbnail(&self, token: &str, n: i64) -> String {
        // The number keeps browsers from showing the picture of an earlier version.
        format!("{}/a/{token}/thumb.webp?v={n}", self.bases().content)
    }

    /// The newest version as one file to keep.
    pub fn download(&self, token: &str) -> String {
        format!("{}/a/{token}/download", self.bases().content)
    }

    /// The newest version of a PDF document.
    pub fn pdf(&self, token: &str) -> String {
        format!("{}/d/{token}.pdf", self.bases().content)
    }

    /// One version of a PDF document.
    pub fn pdf_version(&self, token: &str, n: i64) -> String {
        format!("{}/d/{token}/v/{n}.pdf", self.bases().content)
    }

    /// The HTML source of a PDF document's newest version as plain text.
    pub fn pdf_source(&self, token: &str) -> String {
        format!("{}/d/{token}/raw", self.bases().content)
    }

    /// The newest version of a PDF document, to be saved under its name.
    pub fn pdf_download(&self, token: &str) -> String {
        format!("{}/d/{token}/download", self.bases().content)
    }

    /// A picture of the first page of a PDF document's version.
    pub fn pdf_thumbnail(&self, token: &str, n: i64) -> String {
        // The number keeps browsers from showing the picture of an earlier version.
        format!("{}/d/{token}/thumb.webp?v={n}", self.bases().content)
    }

    /// The trace of a run.
    pub fn trace(&self, run: &str) -> String {
        format!("{}/t/{run}", self.bases().content)
    }

    /// The link that opens the gallery of a principal, when there is a gallery.
    pub fn gallery(&self, principal: &str) -> Option<String> {
        let bases = self.bases();
        let pages = bases.pages.as_ref()?;
        Some(format!("{pages}/gallery?key={}", self.shared.key.launch_key(principal)))
    }

    fn replace(&self, change: impl FnOnce(Bases) -> Bases) {
        let mut bases = self.shared.bases.write().unwrap_or_else(PoisonError::into_inner);
        *bases = Arc::new(change(Bases::clone(&bases)));
    }
}

/// The root of a listener. One that listens on every address is reached by loopback.
fn base_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(public_base: Option<&str>) -> ContentUrls {
        let public_base = public_base.map(|text| Url::parse(text).unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], 4000));
        ContentUrls::new(public_base.as_ref(), address, InstallationKey::new("secret"))
    }

    #[test]
    fn every_clone_follows_the_listener() {
        let urls = urls(None);
        let clone = urls.clone();
        assert_eq!(clone.app("T"), "http://127.0.0.1:4000/a/T/");
        assert_eq!(clone.version("T", 3), "http://127.0.0.1:4000/a/T/v/3/");
        urls.set_content_address("[::]:5000".parse().unwrap());
        assert_eq!(clone.download("T"), "http://[::1]:5000/a/T/download");
        assert_eq!(clone.pdf("T"), "http://[::1]:5000/d/T.pdf");
        assert_eq!(clone.pdf_version("T", 2), "http://[::1]:5000/d/T/v/2.pdf");
    }

    #[test]
    fn a_public_base_stays() {
        let urls = urls(Some("https://apps.example.org/workshop/"));
        urls.set_content_address("127.0.0.1:5000".parse().unwrap());
        assert_eq!(urls.raw("T"), "https://apps.example.org/workshop/a/T/raw");
    }

    #[test]
    fn the_gallery_link_carries_a_key_that_opens_it() {
        let urls = urls(None);
        assert_eq!(urls.gallery("local"), None);
        urls.set_pages_address("0.0.0.0:5001".parse().unwrap());
        let link = urls.gallery("local").unwrap();
        let key = link.strip_prefix("http://127.0.0.1:5001/gallery?key=").unwrap();
        let opened = InstallationKey::new("secret").principal_of_launch_key(key);
        assert_eq!(opened.as_deref(), Some("local"));
    }
}
