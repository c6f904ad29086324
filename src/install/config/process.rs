//! Programs that configuration asks for an answer: npm for its registry, a helper for a token.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Most bytes that are read of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// How often a program that has closed its output is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// Runs `command` and gives its standard output. Its standard error is thrown away, because it may
/// repeat a secret.
///
/// # Errors
/// A sentence's end: what went wrong. The program is killed when `timeout` is over.
pub(super) fn answer_of(mut command: Command, timeout: Duration) -> Result<String, String> {
    let deadline = Instant::now() + timeout;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("it cannot be run ({error})"))?;
    let result = wait_for_answer(&mut child, deadline);
    if result.is_err() {
        // The program may have ended by itself; either way there is nothing left to do about it.
        let _ = child.kill();
        let _ = child.wait();
    }
    result
}

fn wait_for_answer(child: &mut Child, deadline: Instant) -> Result<String, String> {
    let stdout = child.stdout.take().ok_or("it has no output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes);
        // Nobody listens after a time-out.
        let _ = sender.send(read.map(|_| bytes));
    });
    reader.map_err(|error| format!("its output cannot be read ({error})"))?;
    let left = deadline.saturating_duration_since(Instant::now());
    let bytes = receiver
        .recv_timeout(left)
        .map_err(|_| "it did not answer in time".to_owned())?
        .map_err(|error| format!("its output cannot be read ({error})"))?;
    if bytes.len() as u64 > ANSWER_BYTES_MAX {
        return Err("its answer is too long".to_owned());
    }
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => break,
            Some(status) => return Err(format!("it ended with {status}")),
            None if Instant::now() >= deadline => {
                return Err("it did not end in time".to_owned());
            }
            None => std::thread::sleep(POLL),
        }
    }
    String::from_utf8(bytes).map_err(|_| "its answer is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_answer_is_what_a_successful_program_prints() {
        assert_eq!(
            answer_of(shell("echo hi"), Duration::from_secs(60)),
            Ok("hi\n".to_owned())
        );
        for (script, timeout, expected) in [
            ("exit 3", 60_000, "exit status: 3"),
            ("sleep 60", 20, "in time"),
            ("exec 1>&-; sleep 60", 20, "in time"),
            ("head -c 100000 /dev/zero", 60_000, "too long"),
            ("printf '\\377'", 60_000, "UTF-8"),
        ] {
            let error = answer_of(shell(script), Duration::from_millis(timeout));
            assert!(
                error.as_ref().is_err_and(|text| text.contains(expected)),
                "{error:?}"
            );
        }
        let missing = answer_of(Command::new("/does/not/exist"), Duration::from_secs(1));
        assert!(missing.is_err_and(|text| text.contains("cannot be run")));
    }
}
