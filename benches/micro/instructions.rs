//! Instruction counts, by callgrind, of this code and of the code of another commit.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workloads::{Run, WORKLOADS};

/// A change below this share is not worth a word.
const SLOWER: f64 = 1.01;

/// Runs a workload once, below callgrind.
pub(crate) fn once(name: &str) -> Result<(), Box<dyn Error>> {
    let workload = WORKLOADS
        .iter()
        .find(|workload| workload.name == name)
        .ok_or_else(|| format!("there is no workload {name}"))?;
    let mut run = workload.prepare();
    // The first run fills caches and lazies.
    run();
    counted(&mut run);
    Ok(())
}

/// What happens in here is counted; callgrind knows it by its name.
#[inline(never)]
fn counted(run: &mut Run) {
    run();
}

/// Counts, here and at `revision`, and prints both.
pub(crate) fn compare(revision: &str) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let now = count_all(&std::env::current_exe()?)?;
    let commit = git(root, &["rev-parse", "--short", revision])?;
    let before = match build(root, &commit) {
        Ok(program) => count_all(&program)?,
        Err(reason) => {
            say(&format!("{commit} has nothing to compare with: {reason}"))?;
            BTreeMap::new()
        }
    };
    say(&format!(
        "{:20} {commit:>16} {:>16}  ratio",
        "instructions", "here"
    ))?;
    for workload in &WORKLOADS {
        let name = workload.name;
        let Some(here) = now.get(name).copied() else {
            say(&format!("{name:20} {:>16} {:>16}", "-", "-"))?;
            continue;
        };
        let Some(there) = before.get(name).copied().filter(|count| *count > 0) else {
            say(&format!("{name:20} {:>16} {here:16}", "-"))?;
            continue;
        };
        let ratio = here as f64 / there as f64;
        let word = if ratio > SLOWER { "  slower" } else { "" };
        say(&format!("{name:20} {there:16} {here:16}  {ratio:.4}{word}"))?;
    }
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

/// Builds the micro-benchmarks of another commit, in a checkout of its own.
fn build(root: &Path, commit: &str) -> Result<PathBuf, Box<dyn Error>> {
    let base = root.join("target/instructions");
    let checkout = base.join(commit);
    if !checkout.join("Cargo.toml").exists() {
        git(root, &["worktree", "prune"])?;
        let folder = checkout.to_string_lossy();
        git(
            root,
            &["worktree", "add", "--detach", "--force", &folder, commit],
        )?;
    }
    let built = Command::new(env!("CARGO"))
        .args([
            "bench",
            "--bench",
            "micro",
            "--no-run",
            "--message-format",
            "json",
        ])
        .current_dir(&checkout)
        // Where this program was built, so that dependencies are not built again.
        .env("CARGO_TARGET_DIR", target_folder()?)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !built.status.success() {
        return Err("its micro-benchmarks do not build".into());
    }
    let lines = String::from_utf8_lossy(&built.stdout).into_owned();
    let messages = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages
        .filter(|message| message["target"]["name"] == "micro")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs
        .next()
        .ok_or_else(|| "cargo named no program".into())
}

/// The folder in which cargo built this program: `TARGET/PROFILE/deps/NAME`.
fn target_folder() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(3);
    Ok(folder
        .ok_or("this program is in no target folder")?
        .to_owned())
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().into())
}

/// The instructions of every workload that the program has.
fn count_all(program: &Path) -> Result<BTreeMap<&'static str, u64>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut counts = BTreeMap::new();
    for workload in &WORKLOADS {
        let file = folder.path().join(workload.name);
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--collect-atstart=no"])
            .arg("--toggle-collect=micro::instructions::counted*")
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(program)
            .args(["once", workload.name])
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        if output.status.success() {
            counts.insert(workload.name, total(&fs::read_to_string(&file)?)?);
        } else {
            // The other commit may not have this workload, or callgrind not what it needs.
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = words.lines().last().unwrap_or_default();
            say(&format!(
                "{}: {} does not count: {last}",
                program.display(),
                workload.name
            ))?;
        }
    }
    Ok(counts)
}

/// The last total in callgrind's file.
fn total(text: &str) -> Result<u64, Box<dyn Error>> {
    let line = text.lines().rev().find_map(|line| {
        line.strip_prefix("totals: ")
            .or(line.strip_prefix("summary: "))
    });
    Ok(line.ok_or("callgrind wrote no total")?.trim().parse()?)
}
