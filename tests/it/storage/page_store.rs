//! Rules of what hosted pages store.

use atelier::storage::{
    Area, AreaLimits, AreaWrite, Catalog, DocumentId, Others, PageWrite, PageWritten, StoredEntry,
};

use super::fixtures::*;
use super::history::raw;
use super::{Store, eventually};

const ROOMY: AreaLimits = AreaLimits { bytes: 1_000_000, entries: 10_000 };

fn visitor() -> Area {
    Area::Visitor("anna".to_owned())
}

fn tab(visitor: &str, tab: &str) -> Area {
    Area::Tab { visitor: visitor.to_owned(), tab: tab.to_owned() }
}

fn change(area: Area, changes: &[(&str, Option<&str>)]) -> AreaWrite {
    let owned =
        |(name, content): &(&str, Option<&str>)| ((*name).to_owned(), content.map(str::to_owned));
    AreaWrite {
        area,
        changes: changes.iter().map(owned).collect(),
        others: Others::Kept,
        limits: ROOMY,
    }
}

fn one(write: AreaWrite) -> PageWrite {
    PageWrite { areas: vec![write], number: None, kept_tabs: 8, document_bytes: 1_000_000 }
}

async fn app(store: &Store) -> DocumentId {
    publish(&*store.catalog, new_version("app")).await.document.id
}

async fn write(catalog: &dyn Catalog, app: &DocumentId, write: PageWrite) -> i64 {
    match catalog.write_page_entries(app, write).await.unwrap() {
        PageWritten::Done { revision } => revision,
        other => panic!("{other:?}"),
    }
}

/// What an area holds, by key.
async fn held(catalog: &dyn Catalog, app: &DocumentId, area: &Area) -> Vec<(String, String)> {
    let mut held: Vec<_> = catalog
        .page_changes(app, area, 0)
        .await
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| (entry.name, entry.content.unwrap()))
        .collect();
    held.sort();
    held
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
}

pub(super) async fn what_a_page_stored_is_read_by_every_process(store: &Store) {
    let app = app(store).await;
    let (other, odd) =
        (publish(&*store.catalog, new_version("other")).await.document.id, "ü\0\u{fdd0}");
    let first = change(visitor(), &[("a", Some("1")), (odd, Some(odd)), ("", Some(""))]);
    assert_eq!(write(&*store.catalog, &app, one(first)).await, 1);
    let expected = pairs(&[("", ""), ("a", "1"), (odd, odd)]);
    assert_eq!(held(&*store.other, &app, &visitor()).await, expected);
    for (app, area) in [
        (&other, visitor()),
        (&app, Area::Visitor("berta".to_owned())),
        (&app, tab("anna", "t")),
        (&app, Area::Shared),
    ] {
        assert_eq!(held(&*store.other, app, &area).await, []);
        assert_eq!(store.other.area_revision(app, &area).await.unwrap(), 0);
    }
    assert_eq!(store.other.area_revision(&app, &visitor()).await.unwrap(), 1);
    let entry = store.other.page_entry(&app, &visitor(), "a").await.unwrap().unwrap();
    assert_eq!(
        entry,
        StoredEntry { name: "a".to_owned(), content: Some("1".to_owned()), revision: 1 }
    );
    assert_eq!(store.other.page_entry(&app, &visitor(), "b").await.unwrap(), None);
}

pub(super) async fn changes_are_told_since_a_revision(store: &Store) {
    let app = app(store).await;
    let catalog = &*store.catalog;
    let known =
        write(catalog, &app, one(change(visitor(), &[("a", Some("1")), ("b", Some("1"))]))).await;
    let shared = write(catalog, &app, one(change(Area::Shared, &[("x", Some("1"))]))).await;
    let newest =
        write(catalog, &app, one(change(visitor(), &[("b", None), ("c", Some("2"))]))).await;
    assert!(known < shared && shared < newest);
    assert_eq!(store.other.page_store_revision(&app).await.unwrap(), newest);
    let changes = store.other.page_changes(&app, &visitor(), known).await.unwrap();
    assert_eq!((changes.revision, changes.is_whole), (newest, false));
    let told: Vec<_> =
        changes.entries.iter().map(|e| (e.name.as_str(), e.content.as_deref())).collect();
    assert_eq!(told, [("b", None), ("c", Some("2"))]);
    assert_eq!(store.other.page_changes(&app, &visitor(), newest).await.unwrap().entries, []);

    // Everything is removed, but what the same write sets again.
    let cleared = AreaWrite { others: Others::Removed, ..change(visitor(), &[("c", Some("3"))]) };
    write(catalog, &app, one(cleared)).await;
    let changes = store.other.page_changes(&app, &visitor(), newest).await.unwrap();
    let told: Vec<_> =
        changes.entries.iter().map(|e| (e.name.as_str(), e.content.as_deref())).collect();
    assert_eq!(told, [("a", None), ("c", Some("3"))], "`b` was removed before");
    assert_eq!(held(catalog, &app, &visitor()).await, pairs(&[("c", "3")]));
}

pub(super) async fn removals_too_old_to_remember_make_the_answer_whole(store: &Store) {
    let app = app(store).await;
    let catalog = &*store.catalog;
    let names: Vec<String> = (0..700).map(|n| format!("key {n:03}")).collect();
    let set: Vec<_> = names.iter().map(|name| (name.as_str(), Some("x"))).collect();
    let known = write(catalog, &app, one(change(visitor(), &set))).await;
    for part in names.chunks(350) {
        let removed: Vec<_> = part.iter().map(|name| (name.as_str(), None)).collect();
        write(catalog, &app, one(change(visitor(), &removed))).await;
    }
    let newest = write(catalog, &app, one(change(visitor(), &[("last", Some("y"))]))).await;
    let changes = store.other.page_changes(&app, &visitor(), known).await.unwrap();
    assert!(changes.is_whole);
    assert_eq!(changes.entries.len(), 1);
    assert!(!store.other.page_changes(&app, &visitor(), newest - 1).await.unwrap().is_whole);
    // Removed keys cost nothing.
    let limits = AreaLimits { bytes: 10, entries: 2 };
    let again = AreaWrite { limits, ..change(visitor(), &[("key 000", Some(""))]) };
    let refused = catalog.write_page_entries(&app, one(again)).await.unwrap();
    assert_eq!(refused, PageWritten::AreaFull(visitor()));
    let again = AreaWrite { limits, ..change(visitor(), &[("a", Some(""))]) };
    write(catalog, &app, one(again)).await;
}

pub(super) async fn a_write_is_all_or_nothing_within_the_limits(store: &Store) {
    let app = app(store).await;
    let catalog = &*store.catalog;
    let limits = AreaLimits { bytes: 10, entries: 3 };
    let limited =
        |changes: &[(&str, Option<&str>)]| AreaWrite { limits, ..change(visitor(), changes) };
    write(catalog, &app, one(limited(&[("a", Some("12345678")), ("b", Some(""))]))).await;
    for too_much in [
        limited(&[("c", Some(""))]),
        limited(&[("a", None), ("c", Some("1234567890"))]),
        limited(&[("a", Some("")), ("c", Some("")), ("d", Some(""))]),
    ] {
        let areas = vec![change(tab("anna", "t"), &[("s", Some("1"))]), too_much];
        let number = Some((tab("anna", "t"), 5));
        let both = PageWrite { areas, number, kept_tabs: 8, document_bytes: 1000 };
        let refused = catalog.write_page_entries(&app, both).await.unwrap();
        assert_eq!(refused, PageWritten::AreaFull(visitor()));
    }
    assert_eq!(held(catalog, &app, &visitor()).await, pairs(&[("a", "12345678"), ("b", "")]));
    assert_eq!(held(catalog, &app, &tab("anna", "t")).await, []);
    assert_eq!(catalog.page_store_revision(&app).await.unwrap(), 1);
    // What is replaced makes room; exactly full is not too full.
    write(catalog, &app, one(limited(&[("a", None), ("c", Some("12345678"))]))).await;

    // The document's own limit: nothing grows, but shrinking is allowed.
    let tight = |write: AreaWrite| PageWrite { document_bytes: 12, ..one(write) };
    let other = Area::Visitor("berta".to_owned());
    let refused =
        catalog.write_page_entries(&app, tight(change(other.clone(), &[("x", Some("12"))])));
    assert_eq!(refused.await.unwrap(), PageWritten::DocumentFull);
    write(catalog, &app, tight(change(other.clone(), &[("x", Some("1"))]))).await;
    write(catalog, &app, tight(change(other, &[("x", None)]))).await;
}

pub(super) async fn a_number_is_used_once_per_tab(store: &Store) {
    let app = app(store).await;
    let numbered = |number: i64, value: &str| PageWrite {
        number: Some((tab("anna", "t"), number)),
        ..one(change(visitor(), &[("a", Some(value))]))
    };
    write(&*store.catalog, &app, numbered(7, "seven")).await;
    for late in [7, 6] {
        let written = store.other.write_page_entries(&app, numbered(late, "late")).await.unwrap();
        assert_eq!(written, PageWritten::Repeated);
    }
    assert_eq!(held(&*store.catalog, &app, &visitor()).await, pairs(&[("a", "seven")]));
    write(&*store.other, &app, numbered(8, "eight")).await;
    let known = store.catalog.page_changes(&app, &tab("anna", "t"), 0).await.unwrap();
    assert_eq!(known.sequence, 8);
    let other_tab = PageWrite { number: Some((tab("anna", "u"), 1)), ..numbered(1, "other tab") };
    write(&*store.catalog, &app, other_tab).await;
    assert_eq!(held(&*store.other, &app, &visitor()).await, pairs(&[("a", "other tab")]));
}

pub(super) async fn the_tabs_written_last_are_kept(store: &Store) {
    let app = app(store).await;
    for (number, name) in (1..).zip(["one", "two", "three", "one", "four"]) {
        let area = tab("anna", name);
        let session = PageWrite {
            number: Some((area.clone(), number)),
            kept_tabs: 3,
            ..one(change(area, &[("s", Some(name))]))
        };
        write(&*store.catalog, &app, session).await;
    }
    let area = tab("annabel", "five");
    let number = Some((area.clone(), 1));
    write(&*store.catalog, &app, PageWrite { number, ..one(change(area, &[])) }).await;
    assert_eq!(store.other.visitor_tabs(&app, "anna").await.unwrap(), ["four", "one", "three"]);
    assert_eq!(store.other.visitor_tabs(&app, "annabel").await.unwrap(), ["five"]);
    assert_eq!(held(&*store.other, &app, &tab("anna", "two")).await, []);
    assert_eq!(held(&*store.other, &app, &tab("anna", "one")).await, pairs(&[("s", "one")]));
}

pub(super) async fn keys_are_listed_by_prefix_in_parts(store: &Store) {
    let app = app(store).await;
    let names = ["", "a", "a/1", "a/2", "a/\u{10ffff}b", "b", "a_"];
    let set: Vec<_> = names.iter().map(|name| (*name, Some("üx"))).collect();
    write(&*store.catalog, &app, one(change(Area::Shared, &set))).await;
    write(&*store.catalog, &app, one(change(Area::Shared, &[("b", None)]))).await;
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let found = store.other.page_entry_names(&app, &Area::Shared, prefix, after, limit).await;
        found.unwrap().into_iter().map(|name| (name.name, name.bytes)).collect::<Vec<_>>()
    };
    let named = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), 3)).collect::<Vec<_>>();
    assert_eq!(list("", None, 3).await, named(&["", "a", "a/1"]));
    assert_eq!(list("", Some("a/1"), 9).await, named(&["a/2", "a/\u{10ffff}b", "a_"]));
    assert_eq!(list("a/", None, 9).await, named(&["a/1", "a/2", "a/\u{10ffff}b"]));
    assert_eq!(list("a/", Some("a/1"), 1).await, named(&["a/2"]));
    assert_eq!(list("c", None, 9).await, []);
}

pub(super) async fn writes_of_many_processes_all_count(store: &Store) {
    let app = app(store).await;
    let writes = (0..40).map(|n| {
        let (catalog, app) = (store.view(n), app.clone());
        async move {
            let name = format!("key {n}");
            let changes = [(name.as_str(), Some("1")), ("last", Some(name.as_str()))];
            write(&*catalog, &app, one(change(visitor(), &changes))).await
        }
    });
    let mut revisions = futures::future::join_all(writes).await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=40).collect::<Vec<_>>());
    let changes = store.catalog.page_changes(&app, &visitor(), 0).await.unwrap();
    assert_eq!(changes.entries.len(), 41);
    let last = changes.entries.iter().find(|entry| entry.name == "last").unwrap();
    assert_eq!(last.revision, 40);
}

pub(super) async fn only_live_documents_store(store: &Store) {
    let unknown = DocumentId::from("no such document");
    let written = store.catalog.write_page_entries(&unknown, one(change(visitor(), &[]))).await;
    assert_eq!(written.unwrap(), PageWritten::NoDocument);
}

/// Needs a way to delete a document.
#[tokio::test]
async fn storage_ends_with_its_document() {
    let store = Store::sqlite_file().await;
    let (app, kept) = (app(&store).await, new_version("kept"));
    let kept = publish(&*store.catalog, kept).await.document.id;
    for document in [&app, &kept] {
        write(&*store.catalog, document, one(change(visitor(), &[("a", Some("1"))]))).await;
    }
    let mut database = raw(&store.file()).await;
    sqlx::query("UPDATE document SET deleted_at = 1 WHERE id = $1")
        .bind(app.as_str())
        .execute(&mut database)
        .await
        .unwrap();
    let written = store.catalog.write_page_entries(&app, one(change(visitor(), &[]))).await;
    assert_eq!(written.unwrap(), PageWritten::NoDocument);
    eventually("the sweep removes it", async || {
        store.catalog.sweep().await.unwrap();
        held(&*store.other, &app, &visitor()).await.is_empty()
    })
    .await;
    for table in ["page_store", "page_area", "page_entry"] {
        let rows: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
                .fetch_one(&mut database)
                .await
                .unwrap();
        assert_eq!(rows, 1, "{table}");
    }
    assert_eq!(held(&*store.other, &kept, &visitor()).await, pairs(&[("a", "1")]));
}
