//! URLs of hosted apps and of the gallery.
//!
//! The addresses change while the program runs: in `stdio` another process may own the port, or a
//! port may have to be replaced. So everybody holds a clone of one [`ContentUrls`] and asks it each
//! time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::installation_key::{InstallationKey, Purpose};

/// A file that a call made and that is hosted beside the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedFile {
    /// SHA-256 of its content, in hex.
    pub sha: String,
    /// Its type.
    pub media_type: String,
    /// Its name, without folders.
    pub name: String,
}

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

    /// A file of a call: what stands in the address is signed, so nobody makes one up.
    pub fn file(&self, file: &HostedFile) -> String {
        let facts = URL_SAFE_NO_PAD.encode(format!("{}|{}", file.sha, file.media_type));
        let signature = self.shared.key.sign(Purpose::HostedFile, &signed_text(file));
        let name = utf8_percent_encode(&file.name, NON_ALPHANUMERIC);
        format!("{}/f/{facts}.{signature}/{name}", self.bases().content)
    }

    /// The file behind the two parts of such an address; `None` when we did not make it.
    pub fn hosted_file(&self, token: &str, name: &str) -> Option<HostedFile> {
        let (facts, signature) = token.split_once('.')?;
        let facts = String::from_utf8(URL_SAFE_NO_PAD.decode(facts).ok()?).ok()?;
        let (sha, media_type) = facts.split_once('|')?;
        let file = HostedFile {
            sha: sha.to_owned(),
            media_type: media_type.to_owned(),
            name: name.to_owned(),
        };
        let key = &self.shared.key;
        key.verify(Purpose::HostedFile, &signed_text(&file), signature).then_some(file)
    }

    /// The file behind a whole address of this server.
    pub fn hosted_file_of(&self, address: &str) -> Option<HostedFile> {
        let rest = address.strip_prefix(self.bases().content.as_str())?.strip_prefix("/f/")?;
        let (token, name) = rest.split(['?', '#']).next()?.split_once('/')?;
        self.hosted_file(token, &percent_decode_str(name).decode_utf8().ok()?)
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

fn signed_text(file: &HostedFile) -> String {
    format!("{}\0{}\0{}", file.sha, file.media_type, file.name)
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
    fn the_address_of_a_file_leads_back_to_it_and_to_nothing_else() {
        let urls = urls(None);
        let file = HostedFile {
            sha: "ab".repeat(32),
            media_type: "text/csv".to_owned(),
            name: "Größe 1/2.csv".to_owned(),
        };
        let address = urls.file(&file);
        assert!(address.starts_with("http://127.0.0.1:4000/f/"), "{address}");
        assert_eq!(urls.hosted_file_of(&address), Some(file.clone()));
        assert_eq!(urls.hosted_file_of(&format!("{address}?download")), Some(file.clone()));
        // Another name, another type, another content, another installation.
        let (rest, _) = address.rsplit_once('/').unwrap();
        assert_eq!(urls.hosted_file_of(&format!("{rest}/other.csv")), None);
        let page = HostedFile { media_type: "text/html".to_owned(), ..file.clone() };
        let token = |address: &str| address.split('/').nth(4).unwrap().to_owned();
        let (facts, _) = token(&urls.file(&page))
            .split_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let (_, signature) =
            token(&address).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(urls.hosted_file(&format!("{facts}.{signature}"), &file.name), None);
        assert_eq!(urls.hosted_file(&token(&urls.file(&page)), &file.name), Some(page));
        let other =
            ContentUrls::new(None, "127.0.0.1:4000".parse().unwrap(), InstallationKey::new("x"));
        assert_eq!(other.hosted_file_of(&address), None);
        assert_eq!(urls.hosted_file("", ""), None);
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
