//! Figures for `/metrics`, in the OpenMetrics text format that Prometheus reads.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::registry::CallObserver;

/// Labels of one kind of series, in order.
type Labels = Vec<(&'static str, String)>;

/// Upper bounds of the duration buckets, in seconds: look-ups to model calls.
const DURATION_BUCKETS: [f64; 12] =
    [0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 120.0, 300.0];

/// The figures of this process.
pub struct Metrics {
    registry: Registry,
    calls: Family<Labels, Counter>,
    in_flight: Gauge<i64, AtomicI64>,
    durations: Family<Labels, Histogram>,
    page_calls: Family<Labels, Counter>,
}

impl Metrics {
    /// Figures at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with(Vec::new())
    }

    /// Figures at zero, beside those that others keep.
    #[must_use]
    pub fn with(others: Vec<Box<dyn Collector>>) -> Arc<Self> {
        let mut registry = Registry::with_prefix("atelier");
        let calls = Family::default();
        let page_calls = Family::default();
        let in_flight = Gauge::default();
        let durations: Family<Labels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS));
        registry.register("tool_calls", "Tool calls by tool and outcome", calls.clone());
        registry.register(
            "page_tool_calls",
            "Tool calls of hosted pages by tool and outcome",
            page_calls.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "HTTP requests to MCP and the API that are being answered",
            in_flight.clone(),
        );
        registry.register_with_unit(
            "tool_call_duration",
            "Time until a tool call was answered",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "build",
            "The running program",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        for other in others {
            registry.register_collector(other);
        }
        Arc::new(Self { registry, calls, in_flight, durations, page_calls })
    }

    /// Counts a request that came in; dropped, it has left.
    pub(super) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.inc();
        InFlight { metrics: Arc::clone(self) }
    }

    /// HTTP requests that are being answered.
    pub(super) fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Counts a call of a hosted page.
    pub(super) fn page_call(&self, tool: &str, outcome: &str) {
        let labels = vec![("tool", tool.to_owned()), ("outcome", outcome.to_owned())];
        self.page_calls.get_or_create(&labels).inc();
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// Never in practice: the buffer is memory.
    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl CallObserver for Metrics {
    /// Requests in flight are counted at the door, where a client that leaves is noticed too.
    fn started(&self, _tool: &str) {}

    fn finished(&self, tool: &str, outcome: &str, duration: Duration) {
        let tool = ("tool", tool.to_owned());
        self.calls.get_or_create(&vec![tool.clone(), ("outcome", outcome.to_owned())]).inc();
        self.durations.get_or_create(&vec![tool]).observe(duration.as_secs_f64());
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A request that is being answered.
pub(super) struct InFlight {
    metrics: Arc<Metrics>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}
