//! Ways out of a page, each tried on both doors of the renderer and in both kinds of isolation:
//! nobody may arrive. The same pages in a browser without isolation do arrive.

use std::collections::BTreeSet;
use std::path::Path;

use atelier::browser::{Chrome, NoFiles, Renderer};
use atelier::config::browser::{BrowserConfig, IsolationWish};
use serde_json::json;
use std::sync::Arc;

use super::support::{Pdf, config, look, look_with, print};
use super::traps::Traps;
use crate::support::browser::Browser;

/// Who arrives from a browser without isolation.
#[derive(Clone, Copy)]
enum Control {
    /// A request for `/w/<name>`.
    Hits,
    /// What is named.
    As(&'static str),
    /// Nobody: browsers no longer follow it (`filesystem:`, MathML links, style sheets of XML in
    /// `data:`), one without a window does not fetch it (icons, manifests), it ends in no request
    /// (`preconnect`, names asked for), or it needs what a test has not (QUIC).
    None,
}
use Control::{As, Hits, None as Nobody};

/// `WEB` is the trap's address, `PORT` its port, `TLS` and `UDP` further ones, `NAME` the way's name.
const TOGETHER: &[(&str, Control, &str)] = &[
    ("img", Hits, "<img src=http://WEB/w/NAME>"),
    ("srcset", Hits, "<img srcset='http://WEB/w/NAME 1x'>"),
    ("picture", Hits, "<picture><source srcset=http://WEB/w/NAME><img></picture>"),
    ("video", Hits, "<video src=http://WEB/w/NAME preload=auto></video>"),
    ("poster", Hits, "<video poster=http://WEB/w/NAME></video>"),
    ("audio", Hits, "<audio src=http://WEB/w/NAME preload=auto></audio>"),
    ("track", Hits, "<video src='data:video/mp4,'><track default src=http://WEB/w/NAME></video>"),
    ("object", Hits, "<object data=http://WEB/w/NAME></object>"),
    ("embed", Hits, "<embed src=http://WEB/w/NAME>"),
    ("iframe", Hits, "<iframe src=http://WEB/w/NAME></iframe>"),
    ("iframe-redirect", Hits, "<iframe src=http://WEB/w/NAME></iframe>"),
    ("srcdoc", Hits, "<iframe srcdoc='<img src=http://WEB/w/NAME>'></iframe>"),
    ("data-frame", Hits, "<iframe src='data:text/html,<img src=http://WEB/w/NAME>'></iframe>"),
    ("script", Hits, "<script src=http://WEB/w/NAME></script>"),
    ("module", Hits, "<script type=module>import 'http://WEB/w/NAME.js'</script>"),
    ("dynamic-import", Hits, "<script>import('http://WEB/w/NAME.js')</script>"),
    ("stylesheet", Hits, "<link rel=stylesheet href=http://WEB/w/NAME>"),
    ("css-import", Hits, "<style>@import url(http://WEB/w/NAME);</style>"),
    ("css-url", Hits, "<p style='background:url(http://WEB/w/NAME)'>x</p>"),
    ("css-image-set", Hits, "<p style='background:image-set(\"http://WEB/w/NAME\" 1x)'>x</p>"),
    (
        "css-font",
        Hits,
        "<style>@font-face{font-family:f;src:url(http://WEB/w/NAME)}i{font-family:f}</style><i>x</i>",
    ),
    ("css-cursor", Hits, "<p style='cursor:url(http://WEB/w/NAME),auto'>x</p>"),
    ("svg-image", Hits, "<svg><image href=http://WEB/w/NAME width=9 height=9 /></svg>"),
    ("svg-use", Hits, "<svg><use href=http://WEB/w/NAME#x /></svg>"),
    (
        "svg-foreign",
        Hits,
        "<svg><foreignObject width=9 height=9><img src=http://WEB/w/NAME></foreignObject></svg>",
    ),
    ("math-link", Nobody, "<math href=http://WEB/w/NAME><mi>x</mi></math>"),
    ("input-image", Hits, "<input type=image src=http://WEB/w/NAME>"),
    ("body-background", Hits, "<table background=http://WEB/w/NAME><tr><td>x</table>"),
    ("preload", Hits, "<link rel=preload as=image href=http://WEB/w/NAME>"),
    ("prefetch", Hits, "<link rel=prefetch href=http://WEB/w/NAME>"),
    ("modulepreload", Hits, "<link rel=modulepreload href=http://WEB/w/NAME.js>"),
    ("preconnect", Nobody, "<link rel=preconnect href=http://WEB/w/NAME>"),
    ("dns-prefetch", Nobody, "<link rel=dns-prefetch href=http://NAME.localhost:PORT/>"),
    ("manifest", Nobody, "<link rel=manifest href=http://WEB/w/NAME>"),
    ("icon", Nobody, "<link rel=icon href=http://WEB/w/NAME>"),
    (
        "speculation",
        Hits,
        "<script type=speculationrules>{\"prefetch\":[{\"urls\":[\"http://WEB/w/NAME\"],\"eagerness\":\"immediate\"}],\"prerender\":[{\"urls\":[\"http://WEB/w/NAME\"],\"eagerness\":\"immediate\"}]}</script>",
    ),
    ("fetch", Hits, "<script>fetch('http://WEB/w/NAME')</script>"),
    (
        "fetch-no-cors",
        Hits,
        "<script>fetch('http://WEB/w/NAME', {mode: 'no-cors', method: 'POST', body: 'x', keepalive: true})</script>",
    ),
    (
        "xhr",
        Hits,
        "<script>{const r = new XMLHttpRequest(); r.open('GET', 'http://WEB/w/NAME'); r.send()}</script>",
    ),
    (
        "xhr-sync",
        Hits,
        "<script>try {const r = new XMLHttpRequest(); r.open('GET', 'http://WEB/w/NAME', false); r.send()} catch {}</script>",
    ),
    ("beacon", Hits, "<script>navigator.sendBeacon('http://WEB/w/NAME', 'x')</script>"),
    ("event-source", Hits, "<script>new EventSource('http://WEB/w/NAME')</script>"),
    ("web-socket", Hits, "<script>try {new WebSocket('ws://WEB/w/NAME')} catch {}</script>"),
    (
        "secure-web-socket",
        As("tls"),
        "<script>try {new WebSocket('wss://127.0.0.1:TLS/w/NAME')} catch {}</script>",
    ),
    ("https", As("tls"), "<img src=https://127.0.0.1:TLS/w/NAME>"),
    (
        "web-transport",
        Nobody,
        "<script>try {new WebTransport('https://127.0.0.1:UDP/w/NAME')} catch {}</script>",
    ),
    (
        "web-rtc",
        As("udp"),
        "<script>try {const c = new RTCPeerConnection({iceServers: [{urls: 'stun:127.0.0.1:UDP'}]}); c.createDataChannel('x'); c.createOffer().then((o) => c.setLocalDescription(o))} catch {}</script>",
    ),
    (
        "blob-worker",
        Hits,
        "<script>new Worker(URL.createObjectURL(new Blob([`fetch('http://WEB/w/NAME')`])))</script>",
    ),
    (
        "worker-import",
        Hits,
        "<script>new Worker(URL.createObjectURL(new Blob([`importScripts('http://WEB/w/NAME.js')`])))</script>",
    ),
    (
        "worker-socket",
        Hits,
        "<script>new Worker(URL.createObjectURL(new Blob([`new WebSocket('ws://WEB/w/NAME')`])))</script>",
    ),
    (
        "shared-worker",
        Hits,
        "<script>try {new SharedWorker('data:text/javascript,fetch(\"http://WEB/w/NAME\")')} catch {}</script>",
    ),
    (
        "service-worker",
        Hits,
        "<script>navigator.serviceWorker?.register('http://WEB/w/NAME').catch(() => {})</script>",
    ),
    (
        "ping",
        Hits,
        "<a id=ping href='#x' ping=http://WEB/w/NAME>x</a><script>ping.click()</script>",
    ),
    (
        "form-frame",
        Hits,
        "<iframe name=target></iframe><form id=form action=http://WEB/w/NAME method=post target=target></form><script>form.submit()</script>",
    ),
    ("javascript-frame", Hits, "<iframe src=\"javascript:fetch('http://WEB/w/NAME')\"></iframe>"),
    (
        "blob-frame",
        Hits,
        "<script>{const f = document.createElement('iframe'); f.src = URL.createObjectURL(new Blob([`<img src=http://WEB/w/NAME>`], {type: 'text/html'})); document.documentElement.append(f)}</script>",
    ),
    (
        "csp-report",
        Hits,
        "<iframe srcdoc=\"<meta http-equiv=Content-Security-Policy content='img-src http://WEB'><img src=http://WEB/w/NAME>\"></iframe>",
    ),
    (
        "xslt",
        Nobody,
        "<iframe src='data:text/xml,<?xml-stylesheet type=\"text/xsl\" href=\"http://WEB/w/NAME\"?><a/>'></iframe>",
    ),
    ("decimal-address", As("/w/decimal-address"), "<img src=http://2130706433:PORT/w/NAME>"),
    ("octal-address", As("/w/octal-address"), "<img src=http://0177.0.0.1:PORT/w/NAME>"),
    ("hexadecimal-address", Hits, "<img src=http://0x7f000001:PORT/w/NAME>"),
    ("short-address", Hits, "<img src=http://127.1:PORT/w/NAME>"),
    ("zero-address", Hits, "<img src=http://0.0.0.0:PORT/w/NAME>"),
    ("v6-loopback", Hits, "<img src=http://[::1]:PORT/w/NAME>"),
    ("v6-mapped", Hits, "<img src=http://[::ffff:127.0.0.1]:PORT/w/NAME>"),
    ("localhost", Hits, "<img src=http://localhost:PORT/w/NAME>"),
    ("localhost-dot", Hits, "<img src=http://localhost.:PORT/w/NAME>"),
    ("sub-localhost", Hits, "<img src=http://app.localhost:PORT/w/NAME>"),
    ("rebinding-name", Hits, "<img src=http://127.0.0.1.nip.io:PORT/w/NAME>"),
    ("metadata-address", Hits, "<img src=http://169.254.169.254/w/NAME>"),
    ("ftp", Nobody, "<img src=ftp://WEB/w/NAME>"),
    ("filesystem", Nobody, "<iframe src=filesystem:http://WEB/temporary/w/NAME></iframe>"),
    ("view-source", Nobody, "<iframe src=view-source:http://WEB/w/NAME></iframe>"),
    ("chrome-page", Nobody, "<iframe src=chrome://version></iframe>"),
    ("other-app", Hits, "<iframe src=http://WEB/w/NAME></iframe>"),
    (
        "mcp",
        Hits,
        "<script>fetch('http://WEB/w/NAME', {method: 'POST', mode: 'no-cors', body: '{}'})</script>",
    ),
];

/// Ways that leave the page, so each has one of its own.
const ALONE: &[(&str, Control, &str)] = &[
    ("location", Hits, "<script>location = 'http://WEB/w/NAME'</script>"),
    ("meta-refresh", Hits, "<meta http-equiv=refresh content='0;url=http://WEB/w/NAME'>"),
    ("form", Hits, "<form id=form action=http://WEB/w/NAME></form><script>form.submit()</script>"),
    ("link-click", Hits, "<a id=link href=http://WEB/w/NAME>x</a><script>link.click()</script>"),
    ("base", Hits, "<base href=http://WEB/w/><img src=NAME>"),
    ("window-open", Hits, "<script>window.open('http://WEB/w/NAME')</script>"),
    (
        "target-blank",
        Hits,
        "<a id=link target=_blank href=http://WEB/w/NAME>x</a><script>link.click()</script>",
    ),
    (
        "top-from-frame",
        Hits,
        "<iframe srcdoc=\"<script>top.location = 'http://WEB/w/NAME'</script>\"></iframe>",
    ),
    ("frameset", Hits, "<frameset><frame src=http://WEB/w/NAME></frameset>"),
    (
        "download",
        Hits,
        "<a id=link download href=http://WEB/w/NAME>x</a><script>link.click()</script>",
    ),
];

fn fill(html: &str, name: &str, traps: &Traps) -> String {
    html.replace("WEB", &format!("127.0.0.1:{}", traps.web))
        .replace("PORT", &traps.web.to_string())
        .replace("TLS", &traps.tls.to_string())
        .replace("UDP", &traps.udp.to_string())
        .replace("NAME", name)
}

fn pages(traps: &Traps) -> Vec<String> {
    let together =
        TOGETHER.iter().map(|(name, _, html)| fill(html, name, traps)).collect::<String>();
    // The page stays while its parts try.
    let together = format!(
        "<!DOCTYPE html><body>{together}<script>window.__ready = new Promise((done) => setTimeout(done, 1500))</script>"
    );
    let alone = ALONE.iter().map(|(name, _, html)| {
        format!("<!DOCTYPE html><body>{}<p>x", fill(html, name, traps))
            .replace("<body><frameset", "<frameset")
    });
    std::iter::once(together).chain(alone).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_out() {
    assert!(TOGETHER.len() + ALONE.len() >= 40);
    let traps = Traps::set().await;
    for isolation in [IsolationWish::Required, IsolationWish::Rules] {
        let chrome = Chrome::new(&BrowserConfig { isolation, ..config() }, Vec::new());
        for html in pages(&traps) {
            look(&chrome, &html).await.unwrap();
            let printed = print(&chrome, &html, json!({})).await;
            assert!(printed.is_ok(), "{printed:?}: {html}");
        }
        let header = fill("<img src=http://WEB/w/header> {title}", "header", &traps);
        let title = fill("<title><img src=http://WEB/w/title></title><p>x", "title", &traps);
        print(&chrome, &title, json!({"header": header, "footer": "{title}"})).await.unwrap();
        chrome.shut_down().await;
        assert_eq!(traps.hits(), BTreeSet::new(), "with {isolation:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_isolation_they_do_get_out() {
    let traps = Traps::set().await;
    let browser = Browser::launch_unguarded(traps.web).await;
    for html in pages(&traps) {
        let page = browser.page().await;
        page.command("Page.navigate", json!({"url": traps.page(html)})).await;
    }
    let mut expected: BTreeSet<String> = TOGETHER
        .iter()
        .chain(ALONE)
        .filter_map(|(name, control, html)| match control {
            Hits if html.contains("NAME.js") => Some(format!("/w/{name}.js")),
            Hits => Some(format!("/w/{name}")),
            As(hit) => Some((*hit).to_owned()),
            Nobody => None,
        })
        .collect();
    if !traps.has_v6 {
        expected.remove("/w/v6-loopback");
    }
    assert!(expected.len() >= 70, "{}", expected.len());
    let mut missing = expected.clone();
    let begun = std::time::Instant::now();
    while !missing.is_empty() && begun.elapsed() < super::support::PATIENCE / 2 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let hits = traps.hits();
        missing = expected.difference(&hits).cloned().collect();
    }
    assert!(
        missing.is_empty(),
        "not even a free browser did: {missing:?}\nhits: {:?}",
        traps.hits()
    );
}

/// Ways to a file, by its path.
const FILE_WAYS: &[&str] = &[
    "<iframe src='file://PATH'></iframe>",
    "<iframe src='FILE://PATH'></iframe>",
    "<iframe src='fIlE:PATH'></iframe>",
    "<iframe src='file://localhostPATH'></iframe>",
    "<iframe src='view-source:file://PATH'></iframe>",
    "<object data='file://PATH' type=text/html></object>",
    "<embed src='File://PATH' type=text/html>",
    "<link rel=stylesheet href='file://PATH'>",
    "<link rel=import href='file://PATH'>",
    "<script src='file://PATH'></script>",
    "<svg><image href='file://PATH' /><use href='file://PATH#x' /></svg>",
    "<style>@import 'file://PATH';</style>",
    "<script>fetch('file://PATH').then((r) => r.text()).then((t) => document.body.append(t)).catch(() => {})</script>",
    "<script>{const r = new XMLHttpRequest(); r.onload = () => document.body.append(r.responseText); try {r.open('GET', 'file://PATH'); r.send()} catch {}}</script>",
    "<iframe srcdoc=\"<iframe src='file://PATH'></iframe>\"></iframe>",
    "<iframe src=\"data:text/html,<iframe src='file://PATH'></iframe>\"></iframe>",
    "<base href='file:///'><iframe src='.PATH'></iframe>",
    "<meta http-equiv=refresh content='0;url=file://PATH'>",
    "<script>location = 'file://PATH'</script>",
    "<script>window.open('file://PATH')</script>",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_read() {
    const SECRET: &str = "PLANTEDSECRET";
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted.html");
    std::fs::write(&file, format!("<body>{SECRET}</body>")).unwrap();
    let path = file.display().to_string();
    for isolation in [IsolationWish::Required, IsolationWish::Rules] {
        let chrome = Chrome::new(&BrowserConfig { isolation, ..config() }, Vec::new());
        // The last ones leave the page, and `<base>` changes what others mean: each has its own.
        let (together, alone) = FILE_WAYS.split_at(FILE_WAYS.len() - 4);
        let together = together.concat();
        for way in std::iter::once(together.as_str()).chain(alone.iter().copied()) {
            let html = format!("<!DOCTYPE html><body><p>BEFORE</p>{}", way.replace("PATH", &path));
            let printed = print(&chrome, &html, json!({})).await.unwrap();
            let pdf = Pdf::read(&printed);
            let texts: String = (1..).zip(0..pdf.pages()).map(|(page, _)| pdf.text(page)).collect();
            assert!(texts.contains("BEFORE") && !texts.contains(SECRET), "{way}: {texts}");
            let seen = "document.documentElement.outerHTML + Array.from({length: frames.length}, (_, at) => { try { \
                        return frames[at].document.documentElement.outerHTML } catch { return '' } })";
            let report = look_with(&chrome, &html, Arc::new(NoFiles), &[seen]).await.unwrap();
            let seen = report.viewports[0].scripts[0].clone().unwrap().to_string();
            assert!(seen.contains("BEFORE") && !seen.contains(SECRET), "{way}: {seen}");
        }
        chrome.shut_down().await;
    }
    // The file can be read, by a browser that may.
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&format!("file://{path}")).await;
    assert_eq!(page.evaluate("document.body.textContent.trim()").await, SECRET);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_users_are_out_of_sight() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(folder.path().join("atelier.db"), "rows").unwrap();
    let chrome = Chrome::new(&config(), vec![folder.path().to_owned()]);
    print(&chrome, "<p>x", json!({})).await.unwrap();
    let pid = chrome.process_id().await.unwrap();
    // Through the process's own root, as it sees it itself.
    let seen = |path: &Path| {
        let path = format!("/proc/{pid}/root{}", path.display());
        std::fs::read_dir(path).map_or(0, Iterator::count)
    };
    assert_eq!(seen(folder.path()), 0);
    assert!(std::fs::read_dir(folder.path()).unwrap().count() > 0);
    assert_eq!(seen(Path::new("/root")), 0);
    assert!(seen(Path::new("/usr/bin")) > 0);
    chrome.shut_down().await;
}
