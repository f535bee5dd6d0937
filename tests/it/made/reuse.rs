//! The same package is made and proven once: counted by the programs that are started for proofs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use atelier::app::{App, LinkLife, Ports};
use atelier::browser::Chrome;
use atelier::config::Config;
use atelier::config::factory::ScanRule;
use atelier::fetch::Fetcher;
use atelier::llm::resolve::{Models, system_calendar};
use atelier::registry::{CallContext, Origin};
use atelier::sandbox::local::LocalSandbox;
use atelier::sandbox::{
    RunHandle, RunSpec, Sandbox, SandboxError, SandboxReport, Service, ServiceSpec,
};
use atelier::storage::blobs::Blobs;
use atelier::storage::sqlite::SqliteCatalog;
use serde_json::{Value, json};

use crate::sandbox::support::settings;
use crate::support::factory_python::environment;

/// The real sandbox, and how many programs were started in it.
struct Counting {
    inner: LocalSandbox,
    programs: Arc<AtomicUsize>,
}

#[async_trait]
impl Sandbox for Counting {
    async fn start(&self, spec: RunSpec) -> Result<RunHandle, SandboxError> {
        self.inner.start(spec).await
    }

    async fn start_service(&self, spec: ServiceSpec) -> Result<Service, SandboxError> {
        self.programs.fetch_add(1, Ordering::SeqCst);
        self.inner.start_service(spec).await
    }

    async fn report(&self) -> SandboxReport {
        self.inner.report().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// The program on a data folder, with a catalog of its own.
pub(super) struct Shop {
    pub(super) app: Arc<App>,
    programs: Arc<AtomicUsize>,
}

impl Shop {
    pub(super) async fn open(data: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.storage.data_dir = data.to_owned();
        config.factory.environment = Some(environment());
        config.factory.allowed_roots = vec![data.to_owned()];
        config.limits.answer_budget_s = 300.0;
        change(&mut config);
        let programs = Arc::new(AtomicUsize::new(0));
        let sandbox =
            Counting { inner: LocalSandbox::new(settings()), programs: Arc::clone(&programs) };
        let ports = Ports {
            catalog: Arc::new(SqliteCatalog::in_memory().await.unwrap()),
            blobs: Blobs::in_memory(),
            models: Arc::new(Models::new(&config.llm, system_calendar()).unwrap()),
            fetcher: Fetcher::new(),
            renderer: Arc::new(Chrome::new(&config.browser, Vec::new())),
            sandbox: Arc::new(sandbox),
            further_tools: Vec::new(),
        };
        let app = App::with_ports(config, ports, LinkLife::WhileRunning).await.unwrap();
        Self { app, programs }
    }

    pub(super) async fn create_as(&self, principal: &str, arguments: Value) -> (bool, Value) {
        let context = CallContext::new(principal.into(), Origin::Client);
        let outcome = self.app.registry.call("create_mcp_server", arguments, context).await;
        (outcome.is_error, outcome.structured)
    }

    /// A server of this caller's, and how many programs were started to prove it.
    async fn made(&self, principal: &str, arguments: Value) -> (Value, usize) {
        let before = self.programs.load(Ordering::SeqCst);
        let (is_error, made) = self.create_as(principal, arguments).await;
        assert!(!is_error, "{made:#}");
        assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
        (made, self.programs.load(Ordering::SeqCst) - before)
    }
}

/// What proves a package: its server, and its tests.
const PROOF: usize = 2;

pub(super) fn adder(number: u32) -> Value {
    json!({"name": "adder", "tool_specs": [{
        "name": "add", "description": format!("Adds {number}."),
        "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        "implementation": format!("async def run(args, ctx):\n    return args['a'] + {number}\n"),
        "examples": [{"arguments": {"a": 1}, "result": 1 + number}],
    }]})
}

/// Every file of a package.
pub(super) fn files(made: &Value) -> BTreeMap<PathBuf, String> {
    let root = PathBuf::from(made["path"].as_str().unwrap());
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_owned();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_package_is_proven_once() {
    let data = tempfile::tempdir().unwrap();
    let shop = Shop::open(data.path(), |_| {}).await;
    let (first, programs) = shop.made("tester", adder(1)).await;
    assert_eq!(programs, PROOF);
    assert_eq!(first.get("from_cache"), None, "{first:#}");

    let (second, programs) = shop.made("tester", adder(1)).await;
    assert_eq!(programs, 0, "{second:#}");
    assert_eq!(second["from_cache"]["execution"], first["call_id"], "{second:#}");
    assert_eq!((&first["version"], &second["version"]), (&json!(1), &json!(2)));
    assert_ne!(first["path"], second["path"]);
    assert_eq!(files(&first), files(&second));
    assert_eq!(first["self_test"], second["self_test"]);
    let told = format!("by the call {}", first["call_id"].as_str().unwrap());
    assert!(second["message"].as_str().unwrap().contains(&told), "{second:#}");

    // Another representation, and another owner.
    let (other, programs) = shop.made("tester", adder(2)).await;
    assert_eq!((programs, other.get("from_cache")), (PROOF, None));
    let (theirs, programs) = shop.made("somebody else", adder(1)).await;
    assert_eq!((programs, theirs.get("from_cache")), (PROOF, None));

    // Calls at the same time: one makes it, and the other takes it over.
    let (one, two) =
        tokio::join!(shop.create_as("tester", adder(3)), shop.create_as("tester", adder(3)));
    let reused: Vec<bool> = [&one, &two]
        .map(|(is_error, made)| {
            assert!(!is_error, "{made:#}");
            made.get("from_cache").is_some()
        })
        .into();
    assert!(reused == [true, false] || reused == [false, true], "{one:?} {two:?}");
    assert_eq!(shop.programs.load(Ordering::SeqCst), 4 * PROOF);
    assert_eq!(files(&one.1), files(&two.1));
    shop.app.shut_down().await;

    // After a restart it is still there; with another rule, template or no place it is not.
    let rule = ScanRule {
        name: "no-sleep".to_owned(),
        pattern: None,
        call: Some("time.sleep".to_owned()),
        severity: "low".to_owned(),
        message: "no".to_owned(),
    };
    let shop = Shop::open(data.path(), |_| {}).await;
    let (again, programs) = shop.made("tester", adder(1)).await;
    assert_eq!((programs, &again["from_cache"]["execution"]), (0, &first["call_id"]));
    let templates = data.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    std::fs::write(templates.join("README.md.j2"), "Our own words.").unwrap();
    let mut call = adder(1);
    call["options"] = json!({"template_dir": templates});
    let (replaced, programs) = shop.made("tester", call).await;
    assert_eq!((programs, replaced.get("from_cache")), (PROOF, None));
    assert_eq!(files(&replaced)[Path::new("README.md")], "Our own words.\n");
    shop.app.shut_down().await;
    let shop = Shop::open(data.path(), |config| config.factory.scan_rules = vec![rule]).await;
    assert_eq!(shop.made("tester", adder(1)).await.1, PROOF);
    shop.app.shut_down().await;
    let shop = Shop::open(data.path(), |config| config.factory.kept_packages = 0).await;
    assert_eq!(shop.made("tester", adder(1)).await.1, PROOF);
    shop.app.shut_down().await;
}
