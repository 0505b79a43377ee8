//! Pictures of every kind, made here: what viewers get of each is what Chromium shows of the file itself, or the file is
//! refused with the right word.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells its table"
)]

#[expect(dead_code, reason = "the browser tests share it")]
#[path = "../browser/support.rs"]
mod browser;
mod chromium;
mod compare;
mod decoded;
mod findings;
mod folder;
mod fuzz;
mod gif;
mod icc;
mod jpeg;
mod mutate;
mod oracle;
mod png;
mod samples;
#[expect(dead_code, reason = "the stories share it")]
#[path = "../stories/site.rs"]
mod site;
mod webp;
