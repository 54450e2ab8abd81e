//! What every store must do, run over every database.

mod approvals;
mod audit;
mod changes;
mod database;
mod lists;
mod make;
mod postgres_only;
mod races;
mod relay;
mod restored;
mod seed;
mod sessions;
mod silence;

use database::Database;

/// Runs each of these tests over each database.
macro_rules! conformance {
    ($($file:ident: $($test:ident)+;)+) => {
        mod sqlite {
            $($(#[tokio::test]
            async fn $test() {
                super::$file::$test(super::Database::sqlite(stringify!($test))).await;
            })+)+
        }

        mod postgres {
            $($(#[tokio::test]
            async fn $test() {
                if let Some(database) = super::Database::postgres(stringify!($test)) {
                    super::$file::$test(database).await;
                }
            })+)+
        }
    };
}

#[tokio::test]
async fn a_tidied_log_is_written_again_from_its_start() {
    sessions::a_tidied_log_is_written_again_from_its_start(Database::sqlite("tidy")).await;
}

#[tokio::test]
async fn a_copy_of_the_file_is_the_store_at_one_moment() {
    sessions::a_copy_of_the_file_is_the_store_at_one_moment(Database::sqlite("copy")).await;
}

conformance! {
    lists:
        ten_thousand_measurements_page_by_page
        a_name_in_scope_is_no_pattern
        tombstones_are_seen_by_whose_they_are
        a_hundred_thousand_sessions_page_by_page
        tokens_are_kept_found_and_revoked;
    audit:
        chains_verify_from_their_first_row_to_their_head
        what_retention_leaves_begins_at_a_signed_head
        the_audit_pages_over_all_chains_newest_first;
    changes:
        a_workload_and_its_measurement_come_live_and_go
        every_refusal_has_its_reason_and_changes_nothing
        a_revision_that_has_passed_is_told
        words_change_without_an_epoch_and_validity_with_one
        a_dry_run_says_all_and_changes_nothing
        a_revoked_set_takes_what_it_covers_and_what_it_might_have_matched
        a_file_neither_brings_back_nor_forgets_what_the_api_did
        replicas_are_known_for_a_day;
    approvals:
        a_measurement_waits_for_two_others
        what_was_revoked_meanwhile_is_not_approved
        rules_narrow_at_once_and_widen_by_approval
        a_longer_validity_waits_and_a_shorter_one_does_not
        a_pending_measurement_is_withdrawn_or_revoked_by_one
        a_tombstone_is_lifted_by_another_where_people_are_asked;
    races:
        a_request_sent_twice_is_done_once
        two_writers_leave_no_gap_in_the_epochs
        a_session_admitted_by_what_was_revoked_is_not_written
        a_session_that_was_ended_does_not_come_back
        admissions_race_a_revocation_and_never_outlive_it
        two_processes_under_one_id_are_found_out;
    restored:
        a_copy_that_is_accepted_has_an_epoch_above_all
        whoever_had_a_newer_epoch_follows_the_accepted_one
        only_files_are_copied;
    seed:
        seeding_is_one_change_and_the_same_file_none
        what_left_the_file_is_revoked_and_may_come_back
        a_revoked_set_of_pcrs_stays_revoked_under_every_name
        revoked_in_the_file_leaves_a_tombstone_too
        a_revocation_that_cannot_be_changes_nothing
        what_was_committed_is_there_after_reopening_and_for_another_process
        concurrent_changes_each_get_an_epoch_of_their_own;
    sessions:
        sessions_are_kept_renewed_and_lapse
        whoever_loses_patience_holds_up_nobody
        the_audit_is_bounded_by_count_and_by_age
        a_batch_that_fails_leaves_nothing_and_the_next_one_goes_through
        a_store_that_refuses_is_told_to_whoever_waits
        whoever_records_waits_for_the_commit;
}
