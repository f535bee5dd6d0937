//! Wrong settings of a made server: it does not start, and says which one is wrong, where it is
//! started by hand and where a tool starts it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use atelier::app::App;
use atelier::config::Config;
use atelier::factory::render::{render, templates::Templates};
use atelier::factory::source::openapi::bundle::Bundle;
use atelier::factory::source::openapi::{Settings, document, normalise};
use atelier::registry::{CallContext, Origin};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::egress::app::open;
use crate::sandbox::support::settings;
use crate::support::factory_python::{environment, interpreter};

const DESCRIPTION: &str = r"
openapi: 3.1.0
info: {title: Closed, version: 1.0.0}
servers: [{url: 'https://api.example.com'}]
components:
  securitySchemes:
    mine: {type: mutualTLS}
    sign in: {type: oauth2, flows: {clientCredentials: {tokenUrl: 'https://auth.example.com/token', scopes: {}}}}
paths:
  /a: {get: {operationId: getA, security: [{mine: []}, {sign in: []}], responses: {200: {description: ok}}}}
";
const CERTIFICATE: &str = "MINE_CERTIFICATE_FILE";
const KEY: &str = "MINE_KEY_FILE";

/// Certificates and keys, right and wrong ones.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        const MAKE: &str = "
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

name, start = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'client')]), datetime.datetime(2026, 1, 1)
key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
made = made.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=36500)).sign(key, hashes.SHA256())
pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
def write(name, *parts):
    open(sys.argv[1] + '/' + name, 'wb').write(b''.join(parts))
plain = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
write('certificate.pem', made.public_bytes(pem))
write('key.pem', plain)
write('both.pem', made.public_bytes(pem), plain)
write('other.pem', other.private_bytes(pem, pkcs8, serialization.NoEncryption()))
write('locked.pem', key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b'word')))
write('text.pem', b'no certificate')
";
        let folder = tempfile::tempdir().unwrap();
        let ended =
            Command::new(interpreter()).args(["-c", MAKE]).arg(folder.path()).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().canonicalize().unwrap().join(name).display().to_string()
    }
}

/// The files of the package.
fn package() -> TempDir {
    let bundle = Bundle::new(document::read(DESCRIPTION, "it").unwrap(), None);
    let package = normalise(&bundle, &Settings::default(), "it").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for file in render(&package, &[], &Templates::default()).unwrap() {
        let path = folder.path().join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file.text).unwrap();
    }
    folder
}

/// Starts a server whose input ends at once: whether it ended well, and what it said.
fn started(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let ended = Command::new(interpreter())
        .arg("server.py")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (ended.status.success(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

#[test]
fn a_package_that_is_started_by_hand_names_the_wrong_variable_in_one_line() {
    let (package, files) = (package(), Files::new());
    let [certificate, key, gone] =
        ["certificate.pem", "key.pem", "gone.pem"].map(|it| files.path(it));
    let right = [(CERTIFICATE, certificate.as_str()), (KEY, key.as_str())];
    assert_eq!(started(package.path(), &[], &right), (true, String::new()));
    // However it is started.
    for way in [&[][..], &["--health"], &["--http", "127.0.0.1:0"]] {
        let wrong = [(CERTIFICATE, certificate.as_str()), (KEY, gone.as_str())];
        let (fine, said) = started(package.path(), way, &wrong);
        let line = format!(
            "the environment variable {KEY} names {gone}, which cannot be read: No such file or directory\n"
        );
        assert_eq!((fine, said), (false, line), "{way:?}");
    }
    let (fine, said) = started(package.path(), &["--http", "here"], &[]);
    assert!(!fine && said.contains("--http wants HOST:PORT, not `here`"), "{said}");
}

/// The application of a package with each set of variables, and what it refuses.
#[test]
fn every_wrong_setting_is_told_with_its_reason() {
    const TRY: &str = "
import json, sys
from pathlib import Path

root = Path(sys.argv[1])
sys.path.insert(0, str(root))
from runtime.application import Application
from runtime.errors import ToolFailure

said = []
for variables in json.loads(sys.argv[2]):
    try:
        Application(root, variables)
        said.append('')
    except ToolFailure as failure:
        said.append(failure.message)
print(json.dumps(said))
";
    let (package, files) = (package(), Files::new());
    let path = |name: &str| files.path(name);
    let certificate = path("certificate.pem");
    let cases = [
        (json!({}), "", ""),
        (json!({CERTIFICATE: certificate, KEY: path("key.pem")}), "", ""),
        (json!({CERTIFICATE: path("both.pem")}), "", ""),
        (json!({CERTIFICATE: path("both.pem"), KEY: ""}), "", ""),
        (json!({"API_TIMEOUT_SECONDS": "2.5", "API_BASE_URL": "http://[::1]:8080/v1/"}), "", ""),
        (json!({CERTIFICATE: path("gone.pem")}), CERTIFICATE, "No such file"),
        (json!({CERTIFICATE: path("")}), CERTIFICATE, "Is a directory"),
        (json!({CERTIFICATE: path("text.pem")}), CERTIFICATE, "holds no certificate"),
        (json!({CERTIFICATE: certificate}), CERTIFICATE, "MINE_KEY_FILE names no other file"),
        (json!({CERTIFICATE: certificate, KEY: path("text.pem")}), KEY, "holds no private key"),
        (json!({CERTIFICATE: certificate, KEY: path("locked.pem")}), KEY, "is encrypted"),
        (json!({CERTIFICATE: certificate, KEY: path("other.pem")}), CERTIFICATE, "cannot be used"),
        (json!({"API_TIMEOUT_SECONDS": "soon"}), "API_TIMEOUT_SECONDS", "no number of seconds"),
        (json!({"API_TIMEOUT_SECONDS": "0"}), "API_TIMEOUT_SECONDS", "no number of seconds"),
        (json!({"API_TIMEOUT_SECONDS": "inf"}), "API_TIMEOUT_SECONDS", "no number of seconds"),
        (json!({"API_BASE_URL": "api.example.com"}), "API_BASE_URL", "begins with http"),
        (json!({"API_BASE_URL": "ftp://api.example.com"}), "API_BASE_URL", "begins with http"),
        (json!({"API_BASE_URL": "http://["}), "API_BASE_URL", "begins with http"),
        (json!({"API_BASE_URL": "http://a:99999"}), "API_BASE_URL", "begins with http"),
    ];
    let variables: Vec<&Value> = cases.iter().map(|(variables, ..)| variables).collect();
    let ended = Command::new(interpreter())
        .args(["-c", TRY])
        .arg(package.path())
        .arg(json!(variables).to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let said: Vec<String> = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(said.len(), cases.len());
    for ((variables, wrong, reason), said) in cases.iter().zip(said) {
        if wrong.is_empty() {
            assert_eq!(said, "", "{variables}");
        } else {
            let start = format!("the environment variable {wrong} ");
            assert!(said.starts_with(&start) && said.contains(reason), "{variables}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}

async fn call(app: &App, tool: &str, arguments: Value) -> (bool, Value) {
    let context = CallContext::new("tester".into(), Origin::Client);
    let outcome = app.registry.call(tool, arguments, context).await;
    (outcome.is_error, outcome.structured)
}

/// A program in whose data folder the server is made, with files of its own in an allowed folder,
/// the first of them named by the operator.
async fn shop(folder: &Path, allowed: &Files) -> Arc<App> {
    let mut config = Config::default();
    config.storage.data_dir = folder.join("data");
    config.factory.environment = Some(environment());
    config.factory.allowed_roots = vec![allowed.0.path().to_owned()];
    config.factory.variables.insert(CERTIFICATE.to_owned(), allowed.path("certificate.pem"));
    config.limits.answer_budget_s = 300.0;
    let app = open(config, settings()).await;
    let (is_error, made) = call(&app, "create_mcp_server", json!({"openapi": DESCRIPTION})).await;
    assert!(!is_error, "{made:#}");
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tool_that_starts_a_server_names_the_wrong_variable() {
    let (folder, allowed, outside) = (tempfile::tempdir().unwrap(), Files::new(), Files::new());
    let app = shop(folder.path(), &allowed).await;
    let start = async |environment: Value| {
        let arguments = json!({"server_name": "closed", "environment": environment});
        call(&app, "start_mcp_server", arguments).await
    };
    let here = |name: &str| allowed.path(name);
    for (variables, code, wrong, reason) in [
        (
            json!({CERTIFICATE: here("gone.pem")}),
            "not_started",
            CERTIFICATE,
            "cannot be read: No such file",
        ),
        (json!({CERTIFICATE: "gone.pem"}), "arguments", CERTIFICATE, "is no absolute path"),
        (json!({CERTIFICATE: here("")}), "not_started", CERTIFICATE, "is no file"),
        (
            json!({"SIGN_IN_TOKEN_FILE": here("text.pem/tokens.json")}),
            "not_started",
            "SIGN_IN_TOKEN_FILE",
            "a folder that is not there",
        ),
        // What is wrong inside, the server itself says: of the operator's certificate here.
        (json!({}), "not_started", CERTIFICATE, "MINE_KEY_FILE names no other file"),
        (
            json!({KEY: here("other.pem")}),
            "not_started",
            CERTIFICATE,
            "cannot be used with the key",
        ),
        // A file that a call names is handed to code that its caller may have written.
        (json!({KEY: outside.path("key.pem")}), "not_allowed", KEY, "allowed folder"),
        (json!({KEY: outside.path("gone.pem")}), "not_allowed", KEY, "allowed folder"),
        (
            json!({"SIGN_IN_TOKEN_FILE": outside.path("t.json")}),
            "not_allowed",
            "SIGN_IN_TOKEN_FILE",
            "allowed folder",
        ),
        (
            json!({"SIGN_IN_TOKEN_FILE": here("../t.json")}),
            "not_allowed",
            "SIGN_IN_TOKEN_FILE",
            "allowed folder",
        ),
    ] {
        let (is_error, refused) = start(variables.clone()).await;
        let code = format!("factory_{code}");
        assert!(is_error && refused["code"] == code.as_str(), "{variables}: {refused:#}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(wrong) && message.contains(reason), "{variables}: {message}");
        assert!(!message.contains("Traceback"), "{message}");
    }
    std::os::unix::fs::symlink(outside.path("key.pem"), here("link.pem")).unwrap();
    let (_, refused) = start(json!({KEY: here("link.pem")})).await;
    assert_eq!(refused["code"], "factory_not_allowed", "{refused:#}");
    let tokens = PathBuf::from(here("tokens"));
    std::fs::create_dir(&tokens).unwrap();
    let fine = json!({KEY: here("key.pem"), "SIGN_IN_TOKEN_FILE": tokens.join("t.json")});
    let (is_error, started) = start(fine).await;
    assert!(!is_error, "{started:#}");
    app.shut_down().await;
}
