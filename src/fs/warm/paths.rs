//! Paths of nodes and nodes of paths: a profile holds paths, because ids change with the layer.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::fs::image::LayerNode;
use crate::fs::node::Node;
use crate::fs::package::{Child, Package};
use crate::fs::vfs::{Kind, Vfs};

/// Directories of a package that are looked through for names.
const DIRECTORIES_MAX: usize = 20_000;

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) directory: String,
    pub(super) name: String,
}

/// Finds the paths of nodes. It keeps what it found out, so it is made for a batch and dropped.
pub(super) struct Paths<'vfs> {
    vfs: &'vfs Vfs,
    root: u32,
    /// Where the roots of instances are: by the instance's slot.
    instances: HashMap<u32, u32>,
    /// An instance of each pack: by the pack's slot.
    packs: HashMap<u32, u32>,
    /// The insides of packages: by the pack's slot.
    insides: HashMap<u32, Inside>,
}

/// Paths within a package, by index.
#[derive(Default)]
struct Inside {
    directories: HashMap<u32, String>,
    files: HashMap<u32, (u32, String)>,
}

impl<'vfs> Paths<'vfs> {
    /// For the tree at `root`.
    pub(super) fn new(vfs: &'vfs Vfs, root: u32) -> Self {
        let image = vfs.image();
        let (mut instances, mut packs) = (HashMap::new(), HashMap::new());
        for node in 0..image.node_count() {
            if let Some(LayerNode::Directory {
                backing: Some(backing),
                ..
            }) = image.node(node)
                && backing.path.is_empty()
            {
                instances.entry(backing.instance.slot).or_insert(node);
                packs
                    .entry(backing.instance.pack_slot)
                    .or_insert(backing.instance.slot);
            }
        }
        Self {
            vfs,
            root,
            instances,
            packs,
            insides: HashMap::new(),
        }
    }

    /// The path of a directory; empty for the root. `None` where it has none in this tree.
    pub(super) fn directory(&mut self, node: Node) -> Option<String> {
        match node {
            Node::Layer(number) => self.layer(number),
            Node::Directory { slot, directory } => {
                let top = self.layer(*self.instances.get(&slot)?)?;
                let pack = self.vfs.image().instance_by_slot(slot)?.pack_slot;
                let inside = self.inside(pack)?.directories.get(&directory)?;
                Some(join(&top, inside))
            }
            _ => None,
        }
    }

    /// Where a file or a symlink is; a file that is in several places is in one of them.
    pub(super) fn place(&mut self, node: Node) -> Option<Place> {
        match node {
            Node::Layer(number) => {
                let image = self.vfs.image();
                let name = std::str::from_utf8(image.name(number)?).ok()?.to_owned();
                let directory = self.layer(image.parent(number)?)?;
                Some(Place { directory, name })
            }
            Node::File { slot, file } => {
                let instance = *self.packs.get(&slot)?;
                let top = self.layer(*self.instances.get(&instance)?)?;
                let inside = self.inside(slot)?;
                let (directory, name) = inside.files.get(&file)?;
                Some(Place {
                    directory: join(&top, inside.directories.get(directory)?),
                    name: name.clone(),
                })
            }
            _ => None,
        }
    }

    fn layer(&self, node: u32) -> Option<String> {
        let image = self.vfs.image();
        let mut names = Vec::new();
        let mut node = node;
        while node != self.root {
            names.push(std::str::from_utf8(image.name(node)?).ok()?);
            let parent = image.parent(node)?;
            if parent == node {
                return None;
            }
            node = parent;
        }
        names.reverse();
        Some(names.join("/"))
    }

    fn inside(&mut self, pack_slot: u32) -> Option<&Inside> {
        if !self.insides.contains_key(&pack_slot) {
            let pack = self.vfs.image().pack_by_slot(pack_slot)?;
            let package = self.vfs.packages().get(pack_slot, &pack).ok()?;
            self.insides.insert(pack_slot, Inside::of(&package));
        }
        self.insides.get(&pack_slot)
    }
}

impl Inside {
    fn of(package: &Arc<dyn Package>) -> Self {
        let mut inside = Self::default();
        let mut waiting = vec![(0, String::new())];
        while let Some((directory, path)) = waiting.pop() {
            if inside.directories.len() >= DIRECTORIES_MAX {
                break;
            }
            let mut position = 0;
            while let Some((name, child)) = package.child_at(directory, position) {
                position += 1;
                let Ok(name) = std::str::from_utf8(name) else {
                    continue;
                };
                match child {
                    Child::Directory(child) => waiting.push((child, join(&path, name))),
                    Child::File(file) => {
                        inside.files.insert(file, (directory, name.to_owned()));
                    }
                }
            }
            inside.directories.insert(directory, path);
        }
        inside
    }
}

pub(super) fn join(directory: &str, name: &str) -> String {
    match (directory, name) {
        ("", name) => name.to_owned(),
        (directory, "") => directory.to_owned(),
        (directory, name) => format!("{directory}/{name}"),
    }
}

/// The directory at `path` below `root`; symlinks are not followed.
pub(super) fn find_directory(vfs: &Vfs, root: u32, path: &str) -> Option<Node> {
    let mut node = Node::Layer(root);
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let found = vfs.lookup(node, name.as_bytes()).ok()??;
        if found.kind != Kind::Directory {
            return None;
        }
        node = found.node;
    }
    Some(node)
}

/// Number of entries of a directory, without `.` and `..`.
pub(super) fn count_entries(vfs: &Vfs, directory: Node) -> Option<u32> {
    let mut count = 0_u32;
    vfs.read_directory(directory, 2, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })
    .ok()?;
    Some(count)
}
