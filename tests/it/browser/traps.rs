//! Listeners on loopback that write down whoever comes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

type Hits = Arc<Mutex<BTreeSet<String>>>;
type Pages = Arc<Mutex<Vec<String>>>;

/// Listeners for requests, for encrypted connections and for datagrams.
pub(super) struct Traps {
    pub(super) web: u16,
    pub(super) tls: u16,
    pub(super) udp: u16,
    /// Whether this machine has the other loopback address.
    pub(super) has_v6: bool,
    hits: Hits,
    pages: Pages,
    _tasks: JoinSet<()>,
}

impl Traps {
    pub(super) async fn set() -> Self {
        let (hits, pages) = (Hits::default(), Pages::default());
        let mut tasks = JoinSet::new();
        // One port on both families, so that every spelling of the address leads here.
        let (web, web_v6) = loop {
            let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let v6 = SocketAddr::new("::1".parse().unwrap(), web.local_addr().unwrap().port());
            match TcpListener::bind(v6).await {
                Ok(v6) => break (web, Some(v6)),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(_) => break (web, None),
            }
        };
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let has_v6 = web_v6.is_some();
        let ports = (port(&web), port(&tls), udp.local_addr().unwrap().port());
        for (listener, label) in [(Some(web), ""), (web_v6, ""), (Some(tls), "tls:")] {
            let Some(listener) = listener else { continue };
            let (hits, pages) = (Arc::clone(&hits), Arc::clone(&pages));
            tasks.spawn(async move {
                let mut visits = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    visits.spawn(visit(stream, label, Arc::clone(&hits), Arc::clone(&pages)));
                }
            });
        }
        let datagrams = Arc::clone(&hits);
        tasks.spawn(async move {
            let mut buffer = [0; 2048];
            while udp.recv_from(&mut buffer).await.is_ok() {
                datagrams.lock().unwrap().insert("udp".to_owned());
            }
        });
        Self { web: ports.0, tls: ports.1, udp: ports.2, has_v6, hits, pages, _tasks: tasks }
    }

    /// Who came.
    pub(super) fn hits(&self) -> BTreeSet<String> {
        self.hits.lock().unwrap().clone()
    }

    /// The address of a page that is served here.
    pub(super) fn page(&self, html: String) -> String {
        let mut pages = self.pages.lock().unwrap();
        pages.push(html);
        format!("http://127.0.0.1:{}/control/{}", self.web, pages.len() - 1)
    }
}

async fn visit(mut stream: TcpStream, label: &str, hits: Hits, pages: Pages) {
    let mut buffer = vec![0; 8192];
    let count = stream.read(&mut buffer).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&buffer[..count]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or("?").to_owned();
    if let Some(number) = path.strip_prefix("/control/") {
        let html = pages.lock().unwrap()[number.parse::<usize>().unwrap()].clone();
        answer(&mut stream, "text/html; charset=utf-8", &html).await;
        return;
    }
    if path == "/favicon.ico" && label.is_empty() {
        // Every browser asks for it by itself; the way that names one uses another path.
        return answer(&mut stream, "image/x-icon", "").await;
    }
    let hit = match label {
        "tls:" => "tls".to_owned(),
        label => format!("{label}{}", path.split('?').next().unwrap_or_default()),
    };
    hits.lock().unwrap().insert(hit);
    if path.contains("redirect") {
        let target = "HTTP/1.1 302 Found\r\nLocation: /w/redirected\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(target.as_bytes()).await;
        return;
    }
    let kind = if path.ends_with("js") { "text/javascript" } else { "text/html" };
    answer(&mut stream, kind, "").await;
}

async fn answer(stream: &mut TcpStream, kind: &str, body: &str) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}
