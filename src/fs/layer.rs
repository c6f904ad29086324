//! Builds the image of a [`Layout`].
//!
//! Slots are what node ids are made of, so an instance that was there before keeps its slot, and a
//! slot that was given up is not given to another package before the numbers run out.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::image::{
    FLAG_EXECUTABLE, HEADER_BYTES, Image, ImageError, KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK,
    MAGIC, NODE_BYTES, NONE, VERSION, is_target,
};
use super::node::INDEX_LIMIT;
use crate::install::layout::{Backing, DirectoryIndex, Instance, Layout, LayoutEntry};
use crate::store::PackId;

/// Slots begin anew when a project has used up this many.
const SLOT_RENEWAL: u32 = INDEX_LIMIT / 2;

/// Builds the image of `layout`. Instances and packs that are in `previous` too keep their slots.
///
/// # Errors
/// When the layout is not a tree (a directory with two parents, an index out of range) or too
/// large for 32-bit tables.
pub fn build(layout: &Layout, previous: Option<&Image>) -> Result<Image, ImageError> {
    let slots = Slots::assign(layout, previous)?;
    let mut builder = Builder::new(layout, &slots);
    builder.add_roots()?;
    let mut next = 0;
    while next < builder.order.len() {
        builder.add_children(next)?;
        next += 1;
    }
    builder.finish()
}

/// What makes two instances the same: depPath, key, pack.
type Identity<'a> = (&'a [u8], &'a [u8], PackId);

/// Which number each instance and each pack has.
struct Slots {
    /// Slot of each instance of the layout.
    instances: Vec<u32>,
    /// Distinct packs in the order of their slots.
    packs: Vec<(PackId, u32)>,
    next_instance: u32,
    next_pack: u32,
}

impl Slots {
    fn assign(layout: &Layout, previous: Option<&Image>) -> Result<Self, ImageError> {
        let previous = previous.filter(|image| {
            image.next_instance_slot() < SLOT_RENEWAL && image.next_pack_slot() < SLOT_RENEWAL
        });
        let mut known_instances: HashMap<Identity<'_>, Vec<u32>> = HashMap::new();
        let mut known_packs = HashMap::new();
        let (mut next_instance, mut next_pack) = (0, 0);
        if let Some(image) = previous {
            (next_instance, next_pack) = (image.next_instance_slot(), image.next_pack_slot());
            known_packs.extend((0..image.pack_count()).filter_map(|index| image.pack(index)));
            for index in (0..image.instance_count()).rev() {
                if let Some(instance) = image.instance(index) {
                    let identity = (instance.dep_path, instance.key, instance.pack);
                    known_instances
                        .entry(identity)
                        .or_default()
                        .push(instance.slot);
                }
            }
        }
        let mut packs: HashMap<PackId, u32> = HashMap::with_capacity(layout.instances.len());
        let mut instances = Vec::with_capacity(layout.instances.len());
        for instance in &layout.instances {
            packs.entry(instance.pack).or_insert_with(|| {
                known_packs
                    .remove(&instance.pack)
                    .unwrap_or_else(|| take(&mut next_pack))
            });
            let known = known_instances
                .get_mut(&identity(instance))
                .and_then(Vec::pop);
            instances.push(known.unwrap_or_else(|| take(&mut next_instance)));
        }
        if next_instance >= INDEX_LIMIT || next_pack >= INDEX_LIMIT {
            return Err(ImageError::Layout("it has too many packages"));
        }
        let mut packs: Vec<_> = packs.into_iter().collect();
        packs.sort_unstable_by_key(|(_, slot)| *slot);
        Ok(Self {
            instances,
            packs,
            next_instance,
            next_pack,
        })
    }
}

fn identity(instance: &Instance) -> Identity<'_> {
    (
        instance.dep_path.as_bytes(),
        instance.key.as_str().as_bytes(),
        instance.pack,
    )
}

fn take(next: &mut u32) -> u32 {
    let slot = *next;
    *next = next.saturating_add(1);
    slot
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
    slots: &'layout Slots,
    /// Every node so far, in the order of its number.
    order: Vec<Pending<'layout>>,
    placed: Vec<bool>,
    nodes: Vec<u8>,
    backings: Vec<u8>,
    backing_count: u32,
    /// For each instance of the layout, its place in the image.
    instance_places: Vec<u32>,
    strings: Vec<u8>,
    contents: Vec<u8>,
}

impl<'layout> Builder<'layout> {
    fn new(layout: &'layout Layout, slots: &'layout Slots) -> Self {
        let entries: usize = layout
            .directories
            .iter()
            .map(|directory| directory.entries.len())
            .sum();
        Self {
            layout,
            slots,
            order: Vec::with_capacity(entries + layout.trees.len()),
            placed: vec![false; layout.directories.len()],
            nodes: Vec::with_capacity((entries + layout.trees.len()) * NODE_BYTES),
            backings: Vec::new(),
            backing_count: 0,
            instance_places: Vec::new(),
            strings: Vec::with_capacity(entries * 48),
            contents: Vec::new(),
        }
    }

    fn add_roots(&mut self) -> Result<(), ImageError> {
        if self.layout.trees.is_empty() {
            return Err(ImageError::Layout("it has no tree"));
        }
        let mut by_slot: Vec<u32> = (0..number(self.layout.instances.len())?).collect();
        by_slot.sort_unstable_by_key(|index| self.slots.instances[*index as usize]);
        self.instance_places = vec![0; by_slot.len()];
        for (place, index) in by_slot.iter().enumerate() {
            self.instance_places[*index as usize] = number(place)?;
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
        put(&mut self.nodes, &[a, b, c, parent]);
        Ok(())
    }

    fn backing(&mut self, backing: Option<&Backing>) -> Result<u32, ImageError> {
        let Some(backing) = backing else {
            return Ok(NONE);
        };
        let instance = *self
            .instance_places
            .get(backing.instance.0 as usize)
            .ok_or(ImageError::Layout("an instance does not exist"))?;
        let (offset, length) = match &backing.directory {
            Some(path) => self.string(path.as_str())?,
            None => (0, 0),
        };
        put(&mut self.backings, &[instance, offset, length]);
        Ok(take(&mut self.backing_count))
    }

    fn string(&mut self, text: &str) -> Result<(u32, u32), ImageError> {
        let offset = number(self.strings.len())?;
        self.strings.extend_from_slice(text.as_bytes());
        Ok((offset, number(text.len())?))
    }

    fn finish(mut self) -> Result<Image, ImageError> {
        let pack_places: HashMap<PackId, u32> = (0..)
            .zip(&self.slots.packs)
            .map(|(place, (id, _))| (*id, place))
            .collect();
        let layout = self.layout;
        let mut by_place: Vec<(u32, &Instance, u32)> = (0..)
            .zip(&layout.instances)
            .map(|(index, instance)| {
                let slot = self.slots.instances[index];
                (self.instance_places[index], instance, slot)
            })
            .collect();
        by_place.sort_unstable_by_key(|(place, ..)| *place);
        let mut instances = Vec::new();
        for (_, instance, slot) in by_place {
            let (dep_path, dep_path_length) = self.string(&instance.dep_path)?;
            let (key, key_length) = self.string(instance.key.as_str())?;
            let pack = pack_places.get(&instance.pack).copied().unwrap_or(NONE);
            put(
                &mut instances,
                &[slot, pack, dep_path, dep_path_length, key, key_length],
            );
        }
        let mut packs = Vec::new();
        for (id, slot) in &self.slots.packs {
            packs.extend_from_slice(&id.0);
            put(&mut packs, &[*slot]);
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
                number(self.slots.packs.len())?,
                number(self.strings.len())?,
                number(self.contents.len())?,
                self.slots.next_instance,
                self.slots.next_pack,
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
