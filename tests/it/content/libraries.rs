//! Pages that load libraries, without any network.

use atelier::libraries::{self, Rewritten};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::hosting::Hosting;
use crate::support::browser::{Browser, Page};

/// As models write it: a public network, a version, a checksum, a configuration.
const STYLED: &str = r#"<!doctype html><html lang="en"><head><title>Styled</title><link rel="icon" href="data:,">
<script src="https://cdn.tailwindcss.com?plugins=forms"></script>
<script>tailwind.config = { darkMode: 'class', theme: { extend: {
  colors: { brand: { DEFAULT: '#123456', soft: '#abcdef' } }, fontFamily: { display: ['Georgia', 'serif'] },
  keyframes: { spinOnce: { '0%': { opacity: 0 }, '100%': { opacity: '1' } } }, animation: { once: 'spinOnce 1s' } } } };
</script>
<style type="text/tailwindcss">@layer utilities { .mine { @apply underline; } }</style></head>
<body><h1 class="text-brand bg-brand-soft p-4 font-display animate-once mine dark:text-white">Hello</h1></body></html>"#;

const MANY: &str = r#"<!doctype html><html lang="en"><head><title>Many</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/css/bootstrap.min.css" integrity="sha384-wrong" crossorigin="anonymous">
<script src="https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/js/bootstrap.bundle.min.js" integrity="sha384-wrong" crossorigin="anonymous"></script>
<script src="https://cdn.jsdelivr.net/npm/chart.js"></script>
<script src="https://cdn.jsdelivr.net/npm/marked/marked.min.js"></script>
<script src="https://d3js.org/d3.v7.min.js"></script>
<script src="https://unpkg.com/lucide@latest"></script>
<script src="https://unpkg.com/vue@3/dist/vue.global.js"></script>
<script src="https://unpkg.com/dayjs@1/dayjs.min.js"></script>
<script src="https://cdn.jsdelivr.net/npm/canvas-confetti@1.9.3/dist/confetti.browser.min.js"></script>
<script src="https://cdnjs.cloudflare.com/ajax/libs/Sortable/1.15.0/Sortable.min.js"></script>
<script src="https://cdn.jsdelivr.net/npm/dompurify@3/dist/purify.min.js"></script>
<script src="https://cdn.jsdelivr.net/npm/papaparse@5/papaparse.min.js"></script>
<script src="https://cdnjs.cloudflare.com/ajax/libs/lodash.js/4.17.21/lodash.min.js"></script>
<script src="https://code.jquery.com/jquery-3.7.1.min.js"></script>
<script defer src="https://unpkg.com/alpinejs@3.x.x/dist/cdn.min.js"></script></head>
<body class="container"><p x-data="{ n: 41 }" x-text="n + 1"></p><i data-lucide="heart"></i><canvas width="9" height="9"></canvas>
<script>lucide.createIcons(); new Chart(document.querySelector('canvas'), { type: 'bar', data: { labels: ['a'], datasets: [{ data: [1] }] } });</script>
</body></html>"#;

/// What the styled page looks like.
const LOOKS: &str = "(() => { const style = getComputedStyle(document.querySelector('h1')); \
    return [style.color, style.backgroundColor, style.paddingTop, style.fontFamily, style.animationName, \
    style.textDecorationLine]; })()";

fn looks() -> Value {
    json!([
        "rgb(18, 52, 86)",
        "rgb(171, 205, 239)",
        "16px",
        "Georgia, serif",
        "spinOnce",
        "underline"
    ])
}

/// Hosts that the page asked.
fn hosts(page: &Page) -> Vec<String> {
    let mut hosts: Vec<String> = page
        .events("Network.requestWillBeSent")
        .into_iter()
        .filter_map(|event| url::Url::parse(event["request"]["url"].as_str()?).ok())
        .filter_map(|url| url.host_str().map(str::to_owned))
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn rewritten(html: &str) -> String {
    let Rewritten { html, notes } = libraries::rewrite(html);
    assert!(!notes.is_empty());
    html
}

#[tokio::test]
async fn a_page_with_tailwind_is_styled_without_a_network() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let app = hosting.publish("styled", &rewritten(STYLED)).await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    for url in [hosting.urls.app(&app.token), hosting.urls.version(&app.token, 1)] {
        page.open(&url).await;
        page.until(&format!("JSON.stringify({LOOKS}) === JSON.stringify({})", looks())).await;
        page.evaluate("document.documentElement.className = 'dark'").await;
        page.until("getComputedStyle(document.querySelector('h1')).color === 'rgb(255, 255, 255)'")
            .await;
        assert_eq!(hosts(&page), ["127.0.0.1"]);
        assert_eq!(page.complaints(), Vec::<String>::new());
    }
    // As it was written, the same page is bare.
    let bare = hosting.publish("bare", STYLED).await;
    page.open(&hosting.urls.app(&bare.token)).await;
    assert_ne!(page.evaluate(LOOKS).await, looks());
    assert_eq!(hosts(&page), ["127.0.0.1", "cdn.tailwindcss.com"]);
}

#[tokio::test]
async fn the_usual_libraries_work_from_here() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let html = rewritten(MANY);
    assert!(!html.contains("integrity") && !html.contains("crossorigin"), "{html}");
    let app = hosting.publish("many", &html).await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&hosting.urls.app(&app.token)).await;
    page.until("document.querySelector('p').textContent === '42'").await;
    let checks = [
        "typeof bootstrap.Modal === 'function'",
        "Object.keys(Chart.instances).length === 1",
        "marked.parse('*a*').includes('<em>a</em>')",
        "d3.max([1, 3, 2]) === 3",
        "document.querySelector('svg.lucide-heart') !== null",
        "Vue.version.startsWith('3.')",
        "dayjs('2026-01-02').format('DD.MM.YYYY') === '02.01.2026'",
        "typeof confetti === 'function'",
        "typeof Sortable.create === 'function'",
        "DOMPurify.sanitize('<b onclick=x()>a</b>') === '<b>a</b>'",
        "Papa.parse('a,b').data[0].length === 2",
        "_.chunk([1, 2, 3], 2).length === 2",
        "$('p').length === 1",
        "getComputedStyle(document.body).fontFamily.includes('system-ui')",
    ];
    for check in checks {
        assert_eq!(page.evaluate(check).await, true, "{check}");
    }
    assert_eq!(hosts(&page), ["127.0.0.1"]);
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn the_download_holds_its_libraries() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let app = hosting.publish("styled", &rewritten(STYLED)).await;
    let saved = hosting.get(&format!("/a/{}/download", app.token)).await.text().to_owned();
    assert!(
        !saved.contains("\"lib/") && saved.contains("data:text/javascript;charset=utf-8;base64,")
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("styled.html");
    std::fs::write(&file, saved).unwrap();
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&format!("file://{}", file.display())).await;
    page.until(&format!("JSON.stringify({LOOKS}) === JSON.stringify({})", looks())).await;
}

#[tokio::test]
async fn files_are_kept_by_browsers_and_open_to_their_app() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("app", "<p>x</p>").await;
    let base = format!("/a/{}", app.token);
    let plain = hosting.get(&format!("{base}/lib/vue-3.5.45.js")).await;
    assert_eq!(plain.status, StatusCode::OK);
    assert_eq!(plain.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(plain.header("cache-control"), "private, max-age=31536000, immutable");
    assert_eq!(plain.header("access-control-allow-origin"), "*");
    assert_eq!(plain.header("cross-origin-resource-policy"), "cross-origin");
    for (accepted, encoding) in [("br", "br"), ("gzip", "gzip")] {
        let path = format!("{base}/v/1/lib/vue-3.0.0.js");
        let answer = hosting.ask(Method::GET, &path, &[("accept-encoding", accepted)]).await;
        assert_eq!(answer.header("content-encoding"), encoding);
        assert_eq!(super::apps::decoded(encoding, &answer.body), plain.body, "{encoding}");
        let known = [("accept-encoding", accepted), ("if-none-match", answer.header("etag"))];
        let again = hosting.ask(Method::GET, &path, &known).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    }
    for path in [
        "lib/vue-2.0.0.js",
        "lib/",
        "lib/..%2f..%2fraw",
        "lib/libraries.toml",
        "v/x/lib/vue-3.5.45.js",
    ] {
        let answer = hosting.get(&format!("{base}/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let unknown = hosting.get("/a/AAAAAAAAAAAAAAAAAAAAAA/lib/vue-3.5.45.js").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
