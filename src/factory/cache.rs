//! Packages that were made before. The same representation with the same templates, rules, plugins and
//! program makes the same package, so it is neither generated nor proven a second time.
//!
//! An entry is one file, named by the hash of all that the package came of, the principal included:
//! nobody gets what somebody else had made. It appears by a rename and carries the hash of its content,
//! so that a damaged one is a miss and nothing worse. What cannot be kept is no error.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::ir::{PackageFile, Sourced};
use super::render::runtime_files;
use super::render::templates::{TEMPLATES, Templates};
use super::selftest::SelfTest;
use crate::config::factory::FactoryConfig;
use crate::storage::PrincipalId;
use crate::storage::blobs::sha256_hex;

/// Changes with the form of an entry and with what a key is made of.
const FORMAT: u32 = 1;
/// Bytes of all entries together.
const BYTES: u64 = 512 << 20;

/// The execution that a package was taken over from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reused {
    /// Call id of the execution that made and proved it; its log is the package's log.
    pub execution: String,
    /// When that call began, milliseconds since the Unix epoch.
    pub made_at: i64,
}

/// A package as it was made and proven.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) from: Reused,
    pub(super) files: Vec<PackageFile>,
    pub(super) findings: Vec<Value>,
    pub(super) self_test: SelfTest,
}

/// Names an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

/// What a package comes of besides its representation.
pub(super) struct Making<'a> {
    pub(super) principal: &'a PrincipalId,
    pub(super) config: &'a FactoryConfig,
    pub(super) templates: &'a Templates,
    /// Hashes of the operator's plugins, in their order.
    pub(super) plugins: &'a [String],
}

impl Key {
    /// The key of a package.
    pub(super) fn of(sourced: &Sourced, making: &Making<'_>) -> Self {
        let Making { principal, config, templates, plugins } = making;
        let around = json!({
            "format": FORMAT,
            "principal": principal.as_str(),
            "program": env!("CARGO_PKG_VERSION"),
            "templates": templates.names_and_texts(),
            "rules": config.scan_rules,
            "gate": config.scan_gate,
            "plugins": plugins,
            // What it is proven with.
            "python": config.python,
            "environment": config.environment,
            "unsandboxed": config.unsandboxed,
        });
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        };
        part(around.to_string().as_bytes());
        // A program that is being worked on changes without its version.
        for (path, text) in runtime_files::PYTHON {
            part(path.as_bytes());
            part(text.as_bytes());
        }
        part(runtime_files::REQUIREMENTS.as_bytes());
        for (name, _, text) in TEMPLATES {
            part(name.as_bytes());
            part(text.as_bytes());
        }
        part(&serde_json::to_vec(&sourced.package).unwrap_or_default());
        part(&serde_json::to_vec(&sourced.cases).unwrap_or_default());
        part(&serde_json::to_vec(&sourced.files).unwrap_or_default());
        Self(hex(&hash.finalize()))
    }
}

/// Keeps packages below one folder.
#[derive(Debug)]
pub struct PackageCache {
    folder: PathBuf,
    most: usize,
    making: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
}

impl PackageCache {
    /// A cache of at most so many packages; of none: nothing is kept.
    pub fn new(folder: PathBuf, most: usize) -> Self {
        Self { folder, most, making: Mutex::default() }
    }

    /// Waits until nobody else of this process makes the same package. Whoever comes second finds what
    /// the first one made.
    pub(super) async fn alone(&self, key: &Key) -> OwnedMutexGuard<()> {
        let lock = {
            let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            making.retain(|_, lock| lock.strong_count() > 0);
            let known = making.get(&key.0).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::new(AsyncMutex::new(()));
                making.insert(key.0.clone(), Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }

    /// A package that was made before.
    pub(super) async fn find(&self, key: &Key) -> Option<Kept> {
        if self.most == 0 {
            return None;
        }
        let path = self.path(key);
        let bytes = match tokio::fs::read(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(error.cause = %error, "a kept package could not be read");
                return None;
            }
        };
        let found = read(&bytes);
        if found.is_none() {
            tracing::warn!(entry = key.0, "a kept package is damaged, and made anew");
            let _ = tokio::fs::remove_file(&path).await;
        }
        found
    }

    /// Keeps a package, and lets go of the oldest where there are too many.
    pub(super) async fn keep(&self, key: &Key, kept: &Kept) {
        if self.most == 0 {
            return;
        }
        let work = async {
            tokio::fs::create_dir_all(&self.folder).await?;
            let content = serde_json::to_vec(kept).map_err(io::Error::other)?;
            let (_, part) = tempfile::Builder::new()
                .prefix(".part-")
                .tempfile_in(&self.folder)?
                .keep()
                .map_err(|error| error.error)?;
            let written = write(&part, &content).await;
            if let Err(error) = written {
                let _ = tokio::fs::remove_file(&part).await;
                return Err(error);
            }
            tokio::fs::rename(&part, self.path(key)).await?;
            self.shrink().await
        };
        if let Err(error) = work.await {
            tracing::warn!(error.cause = %error, "a package could not be kept for the next call");
        }
    }

    /// Removes the oldest entries beyond the bounds; what was left half written is among them.
    async fn shrink(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        let mut listing = tokio::fs::read_dir(&self.folder).await?;
        while let Some(entry) = listing.next_entry().await? {
            // Another process may have removed it.
            let Ok(facts) = entry.metadata().await else { continue };
            if facts.is_file() {
                let written = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push((written, facts.len(), entry.path()));
            }
        }
        entries.sort_unstable_by(|one, other| other.cmp(one));
        let mut bytes = 0;
        for (place, (_, length, path)) in entries.into_iter().enumerate() {
            bytes += length;
            if place >= self.most || bytes > BYTES {
                let _ = tokio::fs::remove_file(path).await;
            }
        }
        Ok(())
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.0)
    }
}

/// The hash of the content on a line of its own, and the content.
async fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = tokio::fs::OpenOptions::new().write(true).open(path).await?;
    file.write_all(sha256_hex(content).0.as_bytes()).await?;
    file.write_all(b"\n").await?;
    file.write_all(content).await?;
    file.sync_all().await
}

fn read(bytes: &[u8]) -> Option<Kept> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (hash, content) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    if sha256_hex(content).0.as_bytes() != hash {
        return None;
    }
    serde_json::from_slice(content).ok()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::ir::Features;
    use crate::factory::source::description;

    fn sourced(body: &str) -> Sourced {
        let specs = json!([{
            "name": "add", "description": "Adds.", "input_schema": {"type": "object"},
            "implementation": format!("async def run(args, ctx):\n    return {body}\n"),
        }]);
        description::from_specs(&specs, None, &Features::default()).unwrap()
    }

    fn kept(text: &str) -> Kept {
        Kept {
            from: Reused { execution: "0000abcd".to_owned(), made_at: 7 },
            files: vec![PackageFile { path: "server.py".to_owned(), text: text.to_owned() }],
            findings: Vec::new(),
            self_test: SelfTest::not_run("never"),
        }
    }

    fn entries(folder: &Path) -> Vec<PathBuf> {
        let listing = folder.read_dir().unwrap();
        listing.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn everything_that_a_package_comes_of_is_in_its_key() {
        let principal = PrincipalId::from("one");
        let other = PrincipalId::from("other");
        let usual = FactoryConfig::default();
        let templates = Templates::default();
        let key = |sourced: &Sourced, principal, config, templates, plugins| {
            Key::of(sourced, &Making { principal, config, templates, plugins })
        };
        let same = sourced("1");
        let first = key(&same, &principal, &usual, &templates, &[]);
        assert_eq!(first, key(&sourced("1"), &principal, &usual, &templates, &[]));
        let mut gated = usual.clone();
        gated.scan_gate = crate::config::factory::ScanGate::Low;
        let mut ruled = usual.clone();
        ruled.scan_rules = vec![crate::config::factory::ScanRule {
            name: "x".to_owned(),
            pattern: Some("x".to_owned()),
            call: None,
            severity: "low".to_owned(),
            message: "x".to_owned(),
        }];
        let replaced = [("README.md.j2".to_owned(), "own".to_owned())].into();
        let replaced = Templates::replaced(replaced).unwrap();
        let others = [
            key(&sourced("2"), &principal, &usual, &templates, &[]),
            key(&same, &other, &usual, &templates, &[]),
            key(&same, &principal, &gated, &templates, &[]),
            key(&same, &principal, &ruled, &templates, &[]),
            key(&same, &principal, &usual, &replaced, &[]),
            key(&same, &principal, &usual, &templates, &["plugin".to_owned()]),
        ];
        for (place, one) in others.iter().enumerate() {
            assert_ne!(*one, first, "{place}");
            assert!(!others.iter().skip(place + 1).any(|two| two == one), "{place}");
        }
    }

    #[tokio::test]
    async fn entries_are_found_again_until_they_are_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::new(folder.path().join("cache"), 10);
        let key = Key("key".to_owned());
        assert!(cache.find(&key).await.is_none());
        cache.keep(&key, &kept("one")).await;
        assert_eq!(cache.find(&key).await.unwrap().files[0].text, "one");
        // Another cache on the same folder, as after a restart.
        let again = PackageCache::new(folder.path().join("cache"), 10);
        assert_eq!(again.find(&key).await.unwrap().from.execution, "0000abcd");
        assert!(again.find(&Key("other".to_owned())).await.is_none());
        let path = cache.path(&key);
        let text = tokio::fs::read_to_string(&path).await.unwrap().replace("one", "two");
        tokio::fs::write(&path, text).await.unwrap();
        assert!(cache.find(&key).await.is_none());
        assert!(!path.exists());
        let off = PackageCache::new(folder.path().join("off"), 0);
        off.keep(&key, &kept("one")).await;
        assert!(off.find(&key).await.is_none() && !folder.path().join("off").exists());
    }

    #[tokio::test]
    async fn the_oldest_entries_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::new(folder.path().to_owned(), 3);
        let key = |number: u64| Key(format!("key{number}"));
        for number in 0..5 {
            cache.keep(&key(number), &kept("text")).await;
            // By the clock of the file system they may be of one moment.
            let file = std::fs::File::options().write(true).open(cache.path(&key(number)));
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 + number);
            file.unwrap().set_modified(time).unwrap();
        }
        assert_eq!(entries(folder.path()).len(), 3);
        for number in 0..5 {
            assert_eq!(cache.find(&key(number)).await.is_some(), number >= 2, "{number}");
        }
    }

    #[tokio::test]
    async fn one_key_is_made_by_one_caller_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::new(folder.path().to_owned(), 3);
        let (one, other) = (Key("one".to_owned()), Key("other".to_owned()));
        let first = cache.alone(&one).await;
        let _other = cache.alone(&other).await;
        let mut second = Box::pin(cache.alone(&one));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        drop(second.await);
        assert_eq!(cache.making.lock().unwrap().len(), 2);
        drop(cache.alone(&other));
    }
}
