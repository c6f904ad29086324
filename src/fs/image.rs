//! The saved project layer: one file that says what is where in `node_modules`.
//!
//! All numbers are little-endian. Sections follow each other without gaps.
//!
//! ```text
//! header     64   magic "pacqlayr", version u32, then as u32: trees, nodes, backings, instances,
//!                 packs, string bytes, content bytes, next instance slot, next pack slot,
//!                 next node slot, flags (1 = packages of earlier layers are out of reach);
//!                 8 bytes of zero
//! nodes      28   name offset u32, name length u16, kind u8, flags u8, a u32, b u32, c u32,
//!                 parent u32, slot u32
//!                   directory 1   a = first child, b = number of children, c = backing or none
//!                   symlink   2   a, b = target in the strings, c = none
//!                   file      3   a, b = bytes in the contents, c = none, flags 1 = executable
//! backings   12   instance u32, path offset u32, path length u32 (0: the package's root)
//! instances  24   slot u32, pack u32, depPath offset and length u32, key offset and length u32
//! packs      36   id [32], slot u32
//! strings         names, targets, paths, depPaths, keys
//! contents        bytes of generated files
//! digest     32   SHA-256 of everything before it
//! ```
//!
//! Nodes are in breadth-first order: first the roots of the trees, then the children of node 0
//! sorted by name, then those of node 1, and so on. So a directory's children are a slice, every
//! node but a root has exactly one parent, which comes before it, and one pass proves all of that.
//!
//! Slots are what node ids are made of. In an image that was built alone they are the places in the
//! tables; in one that takes the place of another under a live mount, what is unchanged has the
//! slots that it had there, and what is new has numbers that nothing has had.
//!
//! **Architecture Invariant:** [`Image::open`] checks everything; no accessor of an open image can
//! be out of bounds. Nothing here panics on any bytes.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::node::INDEX_LIMIT;
use crate::diagnostic::Diagnostic;
use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use crate::store::PackId;

pub(super) const MAGIC: [u8; 8] = *b"pacqlayr";
pub(super) const VERSION: u32 = 2;
pub(super) const HEADER_BYTES: usize = 64;

/// Where the flags are in the header.
pub(super) const FLAGS_AT: usize = 52;

/// Packages of earlier layers are out of reach.
pub(super) const FLAG_CLEARS: u32 = 1;
pub(super) const NODE_BYTES: usize = 28;
/// Where its slot is in a node.
pub(super) const NODE_SLOT_AT: usize = 24;
pub(super) const BACKING_BYTES: usize = 12;
pub(super) const INSTANCE_BYTES: usize = 24;
pub(super) const PACK_BYTES: usize = 36;
/// Where its slot is in a pack.
pub(super) const PACK_SLOT_AT: usize = 32;
pub(super) const DIGEST_BYTES: usize = 32;
pub(super) const KIND_DIRECTORY: u8 = 1;
pub(super) const KIND_SYMLINK: u8 = 2;
pub(super) const KIND_FILE: u8 = 3;
pub(super) const FLAG_EXECUTABLE: u8 = 1;
pub(super) const NONE: u32 = u32::MAX;

/// Largest image that is read: a project of 200,000 instances needs about a tenth of it.
const IMAGE_BYTES_MAX: u64 = 1 << 30;

/// Why an image could not be built, read or saved.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The bytes are not an image that this program wrote.
    #[error("the saved project layer is damaged: {0}")]
    Damaged(&'static str),
    /// The image was written by another version.
    #[error("the saved project layer has version {0}, which this program does not know")]
    Version(u32),
    /// The layout cannot be saved.
    #[error("the layout cannot be saved as a project layer: {0}")]
    Layout(&'static str),
    /// The file could not be read or written.
    #[error("cannot access the saved project layer at {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Diagnostic for ImageError {
    fn code(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "ERR_PACQUET_LAYER_DAMAGED",
            Self::Version(_) => "ERR_PACQUET_LAYER_VERSION",
            Self::Layout(_) => "ERR_PACQUET_LAYER_LAYOUT",
            Self::Io { .. } => "ERR_PACQUET_LAYER_IO",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged(_) | Self::Version(_) => {
                Some("Run \"pacquet install --virtual\" again, which builds it anew".to_owned())
            }
            Self::Io { path, source } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(format!(
                    "Free space on the file system of {}, or set cacheDir to another place",
                    path.display()
                )),
                _ => None,
            },
            Self::Layout(_) => None,
        }
    }
}

/// What a node of the layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerNode<'image> {
    /// A directory.
    Directory {
        /// Its first child.
        first: u32,
        /// How many children it has.
        count: u32,
        /// What shows through it.
        backing: Option<BackingRef<'image>>,
    },
    /// A symlink with its target.
    Symlink(&'image [u8]),
    /// A generated file.
    File {
        /// Its bytes.
        content: &'image [u8],
        /// Whether it can be executed.
        executable: bool,
    },
}

/// A directory of an instance's pack that shows through a directory of the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackingRef<'image> {
    /// The instance.
    pub instance: InstanceRef<'image>,
    /// The directory within the package; empty for its root.
    pub path: &'image [u8],
}

/// For each table, the first slot that nothing has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) instance: u32,
    pub(super) pack: u32,
    pub(super) node: u32,
}

/// Offsets of tables in the bytes of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    pub(super) instances: usize,
    pub(super) packs: usize,
}

/// A package instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceRef<'image> {
    /// The number that stands for it in node ids.
    pub slot: u32,
    /// The number that stands for its pack in node ids.
    pub pack_slot: u32,
    /// Its pack.
    pub pack: PackId,
    /// Its depPath.
    pub dep_path: &'image [u8],
    /// Its key in the store.
    pub key: &'image [u8],
}

#[derive(Debug, Clone, Copy)]
struct Row {
    name_offset: u32,
    name_length: u16,
    kind: u8,
    flags: u8,
    a: u32,
    b: u32,
    c: u32,
    parent: u32,
}

/// Where each slot is in its table.
#[derive(Debug, Clone)]
enum Places {
    /// Each where its number says.
    Same(u32),
    /// Slots in ascending order, with their places.
    Sorted(Box<[(u32, u32)]>),
}

impl Places {
    /// Of the slots in the order of their places; `None` where two are the same.
    fn new(slots: impl Iterator<Item = u32> + Clone) -> Option<Self> {
        if (0..).zip(slots.clone()).all(|(place, slot)| place == slot) {
            return Some(Self::Same(u32::try_from(slots.count()).ok()?));
        }
        let mut sorted: Vec<(u32, u32)> = slots.zip(0..).collect();
        sorted.sort_unstable();
        let distinct = sorted.windows(2).all(|pair| pair[0].0 != pair[1].0);
        distinct.then(|| Self::Sorted(sorted.into()))
    }

    fn get(&self, slot: u32) -> Option<u32> {
        match self {
            Self::Same(count) => (slot < *count).then_some(slot),
            Self::Sorted(sorted) => {
                let found = sorted.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
                Some(sorted.get(found)?.1)
            }
        }
    }
}

/// An open image.
#[derive(Debug, Clone)]
pub struct Image {
    bytes: Box<[u8]>,
    trees: u32,
    nodes: u32,
    backings: u32,
    instances: u32,
    packs: u32,
    next_instance_slot: u32,
    next_pack_slot: u32,
    next_node_slot: u32,
    clears: bool,
    node_places: Places,
    instance_places: Places,
    pack_places: Places,
    backings_at: usize,
    instances_at: usize,
    packs_at: usize,
    strings_at: usize,
    contents_at: usize,
    digest_at: usize,
}

impl Image {
    /// Checks `bytes` and opens them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn open(bytes: Vec<u8>) -> Result<Self, ImageError> {
        let image = Self::frame(bytes)?;
        let digest = Sha256::digest(&image.bytes[..image.digest_at]);
        if digest[..] != image.bytes[image.digest_at..] {
            return Err(ImageError::Damaged("its digest is wrong"));
        }
        image.check_instances()?;
        image.check_nodes()?;
        Ok(image)
    }

    /// Opens bytes that the builder has just made, whose digest needs no second look.
    pub(super) fn open_built(bytes: Vec<u8>) -> Result<Self, ImageError> {
        Self::frame(bytes)
    }

    /// Reads and checks the image at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn load(path: &Path) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Io {
            path: path.to_owned(),
            source,
        };
        Self::read(&File::open(path).map_err(failed)?, path)
    }

    /// Reads and checks the image in `file`, which has or had this path, whatever has been read
    /// of it before.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn read(file: &File, path: &Path) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Io {
            path: path.to_owned(),
            source,
        };
        let size = file.metadata().map_err(failed)?.len();
        if size > IMAGE_BYTES_MAX {
            return Err(ImageError::Damaged("it is too large"));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        Self::open(bytes)
    }

    /// The [`Image::digest_text`] of the image at `path`, from its end alone: enough to tell
    /// whether it is the one that is mounted, and nothing to serve from.
    pub fn saved_digest_text(path: &Path) -> Option<String> {
        Self::digest_text_of(&File::open(path).ok()?)
    }

    /// As [`Self::saved_digest_text`], of an open file.
    pub(super) fn digest_text_of(file: &File) -> Option<String> {
        let size = file.metadata().ok()?.len();
        let mut digest = [0; DIGEST_BYTES];
        let place = size.checked_sub(DIGEST_BYTES as u64)?;
        file.read_exact_at(&mut digest, place).ok()?;
        Some(PackId(digest).to_string())
    }

    /// Saves the image at `path`: written beside it, then renamed, so that a reader sees the old
    /// one or the new one. Not flushed to the device: a damaged image is rebuilt.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ImageError> {
        let failed = |source| ImageError::Io {
            path: path.to_owned(),
            source,
        };
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&self.bytes))
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written.map_err(failed)
    }

    /// The bytes as they are saved.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of everything in it; two images with the same digest serve the same tree.
    pub fn digest(&self) -> [u8; DIGEST_BYTES] {
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&self.bytes[self.digest_at..]);
        digest
    }

    /// [`Self::digest`] in hexadecimal.
    pub fn digest_text(&self) -> String {
        PackId(self.digest()).to_string()
    }

    /// Whether packages that earlier layers had, and this one has not, are out of reach: who asked
    /// for it took them away.
    pub(super) fn clears(&self) -> bool {
        self.clears
    }

    /// Every slot was given out before this one.
    pub(super) fn next_slots(&self) -> Slots {
        Slots {
            instance: self.next_instance_slot,
            pack: self.next_pack_slot,
            node: self.next_node_slot,
        }
    }

    /// Where the tables with slots, other than that of the nodes, begin.
    pub(super) fn tables(&self) -> Tables {
        Tables {
            instances: self.instances_at,
            packs: self.packs_at,
        }
    }

    /// Number of trees. The root of tree `n` is node `n`.
    pub fn tree_count(&self) -> u32 {
        self.trees
    }

    /// Number of nodes.
    pub fn node_count(&self) -> u32 {
        self.nodes
    }

    /// Number of instances.
    pub fn instance_count(&self) -> u32 {
        self.instances
    }

    /// Number of packs.
    pub fn pack_count(&self) -> u32 {
        self.packs
    }

    /// The slot of the node at this place.
    pub fn slot(&self, node: u32) -> Option<u32> {
        if node >= self.nodes {
            return None;
        }
        self.u32_at(HEADER_BYTES + node as usize * NODE_BYTES + NODE_SLOT_AT)
    }

    /// The place of the node with this slot.
    pub fn place(&self, slot: u32) -> Option<u32> {
        self.node_places.get(slot)
    }

    /// The node, where there is one of this number.
    pub fn node(&self, node: u32) -> Option<LayerNode<'_>> {
        let row = self.row(node)?;
        Some(match row.kind {
            KIND_DIRECTORY => LayerNode::Directory {
                first: row.a,
                count: row.b,
                backing: self.backing(row.c),
            },
            KIND_SYMLINK => LayerNode::Symlink(self.string(row.a, row.b)?),
            _ => LayerNode::File {
                content: self.content(row.a, row.b)?,
                executable: row.flags & FLAG_EXECUTABLE != 0,
            },
        })
    }

    /// The node's name; empty for a root.
    pub fn name(&self, node: u32) -> Option<&[u8]> {
        let row = self.row(node)?;
        self.string(row.name_offset, u32::from(row.name_length))
    }

    /// The node's parent; a root is its own.
    pub fn parent(&self, node: u32) -> Option<u32> {
        Some(self.row(node)?.parent)
    }

    /// The child of `directory` with this name. By binary search, without allocating.
    pub fn child(&self, directory: u32, name: &[u8]) -> Option<u32> {
        let row = self.row(directory)?;
        if row.kind != KIND_DIRECTORY {
            return None;
        }
        let (mut low, mut high) = (row.a, row.a.checked_add(row.b)?);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name(middle)?.cmp(name) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The instance with this slot.
    pub fn instance_by_slot(&self, slot: u32) -> Option<InstanceRef<'_>> {
        self.instance(self.instance_places.get(slot)?)
    }

    /// The instance at this place of the table.
    pub fn instance(&self, index: u32) -> Option<InstanceRef<'_>> {
        if index >= self.instances {
            return None;
        }
        let at = self.instances_at + index as usize * INSTANCE_BYTES;
        let (pack, pack_slot) = self.pack(self.u32_at(at + 4)?)?;
        Some(InstanceRef {
            slot: self.u32_at(at)?,
            pack_slot,
            pack,
            dep_path: self.string(self.u32_at(at + 8)?, self.u32_at(at + 12)?)?,
            key: self.string(self.u32_at(at + 16)?, self.u32_at(at + 20)?)?,
        })
    }

    /// The pack with this slot.
    pub fn pack_by_slot(&self, slot: u32) -> Option<PackId> {
        Some(self.pack(self.pack_places.get(slot)?)?.0)
    }

    /// The pack at this place of the table, with its slot.
    pub fn pack(&self, index: u32) -> Option<(PackId, u32)> {
        if index >= self.packs {
            return None;
        }
        let at = self.packs_at + index as usize * PACK_BYTES;
        let mut id = [0; 32];
        id.copy_from_slice(self.bytes.get(at..at + 32)?);
        Some((PackId(id), self.u32_at(at + 32)?))
    }

    fn backing(&self, index: u32) -> Option<BackingRef<'_>> {
        if index >= self.backings {
            return None;
        }
        let at = self.backings_at + index as usize * BACKING_BYTES;
        Some(BackingRef {
            instance: self.instance(self.u32_at(at)?)?,
            path: self.string(self.u32_at(at + 4)?, self.u32_at(at + 8)?)?,
        })
    }

    fn row(&self, node: u32) -> Option<Row> {
        if node >= self.nodes {
            return None;
        }
        let at = HEADER_BYTES + node as usize * NODE_BYTES;
        let row = self.bytes.get(at..at + NODE_BYTES)?;
        Some(Row {
            name_offset: u32_of(row, 0)?,
            name_length: u16::from_le_bytes([row[4], row[5]]),
            kind: row[6],
            flags: row[7],
            a: u32_of(row, 8)?,
            b: u32_of(row, 12)?,
            c: u32_of(row, 16)?,
            parent: u32_of(row, 20)?,
        })
    }

    fn string(&self, offset: u32, length: u32) -> Option<&[u8]> {
        self.bytes[self.strings_at..self.contents_at]
            .get(offset as usize..)?
            .get(..length as usize)
    }

    fn content(&self, offset: u32, length: u32) -> Option<&[u8]> {
        self.bytes[self.contents_at..self.digest_at]
            .get(offset as usize..)?
            .get(..length as usize)
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        u32_of(&self.bytes, at)
    }

    /// Reads the header and checks that the sections fill the bytes exactly.
    fn frame(bytes: Vec<u8>) -> Result<Self, ImageError> {
        let header = bytes
            .get(..HEADER_BYTES)
            .ok_or(ImageError::Damaged("it is too short"))?;
        if header[..8] != MAGIC {
            return Err(ImageError::Damaged("it does not begin as one"));
        }
        let mut fields = [0_u32; 12];
        for (index, field) in fields.iter_mut().enumerate() {
            *field = u32_of(header, 8 + index * 4).unwrap_or(0);
        }
        if fields[0] != VERSION {
            return Err(ImageError::Version(fields[0]));
        }
        let flags = fields[11];
        if flags & !FLAG_CLEARS != 0 || header[56..].iter().any(|byte| *byte != 0) {
            return Err(ImageError::Damaged("its header has unknown fields"));
        }
        let [
            _,
            trees,
            nodes,
            backings,
            instances,
            packs,
            strings,
            contents,
            ..,
        ] = fields;
        let ends = section_ends([nodes, backings, instances, packs, strings, contents])?;
        let end = ends[5];
        if end.checked_add(DIGEST_BYTES) != Some(bytes.len()) {
            return Err(ImageError::Damaged("its length does not match its header"));
        }
        let places = |at: usize, count: u32, width: usize| {
            let slot = |place: usize| u32_of(&bytes, at + place * width).unwrap_or(NONE);
            Places::new((0..count as usize).map(slot))
        };
        let twice = ImageError::Damaged("a slot is there twice");
        let [Some(node_places), Some(instance_places), Some(pack_places)] = [
            places(HEADER_BYTES + NODE_SLOT_AT, nodes, NODE_BYTES),
            places(ends[1], instances, INSTANCE_BYTES),
            places(ends[2] + PACK_SLOT_AT, packs, PACK_BYTES),
        ] else {
            return Err(twice);
        };
        Ok(Self {
            bytes: bytes.into_boxed_slice(),
            node_places,
            instance_places,
            pack_places,
            trees,
            nodes,
            backings,
            instances,
            packs,
            next_instance_slot: fields[8],
            next_pack_slot: fields[9],
            next_node_slot: fields[10],
            clears: flags & FLAG_CLEARS != 0,
            backings_at: ends[0],
            instances_at: ends[1],
            packs_at: ends[2],
            strings_at: ends[3],
            contents_at: ends[4],
            digest_at: end,
        })
    }

    fn check_instances(&self) -> Result<(), ImageError> {
        let damaged = ImageError::Damaged;
        for index in 0..self.packs {
            let (_, slot) = self.pack(index).ok_or(damaged("a pack is out of range"))?;
            if slot >= self.next_pack_slot.min(INDEX_LIMIT) {
                return Err(damaged("a pack's slot is out of range"));
            }
        }
        for index in 0..self.instances {
            let instance = self
                .instance(index)
                .ok_or(damaged("an instance is out of range"))?;
            if instance.slot >= self.next_instance_slot.min(INDEX_LIMIT) {
                return Err(damaged("an instance's slot is out of range"));
            }
        }
        for index in 0..self.backings {
            let backing = self
                .backing(index)
                .ok_or(damaged("a backing is out of range"))?;
            if backing.path.len() > PATH_BYTES_MAX {
                return Err(damaged("the path of a backing is too long"));
            }
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), ImageError> {
        let damaged = ImageError::Damaged;
        if self.trees == 0 || self.trees > self.nodes {
            return Err(damaged("it has no tree"));
        }
        let mut claimed = self.trees;
        for node in 0..self.nodes {
            let row = self.row(node).ok_or(damaged("a node is out of range"))?;
            if node >= claimed {
                return Err(damaged("a node has no parent"));
            }
            if self
                .slot(node)
                .is_none_or(|slot| slot >= self.next_node_slot)
            {
                return Err(damaged("a node's slot is out of range"));
            }
            if node < self.trees {
                let is_nameless = self.name(node).is_some_and(<[u8]>::is_empty);
                if row.kind != KIND_DIRECTORY || row.parent != node || !is_nameless {
                    return Err(damaged("a root is not a root"));
                }
            } else if !self.name(node).is_some_and(is_name) {
                return Err(damaged("a name is not a name"));
            }
            match row.kind {
                KIND_DIRECTORY => claimed = self.check_directory(node, &row, claimed)?,
                KIND_SYMLINK => {
                    let target = self.string(row.a, row.b);
                    if !target.is_some_and(is_target) || row.c != NONE {
                        return Err(damaged("a symlink has no target"));
                    }
                }
                KIND_FILE => {
                    if self.content(row.a, row.b).is_none() || row.c != NONE {
                        return Err(damaged("a file is out of range"));
                    }
                }
                _ => return Err(damaged("a node is of no known kind")),
            }
        }
        if claimed != self.nodes {
            return Err(damaged("a directory has too many children"));
        }
        Ok(())
    }

    fn check_directory(&self, node: u32, row: &Row, claimed: u32) -> Result<u32, ImageError> {
        let damaged = ImageError::Damaged;
        if row.c != NONE && row.c >= self.backings {
            return Err(damaged("a backing does not exist"));
        }
        let end = claimed.checked_add(row.b);
        let Some(end) = end.filter(|end| row.a == claimed && *end <= self.nodes) else {
            return Err(damaged("children are not where they belong"));
        };
        let mut before: &[u8] = b"";
        for child in claimed..end {
            let name = self.name(child).ok_or(damaged("a name is out of range"))?;
            if self.parent(child) != Some(node) || name <= before {
                return Err(damaged("children are out of order"));
            }
            before = name;
        }
        Ok(end)
    }
}

/// Where each section ends, from the number of its entries.
fn section_ends(counts: [u32; 6]) -> Result<[usize; 6], ImageError> {
    let widths = [NODE_BYTES, BACKING_BYTES, INSTANCE_BYTES, PACK_BYTES, 1, 1];
    let mut end = HEADER_BYTES;
    let mut ends = [0; 6];
    for (place, (count, width)) in ends.iter_mut().zip(counts.into_iter().zip(widths)) {
        end = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(width))
            .and_then(|length| end.checked_add(length))
            .ok_or(ImageError::Damaged("a count is out of range"))?;
        *place = end;
    }
    Ok(ends)
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| *byte == b'/' || *byte == 0)
}

pub(super) fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.len() <= PATH_BYTES_MAX && !target.contains(&0)
}

fn u32_of(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}
