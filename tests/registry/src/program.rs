//! Programs that a test writes and then runs.
//!
//! Whoever starts a process while a file is open for writing leaves that descriptor to the child
//! until it executes, and the kernel refuses to run what somebody may write (`ETXTBSY`). Tests
//! run on many threads, each of which starts processes: so a process of its own writes, and its
//! descriptor is nobody else's.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a program of the given text, which everybody may execute.
///
/// # Panics
/// If it cannot be written.
pub fn write(path: &Path, text: impl AsRef<[u8]>) {
    let written = fed("cat > \"$0\" && chmod 755 \"$0\"", path, text.as_ref());
    assert!(
        written.as_ref().is_ok_and(|written| *written),
        "{}: {written:?}",
        path.display()
    );
}

/// Copies a program, with its permissions.
///
/// # Panics
/// If it cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(
        copied.as_ref().is_ok_and(|status| status.success()),
        "{}: {copied:?}",
        to.display()
    );
}

/// Whether a line of the shell, about a path, succeeded with the given input.
fn fed(line: &str, path: &Path, input: &[u8]) -> io::Result<bool> {
    let mut shell = Command::new("sh")
        .args(["-c", line])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()?;
    let written = match shell.stdin.take() {
        Some(mut stdin) => stdin.write_all(input),
        None => Ok(()),
    };
    let succeeded = shell.wait()?.success();
    written.map(|()| succeeded)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_is_written_runs_while_other_processes_begin() {
        let directory = tempfile::tempdir().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
            for turn in 0..50 {
                let path = directory.path().join(turn.to_string());
                write(&path, "#!/bin/sh\necho it runs\n");
                let copied = path.with_extension("copy");
                copy(&path, &copied);
                for program in [&path, &copied] {
                    let output = Command::new(program).output();
                    assert_eq!(output.unwrap().stdout, b"it runs\n");
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
