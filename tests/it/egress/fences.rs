//! What a program may reach, and what not: each refusal with its reason, beside the same thing allowed.

use std::fmt::Write as _;
use std::time::Duration;

use atelier::factory::host::launcher::LaunchError;
use atelier::factory::host::reach::Reach;
use atelier::sandbox::local::LocalSettings;
use atelier::sandbox::{Layer, Tier};

use super::support::{API, Api, Names, Workbench, open_up, reach};
use crate::sandbox::support::{Planted, as_every_user, settings};
use crate::sandbox::traces::Traces;

/// Ways to ask, each answering with one line.
const PRELUDE: &str = r#"
import errno, json, os, socket, sys, urllib.error, urllib.request

def get(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode().strip()}"
    except urllib.error.URLError as error:
        return f"no: {error.reason}"

def connect(target):
    proxy = os.environ["HTTPS_PROXY"].removeprefix("http://").split(":")
    with socket.create_connection((proxy[0], int(proxy[1])), timeout=20) as way:
        way.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = way.recv(65536).decode()
        if not head.startswith("HTTP/1.1 200"):
            return head.split("\r\n")[0]
        way.sendall(b"GET /inside HTTP/1.1\r\nHost: tunnel\r\nConnection: close\r\n\r\n")
        text = b""
        while piece := way.recv(65536):
            text += piece
        return text.decode().split("\r\n\r\n")[1]

def errno_of(do):
    try:
        do()
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_way_out_leads_to_declared_hosts_alone() {
    as_every_user("egress::fences::the_way_out_leads_to_declared_hosts_alone", async || {
        let (api, other) = (Api::start().await, Api::start().await);
        let (port, closed) = (api.port(), other.port());
        let names = Names::new(&[
            (API, "127.0.0.1"),
            ("rebound.test", "10.1.2.3"),
            ("mixed.test", "8.8.8.8"),
            ("mixed.test", "192.168.0.1"),
            ("metadata.test", "169.254.169.254"),
            ("elsewhere.test", "127.0.0.1"),
        ]);
        let private = [format!("{API}:{port}"), "metadata.test:80".to_owned()];
        let bench = Workbench::new(&private, names.clone());
        let declared = [
            format!("{API}:{port}"),
            format!("127.0.0.1:{port}"),
            "rebound.test".to_owned(),
            "mixed.test".to_owned(),
            "metadata.test".to_owned(),
            "nowhere.test".to_owned(),
            "[::1]:80".to_owned(),
        ];
        let undeclared = "is not among the declared hosts";
        let not_public = "is not on the public internet";
        let cases = [
            (format!("get('http://{API}:{port}/a%2Fb?c=d')"), format!("200 {{\"asked\":\"GET {API}:{port} /a%2Fb?c=d no key\"}}")),
            (format!("connect('{API}:{port}')"), "{\"asked\":\"GET tunnel /inside no key\"}".to_owned()),
            (format!("get('http://{API}:{closed}/')"), format!("403 `{API}:{closed}` {undeclared}")),
            (format!("connect('{API}:{closed}')"), format!("HTTP/1.1 403 `{API}:{closed}` {undeclared}")),
            (format!("get('http://elsewhere.test:{port}/')"), format!("403 `elsewhere.test:{port}` {undeclared}")),
            (format!("connect('elsewhere.test:{port}')"), format!("HTTP/1.1 403 `elsewhere.test:{port}` {undeclared}")),
            ("connect('10.0.0.1:443')".to_owned(), format!("HTTP/1.1 403 `10.0.0.1:443` {undeclared}")),
            (format!("connect('127.0.0.1:{port}')"), format!("HTTP/1.1 403 `127.0.0.1:{port}` {not_public} (loopback address); the operator allows it by naming that host in `factory.private_hosts`")),
            (format!("connect('0x7f.1:{port}')"), format!("HTTP/1.1 403 `127.0.0.1:{port}` {not_public} (loopback address)")),
            ("connect('[::1]:80')".to_owned(), format!("HTTP/1.1 403 `[::1]:80` {not_public} (loopback address)")),
            ("connect('rebound.test:443')".to_owned(), format!("HTTP/1.1 403 `rebound.test:443` {not_public} (private address)")),
            ("connect('mixed.test:443')".to_owned(), format!("HTTP/1.1 403 `mixed.test:443` {not_public} (private address)")),
            ("connect('metadata.test:80')".to_owned(), format!("HTTP/1.1 403 `metadata.test:80` {not_public} (link-local address)")),
            ("connect('nowhere.test:443')".to_owned(), "HTTP/1.1 502 the host `nowhere.test` has no address".to_owned()),
        ];
        let calls: Vec<_> = cases.iter().map(|(call, _)| call.as_str()).collect();
        let code = format!("{PRELUDE}\nfor call in ({},):\n    print(call())",
            calls.iter().map(|call| format!("lambda: {call}")).collect::<Vec<_>>().join(", "));
        let ended = bench.run(&code, reach(&declared)).await;
        assert!(ended.ok, "{}", ended.output);
        let lines: Vec<&str> = ended.output.lines().collect();
        assert_eq!(lines.len(), cases.len(), "{}", ended.output);
        for ((call, expected), line) in cases.iter().zip(lines) {
            assert!(line.starts_with(expected.as_str()), "{call}: {line}, not {expected}");
        }
        assert_eq!(api.seen().len(), 2, "{:?}", api.seen());
        assert_eq!(other.seen(), Vec::<String>::new());
        // Hosts that are not declared are not even looked up.
        assert!(!names.asked.lock().unwrap().iter().any(|name| name == "elsewhere.test"));
        // The hint names the setting.
        let ended = bench.run(&format!("{PRELUDE}\nprint(connect('x.test:443'))"), reach(&[])).await;
        assert!(ended.output.contains("declared hosts (none)"), "{}", ended.output);
        assert!(ended.output.contains("`factory.variables`"), "{}", ended.output);
        bench.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_can_be_reached() {
    as_every_user("egress::fences::nothing_else_can_be_reached", async || {
        let traces = Traces::now();
        let api = Api::start().await;
        let planted = Planted::new();
        let bench = Workbench::new(&[], Names::new(&[]));
        // A data folder with what nobody but Atelier may see, beside the package.
        for name in ["atelier.db", "environments/secret", "servers/other/operations.json"] {
            let path = bench.folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "planted").unwrap();
        }
        open_up(bench.folder.path());
        let (folder, secret) = (bench.folder.path().display(), planted.path());
        let (port, own) = (api.port(), std::process::id());
        let cases: Vec<(String, &str)> = vec![
            // Controls: what it may.
            ("open('own.txt').read()".to_owned(), "ok"),
            ("open(os.environ['HOME'] + '/x', 'w').write('y')".to_owned(), "ok"),
            ("open(os.environ['TMPDIR'] + '/x', 'w').write('y')".to_owned(), "ok"),
            ("socket.create_connection(('127.0.0.1', 3128), 5)".to_owned(), "ok"),
            ("os.kill(os.getpid(), 0)".to_owned(), "ok"),
            ("[__import__('httpx2'), __import__('mcp')]".to_owned(), "ok"),
            // The network, by other ways than the proxy.
            (format!("socket.create_connection(('127.0.0.1', {port}), 5)"), "EACCES"),
            ("socket.create_connection(('8.8.8.8', 443), 5)".to_owned(), "EACCES"),
            ("socket.create_connection(('8.8.8.8', 3128), 5)".to_owned(), "ENETUNREACH"),
            ("socket.create_connection(('2001:4860:4860::8888', 3128), 5)".to_owned(), "ENETUNREACH"),
            ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM)".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_INET).bind(('127.0.0.1', 0))".to_owned(), "EPERM"),
            ("socket.socket(socket.AF_INET).listen()".to_owned(), "EPERM"),
            ("socket.getaddrinfo('example.com', 443)".to_owned(), "[Errno -3] Temporary failure in name resolution"),
            // Files.
            (format!("open('{secret}').read()"), "ENOENT"),
            (format!("open('{folder}/atelier.db').read()"), "ENOENT"),
            (format!("open('{folder}/environments/secret').read()"), "ENOENT"),
            (format!("open('{folder}/servers/other/operations.json').read()"), "ENOENT"),
            ("os.listdir('/root/.ssh')".to_owned(), "ENOENT"),
            ("open('/etc/shadow').read()".to_owned(), "ENOENT"),
            ("os.listdir('/home/user')".to_owned(), "ENOENT"),
            ("open('own.txt', 'w')".to_owned(), "EROFS"),
            ("open('new.txt', 'w')".to_owned(), "EROFS"),
            ("open('/usr/new', 'w')".to_owned(), "EROFS"),
            ("open('/new', 'w')".to_owned(), "EROFS"),
            ("os.listdir('/sys')".to_owned(), "ENOENT"),
            ("open('/proc/sys/kernel/core_pattern', 'w')".to_owned(), "EROFS"),
            // Processes.
            (format!("os.kill({own}, 0)"), "ESRCH"),
            (format!("open('/proc/{own}/environ').read()"), "ENOENT"),
            ("os.kill(1, 9)".to_owned(), "EPERM"),
            ("open('/proc/1/environ').read()".to_owned(), "EACCES"),
            ("os.setuid(0)".to_owned(), "EINVAL"),
            ("os.unshare(os.CLONE_NEWUSER) if hasattr(os, 'unshare') else libc('unshare', 0x10000000)".to_owned(), "EPERM"),
            ("libc('ptrace', 16, 1, 0, 0)".to_owned(), "EPERM"),
            ("libc('mount', b'none', b'/proc', b'tmpfs', 0, None)".to_owned(), "EPERM"),
            ("libc('setns', 0, 0)".to_owned(), "EPERM"),
        ];
        let mut code = format!(
            "{PRELUDE}\nimport ctypes\ndef libc(name, *arguments):\n    library = ctypes.CDLL(None, use_errno=True)\n    if getattr(library, name)(*arguments) < 0:\n        raise OSError(ctypes.get_errno(), name)\n"
        );
        for (body, _) in &cases {
            writeln!(code, "print(errno_of(lambda: {body}))").unwrap();
        }
        code.push_str("print(sorted(os.environ))\nprint(os.environ['GIVEN'], os.getuid(), os.getpid() < 10)\n");
        code.push_str("print(sorted(entry for entry in os.listdir('/proc') if entry.isdigit()))\n");
        let ended = bench.run(&code, reach(&[])).await;
        assert!(ended.ok, "{}", ended.output);
        let mut lines = ended.output.lines();
        let wrong: Vec<String> = cases
            .iter()
            .zip(&mut lines)
            .filter(|((_, expected), line)| line != expected)
            .map(|((body, expected), line)| format!("{body}: {line}, not {expected}"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // Nothing of our environment, and what everybody needs.
        assert_eq!(
            lines.next().unwrap(),
            "['GIVEN', 'HOME', 'HTTPS_PROXY', 'HTTP_PROXY', 'LANG', 'PATH', 'PYTHONDONTWRITEBYTECODE', \
             'PYTHONUNBUFFERED', 'TMPDIR', 'http_proxy', 'https_proxy']"
        );
        assert_eq!(lines.next(), Some("this 1000 True"));
        assert_eq!(lines.next(), Some("['1', '2']"), "its own process and the first one");
        assert_eq!(api.seen(), Vec::<String>::new());
        bench.close().await;
        drop((planted, api));
        traces.assert_none_left().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_without_a_network_has_none() {
    let bench = Workbench::new(&[], Names::new(&[]));
    let code = format!(
        "{PRELUDE}\nprint(errno_of(lambda: socket.create_connection(('127.0.0.1', 3128), 5)))\nprint('HTTP_PROXY' in os.environ)"
    );
    let ended = bench.run(&code, Reach::default()).await;
    assert_eq!(ended.output, "EACCES\nFalse");
    let isolation =
        bench.launcher.start(bench.program("pass", Reach::default())).await.unwrap().isolation;
    assert!(isolation.ends_with("no network"), "{isolation}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_isolates_nothing_is_started() {
    for without in [Layer::UserNamespace, Layer::NetworkNamespace] {
        let weak = LocalSettings { without: [without].into(), ..settings() };
        let bench = Workbench::with(weak, &[], Names::new(&[]));
        match bench.refused("print(1)", Reach::default()).await {
            LaunchError::TooWeak { reason, fix } => {
                assert!(reason.contains("`no-landlock` is the least that is allowed"), "{reason}");
                assert!(fix.contains("python.without_layers"), "{fix}");
            }
            LaunchError::Failed(reason) => panic!("{reason}"),
        }
        bench.close().await;
    }
    let strict =
        LocalSettings { without: [Layer::Landlock].into(), least: Tier::NoCgroup, ..settings() };
    let bench = Workbench::with(strict, &[], Names::new(&[]));
    let refused = bench.refused("print(1)", Reach::default()).await;
    assert!(matches!(refused, LaunchError::TooWeak { .. }), "{refused:?}");
    bench.close().await;
    // The same without the demand.
    let weak = LocalSettings { without: [Layer::Landlock].into(), ..settings() };
    let bench = Workbench::with(weak, &[], Names::new(&[]));
    assert_eq!(bench.run("print(1)", Reach::default()).await.output, "1");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_faults_are_told() {
    let bench = Workbench::new(&[], Names::new(&[]));
    for (code, words) in [
        ("raise SystemExit('told')", "told"),
        ("import os; os.abort()", "signal: 6"),
        ("x = bytearray(3 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1", "more memory"),
    ] {
        let ended = bench.run(code, Reach::default()).await;
        assert!(!ended.ok && ended.output.contains(words), "{code}: {ended:?}");
    }
    let forks = "\
import os
made = 0
try:
    while made < 1000:
        if os.fork() == 0:
            import time; time.sleep(100)
        made += 1
except OSError as error:
    print(error.errno, made < 100)
";
    assert_eq!(bench.run(forks, Reach::default()).await.output, "11 True");
    let mut program = bench.program("pass", Reach::default());
    program.python = bench.folder.path().join("no/python");
    let refused = bench.launcher.run(program, Duration::from_secs(20)).await.unwrap_err();
    assert!(refused.to_string().contains("no/python"), "{refused}");
    bench.close().await;
}
