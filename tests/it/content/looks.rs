//! The gallery as a person meets it, on a phone and on a desk, by day and by night. The pictures
//! lie in the build's folder for test files, to be looked at.

use super::hosting::Hosting;
use crate::support::browser::{Browser, Page, Scheme};

const SIZES: [(&str, u32, u32); 2] = [("phone", 390, 844), ("desk", 1280, 800)];
const SCHEMES: [(&str, Scheme); 2] = [("light", Scheme::Light), ("dark", Scheme::Dark)];

const APPS: [(&str, &str); 7] = [
    ("bill-splitter", "Bill splitter"),
    (
        "tide-table",
        "Tide table for the North Sea coast, with moon phases and a very long title indeed",
    ),
    ("web-app-1f2e3d4c", "Pomodoro"),
    ("vocabulary", "Vocabulary trainer"),
    ("a-name-without-any-place-to-break-it-in-two-however-hard-one-tries", "Übungen"),
    ("invoice-numbers", "Invoice numbers"),
    ("kanban", "Kanban for two"),
];

/// Nothing is wider than the screen, too small for a finger, or without a name.
const CHECKS: &str = "(() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  const controls = [...document.querySelectorAll('button, input, .action')].filter((item) => item.checkVisibility());
  const small = controls.filter((item) => item.getBoundingClientRect().height < 43 && !item.classList.contains('clear'));
  const nameless = controls.filter((item) => !(item.ariaLabel || item.textContent || item.labels?.length));
  return [wide > 0 ? wide : 0, small.length, nameless.length, document.querySelectorAll('h1').length];
})()";

async fn look_everywhere(page: &Page, name: &str) {
    for (size, width, height) in SIZES {
        for (shade, scheme) in SCHEMES {
            page.look(width, height, scheme).await;
            let found = page.evaluate(CHECKS).await;
            let picture = page.screenshot(&format!("{name}-{size}-{shade}")).await;
            assert_eq!(found, serde_json::json!([0, 0, 0, 1]), "{}", picture.display());
        }
    }
}

#[tokio::test]
async fn the_gallery_fits_and_its_controls_work() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    for (name, title) in APPS {
        let filler = "x".repeat(name.len() * 997);
        hosting.publish(name, &format!("<title>{title}</title>{filler}")).await;
    }
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&hosting.urls.gallery("local").unwrap()).await;
    assert_eq!(page.complaints(), Vec::<String>::new());
    look_everywhere(&page, "gallery").await;

    let shown = "[...document.querySelectorAll('.card')].filter((card) => !card.hidden).length";
    assert_eq!(page.evaluate(shown).await, 7);
    let type_in = |text: &str| {
        format!(
            "(() => {{ const field = document.getElementById('query'); field.value = {text:?}; \
             field.dispatchEvent(new Event('input')); }})()"
        )
    };
    page.evaluate(&type_in("ubung")).await;
    assert_eq!(page.evaluate(shown).await, 1);
    let count = "document.getElementById('count').textContent";
    assert_eq!(page.evaluate(count).await, "1 of 7 apps");
    page.evaluate(&type_in("nothing like it")).await;
    page.screenshot("gallery-no-match").await;
    assert_eq!(page.evaluate(shown).await, 0);
    page.click("#clear").await;
    page.until(&format!("{shown} === 7")).await;

    page.evaluate("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }").await;
    page.click(".copy").await;
    page.until("document.getElementById('said').textContent === 'Link copied'").await;
    let copied = page.evaluate("copied === document.querySelector('.open').href").await;
    assert_eq!(copied, true);
    let when = page.evaluate("document.querySelector('time').textContent").await;
    assert!(matches!(when.as_str(), Some("just now" | "1 minute ago")), "{when}");
}

#[tokio::test]
async fn the_pages_without_apps_fit_too() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&hosting.urls.gallery("local").unwrap()).await;
    assert_eq!(page.complaints(), Vec::<String>::new());
    look_everywhere(&page, "empty").await;
    page.open(&hosting.urls.app("AAAAAAAAAAAAAAAAAAAAAA")).await;
    look_everywhere(&page, "gone").await;
}
