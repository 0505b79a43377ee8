//! Python bindings: `chatpic.ChatPic`, the life of shares, and `chatpic.Watermarker`, the forensic mark alone.

mod answers;
mod app;
mod errors;
mod given;
mod runtime;
mod watermarker;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the program `chatpic` with these arguments, its own name first, and answers its exit status.
#[pyfunction]
fn run(py: Python<'_>, line: Vec<OsString>) -> u8 {
    py.detach(|| chatpic_site::run(line, false))
}

#[pymodule]
fn _chatpic(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::add(module)?;
    answers::add(module)?;
    module.add_class::<app::ChatPic>()?;
    module.add_class::<app::View>()?;
    module.add_class::<watermarker::Match>()?;
    module.add_class::<watermarker::Plan>()?;
    module.add_class::<watermarker::Watermarker>()?;
    module.add_function(wrap_pyfunction!(run, module)?)?;
    runtime::stop_at_exit(module)
}
