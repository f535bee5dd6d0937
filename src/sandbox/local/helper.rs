//! A helper process of the server's: its start, and the socket on which both talk.
//!
//! Packets go either way, each with the descriptors beside it. The helper ends when the server's end
//! of the socket is closed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::launcher::SUPERVISOR;
use super::sys::watch;
use super::zygote::Refusal;

const MESSAGE_BYTES: usize = 64 << 10;
/// Kept of what a helper writes to its standard error.
const COMPLAINT_BYTES: u64 = 8 << 10;
const MOST_DESCRIPTORS: usize = 4;
/// A process, and the sockets on which a service is reached.
const MOST_RECEIVED: usize = 9;
/// The last message to a helper.
const END: &[u8] = b"{\"end\":true}";

/// A helper that was started and has not been told anything yet.
pub(super) struct Helper {
    /// The way to talk to it.
    pub(super) control: Control,
    /// What it wrote to its standard error, when it has ended.
    pub(super) complaint: oneshot::Receiver<String>,
    /// Closed when it has ended and was collected.
    pub(super) ended: oneshot::Receiver<()>,
}

impl Helper {
    /// Starts the supervisor, which starts the rest.
    pub(super) fn start(program: &Path, tasks: &TaskTracker) -> Result<Self, Refusal> {
        let start = |error: io::Error| Refusal::new("start the sandbox's helper", error);
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|error| start(error.into()))?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(|error| start(error.into()))?;
        #[expect(clippy::disallowed_methods, reason = "this is the adapter that starts processes")]
        let mut child = tokio::process::Command::new(program)
            .arg(SUPERVISOR)
            .env_clear()
            .current_dir("/")
            // Keys pressed in the server's terminal are the server's to answer.
            .process_group(0)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let complaints = child.stderr.take();
        let control = Control(watch(ours, Interest::READABLE | Interest::WRITABLE).map_err(start)?);
        let (sender, complaint) = oneshot::channel();
        let (collected, ended) = oneshot::channel();
        tasks.spawn(async move {
            let mut text = Vec::new();
            if let Some(mut stream) = complaints {
                let _ = (&mut stream).take(COMPLAINT_BYTES).read_to_end(&mut text).await;
                // The rest is read too, so that nobody blocks on a full pipe.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
            let _ = child.wait().await;
            drop(collected);
        });
        Ok(Self { control, complaint, ended })
    }
}

/// The server's end of the socket.
#[derive(Debug)]
pub(super) struct Control(AsyncFd<OwnedFd>);

impl Control {
    /// Sends a packet with descriptors beside it.
    pub(super) async fn send(&self, data: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.0
            .async_io(Interest::WRITABLE, |control| {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
                let mut rights = SendAncillaryBuffer::new(&mut space);
                if !descriptors.is_empty() {
                    rights.push(SendAncillaryMessage::ScmRights(descriptors));
                }
                rustix::net::sendmsg(
                    control.as_fd(),
                    &[IoSlice::new(data)],
                    &mut rights,
                    SendFlags::NOSIGNAL,
                )
                .map(drop)
                .map_err(io::Error::from)
            })
            .await
    }

    /// The next packet; empty at the end.
    pub(super) async fn receive(&self) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        self.0.async_io(Interest::READABLE, |control| receive(control.as_fd())).await
    }

    /// Says goodbye, so that the helper can tell this end from the server's death, and closes.
    pub(super) fn close(&self) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = rustix::net::send(self.0.get_ref(), END, flags);
        let _ = rustix::net::shutdown(self.0.get_ref(), rustix::net::Shutdown::Both);
    }
}

/// One read with the few descriptors beside it.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut data = vec![0_u8; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_RECEIVED))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut data)],
        &mut rights,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    data.truncate(received.bytes);
    let mut descriptors = Vec::new();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok((data, descriptors))
}
