//! What went out of this process so far, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::gate::Refusal;
use super::log::Way;

/// Connections that were made and that were not, and their bytes.
#[derive(Debug)]
pub struct Tally {
    connections: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    sent: AtomicU64,
    received: AtomicU64,
}

/// All gates of a process count together: whose a connection was stands in the log.
static TALLY: Tally = Tally {
    connections: Mutex::new(BTreeMap::new()),
    refusals: Mutex::new(BTreeMap::new()),
    sent: AtomicU64::new(0),
    received: AtomicU64::new(0),
};

/// The figures of this process.
pub fn tally() -> &'static Tally {
    &TALLY
}

impl Tally {
    /// Connections that have ended, by way and outcome.
    pub fn connections(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that were not made, by reason.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes to hosts.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes from hosts.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self, way: Way, outcome: &'static str, sent: u64, received: u64) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        *connections.entry((way.word(), outcome)).or_default() += 1;
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.received.fetch_add(received, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(refusal.word()).or_default() += 1;
    }
}

/// The figures of this process as `/metrics` shows them.
#[derive(Debug)]
pub struct Figures;

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let tally = tally();
        let kind = MetricType::Counter;
        let help = "Connections to foreign hosts that have ended, by way and outcome";
        let mut metric = encoder.encode_descriptor("egress_connections", help, None, kind)?;
        for ((way, outcome), count) in tally.connections() {
            let labels = [("way", way), ("outcome", outcome)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let help = "Connections to foreign hosts that were not made, by reason";
        let mut metric = encoder.encode_descriptor("egress_refusals", help, None, kind)?;
        for (reason, count) in tally.refusals() {
            let labels = [("reason", reason)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let help = "Bytes to and from foreign hosts";
        let unit = Some(&Unit::Bytes);
        let mut metric = encoder.encode_descriptor("egress", help, unit, kind)?;
        for (direction, bytes) in [("sent", tally.sent()), ("received", tally.received())] {
            let labels = [("direction", direction)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&bytes, None)?;
        }
        Ok(())
    }
}
