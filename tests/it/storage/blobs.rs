//! Contract of the blob store, for every adapter.

use std::path::Path;
use std::sync::Arc;

use atelier::storage::blobs::{Blobs, sha256_hex};
use atelier::storage::{Sha256Hex, StorageError};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Barrier;

use super::assert_error;
use super::processes::Helper;

/// Each adapter, empty, and the folder that it must keep.
fn adapters() -> Vec<(Blobs, Option<TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    vec![(Blobs::local(folder.path()).unwrap(), Some(folder)), (Blobs::in_memory(), None)]
}

/// Names of all files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(files(&entry.path()));
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names
}

#[tokio::test]
async fn what_was_put_is_what_is_got() {
    for (blobs, _folder) in adapters() {
        for bytes in [vec![], b"text".to_vec(), vec![0, 255, 10], vec![7; 3_000_000]] {
            let sha = blobs.put(bytes.clone()).await.unwrap();
            assert_eq!(sha, sha256_hex(&bytes));
            assert_eq!(blobs.get(&sha).await.unwrap(), bytes);
        }
        let value = json!({"b": [1, null, "ä"], "a": 1.5});
        let sha = blobs.put_json(&value).await.unwrap();
        assert_eq!(blobs.get_json::<serde_json::Value>(&sha).await.unwrap(), value);
        let error = blobs.get_json::<Vec<u8>>(&sha).await.unwrap_err();
        assert!(matches!(&error, StorageError::Corrupt(cause) if cause.contains(sha.as_str())));
    }
    let known = sha256_hex(b"abc");
    assert_eq!(known.0, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[tokio::test]
async fn the_same_content_is_one_blob() {
    for (blobs, folder) in adapters() {
        let first = blobs.put("text").await.unwrap();
        assert_eq!(blobs.put("text").await.unwrap(), first);
        assert_ne!(blobs.put("Text").await.unwrap(), first);
        assert_eq!(blobs.get(&first).await.unwrap(), "text");
        if let Some(folder) = folder {
            let path = folder.path().join("b").join(&first.0[..2]).join(&first.0);
            assert_eq!(std::fs::read(path).unwrap(), b"text");
            assert_eq!(files(folder.path()).len(), 2);
        }
    }
}

#[tokio::test]
async fn a_missing_blob_is_named() {
    for (blobs, _folder) in adapters() {
        let absent = sha256_hex(b"absent");
        let error = blobs.get(&absent).await.unwrap_err();
        let StorageError::Corrupt(cause) = error else { panic!("{error:?}") };
        assert!(cause.contains(absent.as_str()) && cause.contains("missing"), "{cause}");
    }
}

#[tokio::test]
async fn names_never_lead_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let folder = outside.path().join("blobs");
    std::fs::create_dir(&folder).unwrap();
    let blobs = Blobs::local(&folder).unwrap();
    for name in ["../../../secret", "../secret", "/../../secret", "", ".", "..", "a/b", "é"] {
        let result = blobs.get(&Sha256Hex(name.into())).await;
        assert_error!(result, StorageError::Corrupt(_));
    }
}

#[tokio::test]
async fn changed_bytes_are_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::local(folder.path()).unwrap();
    let sha = blobs.put("the text as it was written").await.unwrap();
    let path = folder.path().join("b").join(&sha.0[..2]).join(&sha.0);
    for damaged in ["", "the text as it", "the text as it was Written"] {
        std::fs::write(&path, damaged).unwrap();
        let error = blobs.get(&sha).await.unwrap_err();
        let StorageError::Corrupt(cause) = error else { panic!("{error:?}") };
        assert!(cause.contains("differs"), "{cause}");
    }
}

#[tokio::test]
async fn a_folder_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let absent = folder.path().join("absent");
    let error = Blobs::local(&absent).unwrap_err();
    let StorageError::Unavailable(cause) = error else { panic!("{error:?}") };
    assert!(cause.contains("absent"), "{cause}");
    // A file in its place shows with the first blob at the latest.
    if let Ok(blobs) = Blobs::local(&file) {
        assert_error!(blobs.put("text").await, StorageError::Unavailable(_));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_bytes_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let start = Arc::new(Barrier::new(16));
    let writers: Vec<_> = (0..16)
        .map(|_| {
            let (start, blobs) = (Arc::clone(&start), Blobs::local(folder.path()).unwrap());
            tokio::spawn(async move {
                start.wait().await;
                blobs.put(vec![42; 100_000]).await.unwrap()
            })
        })
        .collect();
    let mut shas = Vec::new();
    for writer in writers {
        shas.push(writer.await.unwrap());
    }
    assert!(shas.iter().all(|sha| *sha == shas[0]));
    // One blob, and nothing half-written beside it.
    assert_eq!(files(folder.path()), [shas[0].0.clone()]);
}

/// The helper may write files of 32 to 64 kB, as if the disk had no room for more.
#[test]
fn a_full_disk_is_told_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    Helper::start_limited("storage::blobs::helper_on_a_full_disk", folder.path()).finish();
    assert_eq!(files(folder.path()).len(), 2);
}

#[tokio::test]
#[ignore = "a helper process of other tests"]
async fn helper_on_a_full_disk() {
    let folder = std::env::var_os("ATELIER_TEST_FOLDER").expect("started by other tests");
    let blobs = Blobs::local(Path::new(&folder)).unwrap();
    let before = blobs.put("small").await.unwrap();
    let large = vec![1; 1_000_000];
    assert_error!(blobs.put(large.clone()).await, StorageError::Full);
    assert_error!(blobs.get(&sha256_hex(&large)).await, StorageError::Corrupt(_));
    // What is small enough still goes, and what was there is there.
    blobs.put("small too").await.unwrap();
    assert_eq!(blobs.get(&before).await.unwrap(), "small");
}
