//! Taking changes back while nothing is mounted: below a path the tree is again what was installed.

use std::path::Path;

use super::journal::{Journal, JournalError, Ledger, Requests};
use super::record::Record;
use super::{Host, JOURNAL, remove_tree, settle};
use crate::fs::attributes::Time;

/// Forgets what was written at and below `paths`, which are relative to the tree's root, in the
/// upper layer in `directory`. Nothing may be mounted there.
///
/// # Errors
/// The journal is damaged, or something cannot be removed. What was done until then is whole: the
/// journal changes last.
pub(in crate::fs) fn forget(directory: &Path, paths: &[String]) -> Result<(), JournalError> {
    let io = |error: rustix::io::Errno| JournalError::Io(error.into());
    let flags =
        rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, rustix::fs::Mode::empty()).map_err(io)?;
    let host = Host::new(root, None);
    let Some(replay) = Journal::read(&host, JOURNAL)? else {
        return Ok(());
    };
    let valid_bytes = replay.valid_bytes;
    let other =
        |error: crate::fs::vfs_error::VfsError| JournalError::Io(std::io::Error::other(error));
    let mut ledger = settle(&host, replay).map_err(other)?.ledger;
    for path in paths {
        let path = path.as_bytes();
        remove_tree(&host, path).map_err(other)?;
        remove_empty_parents(&host, path);
        ledger.forget(path);
    }
    let mut records = Vec::new();
    ledger.records(&mut Vec::new(), &mut records);
    let mut journal = Journal::open(&host, JOURNAL, valid_bytes)?;
    journal.rewrite(&host, JOURNAL, records, &Requests::default())?;
    Ok(())
}

/// The directories above `path` are there only to hold it, unless they are not empty.
pub(in crate::fs) fn remove_empty_parents(host: &Host, path: &[u8]) {
    let mut rest = path;
    while let Some(at) = rest.iter().rposition(|byte| *byte == b'/') {
        rest = &rest[..at];
        if host.remove(rest, true).is_err() {
            return;
        }
    }
}

impl Ledger {
    fn forget(&mut self, path: &[u8]) {
        let (first, rest) = match path.iter().position(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (path, &path[..0]),
        };
        if rest.is_empty() {
            self.children.remove(first);
        } else if let Some(child) = self.children.get_mut(first) {
            child.forget(rest);
        }
    }

    /// The records that make this ledger, parents first. Directories in which nothing is hidden
    /// show their installed time again.
    fn records(&self, path: &mut Vec<u8>, out: &mut Vec<(Record, Time)>) {
        for (name, child) in &self.children {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let time = self.changed.unwrap_or(Time {
                seconds: 0,
                nanoseconds: 0,
            });
            match &child.origin {
                Some(origin) => out.push((
                    Record::Show {
                        path: path.clone(),
                        origin: origin.clone(),
                    },
                    time,
                )),
                None if child.hides => out.push((Record::Hide(path.clone()), time)),
                None => {}
            }
            child.records(path, out);
            path.truncate(length);
        }
    }
}
