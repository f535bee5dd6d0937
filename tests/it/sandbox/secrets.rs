//! Secrets planted all around the code, and code that looks for them everywhere it can reach.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use atelier::sandbox::local::LocalSandbox;
use atelier::sandbox::{Event, InputFile, Layer, Sandbox as _};
use serde_json::json;

use super::support::{as_every_user, outside, run, sandbox, sandbox_without, spec, value};

/// Looks for `planted-` with 16 digits behind it. The code itself holds no such text.
const HUNT: &str = r"
import gc, os, re, socket, sys
WANTED = re.compile(rb'planted' + rb'-(\w+)-' + rb'[0-9]{16}')
found = set()
def look(where, data):
    if isinstance(data, str):
        data = data.encode('utf-8', 'replace')
    for match in WANTED.finditer(data):
        found.add(where + ' ' + match.group(1).decode())
def read(path, limit=1 << 20):
    try:
        with open(path, 'rb') as file:
            return file.read(limit)
    except OSError:
        return b''
look('environment', repr(dict(os.environ)))
tops = ('/etc', '/home', '/root', '/tmp', '/var/tmp', '/run', '/opt', '/srv', '/dev', '/mnt', '/cache', '.', '..')
try:
    processes = [entry for entry in os.listdir('/proc') if entry.isdigit()]
except PermissionError:
    processes = [str(process) for process in range(1, 1000)] + [str(os.getppid()), 'self']
if sys.argv[0] == '-c':
    # The control, in a plain process, which need not read the whole machine.
    processes = [str(os.getppid()), 'self']
    tops = [entry.path for entry in os.scandir('/tmp') if entry.name.startswith('surroundings')]
for process in processes:
    for name in ('environ', 'cmdline', 'mountinfo', 'net/unix', 'stack'):
        look(name, read(f'/proc/{process}/{name}'))
    try:
        for entry in os.listdir(f'/proc/{process}/fd'):
            path = f'/proc/{process}/fd/{entry}'
            look('descriptor', os.readlink(path))
            # Files only: a read of a pipe would wait.
            if os.path.isfile(path):
                look('descriptor', read(path))
    except OSError:
        pass
def memory(process):
    try:
        maps, memory = open(f'/proc/{process}/maps'), open(f'/proc/{process}/mem', 'rb', buffering=0)
    except OSError:
        return
    for line in maps:
        span, rights = line.split()[:2]
        start, end = (int(part, 16) for part in span.split('-'))
        if rights.startswith('r') and end - start < 1 << 28 and '[v' not in line:
            try:
                memory.seek(start)
                look('memory', memory.read(end - start))
            except (OSError, ValueError):
                pass
for process in processes:
    memory(process)
gc.unfreeze()
for thing in gc.get_objects():
    if isinstance(thing, dict):
        for text in list(thing.values()):
            if isinstance(text, (str, bytes)):
                look('objects', text)
for top in tops:
    for folder, folders, names in os.walk(top):
        if folder.count('/') > 2:
            folders.clear()
        for name in names[:200]:
            path = os.path.join(folder, name)
            look('file name', path)
            if os.path.isfile(path) and not os.path.islink(path):
                look('file', read(path, 1 << 16))
";

const SERVER: &str = "ATELIER_TEST_PLANTED";

/// Secrets in the server's environment, memory, files and sockets, and in another run.
struct Surroundings {
    _folder: tempfile::TempDir,
    _listener: UnixListener,
    memory: String,
}

fn secret(place: &str) -> String {
    // Put together here, so that the test binary's own text holds none.
    format!("{}-{place}-{}", "planted", "0123456789012345")
}

impl Surroundings {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::Builder::new().prefix("surroundings").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for mode in [0o644, 0o600] {
            let file = folder.path().join(format!("{mode}"));
            std::fs::write(&file, secret("file")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let name = format!("{}{}", secret("socket"), std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        Self {
            _folder: folder,
            _listener: UnixListener::bind_addr(&address).unwrap(),
            memory: secret("memory"),
        }
    }
}

async fn hunt(sandbox: LocalSandbox) {
    let surroundings = Surroundings::new();
    // Another run holds secrets of its own, in its memory and in its folder, and lives on.
    let mut other = spec(
        "import os, time\nkept = open('in.txt').read() * 3\nprint('up', flush=True)\ntime.sleep(60)",
        100,
    );
    other.inputs = vec![InputFile { name: "in.txt".to_owned(), bytes: secret("run").into() }];
    let mut other = sandbox.start(other).await.unwrap();
    while let Some(event) = other.next().await {
        if let Event::Output { .. } = event {
            break;
        }
    }
    let outcome = run(&sandbox, spec(&format!("{HUNT}\nsorted(found)"), 100)).await;
    assert_eq!(value(&outcome), &json!([]), "{}", surroundings.memory);
    // The same hunt finds what its own run was given, so it can see.
    let mut own = spec(&format!("kept = open('in.txt').read()\n{HUNT}\nsorted(found)"), 100);
    own.inputs = vec![InputFile { name: "in.txt".to_owned(), bytes: secret("own").into() }];
    let outcome = run(&sandbox, own).await;
    let seen = value(&outcome).as_array().unwrap();
    assert!(seen.contains(&json!("file own")) && seen.contains(&json!("objects own")), "{seen:?}");
    if outcome.isolation.holds(Layer::PrivateRoot) {
        assert!(seen.contains(&json!("memory own")), "{seen:?}");
    }
    assert!(seen.iter().all(|place| place.as_str().unwrap().ends_with(" own")), "{seen:?}");
    // Outside, a process of the same user finds the server's secrets.
    let seen = outside(&format!("{HUNT}\nprint(sorted(found))")).await;
    for place in ["environment server", "environ server", "net/unix socket", "file file"] {
        assert!(seen.contains(place), "{place}: {seen}");
    }
    other.cancel().await;
    other.finish().await.unwrap();
    sandbox.close().await;
}

/// The server's environment must hold the secret from its start: a process of its own.
async fn in_a_server_with_a_secret(test: &str, make: fn() -> LocalSandbox) {
    as_every_user(test, async || {
        if std::env::var_os(SERVER).is_some() {
            return hunt(make()).await;
        }
        let output = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(SERVER, secret("server"))
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_never_seen() {
    in_a_server_with_a_secret("sandbox::secrets::secrets_are_never_seen", sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_never_seen_without_namespaces() {
    in_a_server_with_a_secret(
        "sandbox::secrets::secrets_are_never_seen_without_namespaces",
        || sandbox_without(&[Layer::UserNamespace]),
    )
    .await;
}
