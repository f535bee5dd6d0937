//! Pictures of versions.

use http::{Method, StatusCode};

use super::hosting::Hosting;

#[tokio::test]
async fn a_version_shows_its_picture_when_it_has_one() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("plain", "<p>1</p>").await;
    let base = format!("/a/{}", app.token);
    assert_eq!(hosting.get(&format!("{base}/thumb.webp")).await.status, StatusCode::NOT_FOUND);

    hosting.publish_pictured("plain", "<p>2</p>", b"RIFF a picture").await;
    for path in [format!("{base}/thumb.webp"), format!("{base}/v/2/thumb.webp")] {
        let answer = hosting.get(&path).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"RIFF a picture"[..]));
        assert_eq!(answer.header("content-type"), "image/webp");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let known = [("if-none-match", answer.header("etag"))];
        let again = hosting.ask(Method::GET, &path, &known).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    }
    for path in ["v/1/thumb.webp", "v/3/thumb.webp", "v/x/thumb.webp"] {
        let answer = hosting.get(&format!("{base}/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}
