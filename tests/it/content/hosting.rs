//! The content listener and the pages over stores in memory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use atelier::config::server::ServerConfig;
use atelier::content_urls::ContentUrls;
use atelier::installation_key::InstallationKey;
use atelier::server::content::{self, AllowedHosts, ContentParts, ContentState};
use atelier::server::pages::{self, BearerCheck, PagesParts, PagesState};
use atelier::server::ports::serve_until;
use atelier::storage::blobs::Blobs;
use atelier::storage::sqlite::SqliteCatalog;
use atelier::storage::{
    Attachment, CallId, Catalog as _, Document, DocumentKind, InsertedJob, JobMode, NewJob,
    NewVersion, Owner, PrincipalId, keys,
};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

/// What a test works with.
pub(super) struct Hosting {
    pub(super) catalog: Arc<SqliteCatalog>,
    pub(super) blobs: Blobs,
    pub(super) urls: ContentUrls,
    pub(super) key: InstallationKey,
    pub(super) content: Router,
    pub(super) pages: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Both listeners on sockets; they end with this value.
pub(super) struct Listening {
    pub(super) pages: SocketAddr,
    _stop: DropGuard,
}

impl Hosting {
    pub(super) async fn new() -> Self {
        Self::with(ServerConfig::default(), None).await
    }

    pub(super) async fn with(config: ServerConfig, bearer: Option<BearerCheck>) -> Self {
        let catalog = Arc::new(SqliteCatalog::in_memory().await.unwrap());
        let blobs = Blobs::in_memory();
        let key = InstallationKey::new("a secret of this test");
        let address = SocketAddr::from(([127, 0, 0, 1], 7411));
        let urls = ContentUrls::new(config.public_base_url.as_ref(), address, key.clone());
        let hosts = AllowedHosts::new(&config, None);
        let content = content::router(ContentState::new(ContentParts {
            catalog: catalog.clone(),
            blobs: blobs.clone(),
            urls: urls.clone(),
            hosts: hosts.clone(),
            frame_ancestors: config.frame_ancestors.clone(),
        }));
        let pages = pages::pages_listener_router(PagesState::new(PagesParts {
            catalog: catalog.clone(),
            urls: urls.clone(),
            hosts,
            key: key.clone(),
            principals: BTreeSet::from(["local".into(), "anna".into()]),
            bearer,
        }));
        Self { catalog, blobs, urls, key, content, pages }
    }

    /// Publishes a version of the local user's app.
    pub(super) async fn publish(&self, name: &str, html: &str) -> Document {
        self.publish_with(name, html, Vec::new()).await
    }

    /// The same with attachments.
    pub(super) async fn publish_with(
        &self,
        name: &str,
        html: &str,
        attachments: Vec<Attachment>,
    ) -> Document {
        let owner = Owner { principal: "local".into(), user: "+17145986105".to_owned() };
        self.publish_as(owner, name, html, attachments).await
    }

    pub(super) async fn publish_as(
        &self,
        owner: Owner,
        name: &str,
        html: &str,
        attachments: Vec<Attachment>,
    ) -> Document {
        let fence = self.job(&owner.principal).await;
        let title = html.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
        let new = NewVersion {
            owner,
            kind: DocumentKind::WebApp,
            name: name.to_owned(),
            document: keys::document_id(),
            token: keys::content_token().unwrap(),
            expected_head: None,
            blob_sha: self.blobs.put(html.as_bytes().to_vec()).await.unwrap(),
            source_sha: None,
            bytes: i64::try_from(html.len()).unwrap(),
            title: title.map(|(title, _)| title.to_owned()),
            facts: "{}".to_owned(),
            attachments,
            tool_names: None,
            thumb_sha: None,
        };
        self.catalog.publish_version(&fence, new).await.unwrap().document
    }

    async fn job(&self, principal: &PrincipalId) -> atelier::storage::Fence {
        let new = NewJob {
            id: keys::job_id(),
            principal: principal.clone(),
            key: None,
            tool: "create_web_app".to_owned(),
            args_sha: self.blobs.put_json(&()).await.unwrap(),
            call_id: CallId::from("00000000"),
            mode: JobMode::Plain,
            owner: "test".to_owned(),
            lease_ms: 60_000,
        };
        match self.catalog.insert_job(new).await.unwrap() {
            InsertedJob::New(job) | InsertedJob::Existing(job) => job.fence(),
        }
    }

    /// Stores a file for an app that is published with it.
    pub(super) async fn file(&self, name: &str, media_type: &str, bytes: &[u8]) -> Attachment {
        Attachment {
            sha: self.blobs.put(bytes.to_vec()).await.unwrap(),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            bytes: i64::try_from(bytes.len()).unwrap(),
        }
    }

    /// Asks the content listener.
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    /// Asks the content listener with headers.
    pub(super) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        send(&self.content, method, path, headers).await
    }

    /// Asks the pages.
    pub(super) async fn page(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        send(&self.pages, Method::GET, path, headers).await
    }

    /// Opens both listeners on sockets and tells everybody where they are.
    pub(super) async fn listen(&self) -> Listening {
        let cancel = CancellationToken::new();
        let content = open(self.content.clone(), &cancel).await;
        let pages = open(self.pages.clone(), &cancel).await;
        self.urls.set_content_address(content);
        self.urls.set_pages_address(pages);
        Listening { pages, _stop: cancel.drop_guard() }
    }
}

/// Serves routes on a free port of loopback until the token fires.
pub(super) async fn open(router: Router, cancel: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_until(listener, router, cancel.clone()));
    address
}

/// Sends a request to routes without a socket. `Host` is loopback unless given.
pub(super) async fn send(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:7411");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}
