//! The journal of the upper layer: which installed entries are hidden, and which are shown
//! elsewhere. Everything else that was changed is a real file.
//!
//! ```text
//! header  16   magic "pacqjrnl", version u32, zero u32
//! record       payload bytes u32, check [8], payload
//!              the check is the beginning of SHA-256 over the record's offset u64 and the payload
//! payload      kind u8, seconds i64, nanoseconds u32 (the time that the directory above shows
//!              from then on), then each field as bytes u32 and those bytes
//!                1 hide    path
//!                2 show    path, origin
//!                3 move    from, to, origin (empty: none)
//!                4 intent  as move, then 1 byte and u64: the witness
//!                5 done
//!                6 given up
//!                7 exchange  from, to, the origin of each (empty: none), then u64: the request
//!                8 intent  as exchange, then 1 byte and u64: the witness
//!                9 exchanged  u64: the request
//!               10 begun
//! ```
//!
//! All numbers are little-endian, all paths relative to the root of the tree. An origin is the path
//! that something had when it was installed.
//!
//! A record is written before what it tells of is done. Where both must happen or neither (a rename
//! that moves a real file too), an intent says how to see afterwards whether the real file was
//! moved, and `done` or `given up` follows.
//!
//! An exchange that a server made and did not acknowledge is asked for again, under the same number
//! of the kernel's. So the last of these numbers are known as long as the connection lasts.
//!
//! **Architecture Invariant:** a record counts when all of it is there. What is cut off at the end
//! was never acknowledged, and is dropped. A bad record before a good one is damage: then nothing
//! is guessed, and the caller serves without writing.
//!
//! Where the file system is full, the last records are in memory (`spill`).

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::host::{Host, write_at};
use super::record::{FIXED_BYTES, Move, PAYLOAD_BYTES_MAX, Reader, Record, Witness};
use super::spill::Spill;
use crate::fs::attributes::{FIXED_TIME, Time};
use crate::fs::vfs_error::is_full;

const MAGIC: [u8; 8] = *b"pacqjrnl";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;
const FRAME_BYTES: usize = 4 + CHECK_BYTES;

/// Largest journal that is read. It is written anew long before.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;

/// A journal with fewer bytes is not worth writing anew.
const REWRITE_BYTES: usize = 256 << 10;

/// How often it is seen whether there is room again.
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// How many exchanges are known by their requests. Between one that was made and its answer there
/// are never so many others.
const REQUESTS_MAX: usize = 1024;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A record before the last is bad.
    #[error("the record at byte {offset} is damaged, and others follow it")]
    Damaged {
        /// Where.
        offset: usize,
    },
    /// It is not a journal, or of a version that is not known.
    #[error("it is no journal that this version of pacquet can read")]
    Unknown,
    /// It is where nothing can be written.
    #[error("the file system under the mount is read-only")]
    ReadOnly,
    /// It cannot be read or written.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
}

/// The records of a journal, applied: a tree of what differs from what was installed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// What was installed here does not show.
    pub(crate) hides: bool,
    /// This shows instead of it, or beneath what is really here.
    pub(crate) origin: Option<Vec<u8>>,
    /// When an entry of this directory last came or went.
    pub(crate) changed: Option<Time>,
    pub(crate) children: BTreeMap<Box<[u8]>, Ledger>,
}

impl Ledger {
    fn at(&mut self, path: &[u8]) -> &mut Self {
        path.split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .fold(self, |ledger, name| {
                ledger.children.entry(name.into()).or_default()
            })
    }

    fn set(&mut self, path: &[u8], ledger: Self, time: Time) {
        let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.at(&path[..parent]).changed = Some(time);
        *self.at(path) = ledger;
    }

    fn hidden() -> Self {
        Self {
            hides: true,
            ..Self::default()
        }
    }

    fn apply(&mut self, record: Record, time: Time) {
        match record {
            Record::Hide(path) => self.set(&path, Self::hidden(), time),
            Record::Show { path, origin } => {
                let shown = Self {
                    origin: Some(origin),
                    ..Self::hidden()
                };
                self.set(&path, shown, time);
            }
            _ => {}
        }
    }

    fn apply_move(&mut self, change: Move, time: Time) {
        let moved = self.take(&change.from, change.origin);
        let back = match change.back {
            Some(back) => self.take(&change.to, back.origin),
            None => Self::hidden(),
        };
        self.set(&change.from, back, time);
        self.set(&change.to, moved, time);
    }

    /// What is at `path`, to be put elsewhere.
    fn take(&mut self, path: &[u8], origin: Option<Vec<u8>>) -> Self {
        let taken = std::mem::take(self.at(path));
        Self {
            hides: true,
            origin,
            ..taken
        }
    }
}

/// The last exchanges that were made, by their requests.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Requests(VecDeque<u64>);

impl Requests {
    pub(crate) fn made(&mut self, request: u64) {
        if self.0.len() == REQUESTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(request);
    }

    pub(crate) fn contains(&self, request: u64) -> bool {
        self.0.contains(&request)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a journal says.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) ledger: Ledger,
    pub(crate) requests: Requests,
    /// A move of which it is not known whether it was done.
    pub(crate) pending: Option<(Move, Witness, Time)>,
    /// Bytes at the end that were never acknowledged.
    pub(crate) torn_bytes: usize,
    /// Bytes that count.
    pub(crate) valid_bytes: usize,
}

impl Replay {
    /// What a move that was carried out leaves.
    pub(crate) fn made(&mut self, change: Move, time: Time) {
        if let Some(request) = change.request() {
            self.requests.made(request);
        }
        self.ledger.apply_move(change, time);
    }
}

/// Reads `bytes`.
pub(crate) fn replay(bytes: &[u8]) -> Result<Replay, JournalError> {
    let mut replay = Replay {
        ledger: Ledger::default(),
        requests: Requests::default(),
        pending: None,
        torn_bytes: bytes.len(),
        valid_bytes: 0,
    };
    let header = header();
    if bytes.len() < HEADER_BYTES {
        // Zeros are what a power cut leaves of a file that was growing.
        return if header.starts_with(bytes) || bytes.iter().all(|byte| *byte == 0) {
            Ok(replay)
        } else {
            Err(JournalError::Unknown)
        };
    }
    if bytes[..HEADER_BYTES] != header {
        return Err(JournalError::Unknown);
    }
    let mut at = HEADER_BYTES;
    while let Some((record, time, end)) = record_at(bytes, at) {
        match record {
            Record::Intent(change, witness) => replay.pending = Some((change, witness, time)),
            Record::Done => {
                if let Some((change, _, time)) = replay.pending.take() {
                    replay.made(change, time);
                }
            }
            Record::Move(change) => replay.made(change, time),
            Record::Exchanged(request) => replay.requests.made(request),
            Record::Begun => replay.requests = Requests::default(),
            record => {
                // Also `given up`; a record of another kind cannot follow an intent.
                replay.pending = None;
                replay.ledger.apply(record, time);
            }
        }
        at = end;
    }
    if (at + 1..bytes.len()).any(|later| record_at(bytes, later).is_some()) {
        return Err(JournalError::Damaged { offset: at });
    }
    replay.valid_bytes = at;
    replay.torn_bytes = bytes.len() - at;
    Ok(replay)
}

fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header
}

fn check(offset: usize, payload: &[u8]) -> [u8; CHECK_BYTES] {
    let mut digest = Sha256::new();
    digest.update((offset as u64).to_le_bytes());
    digest.update(payload);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest.finalize()[..CHECK_BYTES]);
    check
}

/// The record at `offset` and where it ends, where a whole one is there.
fn record_at(bytes: &[u8], offset: usize) -> Option<(Record, Time, usize)> {
    let mut reader = Reader(bytes.get(offset..)?);
    let length = u32::from_le_bytes(reader.take(4)?.try_into().ok()?) as usize;
    if !(FIXED_BYTES..=PAYLOAD_BYTES_MAX).contains(&length) {
        return None;
    }
    let found = reader.take(CHECK_BYTES)?;
    let payload = reader.take(length)?;
    if found != check(offset, payload) {
        return None;
    }
    let (record, time) = Record::parse(payload)?;
    Some((record, time, offset + FRAME_BYTES + length))
}

fn frame(offset: usize, record: &Record, time: Time) -> Vec<u8> {
    let payload = record.payload(time);
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&check(offset, &payload));
    frame.extend_from_slice(&payload);
    frame
}

/// A journal that is being written.
pub(crate) struct Journal {
    /// `None` where there was no room to make one: then everything is in the spill.
    file: Option<File>,
    spill: Option<Spill>,
    bytes: usize,
    /// With more bytes than this it is worth writing anew.
    bytes_wanted: usize,
    /// A record could neither be written whole nor taken back.
    broken: bool,
    /// Something was written since the last [`Self::sync`].
    dirty: bool,
    /// When it is seen whether there is room for what is in the spill.
    next_try: Option<Instant>,
}

impl Journal {
    /// Begins a journal at `path`, or goes on with the one whose first bytes counted.
    pub(crate) fn open(host: &Host, path: &[u8], valid_bytes: usize) -> io::Result<Self> {
        let file = host.open_journal(path)?;
        Self::in_file(host, Some(file), valid_bytes)
    }

    /// The same where there is no room for the file: everything is in memory.
    pub(crate) fn without_file(host: &Host, valid_bytes: usize) -> io::Result<Self> {
        Self::in_file(host, None, valid_bytes)
    }

    fn in_file(host: &Host, file: Option<File>, valid_bytes: usize) -> io::Result<Self> {
        let spilled = host.spill().map(Spill::read).transpose()?.flatten();
        let start = spilled.map_or(valid_bytes, |(start, _)| start.min(valid_bytes));
        if let Some(file) = &file {
            file.set_len(start as u64)?;
        }
        let memory = host.spill().map(File::try_clone).transpose()?;
        let spill = memory.map(|memory| Spill::new(memory, valid_bytes - start));
        let mut journal = Self {
            file,
            spill: spill.transpose()?,
            bytes: valid_bytes,
            bytes_wanted: REWRITE_BYTES,
            broken: false,
            dirty: true,
            next_try: None,
        };
        if valid_bytes < HEADER_BYTES {
            journal.begin()?;
        }
        Ok(journal)
    }

    fn begin(&mut self) -> io::Result<()> {
        self.bytes = 0;
        if let Some(file) = &self.file {
            file.set_len(0)?;
        }
        if let Some(spill) = &mut self.spill {
            spill.clear()?;
        }
        self.append_bytes(&header())
    }

    /// What the journal at `path` says, where there is one.
    pub(crate) fn read(host: &Host, path: &[u8]) -> Result<Option<Replay>, JournalError> {
        let mut bytes = Vec::new();
        let spilled = host.spill().map(Spill::read).transpose()?.flatten();
        match host.stat(path) {
            Ok(_) => {
                let file = host.open_to_read(path).map_err(io::Error::from)?;
                let count = file.take(JOURNAL_BYTES_MAX + 1).read_to_end(&mut bytes)?;
                if count as u64 > JOURNAL_BYTES_MAX {
                    return Err(JournalError::Unknown);
                }
            }
            Err(rustix::io::Errno::NOENT) if spilled.is_none() => return Ok(None),
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(JournalError::Io(error.into())),
        }
        if let Some((start, records)) = spilled
            && start <= bytes.len()
        {
            bytes.truncate(start);
            bytes.extend_from_slice(&records);
        }
        replay(&bytes).map(Some)
    }

    /// Whether there was room for the file that it is written to.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a record. When this returns, a new server knows it.
    pub(crate) fn append(&mut self, record: &Record, time: Time) -> io::Result<()> {
        self.append_bytes(&frame(self.bytes, record, time))
    }

    /// Adds what became of the intent before it. The next server sees that for itself where this
    /// cannot be written, but only while nothing follows the intent.
    pub(crate) fn conclude(&mut self, outcome: &Record, time: Time) {
        if let Err(error) = self.append(outcome, time) {
            tracing::error!(%error, "the journal cannot be written; nothing more can be changed");
            self.broken = true;
        }
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the journal could not be repaired"));
        }
        self.dirty = true;
        let written = match self.try_to_come_home() {
            Ok(()) => self.write(bytes, self.bytes),
            Err(error) => Err(error),
        };
        match (written, &mut self.spill) {
            (Err(error), Some(spill)) if is_full(&error) && !self.broken => {
                spill.append(bytes, self.bytes)?;
            }
            (written, _) => written?,
        }
        self.bytes += bytes.len();
        Ok(())
    }

    /// As [`Self::come_home`], but only now and then: a large removal is thousands of records.
    fn try_to_come_home(&mut self) -> io::Result<()> {
        let has_spilled = self.spill.as_ref().is_some_and(|spill| spill.bytes() > 0);
        let now = Instant::now();
        if has_spilled && self.next_try.is_some_and(|next| now < next) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.next_try = has_spilled.then(|| now + BETWEEN_TRIES);
        self.come_home()
    }

    /// Puts into the file what is in the spill.
    pub(crate) fn come_home(&mut self) -> io::Result<()> {
        let Some(spill) = self.spill.as_ref().filter(|spill| spill.bytes() > 0) else {
            return Ok(());
        };
        let place = self.bytes - spill.bytes();
        let records = spill.records()?;
        self.write(&records, place)?;
        self.spill.as_mut().map_or(Ok(()), Spill::clear)
    }

    /// Writes all of `bytes` to the end of the file, which is at `place`, or nothing.
    fn write(&mut self, bytes: &[u8], place: usize) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        match write_at(file, bytes, place as u64) {
            Ok(count) if count == bytes.len() => Ok(()),
            written => {
                // A part of a record must not stay where others would follow it.
                self.broken = file.set_len(place as u64).is_err();
                Err(written.err().unwrap_or(io::ErrorKind::StorageFull.into()))
            }
        }
    }

    /// Whether it has become long for what it says, as far as that can be told from its length.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes > self.bytes_wanted
    }

    /// Lets it become twice as long.
    pub(crate) fn want_more(&mut self) {
        self.bytes_wanted *= 2;
    }

    /// Makes what was added survive a power cut.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.come_home()?;
        if let Some(file) = self.file.as_ref().filter(|_| self.dirty) {
            file.sync_data()?;
        }
        self.dirty = false;
        Ok(())
    }

    /// Puts `records` and `requests` in the place of all that there are: beside the old ones, then
    /// over them.
    pub(crate) fn rewrite(
        &mut self,
        host: &Host,
        path: &[u8],
        mut records: Vec<(Record, Time)>,
        requests: &Requests,
    ) -> io::Result<()> {
        // What is in the spill belongs to the file that goes.
        self.come_home()?;
        let beside = [path, b".new"].concat();
        let _ = host.remove(&beside, false);
        let requests = requests.0.iter().copied().map(Record::Exchanged);
        records.extend(requests.map(|record| (record, FIXED_TIME)));
        let mut bytes = header().to_vec();
        for (record, time) in &records {
            let next = frame(bytes.len(), record, *time);
            bytes.extend_from_slice(&next);
        }
        let file = host.open_journal(&beside)?;
        let written = file
            .write_all_at(&bytes, 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| Ok(host.rename(&beside, path)?));
        if let Err(error) = written {
            let _ = host.remove(&beside, false);
            return Err(error);
        }
        *self = Self {
            file: Some(file),
            spill: self.spill.take(),
            bytes: bytes.len(),
            bytes_wanted: REWRITE_BYTES.max(2 * bytes.len()),
            broken: false,
            dirty: false,
            next_try: None,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Back;
    use super::*;

    const TIME: Time = Time {
        seconds: 7,
        nanoseconds: 8,
    };

    fn change(from: &str, to: &str, origin: Option<&str>) -> Move {
        Move {
            from: from.into(),
            to: to.into(),
            origin: origin.map(Into::into),
            back: None,
        }
    }

    fn exchange(from: &str, to: &str, origins: [Option<&str>; 2], request: u64) -> Move {
        let back = Back {
            origin: origins[1].map(Into::into),
            request,
        };
        Move {
            back: Some(back),
            ..change(from, to, origins[0])
        }
    }

    fn records() -> Vec<Record> {
        vec![
            Record::Hide(b"a/b".to_vec()),
            Record::Show {
                path: b"c".to_vec(),
                origin: b"a/b".to_vec(),
            },
            Record::Move(change("c", "d/e", Some("a/b"))),
            Record::Intent(change("x", "y", None), Witness::Arrived(9)),
            Record::Done,
            Record::Hide(b"d/e/f".to_vec()),
            Record::Begun,
            Record::Exchanged(3),
            Record::Move(exchange("d", "a", [None, Some("a")], 4)),
            Record::Intent(
                exchange("d", "z", [Some("q"), None], 5),
                Witness::Arrived(6),
            ),
            Record::GivenUp,
            Record::Intent(exchange("y", "z", [None, None], 7), Witness::Arrived(8)),
            Record::Done,
            Record::Intent(change("d", "z", None), Witness::Left(u64::MAX)),
        ]
    }

    /// The journal of `records`, and where each of them ends.
    fn journal(records: &[Record]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = header().to_vec();
        let mut ends = vec![bytes.len()];
        for record in records {
            let next = frame(bytes.len(), record, TIME);
            bytes.extend_from_slice(&next);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_journal_that_was_cut_anywhere_has_the_records_before_the_cut() {
        let records = records();
        let (bytes, ends) = journal(&records);
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let (expected, _) = journal(&records[..whole.saturating_sub(1)]);
            let expected = replay(&expected).unwrap();
            let found = replay(&bytes[..cut]).unwrap();
            assert_eq!(found.ledger, expected.ledger, "{cut}");
            assert_eq!(found.pending, expected.pending, "{cut}");
            assert_eq!(found.requests, expected.requests, "{cut}");
            let valid = if whole == 0 { 0 } else { ends[whole - 1] };
            assert_eq!(found.valid_bytes, valid, "{cut}");
            assert_eq!(found.torn_bytes, cut - valid, "{cut}");
        }
    }

    #[test]
    fn damage_before_a_good_record_is_told_from_a_torn_tail() {
        let records = records();
        let (bytes, ends) = journal(&records);
        let last = ends[ends.len() - 2];
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            match replay(&damaged) {
                Err(JournalError::Unknown) => assert!(at < HEADER_BYTES, "{at}"),
                Err(JournalError::Damaged { offset }) => {
                    assert!((HEADER_BYTES..last).contains(&at) && offset <= at, "{at}");
                }
                Ok(found) => assert!(at >= last && found.valid_bytes == last, "{at}"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn zeros_at_the_end_are_a_torn_tail() {
        let (mut bytes, ends) = journal(&records());
        bytes.resize(bytes.len() + 5000, 0);
        let found = replay(&bytes).unwrap();
        assert_eq!(Some(&found.valid_bytes), ends.last());
        assert_eq!(found.torn_bytes, 5000);
        assert!(replay(&[0; 9]).is_ok());
    }

    #[test]
    fn what_moved_takes_along_what_is_hidden_in_it() {
        let (bytes, _) = journal(&[
            Record::Hide(b"a/b/c".to_vec()),
            Record::Move(change("a", "z", Some("a"))),
            Record::Hide(b"q".to_vec()),
        ]);
        let mut ledger = replay(&bytes).unwrap().ledger;
        assert!(ledger.at(b"z/b/c").hides);
        assert!(ledger.at(b"a").hides && ledger.at(b"q").hides);
        assert_eq!(ledger.at(b"z").origin.as_deref(), Some(&b"a"[..]));
        assert_eq!(ledger.at(b"z/b").changed, Some(TIME));
        assert!(ledger.at(b"a").children.is_empty());
    }

    #[test]
    fn what_is_exchanged_takes_along_what_is_hidden_in_it() {
        let (bytes, _) = journal(&[
            Record::Hide(b"a/b".to_vec()),
            Record::Hide(b"c/d/e".to_vec()),
            Record::Move(exchange("a", "c/d", [Some("a"), None], 8)),
        ]);
        let mut ledger = replay(&bytes).unwrap().ledger;
        assert!(ledger.at(b"a").hides && ledger.at(b"a/e").hides);
        assert!(ledger.at(b"c/d").hides && ledger.at(b"c/d/b").hides);
        assert_eq!(ledger.at(b"a").origin, None);
        assert_eq!(ledger.at(b"c/d").origin.as_deref(), Some(&b"a"[..]));
        assert!(!ledger.at(b"a/b").hides && !ledger.at(b"c/d/e").hides);
        assert_eq!(ledger.changed, Some(TIME));
        assert_eq!(ledger.at(b"c").changed, Some(TIME));
    }

    #[test]
    fn many_requests_are_known_and_not_all() {
        let mut requests = Requests::default();
        (0..=REQUESTS_MAX as u64).for_each(|request| requests.made(request));
        assert!(!requests.contains(0) && requests.contains(1));
        assert!(requests.contains(REQUESTS_MAX as u64));
    }

    #[test]
    fn paths_that_leave_the_tree_are_damage() {
        for path in ["", "/a", "a//b", "a/../b", ".", "a/", "a\0"] {
            let payload = Record::Hide(path.into()).payload(TIME);
            assert_eq!(Record::parse(&payload), None, "{path}");
        }
    }

    #[test]
    fn a_journal_is_written_read_torn_and_rewritten() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(File::open(directory.path()).unwrap().into(), None);
        assert!(Journal::read(&host, b"journal").unwrap().is_none());
        let mut journal = Journal::open(&host, b"journal", 0).unwrap();
        for record in records() {
            journal.append(&record, TIME).unwrap();
        }
        let path = directory.path().join("journal");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let found = Journal::read(&host, b"journal").unwrap().unwrap();
        assert!(found.torn_bytes > 0);
        let mut journal = Journal::open(&host, b"journal", found.valid_bytes).unwrap();
        journal
            .append(&Record::Hide(b"last".to_vec()), TIME)
            .unwrap();
        journal.sync().unwrap();
        let mut found = Journal::read(&host, b"journal").unwrap().unwrap();
        assert_eq!(found.torn_bytes, 0);
        assert!(found.ledger.at(b"last").hides);
        let one = vec![(Record::Hide(b"only".to_vec()), TIME)];
        let requests = found.requests;
        journal.rewrite(&host, b"journal", one, &requests).unwrap();
        journal
            .append(&Record::Hide(b"next".to_vec()), TIME)
            .unwrap();
        let found = Journal::read(&host, b"journal").unwrap().unwrap();
        assert_eq!(found.ledger.children.len(), 2);
        assert_eq!(found.requests, requests);
        assert_eq!(requests.0, [3, 4, 7]);
    }
}
