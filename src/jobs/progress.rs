//! Progress of long work: from the job to the transport, never the other way.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Rising number; with `total`, a fraction of it.
    pub value: f64,
    /// What `value` rises to, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// What is happening, for people.
    pub message: String,
}

type Sink = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Where progress goes. Calls must return at once; a slow reader loses updates, not the job time.
#[derive(Clone, Default)]
pub struct ProgressSink(Option<Sink>);

impl ProgressSink {
    /// Nowhere.
    pub const fn none() -> Self {
        Self(None)
    }

    /// To a function.
    pub fn new(sink: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// Whether anybody listens.
    pub const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Reports.
    pub fn send(&self, progress: &Progress) {
        if let Some(sink) = &self.0 {
            sink(progress);
        }
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ProgressSink").field(&self.0.is_some()).finish()
    }
}
