//! A real browser, driven over its debugging pipe.
//!
//! The pipe needs no port, and the browser ends by itself when the test's end of it closes, so a
//! killed test leaves nothing behind. Only loopback names resolve: no page reaches a network.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

const FLAGS: [&str; 15] = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
];

/// Names that resolve: those of the machine itself.
const NAMES: &str = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost";

/// A running browser. Dropping it kills it with all its processes.
pub(crate) struct Browser {
    connection: Arc<Connection>,
    reader: JoinHandle<()>,
    child: Child,
    _profile: tempfile::TempDir,
}

struct Connection {
    input: tokio::sync::Mutex<ChildStdin>,
    ids: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>,
    events: Mutex<Vec<Value>>,
    arrived: Notify,
}

impl Browser {
    /// Starts a browser with a profile of its own.
    pub(crate) async fn launch() -> Self {
        Self::launch_with(&[format!("--host-resolver-rules={NAMES}")]).await
    }

    /// Starts a browser that keeps nothing back: every spelling of this machine's address resolves,
    /// names and addresses of elsewhere lead to a port here, and pages may open windows.
    pub(crate) async fn launch_unguarded(port: u16) -> Self {
        let names = format!(
            "MAP *.nip.io 127.0.0.1, MAP 169.254.169.254 127.0.0.1:{port}, {NAMES}, EXCLUDE 0.0.0.0, \
             EXCLUDE ::1, EXCLUDE ::ffff:7f00:1, EXCLUDE localhost., EXCLUDE [::1], \
             EXCLUDE [::ffff:7f00:1]"
        );
        Self::launch_with(&[
            format!("--host-resolver-rules={names}"),
            "--disable-popup-blocking".to_owned(),
        ])
        .await
    }

    async fn launch_with(flags: &[String]) -> Self {
        let program = program();
        let profile = tempfile::Builder::new().prefix("atelier-browser").tempdir().unwrap();
        let mut command = Command::new("sh");
        // The browser speaks on descriptors 3 and 4; a shell is the simplest that makes them.
        command
            .arg("-c")
            .arg("exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1")
            .arg(program)
            .args(FLAGS)
            .args(flags)
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        if is_root() {
            command.arg("--no-sandbox");
        }
        let mut child = command.arg("about:blank").spawn().unwrap();
        let connection = Arc::new(Connection {
            input: tokio::sync::Mutex::new(child.stdin.take().unwrap()),
            ids: AtomicU64::new(1),
            answers: Mutex::default(),
            events: Mutex::default(),
            arrived: Notify::new(),
        });
        let output = child.stdout.take().unwrap();
        let reader = tokio::spawn(read(output, Arc::clone(&connection)));
        let browser = Self { connection, reader, child, _profile: profile };
        browser.connection.command(None, "Browser.getVersion", json!({})).await;
        browser
    }

    /// An empty tab with cookies and storage of its own.
    pub(crate) async fn page(&self) -> Page {
        let context = self.connection.command(None, "Target.createBrowserContext", json!({})).await;
        self.tab(context["browserContextId"].as_str().unwrap().to_owned()).await
    }

    /// An empty tab that shares cookies with another one.
    pub(crate) async fn page_beside(&self, other: &Page) -> Page {
        self.tab(other.context.clone()).await
    }

    async fn tab(&self, context: String) -> Page {
        // In windows of their own all tabs are visible.
        let wanted = json!({"url": "about:blank", "browserContextId": context, "newWindow": true});
        let target = self.connection.command(None, "Target.createTarget", wanted).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.connection.command(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let page = Page { connection: Arc::clone(&self.connection), session, context };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.command(&format!("{domain}.enable"), json!({})).await;
        }
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.reader.abort();
        // The group is ours alone: the shell made it, and the browser took its place.
        if let Some(id) = self.child.id() {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", "--", &format!("-{id}")])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// Whether a page asks for light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// A tab.
pub(crate) struct Page {
    connection: Arc<Connection>,
    session: String,
    context: String,
}

impl Page {
    /// Any command of the protocol, to this tab.
    pub(crate) async fn command(&self, method: &str, parameters: Value) -> Value {
        self.connection.command(Some(&self.session), method, parameters).await
    }

    /// Opens an address as a person would, and waits until the page is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.connection.events.lock().unwrap().retain(|event| event["sessionId"] != self.session);
        let answer = self.command("Page.navigate", json!({"url": url})).await;
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        self.wait_for_event("Page.loadEventFired").await;
    }

    /// Waits for an event since the last [`Self::open`].
    pub(crate) async fn wait_for_event(&self, method: &str) -> Value {
        let waiting = async {
            loop {
                let arrived = self.connection.arrived.notified();
                if let Some(event) = self.events(method).into_iter().next() {
                    return event;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no {method}"))
    }

    /// Parameters of the events of this kind since the last [`Self::open`].
    pub(crate) fn events(&self, method: &str) -> Vec<Value> {
        let events = self.connection.events.lock().unwrap();
        events
            .iter()
            .filter(|event| event["sessionId"] == self.session && event["method"] == method)
            .map(|event| event["params"].clone())
            .collect()
    }

    /// The value of an expression in the page, as if a person had caused it; a promise is waited
    /// for.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let answer = self.try_evaluate(expression).await;
        let answer = answer.unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"].get("value").cloned().unwrap_or(Value::Null)
    }

    async fn try_evaluate(&self, expression: &str) -> Result<Value, String> {
        let parameters = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
            "userGesture": true,
        });
        self.connection.try_command(Some(&self.session), "Runtime.evaluate", parameters).await
    }

    /// Waits until an expression is true. While the page changes to another one, it is not.
    pub(crate) async fn until(&self, expression: &str) {
        let is_true = async || {
            let answer = self.try_evaluate(expression).await;
            answer.is_ok_and(|answer| answer["result"]["value"] == Value::Bool(true))
        };
        let waiting = async {
            while !is_true().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("never true: {expression}"));
    }

    /// What the page complained about since the last [`Self::open`]: exceptions, errors and
    /// warnings of the console and of the browser.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let thrown = self.events("Runtime.exceptionThrown").into_iter().map(|event| {
            let details = &event["exceptionDetails"];
            details["exception"]["description"].as_str().unwrap_or("exception").to_owned()
        });
        let said = self
            .events("Runtime.consoleAPICalled")
            .into_iter()
            .filter(|event| matches!(event["type"].as_str(), Some("error" | "warning" | "assert")))
            .map(|event| event["args"].to_string());
        let logged = self
            .events("Log.entryAdded")
            .into_iter()
            .filter(|event| matches!(event["entry"]["level"].as_str(), Some("error" | "warning")))
            .map(|event| format!("{} {}", event["entry"]["text"], event["entry"]["url"]));
        thrown.chain(said).chain(logged).collect()
    }

    /// Gives the page a size in CSS pixels and a colour scheme.
    pub(crate) async fn look(&self, width: u32, height: u32, scheme: Scheme) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.command("Emulation.setEmulatedMedia", features).await;
    }

    /// Writes what the page looks like into the build's folder for test files.
    pub(crate) async fn screenshot(&self, name: &str) -> PathBuf {
        let answer = self.command("Page.captureScreenshot", json!({"format": "png"})).await;
        let data = answer["data"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Presses and releases the mouse in the middle of an element, as a person would.
    pub(crate) async fn click(&self, selector: &str) {
        let quoted = Value::from(selector);
        let spot = self
            .evaluate(&format!(
                "(() => {{ const element = document.querySelector({quoted}); \
                 element.scrollIntoView({{ block: 'center' }}); \
                 const box = element.getBoundingClientRect(); \
                 return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": spot[0], "y": spot[1], "button": "left", "clickCount": 1,
            });
            self.command("Input.dispatchMouseEvent", event).await;
        }
    }
}

impl Connection {
    async fn command(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let answer = self.try_command(session, method, parameters).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_command(
        &self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value, String> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = Value::from(session);
        }
        let (sender, answer) = oneshot::channel();
        self.answers.lock().unwrap().insert(id, sender);
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.input.lock().await.write_all(&bytes).await.expect("the browser has ended");
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| panic!("no answer to {method}"))
            .expect("the browser has ended")
    }

    fn take(&self, message: Value) {
        let Some(id) = message["id"].as_u64() else {
            self.events.lock().unwrap().push(message);
            self.arrived.notify_waiters();
            return;
        };
        let Some(sender) = self.answers.lock().unwrap().remove(&id) else { return };
        let answer = match message.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(message["result"].clone()),
        };
        let _ = sender.send(answer);
    }
}

async fn read(output: ChildStdout, connection: Arc<Connection>) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output.read_until(0, &mut bytes).await.is_ok_and(|length| length > 0) {
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        if let Ok(message) = serde_json::from_slice(&bytes) {
            connection.take(message);
        }
        bytes.clear();
    }
    // Whoever still waits learns that no answer comes.
    connection.answers.lock().unwrap().clear();
}

/// The browser of this machine.
fn program() -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    names
        .iter()
        .flat_map(|name| std::env::split_paths(&folders).map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
        .expect("this test needs a browser: run `apt-get install chromium`")
}

/// As root the browser's own sandbox does not start.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
