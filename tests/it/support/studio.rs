//! A workshop with the tools of documents and of the agent, whose host writes the texts.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use async_trait::async_trait;
use atelier::agent::AskAi;
use atelier::browser::{Chrome, Renderer};
use atelier::config::browser::BrowserConfig;
use atelier::content_urls::ContentUrls;
use atelier::documents::address::AddressPolicy;
use atelier::documents::fetch::{FetchLimits, Fetcher, Resolve};
use atelier::documents::verification::Verifier;
use atelier::documents::{Attachments, DocumentParts, Documents, LinkLife};
use atelier::installation_key::InstallationKey;
use atelier::llm::LanguageModel;
use atelier::llm::resolve::Models;
use atelier::prompts::Prompts;
use atelier::registry::{CallContext, CallOutcome, Caller, Origin, Tool};
use atelier::storage::blobs::Blobs;
use atelier::storage::{Catalog, PrincipalId, Version};
use serde_json::{Value, json};

use super::pdf::Pdf;
use super::workshop::{Workshop, WorkshopBuilder};

/// A page that a model could write.
pub(crate) const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Tip Calculator</title></head><body><h1>Tips</h1></body></html>";

/// Where the studio's content is said to be.
pub(crate) const CONTENT: &str = "http://127.0.0.1:7411";

/// Names of hosts and their addresses, counting every question.
#[derive(Default)]
pub(crate) struct Hosts {
    table: Mutex<HashMap<String, Vec<IpAddr>>>,
    questions: AtomicUsize,
}

impl Hosts {
    /// Gives a host its addresses.
    pub(crate) fn set(&self, host: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.table.lock().unwrap().insert(host.to_owned(), addresses);
    }

    /// How often anything was looked up.
    pub(crate) fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolve for Hosts {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let table = self.table.lock().unwrap();
        table.get(host).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Collects what a studio is made from.
pub(crate) struct StudioBuilder {
    exceptions: Vec<SocketAddr>,
    limits: FetchLimits,
    page_bytes: usize,
    link_life: LinkLife,
    browser: BrowserConfig,
    renderer: Option<(Arc<dyn Renderer>, BrowserConfig)>,
    stores: Option<(Arc<dyn Catalog>, Blobs)>,
    urls: Option<ContentUrls>,
    models: Arc<Models>,
    further_tools: Vec<Tool>,
    opened: Vec<String>,
}

/// Documents and the agent on stores in memory.
pub(crate) struct Studio {
    pub(crate) workshop: Workshop,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) caller: Caller,
    pub(crate) documents: Arc<Documents>,
    /// Starts when something is printed, and ends with the studio.
    pub(crate) chrome: Arc<Chrome>,
}

impl StudioBuilder {
    /// A studio that reaches nothing.
    pub(crate) fn new() -> Self {
        // Far beyond any machine's slowness: tests of the limit set it themselves.
        let limits =
            FetchLimits { total: std::time::Duration::from_mins(2), ..FetchLimits::default() };
        Self {
            exceptions: Vec::new(),
            limits,
            page_bytes: 2 * 1024 * 1024,
            link_life: LinkLife::Lasting,
            // A test has a browser to itself, and the machine is busy with other tests.
            browser: BrowserConfig { deadline_s: 120.0, load_s: 60.0, ..BrowserConfig::default() },
            renderer: None,
            stores: None,
            urls: None,
            models: Arc::new(Models::default()),
            further_tools: Vec::new(),
            opened: Vec::new(),
        }
    }

    /// Opens pages in this browser before they are published; without one they are not checked.
    pub(crate) fn renderer(mut self, renderer: &Arc<Chrome>, config: &BrowserConfig) -> Self {
        self.renderer = Some((Arc::clone(renderer) as Arc<dyn Renderer>, config.clone()));
        self
    }

    /// On stores that are there already, with these addresses.
    pub(crate) fn on(mut self, catalog: Arc<dyn Catalog>, blobs: Blobs, urls: ContentUrls) -> Self {
        self.stores = Some((catalog, blobs));
        self.urls = Some(urls);
        self
    }

    /// Models that may answer.
    pub(crate) fn models(mut self, models: Arc<Models>) -> Self {
        self.models = models;
        self
    }

    /// Adds tools.
    pub(crate) fn tools(mut self, tools: Vec<Tool>) -> Self {
        self.further_tools = tools;
        self
    }

    /// Opens closed tools to pages.
    pub(crate) fn open_to_pages(mut self, names: &[&str]) -> Self {
        self.opened = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Lets it reach a server of the test.
    pub(crate) fn reaching(mut self, server: SocketAddr) -> Self {
        self.exceptions.push(server);
        self
    }

    /// Changes the limits of attachments.
    pub(crate) fn limits(mut self, change: impl FnOnce(&mut FetchLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Caps pages.
    pub(crate) fn page_bytes(mut self, page_bytes: usize) -> Self {
        self.page_bytes = page_bytes;
        self
    }

    /// Says how long links work.
    pub(crate) fn link_life(mut self, link_life: LinkLife) -> Self {
        self.link_life = link_life;
        self
    }

    /// Changes the settings of Chrome.
    pub(crate) fn browser(mut self, change: impl FnOnce(&mut BrowserConfig)) -> Self {
        change(&mut self.browser);
        self
    }

    /// Builds it.
    pub(crate) async fn build(self) -> Studio {
        let (catalog, blobs) = if let Some(stores) = self.stores {
            stores
        } else {
            let stores = WorkshopBuilder::new(Vec::new()).build().await;
            (stores.catalog, stores.blobs)
        };
        let hosts = Arc::new(Hosts::default());
        let policy = self
            .exceptions
            .into_iter()
            .fold(AddressPolicy::public_only(), AddressPolicy::with_exception);
        let resolver: Arc<dyn Resolve> = hosts.clone();
        let fetcher = Fetcher::with(resolver, policy, self.limits);
        let urls = self.urls.unwrap_or_else(|| {
            ContentUrls::new(None, CONTENT_ADDRESS.parse().unwrap(), InstallationKey::new("x"))
        });
        let prompts = Arc::new(Prompts::load(None).unwrap());
        let attachments =
            Attachments::new(fetcher, Arc::clone(&catalog), blobs.clone(), urls.clone());
        let caller = Caller::new();
        let chrome = Arc::new(Chrome::new(&self.browser, Vec::new()));
        let documents = Arc::new(Documents::new(DocumentParts {
            catalog: Arc::clone(&catalog),
            blobs: blobs.clone(),
            prompts: Arc::clone(&prompts),
            attachments,
            urls,
            link_life: self.link_life,
            page_bytes: self.page_bytes,
            verifier: match self.renderer {
                Some((renderer, config)) => Verifier::new(renderer, blobs.clone(), &config),
                None => Verifier::off(blobs.clone()),
            },
            tools: caller.clone(),
            renderer: Arc::clone(&chrome) as _,
        }));
        let mut tools = atelier::documents::tools::tools(&documents);
        tools.extend(atelier::agent::tools::tools(&Arc::new(AskAi::new(prompts))));
        tools.extend(self.further_tools);
        let workshop = WorkshopBuilder::new(tools)
            .on(catalog, blobs)
            .models(self.models)
            .server(|server| server.open_to_pages = self.opened)
            .build()
            .await;
        caller.bind(&workshop.registry);
        Studio { workshop, hosts, caller, documents, chrome }
    }
}

const CONTENT_ADDRESS: &str = "127.0.0.1:7411";

/// An answer of the studio, with fields at hand.
pub(crate) struct Reply(pub(crate) CallOutcome);

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}", self.0.structured)
    }
}

impl Reply {
    /// A field that is text.
    #[track_caller]
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0.structured[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {self:?}"))
    }

    /// A field.
    pub(crate) fn field(&self, key: &str) -> &Value {
        &self.0.structured[key]
    }

    /// The user's part of the prompt that the host is asked to answer.
    #[track_caller]
    pub(crate) fn prompt(&self) -> &str {
        assert_eq!(self.text("status"), "needs_completion", "{self:?}");
        self.field("prompt")["user"].as_str().unwrap()
    }

    /// Texts of a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Vec<&str> {
        let list = self.field(key).as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().map(|item| item.as_str().unwrap()).collect()
    }

    /// The code of an error.
    #[track_caller]
    pub(crate) fn code(&self) -> &str {
        assert!(self.0.is_error, "no error: {self:?}");
        self.text("code")
    }
}

impl Studio {
    /// Calls a tool as a principal.
    pub(crate) async fn call_as(&self, principal: &str, tool: &str, arguments: Value) -> Reply {
        let context = CallContext::new(PrincipalId::from(principal), Origin::Client);
        Reply(self.workshop.registry.call(tool, arguments, context).await)
    }

    /// Calls a tool as `ann`, whose client offers a model of its own.
    pub(crate) async fn call_with(
        &self,
        model: Arc<dyn LanguageModel>,
        tool: &str,
        arguments: Value,
    ) -> Reply {
        let mut context = CallContext::new(PrincipalId::from("ann"), Origin::Client);
        context.models.sampling = Some(model);
        Reply(self.workshop.registry.call(tool, arguments, context).await)
    }

    /// Calls a tool as `ann`.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.call_as("ann", tool, arguments).await
    }

    /// Hands in the text that an answer asks for.
    pub(crate) async fn answer(&self, asked: &Reply, text: &str) -> Reply {
        let handle = asked.text("handle");
        self.call("submit_completion", json!({"handle": handle, "text": text})).await
    }

    /// Calls a tool as `ann` and answers its questions in turn.
    pub(crate) async fn play(&self, tool: &str, arguments: Value, texts: &[&str]) -> Reply {
        let mut reply = self.call(tool, arguments).await;
        for text in texts {
            reply = self.answer(&reply, text).await;
        }
        reply
    }

    /// The names in `ann`'s list, newest first.
    pub(crate) async fn names(&self) -> Vec<String> {
        self.names_as("ann", json!({})).await
    }

    /// The names in a principal's list.
    pub(crate) async fn names_as(&self, principal: &str, arguments: Value) -> Vec<String> {
        let list = self.call_as(principal, "list_web_apps", arguments).await;
        let apps = list.field("web_apps").as_array().unwrap_or_else(|| panic!("{list:?}"));
        apps.iter().map(|app| app["app_name"].as_str().unwrap().to_owned()).collect()
    }

    /// A version of a PDF document with its row, by its URL.
    pub(crate) async fn pdf(&self, url: &str, version: i64) -> (Pdf, Version) {
        let file = url.rsplit('/').next().unwrap();
        let token = file.strip_suffix(".pdf").unwrap_or_else(|| panic!("{url}"));
        let catalog = &self.workshop.catalog;
        let document = catalog.document_by_token(token).await.unwrap().unwrap();
        let version = catalog.version(&document.id, version).await.unwrap().unwrap();
        let bytes = self.workshop.blobs.get(&version.blob_sha).await.unwrap().to_vec();
        (Pdf::read(bytes), version)
    }

    /// The HTML source of a version of a PDF document.
    pub(crate) async fn source(&self, version: &Version) -> String {
        let source = version.source_sha.as_ref().expect("a PDF without its source");
        let bytes = self.workshop.blobs.get(source).await.unwrap().to_vec();
        String::from_utf8(bytes).unwrap()
    }

    /// The bytes of a version, by the app's URL.
    pub(crate) async fn page(&self, url: &str, version: i64) -> Vec<u8> {
        let token = url.trim_end_matches('/').rsplit('/').next().unwrap();
        let catalog = &self.workshop.catalog;
        let document = catalog.document_by_token(token).await.unwrap().unwrap();
        let version = catalog.version(&document.id, version).await.unwrap().unwrap();
        self.workshop.blobs.get(&version.blob_sha).await.unwrap().to_vec()
    }
}
