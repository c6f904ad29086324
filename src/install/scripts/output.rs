//! Where the output of a script goes, and how lines are made of it.

use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{SCRIPT_LINE_BYTES_MAX, SCRIPT_OUTPUT_BYTES_KEPT};
use crate::report::{Event, Reporter, ScriptName, ScriptStream};

/// Where the output of a script goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptOutput {
    /// To where this process writes itself, unseen by it.
    Terminal,
    /// Line by line to the reporter.
    Lines,
    /// To the reporter when the script has ended, all at once.
    Held,
    /// To the reporter when the script has failed: the last of it.
    HeldForFailure,
}

/// A script's name, owned.
#[derive(Debug, Clone)]
pub(super) struct OwnedName {
    pub(super) shown: String,
    pub(super) dep_path: String,
    pub(super) directory: String,
    pub(super) stage: String,
    pub(super) is_optional: bool,
}

impl OwnedName {
    pub(super) fn borrowed(&self) -> ScriptName<'_> {
        ScriptName {
            shown: &self.shown,
            dep_path: &self.dep_path,
            directory: &self.directory,
            stage: &self.stage,
            is_optional: self.is_optional,
        }
    }
}

/// Takes the lines of one script.
pub(super) struct LineSink {
    name: OwnedName,
    reporter: Arc<dyn Reporter>,
    /// `None`: lines are told at once.
    held: Option<Mutex<Ring>>,
}

impl LineSink {
    pub(super) fn new(name: OwnedName, reporter: Arc<dyn Reporter>, output: ScriptOutput) -> Self {
        Self {
            name,
            reporter,
            held: (output != ScriptOutput::Lines).then(Mutex::default),
        }
    }

    fn take(&self, stream: ScriptStream, line: &str) {
        match &self.held {
            Some(ring) => {
                let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
                ring.push(stream, line);
            }
            None => self.tell(stream, line),
        }
    }

    fn tell(&self, stream: ScriptStream, line: &str) {
        let name = &self.name.borrowed();
        self.reporter
            .report(&Event::ScriptLine { name, stream, line });
    }

    /// Tells the lines that were held.
    pub(super) fn tell_held(&self) {
        let Some(ring) = &self.held else { return };
        let ring = std::mem::take(&mut *ring.lock().unwrap_or_else(PoisonError::into_inner));
        if ring.dropped > 0 {
            let line = format!("… {} lines before this are left out", ring.dropped);
            self.tell(ScriptStream::Output, &line);
        }
        for (stream, line) in &ring.lines {
            self.tell(*stream, line);
        }
    }

    /// Takes `source` to its end.
    pub(super) fn read(&self, source: impl Read, stream: ScriptStream) {
        let mut source = BufReader::with_capacity(SCRIPT_LINE_BYTES_MAX, source);
        let mut line = Vec::new();
        loop {
            line.clear();
            let done = read_line(&mut source, &mut line);
            if !line.is_empty() {
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                self.take(stream, &String::from_utf8_lossy(text));
            }
            if done {
                return;
            }
        }
    }
}

/// Reads up to and with the next line feed, at most [`SCRIPT_LINE_BYTES_MAX`]. Says whether that
/// was the end.
fn read_line(source: &mut BufReader<impl Read>, line: &mut Vec<u8>) -> bool {
    use std::io::BufRead;
    while line.len() < SCRIPT_LINE_BYTES_MAX {
        let available = match source.fill_buf() {
            Ok([]) => return true,
            Ok(available) => available,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return true,
        };
        let room = available.len().min(SCRIPT_LINE_BYTES_MAX - line.len());
        let end = memchr::memchr(b'\n', &available[..room]);
        let taken = end.map_or(room, |at| at + 1);
        line.extend_from_slice(&available[..taken]);
        source.consume(taken);
        if end.is_some() {
            break;
        }
    }
    false
}

/// The last lines, up to a number of bytes.
#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<(ScriptStream, Box<str>)>,
    bytes: usize,
    dropped: u64,
}

impl Ring {
    fn push(&mut self, stream: ScriptStream, line: &str) {
        self.bytes += line.len();
        self.lines.push_back((stream, line.into()));
        while self.bytes > SCRIPT_OUTPUT_BYTES_KEPT && self.lines.len() > 1 {
            if let Some((_, line)) = self.lines.pop_front() {
                self.bytes -= line.len();
                self.dropped += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collected(Mutex<Vec<String>>);

    impl Reporter for Collected {
        fn report(&self, event: &Event<'_>) {
            if let Event::ScriptLine { line, .. } = event {
                self.0.lock().expect("no panic").push((*line).to_owned());
            }
        }
    }

    fn sink(output: ScriptOutput) -> (LineSink, Arc<Collected>) {
        let collected = Arc::new(Collected::default());
        let name = OwnedName {
            shown: "a".to_owned(),
            dep_path: "a@1.0.0".to_owned(),
            directory: "/a".to_owned(),
            stage: "install".to_owned(),
            is_optional: false,
        };
        (LineSink::new(name, collected.clone(), output), collected)
    }

    #[test]
    fn lines_are_told_as_they_come_and_long_ones_in_parts() {
        let (sink, collected) = sink(ScriptOutput::Lines);
        let long = "x".repeat(SCRIPT_LINE_BYTES_MAX + 3);
        let text = format!("one\r\n\ntwo\n{long}\nlast");
        sink.read(text.as_bytes(), ScriptStream::Output);
        let lines = collected.0.lock().expect("no panic");
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [3, 0, 3, SCRIPT_LINE_BYTES_MAX, 3, 4]);
    }

    #[test]
    fn of_much_output_the_last_is_kept() {
        let (sink, collected) = sink(ScriptOutput::HeldForFailure);
        let lines = SCRIPT_OUTPUT_BYTES_KEPT / 10;
        for number in 0..2 * lines {
            sink.take(ScriptStream::Output, &format!("{number:010}"));
        }
        assert!(collected.0.lock().expect("no panic").is_empty());
        sink.tell_held();
        let told = collected.0.lock().expect("no panic");
        assert_eq!(told.len(), lines + 1);
        assert_eq!(told[0], format!("… {lines} lines before this are left out"));
        assert_eq!(told[lines], format!("{:010}", 2 * lines - 1));
    }
}
