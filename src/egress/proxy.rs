//! Serves a socket that a program connects to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::{Gate, Passed};
use super::head::{self, Body, Forward, Wanted};
use super::log::{Record, Way};
use super::tunnel::{Counted, both, copy, within};

/// Largest head of a request; a path may be long.
const HEAD_BYTES: u64 = 256 << 10;
/// Largest line that tells the length of a chunk, and most lines behind the last one.
const CHUNK_LINE: u64 = 4 << 10;
const TRAILERS: usize = 64;
/// Accepting goes on after a failure such as a lack of descriptors, a moment later.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections that are being served at a time, refused ones included.
const SERVED: usize = 256;

/// What comes in on a socket.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Requests to an HTTP proxy.
    Http,
    /// Bytes for one host and port.
    Fixed {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A socket that is served. Dropped, it is closed with all its connections.
#[derive(Debug)]
pub struct Proxy {
    closed: CancellationToken,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Serves a socket.
    pub fn serve(listener: TcpListener, kind: Kind, gate: Arc<Gate>) -> Self {
        let closed = CancellationToken::new();
        let task = tokio::spawn(accept(listener, kind, gate, closed.clone()));
        Self { closed, task }
    }

    /// Closes it and waits until its connections are gone.
    pub async fn close(mut self) {
        self.closed.cancel();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

async fn accept(listener: TcpListener, kind: Kind, gate: Arc<Gate>, closed: CancellationToken) {
    let tasks = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = closed.cancelled() => break,
            accepted = listener.accept(), if tasks.len() < SERVED => {
                if let Ok((stream, _)) = accepted {
                    stream
                } else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            () = tokio::time::sleep(PAUSE), if tasks.len() >= SERVED => continue,
        };
        let _ = stream.set_nodelay(true);
        let (gate, kind, closed) = (Arc::clone(&gate), kind.clone(), closed.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = Box::pin(serve(stream, kind, &gate)) => {}
            }
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn serve(stream: TcpStream, kind: Kind, gate: &Gate) {
    match kind {
        Kind::Fixed { host, port } => fixed(stream, &host, port, gate).await,
        // What goes wrong with the program's own end concerns nobody else.
        Kind::Http => drop(http(stream, gate).await),
    }
}

/// Bytes for one destination. There is no way to tell why not; the log does.
async fn fixed(stream: TcpStream, host: &str, port: u16, gate: &Gate) {
    if let Ok(passed) = gate.connect(host, port).await {
        let record = gate.record(host, port, Way::Tunnel);
        let (from_program, to_program) = stream.into_split();
        tunnel((from_program, to_program), passed, gate, record).await;
    } else {
        // Closed at once, so that the program does not wait for an answer.
        let _ = stream.set_zero_linger();
    }
}

async fn http(stream: TcpStream, gate: &Gate) -> io::Result<()> {
    let (from_program, mut to_program) = stream.into_split();
    let mut from_program = BufReader::new(from_program);
    let head = tokio::time::timeout(gate.limits().head, read_head(&mut from_program)).await;
    let head = match head {
        Ok(Ok(head)) if head.is_empty() => return Ok(()),
        Ok(Ok(head)) => head,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            return answer(&mut to_program, 431, "the head of the request is too large").await;
        }
        Ok(Err(error)) => return Err(error),
        Err(_) => return answer(&mut to_program, 408, "the request did not come").await,
    };
    let wanted = match head::read(&head) {
        Ok(wanted) => wanted,
        Err(problem) => return answer(&mut to_program, 400, &problem).await,
    };
    let (host, port) = match &wanted {
        Wanted::Tunnel { host, port } | Wanted::Request(Forward { host, port, .. }) => {
            (host.clone(), *port)
        }
    };
    let passed = match gate.connect(&host, port).await {
        Ok(passed) => passed,
        Err(refusal) => {
            return answer(&mut to_program, refusal.status(), &gate.explain(&refusal)).await;
        }
    };
    match wanted {
        Wanted::Tunnel { .. } => {
            to_program.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            let record = gate.record(&host, port, Way::Tunnel);
            tunnel((from_program, to_program), passed, gate, record).await;
        }
        Wanted::Request(forward) => {
            let record = gate.record(&host, port, Way::Request);
            request((from_program, to_program), passed, &forward, gate, record).await;
        }
    }
    Ok(())
}

async fn tunnel(
    program: (impl tokio::io::AsyncRead + Unpin, OwnedWriteHalf),
    mut passed: Passed,
    gate: &Gate,
    record: Record,
) {
    let counted = &record.counted;
    let host = passed.stream.split();
    let ending = within(gate.limits(), counted, both(program, host, counted)).await;
    record.end(ending.word());
}

/// One request and its answer; whatever comes behind the body is not read.
async fn request(
    (mut from_program, mut to_program): (BufReader<OwnedReadHalf>, OwnedWriteHalf),
    mut passed: Passed,
    forward: &Forward,
    gate: &Gate,
    record: Record,
) {
    let counted = &record.counted;
    let (mut from_host, mut to_host) = passed.stream.split();
    let out = async {
        to_host.write_all(&forward.head).await?;
        body(&mut from_program, &mut to_host, forward.body, counted).await?;
        // Nothing more comes; the other direction decides about the end.
        std::future::pending::<io::Result<()>>().await
    };
    let back = async {
        copy(&mut from_host, &mut to_program, counted.of_answers()).await?;
        to_program.shutdown().await
    };
    let work = async {
        tokio::pin!(out, back);
        tokio::select! {
            result = &mut back => result,
            // A host may answer and close before it has read everything.
            Err(_) = &mut out => back.await,
        }
    };
    let ending = within(gate.limits(), counted, work).await;
    record.end(ending.word());
}

/// Copies a body of known length, or chunk by chunk.
async fn body(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    body: Body,
    counted: &Counted,
) -> io::Result<()> {
    match body {
        Body::Bytes(length) => copy(&mut from.take(length), to, counted.of_requests()).await,
        Body::Chunks => {
            loop {
                let line = read_line(from).await?;
                to.write_all(&line).await?;
                let digits = line.split(|byte| matches!(byte, b';' | b'\r' | b'\n')).next();
                let length = digits
                    .and_then(|digits| std::str::from_utf8(digits).ok())
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .ok_or(io::ErrorKind::InvalidData)?;
                if length == 0 {
                    break;
                }
                // The line end behind a chunk belongs to it.
                copy(&mut from.take(length.saturating_add(2)), to, counted.of_requests()).await?;
            }
            for _ in 0..TRAILERS {
                let line = read_line(from).await?;
                to.write_all(&line).await?;
                if line == b"\r\n" {
                    return Ok(());
                }
            }
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

async fn read_line(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(CHUNK_LINE).read_until(b'\n', &mut line).await?;
    if line.ends_with(b"\r\n") { Ok(line) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Everything up to the empty line; nothing when the program hung up before it began.
async fn read_head(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut limited = from.take(HEAD_BYTES);
    loop {
        let length = limited.read_until(b'\n', &mut head).await?;
        if head.ends_with(b"\r\n\r\n") {
            return Ok(head);
        }
        if length == 0 || !head.ends_with(b"\n") {
            let is_full = limited.limit() == 0;
            return match (head.is_empty(), is_full) {
                (true, _) => Ok(head),
                (false, true) => Err(io::ErrorKind::InvalidData.into()),
                (false, false) => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

/// An answer of ours. Programs show the line with the status more often than what comes behind it,
/// so it holds the reason too.
async fn answer(to: &mut OwnedWriteHalf, status: u16, reason: &str) -> io::Result<()> {
    let line: String = reason
        .chars()
        .filter(|letter| letter.is_ascii_graphic() || *letter == ' ')
        .take(400)
        .collect();
    let text = format!(
        "HTTP/1.1 {status} {line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\nVia: 1.1 atelier-egress\r\n\r\n{reason}\n",
        reason.len() + 1
    );
    to.write_all(text.as_bytes()).await?;
    to.shutdown().await
}
