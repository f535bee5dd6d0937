//! Versions that are no longer kept, and apps that are gone.

use atelier::storage::{Catalog as _, KEPT_VERSIONS};
use http::StatusCode;

use super::hosting::Hosting;

#[tokio::test]
async fn pruned_versions_are_gone_and_unknown_ones_never_were() {
    let hosting = Hosting::new().await;
    let page = |n: i64| format!("<!doctype html><html><body><p>Version {n}</p></body></html>");
    let app = hosting.publish("dice", &page(1)).await;
    let ask = async |n: i64| hosting.get(&format!("/a/{}/v/{n}/", app.token)).await;
    for n in 2..=KEPT_VERSIONS {
        hosting.publish("dice", &page(n)).await;
    }
    // Asked for while it is kept, so that nothing remembered brings it back afterwards.
    assert_eq!(ask(1).await.status, StatusCode::OK);
    hosting.publish("dice", &page(KEPT_VERSIONS + 1)).await;
    let gone = ask(1).await;
    assert_eq!(gone.status, StatusCode::GONE);
    assert!(gone.text().contains("no longer kept"));
    for view in ["raw", "download"] {
        let answer = hosting.get(&format!("/a/{}/v/1/{view}", app.token)).await;
        assert_eq!(answer.status, StatusCode::GONE, "{view}");
    }
    for n in [2, KEPT_VERSIONS + 1] {
        assert!(ask(n).await.text().contains(&format!("Version {n}<")), "{n}");
    }
    for n in [0, -1, KEPT_VERSIONS + 2] {
        assert_eq!(ask(n).await.status, StatusCode::NOT_FOUND, "{n}");
    }
}

#[tokio::test]
async fn links_of_a_deleted_app_lead_nowhere() {
    let hosting = Hosting::new().await;
    let page = "<!doctype html><html><body><p>Dice</p></body></html>";
    let app = hosting.publish("dice", page).await;
    let kept = hosting.publish("kept", page).await;
    let paths = ["", "raw", "download", "v/1/", "v/1/raw"];
    for path in paths {
        assert_eq!(hosting.get(&format!("/a/{}/{path}", app.token)).await.status, StatusCode::OK);
    }
    let fence = hosting.job(&"local".into()).await;
    assert!(hosting.catalog.delete_document(&fence, &app.id).await.unwrap());
    for path in paths {
        let answer = hosting.get(&format!("/a/{}/{path}", app.token)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(hosting.get(&format!("/a/{}/{path}", kept.token)).await.status, StatusCode::OK);
    }
}
