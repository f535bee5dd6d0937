//! Fetches one file from the public internet, and from nowhere else.
//!
//! Every request goes through a gate of [`crate::egress`]: a name is resolved once, every address is
//! checked, and the connection goes to exactly those addresses, so that a name cannot point elsewhere
//! between the check and the use. Redirects are followed by hand, each through the gate like the first
//! address. Bytes are counted after decompression, while they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::dns::{Name, Resolving};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio::time::Instant;
use url::Url;

use self::address::AddressPolicy;
use crate::egress::{Destinations, EgressLimits, Gate, GateParts, Hints, Record, Refusal, Way};

pub use crate::egress::{Resolve, SystemResolver, address};

/// How the log calls the end of an exchange that came to its end.
const CLOSED: &str = "closed";

/// What one call may fetch.
#[derive(Debug, Clone)]
pub struct FetchLimits {
    /// Time for all of it, redirects and bodies included.
    pub total: Duration,
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Bytes of all files of a call.
    pub call_bytes: usize,
    /// Files of a call.
    pub files: usize,
    /// Redirects of one file.
    pub redirects: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(10),
            file_bytes: 10 * 1024 * 1024,
            call_bytes: 25 * 1024 * 1024,
            files: 20,
            redirects: 5,
        }
    }
}

/// Why a file could not be fetched. Addresses appear without their query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchProblem {
    /// Not an address.
    #[error("it is not a URL")]
    NotAUrl,
    /// Not of the web.
    #[error("`{0}:` addresses are not fetched, only http and https")]
    Scheme(String),
    /// It carries a login.
    #[error("the address carries a user name or password")]
    Login,
    /// Nobody knows the name.
    #[error("the host `{0}` has no address")]
    Unresolved(String),
    /// Not the public internet.
    #[error("the host `{host}` is not on the public internet ({range} address)")]
    NotPublic {
        /// The host.
        host: String,
        /// The kind of its range.
        range: &'static str,
    },
    /// Led on too often.
    #[error("it redirects more than {0} times")]
    Redirects(usize),
    /// A redirect to nowhere.
    #[error("it redirects without a usable address")]
    RedirectTarget,
    /// The server declined.
    #[error("the server answers with status {0}")]
    Status(u16),
    /// Nobody listens.
    #[error("the host `{0}` does not answer")]
    Unreachable(String),
    /// The connection ended early, or the content cannot be unpacked.
    #[error("the transfer broke off")]
    BrokenOff,
    /// Too slow.
    #[error("it did not arrive within {0} seconds")]
    TooSlow(u64),
    /// Too much.
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
    /// Too much together with the others.
    #[error("the files of this call have more than {0} bytes together")]
    TooLargeTogether(usize),
    /// No client could be made.
    #[error("no secure connection can be set up here")]
    NoClient,
}

/// A fetched file.
#[derive(Debug)]
pub(crate) struct FetchedFile {
    /// Its bytes, decompressed.
    pub(crate) bytes: Vec<u8>,
    /// Its type, as the server says.
    pub(crate) declared: Option<String>,
}

/// What is left of a call's limits.
pub(crate) struct Allowance {
    bytes: AtomicUsize,
    deadline: Instant,
}

/// Fetches files.
#[derive(Clone)]
pub struct Fetcher {
    gate: Arc<Gate>,
    limits: FetchLimits,
}

impl Fetcher {
    /// A fetcher for the public internet.
    pub fn new() -> Self {
        Self::with(Arc::new(SystemResolver), AddressPolicy::public_only(), FetchLimits::default())
    }

    /// A fetcher with its own resolver, policy and limits.
    pub fn with(resolver: Arc<dyn Resolve>, policy: AddressPolicy, limits: FetchLimits) -> Self {
        // The first to set it wins, and every part of the program sets the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let gate = Gate::new(GateParts {
            name: "fetch".to_owned(),
            hosts: Destinations::Anywhere,
            policy,
            resolver,
            limits: EgressLimits::default(),
            hints: Hints::default(),
        });
        Self { gate: Arc::new(gate), limits }
    }

    /// The same fetcher with other limits.
    #[must_use]
    pub fn limited(&self, limits: FetchLimits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// Its limits.
    pub(crate) const fn limits(&self) -> &FetchLimits {
        &self.limits
    }

    /// Opens the allowance of one call.
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance {
            bytes: AtomicUsize::new(self.limits.call_bytes),
            deadline: Instant::now() + self.limits.total,
        }
    }

    /// Fetches a file.
    ///
    /// # Errors
    /// Why it could not be had.
    pub(crate) async fn fetch(
        &self,
        url: Url,
        allowance: &Allowance,
    ) -> Result<FetchedFile, FetchProblem> {
        tokio::time::timeout_at(allowance.deadline, self.follow(url, allowance))
            .await
            .unwrap_or(Err(FetchProblem::TooSlow(self.limits.total.as_secs())))
    }

    async fn follow(
        &self,
        mut url: Url,
        allowance: &Allowance,
    ) -> Result<FetchedFile, FetchProblem> {
        for _ in 0..=self.limits.redirects {
            check_url(&url)?;
            let (response, record) = self.request(&url).await?;
            let status = response.status();
            if status.is_success() {
                let file = self.read(response, &record, allowance).await?;
                record.end(CLOSED);
                return Ok(file);
            }
            record.end(CLOSED);
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Err(FetchProblem::Status(status.as_u16()));
            }
            url = response
                .headers()
                .get(LOCATION)
                .and_then(|location| location.to_str().ok())
                .and_then(|location| url.join(location).ok())
                .ok_or(FetchProblem::RedirectTarget)?;
        }
        Err(FetchProblem::Redirects(self.limits.redirects))
    }

    /// One request, to addresses that were checked.
    async fn request(&self, url: &Url) -> Result<(Response, Record), FetchProblem> {
        let host = url.host_str().ok_or(FetchProblem::NotAUrl)?;
        let port = url.port_or_known_default().ok_or(FetchProblem::NotAUrl)?;
        let addresses = self.gate.addresses(host, port).await;
        let addresses = addresses.map_err(|refusal| problem(&refusal, host))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the client of foreign files, which dials checked addresses alone"
        )]
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .pool_max_idle_per_host(0)
            // Names that are not pinned are not resolved at all.
            .dns_resolver(NoResolver)
            .resolve_to_addrs(host, &addresses)
            .build()
            .map_err(|_| FetchProblem::NoClient)?;
        let record = self.gate.record(host, port, Way::Fetch);
        let response = client
            .get(url.clone())
            .header(USER_AGENT, concat!("Atelier/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            .send()
            .await
            .map_err(|_| FetchProblem::Unreachable(host.to_owned()))?;
        Ok((response, record))
    }

    async fn read(
        &self,
        mut response: Response,
        record: &Record,
        allowance: &Allowance,
    ) -> Result<FetchedFile, FetchProblem> {
        let limit = self.limits.file_bytes;
        if response.content_length().is_some_and(|announced| announced > limit as u64) {
            return Err(FetchProblem::TooLarge(limit));
        }
        let declared = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut share = Share { allowance, taken: 0 };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| FetchProblem::BrokenOff)? {
            record.received(chunk.len());
            if bytes.len() + chunk.len() > limit {
                return Err(FetchProblem::TooLarge(limit));
            }
            if !share.take(chunk.len()) {
                return Err(FetchProblem::TooLargeTogether(self.limits.call_bytes));
            }
            bytes.extend_from_slice(&chunk);
        }
        share.keep();
        Ok(FetchedFile { bytes, declared })
    }
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

/// What one file has taken of the call's allowance. A file that fails gives its share back, so
/// that of files which come side by side and are too large together only some fail.
struct Share<'a> {
    allowance: &'a Allowance,
    taken: usize,
}

impl Share<'_> {
    fn take(&mut self, bytes: usize) -> bool {
        let taken = self
            .allowance
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .is_ok();
        if taken {
            self.taken += bytes;
        }
        taken
    }

    fn keep(mut self) {
        self.taken = 0;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.allowance.bytes.fetch_add(self.taken, Ordering::Relaxed);
    }
}

/// A refusal in the words of whoever named the address.
fn problem(refusal: &Refusal, host: &str) -> FetchProblem {
    let host = host.to_owned();
    match refusal {
        Refusal::NotPublic { range, .. } => FetchProblem::NotPublic { host, range },
        Refusal::NoHost(_) | Refusal::Unresolved(_) => FetchProblem::Unresolved(host),
        Refusal::Undeclared(_)
        | Refusal::Unreachable { .. }
        | Refusal::TooSlow(_)
        | Refusal::Crowded(_) => FetchProblem::Unreachable(host),
    }
}

/// Whether an address may be asked for at all.
///
/// # Errors
/// When it is of another scheme, or carries a login.
pub(crate) fn check_url(url: &Url) -> Result<(), FetchProblem> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(FetchProblem::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchProblem::Login);
    }
    Ok(())
}

/// Resolves nothing: everything that is connected to was resolved and checked before.
struct NoResolver;

impl reqwest::dns::Resolve for NoResolver {
    fn resolve(&self, _name: Name) -> Resolving {
        Box::pin(std::future::ready(Err("names are resolved before the connection".into())))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::net::IpAddr;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Names and their addresses, and what was asked for.
    #[derive(Default)]
    struct Names {
        known: BTreeMap<&'static str, IpAddr>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Resolve for Names {
        async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
            self.asked.lock().unwrap().push(host.to_owned());
            let known = self.known.get(host).map(|address| vec![*address]);
            known.ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    /// Lines of the log of this thread.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn every_request_passes_the_gate_and_stands_in_the_log_without_its_path() {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // First the file, then the way to a host inside.
        let answers = [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfile".to_owned(),
            "HTTP/1.1 302 Found\r\nLocation: http://inside.test/secret\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
                .to_owned(),
        ];
        let host = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let names = Arc::new(Names {
            known: [
                ("files.test", "127.0.0.1".parse().unwrap()),
                ("inside.test", "10.1.2.3".parse().unwrap()),
            ]
            .into(),
            asked: Mutex::default(),
        });
        let policy = AddressPolicy::public_only().with_exception(address);
        let fetcher = Fetcher::with(names.clone(), policy, FetchLimits::default());
        let url = || {
            let port = address.port();
            Url::parse(&format!("http://files.test:{port}/secret?key=secret")).unwrap()
        };
        let file = fetcher.fetch(url(), &fetcher.allowance()).await.unwrap();
        assert_eq!(file.bytes, b"file");
        let refused = fetcher.fetch(url(), &fetcher.allowance()).await.unwrap_err();
        let (host_name, range) = ("inside.test".to_owned(), "private");
        assert_eq!(refused, FetchProblem::NotPublic { host: host_name, range });
        host.await.unwrap();
        assert_eq!(*names.asked.lock().unwrap(), ["files.test", "files.test", "inside.test"]);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let own: Vec<&str> = text.lines().filter(|line| line.contains("egress.")).collect();
        assert_eq!(own.len(), 3, "{text}");
        for (line, bytes) in own.iter().zip(["received_bytes=4", "received_bytes=0"]) {
            let place = format!("egress.destination=\"files.test:{}\"", address.port());
            for part in [
                &place,
                "egress.server=\"fetch\"",
                "egress.way=\"fetch\"",
                "egress.outcome=\"closed\"",
                bytes,
            ] {
                assert!(line.contains(part), "{part}: {text}");
            }
        }
        assert!(own[2].contains("egress.destination=\"inside.test:80\""), "{text}");
        assert!(own[2].contains("egress.outcome=\"not_public\""), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
