//! Rules of documents, versions and attachments.

use atelier::storage::{Attachment, DocumentKind, KEPT_VERSIONS, NewVersion, Owner, StorageError};

use super::fixtures::*;
use super::{Store, assert_error, eventually};

pub(super) async fn the_first_version_makes_the_document(store: &Store) {
    let job = running(&*store.catalog).await;
    let new = NewVersion { source_sha: Some(sha("source")), ..new_version("Café") };
    let published = store.catalog.publish_version(&job.fence(), new.clone()).await.unwrap();
    assert_eq!((published.n, published.created), (1, true));
    let read_back = store.other.document(&new.owner, new.kind, "Café").await.unwrap().unwrap();
    for document in [published.document, read_back] {
        assert_eq!(document.id, new.document);
        assert_eq!(document.owner, new.owner);
        assert_eq!(document.kind, DocumentKind::WebApp);
        assert_eq!(document.name, "Café");
        assert_eq!(document.token, new.token);
        assert_eq!((document.head, document.bytes), (1, 7));
        assert_eq!(document.title, new.title);
        assert_eq!(document.created_at, document.updated_at);
    }
    let version = store.other.version(&new.document, 1).await.unwrap().unwrap();
    assert_eq!(version.n, 1);
    assert_eq!((version.blob_sha, version.source_sha), (new.blob_sha, new.source_sha));
    assert_eq!((version.bytes, version.job, version.facts), (7, job.id, "{}".to_owned()));
    assert!(store.catalog.version(&new.document, 2).await.unwrap().is_none());
}

pub(super) async fn versions_are_dense_and_the_head_moves(store: &Store) {
    let first = publish(&*store.catalog, new_version("app")).await;
    let second = NewVersion { title: None, bytes: 9, ..new_version("app") };
    let published = publish(&*store.other, second.clone()).await;
    assert_eq!((published.n, published.created), (2, false));
    let document = published.document;
    assert_eq!((&document.id, &document.token), (&first.document.id, &first.document.token));
    assert_eq!((document.head, document.bytes, document.title), (2, 9, None));
    assert!(store.catalog.document_by_token(&second.token).await.unwrap().is_none());
    publish(&*store.catalog, new_version("app")).await;
    assert_eq!(numbers(&*store.catalog, &document.id).await, [3, 2, 1]);
    // The versions before are what they were.
    let version = store.catalog.version(&document.id, 1).await.unwrap().unwrap();
    assert_eq!(version.bytes, 7);
}

pub(super) async fn a_job_publishes_once(store: &Store) {
    let job = running(&*store.catalog).await;
    let first = store.catalog.publish_version(&job.fence(), new_version("app")).await.unwrap();
    publish(&*store.catalog, new_version("app")).await;
    // Again in the same attempt, in a later one, and under another name.
    let held = taken_over(&*store.catalog, &job.fence()).await;
    for name in ["app", "app", "another"] {
        let new = NewVersion { blob_sha: sha("other bytes"), ..new_version(name) };
        let again = store.other.publish_version(&held.fence(), new).await.unwrap();
        assert_eq!((again.n, again.created), (1, true));
        assert_eq!(again.document.id, first.document.id);
        assert_eq!(again.document.head, 2, "the document as it is now");
    }
    assert_eq!(numbers(&*store.catalog, &first.document.id).await, [2, 1]);
    let kept = store.catalog.version(&first.document.id, 1).await.unwrap().unwrap();
    assert_eq!(kept.blob_sha, sha("app"));
    let another = store.catalog.document(&owner("1"), DocumentKind::WebApp, "another").await;
    assert!(another.unwrap().is_none());
}

pub(super) async fn names_are_unique_without_case(store: &Store) {
    let first = publish(&*store.catalog, new_version("Straßen ÄÖÜ")).await;
    let again = publish(&*store.catalog, new_version("STRAßEN äöü")).await;
    assert_eq!((again.n, &again.document.id), (2, &first.document.id));
    assert_eq!(again.document.name, "Straßen ÄÖÜ", "the name stays as it was first written");
    let found = store.catalog.document(&owner("1"), DocumentKind::WebApp, "straßen äöü").await;
    assert_eq!(found.unwrap().unwrap().id, first.document.id);
    // Per principal, user and kind.
    let bobs = Owner { principal: bob(), user: "1".into() };
    for (owner, kind) in [
        (owner("2"), DocumentKind::WebApp),
        (owner("1"), DocumentKind::Pdf),
        (bobs, DocumentKind::WebApp),
    ] {
        let other = NewVersion { owner: owner.clone(), kind, ..new_version("Straßen ÄÖÜ") };
        let published = publish(&*store.catalog, other).await;
        assert_eq!((published.n, published.created), (1, true));
        let found = store.catalog.document(&owner, kind, "Straßen ÄÖÜ").await.unwrap().unwrap();
        assert_eq!(found.id, published.document.id);
    }
}

pub(super) async fn a_stale_head_is_a_conflict(store: &Store) {
    let at = |head| NewVersion { expected_head: Some(head), ..new_version("app") };
    let id = publish(&*store.catalog, new_version("app")).await.document.id;
    assert_eq!(publish(&*store.catalog, at(1)).await.n, 2);
    for head in [1, 3] {
        let job = running(&*store.catalog).await;
        let error = store.other.publish_version(&job.fence(), at(head)).await.unwrap_err();
        let StorageError::Conflict(message) = &error else { panic!("{error:?}") };
        assert!(message.contains("`app` is at version 2"), "{message}");
        assert!(message.contains(&format!("version {head}")), "{message}");
        // The same job can do its work again on the new head.
        if head == 3 {
            let published = store.other.publish_version(&job.fence(), at(2)).await.unwrap();
            assert_eq!(published.n, 3);
        }
    }
    assert_eq!(numbers(&*store.catalog, &id).await, [3, 2, 1]);
    let job = running(&*store.catalog).await;
    let absent = |head| NewVersion { expected_head: Some(head), ..new_version("absent") };
    assert_error!(
        store.catalog.publish_version(&job.fence(), absent(1)).await,
        StorageError::Conflict(_)
    );
    // Head 0: the name must be free.
    let error = store.catalog.publish_version(&job.fence(), at(0)).await.unwrap_err();
    assert!(
        matches!(&error, StorageError::Conflict(message) if message.contains("`app` is taken"))
    );
    let published = store.catalog.publish_version(&job.fence(), absent(0)).await.unwrap();
    assert_eq!((published.n, published.created), (1, true));
}

pub(super) async fn nothing_is_left_of_a_refused_version(store: &Store) {
    let first = publish(&*store.catalog, new_version("app")).await.document;
    // The token of another document: found out after the job and the name were checked.
    let job = running(&*store.catalog).await;
    let stolen = NewVersion { token: first.token.clone(), ..new_version("second") };
    let error = store.catalog.publish_version(&job.fence(), stolen).await.unwrap_err();
    assert!(matches!(error, StorageError::Conflict(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(&first.token));
    let second = store.other.document(&owner("1"), DocumentKind::WebApp, "second").await.unwrap();
    assert!(second.is_none());
    assert_eq!(store.other.documents(&owner("1"), None, 10).await.unwrap().len(), 1);
    let published = store.catalog.publish_version(&job.fence(), new_version("second")).await;
    assert_eq!(published.unwrap().n, 1);
}

pub(super) async fn documents_are_listed_newest_change_first(store: &Store) {
    let catalog = &*store.catalog;
    let mut newest = 0;
    for (name, kind, user) in [
        ("a", DocumentKind::WebApp, "1"),
        ("b", DocumentKind::Pdf, "1"),
        ("c", DocumentKind::WebApp, "2"),
        ("a", DocumentKind::WebApp, "1"),
    ] {
        // A change of the same millisecond has no order.
        eventually("the clock goes on", async || running(catalog).await.created_at > newest).await;
        let new = NewVersion { kind, owner: owner(user), ..new_version(name) };
        newest = publish(catalog, new).await.document.updated_at;
    }
    let names = |documents: Vec<atelier::storage::Document>| {
        documents.into_iter().map(|document| document.name).collect::<Vec<_>>()
    };
    let list = async |user: &str, kind, limit| {
        names(store.other.documents(&owner(user), kind, limit).await.unwrap())
    };
    assert_eq!(list("1", None, 10).await, ["a", "b"]);
    assert_eq!(list("1", None, 1).await, ["a"]);
    assert_eq!(list("1", Some(DocumentKind::Pdf), 10).await, ["b"]);
    assert_eq!(list("1", Some(DocumentKind::WebApp), 10).await, ["a"]);
    assert_eq!(list("2", None, 10).await, ["c"]);
    assert!(list("3", None, 10).await.is_empty());
    let gallery = async |principal, limit| {
        names(store.other.documents_of_principal(&principal, limit).await.unwrap())
    };
    assert_eq!(gallery(alice(), 10).await, ["a", "c", "b"]);
    assert_eq!(gallery(alice(), 2).await, ["a", "c"]);
    assert!(gallery(bob(), 10).await.is_empty());
}

pub(super) async fn tokens_lead_to_documents(store: &Store) {
    let published = publish(&*store.catalog, new_version("app")).await.document;
    let found = store.other.document_by_token(&published.token).await.unwrap().unwrap();
    assert_eq!((found.id, found.owner), (published.id, owner("1")));
    for token in ["", "unknown", &published.token.to_lowercase(), &published.token[1..]] {
        if token != published.token {
            assert!(store.catalog.document_by_token(token).await.unwrap().is_none());
        }
    }
}

pub(super) async fn attachments_belong_to_a_document(store: &Store) {
    let catalog = &*store.catalog;
    let one = publish(catalog, new_version("one")).await.document.id;
    let two = publish(catalog, new_version("two")).await.document.id;
    let attachment = Attachment {
        sha: sha("picture"),
        name: "picture.png".into(),
        media_type: "image/png".into(),
        bytes: 7,
    };
    catalog.link_attachment(&one, &attachment).await.unwrap();
    // The same file under another name is the same file.
    let renamed = Attachment { name: "other.png".into(), ..attachment.clone() };
    catalog.link_attachment(&one, &renamed).await.unwrap();
    let found = store.other.attachment(&one, &attachment.sha).await.unwrap();
    assert_eq!(found, Some(attachment.clone()));
    assert_eq!(store.other.attachment(&two, &attachment.sha).await.unwrap(), None);
    assert_eq!(store.other.attachment(&one, &sha("another")).await.unwrap(), None);
    // Files that come with a version are linked with it, or not at all.
    let new = || NewVersion { attachments: vec![attachment.clone()], ..new_version("two") };
    let stale = NewVersion { expected_head: Some(9), ..new() };
    let job = running(catalog).await;
    let refused = catalog.publish_version(&job.fence(), stale).await;
    assert_error!(refused, StorageError::Conflict(_));
    assert_eq!(store.other.attachment(&two, &attachment.sha).await.unwrap(), None);
    catalog.publish_version(&job.fence(), new()).await.unwrap();
    let found = store.other.attachment(&two, &attachment.sha).await.unwrap();
    assert_eq!(found, Some(attachment.clone()));
    let nowhere = catalog.link_attachment(&"unknown".into(), &attachment).await;
    assert_error!(nowhere, StorageError::Conflict(_));
}

pub(super) async fn the_newest_versions_are_kept(store: &Store) {
    let catalog = &*store.catalog;
    let first = publish(catalog, new_version("app")).await.document;
    let other = publish(catalog, new_version("other")).await.document;
    for n in 2..=KEPT_VERSIONS {
        assert_eq!(publish(catalog, new_version("app")).await.n, n);
    }
    assert!(store.other.version(&first.id, 1).await.unwrap().is_some(), "not one too early");
    assert_eq!(publish(catalog, new_version("app")).await.n, KEPT_VERSIONS + 1);
    let kept = numbers(&*store.other, &first.id).await;
    assert_eq!(kept, (2..=KEPT_VERSIONS + 1).rev().collect::<Vec<_>>());
    assert!(store.other.version(&first.id, 1).await.unwrap().is_none());
    assert_eq!(numbers(catalog, &other.id).await, [1], "other documents keep theirs");
}

pub(super) async fn a_version_can_name_its_document(store: &Store) {
    let catalog = &*store.catalog;
    let document = publish(catalog, new_version("app")).await.document;
    let next = |head| NewVersion {
        expected_document: Some(document.id.clone()),
        expected_head: head,
        ..new_version("whatever it was called")
    };
    let published = publish(catalog, next(Some(1))).await;
    assert_eq!((published.n, &published.document.id), (2, &document.id));
    assert_eq!(published.document.name, "app");
    assert_eq!(publish(catalog, next(None)).await.n, 3);
    let stale = catalog.publish_version(&running(catalog).await.fence(), next(Some(1))).await;
    assert_error!(stale, StorageError::Conflict(_));
    // Not as somebody else, nor as another kind.
    for other in [
        NewVersion { owner: owner("2"), ..next(None) },
        NewVersion { owner: Owner { principal: bob(), user: "1".into() }, ..next(None) },
        NewVersion { kind: DocumentKind::Pdf, ..next(None) },
        NewVersion { expected_document: Some("unknown".into()), ..next(None) },
    ] {
        let refused = catalog.publish_version(&running(catalog).await.fence(), other).await;
        assert_error!(refused, StorageError::Conflict(_));
    }
    // Deleted, and another of the same name in its place.
    let job = running(catalog).await;
    assert!(catalog.delete_document(&job.fence(), &document.id).await.unwrap());
    let fresh = publish(catalog, new_version("app")).await.document;
    for head in [None, Some(1), Some(3)] {
        let late = catalog.publish_version(&running(catalog).await.fence(), next(head)).await;
        let Err(StorageError::Conflict(message)) = late else { panic!("{late:?}") };
        assert!(message.contains("was deleted"), "{message}");
    }
    assert_eq!(numbers(&*store.other, &fresh.id).await, [1]);
}

pub(super) async fn a_deleted_document_is_gone(store: &Store) {
    let catalog = &*store.catalog;
    let document = publish(catalog, new_version("app")).await.document;
    let kept = publish(catalog, new_version("kept")).await.document;
    let job = running(catalog).await;
    assert!(catalog.delete_document(&job.fence(), &document.id).await.unwrap());
    let found = store.other.document(&owner("1"), DocumentKind::WebApp, "app").await.unwrap();
    assert!(found.is_none());
    assert!(store.other.document_by_token(&document.token).await.unwrap().is_none());
    for list in [
        store.other.documents(&owner("1"), None, 10).await.unwrap(),
        store.other.documents_of_principal(&alice(), 10).await.unwrap(),
    ] {
        assert_eq!(list.iter().map(|document| &document.id).collect::<Vec<_>>(), [&kept.id]);
    }
    // Once more changes nothing, and neither does an unknown one.
    assert!(!store.other.delete_document(&job.fence(), &document.id).await.unwrap());
    assert!(!catalog.delete_document(&job.fence(), &"unknown".into()).await.unwrap());
    // The name is free for a document with another token.
    let again = publish(catalog, new_version("app")).await;
    assert!(again.created && again.document.id != document.id);
    assert!(again.document.token != document.token);
    // A worker that lost its job deletes nothing.
    let lost = job.fence();
    taken_over(catalog, &lost).await;
    let refused = catalog.delete_document(&lost, &again.document.id).await;
    assert_error!(refused, StorageError::Fenced(_));
    assert!(store.other.document_by_token(&again.document.token).await.unwrap().is_some());
}

pub(super) async fn a_new_name_leads_to_the_same_document(store: &Store) {
    let catalog = &*store.catalog;
    let kind = DocumentKind::WebApp;
    let published = publish(catalog, new_version("One")).await.document;
    publish(catalog, new_version("two")).await;
    let pdf = NewVersion { kind: DocumentKind::Pdf, ..new_version("three") };
    publish(catalog, pdf).await;

    // Names of another kind are free; so is its own, written in another way.
    for name in ["three", "Three", "four"] {
        let before = if name == "three" { "ONE" } else { "tHREE" };
        let renamed = catalog.rename_document(&owner("1"), kind, before, name).await.unwrap();
        let renamed = renamed.unwrap();
        assert_eq!((renamed.name.as_str(), &renamed.id), (name, &published.id));
        assert_eq!((renamed.token, renamed.head), (published.token.clone(), 1));
        assert_eq!(renamed.updated_at, published.updated_at, "a name is no change");
    }
    let found = store.other.document(&owner("1"), kind, "FOUR").await.unwrap().unwrap();
    assert_eq!(found.id, published.id);
    assert!(store.other.document(&owner("1"), kind, "one").await.unwrap().is_none());

    let taken = catalog.rename_document(&owner("1"), kind, "four", "TWO").await;
    assert_error!(taken, StorageError::Conflict(_));
    let gone = catalog.rename_document(&owner("1"), kind, "one", "five").await.unwrap();
    assert!(gone.is_none());
    let foreign = catalog.rename_document(&owner("2"), kind, "four", "five").await.unwrap();
    assert!(foreign.is_none());
    // The name that it had is free.
    let next = publish(catalog, new_version("one")).await;
    assert_ne!(next.document.id, published.id);
}

pub(super) async fn documents_with_a_picture_are_told(store: &Store) {
    let catalog = &*store.catalog;
    let with_picture = |name| NewVersion { thumb_sha: Some(sha("picture")), ..new_version(name) };
    publish(catalog, new_version("plain")).await;
    publish(catalog, with_picture("faded")).await;
    publish(catalog, new_version("faded")).await;
    publish(catalog, new_version("shown")).await;
    let shown = publish(catalog, with_picture("shown")).await.document.id;
    assert_eq!(store.other.pictured_documents(&alice()).await.unwrap(), [shown]);
    assert!(store.other.pictured_documents(&bob()).await.unwrap().is_empty());
}
