//! Builds the image of a [`Layout`]: a function of the layout alone.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::image::{
    FLAG_EXECUTABLE, HEADER_BYTES, Image, ImageError, KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK,
    MAGIC, NODE_BYTES, NONE, VERSION, is_target,
};
use super::node::INDEX_LIMIT;
use crate::install::layout::{Backing, DirectoryIndex, Layout, LayoutEntry};
use crate::store::PackId;

/// Builds the image of `layout`. Slots are the places in the tables.
///
/// # Errors
/// When the layout is not a tree (a directory with two parents, an index out of range) or too
/// large for 32-bit tables.
pub fn build(layout: &Layout) -> Result<Image, ImageError> {
    if layout.instances.len() >= INDEX_LIMIT as usize {
        return Err(ImageError::Layout("it has too many packages"));
    }
    let mut builder = Builder::new(layout);
    builder.add_roots()?;
    let mut next = 0;
    while next < builder.order.len() {
        builder.add_children(next)?;
        next += 1;
    }
    builder.finish()
}

/// A node whose row is not complete before its children are placed.
struct Pending<'layout> {
    directory: Option<DirectoryIndex>,
    entry: Option<&'layout LayoutEntry>,
    name: (u32, u16),
    parent: u32,
}

struct Builder<'layout> {
    layout: &'layout Layout,
    /// Every node so far, in the order of its number.
    order: Vec<Pending<'layout>>,
    placed: Vec<bool>,
    nodes: Vec<u8>,
    backings: Vec<u8>,
    backing_count: u32,
    strings: Vec<u8>,
    contents: Vec<u8>,
}

impl<'layout> Builder<'layout> {
    fn new(layout: &'layout Layout) -> Self {
        let entries: usize = layout
            .directories
            .iter()
            .map(|directory| directory.entries.len())
            .sum();
        Self {
            layout,
            order: Vec::with_capacity(entries + layout.trees.len()),
            placed: vec![false; layout.directories.len()],
            nodes: Vec::with_capacity((entries + layout.trees.len()) * NODE_BYTES),
            backings: Vec::new(),
            backing_count: 0,
            strings: Vec::with_capacity(entries * 48),
            contents: Vec::new(),
        }
    }

    fn add_roots(&mut self) -> Result<(), ImageError> {
        if self.layout.trees.is_empty() {
            return Err(ImageError::Layout("it has no tree"));
        }
        for (index, tree) in self.layout.trees.iter().enumerate() {
            self.place(tree.root)?;
            self.order.push(Pending {
                directory: Some(tree.root),
                entry: None,
                name: (0, 0),
                parent: number(index)?,
            });
        }
        Ok(())
    }

    fn place(&mut self, directory: DirectoryIndex) -> Result<(), ImageError> {
        let placed = self
            .placed
            .get_mut(directory.0 as usize)
            .ok_or(ImageError::Layout("a directory does not exist"))?;
        if std::mem::replace(placed, true) {
            return Err(ImageError::Layout("a directory has two parents"));
        }
        Ok(())
    }

    /// Writes the row of node `index` and lists its children after all nodes so far.
    fn add_children(&mut self, index: usize) -> Result<(), ImageError> {
        let Pending {
            directory,
            entry,
            name,
            parent,
        } = self.order[index];
        let (kind, flags, a, b, c) = match (directory, entry) {
            (Some(directory), _) => {
                let layout = self.layout;
                let directory = &layout.directories[directory.0 as usize];
                let first = number(self.order.len())?;
                for (name, entry) in &directory.entries {
                    let child = match entry {
                        LayoutEntry::Directory(child) => {
                            self.place(*child)?;
                            Some(*child)
                        }
                        LayoutEntry::Symlink(_) | LayoutEntry::File { .. } => None,
                    };
                    let (offset, length) = self.string(name.as_str())?;
                    let length = u16::try_from(length)
                        .map_err(|_| ImageError::Layout("a name is too long"))?;
                    self.order.push(Pending {
                        directory: child,
                        entry: Some(entry),
                        name: (offset, length),
                        parent: number(index)?,
                    });
                }
                let count = number(directory.entries.len())?;
                let backing = self.backing(directory.backing.as_ref())?;
                (KIND_DIRECTORY, 0, first, count, backing)
            }
            (None, Some(LayoutEntry::Symlink(target))) => {
                if !is_target(target.as_bytes()) {
                    return Err(ImageError::Layout("a symlink has no usable target"));
                }
                let (offset, length) = self.string(target)?;
                (KIND_SYMLINK, 0, offset, length, NONE)
            }
            (
                None,
                Some(LayoutEntry::File {
                    content,
                    executable,
                }),
            ) => {
                let offset = number(self.contents.len())?;
                self.contents.extend_from_slice(content);
                let flags = if *executable { FLAG_EXECUTABLE } else { 0 };
                (KIND_FILE, flags, offset, number(content.len())?, NONE)
            }
            (None, Some(LayoutEntry::Directory(_)) | None) => {
                return Err(ImageError::Layout("an entry is nothing"));
            }
        };
        self.nodes.extend_from_slice(&name.0.to_le_bytes());
        self.nodes.extend_from_slice(&name.1.to_le_bytes());
        self.nodes.extend_from_slice(&[kind, flags]);
        put(&mut self.nodes, &[a, b, c, parent, number(index)?]);
        Ok(())
    }

    fn backing(&mut self, backing: Option<&Backing>) -> Result<u32, ImageError> {
        let Some(backing) = backing else {
            return Ok(NONE);
        };
        let instance = backing.instance.0;
        if instance as usize >= self.layout.instances.len() {
            return Err(ImageError::Layout("an instance does not exist"));
        }
        let (offset, length) = match &backing.directory {
            Some(path) => self.string(path.as_str())?,
            None => (0, 0),
        };
        put(&mut self.backings, &[instance, offset, length]);
        let index = self.backing_count;
        self.backing_count += 1;
        Ok(index)
    }

    fn string(&mut self, text: &str) -> Result<(u32, u32), ImageError> {
        let offset = number(self.strings.len())?;
        self.strings.extend_from_slice(text.as_bytes());
        Ok((offset, number(text.len())?))
    }

    fn finish(mut self) -> Result<Image, ImageError> {
        let layout = self.layout;
        let mut pack_places: HashMap<PackId, u32> = HashMap::new();
        let mut packs = Vec::new();
        let mut instances = Vec::new();
        for (slot, instance) in (0..).zip(&layout.instances) {
            let fresh = number(pack_places.len())?;
            let pack = *pack_places.entry(instance.pack).or_insert_with(|| {
                packs.extend_from_slice(&instance.pack.0);
                put(&mut packs, &[fresh]);
                fresh
            });
            let (dep_path, dep_path_length) = self.string(&instance.dep_path)?;
            let (key, key_length) = self.string(instance.key.as_str())?;
            put(
                &mut instances,
                &[slot, pack, dep_path, dep_path_length, key, key_length],
            );
        }
        let mut bytes = Vec::with_capacity(
            HEADER_BYTES
                + self.nodes.len()
                + self.backings.len()
                + instances.len()
                + packs.len()
                + self.strings.len()
                + self.contents.len()
                + 32,
        );
        bytes.extend_from_slice(&MAGIC);
        put(
            &mut bytes,
            &[
                VERSION,
                number(layout.trees.len())?,
                number(self.order.len())?,
                self.backing_count,
                number(layout.instances.len())?,
                number(pack_places.len())?,
                number(self.strings.len())?,
                number(self.contents.len())?,
                number(layout.instances.len())?,
                number(pack_places.len())?,
                number(self.order.len())?,
            ],
        );
        bytes.resize(HEADER_BYTES, 0);
        for section in [
            &self.nodes,
            &self.backings,
            &instances,
            &packs,
            &self.strings,
            &self.contents,
        ] {
            bytes.extend_from_slice(section);
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Image::open_built(bytes)
    }
}

fn number(count: usize) -> Result<u32, ImageError> {
    u32::try_from(count)
        .ok()
        .filter(|count| *count < NONE)
        .ok_or(ImageError::Layout("it is too large"))
}

fn put(bytes: &mut Vec<u8>, fields: &[u32]) {
    for field in fields {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
}
