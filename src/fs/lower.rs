//! The tree as it is installed: the project layer joined with the tables of packages.
//!
//! A directory of the layer that has a backing shows its own entries and, under them, those of the
//! package's directory.
//!
//! **Architecture Invariant:** every answer is a function of the image and the packs. Nothing here
//! ever changes, so any number of threads may ask.

mod lingering;

use std::collections::HashMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::attributes::{Attributes, Entry, Owner, Time};
use super::image::{BackingRef, Image, InstanceRef, LayerNode};
use super::node::{INDEX_LIMIT, Node};
use super::package::{Child, Package, PackageCache};
use super::vfs_error::VfsError;
use crate::limits::NAME_BYTES_MAX;

/// Cookies: 1 is after `.`, 2 after `..`; the entries follow.
pub(super) const DOTS: u64 = 2;

/// The directory that has a directory for each package, in the root of a tree.
const VIRTUAL_STORE: &[u8] = b".pnpm";

/// The directory of the virtual store that has what is hoisted.
const HOISTED: &[u8] = b"node_modules";

/// Entries from which on the time of a directory is kept: the kernel asks for it after every change
/// in the directory, and it takes a look at each entry.
const TIMES_KEPT_FROM: usize = 32;

/// How many layers that were mounted before are remembered.
pub(super) const RETIRED_MAX: usize = 6;

/// The tree as it is installed.
pub struct Lower {
    image: Arc<Image>,
    /// The layers that were mounted before, the latest first: what programs still have open may be
    /// of one of them.
    retired: Vec<Arc<Image>>,
    packages: Arc<PackageCache>,
    owner: Owner,
    /// Where directories of packages are shown by nodes of the layer.
    shown: OnceLock<HashMap<(u32, Box<[u8]>), u32>>,
    /// Times of large directories that were asked for, by slot.
    times: Mutex<HashMap<u32, Time>>,
}

/// A directory, found.
enum Directory<'image> {
    /// The layer's children, and the package's directory that shows through.
    Layer {
        image: &'image Image,
        node: u32,
        first: u32,
        count: u32,
        backing: Option<Backed>,
    },
    /// A directory of a package.
    Package(Backed),
}

/// A directory of a package instance, with the package opened.
struct Backed {
    package: Arc<dyn Package>,
    slot: u32,
    directory: u32,
    /// That of its files.
    time: Time,
}

impl Backed {
    fn attributes(&self, child: Child, owner: Owner) -> Result<Attributes, VfsError> {
        match child {
            Child::Directory(directory) => Ok(Attributes::directory(
                Node::Directory {
                    slot: self.slot,
                    directory: index(directory)?,
                },
                owner,
            )),
            Child::File(file) => {
                let facts = self.package.file(file).ok_or(VfsError::Stale)?;
                let node = Node::File {
                    slot: self.slot,
                    file: index(file)?,
                };
                let attributes = Attributes::file(node, facts.size, facts.executable, owner);
                Ok(attributes.at(self.time))
            }
        }
    }
}

/// A pack with more entries than ids have room for cannot be served.
fn index(number: u32) -> Result<u32, VfsError> {
    if number < INDEX_LIMIT {
        Ok(number)
    } else {
        Err(VfsError::Pack(io::ErrorKind::InvalidData.into()))
    }
}

/// The time of a directory of a layer stands for its package and for what it lists: who asks for it
/// now and then, as watchers that poll do, sees that something came, went or was replaced.
fn time_of_directory(image: &Image, listed: Range<u32>, backing: Option<BackingRef<'_>>) -> Time {
    let mut sum = crc32fast::Hasher::new();
    if let Some(backing) = backing {
        sum.update(&backing.instance.pack.0);
    }
    for child in listed {
        sum.update(image.name(child).unwrap_or_default());
        match image.node(child) {
            Some(LayerNode::Symlink(target)) => sum.update(target),
            Some(LayerNode::Directory {
                backing: Some(backing),
                ..
            }) => sum.update(&backing.instance.pack.0),
            _ => {}
        }
        sum.update(&[0]);
    }
    Time::of_content(sum.finalize())
}

/// The node at this place of a layer.
fn node_at(image: &Image, place: u32) -> Result<Node, VfsError> {
    image.slot(place).map(Node::Layer).ok_or(VfsError::Stale)
}

impl Lower {
    /// The tree of `image` over the packages of `packages`, all of which is `owner`'s.
    pub fn new(image: Arc<Image>, packages: Arc<PackageCache>, owner: Owner) -> Self {
        Self {
            image,
            retired: Vec::new(),
            packages,
            owner,
            shown: OnceLock::new(),
            times: Mutex::default(),
        }
    }

    /// The same tree, for those who still have something open that was there before: in layers of
    /// which each is a successor of the one behind it.
    #[must_use]
    pub(super) fn after(self, retired: Vec<Arc<Image>>) -> Self {
        Self { retired, ..self }
    }

    /// The tree with `image`, a successor of this one's, in the place of this one's.
    pub(super) fn with(&self, image: Arc<Image>) -> Self {
        let mut retired = vec![Arc::clone(&self.image)];
        retired.extend(self.retired.iter().take(RETIRED_MAX - 1).cloned());
        Self::new(image, Arc::clone(&self.packages), self.owner).after(retired)
    }

    /// The tree as it was before this one was mounted in its place.
    pub(super) fn as_it_was(&self) -> Option<Self> {
        let (before, earlier) = self.retired.split_first()?;
        let lower = Self::new(Arc::clone(before), Arc::clone(&self.packages), self.owner);
        Some(lower.after(earlier.to_vec()))
    }

    /// The layer that has a node with this slot, and the node's place in it.
    fn layer(&self, slot: u32) -> Result<(&Image, u32), VfsError> {
        let mut images = std::iter::once(&self.image).chain(&self.retired);
        let found = images.find_map(|image| Some((&**image, image.place(slot)?)));
        found.ok_or(VfsError::Stale)
    }

    fn layer_node(&self, slot: u32) -> Result<LayerNode<'_>, VfsError> {
        let (image, place) = self.layer(slot)?;
        image.node(place).ok_or(VfsError::Stale)
    }

    fn instance(&self, slot: u32) -> Result<InstanceRef<'_>, VfsError> {
        let mut images = std::iter::once(&self.image).chain(&self.retired);
        let found = images.find_map(|image| image.instance_by_slot(slot));
        found.ok_or(VfsError::Stale)
    }

    /// Whose everything is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The project layer.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The packages.
    pub fn packages(&self) -> &Arc<PackageCache> {
        &self.packages
    }

    /// The child of `parent` with this name; `None` where there is none.
    ///
    /// # Errors
    /// When `parent` is not a directory, the name is too long or the pack cannot be read.
    pub fn lookup(&self, parent: Node, name: &[u8]) -> Result<Option<Attributes>, VfsError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(VfsError::NameTooLong);
        }
        if let Node::Layer(slot) = parent {
            let (image, place) = self.layer(slot)?;
            // What the layer has itself is there without the package.
            if let Some(child) = image.child(place, name) {
                return self.attributes(node_at(image, child)?).map(Some);
            }
        }
        let backed = match self.directory(parent)? {
            Directory::Layer { backing, .. } => backing,
            Directory::Package(backed) => Some(backed),
        };
        let Some(backed) = backed else {
            return Ok(None);
        };
        match backed.package.child(backed.directory, name) {
            Some(child) => backed.attributes(child, self.owner).map(Some),
            None => Ok(None),
        }
    }

    /// The time of the directory in this slot, which is of `image` and lists these places.
    fn time(
        &self,
        image: &Image,
        slot: u32,
        listed: Range<u32>,
        backing: Option<BackingRef<'_>>,
    ) -> Time {
        if listed.len() < TIMES_KEPT_FROM {
            return time_of_directory(image, listed, backing);
        }
        let times = || self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(time) = times().get(&slot) {
            return *time;
        }
        let time = time_of_directory(image, listed, backing);
        times().insert(slot, time);
        time
    }

    /// What `stat` says of `node`.
    ///
    /// # Errors
    /// When there is no such node or the pack cannot be read.
    pub fn attributes(&self, node: Node) -> Result<Attributes, VfsError> {
        match node {
            Node::Layer(number) => {
                let (image, place) = self.layer(number)?;
                match image.node(place).ok_or(VfsError::Stale)? {
                    LayerNode::Directory {
                        first,
                        count,
                        backing,
                    } => {
                        let listed = first..first.saturating_add(count);
                        let time = self.time(image, number, listed, backing);
                        Ok(Attributes::directory(node, self.owner).at(time))
                    }
                    LayerNode::Symlink(target) => Ok(Attributes::symlink(node, target, self.owner)),
                    LayerNode::File {
                        content,
                        executable,
                    } => {
                        let bytes = content.len() as u64;
                        let attributes = Attributes::file(node, bytes, executable, self.owner);
                        Ok(attributes.at(Time::of_content(crc32fast::hash(content))))
                    }
                }
            }
            Node::Directory { .. } => {
                match self.directory(node) {
                    // All look alike, and whoever removes one that cannot be read looks first.
                    Err(VfsError::Pack(_)) => {}
                    found => drop(found?),
                }
                Ok(Attributes::directory(node, self.owner))
            }
            Node::File { slot, file } => {
                let instance = self.instance(slot)?;
                let facts = self.package(&instance)?.file(file);
                let facts = facts.ok_or(VfsError::Stale)?;
                let attributes = Attributes::file(node, facts.size, facts.executable, self.owner);
                Ok(attributes.at(Time::of_pack(&instance.pack)))
            }
            Node::Upper(_) => Err(VfsError::Stale),
        }
    }

    /// The target of a symlink.
    ///
    /// # Errors
    /// When `node` is not a symlink.
    pub fn read_link(&self, node: Node) -> Result<&[u8], VfsError> {
        match node {
            Node::Layer(number) => match self.layer_node(number)? {
                LayerNode::Symlink(target) => Ok(target),
                _ => Err(VfsError::NotSymlink),
            },
            Node::Directory { .. } | Node::File { .. } => Err(VfsError::NotSymlink),
            Node::Upper(_) => Err(VfsError::Stale),
        }
    }

    /// Puts up to `size` bytes of a file from `offset` into `buffer`: fewer only at its end.
    ///
    /// # Errors
    /// When `node` is not a file or the pack cannot be read.
    pub fn read(
        &self,
        node: Node,
        offset: u64,
        size: u32,
        buffer: &mut Vec<u8>,
    ) -> Result<(), VfsError> {
        buffer.clear();
        match node {
            Node::Layer(number) => match self.layer_node(number)? {
                LayerNode::File { content, .. } => {
                    let start = usize::try_from(offset).unwrap_or(usize::MAX);
                    let rest = content.get(start..).unwrap_or_default();
                    buffer.extend_from_slice(&rest[..rest.len().min(size as usize)]);
                    Ok(())
                }
                LayerNode::Directory { .. } => Err(VfsError::IsDirectory),
                LayerNode::Symlink(_) => Err(VfsError::NotDirectory),
            },
            Node::Directory { .. } => Err(VfsError::IsDirectory),
            Node::File { slot, file } => self.read_package(slot, file, offset, size, buffer),
            Node::Upper(_) => Err(VfsError::Stale),
        }
    }

    /// Tells the system that a file will be read.
    pub fn will_need(&self, node: Node) {
        if let Node::File { slot, file } = node
            && let Ok(package) = self.package_by_slot(slot)
        {
            package.will_need(file);
        }
    }

    /// Whether a file can be read without waiting for a disk.
    pub fn is_cached(&self, node: Node) -> bool {
        match node {
            Node::File { slot, file } => {
                let package = self.package_by_slot(slot);
                package.is_ok_and(|package| package.is_cached(file))
            }
            _ => true,
        }
    }

    fn read_package(
        &self,
        slot: u32,
        file: u32,
        offset: u64,
        size: u32,
        buffer: &mut Vec<u8>,
    ) -> Result<(), VfsError> {
        let package = self.package_by_slot(slot)?;
        let facts = package.file(file).ok_or(VfsError::Stale)?;
        let wanted = facts.size.saturating_sub(offset).min(u64::from(size));
        let wanted = usize::try_from(wanted).unwrap_or(0);
        buffer.resize(wanted, 0);
        let read = if wanted == 0 {
            Ok(0)
        } else {
            package.read_at(file, offset, buffer)
        };
        let problem = match read {
            Ok(count) if count == wanted => return Ok(()),
            Ok(_) => io::Error::new(io::ErrorKind::UnexpectedEof, "the pack is truncated"),
            Err(error) => error,
        };
        buffer.clear();
        if let Ok(instance) = self.instance(slot) {
            self.packages.failed(&instance.pack, &problem);
        }
        Err(VfsError::Pack(problem))
    }

    /// Shows the entries of `directory` after `cookie` (0: all) until `visit` breaks. A cookie
    /// that no entry had shows nothing.
    ///
    /// # Errors
    /// When `directory` is not a directory or the pack cannot be read.
    pub fn read_directory(
        &self,
        directory: Node,
        cookie: u64,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), VfsError> {
        let found = self.directory(directory)?;
        if cookie < DOTS {
            let dots: [(&[u8], Node); 2] =
                [(b".", directory), (b"..", self.parent(directory, &found))];
            for (position, (name, node)) in (1..).zip(dots) {
                let entry = Entry {
                    name,
                    cookie: position,
                    attributes: Attributes::directory(node, self.owner),
                };
                if position > cookie && visit(entry).is_break() {
                    return Ok(());
                }
            }
        }
        let skip = cookie.saturating_sub(DOTS);
        let (layer, first, count, backed) = match &found {
            Directory::Layer {
                image,
                node,
                first,
                count,
                backing,
            } => (Some((*image, *node)), *first, *count, backing.as_ref()),
            Directory::Package(backed) => (None, 0, 0, Some(backed)),
        };
        let image = layer.map_or(&*self.image, |(image, _)| image);
        for position in skip.min(u64::from(count))..u64::from(count) {
            let child = first + u32::try_from(position).unwrap_or(count);
            let entry = Entry {
                name: image.name(child).ok_or(VfsError::Stale)?,
                cookie: DOTS + position + 1,
                attributes: self.attributes(node_at(image, child)?)?,
            };
            if visit(entry).is_break() {
                return Ok(());
            }
        }
        let Some(backed) = backed else {
            return Ok(());
        };
        self.read_package_directory(backed, layer, (u64::from(count), skip), visit)
    }

    /// Shows the entries of a package's directory that no entry of the layer hides. `own` is how
    /// many entries the layer has, `skip` how many of all were shown before.
    fn read_package_directory(
        &self,
        backed: &Backed,
        layer: Option<(&Image, u32)>,
        (own, skip): (u64, u64),
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), VfsError> {
        let Ok(mut position) = u32::try_from(skip.saturating_sub(own)) else {
            return Ok(());
        };
        while let Some((name, child)) = backed.package.child_at(backed.directory, position) {
            position += 1;
            if layer.is_some_and(|(image, node)| image.child(node, name).is_some()) {
                continue;
            }
            let entry = Entry {
                name,
                cookie: DOTS + own + u64::from(position),
                attributes: backed.attributes(child, self.owner)?,
            };
            if visit(entry).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What `..` is. A directory of a layer that is not mounted any more may not find it.
    fn parent(&self, directory: Node, found: &Directory<'_>) -> Node {
        match found {
            Directory::Layer { image, node, .. } => {
                let parent = image.parent(*node).and_then(|parent| image.slot(parent));
                parent.map_or(directory, Node::Layer)
            }
            Directory::Package(backed) => {
                let parent = backed.package.parent(backed.directory).unwrap_or(0);
                let found = self.directory_node(&*backed.package, backed.slot, parent);
                found.unwrap_or(directory)
            }
        }
    }

    fn directory(&self, node: Node) -> Result<Directory<'_>, VfsError> {
        match node {
            Node::Layer(slot) => {
                let (image, node) = self.layer(slot)?;
                let Some(LayerNode::Directory {
                    first,
                    count,
                    backing,
                }) = image.node(node)
                else {
                    return Err(VfsError::NotDirectory);
                };
                let backing = match backing {
                    Some(backing) => self.backed(&backing.instance, backing.path)?,
                    None => None,
                };
                Ok(Directory::Layer {
                    image,
                    node,
                    first,
                    count,
                    backing,
                })
            }
            Node::Directory { slot, directory } => {
                let instance = self.instance(slot)?;
                let package = self.package(&instance)?;
                package.parent(directory).ok_or(VfsError::Stale)?;
                Ok(Directory::Package(Backed {
                    package,
                    slot,
                    directory,
                    time: Time::of_pack(&instance.pack),
                }))
            }
            Node::File { .. } => Err(VfsError::NotDirectory),
            Node::Upper(_) => Err(VfsError::Stale),
        }
    }

    /// The directory `path` of an instance; `None` where the package has none.
    fn backed(&self, instance: &InstanceRef<'_>, path: &[u8]) -> Result<Option<Backed>, VfsError> {
        let package = self.package(instance)?;
        let mut directory = 0;
        for component in path.split(|byte| *byte == b'/') {
            if component.is_empty() {
                continue;
            }
            match package.child(directory, component) {
                Some(Child::Directory(child)) => directory = child,
                Some(Child::File(_)) | None => return Ok(None),
            }
        }
        Ok(Some(Backed {
            package,
            slot: instance.slot,
            directory,
            time: Time::of_pack(&instance.pack),
        }))
    }

    fn package(&self, instance: &InstanceRef<'_>) -> Result<Arc<dyn Package>, VfsError> {
        self.packages
            .get(instance.pack_slot, &instance.pack)
            .map_err(VfsError::Pack)
    }

    fn package_by_slot(&self, slot: u32) -> Result<Arc<dyn Package>, VfsError> {
        self.package(&self.instance(slot)?)
    }

    /// The directory that has `node`, and its name there; `None` for the root of a tree.
    ///
    /// # Errors
    /// When there is no such node in the layer that is mounted now, or the pack cannot be read.
    pub fn place(&self, node: Node) -> Result<Option<(Node, Box<[u8]>)>, VfsError> {
        let (slot, child) = match node {
            Node::Layer(slot) => {
                let place = self.image.place(slot).ok_or(VfsError::Stale)?;
                if place < self.image.tree_count() {
                    return Ok(None);
                }
                let parent = self.image.parent(place).ok_or(VfsError::Stale)?;
                let name = self.image.name(place).ok_or(VfsError::Stale)?;
                return Ok(Some((node_at(&self.image, parent)?, name.into())));
            }
            Node::Directory { slot, directory } => (slot, Child::Directory(directory)),
            Node::File { slot, file } => (slot, Child::File(file)),
            Node::Upper(_) => return Err(VfsError::Stale),
        };
        let instance = self.image.instance_by_slot(slot).ok_or(VfsError::Stale)?;
        let package = self.package(&instance)?;
        let (parent, name) = package.place(child).ok_or(VfsError::Stale)?;
        let name = name.into();
        let parent = self.directory_node(&*package, slot, parent)?;
        Ok(Some((parent, name)))
    }

    /// The node that shows the directory of this index of an instance.
    fn directory_node(
        &self,
        package: &dyn Package,
        slot: u32,
        directory: u32,
    ) -> Result<Node, VfsError> {
        let mut path = Vec::new();
        let mut at = directory;
        while let Some((parent, name)) = package.place(Child::Directory(at)) {
            if !path.is_empty() {
                path.insert(0, b'/');
            }
            path.splice(0..0, name.iter().copied());
            at = parent;
        }
        match self.shown().get(&(slot, path.into_boxed_slice())) {
            Some(layer) => node_at(&self.image, *layer),
            None => Ok(Node::Directory {
                slot,
                directory: index(directory)?,
            }),
        }
    }

    fn shown(&self) -> &HashMap<(u32, Box<[u8]>), u32> {
        self.shown.get_or_init(|| {
            let mut shown = HashMap::new();
            for number in 0..self.image.node_count() {
                if let Some(LayerNode::Directory {
                    backing: Some(backing),
                    ..
                }) = self.image.node(number)
                {
                    shown.insert((backing.instance.slot, backing.path.into()), number);
                }
            }
            shown
        })
    }

    /// The path of `node` from the root of its tree.
    ///
    /// # Errors
    /// As [`Self::place`].
    pub fn path(&self, node: Node) -> Result<Vec<u8>, VfsError> {
        let mut path: Vec<u8> = Vec::new();
        let mut at = node;
        while let Some((parent, name)) = self.place(at)? {
            if !path.is_empty() {
                path.insert(0, b'/');
            }
            path.splice(0..0, name.iter().copied());
            at = parent;
        }
        Ok(path)
    }

    /// The node at `path` below `root`; `None` where there is none.
    ///
    /// # Errors
    /// When a pack cannot be read.
    pub fn resolve(&self, root: Node, path: &[u8]) -> Result<Option<Node>, VfsError> {
        let mut node = root;
        for name in path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
        {
            match self.lookup(node, name) {
                Ok(Some(child)) => node = child.node,
                Ok(None) | Err(VfsError::NotDirectory) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(node))
    }
}
