//! PDF documents on the content listener.

use http::Method;

use super::hosting::Hosting;

const PDF: &[u8] = b"%PDF-1.4 first";

#[tokio::test]
async fn a_pdf_is_shown_by_the_browsers_viewer() {
    let hosting = Hosting::new().await;
    let token = hosting.publish_pdf("Q3 Größe", PDF, "<p>source</p>").await.token;
    let answer = hosting.get(&format!("/d/{token}.pdf")).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, PDF));
    assert_eq!(answer.header("content-type"), "application/pdf");
    assert_eq!(
        answer.header("content-disposition"),
        "inline; filename=\"Q3 Gr__e.pdf\"; filename*=UTF-8''Q3%20Gr%C3%B6%C3%9Fe.pdf"
    );
    // No sandbox, in which viewers do not work; and no type that a browser runs.
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("frame-ancestors") && !policy.contains("sandbox"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    let saved = hosting.get(&format!("/d/{token}/download")).await;
    assert!(saved.header("content-disposition").starts_with("attachment; filename="));
    assert_eq!(saved.body, PDF);
}

#[tokio::test]
async fn parts_heads_and_known_versions_are_answered() {
    let hosting = Hosting::new().await;
    let token = hosting.publish_pdf("q3", PDF, "<p>source</p>").await.token;
    let path = format!("/d/{token}.pdf");
    let head = hosting.ask(Method::HEAD, &path, &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("accept-ranges"), "bytes");
    let etag = head.header("etag").to_owned();
    let part = hosting.ask(Method::GET, &path, &[("range", "bytes=1-3")]).await;
    assert_eq!((part.status.as_u16(), part.body.as_ref()), (206, &b"PDF"[..]));
    assert_eq!(part.header("content-range"), format!("bytes 1-3/{}", PDF.len()));
    let known = hosting.ask(Method::GET, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    let beyond = hosting.ask(Method::GET, &path, &[("range", "bytes=99-")]).await;
    assert_eq!(beyond.status.as_u16(), 416);

    hosting.publish_pdf("q3", b"%PDF-1.4 second", "<p>other</p>").await;
    let newer = hosting.ask(Method::GET, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((newer.status.as_u16(), newer.body.as_ref()), (200, &b"%PDF-1.4 second"[..]));
    let first = hosting.get(&format!("/d/{token}/v/1.pdf")).await;
    assert_eq!(first.body, PDF);
    let second = hosting.get(&format!("/d/{token}/v/2/download")).await;
    assert_eq!(second.body.as_ref(), b"%PDF-1.4 second");
}

#[tokio::test]
async fn the_source_is_plain_text_and_the_picture_a_picture() {
    let hosting = Hosting::new().await;
    let source = "<script>alert(1)</script>";
    let token = hosting.publish_pdf("q3", PDF, source).await.token;
    let raw = hosting.get(&format!("/d/{token}/raw")).await;
    assert_eq!(raw.text(), source);
    assert_eq!(raw.header("content-type"), "text/plain; charset=utf-8");
    assert!(raw.header("content-security-policy").contains("sandbox"));
    let packed = hosting
        .ask(Method::GET, &format!("/d/{token}/v/1/raw"), &[("accept-encoding", "br")])
        .await;
    assert_eq!(packed.header("content-encoding"), "br");
    let picture = hosting.get(&format!("/d/{token}/thumb.webp")).await;
    assert_eq!(picture.header("content-type"), "image/webp");
    assert_eq!(picture.body.as_ref(), b"RIFF....WEBP");
    assert_eq!(hosting.get(&format!("/d/{token}/v/1/thumb.webp")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn what_is_not_there_is_not_told_apart() {
    let hosting = Hosting::new().await;
    let pdf = hosting.publish_pdf("q3", PDF, "x").await.token;
    let app = hosting.publish("q3", "<p>app</p>").await.token;
    let other = "A".repeat(22);
    for path in [
        format!("/d/{other}.pdf"),
        format!("/d/{other}"),
        format!("/d/{other}/v/1"),
        format!("/d/{pdf}.html"),
        format!("/d/{pdf}/v/2.pdf"),
        format!("/d/{pdf}/v/0.pdf"),
        format!("/d/{pdf}/v/01.pdf"),
        format!("/d/{pdf}/v/x.pdf"),
        format!("/d/{pdf}/nothing"),
        "/d/../a.pdf".to_owned(),
        "/d/short.pdf".to_owned(),
        // An app is no document, and a document no app.
        format!("/d/{app}.pdf"),
        format!("/d/{app}/raw"),
        format!("/a/{pdf}/"),
        format!("/a/{pdf}/raw"),
    ] {
        let answer = hosting.get(&path).await;
        // Without its ending a name leads to the file, there or not.
        let status = answer.status.as_u16();
        let leads = answer.header("location").strip_suffix(".pdf").is_some();
        assert!(status == 404 || (status == 308 && leads), "{path}: {status}");
    }
    assert_eq!(hosting.get(&format!("/a/{app}/")).await.status.as_u16(), 200);
    let short = hosting.get(&format!("/d/{pdf}?x=1")).await;
    assert_eq!(
        (short.status.as_u16(), short.header("location")),
        (308, format!("{pdf}.pdf?x=1").as_str())
    );
    let foreign =
        hosting.ask(Method::GET, &format!("/d/{pdf}.pdf"), &[("host", "evil.example")]).await;
    assert_eq!(foreign.status.as_u16(), 403);
    let preflight = hosting.ask(Method::OPTIONS, &format!("/d/{pdf}.pdf"), &[]).await;
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
}
