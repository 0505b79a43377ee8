//! `chatpic worker`: decodes one file or searches one leak for `serve`, confined so that whoever takes it over has nothing.
//!
//! Before it reads anything it gives up all system calls but those that compute, take memory and answer: no file, no
//! network, no other program. What it could do instead of its work is to answer wrongly.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use chatpic_core::{Limits, WorkerProgram};

use crate::commands::{DONE, FAILED, Status, note};

/// What a worker is called with, before its bytes of memory. Nobody but `serve` calls it, so it is no command.
const WORKER: &str = "worker";
/// Asks a worker to end without work, to show that it can be confined.
const PROBE: &str = "probe";

/// The program that `serve` starts for each piece of work, if it can be confined here.
pub(crate) fn program(limits: &Limits) -> Option<WorkerProgram> {
    let program = std::env::current_exe().ok()?;
    // What decoding may take, as much again for marking and for what allocators keep, and the program itself.
    let memory = 2 * limits.decode_bytes + 256 * 1024 * 1024;
    let arguments: Vec<OsString> = vec![WORKER.into(), memory.to_string().into()];
    let mut probe = Command::new(&program);
    probe.args(&arguments).arg(PROBE).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    let is_confined = probe.status().is_ok_and(|status| status.success());
    is_confined.then_some(WorkerProgram { program, arguments })
}

/// Does one piece of work from standard input to standard output, if that is what this command line asks for.
pub(crate) fn run(line: &[OsString]) -> Option<Status> {
    let [_, command, memory, rest @ ..] = line else { return None };
    if command != WORKER {
        return None;
    }
    let outcome =
        memory.to_str().and_then(|memory| memory.parse().ok()).ok_or("it needs a number of bytes".into());
    let outcome = outcome.and_then(confine::confine).and_then(|()| match rest {
        [] => Ok(chatpic_core::work(std::io::stdin().lock(), std::io::stdout())?),
        _ => Ok(()),
    });
    Some(match outcome {
        Ok(()) => DONE,
        Err(error) => {
            note(&format!("a worker failed: {error}"));
            FAILED
        }
    })
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod confine {
    use std::collections::BTreeMap;
    use std::error::Error;

    use rustix::process::{Resource, Rlimit, setrlimit};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    /// Processor seconds after which a worker is ended: some times what the longest trace takes.
    const SECONDS: u64 = 300;

    pub(super) fn confine(memory: u64) -> Result<(), Box<dyn Error>> {
        let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(Resource::Data, limit(memory))?;
        setrlimit(Resource::Cpu, limit(SECONDS))?;
        setrlimit(Resource::Core, limit(0))?;
        let rules = allowed().into_iter().map(|call| (call, Vec::new())).collect::<BTreeMap<_, _>>();
        // A refused call is an error to who makes it: the standard library asks for files that tell the number of cores,
        // and does without.
        let refused = SeccompAction::Errno(libc::EPERM as u32);
        let arch = std::env::consts::ARCH.try_into()?;
        let filter: BpfProgram =
            SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()?;
        seccompiler::apply_filter(&filter)?;
        Ok(())
    }

    /// What computing on several threads needs, and reading and writing what is open.
    fn allowed() -> Vec<i64> {
        vec![
            // Answers.
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_readv,
            libc::SYS_writev,
            libc::SYS_close,
            // Memory.
            libc::SYS_brk,
            libc::SYS_mmap,
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_mprotect,
            libc::SYS_madvise,
            // Threads.
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_futex,
            libc::SYS_set_robust_list,
            libc::SYS_rseq,
            libc::SYS_sched_getaffinity,
            libc::SYS_sched_yield,
            libc::SYS_gettid,
            libc::SYS_getpid,
            libc::SYS_prctl,
            // Signals, with which a panic or an abort ends the process.
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_sigaltstack,
            libc::SYS_tgkill,
            libc::SYS_restart_syscall,
            // Hash tables draw their keys.
            libc::SYS_getrandom,
            libc::SYS_clock_gettime,
            libc::SYS_exit,
            libc::SYS_exit_group,
        ]
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_list_has_no_call_that_reaches_beyond_the_process() {
            let reaching = [
                libc::SYS_openat,
                libc::SYS_socket,
                libc::SYS_connect,
                libc::SYS_sendto,
                libc::SYS_execve,
                libc::SYS_execveat,
                libc::SYS_ptrace,
                libc::SYS_kill,
                libc::SYS_unlinkat,
                libc::SYS_io_uring_setup,
            ];
            assert!(reaching.iter().all(|call| !allowed().contains(call)));
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod confine {
    pub(super) fn confine(_: u64) -> Result<(), Box<dyn std::error::Error>> {
        Err("this system has no filter for system calls that is known here".into())
    }
}
