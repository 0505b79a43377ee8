//! How much memory this process may take.

use std::path::Path;

/// The least of the computer's memory and what the process's control groups (version 2) allow, in bytes; `None` where the
/// system, whose files lie below `root`, tells neither.
pub(crate) fn limit(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let kilobytes = |line: &str| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok();
    let computer = read("proc/meminfo").lines().find_map(kilobytes).map(|kilobytes: u64| kilobytes * 1024);
    let groups = read("proc/self/cgroup");
    // A group's limit holds for all groups within it.
    let groups = groups.lines().find_map(|line| line.strip_prefix("0::/")).map(Path::new);
    let groups = groups.into_iter().flat_map(Path::ancestors);
    // It is `max` where there is none.
    let limits = groups.filter_map(|group| {
        read(&format!("sys/fs/cgroup/{}/memory.max", group.display())).trim().parse().ok()
    });
    limits.chain(computer).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_computer_and_groups_is_the_limit() {
        let folder = tempfile::TempDir::new().unwrap();
        let root = folder.path();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(limit(root), None);
        write("proc/meminfo", "MemTotal:       24684092 kB\nMemFree:         9000000 kB\n");
        assert_eq!(limit(root), Some(24_684_092 * 1024));
        write("proc/self/cgroup", "4:memory:/old\n0::/system.slice/chatpic.service\n");
        write("sys/fs/cgroup/system.slice/chatpic.service/memory.max", "max\n");
        assert_eq!(limit(root), Some(24_684_092 * 1024));
        write("sys/fs/cgroup/system.slice/memory.max", "8589934592\n");
        assert_eq!(limit(root), Some(8 << 30), "the limit of a group around it");
        write("sys/fs/cgroup/system.slice/chatpic.service/memory.max", "4294967296\n");
        assert_eq!(limit(root), Some(4 << 30));
        // Within a container there is one group, and it is the root.
        write("proc/self/cgroup", "0::/\n");
        write("sys/fs/cgroup/memory.max", "1073741824\n");
        assert_eq!(limit(root), Some(1 << 30));
    }
}
