//! A tab in a browsing context of its own, for one document.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cdp::json::Fields as _;
use super::cdp::{CommandError, Connection};
use super::pool::Browser;

/// How long a page may take to go. A renderer that spins ignores the question.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// The names of an open tab.
#[derive(Debug, Clone)]
pub(super) struct Tab {
    context: String,
    /// The tab's target, and its main frame: they are named alike.
    pub(super) target: String,
    pub(super) session: String,
}

impl Tab {
    /// Opens an empty tab that may not download, and whose every request is held.
    pub(super) async fn open(connection: &Connection) -> Result<Self, CommandError> {
        let context = connection
            .command(None, "Target.createBrowserContext", json!({"disposeOnDetach": true}))
            .await?;
        let context = text(&context, "browserContextId");
        let parameters = json!({"url": "about:blank", "browserContextId": context});
        let opened = async {
            let target = connection.command(None, "Target.createTarget", parameters).await?;
            let target = text(&target, "targetId");
            let attach = json!({"targetId": target, "flatten": true});
            let session = connection.command(None, "Target.attachToTarget", attach).await?;
            Ok((target, text(&session, "sessionId")))
        }
        .await;
        let (target, session) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let parameters = json!({"browserContextId": context});
                let _ = connection.send(None, "Target.disposeBrowserContext", parameters).await;
                return Err(error);
            }
        };
        let tab = Self { context, target, session };
        let deny = json!({"behavior": "deny", "browserContextId": tab.context});
        let mut sent = vec![connection.send(None, "Browser.setDownloadBehavior", deny).await?];
        for (method, parameters) in enables() {
            sent.push(connection.send(Some(&tab.session), method, parameters).await?);
        }
        for sent in sent {
            sent.answer().await?;
        }
        Ok(tab)
    }

    /// Closes it. `false`: it does not go.
    pub(super) async fn close(&self, connection: &Connection) -> bool {
        connection.ignore(&self.session);
        // What spins in the page must stop before it can be asked to go.
        let stop = connection.send(Some(&self.session), "Runtime.terminateExecution", json!({}));
        let _ = stop.await;
        let parameters = json!({"browserContextId": self.context});
        let close = connection.command(None, "Target.disposeBrowserContext", parameters);
        !matches!(
            tokio::time::timeout(CLOSE_PATIENCE, close).await,
            Err(_) | Ok(Err(CommandError::Closed))
        )
    }
}

/// What a session of a page is asked for, before it may go on.
pub(super) fn enables() -> [(&'static str, Value); 5] {
    [
        ("Page.enable", json!({})),
        ("Runtime.enable", json!({})),
        ("Log.enable", json!({})),
        ("Fetch.enable", json!({"patterns": [{"urlPattern": "*"}]})),
        (
            "Target.setAutoAttach",
            json!({"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true}),
        ),
    ]
}

/// A tab in use. Dropping it closes the tab, in the background.
pub(super) struct Page {
    tab: Tab,
    browser: Arc<Browser>,
}

impl Page {
    pub(super) fn new(tab: Tab, browser: Arc<Browser>) -> Self {
        Self { tab, browser }
    }

    pub(super) fn tab(&self) -> &Tab {
        &self.tab
    }

    pub(super) fn connection(&self) -> &Connection {
        self.browser.connection()
    }

    /// How long a document may take to come to rest.
    pub(super) fn load_cap(&self) -> Duration {
        self.browser.load_cap()
    }

    /// Whether Chrome sits where there is no network.
    pub(super) fn is_in_namespace(&self) -> bool {
        self.browser.isolation().network_namespace
    }

    /// Sends a command to the tab and waits for its answer.
    pub(super) async fn command(
        &self,
        method: &'static str,
        parameters: Value,
    ) -> Result<Value, CommandError> {
        self.connection().command(Some(&self.tab.session), method, parameters).await
    }

    /// Sends a command to the tab whose answer says nothing.
    pub(super) async fn post(
        &self,
        method: &'static str,
        parameters: Value,
    ) -> Result<(), CommandError> {
        self.connection().send(Some(&self.tab.session), method, parameters).await.map(drop)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.browser.close_tab(self.tab.clone());
    }
}

fn text(value: &Value, name: &str) -> String {
    value.field(name).as_str().unwrap_or_default().to_owned()
}
