//! Just enough HTTP/1.1 to read a request, on a plain socket so that answers can be spoiled freely.

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_BODY_BYTES: usize = 128 * 1024 * 1024;

/// A request as it stood on the wire.
#[derive(Debug)]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpRequest {
    /// Reads one request; `None` when the client closes without sending any.
    pub(crate) async fn read(stream: &mut TcpStream) -> anyhow::Result<Option<Self>> {
        let mut buffer = Vec::new();
        let head_end = loop {
            if let Some(position) = find(&buffer, b"\r\n\r\n") {
                break position;
            }
            ensure!(buffer.len() <= MAX_HEAD_BYTES, "the request head is too large");
            if stream.read_buf(&mut buffer).await? == 0 {
                ensure!(buffer.is_empty(), "the connection closed inside the head");
                return Ok(None);
            }
        };
        let rest = buffer.split_off(head_end + 4);
        let head = String::from_utf8(buffer).context("the head is not UTF-8")?;
        let mut request = Self::from_head(&head)?;
        let header = |name: &str| {
            request
                .headers
                .iter()
                .find(|(candidate, _)| candidate == name)
                .map(|(_, value)| value.to_ascii_lowercase())
        };
        let length = header("content-length");
        let chunked = header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
        if header("expect").is_some_and(|value| value == "100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut reader = BodyReader { stream, buffer: rest };
        request.body = if chunked {
            reader.read_chunked().await?
        } else {
            let length = length.map_or(Ok(0), |length| length.trim().parse::<usize>())?;
            reader.take(length).await?
        };
        Ok(Some(request))
    }

    fn from_head(head: &str) -> anyhow::Result<Self> {
        let mut lines = head.split("\r\n");
        let request_line = lines.next().unwrap_or_default();
        let mut words = request_line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            bail!("bad request line: `{request_line}`");
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Vec::new(),
        })
    }
}

struct BodyReader<'stream> {
    stream: &'stream mut TcpStream,
    buffer: Vec<u8>,
}

impl BodyReader<'_> {
    async fn fill(&mut self) -> anyhow::Result<()> {
        let count = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(count > 0, "the connection closed inside the request body");
        Ok(())
    }

    async fn take(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        ensure!(length <= MAX_BODY_BYTES, "the request body is too large");
        while self.buffer.len() < length {
            self.fill().await?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn take_line(&mut self) -> anyhow::Result<String> {
        let end = loop {
            if let Some(position) = find(&self.buffer, b"\r\n") {
                break position;
            }
            self.fill().await?;
        };
        let line = self.take(end + 2).await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn read_chunked(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).context("bad chunk size")?;
            if size == 0 {
                while !self.take_line().await?.is_empty() {}
                return Ok(body);
            }
            ensure!(body.len() + size <= MAX_BODY_BYTES, "the request body is too large");
            body.extend(self.take(size).await?);
            self.take_line().await?;
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The reason phrase real servers send; clients ignore it, logs do not.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => "Status",
    }
}
