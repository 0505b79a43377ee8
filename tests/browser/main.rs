//! The site as people use it: real Chromium in front of the real router and stores.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod animations;
mod flows;
mod in_view;
mod links;
mod pages;
mod story;
mod support;
mod trace;
mod without_scripts;
