//! The reference site and its tools: `chatpic serve`, `trace`, `sweep`, `burn`, `reports`, `check`, `completions`.
//!
//! A library, so that `python -m chatpic` is the same program.

mod check;
mod commands;
mod config;
mod error;
mod memory;
mod place;
mod secret;
mod worker;

use std::ffi::OsString;
use std::io::IsTerminal;

use chatpic_core::WorkerProgram;

use rustix::fs::Mode;
use rustix::process::umask;

pub use crate::config::default_limits;
pub use crate::error::CommandError;
pub use crate::place::Place;

use crate::commands::{FAILED, Status};
use crate::config::{Arguments, Command};

/// Runs one command line, the program's name first, and answers its exit status: 0 done, 1 no match or failed,
/// 2 usage. Logs go to standard error. Files that this process makes from then on are its owner's alone.
///
/// `is_binary` says that the program of this process is `chatpic` itself: then `serve` starts it again, as `worker`, for each
/// file that it decodes and each leak that it searches.
pub fn run(line: impl IntoIterator<Item = OsString>, is_binary: bool) -> u8 {
    umask(Mode::RWXG | Mode::RWXO);
    let line: Vec<OsString> = line.into_iter().collect();
    if let Some(status) = worker::run(&line) {
        return status;
    }
    let arguments = match Arguments::read(line) {
        Ok(arguments) => arguments,
        Err(error) => {
            drop(error.print());
            return Status::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let level = std::env::var("CHATPIC_LOG").unwrap_or_else(|_| "info".to_owned());
    // It names objects when it tries again, and so tells shares and sessions apart.
    let filter = tracing_subscriber::EnvFilter::new(format!("{level},object_store=off"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    // Whoever runs a second command in one process keeps the first one's log.
    drop(log);
    let serves = matches!(arguments.command, None | Some(Command::Serve));
    let worker =
        (serves && is_binary).then(|| worker::program(&arguments.settings.limits.limits())).flatten();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(error::io_error("can't start"))
        .and_then(|runtime| runtime.block_on(obey(arguments, worker)));
    outcome.unwrap_or_else(|error| {
        tracing::error!("{}", chatpic_core::with_causes(&error));
        FAILED
    })
}

async fn obey(arguments: Arguments, worker: Option<WorkerProgram>) -> Result<Status, CommandError> {
    let settings = &arguments.settings;
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => commands::serve(settings, worker).await,
        Command::Trace(trace) => commands::trace(settings, trace).await,
        Command::Sweep(sweep) => commands::sweep(settings, sweep.reconcile).await,
        Command::Burn { id } => commands::burn(settings, &id).await,
        Command::Reports { json } => commands::reports(settings, json).await,
        Command::Check => check::check(settings).await,
        Command::Completions { shell } => commands::completions(shell),
    }
}
