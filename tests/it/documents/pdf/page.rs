//! Page options: what they do to the print, and what is refused.

use serde_json::{Value, json};

use super::REPORT;
use crate::support::pdf::Pdf;
use crate::support::studio::{Studio, StudioBuilder};

async fn printed(studio: &Studio, html: &str, page: Value) -> Pdf {
    let made = studio.call("create_pdf_document", json!({"html": html, "page": page})).await;
    assert_eq!(made.text("status"), "success", "{page}: {made:?}");
    let version = made.field("version").as_i64().unwrap();
    studio.pdf(made.text("url"), version).await.0
}

#[tokio::test]
async fn paper_has_the_wanted_size() {
    let studio = StudioBuilder::new().build().await;
    let at_page = REPORT.replace("<style>", "<style>@page { size: 105mm 148mm; margin: 8mm }");
    for (html, page, size) in [
        (REPORT, json!({}), (210, 297)),
        (REPORT, json!({"size": "Letter"}), (216, 279)),
        (REPORT, json!({"size": "a5", "landscape": true}), (210, 148)),
        (REPORT, json!({"landscape": true}), (297, 210)),
        (REPORT, json!({"size": {"width": "8cm", "height": "200mm"}}), (80, 200)),
        // What the document's style says holds, until somebody asks for something else.
        (&at_page, json!({}), (105, 148)),
        (&at_page, json!({"margins": "20mm"}), (105, 148)),
        (&at_page, json!({"size": "A5"}), (148, 210)),
        (&at_page, json!({"size": "A5", "prefer_css_page_size": true}), (105, 148)),
    ] {
        let pdf = printed(&studio, html, page.clone()).await;
        assert_eq!(pdf.size_mm(1), size, "{page}");
    }
}

#[tokio::test]
async fn margins_scale_and_background_are_as_asked() {
    let studio = StudioBuilder::new().build().await;
    let full = "<!DOCTYPE html><html><head><style>body { margin: 0 } div { background: #00f; height: 100mm }\
                </style></head><body><div></div><p>text</p></body></html>";
    let blue = [0, 0, 255];
    let white = [255, 255, 255];
    let pdf = printed(&studio, full, json!({"margins": "40mm"})).await;
    assert_eq!((pdf.colour(1, 38, 60), pdf.colour(1, 42, 60)), (white, blue));
    let sides = json!({"margins": {"top": "50mm", "left": "10mm"}});
    let pdf = printed(&studio, full, sides).await;
    assert_eq!((pdf.colour(1, 8, 60), pdf.colour(1, 12, 60)), (white, blue));
    assert_eq!((pdf.colour(1, 100, 48), pdf.colour(1, 100, 52)), (white, blue));
    let pdf = printed(&studio, full, json!({"margins": "0"})).await;
    assert_eq!((pdf.colour(1, 1, 1), pdf.colour(1, 1, 98)), (blue, blue));
    let pdf = printed(&studio, full, json!({"margins": "0", "scale": 0.5})).await;
    assert_eq!((pdf.colour(1, 50, 48), pdf.colour(1, 50, 53)), (blue, white));
    let pdf = printed(&studio, full, json!({"margins": "0", "background": false})).await;
    assert_eq!(pdf.colour(1, 50, 50), white);
}

#[tokio::test]
async fn headers_footers_ranges_and_one_long_page() {
    let studio = StudioBuilder::new().build().await;
    let page = json!({"header": "{title} | | draft <b>", "footer": "page {page} of {pages}"});
    let pdf = printed(&studio, REPORT, page).await;
    for number in 1..=3 {
        let text = pdf.text(number);
        assert!(text.contains("Harbour report") && text.contains("draft <b>"), "{text}");
        assert!(text.contains(&format!("page {number} of 3")), "{text}");
    }
    let pdf = printed(&studio, REPORT, json!({"ranges": "2-3"})).await;
    assert_eq!(pdf.pages(), 2);
    assert!(pdf.text(1).contains("Sixty ships"));
    let long = format!(
        "<!DOCTYPE html><html><body>{}</body></html>",
        (1..=120).map(|line| format!("<p>line {line}</p>")).collect::<String>()
    );
    assert!(printed(&studio, &long, json!({})).await.pages() > 2);
    let pdf = printed(&studio, &long, json!({"single_page": true})).await;
    assert_eq!(pdf.pages(), 1);
    assert!(pdf.size_mm(1).1 > 600 && pdf.all_text().contains("line 120"));
}

#[tokio::test]
async fn options_that_cannot_be_printed_are_refused_by_name() {
    let studio = StudioBuilder::new().build().await;
    for (page, code, named) in [
        (json!({"size": {"width": "0mm", "height": "297mm"}}), "invalid_page", "size.width"),
        (json!({"size": "A99"}), "invalid_page", "`size`"),
        (json!({"margins": "150mm"}), "invalid_page", "margins"),
        (json!({"margins": {"left": "100mm", "right": "110mm"}}), "invalid_page", "margins.left"),
        (json!({"margins": "wide"}), "invalid_page", "margins"),
        (json!({"footer": "{total}"}), "invalid_page", "{total}"),
        (json!({"header": "x", "margins": "2mm"}), "invalid_page", "header"),
        (json!({"ranges": "7"}), "invalid_page", "ranges"),
        (json!({"scale": 5}), "invalid_arguments", "page.scale"),
        (json!({"papersize": "A4"}), "invalid_arguments", "papersize"),
        (json!({"margins": [1, 2]}), "invalid_arguments", "page.margins"),
    ] {
        let arguments = json!({"html": REPORT, "doc_name": "x", "page": page});
        let refused = studio.call("create_pdf_document", arguments).await;
        assert!(refused.0.is_error, "{page} was printed: {refused:?}");
        assert_eq!(refused.code(), code, "{page}: {refused:?}");
        assert!(refused.text("message").contains(named), "{page}: {refused:?}");
        assert!(refused.text("hint").len() > 10);
    }
    let list = studio.call("list_pdf_documents", json!({})).await;
    assert_eq!(list.field("pdf_documents"), &json!([]), "nothing was published");
}
