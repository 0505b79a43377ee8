//! ChatPic: private, temporary image sharing in which every viewing session is shown its own copy.
//!
//! This crate is the whole life of a share (upload, cover, viewing sessions, dashboard, burn, sweep and
//! trace) behind two storage traits; it knows no database, no web server and no clock but an injected one.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
//! use chatpic_core::{AccessPolicy, ChatPic, InstallationSecret, Opening, testing::samples};
//!
//! let chatpic = ChatPic::builder(InstallationSecret::from_bytes([7; 32])).build().await?;
//! let photograph = samples::jpeg(&samples::photograph(320, 240, 1), 90);
//!
//! let mut upload = chatpic.upload(None)?;
//! upload.add(photograph).await?;
//! let share = upload.commit(AccessPolicy { max_views: Some(1), ..Default::default() }).await?;
//!
//! let link = chatpic.link_access(&share.share_id, &share.link_key);
//! let view = chatpic.open(&share.share_id, &link, Opening::default()).await?;
//! let copy = chatpic.image(&share.share_id, &view.token, 0, None).await?;
//! assert_eq!(copy.media_type, "image/jpeg");
//! assert_eq!(view.views_left, Some(0));
//! # Ok::<(), chatpic_core::Error>(())
//! # }).unwrap();
//! ```

mod animation;
mod chatpic;
mod clock;
mod entropy;
mod error;
mod fair;
mod id;
mod intake;
mod isolation;
mod jpeg;
mod limits;
pub mod mark;
mod password;
mod prepare;
mod riff;
mod scale;
mod seal;
pub mod secret;
pub mod share;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transparency;
mod wide;
mod workers;

pub use chatpic::dashboard::{Cursor, Dashboard, Pulse, SessionInfo};
pub use chatpic::reports::{OpenedReport, Readiness};
pub use chatpic::sweep::{Incomplete, Swept};
pub use chatpic::trace::{TraceMatch, TraceReport, TraceScope, TraceTurn, TraceWork};
pub use chatpic::upload::{Created, ImageInfo, Upload};
pub use chatpic::viewing::{Cover, Current, ImageCopy, Opened, Opening};
pub use chatpic::{Builder, ChatPic};
pub use clock::{Clock, SystemClock, Timestamp};
pub use entropy::{Entropy, OsEntropy};
pub use error::{Conflict, Error, Invalid, StoreError, Unauthorized, with_causes};
pub use id::{Folder, ParseIdError, SessionId, ShareId};
pub use intake::{Pixels, Rejection, decode};
pub use isolation::{WorkerProgram, work};
pub use limits::{InvalidLimit, Limits};
pub use mark::visible::VisibleMark;
pub use password::Password;
pub use secret::{
    DashboardAccess, DashboardKey, Digest, InstallationSecret, LinkAccess, LinkKey, Sealed, SessionToken,
};
pub use share::{AccessPolicy, Blocked, Country, Device, Door, Receipt, Report, Share, Status, Tally};
pub use store::{BlobStore, ShareStore};
