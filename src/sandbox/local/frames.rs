//! Frames on the channel to a worker: a length (u32, little-endian) and that many bytes of JSON.
//!
//! The other end may be hostile: lengths are checked before anything is stored, and nothing but plain
//! bytes is ever read, so descriptors that code sends are dropped by the kernel.

use std::collections::VecDeque;
use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;

const LENGTH: usize = 4;
/// One read.
const CHUNK: usize = 16 << 10;
/// Bytes that may wait to be read by the code; replies beyond end the run.
const OUTPUT_BYTES: usize = 64 << 20;

/// What is wrong with what came.
pub(super) type Broken = String;

/// Both directions of one worker's channel.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    input: Vec<u8>,
    output: VecDeque<u8>,
    limit: usize,
}

impl Channel {
    /// Takes over a stream; `input` is what was read from it already.
    pub(super) fn new(stream: UnixStream, input: Vec<u8>) -> Self {
        Self { stream, input, output: VecDeque::new(), limit: 1 << 20 }
    }

    /// Sets the largest frame that is accepted.
    pub(super) fn accept(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Reads what has come; false at the end. Can be dropped at any time without loss.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        // One call of the kernel where `readable` and `try_read` take two: a read that does not fill
        // the buffer tells the runtime that nothing is left.
        self.input.reserve(CHUNK);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    fn fill_now(&mut self) -> io::Result<bool> {
        let mut chunk = [0_u8; CHUNK];
        let count = self.stream.try_read(&mut chunk)?;
        self.input.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    /// The next whole frame, with its length.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<(T, usize)>, Broken> {
        let Some(length) = self.input.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(format!("a frame of {length} bytes, at most {}", self.limit));
        }
        let Some(body) = self.input.get(LENGTH..LENGTH + length) else { return Ok(None) };
        let frame = serde_json::from_slice(body).map_err(|_| fault_of(body))?;
        self.input.drain(..LENGTH + length);
        Ok(Some((frame, length)))
    }

    /// Queues a frame and writes what can be written.
    pub(super) fn send(&mut self, frame: &impl Serialize) -> Result<(), Broken> {
        self.send_bytes(&serde_json::to_vec(frame).map_err(|error| error.to_string())?)
    }

    /// Queues raw bytes as one frame and writes what can be written.
    pub(super) fn send_bytes(&mut self, body: &[u8]) -> Result<(), Broken> {
        let length = u32::try_from(body.len()).map_err(|_| "a reply too large".to_owned())?;
        if self.output.len() + body.len() > OUTPUT_BYTES {
            return Err("the code does not read its replies".to_owned());
        }
        self.output.extend(length.to_le_bytes());
        self.output.extend(body);
        self.flush_now();
        Ok(())
    }

    /// Reads what has come, and writes what waits as far as it goes; false at the end.
    ///
    /// Can be dropped at any time without loss.
    pub(super) async fn fill_or_flush(&mut self) -> io::Result<bool> {
        let both = Interest::READABLE | Interest::WRITABLE;
        while !self.output.is_empty() {
            let ready = self.stream.ready(both).await?;
            if ready.is_writable() {
                self.flush_now();
            }
            if ready.is_readable() {
                match self.fill_now() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
        }
        self.fill().await
    }

    fn flush_now(&mut self) {
        while !self.output.is_empty() {
            let (front, _) = self.output.as_slices();
            match self.stream.try_write(front) {
                Ok(count) => {
                    self.output.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The other end is gone, which its own end will tell.
                Err(_) => self.output.clear(),
            }
        }
        // A large reply leaves no large buffer behind.
        self.output.shrink_to(CHUNK);
    }
}

/// Why a frame could not be read.
fn fault_of(body: &[u8]) -> Broken {
    match serde_json::from_slice::<Value>(body) {
        Ok(_) => "a frame that the runner does not send".to_owned(),
        Err(error) => format!("a frame that is no JSON ({})", classify(&error)),
    }
}

fn classify(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "unreadable",
        serde_json::error::Category::Syntax => "wrong syntax",
        serde_json::error::Category::Data => "wrong data",
        serde_json::error::Category::Eof => "cut off",
    }
}
