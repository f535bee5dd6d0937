//! The gallery: who gets in, and what it shows.

use std::sync::Arc;

use atelier::config::server::ServerConfig;
use atelier::server::pages::BearerCheck;
use atelier::storage::{Owner, PrincipalId};
use http::{HeaderMap, StatusCode};

use super::hosting::{Answer, Hosting};

/// The cookie that a launch link gives.
pub(super) async fn cookie(hosting: &Hosting, principal: &str) -> String {
    let path = format!("/gallery?key={}", hosting.key.launch_key(principal));
    let answer = hosting.page(&path, &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "gallery");
    let cookie = answer.header("set-cookie");
    for attribute in ["; Path=/gallery", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

fn assert_closed(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status);
    assert_eq!(answer.header("set-cookie"), "");
    assert!(!answer.text().contains("Dice"));
    assert_private(answer);
}

pub(super) fn assert_private(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn the_launch_link_opens_the_gallery_of_its_principal() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("dice", "<title>Dice &amp; <b>more</title>").await;
    let owner = |user: &str| Owner { principal: "anna".into(), user: user.to_owned() };
    hosting.publish_as(owner("one"), "hers", "<title>Hers</title>", Vec::new()).await;
    hosting.publish_as(owner("two"), "also-hers", "<p>no title</p>", Vec::new()).await;

    let cookie_of_local = cookie(&hosting, "local").await;
    let answer = hosting.page("/gallery", &[("cookie", &cookie_of_local)]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_private(&answer);
    let text = answer.text();
    assert!(text.contains("Dice &amp;amp; &lt;b&gt;more</a>"), "titles are text, never markup");
    assert!(text.contains(&format!(
        "href=\"http:&#x2f;&#x2f;127.0.0.1:7411&#x2f;a&#x2f;{}&#x2f;\"",
        app.token
    )));
    assert!(text.contains("&#x2f;download\""));
    assert!(
        text.contains("<p class=\"name\">dice</p>")
            && text.contains("<span class=\"version\">v1</span>")
    );
    assert!(!text.contains("Hers") && !text.contains("class=\"user\""));
    let nonce = text.split_once("<script nonce=\"").unwrap().1.split_once('"').unwrap().0;
    assert!(answer.header("content-security-policy").contains(&format!("'nonce-{nonce}'")));

    let cookie_of_anna = cookie(&hosting, "anna").await;
    let both = format!("other=1; {cookie_of_anna}");
    let answer = hosting.page("/gallery", &[("cookie", &both)]).await;
    assert!(answer.text().contains("Hers") && answer.text().contains("2 apps"));
    assert!(answer.text().contains("title=\"User\">one</span>"));
    assert!(!answer.text().contains("Dice"));
    let again = hosting.page("/gallery", &[("cookie", &both)]).await;
    assert!(!again.text().contains(nonce), "a nonce serves once");
}

#[tokio::test]
async fn nobody_else_gets_in() {
    let hosting = Hosting::new().await;
    hosting.publish("dice", "<title>Dice</title>").await;
    let good = cookie(&hosting, "local").await;
    let key = hosting.key.launch_key("local");
    let stranger = hosting.key.launch_key("removed-from-the-configuration");
    let (name, _) = good.split_once('=').unwrap();

    assert_closed(&hosting.page("/gallery", &[]).await, StatusCode::UNAUTHORIZED);
    for path in ["/gallery?key=", "/gallery?key=bG9jYWw.AAAA", &format!("/gallery?key={stranger}")]
    {
        assert_closed(&hosting.page(path, &[]).await, StatusCode::UNAUTHORIZED);
    }
    for cookie in [format!("{name}=x"), format!("{name}={stranger}"), format!("other={key}")] {
        let answer = hosting.page("/gallery", &[("cookie", &cookie)]).await;
        assert_closed(&answer, StatusCode::UNAUTHORIZED);
    }

    // With the cookie, what asks must be the person or the page itself.
    let cookie = ("cookie", good.as_str());
    let foreign: [&[(&str, &str)]; 8] = [
        &[cookie, ("host", "evil.example")],
        &[cookie, ("origin", "null")],
        &[cookie, ("origin", "http://127.0.0.1:9999")],
        &[cookie, ("origin", "https://evil.example")],
        &[
            cookie,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-dest", "script"),
        ],
        &[
            cookie,
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-dest", "empty"),
        ],
        &[
            cookie,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "iframe"),
        ],
        &[cookie, ("sec-fetch-site", "cross-site")],
    ];
    for headers in foreign {
        assert_closed(&hosting.page("/gallery", headers).await, StatusCode::FORBIDDEN);
    }
    let person: [&[(&str, &str)]; 3] = [
        &[
            cookie,
            ("sec-fetch-site", "none"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ],
        &[cookie, ("sec-fetch-site", "same-origin")],
        &[cookie, ("origin", "http://127.0.0.1:7411")],
    ];
    for headers in person {
        assert_eq!(hosting.page("/gallery", headers).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn bearer_tokens_get_in_where_they_are_configured() {
    let bearer: BearerCheck = Arc::new(|headers: &HeaderMap| {
        let token = headers.get("authorization")?.to_str().ok()?;
        (token == "Bearer hers").then(|| PrincipalId::from("anna"))
    });
    let hosting = Hosting::with(ServerConfig::default(), Some(bearer)).await;
    let owner = Owner { principal: "anna".into(), user: "one".to_owned() };
    hosting.publish_as(owner, "hers", "<title>Hers</title>", Vec::new()).await;
    let answer = hosting.page("/gallery", &[("authorization", "Bearer hers")]).await;
    assert!(answer.status == StatusCode::OK && answer.text().contains("Hers"));
    let answer = hosting.page("/gallery", &[("authorization", "Bearer other")]).await;
    assert_closed(&answer, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_empty_gallery_and_a_lost_store_say_what_to_do() {
    let hosting = Hosting::new().await;
    let cookie = cookie(&hosting, "local").await;
    let answer = hosting.page("/gallery", &[("cookie", &cookie)]).await;
    assert!(answer.text().contains("No apps yet") && answer.text().contains("Ask your agent"));
    assert!(!answer.text().contains("type=\"search\""));

    hosting.catalog.close().await;
    let answer = hosting.page("/gallery", &[("cookie", &cookie)]).await;
    assert_closed(&answer, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "2");

    let root = hosting.page("/", &[]).await;
    assert_eq!((root.status, root.header("location")), (StatusCode::SEE_OTHER, "gallery"));
    assert_closed(&hosting.page("/other", &[]).await, StatusCode::NOT_FOUND);
}
