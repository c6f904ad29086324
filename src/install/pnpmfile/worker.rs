//! The process that runs hooks: one for all of a command.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::error::PnpmfileError;
use crate::install::config::Config;
use crate::report::{Event, Reporter};

/// What the process runs.
const SCRIPT: &str = include_str!("worker.cjs");

/// How long hooks may go on with what they left running after the last answer.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A node process that answers requests, one at a time.
pub(super) struct Worker {
    child: Child,
    /// `None` while it ends.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// For errors.
    path: PathBuf,
    reporter: Arc<dyn Reporter>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("process", &self.child.id())
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts node in `directory`. `path` is the pnpmfile that errors name.
    pub(super) fn start(
        directory: &Path,
        path: &Path,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Self, PnpmfileError> {
        let failed = |source| PnpmfileError::Node {
            path: path.to_path_buf(),
            source,
        };
        let mut child = Command::new("node")
            .args(["--input-type=commonjs", "-e", SCRIPT])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(std::io::Error::other("it has no pipes")));
        };
        Ok(Self {
            child,
            input: Some(input),
            output: BufReader::new(output),
            path: path.to_path_buf(),
            reporter: Arc::clone(reporter),
        })
    }

    /// Loads pnpmfiles, and says what each of them has.
    pub(super) fn load(
        &mut self,
        config: &Config,
        paths: &[PathBuf],
    ) -> Result<Value, PnpmfileError> {
        let places = paths.iter().map(|path| config.packages.located(path));
        let shown = places.map(|path| path.to_string_lossy().into_owned());
        let shown: Vec<String> = shown.collect();
        self.ask(&json!({ "request": "load", "paths": shown }))
    }

    /// The answer to `request`.
    pub(super) fn ask(&mut self, request: &Value) -> Result<Value, PnpmfileError> {
        let mut line = request.to_string();
        line.push('\n');
        let input = self.input.as_mut();
        let sent = input.map(|input| input.write_all(line.as_bytes()));
        if !matches!(sent, Some(Ok(()))) {
            return Err(self.gone());
        }
        loop {
            let mut line = String::new();
            if !matches!(self.output.read_line(&mut line), Ok(1..)) {
                return Err(self.gone());
            }
            let Ok(Value::Object(mut message)) = serde_json::from_str(&line) else {
                return Err(self.failed("the answer is not JSON"));
            };
            if let Some(text) = message.get("log").and_then(Value::as_str) {
                self.reporter.report(&Event::Info(text));
            } else if let Some(error) = message.get("error") {
                return Err(hook_error(error));
            } else {
                return Ok(message.remove("result").unwrap_or_default());
            }
        }
    }

    fn gone(&self) -> PnpmfileError {
        self.failed("pnpmfile worker exited")
    }

    fn failed(&self, reason: &str) -> PnpmfileError {
        PnpmfileError::Worker {
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }
}

fn hook_error(error: &Value) -> PnpmfileError {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    PnpmfileError::Hook {
        code: match text("code") {
            "ERR_PNPM_BAD_READ_PACKAGE_HOOK_RESULT" => "ERR_PNPM_BAD_READ_PACKAGE_HOOK_RESULT",
            _ => "ERR_PNPM_PNPMFILE_FAIL",
        },
        message: text("message").to_owned(),
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.input.take());
        let deadline = Instant::now() + END_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // It cannot be asked any more; what a kill cannot end, nothing can.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
