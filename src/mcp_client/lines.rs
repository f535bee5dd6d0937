//! A child's streams as a transport: one JSON message a line, each way.
//!
//! Servers print banners and debug lines where only messages belong; those are skipped. A message
//! that is too large is skipped as well, and the call that it answers gets an error instead of
//! waiting for ever.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rmcp::model::{ErrorCode, ErrorData, JsonRpcMessage, RequestId};
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// Largest message that is taken.
pub(super) const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;
/// Code of the error that stands for a message which was too large.
pub(super) const TOO_LARGE: ErrorCode = ErrorCode(-32_099);
/// Code of the error that stands for an answer which has no known form.
pub(super) const UNREADABLE: ErrorCode = ErrorCode(-32_098);
/// Bytes at the beginning of a message that is too large in which its id is looked for, and at its
/// end.
const ID_BYTES: usize = 4_096;
/// Messages that wait to be handled; then the child waits.
const QUEUE: usize = 64;

/// Both directions of a child's standard streams.
pub(super) struct Lines {
    input: Arc<Mutex<Option<Box<dyn AsyncWrite + Send + Unpin>>>>,
    messages: mpsc::Receiver<RxJsonRpcMessage<RoleClient>>,
    reader: JoinHandle<()>,
}

/// Lines that were no messages.
#[derive(Debug, Default)]
pub(super) struct Skipped(pub(super) AtomicU64);

impl Lines {
    pub(super) fn new(
        input: Box<dyn AsyncWrite + Send + Unpin>,
        output: Box<dyn AsyncRead + Send + Unpin>,
        skipped: Arc<Skipped>,
    ) -> Self {
        let (sender, messages) = mpsc::channel(QUEUE);
        let reader = tokio::spawn(read(output, sender, skipped));
        Self { input: Arc::new(Mutex::new(Some(input))), messages, reader }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Transport<RoleClient> for Lines {
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let input = Arc::clone(&self.input);
        async move {
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            let mut input = input.lock().await;
            let Some(stream) = input.as_mut() else {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            };
            stream.write_all(&line).await?;
            stream.flush().await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        self.messages.recv().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        // A write that is stuck holds the lock; the process is killed then.
        if let Ok(mut input) = self.input.try_lock() {
            input.take();
        }
        Ok(())
    }
}

async fn read(
    output: Box<dyn AsyncRead + Send + Unpin>,
    messages: mpsc::Sender<RxJsonRpcMessage<RoleClient>>,
    skipped: Arc<Skipped>,
) {
    let mut output = BufReader::with_capacity(64 * 1024, output);
    let mut line = Line::default();
    loop {
        let chunk = match output.fill_buf().await {
            Ok(chunk) if !chunk.is_empty() => chunk,
            // The end, or a stream that cannot be read any more.
            Ok(_) | Err(_) => return,
        };
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        line.push(part);
        let used = part.len() + usize::from(end.is_some());
        output.consume(used);
        if end.is_none() {
            continue;
        }
        let message = std::mem::take(&mut line).message();
        match message {
            Ok(Some(message)) => {
                if messages.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(NoMessage) => {
                skipped.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A line that is no message.
#[derive(Debug)]
struct NoMessage;

/// A line as it comes in.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// The end of a line that is too large to be kept.
    tail: Vec<u8>,
    is_too_large: bool,
}

impl Line {
    fn push(&mut self, part: &[u8]) {
        if !self.is_too_large && self.bytes.len() + part.len() <= MAX_MESSAGE_BYTES {
            self.bytes.extend_from_slice(part);
            return;
        }
        if !self.is_too_large {
            self.is_too_large = true;
            self.bytes.truncate(ID_BYTES);
            self.bytes.shrink_to_fit();
        }
        self.tail.extend_from_slice(part);
        let excess = self.tail.len().saturating_sub(ID_BYTES);
        self.tail.drain(..excess);
    }

    /// The message; `None` for an empty line.
    fn message(self) -> Result<Option<RxJsonRpcMessage<RoleClient>>, NoMessage> {
        if self.is_too_large {
            let id = id_at_start(&self.bytes).or_else(|| id_at_end(&self.tail)).ok_or(NoMessage)?;
            let error = ErrorData::new(TOO_LARGE, "the message is too large", None);
            return Ok(Some(JsonRpcMessage::error(error, Some(id))));
        }
        if self.bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(&self.bytes) {
            Ok(message) => Ok(Some(message)),
            // A message of a shape that is not known still answers somebody.
            Err(_) => unreadable(&self.bytes).map(Some),
        }
    }
}

/// An answer that cannot be read as one becomes an error for whoever waits for it.
fn unreadable(bytes: &[u8]) -> Result<RxJsonRpcMessage<RoleClient>, NoMessage> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| NoMessage)?;
    let is_answer = value.get("result").is_some() || value.get("error").is_some();
    let id = value.get("id").and_then(id_of).filter(|_| is_answer).ok_or(NoMessage)?;
    let error = ErrorData::new(UNREADABLE, "it has no known form", None);
    Ok(JsonRpcMessage::error(error, Some(id)))
}

fn id_of(value: &Value) -> Option<RequestId> {
    serde_json::from_value(value.clone()).ok()
}

/// The id in the first bytes of a message: `{"jsonrpc":"2.0","id":7,"result":…`.
fn id_at_start(bytes: &[u8]) -> Option<RequestId> {
    let text = String::from_utf8_lossy(bytes);
    // Behind the result everything belongs to the result.
    let head = text.split("\"result\"").next()?;
    let value = head.split("\"id\"").nth(1)?.trim_start().strip_prefix(':')?;
    id_of(&serde_json::from_str(value.split([',', '}']).next()?.trim()).ok()?)
}

/// The id in the last bytes of a message: `…},"id":7}`.
fn id_at_end(bytes: &[u8]) -> Option<RequestId> {
    let text = String::from_utf8_lossy(bytes);
    let value = text.rsplit("\"id\"").next()?.trim_start().strip_prefix(':')?;
    let value = value.trim().strip_suffix('}')?;
    id_of(&serde_json::from_str(value.split(',').next()?.trim()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Line {
        let mut line = Line::default();
        line.push(text);
        line
    }

    #[test]
    fn a_message_that_is_too_large_answers_its_call() {
        let filler = vec![b'x'; MAX_MESSAGE_BYTES];
        for (start, end) in [
            (&b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\""[..], &b"\"}"[..]),
            (b"{\"jsonrpc\": \"2.0\", \"result\": \"", b"\", \"id\": 7}"),
        ] {
            let mut line = line(start);
            line.push(&filler);
            line.push(end);
            assert!(line.bytes.len() <= ID_BYTES && line.tail.len() <= ID_BYTES);
            let message = serde_json::to_value(line.message().unwrap().unwrap()).unwrap();
            assert_eq!(message["id"], 7);
            assert_eq!(message["error"]["code"], -32_099);
        }
        let mut nameless = line(b"\"");
        nameless.push(&filler);
        assert!(nameless.message().is_err());
    }

    #[test]
    fn what_is_no_message_is_skipped() {
        assert!(line(b"Server listening on stdio").message().is_err());
        assert!(line(b"{\"level\": \"info\"}").message().is_err());
        assert!(line(b" \r").message().unwrap().is_none());
        let answer = line(b"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":7}").message().unwrap();
        assert_eq!(serde_json::to_value(answer).unwrap()["id"], 3);
    }
}
