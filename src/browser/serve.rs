//! Answers what a page asks for: its document, its own files, nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::cdp::json::{Fields as _, set};
use super::cdp::{CommandError, Connection};
use super::load::{DOCUMENT, POLICY};
use super::observe::{Observer, Question, SessionListener};
use super::page::{Tab, enables};
use super::report::RequestFailure;
use super::source::{PageFile, Source};

/// Dialogs that are answered before the page is stopped.
const DIALOGS: usize = 10;

/// Serves one page until it is dropped.
pub(super) struct Server<'a> {
    pub(super) connection: &'a Connection,
    pub(super) tab: &'a Tab,
    pub(super) source: &'a Source,
    pub(super) observer: &'a std::sync::Arc<Observer>,
}

impl Server<'_> {
    /// Answers for as long as Chrome asks.
    pub(super) async fn serve(&self, questions: &mut mpsc::Receiver<Question>) -> CommandError {
        let mut is_answered = false;
        while let Some(question) = questions.recv().await {
            let answered = match question {
                Question::Request { session, params } => {
                    self.request(&session, &params, &mut is_answered).await
                }
                Question::Dialog { session, params } => self.dialog(&session, &params).await,
                Question::Attached { params } => self.attached(&params).await,
            };
            if let Err(error) = answered {
                return error;
            }
        }
        CommandError::Closed
    }

    async fn request(
        &self,
        session: &str,
        params: &Value,
        is_answered: &mut bool,
    ) -> Result<(), CommandError> {
        let request = &params.field("request");
        let url = request.field("url").as_str().unwrap_or_default();
        let kind = params.field("resourceType").as_str().unwrap_or_default();
        let id = &params.field("requestId");
        let own = own_path(url);
        if kind == "Document" && params.field("frameId") == self.tab.target.as_str() {
            let is_document = own.as_deref() == Some("") && request.field("method") == "GET";
            if is_document && !*is_answered {
                *is_answered = true;
                let headers = [
                    ("Content-Type", "text/html; charset=utf-8"),
                    ("Content-Security-Policy", POLICY),
                ];
                return self.fulfill(session, id, 200, &headers, self.source.html.as_bytes()).await;
            }
            self.observer.note_departure(url);
            // An answer without content leaves the page where it is.
            return self.fulfill(session, id, 204, &[], b"").await;
        }
        let file = self.own_file(url, own.as_deref(), kind).await;
        match file {
            Some(file) => {
                let headers = [
                    ("Content-Type", file.media_type.as_str()),
                    ("Content-Security-Policy", POLICY),
                    // The page's origin is opaque, so that even its own files are foreign to it.
                    ("Access-Control-Allow-Origin", "*"),
                    ("X-Content-Type-Options", "nosniff"),
                ];
                self.fulfill(session, id, 200, &headers, &file.bytes).await
            }
            // A frame that fails would show Chrome's error page, and print it.
            None if kind == "Document" => {
                self.fulfill(session, id, 200, &[("Content-Type", "text/html")], b"").await
            }
            None if own.is_some() => {
                let headers = [("Access-Control-Allow-Origin", "*")];
                self.fulfill(session, id, 404, &headers, b"").await
            }
            None => {
                let parameters = json!({"requestId": id, "errorReason": "BlockedByClient"});
                self.post(session, "Fetch.failRequest", parameters).await
            }
        }
    }

    /// The page's own file at an address; what is none is noted.
    async fn own_file(&self, url: &str, own: Option<&str>, kind: &str) -> Option<PageFile> {
        let Some(path) = own else {
            self.observer.note_request(url, kind, RequestFailure::Foreign);
            return None;
        };
        if path.is_empty() {
            // The document asks for itself: a frame of the page in the page, or a fetch of it.
            return Some(PageFile {
                media_type: "text/html; charset=utf-8".to_owned(),
                bytes: self.source.html.clone().into(),
            });
        }
        let file = self.source.files.file(path).await;
        if file.is_none() && path != "favicon.ico" {
            self.observer.note_request(path, kind, RequestFailure::Missing);
        }
        file
    }

    async fn fulfill(
        &self,
        session: &str,
        id: &Value,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), CommandError> {
        let headers: Vec<Value> =
            headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let parameters = json!({
            "requestId": id, "responseCode": status, "responseHeaders": headers,
            "body": STANDARD.encode(body),
        });
        self.post(session, "Fetch.fulfillRequest", parameters).await
    }

    async fn dialog(&self, session: &str, params: &Value) -> Result<(), CommandError> {
        let count = self.observer.note_dialog(params);
        if count >= DIALOGS {
            self.observer.note_nagging();
            self.post(session, "Runtime.terminateExecution", json!({})).await?;
        }
        let mut answer = json!({"accept": true});
        if params.field("type") == "prompt" {
            set(&mut answer, "promptText", params.field("defaultPrompt").clone());
        }
        self.post(session, "Page.handleJavaScriptDialog", answer).await
    }

    /// A frame's own process, or a worker: it gets the same treatment, then it may go on.
    async fn attached(&self, params: &Value) -> Result<(), CommandError> {
        let Some(session) = params.field("sessionId").as_str() else { return Ok(()) };
        let info = &params.field("targetInfo");
        if info.field("type") == "page" {
            // A window that the page opened after all.
            let parameters = json!({"targetId": info.field("targetId")});
            self.connection.send(None, "Target.closeTarget", parameters).await?;
            return Ok(());
        }
        let listener = SessionListener {
            session: session.to_owned(),
            observer: std::sync::Arc::clone(self.observer),
            is_page: false,
        };
        self.connection.listen(session, std::sync::Arc::new(listener));
        for (method, parameters) in enables() {
            self.post(session, method, parameters).await?;
        }
        self.post(session, "Runtime.runIfWaitingForDebugger", json!({})).await
    }

    /// Sends a command whose answer says nothing: the page may have gone on meanwhile.
    async fn post(
        &self,
        session: &str,
        method: &'static str,
        parameters: Value,
    ) -> Result<(), CommandError> {
        self.connection.send(Some(session), method, parameters).await.map(drop)
    }
}

/// The path below the document's address; `None` for every other address.
fn own_path(url: &str) -> Option<String> {
    let rest = url.strip_prefix(DOCUMENT)?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let is_plain = !path.split('/').any(|part| part == "..") && !path.contains(['\\', '\0']);
    is_plain.then(|| path.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documents_own_address_is_own() {
        assert_eq!(own_path("https://doc.invalid/").as_deref(), Some(""));
        assert_eq!(own_path("https://doc.invalid/a/ff?x=1#y").as_deref(), Some("a/ff"));
        assert_eq!(own_path("https://doc.invalid/lib/a%20b.js").as_deref(), Some("lib/a b.js"));
        for foreign in [
            "https://doc.invalid.example/",
            "https://doc.invalid:8443/a/ff",
            "https://user@doc.invalid/a/ff",
            "http://doc.invalid/",
            "https://doc.invalid/a/%2e%2e/b",
            "https://doc.invalid/a/%2e%2e%2fb",
            "https://doc.invalid/a/..%5cb",
            "https://doc.invalid/%ff",
            "file:///etc/passwd",
        ] {
            assert_eq!(own_path(foreign), None, "{foreign}");
        }
    }
}
