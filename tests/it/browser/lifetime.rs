//! How long Chrome lives, and that nothing of it stays.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use atelier::browser::{Chrome, Renderer};
use atelier::config::browser::{BrowserConfig, IsolationWish};
use serde_json::json;

use super::support::{chrome, config, files_named, is_alive, print, tree, until};

/// Makes this test binary a program that prints, tells its Chrome, and waits to be killed.
const AS_PROGRAM: &str = "ATELIER_TEST_HOLD_CHROME";

#[tokio::test(flavor = "multi_thread")]
async fn it_sits_in_a_namespace_of_its_own_without_rights() {
    let chrome = chrome();
    let status = chrome.status().await;
    assert!(status.chrome.unwrap().starts_with("Chrome/"));
    let isolation = status.isolation.unwrap();
    assert!(isolation.network_namespace, "{isolation:?}");
    assert!(isolation.chrome_sandbox, "{isolation:?}");
    let pid = chrome.process_id().await.unwrap();
    let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_ne!(link(&pid.to_string()), link("self"));
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_ne!(line("Uid:"), "0");
    assert_eq!(u64::from_str_radix(&line("CapEff:"), 16).unwrap(), 0);
    assert_eq!(line("NoNewPrivs:"), "0", "Chrome's own sandbox could not start");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("CARGO"), "ours leaked");
    // Only loopback is there, and it is down.
    let devices = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    assert_eq!(devices.lines().skip(2).count(), 1, "{devices}");
    let routes = std::fs::read_to_string(format!("/proc/{pid}/net/route")).unwrap();
    assert_eq!(routes.lines().skip(1).count(), 0, "{routes}");
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_end_leaves_no_process_and_no_folder() {
    let before = files_named(&std::env::temp_dir(), ".org.chromium").len();
    let chrome = chrome();
    print(&chrome, "<p>x", json!({})).await.unwrap();
    // Some of its helpers end by themselves at any time.
    let processes: Vec<_> =
        tree(chrome.process_id().await.unwrap()).into_iter().filter(|pid| is_alive(*pid)).collect();
    assert!(processes.len() > 3, "{processes:?}");
    chrome.shut_down().await;
    until("all processes have ended", || !processes.iter().copied().any(is_alive)).await;
    assert_eq!(files_named(&std::env::temp_dir(), ".org.chromium").len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_renderer_ends_chrome_too() {
    let chrome = chrome();
    print(&chrome, "<p>x", json!({})).await.unwrap();
    let processes = tree(chrome.process_id().await.unwrap());
    drop(chrome);
    until("all processes have ended", || !processes.iter().copied().any(is_alive)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_idle_and_starts_again() {
    let chrome = Chrome::new(&BrowserConfig { idle_s: 0.3, ..config() }, Vec::new());
    print(&chrome, "<p>x", json!({})).await.unwrap();
    let first = chrome.process_id().await;
    if let Some(first) = first {
        until("the idle Chrome has ended", || !is_alive(first)).await;
    }
    print(&chrome, "<p>x", json!({})).await.unwrap();
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_replaced_when_it_is_worn() {
    let worn = BrowserConfig { documents_per_start: 2, ..config() };
    let chrome = Chrome::new(&worn, Vec::new());
    let mut processes = Vec::new();
    for _ in 0..5 {
        print(&chrome, "<p>x", json!({})).await.unwrap();
        processes.push(chrome.process_id().await.unwrap());
    }
    processes.dedup();
    assert_eq!(processes.len(), 3, "{processes:?}");
    let first = processes[0];
    until("the worn Chrome has ended", || !is_alive(first)).await;
    chrome.shut_down().await;

    let small = Chrome::new(&BrowserConfig { memory_bytes: 1, ..config() }, Vec::new());
    print(&small, "<p>x", json!({})).await.unwrap();
    let first = small.process_id().await.unwrap();
    print(&small, "<p>x", json!({})).await.unwrap();
    assert_ne!(small.process_id().await.unwrap(), first);
    small.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_takes_chrome_along() {
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "browser::lifetime::as_a_program_it_holds_chrome",
            "--nocapture",
            "--ignored",
        ])
        .env(AS_PROGRAM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(program.stdout.take().unwrap());
    let chrome = loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "the program ended early");
        if let Some((_, pid)) = line.trim().split_once("chrome is ") {
            break pid.parse::<u32>().unwrap();
        }
    };
    let processes = tree(chrome);
    // Some of Chrome's helpers are short-lived and may end at any moment.
    let alive = processes.iter().copied().filter(|process| is_alive(*process)).count();
    assert!(alive > 3, "{processes:?}");
    program.kill().unwrap();
    program.wait().unwrap();
    until("all processes have ended", || !processes.iter().copied().any(is_alive)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a program for the test before"]
async fn as_a_program_it_holds_chrome() {
    if std::env::var_os(AS_PROGRAM).is_none() {
        return;
    }
    let chrome = chrome();
    // It spins, so that nothing inside could end in order.
    let _ = tokio::time::timeout(
        Duration::from_secs(2),
        print(&chrome, "<script>while (true) {}</script>", json!({})),
    )
    .await;
    println!("chrome is {}", chrome.process_id().await.unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_has_the_same_isolation() {
    if std::env::var_os(AS_PROGRAM).is_some() || !rustix_is_root() {
        // An ordinary user tests it by every other test.
        return;
    }
    // The program must be where that user can run it.
    let folder = tempfile::Builder::new().prefix("atelier-test").tempdir_in("/var/tmp").unwrap();
    let program = folder.path().join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65533", "--regid", "65533", "--clear-groups"])
        .arg(&program)
        .args(["--exact", "browser::lifetime::it_sits_in_a_namespace_of_its_own_without_rights"])
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_namespace_rules_hold_and_leftovers_are_removed() {
    let leftover = std::env::temp_dir().join(format!("atelier-chrome-left-{}", std::process::id()));
    std::fs::create_dir_all(leftover.join("profile")).unwrap();
    std::fs::write(leftover.join("owner"), "").unwrap();
    let config = BrowserConfig { isolation: IsolationWish::Rules, ..config() };
    let chrome = Chrome::new(&config, Vec::new());
    let isolation = chrome.status().await.isolation.unwrap();
    assert!(!isolation.network_namespace && isolation.chrome_sandbox, "{isolation:?}");
    assert!(!leftover.exists());
    print(&chrome, "<p>x", json!({})).await.unwrap();
    let processes = tree(chrome.process_id().await.unwrap());
    chrome.shut_down().await;
    until("all processes have ended", || !processes.iter().copied().any(is_alive)).await;
}

/// As many documents as ATELIER_TEST_PDFS says: neither processes nor memory grow.
#[tokio::test(flavor = "multi_thread")]
async fn many_documents_leave_no_trace() {
    let count: usize =
        std::env::var("ATELIER_TEST_PDFS").map_or(25, |count| count.parse().unwrap());
    let chrome = chrome();
    let mut most = 0;
    let mut first_memory = 0;
    // Of Chrome with all its processes, in the first and in the last fifth.
    let mut of_chrome = [0, 0];
    for number in 0..count {
        let printed =
            print(&chrome, &format!("<title>{number}</title><p>{number}"), json!({})).await;
        assert_eq!(printed.unwrap().load.title, number.to_string());
        let processes = tree(chrome.process_id().await.unwrap());
        most = most.max(processes.len());
        let memory = processes.iter().map(|pid| memory_of(&pid.to_string())).sum::<u64>();
        let fifth =
            if number < count / 5 { Some(0) } else { (number >= count * 4 / 5).then_some(1) };
        if let Some(fifth) = fifth {
            of_chrome[fifth] = of_chrome[fifth].max(memory);
        }
        if number == count / 5 {
            first_memory = memory_of("self");
        }
    }
    assert!(most <= 30, "{most} processes");
    let grown = memory_of("self").saturating_sub(first_memory);
    assert!(grown < 40 * 1024 * 1024, "this program has grown by {grown} bytes");
    let [first, last] = of_chrome;
    println!(
        "{count} documents: {most} processes at most, Chrome {first} then {last} bytes, we {grown} more"
    );
    assert!(
        last < first + first / 4 + 100 * 1024 * 1024,
        "Chrome has grown from {first} to {last} bytes"
    );
    chrome.shut_down().await;
}

/// Bytes that a process holds of its own, which no pressure of others on memory takes away and
/// gives back as it does with mapped files; 0 when it has just ended.
fn memory_of(pid: &str) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return 0 };
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("RssAnon:")) else {
        return 0;
    };
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn rustix_is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}
