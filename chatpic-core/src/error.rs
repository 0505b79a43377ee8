//! What can go wrong, each variant a different reaction.

use std::iter::successors;
use std::time::Duration;

use crate::intake::Rejection;
use crate::limits::InvalidLimit;
use crate::mark::MarkError;

/// Why something was not done. No message holds a key, token or password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The share is unknown or has ended; viewers can't tell which.
    #[error("there is no such share, or it has ended")]
    NotFound,
    /// A key, token or password is missing or wrong.
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    /// Too many tries; the next is taken after `retry_after`.
    #[error("too many tries, wait {} seconds", retry_after.as_secs())]
    Throttled {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The request does not fit what the share has come to.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// An image was refused.
    #[error("image {}: {rejection}", index + 1)]
    Rejected {
        /// Which image, from 0.
        index: usize,
        /// What was found and which limit it breaks.
        rejection: Rejection,
    },
    /// An option is out of its range.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// All workers are taken and the queue is full; try again soon.
    #[error("the server is busy")]
    Busy,
    /// The stores are full; nothing can be uploaded until shares end.
    #[error("there is no room for uploads at the moment")]
    Full,
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sealed data do not open: they were changed, or belong to another key.
    #[error("stored data are damaged")]
    Damaged,
    /// A worker panicked: a fault of this software, of which only this one request knows.
    #[error("a worker failed")]
    Panicked,
    /// Marking or tracing failed.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// A limit is out of its range, or does not fit another.
    #[error(transparent)]
    Limit(#[from] InvalidLimit),
    /// The installation's secret is not the one that the share store was made with.
    #[error("the secret does not fit the database: shares there were sealed under another one")]
    ForeignSecret,
}

impl From<Rejection> for Error {
    /// The refusal of the first image.
    fn from(rejection: Rejection) -> Self {
        Self::Rejected { index: 0, rejection }
    }
}

impl Error {
    /// What a log may say of it. What a store answered is told by its kind alone: it may hold an object's path, which
    /// tells shares and sessions apart.
    #[must_use]
    pub fn for_log(&self) -> String {
        let Self::Store(failed) = self else { return self.to_string() };
        let StoreError { store, operation, source } = failed;
        let causes = successors(Some(&**source as &(dyn std::error::Error + 'static)), |e| e.source());
        match causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).last() {
            Some(cause) => format!("{store} could not {operation}: {}", cause.kind()),
            None => format!("{store} could not {operation}"),
        }
    }
}

/// An error's text and those of its causes, each once: some errors of other crates name their cause themselves.
///
/// It may hold what a store answered, and so an object's path: it is for the caller, not for a log. See
/// [`Error::for_log`].
///
/// ```
/// use chatpic_core::{StoreError, with_causes};
///
/// let failed = StoreError { store: "redis", operation: "find a share", source: "connection refused".into() };
/// assert_eq!(with_causes(&failed), "redis could not find a share: connection refused");
/// ```
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in successors(error.source(), |cause| cause.source()).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// What is missing or wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthorized {
    /// The link key, dashboard key or access is wrong.
    #[error("the key is missing or wrong")]
    Key,
    /// The share has a password and none was given.
    #[error("this share needs a password")]
    PasswordMissing,
    /// The password is wrong.
    #[error("the password is wrong")]
    PasswordWrong,
    /// The viewing session is over, revoked or unknown.
    #[error("the viewing session is over")]
    Session,
}

/// What the request does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The nonce opened a session more than a minute ago.
    #[error("this nonce was used before")]
    NonceSpent,
    /// The share has ended.
    #[error("the share has ended")]
    Ended,
    /// The idempotency key was used for another upload.
    #[error("this idempotency key was used for another upload")]
    IdempotencyKey,
    /// The share is being traced already.
    #[error("another trace of this share is running")]
    Tracing,
}

/// Which option is out of its range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A share without images.
    #[error("a share needs at least one image")]
    NoImages,
    /// More images than a share may have.
    #[error("a share has at most {limit} images")]
    TooManyImages {
        /// The limit.
        limit: usize,
    },
    /// An expiry too near or too far.
    #[error("the expiry must lie between {} seconds and {} days ahead", min.as_secs(), max.as_secs() / 86_400)]
    Expiry {
        /// The nearest.
        min: Duration,
        /// The farthest.
        max: Duration,
    },
    /// A view limit out of range.
    #[error("the view limit must lie between 1 and {max}")]
    MaxViews {
        /// The greatest.
        max: u32,
    },
    /// A password too long.
    #[error("a password has 1 to {max} characters")]
    Password {
        /// The greatest number of characters.
        max: usize,
    },
    /// A time to keep the ledger that is too long.
    #[error("the ledger can be kept for at most {} days", max.as_secs() / 86_400)]
    Ledger {
        /// The longest.
        max: Duration,
    },
    /// An upload that took too long; the sweep may already be deleting what it stored.
    #[error("the upload took too long; send it again")]
    TooSlow,
    /// An idempotency key too short to be unguessable, or too long.
    #[error("an idempotency key has 16 to 255 characters")]
    IdempotencyKey,
    /// A nonce too short to be unguessable, or too long.
    #[error("a nonce has 16 to 64 bytes")]
    Nonce,
    /// A report without a reason, or with too long a one.
    #[error("a report has a reason of 1 to {max} characters")]
    Reason {
        /// The greatest number of characters.
        max: usize,
    },
    /// No such image in the share.
    #[error("the share has no such image")]
    Image,
}

/// Why a store did not do what it was asked.
///
/// Its text does not hold the store's answer, which is its source; [`with_causes`] gives both.
#[derive(Debug, thiserror::Error)]
#[error("{store} could not {operation}")]
pub struct StoreError {
    /// Which store, such as `sqlite`.
    pub store: &'static str,
    /// What it was asked, such as `insert a share`.
    pub operation: &'static str,
    /// What it answered.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("can't write blobs/2026-11-25/0-0-E64F44F6")]
    struct Backend(#[source] io::Error);

    #[test]
    fn a_log_names_store_operation_and_kind_and_no_object() {
        let failed =
            |source| Error::from(StoreError { store: "folder", operation: "store an object", source });
        let full = failed(Box::new(Backend(ErrorKind::StorageFull.into())));
        assert!(with_causes(&full).contains("E64F44F6"), "the caller is told everything");
        assert_eq!(full.for_log(), "folder could not store an object: no storage space");
        assert_eq!(failed("blobs/0-0-E64F44F6 is gone".into()).for_log(), "folder could not store an object");
        assert_eq!(Error::Busy.for_log(), "the server is busy");
    }

    #[test]
    fn a_chain_of_errors_tells_each_cause_once() {
        let store = |source| StoreError { store: "redis", operation: "insert a share", source };
        let refused = || Box::new(Backend(ErrorKind::ConnectionRefused.into()));
        let limit = Duration::from_secs(60);
        for error in [
            Error::NotFound,
            Unauthorized::Key.into(),
            Error::Throttled { retry_after: limit },
            Conflict::Ended.into(),
            Error::Rejected { index: 0, rejection: Rejection::Empty },
            Invalid::Expiry { min: limit, max: limit }.into(),
            store(refused()).into(),
            store("no answer".into()).into(),
            MarkError::TooSmall.into(),
            Error::Damaged,
        ] {
            let chain: Vec<_> =
                successors(Some(&error as &(dyn std::error::Error + 'static)), |e| e.source())
                    .map(ToString::to_string)
                    .collect();
            for (error, cause) in chain.iter().zip(&chain[1..]) {
                assert!(!error.contains(cause), "{error:?} says what its cause does: {cause:?}");
            }
            assert_eq!(with_causes(&error), chain.join(": "));
        }
        let told = with_causes(&Error::from(store(refused())));
        assert_eq!(
            told,
            "redis could not insert a share: can't write blobs/2026-11-25/0-0-E64F44F6: connection refused"
        );
    }

    #[test]
    fn a_cause_that_an_error_of_another_crate_names_itself_is_not_told_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("no answer: {0}")]
        struct Wordy(#[source] io::Error);

        let source = Box::new(Wordy(ErrorKind::TimedOut.into()));
        let failed = StoreError { store: "sqlite", operation: "find a share", source };
        assert_eq!(with_causes(&failed), "sqlite could not find a share: no answer: timed out");
    }
}
