//! What all doors share: one way into the registry that always answers, and that knows who is
//! still inside.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::Value;
use tokio::sync::watch;

use super::metrics::InFlight;
use crate::app::App;
use crate::error::{ErrorKind, ToolError};
use crate::registry::{CallContext, CallOutcome, Origin, Rights, SERVER_DIVIDER, Tool};

/// The way into the registry.
pub(super) struct Door {
    pub(super) app: Arc<App>,
    /// How many requests are inside; watched by those who wait for the last one to leave.
    inside: watch::Sender<usize>,
}

/// A request that is inside; dropped, it has left.
pub(super) struct Inside {
    door: Arc<Door>,
    _in_flight: InFlight,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.door.inside.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Door {
    /// A door to this application.
    pub(super) fn new(app: Arc<App>) -> Arc<Self> {
        Arc::new(Self { app, inside: watch::Sender::new(0) })
    }

    /// Notes a request that has to be answered before the door closes.
    pub(super) fn enter(self: &Arc<Self>) -> Inside {
        self.inside.send_modify(|count| *count += 1);
        Inside { door: Arc::clone(self), _in_flight: self.app.metrics.enter() }
    }

    /// The tool of this name, when these rights may use it.
    pub(super) fn tool(&self, name: &str, rights: &Rights) -> Option<&Tool> {
        let tool = self.app.registry.tool(name)?;
        self.app.registry.tools(rights).any(|offered| offered.name == tool.name).then_some(tool)
    }

    /// Whether another server has a tool of this name that these rights cover; may start it.
    pub(super) async fn is_foreign(&self, name: &str, rights: &Rights) -> bool {
        let caller = &self.app.caller;
        name.contains(SERVER_DIVIDER)
            && match caller.describe(name, rights, Origin::Client).await {
                Ok(_) => true,
                // That a server does not start is told by the call.
                Err(error) => error.kind == ErrorKind::Unavailable,
            }
    }

    /// Calls a tool. Whatever happens in it, there is an outcome: a request without an answer
    /// would hang for ever.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: Value,
        context: CallContext,
    ) -> CallOutcome {
        let call = self.app.registry.call(tool, arguments, context);
        AssertUnwindSafe(call)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Self::broken(&format!("the call of `{tool}` panicked")))
    }

    /// The outcome of a call that a defect of ours ended.
    pub(super) fn broken(cause: &dyn std::fmt::Display) -> CallOutcome {
        let error = ToolError::internal(&cause);
        CallOutcome {
            call_id: None,
            is_error: true,
            error_kind: Some(error.kind),
            structured: error.to_json(),
            content: Vec::new(),
            running_job: None,
            sampling: None,
            question: None,
        }
    }

    /// How long a call may take before it is answered with a job id.
    pub(super) fn answer_budget(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.app.config.limits.answer_budget_s).ok()
    }

    /// How long calls in flight may go on after a request to stop.
    pub(super) fn grace(&self) -> Duration {
        Duration::try_from_secs_f64(self.app.config.limits.shutdown_grace_s).unwrap_or_default()
    }

    /// Waits until nobody is inside, at most for the grace period.
    pub(super) async fn empty(&self) {
        let mut inside = self.inside.subscribe();
        let left = tokio::time::timeout(self.grace(), inside.wait_for(|count| *count == 0)).await;
        if left.is_err() {
            let calls = self.app.metrics.in_flight();
            tracing::warn!(calls.left = calls, "calls were cut at shutdown");
        }
    }
}
