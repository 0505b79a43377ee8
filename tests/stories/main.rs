//! ChatPic's promises as stories, against the real router, SQLite and files, with a clock moved by hand.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod abuse;
mod animations;
mod auto_delete;
mod burn_now;
mod burned_means_unreadable;
mod clock_steps_back;
mod countries;
mod expiring_links;
mod faults;
mod in_view;
mod leak_tracing;
mod life;
mod live;
mod looking_spends_nothing;
mod openapi;
mod operating;
mod passwords;
mod private_dashboard;
mod quiet_endings;
mod site;
mod transparency;
mod uploads;
mod view_limits;
