//! A reader of tar files: v7, ustar, GNU and pax, from a slice or a stream.
//!
//! One decoder of headers serves both drivers, so that they cannot disagree. Where the known
//! readers disagree with each other about what an archive means (a size on a link, a pax path
//! beside a GNU long name, a global path), the archive is refused.
//!
//! **Architecture Invariant:** it gives names and bytes and touches no file system.

use std::io::{self, Read};

use crate::limits::PACKAGE_ENTRIES_MAX;
use crate::store::error::Refusal;

const BLOCK: usize = 512;
/// Largest pax header or GNU long name.
const META_BYTES_MAX: u64 = 1 << 20;

/// A regular file of an archive. Everything else is skipped or refused by the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// As in the archive; not checked, not even for being UTF-8.
    pub(crate) path: &'a [u8],
    /// Bytes of content.
    pub(crate) size: u64,
    /// Whether any execute bit is set.
    pub(crate) executable: bool,
}

/// What was passed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Symbolic and hard links.
    pub(crate) links: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meta {
    PaxLocal,
    PaxGlobal,
    LongName,
    LongLink,
}

enum Step {
    /// A block of zeros.
    Zero,
    /// What follows says something of a later entry.
    Meta(Meta, u64),
    /// A regular file, whose path is in the decoder.
    File { size: u64, executable: bool },
    /// Nothing follows that matters.
    Skip,
}

/// What local pax headers and GNU long names say of the next entry.
#[derive(Default)]
struct Overrides {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    long_name: Option<Vec<u8>>,
    long_link: bool,
    pax: bool,
}

#[derive(Default)]
struct Decoder {
    next: Overrides,
    path: Vec<u8>,
    skipped: Skipped,
    headers: usize,
}

impl Decoder {
    fn header(&mut self, block: &[u8; BLOCK]) -> Result<Step, Refusal> {
        if block[0] == 0 && block.iter().all(|byte| *byte == 0) {
            return Ok(Step::Zero);
        }
        self.headers += 1;
        if self.headers > PACKAGE_ENTRIES_MAX {
            return Err(Refusal::TooLarge {
                what: "entries",
                limit: PACKAGE_ENTRIES_MAX as u64,
            });
        }
        check_sum(block)?;
        let size = number(&block[124..136]).ok_or(Refusal::Tar("an entry's size is not valid"))?;
        let meta = match block[156] {
            b'x' => Meta::PaxLocal,
            b'g' => Meta::PaxGlobal,
            b'L' => Meta::LongName,
            b'K' => Meta::LongLink,
            kind => return self.entry(block, kind, size),
        };
        if size > META_BYTES_MAX {
            return Err(Refusal::TooLarge {
                what: "bytes in an extended header",
                limit: META_BYTES_MAX,
            });
        }
        Ok(Step::Meta(meta, size))
    }

    fn entry(&mut self, block: &[u8; BLOCK], kind: u8, size: u64) -> Result<Step, Refusal> {
        let overrides = std::mem::take(&mut self.next);
        self.path.clear();
        match (overrides.path, overrides.long_name) {
            (Some(_), Some(_)) => {
                return Err(Refusal::Tar("an entry has a pax path and a GNU long name"));
            }
            (Some(path), None) | (None, Some(path)) => self.path = path,
            (None, None) => header_path(block, &mut self.path),
        }
        let size = overrides.size.unwrap_or(size);
        // Version 7 has no type for directories but the slash.
        let directory = kind == b'5' || (kind == 0 && self.path.ends_with(b"/"));
        if directory || matches!(kind, b'1' | b'2') {
            if size > 0 {
                return Err(Refusal::Tar("a link or directory has content"));
            }
            if !directory {
                self.skipped.links += 1;
            }
            return Ok(Step::Skip);
        }
        if !matches!(kind, 0 | b'0' | b'7') {
            return Err(Refusal::EntryType {
                path: String::from_utf8_lossy(&self.path).into_owned(),
                kind: format!("'{}'", kind.escape_ascii()),
            });
        }
        let mode = number(&block[100..108]).ok_or(Refusal::Tar("an entry's mode is not valid"))?;
        Ok(Step::File {
            size,
            executable: mode & 0o111 != 0,
        })
    }

    fn meta(&mut self, meta: Meta, content: &[u8]) -> Result<(), Refusal> {
        match meta {
            Meta::PaxGlobal => each_pax_record(content, |key, _| match key {
                b"path" | b"size" | b"linkpath" => {
                    Err(Refusal::Tar("a global header names a path or size"))
                }
                key if key.starts_with(b"GNU.sparse.") => Err(sparse()),
                _ => Ok(()),
            }),
            Meta::PaxLocal => {
                if std::mem::replace(&mut self.next.pax, true) {
                    return Err(Refusal::Tar("an entry has two pax headers"));
                }
                let next = &mut self.next;
                each_pax_record(content, |key, value| {
                    match key {
                        b"path" => next.path = Some(value.to_vec()),
                        b"size" => {
                            let size = decimal(value);
                            next.size =
                                Some(size.ok_or(Refusal::Tar("a pax size is not a number"))?);
                        }
                        key if key.starts_with(b"GNU.sparse.") => return Err(sparse()),
                        _ => {}
                    }
                    Ok(())
                })
            }
            Meta::LongName => {
                if self.next.long_name.is_some() {
                    return Err(Refusal::Tar("an entry has two GNU long names"));
                }
                self.next.long_name = Some(until_nul(content).to_vec());
                Ok(())
            }
            Meta::LongLink => {
                if std::mem::replace(&mut self.next.long_link, true) {
                    return Err(Refusal::Tar("an entry has two GNU long links"));
                }
                Ok(())
            }
        }
    }

    /// Ends the archive.
    fn finish(self) -> Result<Skipped, Refusal> {
        if self.next.pax || self.next.long_name.is_some() || self.next.long_link {
            return Err(Refusal::Tar("it ends after an extended header"));
        }
        Ok(self.skipped)
    }
}

fn sparse() -> Refusal {
    Refusal::Tar("an entry is a sparse file")
}

fn check_sum(block: &[u8; BLOCK]) -> Result<(), Refusal> {
    let all: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    let expected = all - field + 8 * u32::from(b' ');
    match number(&block[148..156]) {
        Some(sum) if sum == u64::from(expected) => Ok(()),
        _ => Err(Refusal::Tar("a header's checksum is wrong")),
    }
}

/// A number of a header: octal digits between spaces and NULs, or base 256 where the first bit is
/// set. Nothing at all is zero.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let start = u64::from(first & 0x7f);
        return rest.iter().try_fold(start, |value, byte| {
            Some(value.checked_mul(256)? | u64::from(*byte))
        });
    }
    let is_blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let digits = match field.iter().position(|byte| *byte != b' ') {
        Some(start) => &field[start..],
        None => return Some(0),
    };
    let end = digits.iter().position(is_blank).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0_u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'7' => u64::from(digit - b'0'),
            _ => return None,
        };
        Some(value.checked_mul(8)? | digit)
    })
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    &bytes[..end]
}

fn header_path(block: &[u8; BLOCK], path: &mut Vec<u8>) {
    // GNU headers ("ustar  \0") keep times where ustar has the prefix.
    if block[257..265] == *b"ustar\x0000" {
        let prefix = until_nul(&block[345..500]);
        if !prefix.is_empty() {
            path.extend_from_slice(prefix);
            path.push(b'/');
        }
    }
    path.extend_from_slice(until_nul(&block[..100]));
}

/// Calls `visit` with key and value of each record `<length> <key>=<value>\n`.
fn each_pax_record(
    mut content: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    const MALFORMED: Refusal = Refusal::Tar("a pax header is malformed");
    while !content.is_empty() {
        let space = memchr::memchr(b' ', content).ok_or(MALFORMED)?;
        let length = decimal(&content[..space]).ok_or(MALFORMED)?;
        let length = usize::try_from(length).map_err(|_| MALFORMED)?;
        if length <= space + 1 || length > content.len() {
            return Err(MALFORMED);
        }
        let (record, rest) = content.split_at(length);
        let record = record[space + 1..].strip_suffix(b"\n").ok_or(MALFORMED)?;
        let equals = memchr::memchr(b'=', record).ok_or(MALFORMED)?;
        if equals == 0 {
            return Err(MALFORMED);
        }
        visit(&record[..equals], &record[equals + 1..])?;
        content = rest;
    }
    Ok(())
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

const TRUNCATED: Refusal = Refusal::Tar("it is truncated");
const AFTER_END: Refusal = Refusal::Tar("something follows its end");

/// How many blocks of zeros there were before this step, and with it: two are the end. What follows
/// a single one is the rest of the archive to some readers and nothing to others.
fn zeros_with(zeros: u32, step: &Step) -> Result<u32, Refusal> {
    match step {
        Step::Zero => Ok(zeros + 1),
        _ if zeros > 0 => Err(AFTER_END),
        _ => Ok(0),
    }
}

/// Reads a whole archive from memory; contents are borrowed from it.
///
/// # Errors
/// What the archive breaks, or what `visit` gives.
pub(crate) fn read_slice<'a>(
    archive: &'a [u8],
    mut visit: impl FnMut(Entry<'_>, &'a [u8]) -> Result<(), Refusal>,
) -> Result<Skipped, Refusal> {
    let mut decoder = Decoder::default();
    let mut rest = archive;
    let mut zeros = 0;
    while zeros < 2 && !rest.is_empty() {
        let (block, tail) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        rest = tail;
        let step = decoder.header(block)?;
        zeros = zeros_with(zeros, &step)?;
        let (size, meta) = match step {
            Step::Zero | Step::Skip => continue,
            Step::Meta(meta, size) => (size, Some(meta)),
            Step::File { size, .. } => (size, None),
        };
        let length = usize::try_from(size).map_err(|_| TRUNCATED)?;
        let (content, tail) = rest.split_at_checked(length).ok_or(TRUNCATED)?;
        // The last entry's padding may be missing: its content is whole.
        rest = tail.get(padding(size) as usize..).unwrap_or_default();
        if let Some(meta) = meta {
            decoder.meta(meta, content)?;
        } else if let Step::File { executable, .. } = step {
            let entry = Entry {
                path: &decoder.path,
                size,
                executable,
            };
            visit(entry, content)?;
        }
    }
    if rest.iter().any(|byte| *byte != 0) {
        return Err(AFTER_END);
    }
    decoder.finish()
}

/// Fills as much of `block` as the stream has.
fn read_block(stream: &mut impl Read, block: &mut [u8; BLOCK]) -> Result<usize, Refusal> {
    let mut filled = 0;
    while filled < BLOCK {
        match stream.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(stream_error(error)),
        }
    }
    Ok(filled)
}

/// A refusal that a reader below passed up through `io::Error`, or the error itself.
pub(crate) fn stream_error(error: io::Error) -> Refusal {
    match error.downcast::<Refusal>() {
        Ok(refusal) => refusal,
        Err(error) => Refusal::Read(error),
    }
}

/// Reads a whole archive from a stream, and the stream to its end. `visit` must read all of the
/// content it is given.
///
/// # Errors
/// What the archive breaks, or what `visit` gives.
pub(crate) fn read_stream<R: Read, E: From<Refusal>>(
    stream: &mut R,
    mut visit: impl FnMut(Entry<'_>, &mut io::Take<&mut R>) -> Result<(), E>,
) -> Result<Skipped, E> {
    let mut decoder = Decoder::default();
    let mut block = [0; BLOCK];
    let mut zeros = 0;
    while zeros < 2 {
        match read_block(stream, &mut block)? {
            0 => break,
            BLOCK => {}
            _ => return Err(TRUNCATED.into()),
        }
        let step = decoder.header(&block)?;
        zeros = zeros_with(zeros, &step)?;
        let size = match step {
            Step::Zero | Step::Skip => continue,
            Step::Meta(meta, size) => {
                let mut content = Vec::new();
                let read = stream.by_ref().take(size).read_to_end(&mut content);
                if read.map_err(stream_error)? as u64 != size {
                    return Err(TRUNCATED.into());
                }
                decoder.meta(meta, &content)?;
                size
            }
            Step::File { size, executable } => {
                let entry = Entry {
                    path: &decoder.path,
                    size,
                    executable,
                };
                let mut content = stream.by_ref().take(size);
                visit(entry, &mut content)?;
                if content.limit() > 0 {
                    return Err(TRUNCATED.into());
                }
                size
            }
        };
        let mut pad = stream.by_ref().take(padding(size));
        io::copy(&mut pad, &mut io::sink()).map_err(stream_error)?;
    }
    loop {
        match read_block(stream, &mut block)? {
            0 => return Ok(decoder.finish()?),
            read if block[..read].iter().any(|byte| *byte != 0) => return Err(AFTER_END.into()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same header again and again.
    struct Endless {
        block: [u8; BLOCK],
        at: usize,
    }

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(BLOCK - self.at);
            buffer[..length].copy_from_slice(&self.block[self.at..self.at + length]);
            self.at = (self.at + length) % BLOCK;
            Ok(length)
        }
    }

    #[test]
    fn more_entries_than_the_limit_are_refused() {
        let mut header = ::tar::Header::new_ustar();
        header.set_path("p/directory").unwrap();
        header.set_entry_type(::tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o755);
        header.set_cksum();
        let mut stream = Endless {
            block: *header.as_bytes(),
            at: 0,
        };
        let result = read_stream::<_, Refusal>(&mut stream, |_, _| Ok(()));
        assert!(matches!(result, Err(Refusal::TooLarge { .. })));
    }

    #[test]
    fn only_zeros_follow_the_end() {
        let mut header = ::tar::Header::new_ustar();
        header.set_path("p/empty").unwrap();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        let entry = header.as_bytes().as_slice();
        let zeros = [0; 3 * BLOCK];
        let end = &zeros[..2 * BLOCK];
        for (archive, accepted) in [
            (entry.to_vec(), true),
            ([entry, &zeros[..BLOCK]].concat(), true),
            ([entry, end, &zeros[..700]].concat(), true),
            ([entry, &zeros[..BLOCK], entry].concat(), false),
            ([entry, end, entry].concat(), false),
            ([entry, end, &zeros, b"x"].concat(), false),
        ] {
            let whole = read_slice(&archive, |_, _| Ok(()));
            let streamed = read_stream::<_, Refusal>(&mut archive.as_slice(), |_, _| Ok(()));
            assert_eq!(whole.is_ok(), accepted);
            assert_eq!(streamed.is_ok(), accepted);
        }
    }

    #[test]
    fn numbers_are_octal_or_base_256_and_nothing_else() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644", Some(0o644)),
            (b"        ", Some(0)),
            (b"\0\0\0\0", Some(0)),
            (b"\x80\0\0\x01\0", Some(256)),
            (b"0o644", None),
            (b"648", None),
            (b"-1", None),
            (b"0x1f", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"7777777777777777777777777", None),
            (b"", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..2048),
        ) {
            let whole = read_slice(&bytes, |_, _| Ok(()));
            let streamed = read_stream::<_, Refusal>(&mut bytes.as_slice(), |_, content| {
                io::copy(content, &mut io::sink()).map_err(Refusal::Read)?;
                Ok(())
            });
            prop_assert_eq!(whole.is_ok(), streamed.is_ok());
        }

        #[test]
        fn no_pax_records_make_the_reader_panic(bytes in "[0-9 =a\n]{0,40}") {
            let _ = each_pax_record(bytes.as_bytes(), |key, _| {
                assert!(!key.is_empty());
                Ok(())
            });
        }
    }
}
