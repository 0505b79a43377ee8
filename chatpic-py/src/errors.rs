//! What can go wrong, as exceptions: each a different reaction.

use std::path::PathBuf;

use chatpic_core::{Error, Unauthorized as Which, with_causes};
use chatpic_site::CommandError;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;

create_exception!(chatpic, ChatPicError, PyException, "What ChatPic did not do, and why, in words.");
create_exception!(
    chatpic,
    NotFound,
    ChatPicError,
    "The share is unknown or has ended, or it has no such image."
);
create_exception!(chatpic, Unauthorized, ChatPicError, "A key, token or password is missing or wrong.");
create_exception!(chatpic, PasswordMissing, Unauthorized, "The share has a password and none was given.");
create_exception!(chatpic, PasswordWrong, Unauthorized, "The password is wrong.");
create_exception!(chatpic, SessionOver, Unauthorized, "The viewing session is over, revoked or unknown.");
create_exception!(chatpic, Throttled, ChatPicError, "Too many tries; `retry_after` says how long to wait.");
create_exception!(chatpic, Conflict, ChatPicError, "The share has ended, or it is being traced already.");
create_exception!(chatpic, Rejected, ChatPicError, "An image was refused; `index` says which one, from 0.");
create_exception!(chatpic, OutOfRange, ChatPicError, "An option is out of its range.");
create_exception!(chatpic, Unavailable, ChatPicError, "A store or worker is not available; try again later.");

/// Why a call failed, until it is an exception.
pub(crate) enum Failure {
    Core(Error),
    /// The computer refused: Python's own `OSError`.
    Io(std::io::Error),
    /// A file of the caller's can't be read: the same, with its name.
    File(PathBuf, std::io::Error),
    /// Anything else, in words.
    Said(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::ChatPic(error) => Self::Core(error),
            other => Self::Said(with_causes(&other)),
        }
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Core(error) => of(&error),
            Failure::Io(error) => error.into(),
            Failure::File(path, error) => of_file(path, error),
            Failure::Said(said) => ChatPicError::new_err(said),
        }
    }
}

/// `FileNotFoundError` and its kin, with number and name as Python's own `open` raises them.
fn of_file(path: PathBuf, error: std::io::Error) -> PyErr {
    let Some(number) = error.raw_os_error() else { return error.into() };
    let words =
        Python::attach(|py| py.import("os")?.call_method1("strerror", (number,))?.extract::<String>());
    match words {
        Ok(words) => PyOSError::new_err((number, words, path.into_os_string())),
        Err(failed) => failed,
    }
}

fn of(error: &Error) -> PyErr {
    let said = with_causes(error);
    let with = |error: PyErr, name: &str, value: Bound<'_, PyAny>| {
        let py = value.py();
        match error.value(py).setattr(name, value) {
            Ok(()) => error,
            Err(failed) => failed,
        }
    };
    match error {
        Error::NotFound | Error::Invalid(chatpic_core::Invalid::Image) => NotFound::new_err(said),
        Error::Unauthorized(Which::PasswordMissing) => PasswordMissing::new_err(said),
        Error::Unauthorized(Which::PasswordWrong) => PasswordWrong::new_err(said),
        Error::Unauthorized(Which::Session) => SessionOver::new_err(said),
        Error::Unauthorized(_) => Unauthorized::new_err(said),
        Error::Throttled { retry_after } => Python::attach(|py| match retry_after.into_pyobject(py) {
            Ok(wait) => with(Throttled::new_err(said), "retry_after", wait.into_any()),
            Err(failed) => failed,
        }),
        Error::Conflict(_) => Conflict::new_err(said),
        Error::Rejected { index, .. } => Python::attach(|py| match index.into_pyobject(py) {
            Ok(index) => with(Rejected::new_err(said), "index", index.into_any()),
            Err(never) => match never {},
        }),
        Error::Invalid(_) => OutOfRange::new_err(said),
        Error::Busy | Error::Full | Error::Store(_) => Unavailable::new_err(said),
        _ => ChatPicError::new_err(said),
    }
}

pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("ChatPicError", py.get_type::<ChatPicError>())?;
    module.add("NotFound", py.get_type::<NotFound>())?;
    module.add("Unauthorized", py.get_type::<Unauthorized>())?;
    module.add("PasswordMissing", py.get_type::<PasswordMissing>())?;
    module.add("PasswordWrong", py.get_type::<PasswordWrong>())?;
    module.add("SessionOver", py.get_type::<SessionOver>())?;
    module.add("Throttled", py.get_type::<Throttled>())?;
    module.add("Conflict", py.get_type::<Conflict>())?;
    module.add("Rejected", py.get_type::<Rejected>())?;
    module.add("OutOfRange", py.get_type::<OutOfRange>())?;
    module.add("Unavailable", py.get_type::<Unavailable>())
}
