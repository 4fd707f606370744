//! Load of the machine, in percent of what it can do: processor, memory, network, disk. What cannot be known is left out, never made up.
//!
//! Rates are differences of the kernel's counters between two samples, so the first sample has only memory. A counter that went back (a
//! wrap, an interface that came anew, a suspended container) gives no rate this time: nobody can tell these cases apart.

use super::cgroup::{self, Cgroup};
use super::config::Capacity;
use crate::wire::Sample;
use procfs::net::InterfaceDeviceStatus;
use procfs::{DiskStats, ExplicitSystemInfo, FromBufRead, FromBufReadSI, KernelStats, Meminfo};
use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Something that tells the load.
pub trait Load: Send {
    /// The load since the last call, by metric.
    fn sample(&mut self, now: Instant) -> Vec<Sample>;
}

/// Reads the load of this machine.
#[derive(Debug)]
pub struct Sampler {
    root: PathBuf,
    capacity: Capacity,
    cgroup: Cgroup,
    before: Option<(Instant, Counters)>,
}

/// Counters that only grow.
#[derive(Debug, Clone, Default, PartialEq)]
struct Counters {
    /// Ticks of all processors: busy, and all.
    cpu_ticks: Option<(u64, u64)>,
    /// Seconds the control group has used, and how many processors it may use.
    cpu_group: Option<(f64, f64)>,
    /// Bytes received and sent, by interface.
    network: BTreeMap<String, (u64, u64)>,
    /// Milliseconds in which the disk had something to do.
    disk_busy_ms: BTreeMap<String, u64>,
}

impl Sampler {
    /// Reads below `root`: `/`, but in tests.
    pub fn new(root: &Path, capacity: Capacity) -> Self {
        let cgroup = Cgroup::new(capacity.cgroup.clone().unwrap_or_else(|| cgroup::top(root)));
        Self { root: root.to_owned(), capacity, cgroup, before: None }
    }

    fn counters(&self) -> Counters {
        let stat = self.kernel();
        let cpus = stat.as_ref().map_or(0, |s| s.cpu_time.len()) as f64;
        let cpu_ticks = stat.map(|s| {
            let t = s.total;
            let rest = [t.irq, t.softirq, t.steal].into_iter().flatten().sum::<u64>();
            let busy = t.user + t.nice + t.system + rest;
            (busy, busy + t.idle + t.iowait.unwrap_or(0))
        });
        let cpu_group = self.cgroup.cpus(cpus).and_then(|cpus| Some((self.cgroup.cpu_used_s()?, cpus)));
        Counters { cpu_ticks, cpu_group, network: self.network(), disk_busy_ms: self.disks() }
    }

    fn kernel(&self) -> Option<KernelStats> {
        // Boot time and ticks a second are asked for and not used here: shares of ticks need neither.
        let info = ExplicitSystemInfo {
            boot_time_secs: 0,
            ticks_per_second: 100,
            page_size: 4096,
            is_little_endian: cfg!(target_endian = "little"),
        };
        KernelStats::from_buf_read(self.open("proc/stat")?, &info).ok()
    }

    fn memory(&self) -> Option<f64> {
        let meminfo = Meminfo::from_buf_read(self.open("proc/meminfo")?).ok()?;
        if let Some(max) = self.cgroup.memory_max(meminfo.mem_total) {
            return Some(self.cgroup.memory_used()? as f64 / max as f64);
        }
        let free = meminfo.mem_available?;
        (meminfo.mem_total > 0).then(|| 1.0 - free as f64 / meminfo.mem_total as f64)
    }

    fn network(&self) -> BTreeMap<String, (u64, u64)> {
        let status = self.open("proc/net/dev").and_then(|r| InterfaceDeviceStatus::from_buf_read(r).ok());
        let all = status.map(|s| s.0).unwrap_or_default();
        let has_device = |name: &str| self.root.join("sys/class/net").join(name).join("device").exists();
        let any_device = all.keys().any(|name| has_device(name));
        let wanted = |name: &str| match &self.capacity.interfaces {
            Some(names) => names.iter().any(|n| n == name),
            // Bridges, tunnels and the like carry again what a card carries.
            None => name != "lo" && (has_device(name) || !any_device),
        };
        all.into_iter().filter(|(name, _)| wanted(name)).map(|(name, s)| (name, (s.recv_bytes, s.sent_bytes))).collect()
    }

    fn disks(&self) -> BTreeMap<String, u64> {
        let all = self.open("proc/diskstats").and_then(|r| DiskStats::from_buf_read(r).ok()).map(|s| s.0);
        let wanted = |name: &str| match &self.capacity.disks {
            Some(names) => names.iter().any(|n| n == name),
            // Only whole disks have a folder there; some of them are memory or files.
            None => {
                let virtual_ones = ["loop", "ram", "zram", "sr", "fd"];
                self.root.join("sys/block").join(name).exists() && !virtual_ones.iter().any(|v| name.starts_with(v))
            }
        };
        all.into_iter().flatten().filter(|d| wanted(&d.name)).map(|d| (d.name, d.time_in_progress)).collect()
    }

    /// Share of the network in use, the busier way of the busiest interface, or of all together where the capacity was given.
    fn network_share(&self, before: &Counters, now: &Counters, seconds: f64) -> Option<f64> {
        let mut busiest: Option<f64> = None;
        let (mut received, mut sent) = (0, 0);
        for (name, (in_now, out_now)) in &now.network {
            let (in_before, out_before) = before.network.get(name)?;
            let (more_in, more_out) = (in_now.checked_sub(*in_before)?, out_now.checked_sub(*out_before)?);
            received += more_in;
            sent += more_out;
            if let Some(bits_per_s) = self.speed(name) {
                let share = more_in.max(more_out) as f64 * 8.0 / seconds / bits_per_s;
                busiest = Some(busiest.unwrap_or(0.0).max(share));
            }
        }
        match self.capacity.network_bits_per_s {
            Some(bits_per_s) if !now.network.is_empty() => Some(received.max(sent) as f64 * 8.0 / seconds / bits_per_s),
            Some(_) => None,
            None => busiest,
        }
    }

    /// Bits a second, where the interface knows: virtual ones say -1 or nothing.
    fn speed(&self, name: &str) -> Option<f64> {
        let path = self.root.join("sys/class/net").join(name).join("speed");
        let megabits: f64 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
        (megabits > 0.0).then_some(megabits * 1e6)
    }

    fn open(&self, path: &str) -> Option<BufReader<std::fs::File>> {
        std::fs::File::open(self.root.join(path)).ok().map(BufReader::new)
    }
}

fn cpu_share(before: &Counters, now: &Counters, seconds: f64) -> Option<f64> {
    if let Some((used, cpus)) = now.cpu_group {
        let (used_before, _) = before.cpu_group?;
        return (used >= used_before).then(|| (used - used_before) / seconds / cpus);
    }
    let ((busy, all), (busy_before, all_before)) = (now.cpu_ticks?, before.cpu_ticks?);
    let (more_busy, more) = (busy.checked_sub(busy_before)?, all.checked_sub(all_before)?);
    (more > 0).then(|| more_busy as f64 / more as f64)
}

/// The busiest disk.
fn disk_share(before: &Counters, now: &Counters, seconds: f64) -> Option<f64> {
    let mut busiest = None;
    for (name, busy_ms) in &now.disk_busy_ms {
        let more_ms = busy_ms.checked_sub(*before.disk_busy_ms.get(name)?)?;
        busiest = Some(f64::max(busiest.unwrap_or(0.0), more_ms as f64 / 1000.0 / seconds));
    }
    busiest
}

impl Load for Sampler {
    fn sample(&mut self, now: Instant) -> Vec<Sample> {
        let counters = self.counters();
        let before = self.before.replace((now, counters.clone()));
        let mut shares = vec![("memory", self.memory())];
        if let Some((then, before)) = before {
            let seconds = now.saturating_duration_since(then).as_secs_f64();
            if seconds > 0.0 {
                shares.push(("cpu", cpu_share(&before, &counters, seconds)));
                shares.push(("network", self.network_share(&before, &counters, seconds)));
                shares.push(("disk", disk_share(&before, &counters, seconds)));
            }
        }
        let known = shares.into_iter().filter_map(|(metric, share)| Some((metric, share?)));
        // Counters are read one after the other: a share may come out a little above the whole.
        known
            .map(|(metric, share)| Sample { metric: metric.into(), percent: (share.clamp(0.0, 1.0) * 100.0) as f32 })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    /// A machine in a folder: two processors, an interface of 100 Mbit/s, a bridge over it, one disk with a partition.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine.put("sys/class/net/eth0/speed", "100\n");
            machine.put("sys/class/net/eth0/device/vendor", "0x1\n");
            machine.put("sys/class/net/br0/speed", "-1\n");
            machine.put("sys/block/sda/size", "1\n");
            machine.put("sys/block/loop0/size", "1\n");
            machine.put("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\nBuffers: 1 kB\nCached: 1 kB\nSwapCached: 0 kB\nActive: 1 kB\nInactive: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nDirty: 0 kB\nWriteback: 0 kB\nMapped: 1 kB\nSlab: 1 kB\nCommitted_AS: 1 kB\nVmallocTotal: 1 kB\nVmallocUsed: 1 kB\nVmallocChunk: 0 kB\n");
            machine.at(0, 0, 0, 0);
            machine
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        /// Busy ticks of the processors, of 1000 more each time it is idle; bytes received; milliseconds the disk was busy.
        fn at(&self, busy: u64, idle: u64, received: u64, disk_ms: u64) {
            let cpu = format!("{busy} 0 0 {idle} 0 0 0 0 0 0");
            self.put("proc/stat", &format!("cpu  {cpu}\ncpu0 {cpu}\ncpu1 0 0 0 0 0 0 0 0 0 0\nctxt 1\nbtime 1\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n"));
            let zeros = "0 0 0 0 0 0 0";
            self.put("proc/net/dev", &format!(
                "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo: 999 {zeros} 999 {zeros}\n  eth0: {received} {zeros} 10 {zeros}\n   br0: {received} {zeros} 10 {zeros}\n"
            ));
            self.put("proc/diskstats", &format!(
                "   8 0 sda 1 0 1 1 1 0 1 1 0 {disk_ms} 1\n   8 1 sda1 1 0 1 1 1 0 1 1 0 999999 1\n   7 0 loop0 1 0 1 1 1 0 1 1 0 999999 1\n"
            ));
        }
    }

    fn shown(samples: &[Sample]) -> String {
        samples.iter().map(|s| format!("{}={:.1} ", s.metric, s.percent)).collect::<String>().trim().to_owned()
    }

    #[test]
    fn the_first_sample_has_memory_and_the_next_has_rates() {
        let machine = Machine::new();
        let mut sampler = Sampler::new(machine.0.path(), Capacity::default());
        let start = Instant::now();
        assert_eq!(shown(&sampler.sample(start)), "memory=75.0");
        // In 10 s: 300 of 1000 ticks, 12.5 MB = 10 % of 100 Mbit/s, 4 s of disk.
        machine.at(300, 700, 12_500_000, 4000);
        assert_eq!(
            shown(&sampler.sample(start + Duration::from_secs(10))),
            "memory=75.0 cpu=30.0 network=10.0 disk=40.0"
        );
    }

    #[test]
    fn a_counter_that_went_back_gives_no_number_once() {
        let machine = Machine::new();
        let mut sampler = Sampler::new(machine.0.path(), Capacity::default());
        let start = Instant::now();
        machine.at(1000, 1000, u64::from(u32::MAX) - 5, 4_294_967_290);
        sampler.sample(start);
        machine.at(10, 10, 7, 3);
        assert_eq!(shown(&sampler.sample(start + Duration::from_secs(10))), "memory=75.0");
        machine.at(20, 30, 7, 3);
        assert_eq!(
            shown(&sampler.sample(start + Duration::from_secs(20))),
            "memory=75.0 cpu=33.3 network=0.0 disk=0.0"
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let machine = Machine::new();
        let mut sampler = Sampler::new(machine.0.path(), Capacity::default());
        let start = Instant::now();
        sampler.sample(start);
        for gone in ["proc/meminfo", "proc/diskstats", "sys/class/net/eth0/speed"] {
            fs::remove_file(machine.0.path().join(gone)).unwrap();
        }
        machine.at(1, 1, 1, 1);
        fs::write(machine.0.path().join("proc/diskstats"), "nonsense\n").unwrap();
        assert_eq!(shown(&sampler.sample(start + Duration::from_secs(1))), "cpu=50.0");
    }

    #[test]
    fn a_container_is_measured_against_its_own_limits() {
        let machine = Machine::new();
        machine.put("sys/fs/cgroup/cpu.max", "50000 100000\n");
        machine.put("sys/fs/cgroup/cpu.stat", "usage_usec 1000000\n");
        machine.put("sys/fs/cgroup/memory.max", "512000\n");
        machine.put("sys/fs/cgroup/memory.current", "256000\n");
        let mut sampler = Sampler::new(machine.0.path(), Capacity::default());
        let start = Instant::now();
        assert_eq!(shown(&sampler.sample(start)), "memory=50.0");
        machine.put("sys/fs/cgroup/cpu.stat", "usage_usec 3000000\n");
        let samples = shown(&sampler.sample(start + Duration::from_secs(10)));
        assert!(samples.starts_with("memory=50.0 cpu=40.0"), "2 s of 10 s of half a processor: {samples}");
    }

    #[test]
    fn a_given_capacity_and_given_names_win() {
        let machine = Machine::new();
        let capacity = Capacity {
            network_bits_per_s: Some(1e6),
            interfaces: Some(vec!["br0".into()]),
            disks: Some(vec!["sda1".into()]),
            cgroup: None,
        };
        let mut sampler = Sampler::new(machine.0.path(), capacity);
        let start = Instant::now();
        sampler.sample(start);
        machine.at(0, 1, 62_500, 0);
        assert_eq!(shown(&sampler.sample(start + Duration::from_secs(1))), "memory=75.0 cpu=0.0 network=50.0 disk=0.0");
    }

    #[test]
    fn this_machine_can_be_read() {
        let mut sampler = Sampler::new(Path::new("/"), Capacity::default());
        let start = Instant::now();
        sampler.sample(start);
        let samples = sampler.sample(start + Duration::from_secs(3600));
        assert!(samples.iter().any(|s| s.metric == "memory" && s.percent > 0.0), "{}", shown(&samples));
        assert!(samples.iter().all(|s| (0.0..=100.0).contains(&s.percent)));
    }
}
