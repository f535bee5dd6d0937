//! The content listener and the pages over stores in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use atelier::config::limits::LimitsConfig;
use atelier::config::server::ServerConfig;
use atelier::content_urls::ContentUrls;
use atelier::documents::Documents;
use atelier::installation_key::InstallationKey;
use atelier::registry::Rights;
use atelier::server::content::{
    self, AllowedHosts, CallParts, ContentParts, ContentState, StreamLimits,
};
use atelier::server::pages::{self, BearerCheck, PagesParts, PagesState, Rename};
use atelier::server::ports::serve_until;
use atelier::server::{Metrics, Principals};
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
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use crate::support::studio::{Studio, StudioBuilder};

/// What a test works with.
pub(super) struct Hosting {
    pub(super) catalog: Arc<SqliteCatalog>,
    pub(super) blobs: Blobs,
    pub(super) urls: ContentUrls,
    pub(super) key: InstallationKey,
    pub(super) content: Router,
    pub(super) pages: Router,
    pub(super) studio: Studio,
}

/// What a hosting is made of.
pub(super) struct Parts {
    pub(super) config: ServerConfig,
    pub(super) bearer: Option<BearerCheck>,
    pub(super) studio: StudioBuilder,
    pub(super) limits: LimitsConfig,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            config: ServerConfig::default(),
            bearer: None,
            studio: StudioBuilder::new(),
            limits: LimitsConfig::default(),
        }
    }
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

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// What the scripts of a page are told.
    pub(super) fn bootstrap(&self) -> serde_json::Value {
        let (scripts, _) = self.text().split_once(");</script>").unwrap();
        let (_, json) = scripts.rsplit_once("\n})(").unwrap();
        serde_json::from_str(json).unwrap()
    }

    /// The cookie that came with it, as a browser would send it.
    pub(super) fn cookie(&self) -> &str {
        self.header("set-cookie").split(';').next().unwrap()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// The machine's own user.
pub(super) fn local_user() -> Owner {
    Owner { principal: "local".into(), user: "+17145986105".to_owned() }
}

/// Both listeners on sockets; they end with this value.
pub(super) struct Listening {
    pub(super) pages: SocketAddr,
    content: JoinHandle<()>,
    stop: DropGuard,
}

impl Listening {
    /// Ends both, and waits until the content listener has.
    pub(super) async fn stop(&mut self) {
        let stop = std::mem::replace(&mut self.stop, CancellationToken::new().drop_guard());
        drop(stop);
        (&mut self.content).await.unwrap();
    }
}

impl Hosting {
    pub(super) async fn new() -> Self {
        Self::with(ServerConfig::default(), None).await
    }

    pub(super) async fn with(config: ServerConfig, bearer: Option<BearerCheck>) -> Self {
        Self::made_of(Parts { config, bearer, ..Parts::default() }).await
    }

    pub(super) async fn made_of(parts: Parts) -> Self {
        Self::over(SqliteCatalog::in_memory().await.unwrap(), parts).await
    }

    /// Rows in a file, which others may open.
    pub(super) async fn on_disk(folder: &std::path::Path) -> Self {
        let catalog = SqliteCatalog::open(&folder.join("atelier.db")).await.unwrap();
        Self::over(catalog, Parts::default()).await
    }

    /// Deletes an app as another process would.
    pub(super) async fn delete(&self, folder: &std::path::Path, app: &Document) {
        use sqlx::{ConnectOptions as _, Connection as _};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("atelier.db"));
        let mut database = options.connect().await.unwrap();
        sqlx::query("UPDATE document SET deleted_at = 1 WHERE id = $1")
            .bind(app.id.as_str())
            .execute(&mut database)
            .await
            .unwrap();
        database.close().await.unwrap();
    }

    async fn over(catalog: SqliteCatalog, parts: Parts) -> Self {
        let Parts { config, bearer, studio, limits } = parts;
        let catalog = Arc::new(catalog);
        let blobs = Blobs::in_memory();
        let key = InstallationKey::new("a secret of this test");
        let address = SocketAddr::from(([127, 0, 0, 1], 7411));
        let urls = ContentUrls::new(config.public_base_url.as_ref(), address, key.clone());
        let hosts = AllowedHosts::new(&config, None);
        let studio = studio.on(catalog.clone(), blobs.clone(), urls.clone()).build().await;
        let content = content::router(ContentState::new(ContentParts {
            runs: atelier::agent::runs::Runs::new(std::env::temp_dir().join("no-runs")),
            catalog: catalog.clone(),
            blobs: blobs.clone(),
            urls: urls.clone(),
            key: key.clone(),
            hosts: hosts.clone(),
            frame_ancestors: config.frame_ancestors.clone(),
            calls: CallParts {
                caller: studio.caller.clone(),
                principals: principals(),
                limits,
                metrics: Metrics::new(),
            },
            streams: StreamLimits { per_app: 3, total: 5 },
        }));
        let pages = pages::pages_listener_router(PagesState::new(PagesParts {
            catalog: catalog.clone(),
            urls: urls.clone(),
            hosts,
            key: key.clone(),
            principals: principals(),
            bearer,
            caller: studio.caller.clone(),
            rename: renames(&studio.documents),
        }));
        Self { catalog, blobs, urls, key, content, pages, studio }
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
        self.publish_as(local_user(), name, html, attachments).await
    }

    /// The same with a picture of the version.
    pub(super) async fn publish_pictured(&self, name: &str, html: &str, picture: &[u8]) {
        let thumb_sha = Some(self.blobs.put(picture.to_vec()).await.unwrap());
        let further = |new| NewVersion { thumb_sha, ..new };
        self.publish_version(local_user(), name, html, further).await;
    }

    pub(super) async fn publish_as(
        &self,
        owner: Owner,
        name: &str,
        html: &str,
        attachments: Vec<Attachment>,
    ) -> Document {
        self.publish_version(owner, name, html, |new| NewVersion { attachments, ..new }).await
    }

    /// Publishes a version with whatever else belongs to it.
    pub(super) async fn publish_version(
        &self,
        owner: Owner,
        name: &str,
        html: &str,
        further: impl FnOnce(NewVersion) -> NewVersion,
    ) -> Document {
        let fence = self.job(&owner.principal).await;
        let title = html.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
        let new = NewVersion {
            owner,
            kind: DocumentKind::WebApp,
            name: name.to_owned(),
            document: keys::document_id(),
            token: keys::content_token().unwrap(),
            expected_document: None,
            expected_head: None,
            blob_sha: self.blobs.put(html.as_bytes().to_vec()).await.unwrap(),
            source_sha: None,
            bytes: i64::try_from(html.len()).unwrap(),
            title: title.map(|(title, _)| title.to_owned()),
            facts: "{}".to_owned(),
            attachments: Vec::new(),
            tool_names: None,
            thumb_sha: None,
        };
        self.catalog.publish_version(&fence, further(new)).await.unwrap().document
    }

    /// Publishes a version of the local user's PDF document, with a picture.
    pub(super) async fn publish_pdf(&self, name: &str, pdf: &[u8], html: &str) -> Document {
        let owner = Owner { principal: "local".into(), user: "+17145986105".to_owned() };
        let fence = self.job(&owner.principal).await;
        let new = NewVersion {
            owner,
            kind: DocumentKind::Pdf,
            name: name.to_owned(),
            document: keys::document_id(),
            token: keys::content_token().unwrap(),
            expected_document: None,
            expected_head: None,
            blob_sha: self.blobs.put(pdf.to_vec()).await.unwrap(),
            source_sha: Some(self.blobs.put(html.as_bytes().to_vec()).await.unwrap()),
            bytes: i64::try_from(pdf.len()).unwrap(),
            title: None,
            facts: "{}".to_owned(),
            attachments: Vec::new(),
            tool_names: None,
            thumb_sha: Some(self.blobs.put(b"RIFF....WEBP".to_vec()).await.unwrap()),
        };
        self.catalog.publish_version(&fence, new).await.unwrap().document
    }

    /// A running job of this principal.
    pub(super) async fn job(&self, principal: &PrincipalId) -> atelier::storage::Fence {
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

    /// Posts a text to the content listener.
    pub(super) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "127.0.0.1:7411")
            .header("origin", "null")
            .header("content-type", "text/plain;charset=UTF-8")
            .body(body.into())
            .unwrap();
        read(self.content.clone().oneshot(request).await.unwrap()).await
    }

    /// Asks the pages.
    pub(super) async fn page(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        send(&self.pages, Method::GET, path, headers).await
    }

    /// Opens both listeners on sockets and tells everybody where they are.
    pub(super) async fn listen(&self) -> Listening {
        self.listen_again("127.0.0.1:0").await
    }

    /// The same with the content listener at an address.
    pub(super) async fn listen_again(&self, address: &str) -> Listening {
        let cancel = CancellationToken::new();
        let listener = TcpListener::bind(address).await.unwrap();
        self.urls.set_content_address(listener.local_addr().unwrap());
        let content = tokio::spawn(serve_until(listener, self.content.clone(), cancel.clone()));
        let pages = open(self.pages.clone(), &cancel).await;
        self.urls.set_pages_address(pages);
        Listening { pages, content, stop: cancel.drop_guard() }
    }

    /// Waits until nobody listens to an app: then all of its three places can be had.
    pub(super) async fn until_streams_are_free(&self, token: &str) {
        loop {
            let mut held = Vec::new();
            for _ in 0..3 {
                let request = Request::builder()
                    .uri(format!("/a/{token}/events"))
                    .header("host", "127.0.0.1:7411")
                    .body(Body::empty())
                    .unwrap();
                held.push(self.content.clone().oneshot(request).await.unwrap());
            }
            if held.iter().all(|response| response.status() == StatusCode::OK) {
                return;
            }
            drop(held);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Those who may use the server.
fn principals() -> Principals {
    Principals::with(["local", "anna"].map(|name| (name.into(), Rights::default())))
}

/// How the gallery renames.
fn renames(documents: &Arc<Documents>) -> Rename {
    let documents = Arc::clone(documents);
    Arc::new(move |wish| {
        let documents = Arc::clone(&documents);
        Box::pin(async move {
            let renamed =
                documents.rename(&wish.owner, wish.kind, &wish.name, &wish.new_name).await;
            renamed.map_err(Into::into)
        })
    })
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
    send_body(router, method, path, headers, "").await
}

/// The same with a body.
pub(super) async fn send_body(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:7411");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).unwrap();
    read(router.clone().oneshot(request).await.unwrap()).await
}

async fn read(response: axum::response::Response) -> Answer {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}
