//! Section `[limits]`.

use serde::{Deserialize, Serialize};

/// Budgets, sizes and times. Seconds may be fractions, for tests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// How long a call may take before it is answered with a job id.
    pub answer_budget_s: f64,
    /// How long calls in flight may go on after a request to stop.
    pub shutdown_grace_s: f64,
    /// How long the result of a call stays open to references.
    pub reference_ttl_s: f64,
    /// How long a round of a host completion stays open.
    pub completion_ttl_s: f64,
    /// How long a host completion may live over all its rounds.
    pub completion_max_life_s: f64,
    /// Lease of a running job.
    pub lease_s: f64,
    /// Tool calls of one principal at a time.
    pub concurrent_calls: usize,
    /// Tool calls of one principal per minute; 0: no cap.
    pub calls_per_minute: i64,
    /// Size of one call's arguments, in bytes.
    pub argument_bytes: usize,
    /// Size of one result, in bytes; larger ones are cut and kept whole behind a reference.
    pub result_bytes: usize,
    /// Size of one generated or given page, in bytes.
    pub page_bytes: usize,
    /// Tool calls of one app's pages per minute.
    pub page_calls_per_minute: i64,
    /// Tool calls of one app's pages at a time.
    pub page_concurrent_calls: usize,
    /// How long a tool call of a page may take.
    pub page_call_s: f64,
    /// Model tokens that one app's pages may use a day.
    pub page_tokens_per_day: i64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            answer_budget_s: 40.0,
            shutdown_grace_s: 30.0,
            reference_ttl_s: 7.0 * 24.0 * 3600.0,
            completion_ttl_s: 24.0 * 3600.0,
            completion_max_life_s: 7.0 * 24.0 * 3600.0,
            lease_s: 20.0,
            concurrent_calls: 16,
            calls_per_minute: 0,
            argument_bytes: 8 * 1024 * 1024,
            result_bytes: 900_000,
            page_bytes: 2 * 1024 * 1024,
            page_calls_per_minute: 60,
            page_concurrent_calls: 4,
            page_call_s: 120.0,
            page_tokens_per_day: 100_000,
        }
    }
}
