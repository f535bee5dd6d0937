//! What PDFs look like.

use std::sync::Arc;

use atelier::browser::{PdfOptions, RenderError, Renderer, RequestFailure, Source};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::support::{Files, Pdf, chrome, print};

const CHAPTERS: &str = "<!DOCTYPE html><html lang=\"de\"><head><title>Jahresbericht</title></head><body>\
    <h1>Anfang</h1><p>eins</p><h2>Mitte</h2><p style=\"break-after:page\">zwei</p>\
    <h1>Ende</h1><p>drei</p></body></html>";

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_tagged_titled_and_outlined() {
    let chrome = chrome();
    let printed = print(&chrome, CHAPTERS, json!({})).await.unwrap();
    let pdf = Pdf::read(&printed);
    assert_eq!(pdf.pages(), 2);
    assert_eq!(pdf.paper(), (210, 297));
    assert_eq!(pdf.title().as_deref(), Some("Jahresbericht"));
    assert_eq!(pdf.language().as_deref(), Some("de"));
    assert!(pdf.is_tagged());
    assert_eq!(pdf.outline(), ["Anfang", "Mitte", "Ende"]);
    assert_eq!(printed.load.title, "Jahresbericht");
    assert_eq!(printed.load.exceptions, []);
    assert_eq!(printed.load.console, []);
    assert_eq!(printed.load.requests, []);
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paper_is_as_asked() {
    let chrome = chrome();
    let own_size = "<style>@page { size: 100mm 150mm }</style><p>x";
    for (html, setup, paper) in [
        ("<p>x", json!({"size": "a5"}), (148, 210)),
        ("<p>x", json!({"size": "Letter", "landscape": true}), (279, 216)),
        ("<p>x", json!({"size": {"width": "80mm", "height": "20cm"}}), (80, 200)),
        (own_size, json!({"size": "A3"}), (100, 150)),
        (own_size, json!({"size": "A3", "prefer_css_page_size": false}), (297, 420)),
    ] {
        let printed = print(&chrome, html, setup.clone()).await.unwrap();
        assert_eq!(Pdf::read(&printed).paper(), paper, "{html} {setup}");
    }
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_scale_margins_and_one_long_page_are_as_asked() {
    let chrome = chrome();
    let pages = "<style>div{break-after:page}</style><div>p1</div><div>p2</div><div>p3</div><p>p4";
    let count =
        async |html: &str, setup| Pdf::read(&print(&chrome, html, setup).await.unwrap()).pages();
    assert_eq!(count(pages, json!({})).await, 4);
    assert_eq!(count(pages, json!({"ranges": "2-3, 4"})).await, 3);
    let refused = print(&chrome, pages, json!({"ranges": "9"})).await.unwrap_err();
    assert!(
        matches!(&refused, RenderError::Options { field, .. } if field == "ranges"),
        "{refused:?}"
    );

    let long = format!("<p style=\"margin:0\">{}", "line<br>".repeat(60));
    assert_eq!(count(&long, json!({})).await, 2);
    assert_eq!(count(&long, json!({"scale": 0.5})).await, 1);
    let narrow = json!({"margins": {"top": "100mm", "bottom": "100mm"}});
    assert!(count(&long, narrow).await > 3);
    let single = print(&chrome, &long, json!({"single_page": true})).await.unwrap();
    let single = Pdf::read(&single);
    assert_eq!(single.pages(), 1);
    assert_eq!(single.paper().0, 210);
    assert!(single.paper().1 > 300, "{:?}", single.paper());
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_footers_count_pages_and_run_nothing() {
    let chrome = chrome();
    let setup = json!({
        "header": "<script>document.body.innerHTML='RAN'</script>|{title}",
        "footer": "Page {page} of {pages}",
    });
    let printed = print(&chrome, CHAPTERS, setup).await.unwrap();
    let with = Pdf::read(&printed).text(2);
    let plain = Pdf::read(&print(&chrome, CHAPTERS, json!({})).await.unwrap()).text(2);
    assert!(with.contains("Page2of2"), "{with}");
    assert!(with.contains("Jahresbericht"), "{with}");
    assert!(with.contains("<script>"), "{with}");
    assert!(!plain.contains("Page2of2") && plain.contains("drei"), "{plain}");
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_files_are_printed_and_missing_ones_reported() {
    let chrome = chrome();
    let style = b"p::after { content: 'STYLED' }".to_vec();
    let script = b"document.querySelector('p').append('SCRIPTED')".to_vec();
    let files =
        Files(vec![("a/style", "text/css", style), ("lib/app.js", "text/javascript", script)]);
    let html = "<link rel=stylesheet href=a/style><p>text</p>\
                <script type=module src=lib/app.js></script><img src=a/none>\
                <img src=\"https://elsewhere.example/x.png\">";
    let source = Source { html: html.to_owned(), files: Arc::new(files) };
    let cancel = CancellationToken::new();
    let printed = chrome.pdf(source, PdfOptions::default(), &cancel).await.unwrap();
    let text = Pdf::read(&printed).text(1);
    assert!(text.contains("STYLED") && text.contains("SCRIPTED"), "{text}");
    let failed: Vec<_> = printed
        .load
        .requests
        .iter()
        .map(|request| (request.url.as_str(), request.kind.as_str(), request.failure))
        .collect();
    assert_eq!(
        failed,
        [
            ("a/none", "image", RequestFailure::Missing),
            ("https://elsewhere.example/x.png", "image", RequestFailure::Foreign),
        ]
    );
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_promises_is_waited_for() {
    let chrome = chrome();
    let late = "<p>early</p><script>window.__ready = new Promise((done) => setTimeout(() => {\
                document.body.append('LATE'); done(); }, 700))</script>";
    let printed = print(&chrome, late, json!({})).await.unwrap();
    assert!(Pdf::read(&printed).text(1).contains("LATE"));
    chrome.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backgrounds_are_printed_unless_asked_otherwise() {
    let chrome = chrome();
    let html = "<style>body{background:rgb(255,0,0)}</style><p>x";
    let with = print(&chrome, html, json!({})).await.unwrap().pdf;
    let without = print(&chrome, html, json!({"background": false})).await.unwrap().pdf;
    let is_red = |pdf: &[u8]| {
        let document = lopdf::Document::load_mem(pdf).unwrap();
        let page = *document.get_pages().values().next().unwrap();
        let content = document.get_and_decode_page_content(page).unwrap();
        content.operations.iter().any(|operation| {
            operation.operator == "rg"
                && operation
                    .operands
                    .iter()
                    .map(|side| side.as_float().unwrap())
                    .eq([1.0, 0.0, 0.0])
        })
    };
    assert!(is_red(&with), "no red in the page with a background");
    assert!(!is_red(&without), "red in the page without background");
    chrome.shut_down().await;
}
