//! Why a command fails.

/// Why a command failed, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The computer refused.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What was answered.
        source: std::io::Error,
    },
    /// ChatPic refused.
    #[error(transparent)]
    ChatPic(#[from] chatpic_core::Error),
    /// A setting is wrong.
    #[error("{0}")]
    Setting(String),
}

impl From<chatpic_core::StoreError> for CommandError {
    fn from(error: chatpic_core::StoreError) -> Self {
        Self::ChatPic(error.into())
    }
}

pub(crate) fn io_error(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> CommandError {
    let what = what.into();
    move |source| CommandError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use chatpic_core::{StoreError, with_causes};

    use super::*;

    #[test]
    fn a_failed_command_tells_each_cause_once() {
        let failed = io_error("can't read leak.jpg")(std::io::ErrorKind::NotFound.into());
        assert_eq!(with_causes(&failed), "can't read leak.jpg: entity not found");
        let store =
            StoreError { store: "sqlite", operation: "open the database", source: "it is locked".into() };
        let failed = CommandError::from(store);
        assert_eq!(with_causes(&failed), "sqlite could not open the database: it is locked");
        let cause = std::error::Error::source(&failed).map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("it is locked"));
    }
}
