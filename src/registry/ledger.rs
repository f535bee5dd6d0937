//! Results of the calls that a running program makes, written down together.
//!
//! A call from outside is written down before it is answered. A program that makes hundreds of calls
//! would wait for the disk each time, for rows that nobody else can know of while it runs: the ids are
//! told to the program alone until its own result names them. So its results wait in memory, and are
//! written in one transaction when there are many, when a call mentions one of them, and before the
//! program's own result is told. If the process dies first, the program dies with it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::error::ToolError;
use crate::storage::{CallBatch, CallId, Catalog, DoneCall, PrincipalId, keys};

/// So many calls are written down one by one: most programs make no more.
const SINGLE: u32 = 4;
/// Ids that are reserved together, and results that are written together, at first.
const BLOCK: u32 = 64;
/// The same for programs that have made more calls than [`BLOCK`].
const LARGE_BLOCK: u32 = 192;
/// How often a block of new ids is tried before the store must be at fault.
const TRIES: usize = 16;

/// The results of one program's calls. Cheap calls leave them here; [`Ledger::close`] belongs to
/// whoever made it.
pub struct Ledger {
    catalog: Arc<dyn Catalog>,
    principal: PrincipalId,
    ttl_ms: i64,
    state: Mutex<State>,
    /// Held while rows are written.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    calls: u32,
    /// Reserved, and not in use.
    free: Vec<CallId>,
    /// In use by a call that has no result yet, or never will.
    open: HashSet<CallId>,
    done: Vec<DoneCall>,
    /// Fetches a block beside the program.
    fetching: Option<JoinHandle<()>>,
    /// Ids of the results that wait here or are being written.
    waiting: HashSet<CallId>,
}

impl Ledger {
    /// An empty ledger; results stay open to references for this time.
    pub fn new(catalog: Arc<dyn Catalog>, principal: PrincipalId, ttl_ms: i64) -> Arc<Self> {
        let (state, turn) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Arc::new(Self { catalog, principal, ttl_ms, state, turn })
    }

    /// The id for a call whose result will be [kept](Self::keep) here. `None`: it is to be written
    /// down at once, as any other.
    ///
    /// # Errors
    /// The store's.
    pub async fn id(self: &Arc<Self>) -> Result<Option<CallId>, ToolError> {
        for attempt in 0..TRIES {
            let block = {
                let mut state = self.state();
                if attempt == 0 {
                    state.calls = state.calls.saturating_add(1);
                }
                if state.calls <= SINGLE {
                    return Ok(None);
                }
                let block = if state.calls > BLOCK { LARGE_BLOCK } else { BLOCK };
                if let Some(id) = state.free.pop() {
                    state.open.insert(id.clone());
                    let is_fetching =
                        state.fetching.as_ref().is_some_and(|task| !task.is_finished());
                    // While the program uses up the rest, the disk is ready for more.
                    if state.free.len() < low(block) && !is_fetching {
                        state.fetching = Some(self.fetch(block));
                    }
                    return Ok(Some(id));
                }
                block
            };
            self.write(block).await?;
        }
        Err(ToolError::internal("no free call id was found"))
    }

    /// Fetches the next block beside the program. When that fails, whoever finds no id left tries
    /// again and tells why.
    fn fetch(self: &Arc<Self>, block: u32) -> JoinHandle<()> {
        let ledger = Arc::clone(self);
        tokio::spawn(async move {
            let _ = ledger.write_all(block).await;
        })
    }

    /// Takes the result of a call whose id came from here; gives it back when the id did not.
    pub fn keep(&self, call: DoneCall) -> Option<DoneCall> {
        let mut state = self.state();
        if !state.open.remove(&call.id) {
            return Some(call);
        }
        state.waiting.insert(call.id.clone());
        state.done.push(call);
        None
    }

    /// Writes what waits, if these arguments name any of it.
    ///
    /// # Errors
    /// The store's; nothing is lost by it.
    pub async fn settle_mentioned(self: &Arc<Self>, arguments: &Value) -> Result<(), ToolError> {
        let mentioned = {
            let state = self.state();
            !state.waiting.is_empty() && mentions(arguments, &state.waiting)
        };
        if mentioned { self.write(0).await } else { Ok(()) }
    }

    /// Writes what waits and gives back what was reserved.
    ///
    /// # Errors
    /// The store's; it can be tried again.
    pub async fn close(self: &Arc<Self>) -> Result<(), ToolError> {
        if self.state().calls <= SINGLE {
            return Ok(());
        }
        // What it still reserves has to be given back too.
        let fetching = self.state().fetching.take();
        if let Some(task) = fetching {
            let _ = task.await;
        }
        self.write(0).await?;
        let release: Vec<CallId> = {
            let mut state = self.state();
            let open: Vec<CallId> = state.open.drain().collect();
            state.free.drain(..).chain(open).collect()
        };
        if !release.is_empty() {
            let batch = CallBatch { release, ..self.batch() };
            self.catalog.write_calls(batch).await?;
        }
        Ok(())
    }

    /// In a task of its own: when the call that asks for it is stopped, the results of others must
    /// not go with it.
    async fn write(self: &Arc<Self>, reserve: u32) -> Result<(), ToolError> {
        let ledger = Arc::clone(self);
        let work = tokio::spawn(async move { ledger.write_all(reserve).await });
        work.await.unwrap_or_else(|error| {
            Err(ToolError::internal(&format!("writing down calls ended: {error}")))
        })
    }

    async fn write_all(&self, reserve: u32) -> Result<(), ToolError> {
        let _turn = self.turn.lock().await;
        let done = {
            let mut state = self.state();
            if reserve > 0 && state.free.len() >= low(reserve) {
                // Somebody else reserved meanwhile.
                return Ok(());
            }
            std::mem::take(&mut state.done)
        };
        if reserve == 0 && done.is_empty() {
            return Ok(());
        }
        let written = match keys::call_ids(reserve) {
            Ok(reserve) => {
                let batch = CallBatch { reserve, done: done.clone(), ..self.batch() };
                self.catalog.write_calls(batch).await
            }
            Err(error) => Err(error),
        };
        let mut state = self.state();
        match written {
            Ok(reserved) => {
                for call in &done {
                    state.waiting.remove(&call.id);
                }
                state.free.extend(reserved);
                Ok(())
            }
            Err(error) => {
                let later = std::mem::replace(&mut state.done, done);
                state.done.extend(later);
                Err(error.into())
            }
        }
    }

    fn batch(&self) -> CallBatch {
        CallBatch {
            principal: self.principal.clone(),
            ttl_ms: self.ttl_ms,
            reserve: Vec::new(),
            done: Vec::new(),
            release: Vec::new(),
        }
    }

    /// A panic while it was held cannot leave it inconsistent: entries are whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With fewer ids left, the next block of this size is fetched.
const fn low(block: u32) -> usize {
    block as usize / 2
}

/// Whether one of the ids stands anywhere in a value's strings.
fn mentions(value: &Value, ids: &HashSet<CallId>) -> bool {
    match value {
        Value::String(text) => text.as_bytes().windows(8).any(|window| {
            window.iter().all(u8::is_ascii_hexdigit)
                && std::str::from_utf8(window)
                    .is_ok_and(|text| ids.contains(&CallId(text.to_ascii_lowercase())))
        }),
        Value::Array(items) => items.iter().any(|item| mentions(item, ids)),
        Value::Object(object) => object.values().any(|item| mentions(item, ids)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ledger").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_found_wherever_they_stand() {
        let ids = HashSet::from([CallId("0a1b2c3d".into())]);
        for value in [
            json!({"file": "@@ref_0a1b2c3d__result"}),
            json!({"deep": [{"call_id": "0A1B2C3D"}]}),
            json!("text before 0a1b2c3d and behind"),
        ] {
            assert!(mentions(&value, &ids), "{value}");
        }
        for value in [json!({"0a1b2c3d": 1}), json!("0a1b2c3e"), json!("0a1b2c3"), json!(12)] {
            assert!(!mentions(&value, &ids), "{value}");
        }
    }
}
