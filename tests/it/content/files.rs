//! Attachments of apps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};

use super::hosting::Hosting;

const SVG: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n0123456789";

#[tokio::test]
async fn attachments_are_served_below_every_version_and_only_for_their_app() {
    let hosting = Hosting::new().await;
    let file = hosting.file("dot.png", "image/png", PNG).await;
    let app = hosting.publish_with("with", "<p>x</p>", vec![file.clone()]).await;
    let other = hosting.publish("without", "<p>y</p>").await;
    for rest in ["", "v/1/"] {
        let answer = hosting.get(&format!("/a/{}/{rest}a/{}", app.token, file.sha)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(&*answer.body, PNG);
        assert_eq!(answer.header("content-type"), "image/png");
        assert_eq!(answer.header("cache-control"), "private, max-age=31536000, immutable");
        assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-disposition"), "");
        let tag = answer.header("etag").to_owned();
        let path = format!("/a/{}/{rest}a/{}", app.token, file.sha);
        let answer = hosting.ask(Method::GET, &path, &[("if-none-match", &tag)]).await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    }
    let unknown = "0".repeat(64);
    let upper = file.sha.as_str().to_uppercase();
    for (token, sha) in [
        (&other.token, file.sha.as_str()),
        (&app.token, unknown.as_str()),
        (&app.token, upper.as_str()),
        (&app.token, "..%2f..%2fatelier.db"),
    ] {
        let answer = hosting.get(&format!("/a/{token}/a/{sha}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{sha}");
    }
}

#[tokio::test]
async fn files_that_could_act_as_pages_cannot() {
    let hosting = Hosting::new().await;
    let svg = hosting.file("dot.svg", "image/svg+xml", SVG).await;
    let html = hosting.file("page.html", "text/html", b"<script>alert(1)</script>").await;
    let pdf = hosting.file("paper.pdf", "application/pdf", b"%PDF-1.7").await;
    let files = vec![svg.clone(), html.clone(), pdf.clone()];
    let app = hosting.publish_with("with", "<p>x</p>", files).await;
    let base = format!("/a/{}/a", app.token);

    let answer = hosting.get(&format!("{base}/{}", svg.sha)).await;
    assert_eq!(answer.header("content-type"), "image/svg+xml");
    assert!(answer.header("content-security-policy").starts_with("sandbox allow-scripts"));
    assert!(!answer.header("content-security-policy").contains("allow-same-origin"));

    let answer = hosting.get(&format!("{base}/{}", html.sha)).await;
    assert!(answer.header("content-disposition").starts_with("attachment; filename=\"page.html\""));
    assert!(answer.header("content-security-policy").starts_with("sandbox"));

    // The viewer of browsers does not work in a sandbox, and runs nothing in the page's origin.
    let answer = hosting.get(&format!("{base}/{}", pdf.sha)).await;
    assert_eq!(answer.header("content-type"), "application/pdf");
    assert!(answer.header("content-security-policy").starts_with("frame-ancestors "));
}

#[tokio::test]
async fn parts_of_files_can_be_asked_for() {
    let hosting = Hosting::new().await;
    let bytes = [&b"ID3"[..], &[7; 5000]].concat();
    let file = hosting.file("tone.mp3", "audio/mpeg", &bytes).await;
    let app = hosting.publish_with("with", "<p>x</p>", vec![file.clone()]).await;
    let path = format!("/a/{}/a/{}", app.token, file.sha);
    let whole = hosting.ask(Method::GET, &path, &[("accept-encoding", "br")]).await;
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-encoding"), "");

    let part = hosting.ask(Method::GET, &path, &[("range", "bytes=1-3")]).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(&*part.body, b"D3\x07");
    assert_eq!(part.header("content-range"), "bytes 1-3/5003");
    assert_eq!(part.header("content-type"), "audio/mpeg");

    let beyond = hosting.ask(Method::GET, &path, &[("range", "bytes=5003-")]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header("content-range"), "bytes */5003");

    let stale = [("range", "bytes=1-3"), ("if-range", "\"other\"")];
    assert_eq!(hosting.ask(Method::GET, &path, &stale).await.status, StatusCode::OK);
    let fresh = [("range", "bytes=1-3"), ("if-range", whole.header("etag"))];
    let answer = hosting.ask(Method::GET, &path, &fresh).await;
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    let head = hosting.ask(Method::HEAD, &path, &[]).await;
    assert_eq!(head.header("content-length"), "5003");
}

#[tokio::test]
async fn text_files_are_compressed_unless_a_part_is_wanted() {
    let hosting = Hosting::new().await;
    let bytes = "a,b,c\n".repeat(1000);
    let file = hosting.file("table.csv", "text/csv", bytes.as_bytes()).await;
    let app = hosting.publish_with("with", "<p>x</p>", vec![file.clone()]).await;
    let path = format!("/a/{}/a/{}", app.token, file.sha);
    let answer = hosting.ask(Method::GET, &path, &[("accept-encoding", "br")]).await;
    assert_eq!(answer.header("content-encoding"), "br");
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let part = [("accept-encoding", "br"), ("range", "bytes=0-4")];
    let answer = hosting.ask(Method::GET, &path, &part).await;
    assert_eq!((answer.header("content-encoding"), answer.text()), ("", "a,b,c"));
}

#[tokio::test]
async fn a_download_stands_alone() {
    let hosting = Hosting::new().await;
    let file = hosting.file("dot.png", "image/png", PNG).await;
    let (sha, unknown) = (file.sha.as_str().to_owned(), "0".repeat(64));
    let page =
        format!("<img src=\"a/{sha}\"><i style=\"background:url(a/{sha})\"></i><b>a/{unknown}</b>");
    let app = hosting.publish_with("with", &page, vec![file]).await;
    let data = format!("data:image/png;base64,{}", STANDARD.encode(PNG));
    let expected = page.replace(&format!("a/{sha}"), &data);
    for rest in ["download", "v/1/download"] {
        assert_eq!(hosting.get(&format!("/a/{}/{rest}", app.token)).await.text(), expected);
    }
    assert_eq!(hosting.get(&format!("/a/{}/raw", app.token)).await.text(), page);
}
