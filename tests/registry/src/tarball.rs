//! Archives with raw control over every byte: well-formed ones for packages, hostile ones for the
//! tests that a store must refuse.
//!
//! Nothing here validates. What the caller asks for is what is written, deterministically: the
//! same calls give the same bytes.

use std::io::Write as _;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

/// The time of modification that npm writes into every entry (1985-10-26T08:15:00Z).
pub const MODIFICATION_TIME_SECONDS: u64 = 499_162_500;

const BLOCK: usize = 512;
const NAME_BYTES: usize = 100;

/// How an entry whose name is longer than the 100 bytes of its header field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongName {
    /// A PAX record `path`.
    Pax,
    /// A GNU entry of type `L` before it.
    Gnu,
    /// The POSIX `prefix` field where a slash allows it, else a PAX record.
    Prefix,
    /// Cut to 100 bytes.
    Cut,
}

/// Whether a header's checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The sum of the header's bytes.
    Correct,
    /// One more than that.
    Wrong,
}

/// One entry of an archive. Build it with a constructor, then change what must be wrong.
#[derive(Clone, Debug)]
pub struct Entry {
    name: Vec<u8>,
    type_flag: u8,
    mode: u32,
    link_name: Vec<u8>,
    contents: Vec<u8>,
    claimed_size: Option<u64>,
    raw_size_field: Option<[u8; 12]>,
    checksum: Checksum,
    long_name: LongName,
    pax: Vec<u8>,
    modification_time_seconds: u64,
    magic: [u8; 8],
}

impl Entry {
    /// An entry of any type: `0` file, `1` hard link, `2` symlink, `3` and `4` devices, `5`
    /// directory, `6` fifo, `S` GNU sparse, `x` and `g` PAX, `L` and `K` GNU long names.
    pub fn of_type(type_flag: u8, name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            type_flag,
            mode: 0o644,
            link_name: Vec::new(),
            contents: contents.as_ref().to_vec(),
            claimed_size: None,
            raw_size_field: None,
            checksum: Checksum::Correct,
            long_name: LongName::Prefix,
            pax: Vec::new(),
            modification_time_seconds: MODIFICATION_TIME_SECONDS,
            magic: *b"ustar\x0000",
        }
    }

    /// A regular file, mode 0644. The name is written as it is: include `package/`.
    pub fn file(name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'0', name, contents)
    }

    /// A directory, mode 0755.
    pub fn directory(name: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'5', name, b"").mode(0o755)
    }

    /// A symbolic link.
    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'2', name, b"").mode(0o777).link_name(target)
    }

    /// A hard link to an earlier entry.
    pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'1', name, b"").link_name(target)
    }

    /// A character device.
    pub fn character_device(name: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'3', name, b"")
    }

    /// A block device.
    pub fn block_device(name: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'4', name, b"")
    }

    /// A named pipe.
    pub fn fifo(name: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'6', name, b"")
    }

    /// An old GNU sparse file.
    pub fn sparse(name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'S', name, contents)
    }

    /// Sets the mode bits, with set-user-id and the like if wanted.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the link's target field.
    pub fn link_name(mut self, target: impl AsRef<[u8]>) -> Self {
        self.link_name = target.as_ref().to_vec();
        self
    }

    /// Writes this size in the header, whatever the contents are.
    pub fn claimed_size(mut self, bytes: u64) -> Self {
        self.claimed_size = Some(bytes);
        self
    }

    /// Writes these twelve bytes as the size field.
    pub fn raw_size_field(mut self, field: [u8; 12]) -> Self {
        self.raw_size_field = Some(field);
        self
    }

    /// Makes the header's checksum wrong.
    pub fn wrong_checksum(mut self) -> Self {
        self.checksum = Checksum::Wrong;
        self
    }

    /// Chooses how a name of more than 100 bytes is written.
    pub fn long_name(mut self, how: LongName) -> Self {
        self.long_name = how;
        self
    }

    /// Precedes the entry with a PAX header that holds this well-formed record (repeatable).
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.extend(pax_record(key.as_bytes(), value.as_ref()));
        self
    }

    /// Precedes the entry with a PAX header that holds these bytes, well-formed or not.
    pub fn raw_pax(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.pax.extend_from_slice(bytes.as_ref());
        self
    }

    /// Sets the time of modification, in seconds since 1970.
    pub fn modification_time_seconds(mut self, seconds: u64) -> Self {
        self.modification_time_seconds = seconds;
        self
    }

    /// Sets the eight bytes of magic and version; the default is POSIX `ustar\0` `00`.
    pub fn magic(mut self, magic: [u8; 8]) -> Self {
        self.magic = magic;
        self
    }

    fn write(&self, archive: &mut Vec<u8>) {
        let mut pax = Vec::new();
        let mut prefix: &[u8] = b"";
        let mut name: &[u8] = &self.name;
        if name.len() > NAME_BYTES {
            match self.long_name {
                LongName::Gnu => {
                    let mut contents = name.to_vec();
                    contents.push(0);
                    Entry::of_type(b'L', "././@LongLink", contents)
                        .magic(*b"ustar  \0")
                        .write(archive);
                }
                LongName::Prefix => match split_prefix(name) {
                    Some(halves) => (prefix, name) = halves,
                    None => pax.extend(pax_record(b"path", name)),
                },
                LongName::Pax => pax.extend(pax_record(b"path", name)),
                LongName::Cut => {}
            }
        }
        pax.extend_from_slice(&self.pax);
        if !pax.is_empty() {
            Entry::of_type(b'x', "PaxHeader/entry", pax).write(archive);
        }
        archive.extend_from_slice(&self.header(prefix, name));
        archive.extend_from_slice(&self.contents);
        pad(archive);
    }

    fn header(&self, prefix: &[u8], name: &[u8]) -> [u8; BLOCK] {
        let mut header = [0_u8; BLOCK];
        put(&mut header[0..NAME_BYTES], name);
        put(
            &mut header[100..108],
            format!("{:07o}\0", self.mode & 0o7_777_777).as_bytes(),
        );
        put(&mut header[108..116], b"0000000\0");
        put(&mut header[116..124], b"0000000\0");
        let size = self.claimed_size.unwrap_or(self.contents.len() as u64);
        put(
            &mut header[124..136],
            &self.raw_size_field.unwrap_or_else(|| number(size)),
        );
        put(
            &mut header[136..148],
            &number(self.modification_time_seconds),
        );
        header[156] = self.type_flag;
        put(&mut header[157..257], &self.link_name);
        put(&mut header[257..265], &self.magic);
        put(&mut header[329..337], b"0000000\0");
        put(&mut header[337..345], b"0000000\0");
        put(&mut header[345..500], prefix);
        header[148..156].fill(b' ');
        let mut sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        if self.checksum == Checksum::Wrong {
            sum += 1;
        }
        put(&mut header[148..156], format!("{sum:06o}\0 ").as_bytes());
        header
    }
}

/// A well-formed PAX record: `LENGTH KEY=VALUE\n`, its length counting itself.
pub fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} ").into_bytes();
    record.extend_from_slice(key);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Octal where it fits, else the GNU form: a high bit and the number in base 256.
fn number(value: u64) -> [u8; 12] {
    let mut field = [0_u8; 12];
    if value < 1 << 33 {
        put(&mut field, format!("{value:011o}\0").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..12].copy_from_slice(&value.to_be_bytes());
    }
    field
}

fn split_prefix(name: &[u8]) -> Option<(&[u8], &[u8])> {
    (0..name.len())
        .filter(|at| name[*at] == b'/')
        .map(|at| (&name[..at], &name[at + 1..]))
        .find(|(prefix, rest)| prefix.len() <= 155 && rest.len() <= NAME_BYTES)
}

fn pad(archive: &mut Vec<u8>) {
    let length = archive.len().next_multiple_of(BLOCK);
    archive.resize(length, 0);
}

/// The end of the uncompressed archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    TwoZeroBlocks,
    None,
}

/// Writes an archive entry by entry, and then the gzip container around it.
#[derive(Clone, Debug)]
pub struct TarballBuilder {
    archive: Vec<u8>,
    end: End,
    archive_trailer: Vec<u8>,
    cut_archive_bytes: usize,
    members: usize,
    wrong_crc: bool,
    wrong_length: bool,
    cut_gzip_bytes: usize,
    gzip_trailer: Vec<u8>,
    level: u32,
}

impl Default for TarballBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TarballBuilder {
    /// An empty archive.
    pub fn new() -> Self {
        Self {
            archive: Vec::new(),
            end: End::TwoZeroBlocks,
            archive_trailer: Vec::new(),
            cut_archive_bytes: 0,
            members: 1,
            wrong_crc: false,
            wrong_length: false,
            cut_gzip_bytes: 0,
            gzip_trailer: Vec::new(),
            level: 6,
        }
    }

    /// An archive with a small valid `package.json` in it, to which the wrong entry is added.
    pub fn with_manifest(name: &str, version: &str) -> Self {
        let manifest = format!("{{\"name\":\"{name}\",\"version\":\"{version}\"}}");
        Self::new().file("package/package.json", manifest)
    }

    /// Adds an entry.
    pub fn entry(mut self, entry: Entry) -> Self {
        entry.write(&mut self.archive);
        self
    }

    /// Adds a regular file, mode 0644. The name is written as it is: include `package/`.
    pub fn file(self, name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::file(name, contents))
    }

    /// Adds a PAX global header of these bytes, well-formed or not.
    pub fn global_pax(self, records: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::of_type(b'g', "pax_global_header", records))
    }

    /// Adds bytes to the archive as they are, for instance half a header.
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.archive.extend_from_slice(bytes.as_ref());
        self
    }

    /// Leaves out the two zero blocks at the end.
    pub fn without_end_blocks(mut self) -> Self {
        self.end = End::None;
        self
    }

    /// Puts bytes behind the archive's end, inside the gzip stream.
    pub fn after_end(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.archive_trailer.extend_from_slice(bytes.as_ref());
        self
    }

    /// Cuts this many bytes from the end of the archive, before it is compressed.
    pub fn cut_archive(mut self, bytes: usize) -> Self {
        self.cut_archive_bytes = bytes;
        self
    }

    /// Writes the archive as this many concatenated gzip members.
    pub fn members(mut self, members: usize) -> Self {
        self.members = members.max(1);
        self
    }

    /// Makes the last member's CRC-32 wrong.
    pub fn wrong_gzip_crc(mut self) -> Self {
        self.wrong_crc = true;
        self
    }

    /// Makes the last member's length field (ISIZE) wrong.
    pub fn wrong_gzip_length(mut self) -> Self {
        self.wrong_length = true;
        self
    }

    /// Cuts this many bytes from the end of the compressed bytes.
    pub fn cut_gzip(mut self, bytes: usize) -> Self {
        self.cut_gzip_bytes = bytes;
        self
    }

    /// Puts bytes behind the last gzip member.
    pub fn after_gzip(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.gzip_trailer.extend_from_slice(bytes.as_ref());
        self
    }

    /// Sets the compression level, 0 to 9; the default is 6.
    pub fn level(mut self, level: u32) -> Self {
        self.level = level.min(9);
        self
    }

    /// The uncompressed archive.
    pub fn finish_archive(&self) -> Vec<u8> {
        let mut archive = self.archive.clone();
        if self.end == End::TwoZeroBlocks {
            archive.resize(archive.len() + 2 * BLOCK, 0);
        }
        archive.extend_from_slice(&self.archive_trailer);
        archive.truncate(archive.len().saturating_sub(self.cut_archive_bytes));
        archive
    }

    /// The `.tgz`.
    pub fn finish(&self) -> Vec<u8> {
        let archive = self.finish_archive();
        let part = archive.len().div_ceil(self.members).max(1);
        let mut compressed = Vec::new();
        if archive.is_empty() {
            compressed = gzip(b"", self.level);
        }
        for piece in archive.chunks(part) {
            compressed.extend(gzip(piece, self.level));
        }
        let length = compressed.len();
        if self.wrong_crc {
            compressed[length - 8] ^= 0xff;
        }
        if self.wrong_length {
            compressed[length - 4] ^= 0xff;
        }
        compressed.truncate(length.saturating_sub(self.cut_gzip_bytes));
        compressed.extend_from_slice(&self.gzip_trailer);
        compressed
    }
}

/// Compresses bytes into one gzip member without a name or time in it.
pub fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::new(level));
    encoder
        .write_all(bytes)
        .expect("invariant: writing to a vector cannot fail");
    encoder
        .finish()
        .expect("invariant: writing to a vector cannot fail")
}

/// A small `.tgz` with one file of `unpacked_bytes` zeros: about a thousandth of that in size.
/// It is compressed as it is made, so it costs time but no memory.
pub fn bomb_of_zeros(name: &str, version: &str, unpacked_bytes: u64) -> Vec<u8> {
    let head = TarballBuilder::with_manifest(name, version)
        .without_end_blocks()
        .entry(Entry::file("package/zeros", b"").claimed_size(unpacked_bytes))
        .finish_archive();
    let mut encoder: GzEncoder<Vec<u8>> = GzBuilder::new().write(Vec::new(), Compression::new(6));
    let zeros = vec![0_u8; 1 << 20];
    encoder
        .write_all(&head)
        .expect("invariant: writing to a vector cannot fail");
    let mut left = unpacked_bytes.next_multiple_of(BLOCK as u64) + 2 * BLOCK as u64;
    while left > 0 {
        let now = left.min(zeros.len() as u64) as usize;
        encoder
            .write_all(&zeros[..now])
            .expect("invariant: writing to a vector cannot fail");
        left -= now as u64;
    }
    encoder
        .finish()
        .expect("invariant: writing to a vector cannot fail")
}

/// A `.tgz` with `entries` empty files.
pub fn bomb_of_entries(name: &str, version: &str, entries: usize) -> Vec<u8> {
    let mut builder = TarballBuilder::with_manifest(name, version).level(1);
    for index in 0..entries {
        builder = builder.file(format!("package/{index}"), b"");
    }
    builder.finish()
}

/// A `.tgz` with one file below `levels` directories.
pub fn deep_tree(name: &str, version: &str, levels: usize) -> Vec<u8> {
    let path = format!("package/{}leaf", "d/".repeat(levels));
    TarballBuilder::with_manifest(name, version)
        .file(path, b"deep")
        .finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn unpack(tgz: &[u8]) -> Vec<(String, Vec<u8>, u32)> {
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(tgz));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            found.push((path, bytes, entry.header().mode().unwrap()));
        }
        found
    }

    #[test]
    fn another_reader_reads_what_was_written() {
        let long = format!("package/{}/{}", "a".repeat(120), "b".repeat(90));
        let longest = format!("package/{}", "c".repeat(200));
        for how in [LongName::Prefix, LongName::Pax, LongName::Gnu] {
            let tgz = TarballBuilder::with_manifest("x", "1.0.0")
                .entry(Entry::file(&long, "one").mode(0o755).long_name(how))
                .entry(Entry::file(&longest, "two").long_name(how))
                .members(3)
                .finish();
            let found = unpack(&tgz);
            assert_eq!(found.len(), 3, "{how:?}");
            assert_eq!(found[1], (long.clone(), b"one".to_vec(), 0o755), "{how:?}");
            assert_eq!(
                found[2],
                (longest.clone(), b"two".to_vec(), 0o644),
                "{how:?}"
            );
        }
    }

    #[test]
    fn the_same_calls_give_the_same_bytes() {
        let make = || {
            TarballBuilder::with_manifest("x", "1.0.0")
                .file("package/a", "a")
                .finish()
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn a_pax_record_counts_itself() {
        assert_eq!(pax_record(b"path", b"x"), b"9 path=x\n");
        for length in 80..120 {
            let record = pax_record(b"path", &vec![b'x'; length]);
            let text = String::from_utf8(record.clone()).unwrap();
            let claimed: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(claimed, record.len());
        }
    }

    #[test]
    fn damage_is_seen_by_another_reader() {
        let good = || TarballBuilder::with_manifest("x", "1.0.0").file("package/a", [7; 4000]);
        let damaged = [
            ("crc", good().wrong_gzip_crc().finish()),
            ("length", good().wrong_gzip_length().finish()),
            ("cut gzip", good().cut_gzip(20).finish()),
            (
                "cut archive",
                good().without_end_blocks().cut_archive(600).finish(),
            ),
            ("garbage", good().after_gzip("garbage").finish()),
            (
                "checksum",
                good()
                    .entry(Entry::file("package/b", "").wrong_checksum())
                    .finish(),
            ),
        ];
        for (what, tgz) in damaged {
            let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(&tgz[..]));
            let read = archive.entries().and_then(|entries| {
                for entry in entries {
                    std::io::copy(&mut entry?, &mut std::io::sink())?;
                }
                Ok(())
            });
            let mut archive = archive.into_inner();
            let rest = read.and_then(|()| std::io::copy(&mut archive, &mut std::io::sink()));
            assert!(rest.is_err(), "{what}");
        }
    }

    #[test]
    fn sizes_beyond_octal_are_written_in_base_256() {
        let archive = TarballBuilder::new()
            .entry(Entry::file("package/a", "").claimed_size(10 << 30))
            .finish_archive();
        let header = tar::Header::from_byte_slice(&archive[..BLOCK]);
        assert_eq!(header.entry_size().unwrap(), 10 << 30);
    }

    #[test]
    fn a_bomb_is_small_and_claims_its_size() {
        let bomb = bomb_of_zeros("x", "1.0.0", 64 << 20);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bomb[..]));
        let sizes: Vec<u64> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().size())
            .collect();
        assert_eq!(sizes[1], 64 << 20);
    }
}
