//! The binary `chatpic`; see the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(chatpic_site::run(std::env::args_os(), true))
}
