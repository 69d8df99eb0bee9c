//! `GET /metrics`: what the machine uses, read when somebody asks and at no other time.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use serde_json::{Value, json};

use crate::fault::{Fault, Outcome};
use crate::lock::lock;

/// Unit of the counters in `/proc/stat`: `USER_HZ`, which is 100 on every machine that we run on.
const MS_PER_TICK: u64 = 10;
/// Less time than this is too few ticks to make a percentage of.
const SHORTEST_SPAN_TICKS: u64 = 10;

/// Answers questions about the machine; remembers when it was asked last.
#[derive(Default)]
pub struct Metrics(Mutex<Usage>);

/// From one question to the next.
#[derive(Clone, Copy, Default)]
struct Usage {
    since: CpuTime,
    percent: f64,
}

/// Ticks since boot, summed over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTime {
    used: u64,
    total: u64,
}

impl Metrics {
    /// Blocks. With `extensions`, the counters since boot too, for a caller that asks at times of its own.
    pub fn read(&self, extensions: bool) -> Outcome<Value> {
        let cpu = cpu_time(&file("/proc/stat")?).ok_or_else(|| unreadable("/proc/stat"))?;
        let memory = Memory::parse(&file("/proc/meminfo")?).ok_or_else(|| unreadable("/proc/meminfo"))?;
        let (disk_used, disk_total) = disk().map_err(|error| Fault::io("/", &error))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut answer = json!({
            "ts": now.as_secs(),
            "cpu_count": cpu_count(),
            "cpu_used_pct": lock(&self.0).until(cpu),
            "mem_total": memory.total,
            "mem_used": memory.used(),
            "mem_cache": memory.cache,
            "disk_used": disk_used,
            "disk_total": disk_total,
        });
        if extensions {
            answer["cpu_used_ms"] = (cpu.used * MS_PER_TICK).into();
            answer["cpu_total_ms"] = (cpu.total * MS_PER_TICK).into();
        }
        Ok(answer)
    }
}

impl Usage {
    /// Percentage of all CPUs used since the question before, the first time since boot.
    fn until(&mut self, now: CpuTime) -> f64 {
        let total = now.total.saturating_sub(self.since.total);
        if total >= SHORTEST_SPAN_TICKS {
            let used = now.used.saturating_sub(self.since.used).min(total);
            self.percent = (used * 10_000 / total) as f64 / 100.0;
            self.since = now;
        }
        self.percent
    }
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of the
/// first two. <https://man7.org/linux/man-pages/man5/proc_stat.5.html>
fn cpu_time(stat: &str) -> Option<CpuTime> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let total = ticks.iter().sum();
    Some(CpuTime { used: total - idle, total })
}

/// Bytes.
#[derive(Debug, PartialEq, Eq)]
struct Memory {
    total: u64,
    free: u64,
    /// What the kernel gives back when somebody needs it: pages of files, and of its own tables.
    cache: u64,
}

impl Memory {
    fn parse(meminfo: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.trim_end().parse().ok()?;
            kib.checked_mul(1024)
        };
        let cache = field("Buffers")? + field("Cached")? + field("SReclaimable")?;
        Some(Self { total: field("MemTotal")?, free: field("MemFree")?, cache })
    }

    fn used(&self) -> u64 {
        self.total.saturating_sub(self.free).saturating_sub(self.cache)
    }
}

/// Bytes used and in all, of the file system that `/` is on.
fn disk() -> io::Result<(u64, u64)> {
    // SAFETY: an all-zero statvfs is valid; the kernel overwrites it.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and both pointers are to live values.
    if unsafe { libc::statvfs(c"/".as_ptr(), &raw mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((found.f_blocks.saturating_sub(found.f_bfree) * found.f_frsize, found.f_blocks * found.f_frsize))
}

fn cpu_count() -> libc::c_long {
    // SAFETY: the call takes a number only.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }
}

fn file(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| Fault::io(path, &error))
}

fn unreadable(path: &str) -> Fault {
    Fault::internal(format!("{path}: not in the form that the kernel documents"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentage_is_that_since_the_last_question() {
        let mut usage = Usage::default();
        let at = |used, total| CpuTime { used, total };
        assert!((usage.until(at(50, 200)) - 25.0).abs() < 0.001);
        assert!((usage.until(at(150, 300)) - 100.0).abs() < 0.001);
        // Asked again at once, there is nothing to measure.
        assert!((usage.until(at(150, 305)) - 100.0).abs() < 0.001);
        assert!((usage.until(at(150, 400)) - 0.0).abs() < 0.001);
        // Steal and iowait may go back.
        assert!((usage.until(at(140, 500)) - 0.0).abs() < 0.001);
    }

    #[test]
    fn reads_the_line_of_all_cpus() {
        let stat = "cpu  10 1 5 100 20 2 3 4 99 98\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 1\n";
        assert_eq!(cpu_time(stat), Some(CpuTime { used: 25, total: 145 }));
        for bad in ["", "cpu0 1 2 3 4 5", "cpu  1 2 3", "cpu  a b c d e f g h"] {
            assert_eq!(cpu_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_memory_in_bytes() {
        let meminfo = "MemTotal:  1000 kB\nMemFree: 100 kB\nBuffers: 1 kB\nCached: 200 kB\nSwapCached: 7 kB\n\
            SReclaimable: 9 kB\n";
        let memory = Memory::parse(meminfo).expect("memory");
        assert_eq!(memory, Memory { total: 1_024_000, free: 102_400, cache: 210 * 1024 });
        assert_eq!(memory.used(), 690 * 1024);
        assert_eq!(Memory::parse("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn answers_about_this_machine() {
        let metrics = Metrics::default();
        let plain = metrics.read(false).expect("metrics");
        for field in ["ts", "cpu_count", "mem_total", "mem_used", "mem_cache", "disk_used", "disk_total"] {
            assert!(plain[field].as_u64().expect(field) > 0, "{field}");
        }
        assert!((0.0..=100.0).contains(&plain["cpu_used_pct"].as_f64().expect("percentage")));
        assert_eq!(plain["cpu_used_ms"], Value::Null);
        assert!(metrics.read(true).expect("metrics")["cpu_used_ms"].as_u64().expect("counter") > 0);
    }
}
