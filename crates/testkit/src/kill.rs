//! Killing our own processes (SIGKILL) at random moments, so that what they leave behind is tried.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Kills at moments that a seed decides: `CIM_KEYS_KILL_SEED=N` repeats one.
#[derive(Debug)]
pub struct Kills {
    random: StdRng,
    whole: Duration,
    /// How many processes were killed before they came to their end.
    pub done: u32,
}

impl Kills {
    /// For commands that take as long as this one, which is run to its end.
    ///
    /// # Panics
    /// When it can't be run, or fails.
    #[must_use]
    pub fn like(command: &mut Command) -> Self {
        let seed = std::env::var("CIM_KEYS_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
        let began = Instant::now();
        let output = quiet(command).stderr(Stdio::piped()).output().expect("the command runs");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        Self { random: StdRng::seed_from_u64(seed.unwrap_or(0)), whole: began.elapsed(), done: 0 }
    }

    /// Runs a command and kills it at any moment of its life; false when it was done before.
    ///
    /// # Panics
    /// When it can't be run.
    pub fn kill(&mut self, command: &mut Command) -> bool {
        // The first half is mostly what a process does before it begins; the other half is hit as often as all of it.
        let part = if self.random.random_bool(0.5) { 0.0..1.0 } else { 0.4..1.0 };
        let moment = self.whole.mul_f64(self.random.random_range(part));
        let mut child = quiet(command).spawn().expect("the command runs");
        let until = Instant::now() + moment;
        while Instant::now() < until {
            if child.try_wait().expect("the process is ours").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1).min(until.saturating_duration_since(Instant::now())));
        }
        child.kill().expect("the process is ours");
        let killed = child.wait().expect("the process is ours").code().is_none();
        self.done += u32::from(killed);
        killed
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
