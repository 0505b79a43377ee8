//! The stores' contracts as tests: whoever writes a store stamps them onto it.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use chatpic_core::ShareStore;
//! use chatpic_core::store::memory::MemoryShares;
//! use chatpic_core::testing::conformance::Open;
//!
//! /// A fresh substrate; what is answered opens one more handle onto it.
//! fn memory() -> Open<dyn ShareStore> {
//!     let shares = MemoryShares::default();
//!     Box::new(move || {
//!         let handle: Arc<dyn ShareStore> = Arc::new(shares.clone());
//!         Box::pin(async move { handle })
//!     })
//! }
//!
//! chatpic_core::share_store_conformance!(memory);
//! ```

#[expect(missing_docs, reason = "the names say it all")]
mod blobs;
#[expect(missing_docs, reason = "the names say it all")]
mod shares;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::TryStreamExt;

pub use blobs::*;
pub use shares::*;

use super::SeededEntropy;
use crate::clock::Timestamp;
use crate::entropy::Entropy;
use crate::id::{Folder, SessionId, ShareId};
use crate::mark::Size;
use crate::secret::{Digest, Sealed};
use crate::share::{
    Blocked, BlockedTry, Country, Device, Door, ImageForm, ImageRecord, Receipt, Report, Session, Share,
    Status, Tally,
};
use crate::store::{
    Attempt, Attempted, BlobStore, Claim, Claimed, Copies, Inserted, Purge, ShareStore, StoreResult,
};

/// Opens one more handle onto the same substrate; handles that were dropped lose nothing.
pub type Open<S> = Box<dyn Fn() -> BoxFuture<'static, Arc<S>> + Send + Sync>;

/// Stamps the contract of [`ShareStore`] as tests: one for each clause, each on the fresh substrate of one
/// call of the given function, which answers an [`Open`].
///
/// A store that needs a server which may be missing says so after the function's name: the tests are then ignored,
/// and counted as such, unless they are asked for.
#[macro_export]
macro_rules! share_store_conformance {
    ($open:path $(, needs = $server:literal)?) => {
        $crate::stamp_conformance! { $open, [$(#[ignore = $server])?];
            a_share_is_found_as_it_was_inserted
            a_door_is_the_shares_and_shut_where_there_is_none
            a_taken_id_changes_nothing
            a_claim_grants_one_view
            ten_of_64_racing_claims_are_granted
            one_nonce_is_granted_once_however_often_it_races
            a_repeated_nonce_is_found_before_the_limit
            a_taken_session_id_counts_nothing
            exhaustion_destroys_the_shares_wraps_and_keeps_its_sessions
            an_expired_or_unknown_share_refuses
            a_claim_goes_by_its_callers_clock
            a_preview_counts_nothing_and_replaces_the_earlier_one
            an_ended_share_has_no_preview
            no_preview_outlives_an_end_that_races_with_it
            sessions_are_found_by_token_and_nonce_of_their_share_only
            a_live_session_is_touched_and_a_dead_one_is_not
            sessions_come_in_pages_newest_first_without_the_uploader
            views_are_tallied_by_country_and_time
            several_shares_are_found_at_once
            an_expiry_moves_only_from_where_it_stands_and_before_it
            one_of_many_racing_extensions_is_done
            an_end_destroys_every_wrap
            an_ended_share_keeps_its_first_status
            an_extended_share_does_not_expire_before_its_time
            the_first_burn_stays_on_the_receipt
            blocked_tries_are_counted_apart
            attempts_count_within_their_window
            racing_attempts_never_pass_their_cap
            a_forgiven_attempt_no_longer_counts
            due_shares_are_leased_earliest_first
            a_lease_excludes_until_it_lapses
            racing_leases_are_disjoint
            a_postponed_share_is_due_when_it_was_said
            a_purge_is_noted_and_due_when_it_was_said
            a_purge_loses_no_burn_noted_in_between
            the_first_whole_purge_stays_on_the_receipt
            what_is_stored_is_summed_up_until_it_is_purged
            copies_are_noted_for_live_sessions_only
            racing_copies_are_all_noted
            deleted_copies_are_forgotten_unless_a_receipt_counts_them
            reports_come_newest_first_and_not_too_many_of_one_share
            reports_of_no_share_are_not_shown_and_forgotten_when_they_are_old
            a_kept_ledger_moves_only_a_purged_shares_due
            the_last_session_end_is_that_of_a_live_one
            a_forgotten_share_leaves_nothing
            ended_sessions_lose_their_wraps_and_old_attempts_are_forgotten
            a_folder_is_in_use_until_it_is_purged
            the_ledger_comes_in_pages_by_id
            the_first_fingerprint_stays
            reopening_keeps_everything
        }
    };
}

/// Stamps the contract of [`BlobStore`] as tests, as [`share_store_conformance!`](crate::share_store_conformance) does.
#[macro_export]
macro_rules! blob_store_conformance {
    ($open:path $(, needs = $server:literal)?) => {
        $crate::stamp_conformance! { $open, [$(#[ignore = $server])?];
            an_object_is_read_as_it_was_put
            an_object_is_never_changed
            a_folder_is_deleted_with_its_count_and_again_without
            every_folder_with_an_object_is_listed
            objects_are_counted_by_folder
            an_empty_store_has_room
            objects_outlive_their_handle
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! stamp_conformance {
    ($open:path, $attributes:tt; $($case:ident)+) => {
        $( $crate::stamp_conformance! { $open, $attributes, $case } )+
    };
    ($open:path, [$($attribute:tt)*], $case:ident) => {
        $($attribute)*
        #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $case() -> ::std::result::Result<(), $crate::StoreError> {
            $crate::testing::conformance::$case(&$open()).await
        }
    };
}

/// When sample shares are made.
pub const START: Timestamp = Timestamp(1_790_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The `number`th sample share: two images, a limit of ten views, one hour to live.
pub fn sample_share(number: u64) -> Share {
    let entropy = SeededEntropy::new(number);
    let entropy: &dyn Entropy = &entropy;
    let sealed = || Some(Sealed(entropy.bytes::<60>().to_vec()));
    let image = |form| ImageRecord {
        sizes: vec![Size { width: 1600, height: 1200 }, Size { width: 640, height: 480 }],
        framed: false,
        form,
        mark: None,
    };
    Share {
        id: ShareId::random(entropy),
        created_at: START,
        expires_at: START + HOUR,
        max_views: Some(10),
        views: 0,
        recorded_status: Status::Active,
        ended_at: None,
        folder: Folder::new(START, entropy),
        objects: 8,
        bytes: 1000 * (number + 1),
        images: vec![image(ImageForm::Jpeg), image(ImageForm::Png)],
        tally: Tally::default(),
        upload_digest: entropy.bytes(),
        link_digest: entropy.bytes(),
        dashboard_digest: entropy.bytes(),
        password_salt: Some(entropy.bytes()),
        link_wrap: sealed(),
        dashboard_wrap: sealed(),
        sealed_link: sealed(),
        sealed_mark_key: Sealed(entropy.bytes::<60>().to_vec()),
        keep_ledger: 24 * HOUR,
        blocked: Blocked::default(),
        receipt: Receipt::default(),
    }
}

/// The `number`th sample session, opened `number` seconds after [`START`] for ten minutes; the one with
/// number 0 is the uploader's.
pub fn sample_session(number: u32) -> Session {
    let entropy = SeededEntropy::new(u64::from(number) << 32);
    let entropy: &dyn Entropy = &entropy;
    let opened_at = START + number * SECOND;
    Session {
        id: SessionId(number),
        token_digest: entropy.bytes(),
        nonce_digest: entropy.bytes(),
        wrap: Some(Sealed(entropy.bytes::<60>().to_vec())),
        views_before: 0,
        opened_at,
        ends_at: opened_at + 600 * SECOND,
        country: "NZ".parse().ok(),
        device: Device::Phone,
        images_seen: 0,
    }
}
