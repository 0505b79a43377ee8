//! Rows as shares and sessions.

use std::str::FromStr;
use std::time::Duration;

use chatpic_core::share::Session;
use chatpic_core::{Blocked, Door, Receipt, Report, Sealed, SessionId, Share, ShareId, Timestamp};

use super::dialect::Dialect;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A row, by the types that ChatPic knows.
pub(super) struct Record<'r, D: Dialect>(pub(super) &'r D::Row);

fn unreadable(column: &str, source: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}

impl<D: Dialect> Record<'_, D> {
    fn present<T>(column: &str, value: Option<T>) -> sqlx::Result<T> {
        value.ok_or_else(|| unreadable(column, "it is NULL"))
    }

    pub(super) fn maybe_number<T: TryFrom<i64, Error: Into<BoxError>>>(
        &self,
        column: &str,
    ) -> sqlx::Result<Option<T>> {
        let number = D::int(self.0, column)?.map(T::try_from).transpose();
        number.map_err(|error| unreadable(column, error))
    }

    pub(super) fn number<T: TryFrom<i64, Error: Into<BoxError>>>(&self, column: &str) -> sqlx::Result<T> {
        Self::present(column, self.maybe_number(column)?)
    }

    pub(super) fn maybe_instant(&self, column: &str) -> sqlx::Result<Option<Timestamp>> {
        Ok(D::int(self.0, column)?.map(Timestamp))
    }

    pub(super) fn instant(&self, column: &str) -> sqlx::Result<Timestamp> {
        Self::present(column, self.maybe_instant(column)?)
    }

    pub(super) fn maybe_parsed<T: FromStr<Err: Into<BoxError>>>(
        &self,
        column: &str,
    ) -> sqlx::Result<Option<T>> {
        let parsed = D::text(self.0, column)?.map(|text| text.parse()).transpose();
        parsed.map_err(|error: T::Err| unreadable(column, error))
    }

    pub(super) fn parsed<T: FromStr<Err: Into<BoxError>>>(&self, column: &str) -> sqlx::Result<T> {
        Self::present(column, self.maybe_parsed(column)?)
    }

    fn maybe_bytes<const N: usize>(&self, column: &str) -> sqlx::Result<Option<[u8; N]>> {
        let bytes = D::bytes(self.0, column)?.map(|bytes| bytes.as_slice().try_into()).transpose();
        bytes.map_err(|error| unreadable(column, error))
    }

    pub(super) fn bytes<const N: usize>(&self, column: &str) -> sqlx::Result<[u8; N]> {
        Self::present(column, self.maybe_bytes(column)?)
    }

    fn sealed(&self, column: &str) -> sqlx::Result<Option<Sealed>> {
        Ok(D::bytes(self.0, column)?.map(Sealed))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> sqlx::Result<T> {
        let text = Self::present(column, D::text(self.0, column)?)?;
        serde_json::from_str(&text).map_err(|error| unreadable(column, error))
    }

    pub(super) fn door(&self) -> sqlx::Result<Door> {
        Ok(Door {
            recorded_status: self.parsed("status")?,
            expires_at: self.instant("expires_at")?,
            link_digest: self.bytes("link_digest")?,
            dashboard_digest: self.bytes("dashboard_digest")?,
        })
    }

    pub(super) fn share(&self) -> sqlx::Result<Share> {
        Ok(Share {
            id: ShareId::from_bytes(self.bytes("id")?),
            created_at: self.instant("created_at")?,
            expires_at: self.instant("expires_at")?,
            max_views: self.maybe_number("max_views")?,
            views: self.number("views")?,
            recorded_status: self.parsed("status")?,
            ended_at: self.maybe_instant("ended_at")?,
            folder: self.parsed("folder")?,
            objects: self.number("objects")?,
            bytes: self.number("bytes")?,
            images: self.json("images")?,
            tally: self.json("tally")?,
            upload_digest: self.bytes("upload_digest")?,
            link_digest: self.bytes("link_digest")?,
            dashboard_digest: self.bytes("dashboard_digest")?,
            password_salt: self.maybe_bytes("password_salt")?,
            link_wrap: self.sealed("link_wrap")?,
            dashboard_wrap: self.sealed("dashboard_wrap")?,
            sealed_link: self.sealed("sealed_link")?,
            sealed_mark_key: Self::present("sealed_mark_key", self.sealed("sealed_mark_key")?)?,
            keep_ledger: Duration::from_millis(self.number("keep_ledger")?),
            blocked: Blocked {
                wrong_password: self.number("wrong_password")?,
                throttled: self.number("throttled")?,
                after_end: self.number("after_end")?,
            },
            receipt: Receipt {
                burned_at: self.maybe_instant("burned_at")?,
                objects_deleted: self.number("objects_deleted")?,
                objects_pending: self.number("objects_pending")?,
                purged_at: self.maybe_instant("purged_at")?,
            },
        })
    }

    pub(super) fn session(&self) -> sqlx::Result<Session> {
        Ok(Session {
            id: SessionId(self.number("id")?),
            token_digest: self.bytes("token_digest")?,
            nonce_digest: self.bytes("nonce_digest")?,
            wrap: self.sealed("wrap")?,
            views_before: self.number("views_before")?,
            opened_at: self.instant("opened_at")?,
            ends_at: self.instant("ends_at")?,
            country: self.maybe_parsed("country")?,
            device: self.parsed("device")?,
            images_seen: self.number("images_seen")?,
        })
    }

    pub(super) fn report(&self) -> sqlx::Result<Report> {
        let reason = Self::present("reason", D::bytes(self.0, "reason")?)?;
        Ok(Report {
            share: ShareId::from_bytes(self.bytes("share")?),
            at: self.instant("at")?,
            reason: String::from_utf8(reason).map_err(|error| unreadable("reason", error))?,
            sealed_key: self.sealed("sealed_key")?,
        })
    }
}
