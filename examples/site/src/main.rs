//! The reference site and its tools: `chatpic serve`, `trace`, `sweep`, `burn`, `reports`, `check`.

mod check;
mod commands;
mod config;
mod secret;

use std::process::ExitCode;

use crate::config::{Arguments, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CHATPIC_LOG").unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let settings = &arguments.settings;
    let outcome = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => commands::serve(settings).await,
        Command::Trace(trace) => commands::trace(settings, trace).await,
        Command::Sweep(sweep) => commands::sweep(settings, sweep.reconcile).await,
        Command::Burn { id } => commands::burn(settings, &id).await,
        Command::Reports { json } => commands::reports(settings, json).await,
        Command::Check => check::check(settings).await,
        Command::Completions { shell } => commands::completions(shell),
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!("{error}");
        ExitCode::FAILURE
    })
}
