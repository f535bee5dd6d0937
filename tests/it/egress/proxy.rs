//! The proxy by itself, spoken to in bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atelier::egress::address::AddressPolicy;
use atelier::egress::{
    Destinations, EgressLimits, Gate, GateParts, Hints, HostRule, Kind, Proxy, tally,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::support::{API, Lines, Names};

/// A host that writes down what it gets, byte by byte, and answers each connection once.
struct Host {
    address: SocketAddr,
    got: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Host {
    /// It answers when it has got a text with this end.
    async fn start(end: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::clone(&got);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let inbox = Arc::clone(&inbox);
                tokio::spawn(async move {
                    let mut text = Vec::new();
                    let mut piece = [0; 4096];
                    while !text.ends_with(end.as_bytes()) {
                        match stream.read(&mut piece).await {
                            Ok(length) if length > 0 => text.extend_from_slice(&piece[..length]),
                            _ => break,
                        }
                    }
                    inbox.lock().unwrap().push(String::from_utf8(text).unwrap());
                    let _ =
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
                });
            }
        });
        Self { address, got, task }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Way {
    address: SocketAddr,
    proxy: Proxy,
    gate: Arc<Gate>,
    names: Arc<Names>,
}

impl Way {
    async fn open(host: SocketAddr, kind: Kind, limits: EgressLimits) -> Self {
        let names = Names::new(&[(API, "127.0.0.1")]);
        let rule: HostRule = format!("{API}:{}", host.port()).parse().unwrap();
        let gate = Arc::new(Gate::new(GateParts {
            name: "a test".to_owned(),
            hosts: Destinations::Declared(vec![rule.clone()]),
            policy: AddressPolicy::public_only().with_hosts([rule]),
            resolver: names.clone(),
            limits,
            hints: Hints { undeclared: "declare it".to_owned(), private: "allow it".to_owned() },
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Proxy::serve(listener, kind, Arc::clone(&gate));
        Self { address, proxy, gate, names }
    }

    async fn say(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        heard(&mut stream).await
    }
}

async fn heard(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // The other side may close before it has read everything.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn one_request_goes_through_and_nothing_behind_it() {
    let host = Host::start("done").await;
    let way = Way::open(host.address, Kind::Http, EgressLimits::default()).await;
    let port = host.address.port();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: other.test\r\n\r\n";
    let answer = way
        .say(&format!(
            "POST http://{API}:{port}/a HTTP/1.1\r\nHost: other.test\r\nX: y\r\nProxy-Connection: keep-alive\r\n\
             Content-Length: 4\r\n\r\ndone{smuggled}"
        ))
        .await;
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
    let got = host.got.lock().unwrap().clone();
    assert_eq!(
        got,
        [format!(
            "POST /a HTTP/1.1\r\nHost: {API}:{port}\r\nX: y\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone"
        )]
    );
    assert_eq!(way.gate.connections_made(), 1);
    assert_eq!(*way.names.asked.lock().unwrap(), [API], "a name is asked for once");
    way.proxy.close().await;

    let host = Host::start("\r\nEnd: done\r\n\r\n").await;
    let way = Way::open(host.address, Kind::Http, EgressLimits::default()).await;
    let port = host.address.port();
    let body = "6;x=y\r\n  done\r\n0\r\nEnd: done\r\n\r\n";
    let answer = way
        .say(&format!(
            "POST http://{API}:{port}/b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}{smuggled}"
        ))
        .await;
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
    let got = host.got.lock().unwrap().clone();
    assert!(got[0].ends_with(&format!("\r\n\r\n{body}")), "{got:?}");
    way.proxy.close().await;
}

#[tokio::test]
async fn bad_heads_are_answered() {
    let host = Host::start("done").await;
    let way = Way::open(host.address, Kind::Http, EgressLimits::default()).await;
    for (head, status) in [
        (
            "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n".to_owned(),
            "400 requests name the whole address",
        ),
        ("CONNECT api.test HTTP/1.1\r\n\r\n".to_owned(), "400 CONNECT takes"),
        ("junk\r\n\r\n".to_owned(), "400 the first line is no request"),
        (
            format!("GET http://a/{} HTTP/1.1\r\n\r\n", "x".repeat(300_000)),
            "431 the head of the request",
        ),
        (
            "CONNECT evil.test:443 HTTP/1.1\r\n\r\n".to_owned(),
            "403 `evil.test:443` is not among the declared hosts (api.test:",
        ),
    ] {
        let answer = way.say(&head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("Via: 1.1 atelier-egress"), "{answer}");
    }
    assert_eq!(host.got.lock().unwrap().len(), 0);
    way.proxy.close().await;
}

#[tokio::test]
async fn limits_end_connections() {
    let host = Host::start("never").await;
    let port = host.address.port();
    let connect = format!("CONNECT {API}:{port} HTTP/1.1\r\n\r\n");
    let open = async |way: &Way| {
        let mut stream = TcpStream::connect(way.address).await.unwrap();
        stream.write_all(connect.as_bytes()).await.unwrap();
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).await.unwrap();
        (stream, String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    let usual = EgressLimits::default();
    // One connection at a time.
    let way = Way::open(host.address, Kind::Http, EgressLimits { connections: 1, ..usual }).await;
    let (first, answer) = open(&way).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, answer) = open(&way).await;
    assert!(answer.starts_with("HTTP/1.1 503 1 connections are open"), "{answer}");
    drop(first);
    loop {
        // The place is free a moment after its connection is gone.
        let (_, answer) = open(&way).await;
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
    }
    way.proxy.close().await;
    // Stillness, a whole connection, and a head that does not come.
    let short = Duration::from_millis(100);
    for limits in [EgressLimits { idle: short, ..usual }, EgressLimits { total: short, ..usual }] {
        let way = Way::open(host.address, Kind::Http, limits).await;
        let (mut stream, answer) = open(&way).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(heard(&mut stream).await, "");
        way.proxy.close().await;
    }
    let way = Way::open(host.address, Kind::Http, EgressLimits { head: short, ..usual }).await;
    assert!(way.say("GET http://").await.starts_with("HTTP/1.1 408"));
    // A closed proxy takes its connections along.
    let way = Way::open(host.address, Kind::Http, usual).await;
    let (mut stream, _) = open(&way).await;
    way.proxy.close().await;
    assert_eq!(heard(&mut stream).await, "");
    assert!(TcpStream::connect(way.address).await.is_err());
}

#[tokio::test]
async fn a_fixed_way_leads_to_one_place() {
    let host = Host::start("done").await;
    let place = |name: &str| Kind::Fixed { host: name.to_owned(), port: host.address.port() };
    let way = Way::open(host.address, place(API), EgressLimits::default()).await;
    assert!(way.say("raw bytes, done").await.ends_with("hi"));
    assert_eq!(*host.got.lock().unwrap(), ["raw bytes, done"]);
    way.proxy.close().await;
    let way = Way::open(host.address, place("evil.test"), EgressLimits::default()).await;
    assert_eq!(way.say("raw bytes, done").await, "");
    assert_eq!(host.got.lock().unwrap().len(), 1);
    way.proxy.close().await;
}

#[tokio::test]
async fn each_connection_and_each_refusal_is_logged_and_counted_once_without_paths() {
    let counts = || {
        let (made, refused) = (tally().connections(), tally().refusals());
        [
            made.get(&("request", "closed")).copied(),
            refused.get("undeclared").copied(),
            Some(tally().sent()),
        ]
        .map(Option::unwrap_or_default)
    };
    let before = counts();
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let host = Host::start("done").await;
    let way = Way::open(host.address, Kind::Http, EgressLimits::default()).await;
    let port = host.address.port();
    let head = "HTTP/1.1\r\nAuthorization: Bearer secret\r\nContent-Length: 4\r\n\r\ndone";
    way.say(&format!("POST http://{API}:{port}/secret?key=secret {head}")).await;
    way.say(&format!("POST http://evil.test/secret?key=secret {head}")).await;
    way.proxy.close().await;
    let text = lines.text();
    let own: Vec<&str> = text.lines().filter(|line| line.contains("egress.")).collect();
    assert_eq!(own.len(), 2, "{text}");
    assert!(own[0].contains(&format!("egress.destination=\"{API}:{port}\"")), "{text}");
    for part in
        ["egress.server=\"a test\"", "egress.outcome=\"closed\"", "sent_bytes=4", "received_bytes="]
    {
        assert!(own[0].contains(part), "{part}: {text}");
    }
    assert!(own[1].contains("egress.destination=\"evil.test:80\""), "{text}");
    assert!(own[1].contains("egress.outcome=\"undeclared\""), "{text}");
    // Other tests of this process may count at the same time.
    let more: Vec<u64> = counts().iter().zip(before).map(|(now, before)| now - before).collect();
    assert!(more[0] >= 1 && more[1] >= 1 && more[2] >= 4, "{more:?}");
    assert!(!text.contains("secret"), "{text}");
}
