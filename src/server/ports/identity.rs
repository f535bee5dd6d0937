//! How a process shows another that it belongs to the same installation: it signs what it was
//! asked, with its kind of listener and its port, so that an answer is worth nothing elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::RawQuery;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ListenerKind;
use crate::installation_key::{InstallationKey, Purpose};
use crate::server::content::names_loopback;
use crate::storage::{StorageResult, keys};

/// Where a listener tells whose it is.
const PATH: &str = "/.well-known/atelier";
/// Start of the answer.
const GREETING: &str = "atelier ";
/// How often a listener that does not answer is asked. One that was just bound answers soon.
pub(super) const QUESTIONS: u32 = 3;
/// Pause between two questions.
pub(super) const QUESTION_PAUSE: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// More than a true answer has.
const ANSWER_BYTES: u64 = 4096;

/// Who listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A process of this installation.
    Ours,
    /// Something else.
    Foreign,
    /// Something that takes connections and does not answer.
    Silent,
    /// Nothing takes connections.
    Nobody,
}

/// The routes with the one that tells whose they are.
pub(super) fn with_identity(
    router: Router,
    kind: ListenerKind,
    key: InstallationKey,
    port: u16,
) -> Router {
    let answer = async move |headers: HeaderMap, RawQuery(nonce): RawQuery| {
        let nonce = nonce.unwrap_or_default();
        // Only for processes of this machine: no page of another name gets a signature.
        if !names_loopback(&headers) || !is_nonce(&nonce) {
            return (StatusCode::NOT_FOUND, String::new());
        }
        let proof = key.sign(Purpose::Listener, &claim(kind, port, &nonce));
        (StatusCode::OK, format!("{GREETING}{proof}"))
    };
    router.route(PATH, get(answer))
}

/// Asks whoever listens at the address whether it is of this installation.
pub(super) async fn ask(
    address: SocketAddr,
    kind: ListenerKind,
    key: &InstallationKey,
) -> StorageResult<Verdict> {
    let nonce = keys::content_token()?;
    let target = reachable(address);
    let answer = match timeout(ANSWER_TIME, exchange(target, &nonce)).await {
        Err(_) => return Ok(Verdict::Silent),
        Ok(Err(Failure::Refused)) => return Ok(Verdict::Nobody),
        Ok(Err(Failure::Broken)) => return Ok(Verdict::Foreign),
        Ok(Ok(answer)) => answer,
    };
    let claim = claim(kind, address.port(), &nonce);
    let is_ours = answer
        .rsplit_once("\r\n\r\n")
        .and_then(|(_, body)| body.strip_prefix(GREETING))
        .is_some_and(|proof| key.verify(Purpose::Listener, &claim, proof.trim()));
    Ok(if is_ours { Verdict::Ours } else { Verdict::Foreign })
}

enum Failure {
    Refused,
    Broken,
}

async fn exchange(target: SocketAddr, nonce: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(target).await.map_err(|_| Failure::Refused)?;
    let request =
        format!("GET {PATH}?{nonce} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|_| Failure::Broken)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await.map_err(|_| Failure::Broken)?;
    String::from_utf8(answer).map_err(|_| Failure::Broken)
}

/// What is signed.
fn claim(kind: ListenerKind, port: u16, nonce: &str) -> String {
    let name = kind.name();
    format!("{name} {port} {nonce}")
}

/// Whether the text is what [`ask`] sends.
fn is_nonce(text: &str) -> bool {
    text.len() == 22
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A listener on every address is reached by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
