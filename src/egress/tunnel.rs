//! Bytes to and fro, counted, until either side is done, nothing moves, or the time is over.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::gate::EgressLimits;

const PIECE: usize = 16 << 10;

/// Bytes of a connection so far.
#[derive(Debug, Default)]
pub(super) struct Counted {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counted {
    /// To the host.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// From the host.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn of_requests(&self) -> &AtomicU64 {
        &self.sent
    }

    pub(super) fn of_answers(&self) -> &AtomicU64 {
        &self.received
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both sides were done.
    Closed,
    /// One side broke off.
    Broken,
    /// Nothing moved for too long.
    Idle,
    /// It lasted too long.
    Expired,
}

impl Ending {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Expired => "expired",
        }
    }
}

/// Runs the work of a connection within its limits.
pub(super) async fn within(
    limits: &EgressLimits,
    counted: &Counted,
    work: impl Future<Output = io::Result<()>>,
) -> Ending {
    tokio::select! {
        result = work => if result.is_ok() { Ending::Closed } else { Ending::Broken },
        () = stillness(limits.idle, counted) => Ending::Idle,
        () = tokio::time::sleep(limits.total) => Ending::Expired,
    }
}

/// Returns when nothing has moved for so long.
async fn stillness(idle: Duration, counted: &Counted) {
    loop {
        let before = (counted.sent(), counted.received());
        tokio::time::sleep(idle).await;
        if before == (counted.sent(), counted.received()) {
            return;
        }
    }
}

/// Both directions; each is closed when its source is at its end.
pub(super) async fn both<A, B>(
    (mut from_program, mut to_program): (impl AsyncRead + Unpin, A),
    (mut from_host, mut to_host): (impl AsyncRead + Unpin, B),
    counted: &Counted,
) -> io::Result<()>
where
    A: AsyncWrite + Unpin,
    B: AsyncWrite + Unpin,
{
    let out = async {
        copy(&mut from_program, &mut to_host, counted.of_requests()).await?;
        to_host.shutdown().await
    };
    let back = async {
        copy(&mut from_host, &mut to_program, counted.of_answers()).await?;
        to_program.shutdown().await
    };
    tokio::try_join!(out, back).map(drop)
}

/// Copies to the end of the source.
pub(super) async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &AtomicU64,
) -> io::Result<()> {
    let mut piece = vec![0_u8; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(piece.get(..length).unwrap_or_default()).await?;
        count.fetch_add(u64::try_from(length).unwrap_or_default(), Ordering::Relaxed);
    }
}
