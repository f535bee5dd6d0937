//! What hosted pages keep: keys and values in areas.
//!
//! An [`Area`] belongs to one visitor of a document, to one tab of that visitor, or to everybody.
//! Every write is one transaction and has a revision, counted per document, so that whoever knows
//! an earlier revision can ask what came after it.

use async_trait::async_trait;

use super::{DocumentId, StorageResult};

/// Where a value belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Area {
    /// One visitor: `localStorage`.
    Visitor(String),
    /// One tab of a visitor: `sessionStorage`.
    Tab {
        /// The visitor.
        visitor: String,
        /// The tab.
        tab: String,
    },
    /// Everybody who opens the document.
    Shared,
}

impl Area {
    /// The key of its rows. Visitors and tabs are words without a slash.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Visitor(visitor) => format!("visitor/{visitor}"),
            Self::Tab { visitor, tab } => format!("tab/{visitor}/{tab}"),
            Self::Shared => "shared".to_owned(),
        }
    }
}

/// A value, or the trace of one that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its key.
    pub name: String,
    /// The value; none when it was removed.
    pub content: Option<String>,
    /// The write that made it so.
    pub revision: i64,
}

/// What changed in an area.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredChanges {
    /// The newest revision of the area; 0 when nothing was ever written.
    pub revision: i64,
    /// Number of the newest write of the tab that numbers its writes.
    pub sequence: i64,
    /// Whether `entries` is all there is, since the changes are not remembered that far back.
    pub is_whole: bool,
    /// Changed entries, oldest write first.
    pub entries: Vec<StoredEntry>,
}

/// The key of a value, and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredName {
    /// The key.
    pub name: String,
    /// Bytes of the value.
    pub bytes: i64,
}

/// What an area may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaLimits {
    /// Bytes of keys and values.
    pub bytes: i64,
    /// Entries.
    pub entries: i64,
}

/// Changes of one area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaWrite {
    /// Which.
    pub area: Area,
    /// Values to set (or, with none, to remove), after everything else was removed when that is
    /// asked for.
    pub changes: Vec<(String, Option<String>)>,
    /// What happens to values that are not named.
    pub others: Others,
    /// What the area may hold.
    pub limits: AreaLimits,
}

/// What a write does to the values that it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    Kept,
    /// They are removed first.
    Removed,
}

/// One write: all of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageWrite {
    /// The areas that it changes.
    pub areas: Vec<AreaWrite>,
    /// The tab that numbers its writes, and the number. One that is not new changes nothing: it
    /// came before, or it was overtaken by a later one that holds its changes too.
    pub number: Option<(Area, i64)>,
    /// How many tabs of a visitor are kept: those that were written to last.
    pub kept_tabs: usize,
    /// What all areas of the document may hold together, in bytes.
    pub document_bytes: i64,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageWritten {
    /// It is durable.
    Done {
        /// Its revision.
        revision: i64,
    },
    /// Its number was not new.
    Repeated,
    /// The area would hold too much; nothing was changed.
    AreaFull(Area),
    /// The document would hold too much; nothing was changed.
    DocumentFull,
    /// There is no such live document.
    NoDocument,
}

/// Storage of hosted pages.
#[async_trait]
pub trait PageStore {
    /// What changed in an area after a revision; after 0, all that it holds.
    async fn page_changes(
        &self,
        document: &DocumentId,
        area: &Area,
        since: i64,
    ) -> StorageResult<StoredChanges>;
    /// The newest revision of an area; 0 when nothing was ever written.
    async fn area_revision(&self, document: &DocumentId, area: &Area) -> StorageResult<i64>;
    /// The tabs of a visitor that are kept, newest write first.
    async fn visitor_tabs(
        &self,
        document: &DocumentId,
        visitor: &str,
    ) -> StorageResult<Vec<String>>;
    /// The newest revision of anything that the document's pages stored.
    async fn page_store_revision(&self, document: &DocumentId) -> StorageResult<i64>;
    /// One value of an area.
    async fn page_entry(
        &self,
        document: &DocumentId,
        area: &Area,
        name: &str,
    ) -> StorageResult<Option<StoredEntry>>;
    /// The keys of an area that begin with `prefix` and come after `after`, in their order by
    /// bytes, at most `limit`.
    async fn page_entry_names(
        &self,
        document: &DocumentId,
        area: &Area,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> StorageResult<Vec<StoredName>>;
    /// Writes all of it or nothing, durable when it returns.
    async fn write_page_entries(
        &self,
        document: &DocumentId,
        write: PageWrite,
    ) -> StorageResult<PageWritten>;
}
