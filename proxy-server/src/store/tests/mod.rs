//! What every store must do, run over every database.

mod database;
mod make;
mod seed;
mod sessions;

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

conformance! {
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
        the_audit_is_bounded_by_count_and_by_age
        a_batch_that_fails_leaves_nothing_and_the_next_one_goes_through
        a_store_that_refuses_is_told_to_whoever_waits
        whoever_records_waits_for_the_commit;
}
