//! Section `[browser]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Chrome.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrowserConfig {
    /// Path of Chrome or Chromium; absent: the usual places.
    pub chrome: Option<PathBuf>,
    /// How far Chrome must be kept away from network and files.
    pub isolation: IsolationWish,
    /// Documents that are rendered at a time; 0: one per two cores.
    pub slots: usize,
    /// Documents that may wait for their turn.
    pub queue: usize,
    /// Seconds until a page must be at rest.
    pub load_s: f64,
    /// Seconds that one document may take.
    pub deadline_s: f64,
    /// Seconds without work after which Chrome is ended.
    pub idle_s: f64,
    /// Documents after which Chrome is replaced by a fresh one.
    pub documents_per_start: usize,
    /// Memory of Chrome's processes, in bytes, beyond which it is replaced by a fresh one.
    pub memory_bytes: u64,
    /// Whether pages are opened and judged before they are published.
    pub verify: bool,
}

/// How far Chrome must be kept away from network and files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsolationWish {
    /// A network namespace and Chrome's own sandbox, or nothing is rendered.
    Required,
    /// A network namespace where it can be had, else rules inside Chrome; Chrome's own sandbox in
    /// any case, or nothing is rendered.
    #[default]
    Best,
    /// As `best`, and without Chrome's own sandbox where it cannot be had.
    Weak,
    /// Rules inside Chrome and its own sandbox, even where a namespace could be had.
    Rules,
}

impl Default for BrowserConfig {
    fn default() -> Self {
        Self {
            chrome: None,
            isolation: IsolationWish::default(),
            slots: 0,
            queue: 64,
            load_s: 10.0,
            deadline_s: 30.0,
            idle_s: 300.0,
            documents_per_start: 100,
            memory_bytes: 700 * 1024 * 1024,
            verify: true,
        }
    }
}
