//! Why a command fails.

/// Why a command failed, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The computer refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What was answered.
        source: std::io::Error,
    },
    /// ChatPic refused.
    #[error("{0}")]
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
