//! A house: the program with a scripted model on its real wire, its pages and hosted apps on
//! sockets, and a client that is no browser.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use atelier::app::{App, Ports};
use atelier::browser::Chrome;
use atelier::config::{Config, Secret};
use atelier::documents::LinkLife;
use atelier::documents::fetch::Fetcher;
use atelier::llm::resolve::{Models, system_calendar};
use atelier::registry::{Rights, Tool};
use atelier::server::Principals;
use atelier::server::content::{
    self, AllowedHosts, CallParts, ContentParts, ContentState, StreamLimits,
};
use atelier::server::pages::{PagesParts, PagesState, Rename, chat_router, pages_listener_router};
use atelier::server::ports::serve_until;
use atelier::storage::blobs::Blobs;
use atelier::storage::sqlite::SqliteCatalog;
use axum::Router;
use fake_llm::{FakeLlm, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::browser::Page;

/// Longest wait for anything; only a defect reaches it.
const PATIENCE: Duration = Duration::from_mins(1);
/// The model that is configured.
pub(super) const MODEL: &str = "gpt-4.1-2025-04-14";

/// The program under test.
pub(super) struct House {
    pub(super) app: Arc<App>,
    pub(super) llm: Option<FakeLlm>,
    pub(super) pages: SocketAddr,
    pub(super) content: SocketAddr,
    _folder: tempfile::TempDir,
    _stop: DropGuard,
}

impl House {
    /// With a model that answers by a script.
    pub(super) async fn with(script: Script) -> Self {
        Self::with_tools(script, Vec::new()).await
    }

    /// With a model and further tools.
    pub(super) async fn with_tools(script: Script, tools: Vec<Tool>) -> Self {
        let llm = FakeLlm::start(script).await.unwrap();
        Self::open(Some(llm), tools).await
    }

    /// With nobody who answers.
    pub(super) async fn without_model() -> Self {
        Self::open(None, Vec::new()).await
    }

    async fn open(llm: Option<FakeLlm>, further_tools: Vec<Tool>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = folder.path().join("data");
        config.browser.verify = false;
        // Nothing listens on the usual ports of local models.
        let nowhere: url::Url = "http://127.0.0.1:9".parse().unwrap();
        config.llm.timeouts.connect_s = 2.0;
        let mut models = Models::new(&config.llm, system_calendar()).unwrap();
        if let Some(llm) = &llm {
            config.llm.openai_api_key = Some(Secret::new("test-key".to_owned()));
            config.llm.openai_base_url = Some(llm.base_url().parse().unwrap());
            config.llm.default_model = Some(MODEL.to_owned());
            models = Models::new(&config.llm, system_calendar()).unwrap();
        }
        let models = models.with_local_servers(nowhere.clone(), nowhere);
        let ports = Ports {
            catalog: Arc::new(SqliteCatalog::in_memory().await.unwrap()),
            blobs: Blobs::in_memory(),
            models: Arc::new(models),
            fetcher: Fetcher::new(),
            renderer: Arc::new(Chrome::new(&config.browser, Vec::new())),
            sandbox: Arc::new(crate::sandbox::support::sandbox()),
            further_tools,
        };
        let app = App::with_ports(config, ports, LinkLife::Lasting).await.unwrap();
        app.runner.start_background();
        let cancel = CancellationToken::new();
        let hosts = AllowedHosts::new(&app.config.server, None);
        let principals = Principals::with([
            ("local".into(), Rights::default()),
            ("anna".into(), Rights::default()),
        ]);
        let content = serve(
            content::router(ContentState::new(ContentParts {
                catalog: Arc::clone(&app.catalog),
                blobs: app.blobs.clone(),
                runs: app.agent.engine().runs().clone(),
                urls: app.urls.clone(),
                key: app.key.clone(),
                hosts: hosts.clone(),
                frame_ancestors: Vec::new(),
                streams: StreamLimits::default(),
                calls: CallParts {
                    caller: app.caller.clone(),
                    principals: principals.clone(),
                    limits: app.config.limits.clone(),
                    metrics: Arc::clone(&app.metrics),
                },
            })),
            &cancel,
        )
        .await;
        app.urls.set_content_address(content);
        let renames = Arc::clone(&app);
        let rename: Rename = Arc::new(move |wish| {
            let app = Arc::clone(&renames);
            Box::pin(async move {
                app.rename_document(&wish.owner, wish.kind, &wish.name, &wish.new_name).await
            })
        });
        let state = PagesState::new(PagesParts {
            catalog: Arc::clone(&app.catalog),
            urls: app.urls.clone(),
            hosts,
            key: app.key.clone(),
            principals,
            bearer: None,
            caller: app.caller.clone(),
            rename,
        });
        let chat = chat_router(state.clone(), Arc::clone(&app.chat));
        let pages = serve(pages_listener_router(state).merge(chat), &cancel).await;
        app.urls.set_pages_address(pages);
        Self { app, llm, pages, content, _folder: folder, _stop: cancel.drop_guard() }
    }

    /// A link that opens the chat.
    pub(super) async fn link(&self, principal: &str) -> String {
        let key = self.app.chat.new_link(&principal.into()).await.unwrap();
        format!("http://{}/chat?key={key}", self.pages)
    }

    /// A client that was let in.
    pub(super) async fn client(&self, principal: &str) -> Client {
        let link = self.link(principal).await;
        let path = link.split_once(&self.pages.to_string()).unwrap().1.to_owned();
        let mut client = Client { address: self.pages, cookie: String::new(), word: String::new() };
        let opened = client.send("GET", &path, &[], b"").await;
        assert_eq!((opened.status, opened.header("location")), (303, "chat"), "{opened:?}");
        let cookie = opened.header("set-cookie");
        for part in ["; Path=/chat", "; HttpOnly", "; SameSite=Strict"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        client.cookie = cookie.split(';').next().unwrap().to_owned();
        let page = client.get("/chat").await;
        assert_eq!(page.status, 200);
        let mark = "<meta name=\"atelier-action\" content=\"";
        let word = page.text().split_once(mark).unwrap().1.split('"').next().unwrap().to_owned();
        client.word = word;
        client
    }

    /// What the model was asked, as text, newest last.
    pub(super) fn asked(&self) -> Vec<String> {
        let requests = self.llm.as_ref().unwrap().model_requests();
        requests.into_iter().map(|request| request.body_text).collect()
    }
}

async fn serve(router: Router, cancel: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_until(listener, router, cancel.clone()));
    address
}

/// A client on a plain socket.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) cookie: String,
    pub(super) word: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
            .unwrap_or_default()
    }
}

impl Client {
    /// Headers as our own page sends them.
    pub(super) fn own(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cookie", self.cookie.clone()),
            ("origin", format!("http://{}", self.address)),
            ("sec-fetch-site", "same-origin".to_owned()),
            ("x-atelier-action", self.word.clone()),
            ("content-type", "application/json".to_owned()),
        ]
    }

    async fn stream(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // HTTP/1.0: the body ends with the connection, and is in no pieces.
        let mut head = format!("{method} {path} HTTP/1.0\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            let _ = write!(head, "host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        // A server that refuses a large body closes while it is still being sent.
        let _ = stream.write_all(body).await;
        BufReader::new(stream)
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.stream(method, path, headers, body).await;
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().ok();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("no answer");
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("cookie", self.cookie.clone())], b"").await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &self.own(), body.to_string().as_bytes()).await
    }

    /// Says something; the ids of conversation and turn.
    pub(super) async fn say(&self, message: Value) -> (String, String) {
        let said = self.post("/chat/api/turns", &message).await;
        assert_eq!(said.status, 200, "{said:?}");
        let said = said.json();
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        (text("conversation"), text("turn"))
    }

    /// Says something and waits for the end of the answer.
    pub(super) async fn talk(&self, message: Value) -> (String, String) {
        let (conversation, turn) = self.say(message).await;
        self.events(&turn, 0, usize::MAX).await;
        (conversation, turn)
    }

    /// The last turn of a conversation as the page gets it.
    pub(super) async fn last_turn(&self, conversation: &str) -> Value {
        let shown = self.get(&format!("/chat/api/conversations/{conversation}")).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        shown.json()["turns"].as_array().unwrap().last().unwrap().clone()
    }

    /// Events of a turn after a number: so many, or all to the end, `end` included.
    pub(super) async fn events(&self, turn: &str, after: u64, count: usize) -> Vec<Value> {
        let headers = [("cookie", self.cookie.clone()), ("last-event-id", after.to_string())];
        let path = format!("/chat/api/turns/{turn}/events");
        let stream = self.stream("GET", &path, &headers, b"").await;
        let mut lines = stream.lines();
        let first = lines.next_line().await.unwrap().unwrap();
        assert!(first.contains(" 200 "), "{first}");
        let mut events = Vec::new();
        let mut id = None;
        let reading = async {
            while events.len() < count
                && let Some(line) = lines.next_line().await.unwrap()
            {
                if let Some(number) = line.strip_prefix("id: ") {
                    id = Some(number.parse::<u64>().unwrap());
                }
                if line == "event: end" {
                    events.push(json!({"event": "end"}));
                    break;
                }
                if let Some(data) = line.strip_prefix("data: ") {
                    let event: Value = serde_json::from_str(data).unwrap();
                    if event.get("seq").is_some() {
                        assert!(id.is_none() || id == event["seq"].as_u64(), "{id:?} {event}");
                        events.push(event);
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the events do not end");
        events
    }
}

/// Types into the message field and sends it, with the keys of a person.
pub(super) async fn type_and_send(page: &Page, text: &str) {
    page.evaluate("document.getElementById('message').focus()").await;
    page.command("Input.insertText", json!({"text": text})).await;
    press(page, "Enter").await;
}

/// Presses a key.
pub(super) async fn press(page: &Page, key: &str) {
    let code = match key {
        "Enter" => 13,
        "Escape" => 27,
        "ArrowUp" => 38,
        "Tab" => 9,
        _ => panic!("{key}"),
    };
    for kind in ["keyDown", "keyUp"] {
        let mut event =
            json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
        if kind == "keyDown" && key == "Enter" {
            event["text"] = json!("\r");
        }
        page.command("Input.dispatchKeyEvent", event).await;
    }
}

/// How many answers stand there in full.
pub(super) async fn until_answered(page: &Page, count: usize) {
    page.until(&format!(
        "document.querySelectorAll('.turn').length === {count} \
         && document.querySelectorAll('.turn.running').length === 0 \
         && !document.getElementById('send').hidden"
    ))
    .await;
}

/// What axe-core complains about.
pub(super) async fn axe(page: &Page) -> Value {
    let axe = include_str!("../../../assets/axe/axe.min.js");
    page.evaluate(&format!("{axe};undefined")).await;
    page.evaluate(
        "axe.run(document, { iframes: false, resultTypes: ['violations'] }).then((result) => \
         result.violations.map((one) => [one.id, one.impact, one.nodes.slice(0, 3).map((node) => [node.html.slice(0, 160), node.failureSummary])]))",
    )
    .await
}

/// Nothing is wider than the screen, too small for a finger, or without a name.
pub(super) const CHECKS: &str = "(() => {
  const wide = Math.max(document.documentElement.scrollWidth, document.getElementById('log').scrollWidth + 1) - innerWidth;
  const shown = [...document.querySelectorAll('button, select, summary, input, textarea')].filter((item) => item.checkVisibility({ visibilityProperty: true }) && !item.closest('.thoughts'));
  const small = shown.filter((item) => { const box = (item.type === 'checkbox' ? item.closest('label') : item).getBoundingClientRect(); return box.height < 43 || box.width < 43; });
  const nameless = shown.filter((item) => !(item.ariaLabel || item.textContent.trim() || item.labels?.length));
  return [wide > 1 ? wide : 0, small.map((item) => item.outerHTML.slice(0, 90)), nameless.map((item) => item.outerHTML.slice(0, 90)), document.querySelectorAll('h1').length];
})()";
