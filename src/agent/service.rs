//! Runs from outside: started, followed, stopped, decided about. What the chat is made of.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::engine::{Decision, Engine, RunRequest};
use super::event::Event;
use super::runs::{Follower, RunId, RunOwner, Runs, not_found};
use super::tools::AGENT_RUN;
use crate::error::ToolError;
use crate::jobs::JobRunner;
use crate::llm::Message;
use crate::registry::{CallContext, Origin, Registry};
use crate::storage::{JobState, PrincipalId};

/// Runs of workflows and chats.
#[derive(Clone)]
pub struct Agent {
    engine: Arc<Engine>,
    runner: Arc<JobRunner>,
}

impl Agent {
    /// Over an engine.
    pub const fn new(engine: Arc<Engine>, runner: Arc<JobRunner>) -> Self {
        Self { engine, runner }
    }

    /// What carries runs out.
    pub const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn runs(&self) -> &Runs {
        self.engine.runs()
    }

    /// Starts a run and returns at once; it goes on without the caller, and after a crash.
    /// Starting the same run again changes nothing.
    ///
    /// # Errors
    /// When it cannot be started: nobody can answer, a tool is not there, limits are out of range.
    pub async fn start(
        &self,
        registry: &Registry,
        request: &RunRequest,
        context: CallContext,
    ) -> Result<(), ToolError> {
        let principal = context.principal.clone();
        let text = serde_json::to_string(request).map_err(|error| ToolError::internal(&error))?;
        let context = CallContext {
            origin: Origin::Workflow,
            depth: 0,
            idempotency_key: Some(format!("run/{}", request.run)),
            answer_budget: Some(Duration::ZERO),
            ..context
        };
        let outcome = registry.call(AGENT_RUN, json!({ "request": text }), context).await;
        if outcome.is_error {
            return Err(ToolError::from_json(&outcome.structured));
        }
        if let Some(job) = &outcome.running_job {
            self.runs().claim(&request.run, &principal, job);
        }
        Ok(())
    }

    /// Follows a run of this principal from behind an event's number, until its end.
    ///
    /// # Errors
    /// `run_not_found`, also for another principal's.
    pub fn follow(
        &self,
        principal: &PrincipalId,
        run: &RunId,
        after: u64,
    ) -> Result<Follower, ToolError> {
        self.owned(principal, run)?;
        Ok(self.runs().follow(run, after))
    }

    /// The events of a run of this principal after a number, as far as they are there.
    ///
    /// # Errors
    /// `run_not_found`, also for another principal's.
    pub fn events(
        &self,
        principal: &PrincipalId,
        run: &RunId,
        after: u64,
    ) -> Result<Vec<Event>, ToolError> {
        self.owned(principal, run)?;
        self.runs().events(run, after)
    }

    /// The conversation of a run after its last whole turn, to go on with in the next one. `None`
    /// before the first turn with calls, or the end.
    ///
    /// # Errors
    /// `run_not_found`, also for another principal's.
    pub fn messages(
        &self,
        principal: &PrincipalId,
        run: &RunId,
    ) -> Result<Option<Vec<Message>>, ToolError> {
        self.owned(principal, run)?;
        Ok(self.runs().messages(run))
    }

    /// Stops a run. Its events end with `stopped`.
    ///
    /// # Errors
    /// `run_not_found`, also for another principal's; the store's.
    pub async fn stop(&self, principal: &PrincipalId, run: &RunId) -> Result<JobState, ToolError> {
        let owner = self.owned(principal, run)?;
        self.runner.cancel(principal, &owner.job).await
    }

    /// Tells what a person decided about a call; `place` and `arguments_sha` are those of the
    /// event `approval_wanted`.
    ///
    /// # Errors
    /// `run_not_found`, `approval_not_found`, `already_decided`.
    pub fn decide(
        &self,
        principal: &PrincipalId,
        run: &RunId,
        place: (u32, u32),
        arguments_sha: &str,
        decision: &Decision,
    ) -> Result<(), ToolError> {
        self.owned(principal, run)?;
        self.runs().decide(run, place, arguments_sha, decision)
    }

    fn owned(&self, principal: &PrincipalId, run: &RunId) -> Result<RunOwner, ToolError> {
        self.runs()
            .owner(run)
            .filter(|owner| owner.principal == *principal)
            .ok_or_else(|| not_found(run.as_str()))
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Agent").finish_non_exhaustive()
    }
}
