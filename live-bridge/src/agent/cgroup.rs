//! Limits of the control group (version 2) that the agent's machine really is: a container has its own at the top of what it sees. A limit that
//! the machine itself is below does not bind and is not looked at.

use std::path::{Path, PathBuf};

/// Limits and use of one control group.
#[derive(Debug, Clone)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// The group in `folder`. There need not be one: then nothing is limited.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Processors it may use, when fewer than `machine`.
    pub fn cpus(&self, machine: f64) -> Option<f64> {
        let text = self.read("cpu.max")?;
        let mut words = text.split_whitespace();
        let (quota, period): (f64, f64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (quota > 0.0 && period > 0.0).then(|| quota / period).filter(|cpus| *cpus < machine)
    }

    /// Processor time used since it was made, seconds.
    pub fn cpu_used_s(&self) -> Option<f64> {
        Some(self.field("cpu.stat", "usage_usec")? as f64 / 1e6)
    }

    /// Bytes it may use, when fewer than `machine`.
    pub fn memory_max(&self, machine: u64) -> Option<u64> {
        self.read("memory.max")?.trim().parse().ok().filter(|bytes| (1..machine).contains(bytes))
    }

    /// Bytes it uses and could not give back at once: the inactive part of the file cache is not counted, as everywhere.
    pub fn memory_used(&self) -> Option<u64> {
        let all: u64 = self.read("memory.current")?.trim().parse().ok()?;
        Some(all.saturating_sub(self.field("memory.stat", "inactive_file").unwrap_or(0)))
    }

    fn field(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.read(file)?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(file)).ok()
    }
}

/// Where a container sees its own group.
pub fn top(root: &Path) -> PathBuf {
    root.join("sys/fs/cgroup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_that_bind_are_limits() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let group = Cgroup::new(folder.path().to_owned());
        assert_eq!((group.cpus(4.0), group.memory_max(1000)), (None, None));
        put("cpu.max", "max 100000\n");
        put("memory.max", "max\n");
        assert_eq!((group.cpus(4.0), group.memory_max(1000)), (None, None));
        put("cpu.max", "150000 100000\n");
        put("memory.max", "800\n");
        assert_eq!((group.cpus(4.0), group.memory_max(1000)), (Some(1.5), Some(800)));
        assert_eq!((group.cpus(1.0), group.memory_max(800)), (None, None), "the machine is smaller");
        put("cpu.stat", "usage_usec 2500000\nuser_usec 1\n");
        put("memory.current", "500\n");
        put("memory.stat", "anon 100\ninactive_file 120\n");
        assert_eq!((group.cpu_used_s(), group.memory_used()), (Some(2.5), Some(380)));
    }
}
