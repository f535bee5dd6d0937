//! What every hosted page gets: scripts that run before its own.
//!
//! A page runs in an opaque origin, where the browser refuses storage, cookies and caches. The
//! scripts put something that works in their place and offer `window.atelier`. They stand in one
//! script element that removes itself, so the page finds itself as it was written. Each file under
//! `scripts/` is one matter; together they are the body of one function, which is called with the
//! [`Bootstrap`].
//!
//! A page is `before + bootstrap + after`, where only the middle differs between two visitors: see
//! [`Frame`].

mod bootstrap;
mod position;

use std::sync::LazyLock;

use bytes::{BufMut as _, Bytes, BytesMut};

pub use bootstrap::{Bootstrap, PageTools, Root, StoredForPage, StoredForTab};

/// Begin of the element, up to the scripts.
const OPEN: &str = "<script>((boot) => {\n'use strict';\n";
/// From the scripts to the bootstrap.
const CALL: &str = "})(";
/// End of the element.
const CLOSE: &str = ");</script>";

/// The scripts, in their order.
const SCRIPTS: [&str; 10] = [
    include_str!("scripts/start.js"),
    include_str!("scripts/compatibility.js"),
    include_str!("scripts/storage_area.js"),
    include_str!("scripts/tab.js"),
    include_str!("scripts/pending.js"),
    include_str!("scripts/storage.js"),
    include_str!("scripts/kv.js"),
    include_str!("scripts/tools.js"),
    include_str!("scripts/reload.js"),
    include_str!("scripts/finish.js"),
];

/// The element up to the bootstrap.
static PROLOGUE: LazyLock<String> = LazyLock::new(|| {
    let mut prologue = OPEN.to_owned();
    // Every visitor loads this: comments and indentation stay here.
    for line in SCRIPTS.iter().flat_map(|script| script.lines()).map(str::trim) {
        if !line.is_empty() && !line.starts_with("//") {
            prologue.push_str(line);
            prologue.push('\n');
        }
    }
    prologue.push_str(CALL);
    prologue
});

/// The parts of a served page that are the same for every visitor. The bootstrap's JSON stands
/// between them.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The page up to the bootstrap.
    pub before: Bytes,
    /// The rest of the page.
    pub after: Bytes,
}

impl Frame {
    /// The frame of a page.
    pub fn new(page: &[u8]) -> Self {
        let (head, rest) = page.split_at_checked(position::head_start(page)).unwrap_or((&[], page));
        let mut before = BytesMut::with_capacity(head.len() + PROLOGUE.len());
        before.put_slice(head);
        before.put_slice(PROLOGUE.as_bytes());
        let mut after = BytesMut::with_capacity(CLOSE.len() + rest.len());
        after.put_slice(CLOSE.as_bytes());
        after.put_slice(rest);
        Self { before: before.freeze(), after: after.freeze() }
    }
}

/// The page with the scripts in it.
pub fn inject(page: &[u8], bootstrap: &Bootstrap) -> Bytes {
    let Frame { before, after } = Frame::new(page);
    let json = bootstrap.to_json();
    let mut result = BytesMut::with_capacity(before.len() + json.len() + after.len());
    result.put_slice(&before);
    result.put_slice(json.as_bytes());
    result.put_slice(&after);
    result.freeze()
}

/// All that is the same in every page: changes when the scripts do.
pub fn scripts() -> &'static str {
    &PROLOGUE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_page_is_changed() {
        let page = "<!doctype html><html><head><title>ü</title></head><body></body></html>";
        let served = inject(page.as_bytes(), &Bootstrap::offline());
        let served = String::from_utf8(served.to_vec()).unwrap();
        let (head, rest) = served.split_once("<script>").unwrap();
        let (script, rest) = rest.split_once("</script>").unwrap();
        assert_eq!(format!("{head}{rest}"), page);
        assert!(script.ends_with("})({});"), "{script}");
    }

    #[test]
    fn no_script_can_end_the_element_that_it_stands_in() {
        for text in ["</", "<!--", "<script"] {
            assert_eq!(scripts().get(OPEN.len()..).unwrap().find(text), None, "{text}");
        }
    }
}
