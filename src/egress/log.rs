//! What stands in the log of every connection to a foreign host: who, host, port, bytes, outcome.

use std::time::Instant;

use super::gate::Refusal;
use super::hosts::shown;
use super::tally::tally;
use super::tunnel::Counted;

/// How bytes go to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To and fro, unread.
    Tunnel,
    /// One request that a proxy of ours passes on.
    Request,
    /// One request of our own.
    Fetch,
}

impl Way {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Request => "request",
            Self::Fetch => "fetch",
        }
    }
}

/// A connection, which is logged once: when it is dropped.
#[derive(Debug)]
pub(crate) struct Record {
    name: String,
    destination: String,
    way: Way,
    outcome: &'static str,
    began: Instant,
    pub(super) counted: Counted,
}

impl Record {
    pub(super) fn begin(name: &str, destination: &str, way: Way) -> Self {
        Self {
            name: name.to_owned(),
            destination: shown(destination),
            way,
            // Whoever drops it before its end has broken it off.
            outcome: "broken",
            began: Instant::now(),
            counted: Counted::default(),
        }
    }

    /// Notes bytes from the host.
    pub(crate) fn received(&self, bytes: usize) {
        self.counted.add_received(bytes);
    }

    /// Notes how it ended.
    pub(crate) fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let (sent, received) = (self.counted.sent(), self.counted.received());
        tally().ended(self.way, self.outcome, sent, received);
        tracing::info!(
            egress.server = self.name,
            egress.destination = self.destination,
            egress.way = self.way.word(),
            egress.outcome = self.outcome,
            sent_bytes = sent,
            received_bytes = received,
            duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "a connection was made"
        );
    }
}

/// A connection that is not made.
pub(super) fn refusal(name: &str, destination: &str, refusal: &Refusal) {
    tally().refused(refusal);
    tracing::warn!(
        egress.server = name,
        egress.destination = shown(destination),
        egress.outcome = refusal.word(),
        "a connection was refused"
    );
}
