//! The asynchronous runtime of a command, and the signals that end it.

use std::future::Future;
use std::process::ExitCode;

use tokio::runtime::Builder;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use super::CommandError;

/// Exit code of a program that was interrupted, by the custom of shells.
const INTERRUPTED: u8 = 130;

/// Runs a command. Its token fires at the first Ctrl-C or SIGTERM, so that it can end in order; a
/// second one ends the program at once.
pub(super) fn run<F>(command: impl FnOnce(CancellationToken) -> F) -> Result<ExitCode, CommandError>
where
    F: Future<Output = Result<ExitCode, CommandError>>,
{
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let signals = Signals::listen()?;
        tokio::select! {
            outcome = Box::pin(command(shutdown.clone())) => outcome,
            () = interrupted_twice(signals, shutdown) => Ok(ExitCode::from(INTERRUPTED)),
        }
    });
    // A read of standard input cannot be interrupted; the end of the process ends it.
    runtime.shutdown_background();
    outcome
}

/// What a signal asks of an interactive command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// Ctrl-C: stop what is going on.
    Stop,
    /// SIGTERM: leave.
    Leave,
}

/// Runs a command that decides for itself what Ctrl-C means. When it does not listen, the third
/// one ends the program.
pub(super) fn run_interactive<F>(
    command: impl FnOnce(Receiver<Interrupt>) -> F,
) -> Result<ExitCode, CommandError>
where
    F: Future<Output = Result<ExitCode, CommandError>>,
{
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (sender, interrupts) = channel(2);
        let signals = Signals::listen()?;
        tokio::select! {
            outcome = Box::pin(command(interrupts)) => outcome,
            () = told_of_signals(signals, sender) => Ok(ExitCode::from(INTERRUPTED)),
        }
    });
    // A read of standard input cannot be interrupted; the end of the process ends it.
    runtime.shutdown_background();
    outcome
}

/// Passes signals on, until nobody takes them.
async fn told_of_signals(mut signals: Signals, sender: Sender<Interrupt>) {
    loop {
        let interrupt = signals.next().await;
        match sender.try_send(interrupt) {
            Ok(()) => {}
            // The command is ending: it ends in order, unless it is asked again and again.
            Err(TrySendError::Closed(_)) => {
                signals.next().await;
                return;
            }
            Err(TrySendError::Full(_)) => return,
        }
    }
}

async fn interrupted_twice(mut signals: Signals, shutdown: CancellationToken) {
    signals.next().await;
    shutdown.cancel();
    signals.next().await;
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::Stop,
            _ = self.terminate.recv() => Interrupt::Leave,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Interrupt {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Interrupt::Stop
    }
}
