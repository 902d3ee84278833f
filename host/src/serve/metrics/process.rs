//! What the process itself takes, under the names that every exporter uses.

use std::fs;

use prometheus_client::registry::Unit;
use rustix::time::{ClockId, clock_gettime};

use super::page::Page;

/// Memory, time and open files. What the system does not tell is left out.
pub(super) fn measure(page: &mut Page) {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    let help = "Time that this process has computed";
    page.with_unit(Unit::Seconds).counter("process_cpu_seconds", help, seconds);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    page.with_unit(Unit::Bytes).maybe(
        "process_resident_memory_bytes",
        "Memory that this process has in use",
        resident_bytes(&status),
    );
    let files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    page.maybe("process_open_fds", "Files that this process has open", files);
}

/// `VmRSS` of `/proc/self/status`, which is in kibibytes.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_where_it_is_told() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nY:\t1\n"), Some(2_097_152.0));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }
}
