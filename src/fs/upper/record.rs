//! What a record of the journal says, and how it is written (`journal` has the format).

use crate::fs::attributes::Time;
use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};

/// Kind and time.
pub(super) const FIXED_BYTES: usize = 1 + 8 + 4;

/// Four paths, a request, a witness, and what frames them.
pub(super) const PAYLOAD_BYTES_MAX: usize = 4 * (PATH_BYTES_MAX + 4) + FIXED_BYTES + 8 + 9;

const HIDE: u8 = 1;
const SHOW: u8 = 2;
const MOVE: u8 = 3;
const INTENT: u8 = 4;
const DONE: u8 = 5;
const GIVEN_UP: u8 = 6;
const EXCHANGE: u8 = 7;
const EXCHANGE_INTENT: u8 = 8;
const EXCHANGED: u8 = 9;
const BEGUN: u8 = 10;

/// An entry gets another path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
    /// What it is, where it was installed.
    pub(crate) origin: Option<Vec<u8>>,
    /// What was at the new path comes to the old one.
    pub(crate) back: Option<Back>,
}

/// The other half of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Back {
    /// What it is, where it was installed.
    pub(crate) origin: Option<Vec<u8>>,
    /// The number of the request for the exchange. Nothing else tells one that was made from one
    /// that is asked for, since both names are there before and afterwards.
    pub(crate) request: u64,
}

/// How to see whether the real part of a move was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    /// What has this inode number is at the new path.
    Arrived(u64),
    /// What has this inode number is no more at the new path.
    Left(u64),
}

/// What is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// Nothing that was installed shows at this path or below it.
    Hide(Vec<u8>),
    /// What was installed at `origin` shows at `path`.
    Show { path: Vec<u8>, origin: Vec<u8> },
    /// What was at one path is at another.
    Move(Move),
    /// The same, once the witness says so.
    Intent(Move, Witness),
    /// The last intent was carried out.
    Done,
    /// It was not.
    GivenUp,
    /// The exchange that this request was for is made, and in what the other records say.
    Exchanged(u64),
    /// The tree was mounted: the numbers of requests before are another connection's.
    Begun,
}

impl Record {
    pub(super) fn payload(&self, time: Time) -> Vec<u8> {
        let (kind, fields): (u8, Vec<&[u8]>) = match self {
            Self::Hide(path) => (HIDE, vec![path]),
            Self::Show { path, origin } => (SHOW, vec![path, origin]),
            Self::Move(change) => (change.kind(MOVE, EXCHANGE), change.fields()),
            Self::Intent(change, _) => (change.kind(INTENT, EXCHANGE_INTENT), change.fields()),
            Self::Done => (DONE, vec![]),
            Self::GivenUp => (GIVEN_UP, vec![]),
            Self::Exchanged(_) => (EXCHANGED, vec![]),
            Self::Begun => (BEGUN, vec![]),
        };
        let mut payload = vec![kind];
        payload.extend_from_slice(&time.seconds.to_le_bytes());
        payload.extend_from_slice(&time.nanoseconds.to_le_bytes());
        for field in fields {
            payload.extend_from_slice(&(field.len() as u32).to_le_bytes());
            payload.extend_from_slice(field);
        }
        if let Some(request) = self.request() {
            payload.extend_from_slice(&request.to_le_bytes());
        }
        if let Self::Intent(_, witness) = self {
            let (kind, inode) = match witness {
                Witness::Arrived(inode) => (0, inode),
                Witness::Left(inode) => (1, inode),
            };
            payload.push(kind);
            payload.extend_from_slice(&inode.to_le_bytes());
        }
        payload
    }

    fn request(&self) -> Option<u64> {
        match self {
            Self::Exchanged(request) => Some(*request),
            Self::Move(change) | Self::Intent(change, _) => change.request(),
            _ => None,
        }
    }

    pub(super) fn parse(payload: &[u8]) -> Option<(Self, Time)> {
        let mut reader = Reader(payload);
        let [kind] = *reader.take(1)? else {
            return None;
        };
        let time = Time {
            seconds: i64::from_le_bytes(reader.take(8)?.try_into().ok()?),
            nanoseconds: u32::from_le_bytes(reader.take(4)?.try_into().ok()?),
        };
        let record = match kind {
            HIDE => Self::Hide(reader.path()?),
            SHOW => Self::Show {
                path: reader.path()?,
                origin: reader.path()?,
            },
            MOVE => Self::Move(reader.change()?),
            INTENT => Self::Intent(reader.change()?, reader.witness()?),
            DONE => Self::Done,
            GIVEN_UP => Self::GivenUp,
            EXCHANGE => Self::Move(reader.exchange()?),
            EXCHANGE_INTENT => Self::Intent(reader.exchange()?, reader.witness()?),
            EXCHANGED => Self::Exchanged(reader.number()?),
            BEGUN => Self::Begun,
            _ => return None,
        };
        reader.0.is_empty().then_some((record, time))
    }
}

impl Move {
    fn kind(&self, one_way: u8, both_ways: u8) -> u8 {
        match self.back {
            None => one_way,
            Some(_) => both_ways,
        }
    }

    fn fields(&self) -> Vec<&[u8]> {
        let origin = self.origin.as_deref().unwrap_or_default();
        let mut fields = vec![&self.from, &self.to, origin];
        if let Some(back) = &self.back {
            fields.push(back.origin.as_deref().unwrap_or_default());
        }
        fields
    }

    /// The number of the request, where it is an exchange.
    pub(super) fn request(&self) -> Option<u64> {
        self.back.as_ref().map(|back| back.request)
    }
}

/// What is left to be read.
pub(super) struct Reader<'bytes>(pub(super) &'bytes [u8]);

impl<'bytes> Reader<'bytes> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'bytes [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn field(&mut self) -> Option<Vec<u8>> {
        let length = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        Some(self.take(usize::try_from(length).ok()?)?.to_vec())
    }

    /// A path that stays below the root.
    fn path(&mut self) -> Option<Vec<u8>> {
        self.field().filter(|path| is_path(path))
    }

    /// A path, or nothing.
    fn origin(&mut self) -> Option<Option<Vec<u8>>> {
        let origin = self.field()?;
        if origin.is_empty() {
            return Some(None);
        }
        is_path(&origin).then_some(Some(origin))
    }

    fn change(&mut self) -> Option<Move> {
        Some(Move {
            from: self.path()?,
            to: self.path()?,
            origin: self.origin()?,
            back: None,
        })
    }

    fn exchange(&mut self) -> Option<Move> {
        let mut change = self.change()?;
        change.back = Some(Back {
            origin: self.origin()?,
            request: self.number()?,
        });
        Some(change)
    }

    fn witness(&mut self) -> Option<Witness> {
        let [kind] = *self.take(1)? else {
            return None;
        };
        let inode = self.number()?;
        match kind {
            0 => Some(Witness::Arrived(inode)),
            1 => Some(Witness::Left(inode)),
            _ => None,
        }
    }
}

fn is_path(path: &[u8]) -> bool {
    !path.contains(&0)
        && path.split(|byte| *byte == b'/').all(|name| {
            !name.is_empty() && name != b"." && name != b".." && name.len() <= NAME_BYTES_MAX
        })
}
