//! The configuration: every layer, and every way to get it wrong.

use std::path::Path;

use atelier::config::load::{Flags, Resolved, load};
use atelier::config::log::LogFormat;
use atelier::config::{Environment, Source, prepare_data_dir, render};
use tempfile::TempDir;

/// A home with an `atelier.toml`, an `.env` and variables.
struct Home {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Home {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir_all(folder.path().join(".config/atelier")).unwrap();
        let home = folder.path().to_str().unwrap().to_owned();
        Self { folder, variables: vec![("HOME".to_owned(), home)] }
    }

    fn file(self, text: &str) -> Self {
        std::fs::write(self.folder.path().join(".config/atelier/atelier.toml"), text).unwrap();
        self
    }

    fn dot_env(self, text: &str) -> Self {
        std::fs::write(self.folder.path().join(".config/atelier/.env"), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn load(&self, flags: &Flags) -> Result<Resolved, String> {
        let environment = Environment::from_pairs(self.variables.iter().cloned());
        load(&environment, flags).map_err(|error| error.to_string())
    }

    fn resolved(&self) -> Resolved {
        self.load(&Flags::default()).unwrap()
    }

    fn refusal(&self) -> String {
        self.load(&Flags::default()).map(|resolved| resolved.config).unwrap_err()
    }
}

#[test]
fn with_nothing_set_the_defaults_hold() {
    let home = Home::new();
    let resolved = home.resolved();
    assert_eq!(resolved.config.server.listen.to_string(), "127.0.0.1:7410");
    assert_eq!(resolved.config.storage.data_dir, home.folder.path().join(".local/share/atelier"));
    assert!(resolved.sources.is_empty());
    assert!(resolved.warnings.is_empty());
}

#[test]
fn later_layers_win() {
    let file = "[server]\nlisten = '127.0.0.1:1'\n";
    let dot_env = "ATELIER_SERVER__LISTEN=127.0.0.1:2\n";
    let port = |home: &Home, flags: &Flags| home.load(flags).unwrap().config.server.listen.port();
    let none = Flags::default();
    let home = Home::new().file(file);
    assert_eq!(port(&home, &none), 1);
    let home = home.dot_env(dot_env);
    assert_eq!(port(&home, &none), 2);
    let home = home.variable("ATELIER_SERVER__LISTEN", "127.0.0.1:3");
    assert_eq!(port(&home, &none), 3);
    let flags = Flags { listen: Some("127.0.0.1:4".parse().unwrap()), ..Flags::default() };
    assert_eq!(port(&home, &flags), 4);
    let resolved = home.load(&flags).unwrap();
    assert_eq!(resolved.sources["server.listen"], Source::Flag("--listen".to_owned()));
}

#[test]
fn variables_take_the_type_of_their_key() {
    let resolved = Home::new()
        .variable("ATELIER_SERVER__TOOLSETS", "documents, jobs")
        .variable("ATELIER_SERVER__READ_ONLY", "true")
        .variable("ATELIER_LIMITS__ANSWER_BUDGET_S", "2")
        .variable("ATELIER_LLM__TIMEOUTS__IDLE_S", "0.5")
        .variable("ATELIER_LLM__DEFAULT_MODEL", "42")
        .variable("ATELIER_LLM__COMMANDS", "{ mine = { command = [\"a\", \"b\"] } }")
        .variable("ATELIER_LOG__FORMAT", "json")
        .variable("ATELIER_AUTH__TOKENS", "")
        .resolved();
    let config = resolved.config;
    assert_eq!(config.server.toolsets, ["documents", "jobs"]);
    assert!(config.server.read_only);
    assert!((config.limits.answer_budget_s - 2.0).abs() < f64::EPSILON);
    assert!((config.llm.timeouts.idle_s - 0.5).abs() < f64::EPSILON);
    assert_eq!(config.llm.default_model.as_deref(), Some("42"));
    assert_eq!(config.llm.commands["mine"].command, ["a", "b"]);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.auth.tokens.is_empty());
}

#[test]
fn shared_variables_are_understood() {
    let resolved = Home::new()
        .variable("GOOGLE_API_KEY", "google")
        .variable("GEMINI_API_KEY", " gemini \n")
        .variable("ANTHROPIC_API_KEY", "   ")
        .variable("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        .variable("OLLAMA_HOST", "0.0.0.0:5000")
        .variable("https_proxy", "proxy.example:3128")
        .variable("NO_PROXY", "localhost")
        .variable("ATELIER_LOG", "debug")
        .variable("ATELIER_PUBLIC_BASE_URL", "https://apps.example")
        .resolved();
    let llm = resolved.config.llm;
    assert_eq!(llm.gemini_api_key.unwrap().expose(), "gemini");
    assert!(llm.anthropic_api_key.is_none(), "a blank variable is no key");
    assert_eq!(llm.openai_base_url.unwrap().as_str(), "http://127.0.0.1:9/v1");
    assert_eq!(llm.ollama_base_url.unwrap().as_str(), "http://127.0.0.1:5000/");
    assert_eq!(llm.https_proxy.unwrap().as_str(), "http://proxy.example:3128/");
    assert_eq!(llm.no_proxy.as_deref(), Some("localhost"));
    assert_eq!(resolved.config.log.level, "debug");
    assert_eq!(resolved.config.server.public_base_url.unwrap().as_str(), "https://apps.example/");
}

#[test]
fn the_working_folder_is_not_searched() {
    let home = Home::new();
    let working = std::env::current_dir().unwrap();
    let file = home.resolved().file.unwrap();
    assert!(file.starts_with(home.folder.path()));
    assert!(!file.starts_with(working));
}

#[test]
fn paths_in_a_file_are_meant_from_its_folder() {
    let home = Home::new().file(
        "[storage]\ndata_dir = 'data'\n[browser]\nchrome = '~/chrome'\n[llm]\nmodels_file = '/m.toml'\n",
    );
    let config = home.resolved().config;
    assert_eq!(config.storage.data_dir, home.folder.path().join(".config/atelier/data"));
    assert_eq!(config.browser.chrome.unwrap(), home.folder.path().join("chrome"));
    assert_eq!(config.llm.models_file.unwrap(), Path::new("/m.toml"));
}

#[test]
fn a_named_file_must_be_there() {
    let home = Home::new().variable("ATELIER_CONFIG", "/nowhere/atelier.toml");
    let refusal = home.refusal();
    assert!(refusal.contains("/nowhere/atelier.toml"), "{refusal}");
    assert!(refusal.contains("`--config` or `ATELIER_CONFIG`"), "{refusal}");
}

/// A file, and what its refusal must say.
const BAD_FILES: [(&str, &[&str]); 16] = [
    ("[server]\nlisten = '127.0.0.1:1'\nlisten = 'x'\n", &["atelier.toml:3", "TOML"]),
    ("[server\n", &["atelier.toml:1", "TOML"]),
    (
        "\n[server]\nlisen = '127.0.0.1:1'\n",
        &["atelier.toml:3", "server.lisen", "did you mean `server.listen`"],
    ),
    ("[sever]\nlisten = '127.0.0.1:1'\n", &["atelier.toml:1", "did you mean `server`"]),
    ("server = 5\n", &["atelier.toml:1", "is a section"]),
    (
        "[server]\nlisten = 7410\n",
        &["atelier.toml:2", "server.listen", "write it like `127.0.0.1:7410`"],
    ),
    ("[server]\nread_only = 'yes'\n", &["atelier.toml:2", "write `true` or `false`"]),
    ("[server]\ntoolsets = 'documents'\n", &["atelier.toml:2", "write a list"]),
    (
        "[limits]\nanswer_budget_s = -1\n",
        &["atelier.toml:2", "limits.answer_budget_s", "more than 0"],
    ),
    ("[limits]\nlease_s = nan\n", &["atelier.toml:2", "limits.lease_s"]),
    (
        "[limits]\nconcurrent_calls = 0\n",
        &["atelier.toml:2", "limits.concurrent_calls", "1 or more"],
    ),
    ("[server]\npublic_base_url = 'ftp://x'\n", &["atelier.toml:2", "http"]),
    (
        "[llm]\nopenai_base_url = 'http://me:hunter2@host'\n",
        &["atelier.toml:2", "user name or password"],
    ),
    ("[[auth.tokens]]\nprincipal = 'me'\nsha256 = 'abc'\n", &["atelier.toml:1", "sha256sum"]),
    ("[llm.commands.mine]\ncommand = []\n", &["atelier.toml:1", "`mine`", "empty `command`"]),
    ("[log]\nlevel = 'loud=='\n", &["atelier.toml:2", "log filter"]),
];

#[test]
fn bad_files_are_refused_with_the_place_and_the_fix() {
    for (text, expected) in BAD_FILES {
        let refusal = Home::new().file(text).refusal();
        for part in expected {
            assert!(refusal.contains(part), "{text:?} was refused without {part:?}:\n{refusal}");
        }
        assert!(refusal.contains("hint: "), "{text:?} was refused without a hint:\n{refusal}");
        assert!(!refusal.contains("hunter2"), "a password is shown:\n{refusal}");
    }
}

/// A variable, and what its refusal must say.
const BAD_VARIABLES: [(&str, &str, &[&str]); 8] = [
    ("ATELIER_SERVER__LISEN", "127.0.0.1:1", &["did you mean `ATELIER_SERVER__LISTEN`"]),
    ("ATELIER_SEVER__LISTEN", "127.0.0.1:1", &["did you mean `ATELIER_SERVER__LISTEN`"]),
    ("ATELIER_SERVER__LISTEN", "7410", &["server.listen", "`127.0.0.1:7410`"]),
    ("ATELIER_LIMITS__PAGE_BYTES", "-5", &["limits.page_bytes", "write a number"]),
    ("ATELIER_LLM__COMMANDS", "{ mine = { comand = ['x'] } }", &["llm.commands", "comand"]),
    ("GEMINI_API_KEY", "canary-1\ncanary-2", &["line break"]),
    ("HTTPS_PROXY", "http://me:canary@:x", &["llm.https_proxy"]),
    ("OPENAI_API_KEY", "canary canary", &["line break, space"]),
];

#[test]
fn bad_variables_are_refused_by_name_and_without_their_value() {
    for (name, value, expected) in BAD_VARIABLES {
        let refusal = Home::new().variable(name, value).refusal();
        assert!(refusal.contains(&format!("environment variable `{name}`")), "{refusal}");
        for part in expected {
            assert!(refusal.contains(part), "{name} was refused without {part:?}:\n{refusal}");
        }
        assert!(refusal.contains("hint: "), "{refusal}");
        assert!(!refusal.contains("canary"), "a secret is shown:\n{refusal}");
    }
}

#[test]
fn a_bad_line_of_dot_env_is_named_and_not_quoted() {
    let refusal = Home::new().dot_env("GEMINI_API_KEY=x\nOPENAI_API_KEY canary\n").refusal();
    assert!(refusal.contains(".env:2"), "{refusal}");
    assert!(!refusal.contains("canary"), "{refusal}");
    let refusal = Home::new().dot_env("ATELIER_SERVER__READ_ONLY=maybe\n").refusal();
    assert!(refusal.contains("`ATELIER_SERVER__READ_ONLY` in "), "{refusal}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let refusal = Home::new()
        .file("[server]\nlisen = 'x'\n[llm]\nmodel = 'y'\n")
        .variable("ATELIER_LIMITS__LEASE_S", "soon")
        .refusal();
    assert_eq!(refusal.matches("hint: ").count(), 3, "{refusal}");
}

#[test]
fn what_is_printed_masks_secrets_and_can_be_read_again() {
    let home = Home::new()
        .file("[llm]\nanthropic_api_key = 'canary-file'\n[llm.commands.mine]\ncommand = ['x y', \"it's\"]\n")
        .dot_env("OPENAI_API_KEY=canary-env\n")
        .variable("GEMINI_API_KEY", "canary-variable")
        .variable("HTTPS_PROXY", "http://me:canary@proxy.example:3128");
    let text = render(&home.resolved());
    assert!(!text.contains("canary"), "{text}");
    assert!(!format!("{:?}", home.resolved()).contains("canary-"));
    assert!(text.contains("# environment variable `GEMINI_API_KEY`"), "{text}");
    assert!(text.contains("atelier.toml:2"), "{text}");
    assert!(text.contains("`OPENAI_API_KEY` in "), "{text}");
    let without_proxy: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("https_proxy")).collect();
    let again = Home::new().file(&without_proxy.join("\n")).resolved().config;
    assert_eq!(again.llm.commands["mine"].command, ["x y", "it's"]);
    assert_eq!(again.server.listen, home.resolved().config.server.listen);
}

#[test]
fn the_example_file_is_valid_and_names_every_key() {
    let example = include_str!("../../atelier.example.toml");
    Home::new().file(example).resolved();
    // Settings stand behind a bare `#`, explanations behind `# `.
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let uncommented = uncommented.join("\n");
    let home = Home::new().file(&uncommented);
    // What the file names must be there.
    let servers = home.folder.path().join(".config/atelier/mcp_servers.json");
    std::fs::write(servers, "{\"mcpServers\": {}}").unwrap();
    let resolved = home.resolved();
    let printed = render(&resolved);
    let missing: Vec<&str> = printed
        .lines()
        .filter(|line| line.ends_with("# default") || line.ends_with("is not set"))
        .collect();
    assert!(missing.is_empty(), "atelier.example.toml does not name: {missing:#?}");
}

#[cfg(unix)]
#[test]
fn the_data_folder_is_private_and_must_be_a_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let new = folder.path().join("a/b");
    prepare_data_dir(&new).unwrap();
    assert_eq!(std::fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o700);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let problem = prepare_data_dir(&file).unwrap_err();
    assert!(problem.to_string().contains("`--data-dir PATH`"), "{problem}");
    assert!(problem.place.contains("file"), "{problem}");
}
