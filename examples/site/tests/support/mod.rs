//! Starts the real binary on a free port, in a temporary folder.

pub(crate) mod processes;
pub(crate) mod visitor;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chatpic_core::testing::samples;
use reqwest::Response;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

/// A running site; killed when dropped.
pub(crate) struct Site {
    child: Child,
    pub(crate) url: String,
    log: PathBuf,
}

impl Site {
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts it with these variables as well.
    pub(crate) fn start_with(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_by(chatpic(), data, variables)
    }

    /// Starts it by a command that takes the binary's arguments.
    pub(crate) fn start_by(mut command: Command, data: &Path, variables: &[(&str, &str)]) -> Self {
        // The client shares a build with S3's, which leaves the choice to whoever runs it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let log = data.with_extension("log");
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
        let url = first_line.trim().strip_prefix("listening on ").expect(&first_line).to_owned();
        Self { child, url, log }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.kill_in_place();
    }

    /// The same, while somebody still speaks to it.
    pub(crate) fn kill_in_place(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM; answers whether it ended well.
    pub(crate) fn stop(mut self) -> bool {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap().success()
    }

    /// Everything it logged so far.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        std::fs::File::open(&self.log).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) async fn share(&self, images: usize) -> Value {
        self.share_with(images, &[("max_views", "5")]).await
    }

    /// Shares the first so many photographs, with these fields of the form.
    pub(crate) async fn share_with(&self, images: usize, texts: &[(&'static str, &str)]) -> Value {
        let answer = self.upload(images, texts).await;
        assert_eq!(answer.status(), 201);
        answer.json().await.unwrap()
    }

    /// The same, whatever is answered.
    pub(crate) async fn upload(&self, images: usize, texts: &[(&'static str, &str)]) -> Response {
        let mut form = Form::new();
        for (name, value) in texts {
            form = form.text(*name, (*value).to_owned());
        }
        for seed in 0..images {
            form = form.part("images", Part::bytes(photograph(seed as u64)).file_name("a secret name.jpg"));
        }
        let url = format!("{}/api/v1/shares", self.url);
        reqwest::Client::new().post(url).multipart(form).send().await.unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One of the photographs that are shared.
pub(crate) fn photograph(seed: u64) -> Vec<u8> {
    samples::jpeg(&samples::photograph(1200, 800, seed), 90)
}

/// Runs a command of the binary's on these data: its exit code, and what it says.
pub(crate) fn run(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = chatpic().args(arguments).arg("--data").arg(data).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The binary under test.
pub(crate) fn chatpic() -> Command {
    Command::new(env!("CARGO_BIN_EXE_chatpic"))
}

/// The same with 8 GiB of address space, so that a runaway allocation ends it and not the computer.
pub(crate) fn bounded() -> Command {
    let mut command = Command::new("prlimit");
    command.arg("--as=8589934592").arg(chatpic().get_program());
    command
}
