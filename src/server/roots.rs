//! The folders that an MCP client says its user works in, by `roots/list` (protocol up to
//! 2025-11-25; later ones have no roots).
#![expect(deprecated, reason = "roots are what these clients offer, deprecated or not")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmcp::model::{ClientResult, ListRootsRequest, RequestId, ServerRequest};
use rmcp::service::{OriginatingRequestId, Peer, RoleServer};
use url::Url;

use crate::registry::CallerFolders;

/// How long a client may take. It asks nobody: the folders are those that its user has opened.
const PATIENCE: Duration = Duration::from_secs(5);

/// The roots of a connected client.
pub(super) struct ClientRoots {
    peer: Peer<RoleServer>,
    /// The client's request that is being answered. Over HTTP it decides on which stream the
    /// question travels.
    origin: RequestId,
}

impl ClientRoots {
    /// The roots of this client, when it declared that it has some.
    pub(super) fn of(
        peer: &Peer<RoleServer>,
        origin: &RequestId,
    ) -> Option<Arc<dyn CallerFolders>> {
        peer.peer_info()?.capabilities.roots.as_ref()?;
        Some(Arc::new(Self { peer: peer.clone(), origin: origin.clone() }))
    }
}

impl std::fmt::Debug for ClientRoots {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClientRoots").finish_non_exhaustive()
    }
}

#[async_trait]
impl CallerFolders for ClientRoots {
    async fn folders(&self) -> Option<Vec<PathBuf>> {
        let mut request = ListRootsRequest::default();
        request.extensions.insert(OriginatingRequestId(self.origin.clone()));
        let request = self.peer.send_request(ServerRequest::ListRootsRequest(request));
        let Ok(Ok(ClientResult::ListRootsResult(listed))) =
            tokio::time::timeout(PATIENCE, request).await
        else {
            tracing::debug!("the client declared roots and did not list them");
            return None;
        };
        let folders: Vec<PathBuf> = listed
            .roots
            .iter()
            .filter_map(|root| Url::parse(&root.uri).ok()?.to_file_path().ok())
            .collect();
        // A client without an open folder says nothing about where its user works.
        (!folders.is_empty()).then_some(folders)
    }
}
