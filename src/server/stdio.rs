//! MCP over standard input and output, or any pair of streams.

use std::sync::Arc;

use rmcp::service::{QuitReason, ServerInitializeError, serve_server_with_ct};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::io::stdio_pipes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::door::Door;
use super::drain::Draining;
use super::error::ServeError;
use super::mcp::{Channel, Handler};
use crate::app::App;

/// Longest line that is read. Arguments are capped far below, with a clear error; a longer line
/// is dropped, since it cannot be answered without being read.
const LINE_BYTES: usize = 32 * 1024 * 1024;

/// Serves the client on standard input and output until it leaves or `shutdown` fires. Calls in
/// flight may end within `limits.shutdown_grace_s`.
///
/// Standard input that is no pipe is read on a thread that cannot be interrupted: the caller must
/// not wait for the runtime's blocking threads afterwards.
///
/// # Errors
/// When the connection could not be served.
pub async fn serve_stdio(app: Arc<App>, shutdown: CancellationToken) -> Result<(), ServeError> {
    let (reader, writer) = stdio_pipes();
    serve_io(app, reader, writer, shutdown).await
}

/// As [`serve_stdio`], over any pair of streams.
///
/// # Errors
/// When the connection could not be served.
pub async fn serve_io<R, W>(
    app: Arc<App>,
    reader: R,
    writer: W,
    shutdown: CancellationToken,
) -> Result<(), ServeError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let door = Door::new(app);
    let grace = door.grace();
    let handler = Handler::new(door, Channel::Stream).await?;
    let cut = CancellationToken::new();
    let lines = AsyncRwTransport::new_server(reader, writer).with_max_line_length(LINE_BYTES);
    let transport = Draining::new(lines, shutdown, cut.clone(), grace);
    let service = match Box::pin(serve_server_with_ct(handler, transport, cut)).await {
        Ok(service) => service,
        // A client that leaves before it says anything is no fault.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
            return Ok(());
        }
        Err(error) => return Err(ServeError::Protocol(error.to_string())),
    };
    match service.waiting().await {
        Ok(QuitReason::JoinError(error)) | Err(error) => {
            Err(ServeError::Protocol(error.to_string()))
        }
        Ok(_) => Ok(()),
    }
}
