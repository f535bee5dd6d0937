//! Tells clients that their list of tools is another one now.
//!
//! The tools of other servers stand behind `search_tools` and `call_tool`, so that as a rule the list
//! stays as it is. Only those that are exposed stand in it themselves, and come and go with their
//! servers. Each client hears of its own list alone: what another principal starts is none of its
//! business, and a change that leaves its list as it is, is none.

use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::service::Peer;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::door::Door;
use crate::registry::Rights;

/// How often it is looked whether a session still is.
const REST: Duration = Duration::from_mins(1);

/// Follows the lists of clients in sessions; dropped, it ends.
pub(super) struct Followers {
    tasks: TaskTracker,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Default for Followers {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { tasks: TaskTracker::new(), _guard: stop.clone().drop_guard(), stop }
    }
}

impl Followers {
    /// Tells a client of each change of its list, as long as it can be told.
    pub(super) fn follow(&self, door: &Arc<Door>, rights: Rights, peer: Peer<RoleServer>) {
        let (door, stop) = (Arc::clone(door), self.stop.clone());
        self.tasks.spawn(async move {
            let Some(mut list) = WatchedList::new(&door, rights) else { return };
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = list.changed() => if !changed { return },
                    // Nobody says when a session ends.
                    () = tokio::time::sleep(REST) => {
                        if peer.is_transport_closed() {
                            return;
                        }
                        continue;
                    }
                }
                if peer.is_transport_closed() || peer.notify_tool_list_changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The list of one client.
pub(super) struct WatchedList {
    door: Arc<Door>,
    rights: Rights,
    changes: tokio::sync::watch::Receiver<()>,
    names: Vec<String>,
}

impl WatchedList {
    /// The list as it is now; `None` when it never changes.
    pub(super) fn new(door: &Arc<Door>, rights: Rights) -> Option<Self> {
        let changes = door.app.registry.catalog_changes()?;
        let mut list = Self { door: Arc::clone(door), rights, changes, names: Vec::new() };
        list.names = list.now();
        Some(list)
    }

    fn now(&self) -> Vec<String> {
        let tools = self.door.app.registry.exposed_tools(&self.rights);
        tools.iter().map(|tool| tool.name.clone()).collect()
    }

    /// Waits until it is another one; `false` when it stays as it is for good.
    pub(super) async fn changed(&mut self) -> bool {
        loop {
            if self.changes.changed().await.is_err() {
                return false;
            }
            let now = self.now();
            if now != self.names {
                self.names = now;
                return true;
            }
        }
    }
}
