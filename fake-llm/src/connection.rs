//! Writes a planned response and notices when the client leaves.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::http::reason;
use crate::plan::{End, Framing, Head, Pause, Plan, Step};

/// How long a reset waits, so that the bytes before it reach the client first.
const BEFORE_RESET: Duration = Duration::from_millis(30);
/// How long the client may take to close after the end of the answer.
const LINGER: Duration = Duration::from_secs(2);

/// The client closed or reset the connection before the planned end.
#[derive(Debug)]
pub(crate) struct ClientLeft;

impl From<io::Error> for ClientLeft {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// Carries out the plan.
pub(crate) async fn write(stream: &mut TcpStream, plan: &Plan) -> Result<(), ClientLeft> {
    let mut sent_bytes = 0;
    let written = write_answer(stream, plan, &mut sent_bytes).await;
    if written.is_err() && (plan.head.is_none() || sent_bytes < plan.enough_bytes) {
        return written;
    }
    match plan.end {
        End::Reset => {
            tokio::time::sleep(BEFORE_RESET).await;
            stream.set_zero_linger()?;
        }
        End::Complete | End::Torn => close(stream).await,
    }
    Ok(())
}

async fn write_answer(
    stream: &mut TcpStream,
    plan: &Plan,
    sent_bytes: &mut usize,
) -> Result<(), ClientLeft> {
    if let Some(silence) = plan.before_head {
        pause(stream, silence).await?;
    }
    let Some(head) = &plan.head else {
        return Ok(());
    };
    stream.write_all(&head_bytes(head)).await?;
    let chunked = head.framing == Framing::Chunked;
    for step in &plan.steps {
        notice_departure(stream)?;
        match step {
            Step::Pause(silence) => pause(stream, *silence).await?,
            // An empty chunk would end the body.
            Step::Write(bytes) if bytes.is_empty() => {}
            Step::Write(bytes) => {
                if chunked {
                    stream.write_all(&chunk(bytes)).await?;
                } else {
                    stream.write_all(bytes).await?;
                }
                *sent_bytes += bytes.len();
            }
        }
    }
    if chunked && plan.end == End::Complete {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

fn head_bytes(head: &Head) -> Vec<u8> {
    let status_line = format!("HTTP/1.1 {} {}", head.status, reason(head.status));
    let framing = match head.framing {
        Framing::Chunked => Some("transfer-encoding: chunked".to_owned()),
        Framing::Length(length) => Some(format!("content-length: {length}")),
        Framing::CloseDelimited => None,
    };
    let mut lines = vec![status_line];
    lines.extend(head.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.extend(framing);
    // One request per connection keeps every fault within one answer.
    lines.push("connection: close\r\n\r\n".to_owned());
    lines.join("\r\n").into_bytes()
}

/// One write per chunk, so that a chunk is never torn by this server itself.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

async fn pause(stream: &TcpStream, pause: Pause) -> Result<(), ClientLeft> {
    match pause {
        Pause::UntilClientLeaves => Err(until_client_leaves(stream).await),
        Pause::For(duration) => {
            tokio::select! {
                left = until_client_leaves(stream) => Err(left),
                () = tokio::time::sleep(duration) => Ok(()),
            }
        }
    }
}

async fn until_client_leaves(stream: &TcpStream) -> ClientLeft {
    loop {
        if stream.readable().await.is_err() {
            return ClientLeft;
        }
        if notice_departure(stream).is_err() {
            return ClientLeft;
        }
    }
}

/// A client that waits for its answer sends nothing, so end of input means it has left.
fn notice_departure(stream: &TcpStream) -> Result<(), ClientLeft> {
    let mut ignored = [0_u8; 256];
    loop {
        match stream.try_read(&mut ignored) {
            Ok(0) => return Err(ClientLeft),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(ClientLeft),
        }
    }
}

/// Sends FIN and waits for the client's, since closing with unread input would send RST.
async fn close(stream: &mut TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let deadline = Instant::now() + LINGER;
    let mut ignored = [0_u8; 1024];
    while let Ok(Ok(count)) = tokio::time::timeout_at(deadline, stream.read(&mut ignored)).await {
        if count == 0 {
            return;
        }
    }
}
