//! Work on what strangers send, in this process or in one of its own that may die of it.
//!
//! Decoding a file and searching a leak are what an attacker reaches. Done by a process for each piece of work, a fault
//! there, or memory that runs out, costs one request. Such a process is given the file, the limits and the image's mark
//! key, and answers with what it made; it needs no file, no network and no store, and its program can give all that up.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::chatpic::trace::{Searched, TraceTask, TraceText};
use crate::chatpic::upload::{PrepareTask, PrepareText};
use crate::error::Error;
use crate::intake::Rejection;
use crate::mark::MarkError;
use crate::prepare::PreparedImage;
use crate::share::ImageRecord;

/// A program that does one piece of work and ends: it calls [`work`] with its standard input and output.
///
/// It is started without the environment of this process.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// The program's file.
    pub program: PathBuf,
    /// What it is called with.
    pub arguments: Vec<OsString>,
}

/// Where work on what strangers send is done.
#[derive(Clone, Debug)]
pub(crate) enum Isolation {
    /// In this process: panics are contained, aborts are not.
    None,
    /// In a process of its own.
    Process(WorkerProgram),
}

/// A piece of work: what can be written as text, and bytes beside it.
pub(crate) trait Task: Sized {
    /// What is made of it.
    type Answer: Reply;

    /// As it is sent to another process.
    fn into_request(self) -> (Request, Vec<Vec<u8>>);

    /// Does it. `tell` hears of the share that is done, 0 to 1, and says whether to go on.
    fn perform(self, tell: &Tell<'_>) -> Result<Self::Answer, Error>;
}

pub(crate) type Tell<'a> = dyn Fn(f32) -> ControlFlow<()> + Sync + 'a;

/// What comes back from another process.
pub(crate) trait Reply: Sized {
    type Text: Serialize + DeserializeOwned;

    fn into_parts(self) -> (Self::Text, Vec<Vec<u8>>);
    fn from_parts(text: Self::Text, bytes: Vec<Vec<u8>>) -> Self;
}

/// The text of each kind of work.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    Prepare(PrepareText),
    Trace(TraceText),
}

/// Why nothing was made.
#[derive(Serialize, Deserialize, Debug)]
enum Failure {
    /// The file is refused.
    Rejected(Rejection),
    /// A fault of this software; the process has written down which.
    Fault,
}

/// A piece of work that another process does; that process ends when this is stopped.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    child: Option<Child>,
    stopped: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the work: nobody waits for it any more.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if let Some(child) = &mut state.child {
            // It may have ended by itself.
            drop(child.kill());
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn start(&self, mut child: Child) {
        let mut state = self.lock();
        if state.stopped {
            drop(child.kill());
        }
        state.child = Some(child);
    }

    /// Waits for the process to end, which it does when it has answered or was killed.
    fn reap(&self) {
        let child = self.lock().child.take();
        if let Some(mut child) = child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Isolation {
    /// Does a piece of work on the file at place `index` of an upload. `tell` hears of the share that is done, 0 to 1, and
    /// says whether to go on.
    ///
    /// # Errors
    /// [`Error::Rejected`]; [`MarkError::Cancelled`] when it was stopped; [`Error::Panicked`] when the process died.
    pub(crate) fn perform<T: Task>(
        &self,
        task: T,
        index: usize,
        running: &Running,
        tell: &Tell<'_>,
    ) -> Result<T::Answer, Error> {
        let outcome = match self {
            Self::None => task.perform(tell),
            Self::Process(program) => {
                let outcome = program.perform(task, running, tell);
                running.reap();
                if running.is_stopped() {
                    return Err(MarkError::Cancelled.into());
                }
                outcome.unwrap_or(Err(Error::Panicked))
            }
        };
        outcome.map_err(|error| match error {
            Error::Rejected { rejection, .. } => Error::Rejected { index, rejection },
            error => error,
        })
    }
}

impl WorkerProgram {
    fn perform<T: Task>(
        &self,
        task: T,
        running: &Running,
        tell: &Tell<'_>,
    ) -> io::Result<Result<T::Answer, Error>> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        running.start(child);
        let (mut input, mut output) = input.zip(output).ok_or(io::ErrorKind::BrokenPipe)?;
        let (request, bytes) = task.into_request();
        write_message(&mut input, &request, &bytes)?;
        drop((input, request, bytes));
        loop {
            let mut kind = [0];
            output.read_exact(&mut kind)?;
            match kind {
                [percent @ 0..=100] => {
                    if tell(f32::from(percent) / 100.0).is_break() {
                        return Ok(Err(MarkError::Cancelled.into()));
                    }
                }
                [ANSWER] => break,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        let (text, bytes) = read_message(&mut output)?;
        Ok(match text {
            Ok(text) => Ok(T::Answer::from_parts(text, bytes)),
            Err(Failure::Rejected(rejection)) => Err(Error::Rejected { index: 0, rejection }),
            Err(Failure::Fault) => Err(Error::Panicked),
        })
    }
}

/// Does one piece of work that another process of this version asks for on `input`, and answers on `output`.
///
/// # Errors
/// When either breaks off, or `input` holds no request.
pub fn work(mut input: impl Read, output: impl Write + Send) -> io::Result<()> {
    let output = Mutex::new((output, 0));
    let tell = |done: f32| {
        let percent = (done * 100.0).clamp(0.0, 100.0) as u8;
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        if percent > output.1 {
            output.1 = percent;
            if output.0.write_all(&[percent]).and_then(|()| output.0.flush()).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    let (request, bytes) = read_message::<Request>(&mut input)?;
    drop(input);
    match request {
        Request::Prepare(text) => {
            answer(PrepareTask::from_parts(text, bytes).and_then(|t| t.perform(&tell)), &output)
        }
        Request::Trace(text) => {
            answer(TraceTask::from_parts(text, bytes).and_then(|t| t.perform(&tell)), &output)
        }
    }
}

/// The byte before an answer; those up to 100 are percents of the work.
const ANSWER: u8 = 255;

fn answer<R: Reply>(outcome: Result<R, Error>, output: &Mutex<(impl Write, u8)>) -> io::Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    let output = &mut output.0;
    output.write_all(&[ANSWER])?;
    let failure = match outcome.map(R::into_parts) {
        Ok((text, bytes)) => return write_message(output, &Ok::<_, Failure>(text), &bytes),
        Err(Error::Rejected { rejection, .. }) => Failure::Rejected(rejection),
        Err(error) => {
            writeln!(io::stderr(), "work on a file failed: {}", error.for_log())?;
            Failure::Fault
        }
    };
    write_message(output, &Err::<R::Text, _>(failure), &[])
}

/// Bytes of a text, of one of the parts beside it, and the number of these, at most: what comes back from a process that a
/// file has taken over must not fill the memory of this one.
const MOST_TEXT: u64 = 64 * 1024 * 1024;
const MOST_BYTES: u64 = 512 * 1024 * 1024;
const MOST_PARTS: u64 = 4096;

/// Writes the lengths of a text in JSON and of the parts, each as eight bytes, and then all of them.
fn write_message(output: &mut impl Write, text: &impl Serialize, parts: &[Vec<u8>]) -> io::Result<()> {
    // It may hold a key.
    let text = Zeroizing::new(serde_json::to_vec(text)?);
    output.write_all(&(parts.len() as u64).to_le_bytes())?;
    for part in std::iter::once(&*text).chain(parts) {
        output.write_all(&(part.len() as u64).to_le_bytes())?;
        output.write_all(part)?;
    }
    output.flush()
}

fn read_message<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<(T, Vec<Vec<u8>>)> {
    let parts = read_number(input, MOST_PARTS)?;
    let text = Zeroizing::new(read_part(input, MOST_TEXT)?);
    let mut left = MOST_BYTES;
    let mut bytes = Vec::new();
    for _ in 0..parts {
        let part = read_part(input, left)?;
        left -= part.len() as u64;
        bytes.push(part);
    }
    Ok((serde_json::from_slice(&text)?, bytes))
}

fn read_part(input: &mut impl Read, most: u64) -> io::Result<Vec<u8>> {
    let length = read_number(input, most)?;
    let mut part = Vec::new();
    // Memory grows with what really comes.
    if input.take(length).read_to_end(&mut part)? as u64 == length {
        Ok(part)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn read_number(input: &mut impl Read, most: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    let number = u64::from_le_bytes(bytes);
    if number <= most { Ok(number) } else { Err(io::ErrorKind::InvalidData.into()) }
}

impl Reply for PreparedImage {
    type Text = ImageRecord;

    fn into_parts(self) -> (Self::Text, Vec<Vec<u8>>) {
        (self.record, self.objects)
    }

    fn from_parts(record: Self::Text, objects: Vec<Vec<u8>>) -> Self {
        Self { record, objects }
    }
}

impl Reply for Searched {
    type Text = Self;

    fn into_parts(self) -> (Self, Vec<Vec<u8>>) {
        (self, Vec::new())
    }

    fn from_parts(text: Self, _: Vec<Vec<u8>>) -> Self {
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chatpic::upload::tests::prepare_task;
    use crate::secret::InstallationSecret;
    use crate::share::AccessPolicy;
    use crate::store::memory::{MemoryBlobs, MemoryShares};
    use crate::testing::samples;
    use crate::{ChatPic, Opening};

    fn photograph() -> Vec<u8> {
        samples::jpeg(&samples::photograph(320, 240, 1), 90)
    }

    /// What another process answers.
    fn sent(task: PrepareTask) -> Result<PreparedImage, Failure> {
        let (request, parts) = task.into_request();
        let (mut input, mut output) = (Vec::new(), Vec::new());
        write_message(&mut input, &request, &parts).unwrap();
        work(&input[..], &mut output).unwrap();
        let answer = output.iter().position(|byte| *byte == ANSWER).unwrap();
        let (text, parts) = read_message::<Result<ImageRecord, Failure>>(&mut &output[answer + 1..]).unwrap();
        text.map(|record| PreparedImage::from_parts(record, parts))
    }

    #[test]
    fn another_process_prepares_a_file_as_this_one_does() {
        let here = prepare_task(photograph()).perform(&|_| ControlFlow::Continue(())).unwrap();
        let there = sent(prepare_task(photograph())).unwrap();
        assert_eq!((here.record, here.objects), (there.record, there.objects));
        let refused = sent(prepare_task(b"<svg/>".to_vec()));
        let Err(Failure::Rejected(rejection)) = refused else { panic!("it is no picture") };
        assert!(rejection.to_string().contains("SVG"), "{rejection}");
    }

    #[tokio::test]
    async fn a_worker_that_dies_costs_its_own_request() {
        let secret = || InstallationSecret::from_bytes([7; 32]);
        let (shares, blobs) = (Arc::new(MemoryShares::default()), Arc::new(MemoryBlobs::default()));
        let builder = || ChatPic::builder(secret()).stores(shares.clone(), blobs.clone());
        let chatpic = builder().build().await.unwrap();
        let mut upload = chatpic.upload(None).unwrap();
        upload.add(photograph()).await.unwrap();
        let share = upload.commit(AccessPolicy::default()).await.unwrap();

        let dying = WorkerProgram { program: "/bin/false".into(), arguments: Vec::new() };
        let chatpic = builder().worker(dying).build().await.unwrap();
        let added = chatpic.upload(None).unwrap().add(photograph()).await;
        assert!(matches!(added, Err(Error::Panicked)), "{added:?}");
        let access = chatpic.dashboard_access(&share.share_id, &share.dashboard_key);
        let traced = chatpic.trace(&share.share_id, &access, photograph(), None).await;
        assert!(matches!(traced, Err(Error::Panicked)), "{traced:?}");

        let link = chatpic.link_access(&share.share_id, &share.link_key);
        let opened = chatpic.open(&share.share_id, &link, Opening::default()).await.unwrap();
        chatpic.image(&share.share_id, &opened.token, 0, None).await.unwrap();
    }

    #[test]
    fn a_message_is_read_as_it_was_written_and_a_lying_one_is_refused() {
        let mut wire = Vec::new();
        let parts = [vec![1, 2, 3], Vec::new(), vec![9; 1000]];
        write_message(&mut wire, &("text", 7), &parts).unwrap();
        let (text, read): ((String, u32), _) = read_message(&mut &wire[..]).unwrap();
        assert_eq!((text, &read[..]), (("text".to_owned(), 7), &parts[..]));
        for cut in [0, 7, 20, wire.len() - 1] {
            assert!(read_message::<(String, u32)>(&mut &wire[..cut]).is_err(), "{cut}");
        }
        // More is announced than may ever come.
        let mut lying = wire.clone();
        lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read_message::<(String, u32)>(&mut &lying[..]).is_err());
        let mut lying = wire;
        lying[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read_message::<(String, u32)>(&mut &lying[..]).is_err());
    }
}
