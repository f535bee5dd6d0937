//! The chat of the real program over a served address: conversations over a restart, and bearers.

use std::process::Stdio;

use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::support::Client;
use crate::support::product::Installation;

struct Served {
    program: Child,
    address: String,
    /// Path and query of the link that opens the chat, where the program prints one.
    link: Option<String>,
}

impl Served {
    async fn start(installation: &Installation) -> Self {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--content-listen", "127.0.0.1:0"];
        let mut command = installation.command(&arguments);
        let mut program = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let mut address = None;
        let mut link = None;
        // The address comes first, and the link, where there is one, right behind it.
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push_str(&line);
            if let Some((_, rest)) = line.split_once("MCP at http://") {
                address = rest.split("/mcp").next().map(str::to_owned);
            }
            if let Some((_, rest)) = line.split_once("chat, for one browser: http://") {
                link = rest.split_once('/').map(|(_, path)| format!("/{path}"));
            }
            let is_whole = link.is_some() || installation_has_tokens(installation);
            if address.is_some() && is_whole {
                break;
            }
        }
        // Whoever reads no more must not stop the program from speaking.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = address.unwrap_or_else(|| panic!("it does not serve: {said}"));
        Self { program, address, link }
    }

    fn nobody(&self) -> Client {
        let address = self.address.parse().unwrap();
        Client { address, cookie: String::new(), word: String::new() }
    }

    /// A client that opened the link.
    async fn client(&self) -> Client {
        let mut client = self.nobody();
        let opened = client.send("GET", self.link.as_ref().unwrap(), &[], b"").await;
        assert_eq!(opened.status, 303, "{opened:?}");
        client.cookie = opened.header("set-cookie").split(';').next().unwrap().to_owned();
        client.word = word(client.get("/chat").await.text());
        client
    }

    /// The same browser at another process of the same installation.
    async fn again(&self, earlier: &Client) -> Client {
        let mut client = Client { cookie: earlier.cookie.clone(), ..self.nobody() };
        let page = client.get("/chat").await;
        assert_eq!(page.status, 200, "the browser is still known");
        client.word = word(page.text());
        client
    }

    async fn stop(mut self) {
        let id = self.program.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success()
        );
        assert_eq!(self.program.wait().await.unwrap().code(), Some(0));
    }
}

fn installation_has_tokens(installation: &Installation) -> bool {
    installation.folder().join("atelier.toml").exists()
}

/// The word of the page by which it may act.
fn word(page: &str) -> String {
    let mark = "<meta name=\"atelier-action\" content=\"";
    page.split_once(mark).unwrap().1.split('"').next().unwrap().to_owned()
}

fn with_model(model: &FakeLlm) -> Installation {
    Installation::new()
        .with("ANTHROPIC_API_KEY", "key")
        .with("ANTHROPIC_BASE_URL", model.base_url())
}

#[tokio::test]
async fn several_conversations_are_kept_over_a_restart() {
    let script = Script::new()
        .rule(Rule::reply(Reply::text("Still green.")).on_user_text("and now"))
        .rule(Rule::reply(Reply::text("Green tea.")).on_user_text("which tea"))
        .rule(Rule::reply(Reply::text("Rye bread.")).on_user_text("which bread"));
    let model = FakeLlm::start(script).await.unwrap();
    let installation = with_model(&model);
    let first = Served::start(&installation).await;
    let client = first.client().await;
    let (tea, turn) = client.talk(json!({"text": "which tea?"})).await;
    let (bread, _) = client.talk(json!({"text": "which bread?"})).await;
    let titles = |list: &Value| -> Vec<String> {
        let found = list["conversations"].as_array().unwrap();
        found.iter().map(|one| one["title"].as_str().unwrap().to_owned()).collect()
    };
    let before = client.get("/chat/api/conversations").await.json();
    assert_eq!(titles(&before), ["which bread?", "which tea?"], "newest first");
    let kept = [client.last_turn(&tea).await, client.last_turn(&bread).await];
    first.stop().await;

    let second = Served::start(&installation).await;
    let client = second.again(&client).await;
    assert_eq!(client.get("/chat/api/conversations").await.json(), before);
    assert_eq!([client.last_turn(&tea).await, client.last_turn(&bread).await], kept);
    // The older one goes on where it was, with what was said in it and nothing of the other.
    client.talk(json!({"text": "and now?", "conversation": tea, "parent": turn})).await;
    let asked = model.model_requests().pop().unwrap().body_text;
    assert!(asked.contains("which tea?") && asked.contains("Green tea."), "{asked}");
    assert!(!asked.contains("bread"), "{asked}");
    let after = client.get("/chat/api/conversations").await.json();
    assert_eq!(titles(&after), ["which tea?", "which bread?"]);
    second.stop().await;
}

#[tokio::test]
async fn a_bearer_opens_the_chat_of_its_principal_and_no_other() {
    let model = FakeLlm::start(Script::new().reply(Reply::text("Hello."))).await.unwrap();
    let installation = with_model(&model);
    let hash = |token: &str| {
        use sha2::Digest as _;
        sha2::Sha256::digest(token.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let tokens = format!(
        "[[auth.tokens]]\nprincipal = 'ada'\nsha256 = '{}'\n[[auth.tokens]]\nprincipal = 'bob'\nsha256 = '{}'\n",
        hash("secret-a"),
        hash("secret-b")
    );
    installation.write("atelier.toml", &tokens);
    let file = installation.folder().join("atelier.toml").to_string_lossy().into_owned();
    let installation = installation.with("ATELIER_CONFIG", file);
    let served = Served::start(&installation).await;
    assert!(served.link.is_none(), "where tokens are asked for, no link is given away");
    let nobody = served.nobody();
    assert_eq!(nobody.get("/chat").await.status, 401);
    assert_eq!(nobody.get("/chat/api/conversations").await.code(), "not_opened");
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let get = async |token: &str, path: &str| nobody.send("GET", path, &[bearer(token)], b"").await;
    assert_eq!(get("secret-x", "/chat").await.status, 401);

    let page = get("secret-a", "/chat").await;
    assert_eq!(page.status, 200, "{page:?}");
    let word = word(page.text());
    let post = async |token: &str, word: &str| {
        let headers = [
            bearer(token),
            ("origin", format!("http://{}", served.address)),
            ("x-atelier-action", word.to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        nobody.send("POST", "/chat/api/turns", &headers, b"{\"text\": \"hi\"}").await
    };
    let said = post("secret-a", &word).await;
    assert_eq!(said.status, 200, "{said:?}");
    let conversation = said.json()["conversation"].as_str().unwrap().to_owned();
    // Another principal's word, or none, acts for nobody.
    assert_eq!(post("secret-b", &word).await.code(), "foreign_request");
    assert_eq!(post("secret-a", "").await.code(), "foreign_request");
    let path = format!("/chat/api/conversations/{conversation}");
    assert_eq!(get("secret-a", &path).await.status, 200);
    assert_eq!(get("secret-b", &path).await.code(), "conversation_not_found");
    let listed = get("secret-b", "/chat/api/conversations").await.json();
    assert_eq!(listed["conversations"], json!([]));
    served.stop().await;
}
