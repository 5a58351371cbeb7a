//! Killing a program (SIGKILL) at the system calls that change the disk, one after another, by means of `strace`.
//!
//! [`Kills`](crate::Kills) kills at random moments; here the moments are counted. A dry run under `strace` lists every
//! call that changes a file or a folder, in order. Each is a [`KillPoint`]: run again on the same world, the program
//! is killed as it enters that call, so that the call does not happen and everything before it did.
//!
//! `CIM_KEYS_KILL_SEED=N` chooses other points, `CIM_KEYS_KILL_ALL=1` takes all of them, and `CIM_KEYS_KILL_AT=fsync:7` the
//! one that a failing test names.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;

use crate::tools::{STRACE, tool};

/// The calls that change what is on the disk, apart from `openat`, which does so only when it creates a file. A `?`
/// lets `strace` go on where the machine has no such call.
const CHANGES: &[&str] = &[
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "copy_file_range",
    "sendfile",
    "fsync",
    "fdatasync",
    "?rename",
    "renameat",
    "renameat2",
    "?unlink",
    "unlinkat",
    "?rmdir",
    "?mkdir",
    "mkdirat",
    "?link",
    "linkat",
    "?symlink",
    "symlinkat",
    "truncate",
    "ftruncate",
    "fallocate",
    "?chmod",
    "fchmod",
    "fchmodat",
];

/// A moment at which a program is killed: as it enters a system call for the nth time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillPoint {
    /// The name of the system call.
    pub call: String,
    /// How often a thread entered that call before and with this one: `strace` counts each thread by itself.
    pub nth: u32,
    /// The line of the trace, shortened: for the message of a test that fails.
    pub seen: String,
}

impl KillPoint {
    /// The call and what it works on, as the trace shows them.
    fn file(&self) -> &str {
        self.seen.split(',').next().unwrap_or_default()
    }
}

impl fmt::Display for KillPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIGKILL at {} number {}, CIM_KEYS_KILL_AT={0}:{1} ({})", self.call, self.nth, self.seen)
    }
}

/// Every point at which a program can be killed, in the order in which it comes to them.
#[derive(Debug)]
pub struct KillPoints {
    strace: PathBuf,
    points: Vec<KillPoint>,
}

impl KillPoints {
    /// Runs a command to its end and counts its points. `None` when there is no `strace` here, which was said.
    ///
    /// The command gets the variables that it sets itself and no others; its standard input is empty.
    ///
    /// # Panics
    /// When the command fails, or its trace can't be read.
    #[must_use]
    pub fn of(command: &Command) -> Option<Self> {
        let strace = tool(STRACE)?;
        let folder = TempDir::with_prefix("cim-keys-trace-").expect("a folder for the trace");
        let trace = folder.path().join("trace");
        let set = format!("trace={},openat,?open,?creat", CHANGES.join(","));
        // With -y a trace names the files behind the descriptors; without paths in it (a process may hide them) every
        // call counts.
        let output = wrapped(&strace, command, &["-y", "-s", "0", "-e", &set], &trace)
            .stdin(Stdio::null())
            .output()
            .expect("strace runs");
        assert!(
            output.status.success(),
            "{command:?} under strace: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let text = std::fs::read(&trace).expect("strace wrote a trace");
        Some(Self { strace, points: points(&String::from_utf8_lossy(&text)) })
    }

    /// All points.
    #[must_use]
    pub fn all(&self) -> &[KillPoint] {
        &self.points
    }

    /// At most `most` points, spread over the whole run by a seed, and by a name so that not every command is killed at
    /// the same ones; all of them with `CIM_KEYS_KILL_ALL=1`, and a named one with `CIM_KEYS_KILL_AT=CALL:N`.
    #[must_use]
    pub fn choose(&self, most: usize, name: &str) -> Vec<KillPoint> {
        if let Ok(at) = std::env::var("CIM_KEYS_KILL_AT") {
            let named = |point: &&KillPoint| format!("{}:{}", point.call, point.nth) == at;
            return self.points.iter().filter(named).cloned().collect();
        }
        if std::env::var("CIM_KEYS_KILL_ALL").is_ok_and(|all| all == "1") || self.points.len() <= most {
            return self.points.clone();
        }
        let mut random = StdRng::seed_from_u64(
            name.bytes().fold(seed(), |sum, byte| sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte))),
        );
        // Of the many writes to one file in a row one is chosen as often as a lone call between them.
        let phases: Vec<&[KillPoint]> = self.points.chunk_by(|one, next| one.file() == next.file()).collect();
        let most = most.min(phases.len());
        // One of each of `most` equal parts, so that the end of a run is hit as often as its beginning.
        let bound = |part: usize| part * phases.len() / most;
        let chosen = (0..most).map(|part| {
            let phase = phases[random.random_range(bound(part)..bound(part + 1))];
            phase[random.random_range(0..phase.len())].clone()
        });
        chosen.collect()
    }

    /// Runs a command and kills it at a point. False when it came to its end first, as it may where threads take turns.
    ///
    /// # Panics
    /// When `strace` can't be run.
    #[must_use]
    pub fn kill(&self, point: &KillPoint, command: &Command) -> bool {
        let folder = TempDir::with_prefix("cim-keys-trace-").expect("a folder for the trace");
        let trace = folder.path().join("trace");
        let only = format!("trace={}", point.call);
        let inject = format!("inject={}:signal=SIGKILL:when={}", point.call, point.nth);
        let status = wrapped(&self.strace, command, &["-e", &only, "-e", &inject], &trace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("strace runs");
        // strace ends as its program did: by the same signal.
        status.code().is_none()
    }
}

/// The seed of this run: `CIM_KEYS_KILL_SEED`, or 0.
#[must_use]
pub fn seed() -> u64 {
    std::env::var("CIM_KEYS_KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// The same program under `strace`, its trace in a file, in the environment that the command sets itself.
fn wrapped(strace: &Path, command: &Command, options: &[&str], trace: &Path) -> Command {
    let mut wrapped = Command::new(strace);
    wrapped.args(["-f", "-qq", "-o"]).arg(trace).args(options).arg("--").arg(command.get_program());
    wrapped.args(command.get_args()).env_clear();
    wrapped.envs(command.get_envs().filter_map(|(name, value): (&OsStr, _)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

/// The points of a trace. Each thread counts its calls by itself; the same call and count of two threads is one point.
fn points(trace: &str) -> Vec<KillPoint> {
    let mut counts: HashMap<(&str, &str), u32> = HashMap::new();
    let mut points: Vec<KillPoint> = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        // The end of a call that another thread interrupted starts with `<...`, a signal with `---`.
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        if call.is_empty() || !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let nth = counts.entry((thread, call)).or_default();
        *nth += 1;
        let point = KillPoint { call: call.to_owned(), nth: *nth, seen: rest.trim().chars().take(160).collect() };
        if changes(call, arguments) && !points.iter().any(|known| known.call == point.call && known.nth == point.nth) {
            points.push(point);
        }
    }
    points
}

/// Whether a call changes a file or a folder: not a pipe, a socket or an event, and no file that is only opened.
fn changes(call: &str, arguments: &str) -> bool {
    if matches!(call, "openat" | "open") {
        return arguments.contains("O_CREAT");
    }
    // `4</folder/file>`, `5<socket:[77]>`, `6<anon_inode:[eventfd]>`; only a number where the path is hidden.
    let first = arguments.split([',', ')']).next().unwrap_or_default();
    match first.split_once('<') {
        Some((descriptor, path)) if descriptor.bytes().all(|byte| byte.is_ascii_digit()) => {
            // Terminals and the like change nothing that stays; /dev/shm is a disk in memory.
            let device = path.starts_with("/dev/") && !path.starts_with("/dev/shm/");
            path.starts_with('/') && !device && !path.starts_with("/proc/")
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_what_changes_the_disk_each_thread_counted_by_itself() {
        let trace = "\
            7 openat(AT_FDCWD</w>, \"a\", O_RDONLY) = 3</w/a>\n\
            7 openat(AT_FDCWD</w>, \"b\", O_RDWR|O_CREAT, 0600) = 4</w/b>\n\
            7 write(4</w/b>, \"\"..., 7) = 7\n\
            7 write(1<pipe:[9]>, \"\"..., 7) = 7\n\
            8 write(6<anon_inode:[eventfd]>, \"\"..., 8) = 8\n\
            8 fsync(4</w/b> <unfinished ...>\n\
            7 rename(\"b\", \"c\") = 0\n\
            8 <... fsync resumed>) = 0\n\
            7 write(5</w/d>, \"\"..., 7) = 7\n\
            8 write(5</dev/shm/d>, \"\"..., 7) = 7\n\
            8 fsync(2</dev/pts/0>) = -1 EINVAL\n\
            7 +++ exited with 0 +++\n";
        let found: Vec<_> = points(trace).into_iter().map(|point| (point.call, point.nth)).collect();
        let expected = [("openat", 2), ("write", 1), ("fsync", 1), ("rename", 1), ("write", 3), ("write", 2)];
        assert_eq!(found, expected.map(|(call, nth)| (call.to_owned(), nth)));
    }
}
