//! Contract of the catalog and the blob store, for every adapter.
//!
//! A rule is an async function over a [`Store`]. Another adapter is one more constructor of
//! [`Store`] and one more line in `contract!`.

mod blobs;
mod calls;
mod completions;
mod documents;
mod fixtures;
mod history;
mod jobs;
mod ownership;
mod page_store;
mod processes;
mod races;
mod settings;
mod sqlite;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atelier::storage::Catalog;
use atelier::storage::sqlite::SqliteCatalog;
use tempfile::TempDir;

/// An empty installation.
struct Store {
    catalog: Arc<dyn Catalog>,
    /// The same installation as another process sees it.
    other: Arc<dyn Catalog>,
    folder: Option<TempDir>,
}

impl Store {
    async fn sqlite_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atelier.db");
        let catalog = Arc::new(SqliteCatalog::open(&path).await.unwrap());
        let other = Arc::new(SqliteCatalog::open(&path).await.unwrap());
        Self { catalog, other, folder: Some(folder) }
    }

    async fn sqlite_memory() -> Self {
        let catalog = Arc::new(SqliteCatalog::in_memory().await.unwrap());
        Self { other: Arc::clone(&catalog) as Arc<dyn Catalog>, catalog, folder: None }
    }

    /// The two views in turn.
    fn view(&self, n: usize) -> Arc<dyn Catalog> {
        Arc::clone(if n.is_multiple_of(2) { &self.catalog } else { &self.other })
    }

    fn file(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("atelier.db")
    }
}

/// Waits until something holds, and says what did not.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "never: {what}");
}

/// Checks the reason of a failure, not only that there is one.
macro_rules! assert_error {
    ($result:expr, $pattern:pat) => {
        match $result {
            Err($pattern) => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern)),
        }
    };
}
use assert_error;

/// Makes a test of every rule for every adapter, and one function that runs all rules.
macro_rules! contract {
    (adapters: $($adapter:ident)*; rules: $rules:tt) => {
        $(contract!(@adapter $adapter $rules);)*
        contract!(@all $rules);
    };
    (@adapter $adapter:ident { $($module:ident: $($rule:ident)*;)* }) => {
        mod $adapter {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    let store = crate::storage::Store::$adapter().await;
                    crate::storage::$module::$rule(&store).await;
                })*
            })*
        }
    };
    (@all { $($module:ident: $($rule:ident)*;)* }) => {
        /// Runs every rule on a store of its own and returns the last one.
        async fn every_rule() -> Store {
            $($($module::$rule(&Store::sqlite_file().await).await;)*)*
            Store::sqlite_file().await
        }
    };
}

contract! {
    adapters: sqlite_file sqlite_memory;
    rules: {
        jobs:
            a_new_job_is_claimed_by_its_maker
            a_key_names_one_job_per_principal
            an_id_is_used_once
            jobs_are_seen_by_their_principal_alone
            jobs_are_listed_newest_first
            a_lost_call_is_found_by_its_arguments
            the_end_of_a_job_is_kept
            a_worker_ends_a_job_in_an_end_state
            cancelling_depends_on_the_state
            progress_and_detaching_are_kept;
        ownership:
            a_claim_adds_an_attempt
            a_claim_takes_the_named_states_only
            heartbeats_keep_leases_and_report_what_is_lost
            lost_tasks_are_adopted_and_plain_jobs_interrupted
            a_lost_job_that_was_to_stop_is_cancelled
            a_job_that_costs_too_many_workers_fails
            completions_are_no_losses
            released_jobs_go_on_at_once
            adoption_keeps_its_limit
            every_write_of_a_lost_worker_is_refused
            every_write_of_a_cancelled_job_is_refused;
        completions:
            the_first_result_of_a_step_counts
            parking_opens_round_one
            rounds_keep_the_handle_and_renew_the_time
            an_unanswered_round_stays_the_same
            the_longest_life_caps_the_rounds
            parts_are_collected_in_an_open_round
            a_submission_goes_on_with_the_job
            a_submission_to_another_round_is_refused
            a_submission_without_a_job_changes_nothing
            completions_end_with_their_job
            completions_expire_with_their_jobs
            a_job_that_was_to_stop_is_not_parked
            handles_are_seen_by_their_principal_alone;
        calls:
            a_call_id_is_had_once_per_principal
            a_call_may_come_with_its_result
            calls_are_written_together
            results_are_read_until_they_expire
            recent_calls_have_results_and_come_newest_first;
        documents:
            the_first_version_makes_the_document
            versions_are_dense_and_the_head_moves
            a_job_publishes_once
            names_are_unique_without_case
            a_stale_head_is_a_conflict
            nothing_is_left_of_a_refused_version
            documents_are_listed_newest_change_first
            tokens_lead_to_documents
            attachments_belong_to_a_document
            the_newest_versions_are_kept
            a_version_can_name_its_document
            a_deleted_document_is_gone
            a_new_name_leads_to_the_same_document
            documents_with_a_picture_are_told;
        page_store:
            what_a_page_stored_is_read_by_every_process
            changes_are_told_since_a_revision
            removals_too_old_to_remember_make_the_answer_whole
            a_write_is_all_or_nothing_within_the_limits
            a_number_is_used_once_per_tab
            the_tabs_written_last_are_kept
            keys_are_listed_by_prefix_in_parts
            writes_of_many_processes_all_count
            only_live_documents_store;
        settings:
            the_store_answers_a_ping
            quotas_add_up_to_the_limit
            quota_windows_end
            sessions_are_replaced_expire_and_are_forgotten
            settings_are_made_once_and_replaced
            the_sweep_removes_what_is_over_only;
        races:
            one_key_makes_one_job
            one_claim_wins
            one_submission_wins
            one_change_of_a_head_wins
            unconditional_versions_are_dense
            one_document_per_name
            one_call_id_is_reserved_once
            one_setting_for_all
            quotas_never_pass_the_limit
            lost_jobs_are_adopted_once;
    }
}
