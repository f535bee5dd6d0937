//! Every route of an app, with its status and headers.

use atelier::config::server::ServerConfig;
use atelier::storage::Catalog as _;
use http::{Method, StatusCode};

use super::hosting::{Answer, Hosting};

const PAGE: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Dice</title>\
                    </head><body><h1>Würfel</h1></body></html>";

/// A page long enough to be compressed.
fn long_page(text: &str) -> String {
    PAGE.replace("</body>", &format!("{}</body>", format!("<p>{text}</p>").repeat(500)))
}

fn assert_isolated(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    assert!(
        policy.starts_with(
            "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads \
             allow-popups-to-escape-sandbox; frame-ancestors "
        ),
        "{policy}"
    );
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert!(
        answer.header("permissions-policy").contains("camera=(), microphone=(), geolocation=()")
    );
    assert_eq!(answer.header("x-robots-tag"), "noindex");
    assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn the_newest_version_is_shown_with_the_shim_and_isolated() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("dice", PAGE).await;
    let path = format!("/a/{}/", app.token);
    let answer = hosting.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_isolated(&answer);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert_eq!(answer.header("vary"), "Accept-Encoding");
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("atelier_visitor="), "{cookie}");
    assert!(cookie.ends_with(&format!("; Path={path}; Max-Age=34560000; HttpOnly; SameSite=Lax")));
    let secret = answer.cookie().split_once('=').unwrap().1;
    assert!(!answer.text().contains(secret), "no page sees its cookie");
    let (before, after) = answer.text().split_once("<script>").unwrap();
    let (_, after) = after.split_once("</script>").unwrap();
    assert_eq!(format!("{before}{after}"), PAGE);
    assert!(before.ends_with("<head>"));

    hosting.publish("dice", &PAGE.replace("Würfel", "Zweite")).await;
    assert!(hosting.get(&path).await.text().contains("Zweite"));
}

#[tokio::test]
async fn every_version_stays_where_it_is() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("dice", PAGE).await;
    hosting.publish("dice", &PAGE.replace("Würfel", "Zweite")).await;
    let base = format!("/a/{}", app.token);
    let first = hosting.get(&format!("{base}/v/1/")).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_isolated(&first);
    assert!(first.text().contains("Würfel"));
    assert!(hosting.get(&format!("{base}/v/2/")).await.text().contains("Zweite"));
    assert_eq!(hosting.get(&format!("{base}/v/1/raw")).await.text(), PAGE);
    assert_eq!(hosting.get(&format!("{base}/v/1/download")).await.text(), PAGE);
    for wrong in ["0", "3", "-1", "+1", "01", "1.0", "x", "99999999999999999999"] {
        let answer = hosting.get(&format!("{base}/v/{wrong}/")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{wrong}");
    }
}

#[tokio::test]
async fn folders_are_reached_without_their_slash_behind_any_proxy() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("dice", PAGE).await;
    let token = &app.token;
    let answer = hosting.get(&format!("/a/{token}?x=1")).await;
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.header("location"), format!("{token}/?x=1"));
    assert_isolated(&answer);
    let answer = hosting.get(&format!("/a/{token}/v/1")).await;
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.header("location"), "1/");
}

#[tokio::test]
async fn source_and_download_are_the_stored_bytes() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("Würfel 1", PAGE).await;
    let raw = hosting.get(&format!("/a/{}/raw", app.token)).await;
    assert_eq!(raw.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(raw.text(), PAGE);
    assert_isolated(&raw);
    let download = hosting.get(&format!("/a/{}/download", app.token)).await;
    assert_eq!(download.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(
        download.header("content-disposition"),
        "attachment; filename=\"W_rfel 1.html\"; filename*=UTF-8''W%C3%BCrfel%201.html"
    );
    assert_eq!(download.text(), PAGE);
    assert_isolated(&download);
}

#[tokio::test]
async fn pages_travel_compressed_and_are_the_same() {
    let hosting = Hosting::new().await;
    let page = long_page("lorem ipsum");
    let app = hosting.publish("long", &page).await;
    let page = format!("/a/{}/", app.token);
    let visitor = hosting.get(&page).await.cookie().to_owned();
    for (path, of_browsers) in [(page, "gzip"), (format!("/a/{}/raw", app.token), "br")] {
        let visitor = ("cookie", visitor.as_str());
        let plain = hosting.ask(Method::GET, &path, &[visitor]).await;
        assert_eq!(plain.header("content-encoding"), "");
        let mut tags = vec![plain.header("etag").to_owned()];
        for (accepted, encoding) in [("gzip, deflate, br, zstd", of_browsers), ("gzip", "gzip")] {
            let accepted = ("accept-encoding", accepted);
            let answer = hosting.ask(Method::GET, &path, &[accepted, visitor]).await;
            assert_eq!(answer.header("content-encoding"), encoding);
            assert_eq!(answer.header("content-length"), answer.body.len().to_string());
            assert!(answer.body.len() < plain.body.len() / 2);
            assert_eq!(decoded(encoding, &answer.body), plain.body);
            let tag = answer.header("etag").to_owned();
            assert_eq!(tags.contains(&tag), tags.len() > 1 && of_browsers == "gzip", "{tags:?}");
            tags.push(tag);
        }
    }
}

pub(super) fn decoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    if encoding == "br" {
        brotli::BrotliDecompress(&mut &*body, &mut plain).unwrap();
    } else {
        let mut decoder = flate2::read::GzDecoder::new(body);
        std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
    }
    plain
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("long", &long_page("one")).await;
    let path = format!("/a/{}/", app.token);
    let accept = ("accept-encoding", "gzip");
    let first = hosting.ask(Method::GET, &path, &[accept]).await;
    let (tag, visitor) = (first.header("etag").to_owned(), ("cookie", first.cookie()));
    let quoted = tag.starts_with('"') && tag.ends_with('"');
    assert!(quoted, "{tag}");
    for sent in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let headers = [accept, visitor, ("if-none-match", sent.as_str())];
        let answer = hosting.ask(Method::GET, &path, &headers).await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{sent}");
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("etag"), tag);
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        assert_isolated(&answer);
    }
    let headers = [accept, visitor, ("if-none-match", "\"other\"")];
    assert_eq!(hosting.ask(Method::GET, &path, &headers).await.status, StatusCode::OK);

    hosting.publish("long", &long_page("two")).await;
    let headers = [accept, visitor, ("if-none-match", tag.as_str())];
    assert_eq!(hosting.ask(Method::GET, &path, &headers).await.status, StatusCode::OK);
}

#[tokio::test]
async fn head_tells_the_same_without_the_body() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("dice", PAGE).await;
    for path in ["", "raw", "download"].map(|rest| format!("/a/{}/{rest}", app.token)) {
        let visitor = [("cookie", "atelier_visitor=AAAAAAAAAAAAAAAAAAAAAA")];
        let get = hosting.ask(Method::GET, &path, &visitor).await;
        let head = hosting.ask(Method::HEAD, &path, &visitor).await;
        assert_eq!(head.status, StatusCode::OK);
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-length"), get.body.len().to_string());
        for name in ["etag", "content-type", "content-security-policy", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn preflights_are_answered_and_other_methods_are_not() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("dice", PAGE).await;
    let path = format!("/a/{}/", app.token);
    let asked = [("origin", "null"), ("access-control-request-method", "GET")];
    let answer = hosting.ask(Method::OPTIONS, &path, &asked).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, POST, OPTIONS");
    assert!(answer.header("access-control-allow-headers").contains("content-type"));
    assert!(answer.header("access-control-max-age").parse::<u32>().unwrap() > 0);
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = hosting.ask(method, &path, &[]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_isolated(&answer);
    }
}

#[tokio::test]
async fn wrong_links_get_a_page_that_helps_and_tells_nothing() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("dice", PAGE).await;
    let token = app.token.as_str();
    let wrong = [
        "/".to_owned(),
        "/a".to_owned(),
        "/a/".to_owned(),
        "/a//".to_owned(),
        "/gallery".to_owned(),
        "/a/AAAAAAAAAAAAAAAAAAAAAA/".to_owned(),
        "/a/AAAAAAAAAAAAAAAAAAAAAA/raw".to_owned(),
        "/a/AAAAAAAAAAAAAAAAAAAAAA/v/1/".to_owned(),
        format!("/a/{}/", &token[..21]),
        format!("/a/{token}A/"),
        format!("/a/{token}/unknown"),
        "/a/AAAAAAAAAAAAAAAAAAAAAA/events".to_owned(),
        format!("/a/{token}/thumb.webp"),
        format!("/d/{token}.pdf"),
        format!("/a/{token}/../../../../etc/passwd"),
        format!("/a/{token}/%2e%2e/%2e%2e/etc/passwd"),
        format!("/a/{token}/a/../../b"),
        format!("/a/{token}/v/1/../../raw"),
        "/a/%2e%2e/".to_owned(),
        "/a/..%2f..%2fetc/".to_owned(),
        "/a/%00/".to_owned(),
        "/a/%ff%fe/".to_owned(),
        format!("/a/{}/", "A".repeat(5000)),
    ];
    for path in wrong {
        let answer = hosting.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text().contains("This app is gone or the link is wrong"), "{path}");
        assert!(!answer.text().contains(token), "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "no-store");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn only_known_host_names_are_answered() {
    let config = ServerConfig {
        allowed_hosts: vec!["workshop.local".to_owned()],
        public_base_url: Some("https://apps.example.org/x".parse().unwrap()),
        ..ServerConfig::default()
    };
    let hosting = Hosting::with(config, None).await;
    let app = hosting.publish("dice", PAGE).await;
    let path = format!("/a/{}/", app.token);
    for good in ["localhost:1", "[::1]:1", "workshop.local", "apps.example.org", "a.localhost"] {
        let answer = hosting.ask(Method::GET, &path, &[("host", good)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{good}");
    }
    for bad in ["evil.example", "127.0.0.1.evil.example", "0.0.0.0:7411"] {
        for method in [Method::GET, Method::OPTIONS] {
            let answer = hosting.ask(method, &path, &[("host", bad)]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{bad}");
            assert!(answer.text().contains("This address is not allowed"));
        }
    }
}

#[tokio::test]
async fn frames_are_open_to_the_gallery_and_configured_origins() {
    let config = ServerConfig {
        frame_ancestors: vec!["https://chat.example.org".to_owned()],
        ..ServerConfig::default()
    };
    let hosting = Hosting::with(config, None).await;
    hosting.urls.set_pages_address("127.0.0.1:7410".parse().unwrap());
    let app = hosting.publish("dice", PAGE).await;
    let answer = hosting.get(&format!("/a/{}/", app.token)).await;
    let policy = answer.header("content-security-policy");
    let expected = "; frame-ancestors http://127.0.0.1:7410 https://chat.example.org";
    assert!(policy.ends_with(expected), "{policy}");
}

#[tokio::test]
async fn without_its_store_the_listener_says_so_and_keeps_what_it_can() {
    let hosting = Hosting::new().await;
    let known = hosting.publish("known", PAGE).await;
    let unknown = hosting.publish("unknown", PAGE).await;
    assert_eq!(hosting.get(&format!("/a/{}/", known.token)).await.status, StatusCode::OK);
    hosting.catalog.close().await;
    assert!(hosting.catalog.ping().await.is_err());

    let answer = hosting.get(&format!("/a/{}/", known.token)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = hosting.get(&format!("/a/{}/", unknown.token)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "2");
    assert!(answer.text().contains("cannot be reached at the moment"));
    assert!(!answer.text().contains("sqlx") && !answer.text().contains(&unknown.token));
}
