//! Memory and processor time of a site's processes, as Linux tells them.

use std::fs;
use std::time::Duration;

use super::Site;

/// The server, or a process that it started.
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The most memory that it has held, in bytes.
    pub(crate) peak_memory: u64,
    /// Processor time of it and of those of its children that have ended.
    pub(crate) cpu: Duration,
}

impl Site {
    /// All that run now, the server first; empty when it has ended.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let all: Vec<(u32, Stat)> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, Stat::read(pid)?)))
            .collect();
        let mut family = vec![self.pid()];
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            family.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| pid));
            next += 1;
        }
        let process = |pid: u32| {
            let (_, stat) = all.iter().find(|(other, _)| *other == pid)?;
            Some(Process { pid, peak_memory: peak_memory(pid)?, cpu: stat.cpu })
        };
        family.into_iter().filter_map(process).collect()
    }
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

impl Stat {
    /// `None` when the process is gone.
    fn read(pid: u32) -> Option<Self> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name stands in parentheses and may hold anything.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        // User and system time, and the same of children that were waited for, in hundredths of a second.
        let ticks: u64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Self { parent: fields.get(1)?.parse().ok()?, cpu: Duration::from_millis(10 * ticks) })
    }
}

/// `None` when the process has ended.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
