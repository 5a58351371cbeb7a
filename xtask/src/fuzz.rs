//! A run of the fuzz targets without `cargo-fuzz`: libFuzzer comes with its crate, and stable rustc can instrument.

use crate::Result;
use crate::shell::{cargo, program, read, root, run, target};

/// The flags with which `cargo fuzz` builds, less the sanitizer, which needs another toolchain.
const INSTRUMENT: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions";

/// Runs each target for so many seconds; any crash fails and leaves its input in `fuzz/artifacts`.
pub(crate) fn fuzz(seconds: u32, only: Option<&str>) -> Result {
    let folder = root().join("fuzz");
    let mut names: Vec<String> = std::fs::read_dir(folder.join("fuzz_targets"))
        .map_err(|error| format!("fuzz/fuzz_targets: {error}"))?
        .flatten()
        .filter_map(|entry| entry.path().file_stem().map(|name| name.to_string_lossy().into_owned()))
        .filter(|name| only.is_none_or(|only| only == name))
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(format!("there is no fuzz target {}", only.unwrap_or("in fuzz/fuzz_targets")));
    }
    let host = host()?;
    let seeds = target().join("fuzz-seeds");
    let mut write = cargo(&["test", "--quiet", "--workspace", "--test", "library", "--", "fuzz_seeds::"]);
    run(write.env("CIM_KEYS_FUZZ_SEEDS", &seeds))?;
    for name in names {
        let corpus = folder.join("corpus").join(&name);
        let artifacts = folder.join("artifacts").join(&name);
        for made in [&corpus, &artifacts] {
            std::fs::create_dir_all(made).map_err(|error| format!("{}: {error}", made.display()))?;
        }
        // With a target named, the flags are for the target only and not for build scripts and macros.
        let mut command = cargo(&["run", "--release", "--quiet", "--target", &host, "--bin", &name, "--"]);
        command.current_dir(&folder).env("RUSTFLAGS", INSTRUMENT).env("CARGO_TARGET_DIR", target().join("fuzz"));
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.args(["-max_len=8192", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        command.arg(corpus);
        let seeds = seeds.join(&name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        run(&mut command).map_err(|problem| format!("{problem}; the input is in {}", artifacts.display()))?;
    }
    Ok(())
}

/// The target for which rustc itself was made.
fn host() -> Result<String> {
    let said = read(&mut program("rustc", &["-vV"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}
