//! What the upper layer shows, by node: names that differ from what was installed, and what is
//! known of nodes that are really there or are shown elsewhere than they were installed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::journal::Ledger;
use super::record::Record;
use crate::fs::attributes::{FIXED_TIME, Kind, Time};
use crate::fs::lower::Lower;
use crate::fs::node::Node;
use crate::fs::vfs_error::VfsError;

/// Cookies of names in the upper layer are this and more; those of the lower layer are less.
pub(crate) const UPPER_COOKIES: u64 = 1 << 62;

/// A name in a directory that is not as it was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    /// What was installed under this name does not show.
    pub(crate) hides: bool,
    /// What shows.
    pub(crate) node: Option<Node>,
    cookie: u64,
}

/// The names of a directory that are not as they were installed.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    names: HashMap<Box<[u8]>, Named>,
    order: BTreeMap<u64, Box<[u8]>>,
    /// How many directories it shows.
    directories: u32,
    /// When an entry last came or went, where the directory is not really there to tell.
    pub(crate) changed: Option<Time>,
}

impl Overlay {
    pub(crate) fn get(&self, name: &[u8]) -> Option<Named> {
        self.names.get(name).copied()
    }

    /// What shows, from this cookie on.
    pub(crate) fn shown_from(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], Node)> {
        self.order.range(cookie..).filter_map(|(cookie, name)| {
            let named = self.names.get(name)?;
            Some((*cookie, &**name, named.node?))
        })
    }

    /// How many directories it shows, of those that are not where they were installed.
    pub(crate) fn directories(&self) -> u32 {
        self.directories
    }

    pub(crate) fn shows_any(&self) -> bool {
        self.names.values().any(|named| named.node.is_some())
    }

    fn set(&mut self, name: &[u8], hides: bool, node: Option<Node>) {
        if let Some(named) = self.names.get_mut(name) {
            (named.hides, named.node) = (hides, node);
            return;
        }
        // The order of a name depends on nothing else, so a new server goes on where one ended.
        let mut cookie = UPPER_COOKIES | hash(name) >> 2;
        while self.order.contains_key(&cookie) {
            cookie = UPPER_COOKIES | (cookie + 1) & (UPPER_COOKIES - 1);
        }
        self.order.insert(cookie, name.into());
        let named = Named {
            hides,
            node,
            cookie,
        };
        self.names.insert(name.into(), named);
    }

    fn unset(&mut self, name: &[u8]) {
        if let Some(named) = self.names.remove(name) {
            self.order.remove(&named.cookie);
        }
    }
}

/// FNV-1a with a finish that mixes the low bits into the high ones.
fn hash(name: &[u8]) -> u64 {
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Where it is shown. Empty for what shows where it was installed, and for what is removed.
    pub(crate) places: Vec<(Node, Box<[u8]>)>,
    /// It is really there, in the upper layer.
    pub(crate) real: bool,
    pub(crate) kind: Kind,
    /// No name leads to it any more, but somebody may have it open.
    pub(crate) orphan: bool,
}

/// The upper layer of one tree.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) known: HashMap<Node, Known>,
    overlays: HashMap<Node, Overlay>,
}

impl State {
    /// Nothing was ever changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.overlays.is_empty()
    }

    pub(crate) fn overlay(&self, directory: Node) -> Option<&Overlay> {
        self.overlays.get(&directory)
    }

    pub(crate) fn named(&self, directory: Node, name: &[u8]) -> Option<Named> {
        self.overlays.get(&directory)?.get(name)
    }

    pub(crate) fn is_real(&self, node: Node) -> bool {
        self.known.get(&node).is_some_and(|known| known.real)
    }

    /// Sets what `directory` has under `name`; a name that neither hides nor shows is forgotten.
    pub(crate) fn set_name(
        &mut self,
        directory: Node,
        name: &[u8],
        hides: bool,
        node: Option<Node>,
    ) {
        let known = &self.known;
        let directories = |node: Option<Node>| {
            let known = node.and_then(|node| known.get(&node));
            u32::from(known.is_some_and(|known| known.kind == Kind::Directory))
        };
        let overlay = self.overlays.entry(directory).or_default();
        let before = overlay.get(name).and_then(|named| named.node);
        overlay.directories += directories(node);
        overlay.directories = overlay.directories.saturating_sub(directories(before));
        if hides || node.is_some() {
            overlay.set(name, hides, node);
        } else {
            overlay.unset(name);
        }
    }

    /// Takes a name away from what it shows, which is `node`. Returns whether that was its last.
    pub(crate) fn unname(&mut self, directory: Node, name: &[u8], hides: bool, node: Node) -> bool {
        self.set_name(directory, name, hides, None);
        let Some(known) = self.known.get_mut(&node) else {
            return true;
        };
        let place = |place: &(Node, Box<[u8]>)| place.0 == directory && *place.1 == *name;
        known.places.retain(|known| !place(known));
        known.places.is_empty()
    }

    /// Gives `node` a name.
    pub(crate) fn name(&mut self, directory: Node, name: &[u8], hides: bool, node: Node) {
        self.set_name(directory, name, hides, Some(node));
        if let Some(known) = self.known.get_mut(&node) {
            known.places.push((directory, name.into()));
        }
    }

    /// Drops what is known of what a directory shows, when the directory is removed.
    pub(crate) fn drop_overlay(&mut self, directory: Node) {
        self.overlays.remove(&directory);
    }

    pub(crate) fn touch(&mut self, directory: Node, time: Time) {
        if !self.is_real(directory) {
            self.overlays.entry(directory).or_default().changed = Some(time);
        }
    }

    /// Where `node` is: its directory and its name there. `None` for the root, and for what is not
    /// shown anywhere.
    fn place(&self, lower: &Lower, node: Node) -> Result<Place, VfsError> {
        match self.known.get(&node) {
            Some(known) if known.orphan => return Ok(Place::Removed),
            Some(known) if !known.places.is_empty() => {
                let (parent, name) = known.places[0].clone();
                return Ok(Place::In(parent, name));
            }
            _ => {}
        }
        let (parent, name) = match lower.place(node) {
            Ok(Some(place)) => place,
            Ok(None) => return Ok(Place::Root),
            // It is not there any more, and somebody still has it open.
            Err(VfsError::Stale) => return Ok(Place::Removed),
            Err(error) => return Err(error),
        };
        Ok(match self.named(parent, &name) {
            Some(named) if named.hides || named.node.is_some() => Place::Removed,
            _ => Place::In(parent, name),
        })
    }

    /// The directory that `node` is in; `None` for the root, and for what is not shown anywhere.
    pub(crate) fn parent(&self, lower: &Lower, node: Node) -> Result<Option<Node>, VfsError> {
        Ok(match self.place(lower, node)? {
            Place::In(parent, _) => Some(parent),
            Place::Root | Place::Removed => None,
        })
    }

    /// The path of `node` in the tree; `None` where no name leads to it.
    pub(crate) fn path(&self, lower: &Lower, node: Node) -> Result<Option<Vec<u8>>, VfsError> {
        let mut names = Vec::new();
        let mut at = node;
        loop {
            match self.place(lower, at)? {
                Place::Root => break,
                Place::Removed => return Ok(None),
                Place::In(parent, name) => {
                    names.push(name);
                    at = parent;
                }
            }
        }
        names.reverse();
        Ok(Some(names.join(&b'/')))
    }

    /// Everything that the journal must tell.
    pub(crate) fn ledger(&self, lower: &Lower) -> Result<Vec<(Record, Time)>, VfsError> {
        let mut records = BTreeMap::new();
        for (directory, overlay) in &self.overlays {
            let Some(above) = self.path(lower, *directory)? else {
                continue;
            };
            let installed = || lower.attributes(*directory).map(|found| found.modified);
            let time = overlay
                .changed
                .map_or_else(installed, Ok)
                .unwrap_or(FIXED_TIME);
            for (name, named) in &overlay.names {
                let path = join(&above, name);
                let record = match named.node {
                    Some(node) if node.is_lower() => Record::Show {
                        path: path.clone(),
                        origin: lower.path(node)?,
                    },
                    _ if named.hides => Record::Hide(path.clone()),
                    _ => continue,
                };
                records.insert(path, (record, time));
            }
        }
        // A directory comes before what is in it: it wipes what was said of that.
        Ok(records.into_values().collect())
    }
}

enum Place {
    Root,
    Removed,
    In(Node, Box<[u8]>),
}

pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        name.to_vec()
    } else {
        [directory, b"/", name].concat()
    }
}

/// What a new server finds, joined with what was installed.
pub(crate) struct Found {
    pub(crate) state: State,
    /// Some packs could not be read, so some of what the journal says has no place now.
    pub(crate) incomplete: bool,
}

/// Joins what the journal says with what is really there. `list` gives the entries of a real
/// directory: name, inode number, kind.
pub(crate) fn build(
    lower: &Arc<Lower>,
    root: Node,
    ledger: Ledger,
    list: &mut dyn FnMut(&[u8]) -> Result<Vec<Real>, VfsError>,
) -> Result<Found, VfsError> {
    let mut builder = Builder {
        lower,
        root,
        found: Found {
            state: State::default(),
            incomplete: false,
        },
        links: HashMap::new(),
    };
    let mut queue = vec![(root, Vec::new(), ledger, true)];
    while let Some((directory, path, ledger, real)) = queue.pop() {
        let mut reals: BTreeMap<Box<[u8]>, Real> = BTreeMap::new();
        if real {
            let listed = list(&path)?;
            reals.extend(listed.into_iter().map(|real| (real.name.clone(), real)));
        }
        let Ledger {
            changed,
            mut children,
            ..
        } = ledger;
        for name in reals.keys() {
            children.entry(name.clone()).or_default();
        }
        for (name, ledger) in children {
            let below = join(&path, &name);
            let real = reals.get(&name);
            if let Some(child) = builder.entry(directory, &name, &ledger, real) {
                queue.push((child, below, ledger, real.is_some()));
            }
        }
        let state = &mut builder.found.state;
        if let Some(changed) = changed
            && state.overlay(directory).is_some()
        {
            state.touch(directory, changed);
        }
    }
    builder.join_links();
    Ok(builder.found)
}

/// An entry of a real directory.
#[derive(Debug, Clone)]
pub(crate) struct Real {
    pub(crate) name: Box<[u8]>,
    pub(crate) inode: u64,
    pub(crate) kind: Kind,
    pub(crate) links: u64,
}

/// A name of something real that has several.
struct Link {
    kind: Kind,
    directory: Node,
    name: Box<[u8]>,
    hides: bool,
    node: Node,
}

struct Builder<'lower> {
    lower: &'lower Arc<Lower>,
    root: Node,
    found: Found,
    links: HashMap<u64, Vec<Link>>,
}

impl Builder<'_> {
    fn lookup(&mut self, directory: Node, name: &[u8]) -> Option<(Node, Kind)> {
        if !directory.is_lower() {
            return None;
        }
        match self.lower.lookup(directory, name) {
            Ok(found) => found.map(|found| (found.node, found.kind)),
            Err(error) => {
                self.found.incomplete |= !matches!(error, VfsError::NotDirectory);
                None
            }
        }
    }

    fn origin(&mut self, ledger: &Ledger) -> Option<(Node, Kind)> {
        let origin = ledger.origin.as_deref()?;
        let found = self
            .lower
            .resolve(self.root, origin)
            .and_then(|node| node.map(|node| self.lower.attributes(node)).transpose());
        match found {
            Ok(found) => found.map(|found| (found.node, found.kind)),
            Err(_) => {
                self.found.incomplete = true;
                None
            }
        }
    }

    /// Takes one name of `directory`. Returns the node where it is a directory to look into.
    fn entry(
        &mut self,
        directory: Node,
        name: &[u8],
        ledger: &Ledger,
        real: Option<&Real>,
    ) -> Option<Node> {
        let installed = self.lookup(directory, name);
        let origin = self.origin(ledger);
        let identity = origin.or(installed.filter(|_| !ledger.hides));
        let in_place = origin.is_none() && identity.is_some();
        let Some(real) = real else {
            let state = &mut self.found.state;
            return match identity {
                Some((node, kind)) if in_place => (kind == Kind::Directory).then_some(node),
                Some((node, kind)) => {
                    state.known.insert(node, known(kind, false));
                    state.name(directory, name, installed.is_some(), node);
                    (kind == Kind::Directory).then_some(node)
                }
                None => {
                    let hides = ledger.hides && installed.is_some();
                    state.set_name(directory, name, hides, None);
                    None
                }
            };
        };
        // What was installed as something else lies below what is really there.
        let identity = identity.filter(|(_, kind)| *kind == real.kind);
        let node = identity.map_or(Node::of_upper(real.inode), |(node, _)| node);
        let in_place = in_place && identity.is_some();
        let hides = installed.is_some() && !in_place;
        let state = &mut self.found.state;
        if real.links > 1 && real.kind != Kind::Directory {
            let link = Link {
                kind: real.kind,
                directory,
                name: name.into(),
                hides,
                node,
            };
            self.links.entry(real.inode).or_default().push(link);
            return None;
        }
        state.known.insert(node, known(real.kind, true));
        if !in_place {
            state.name(directory, name, hides, node);
        }
        (real.kind == Kind::Directory).then_some(node)
    }

    /// Names of one file lead to one node, which is the installed one where one of them is.
    fn join_links(&mut self) {
        let state = &mut self.found.state;
        for links in std::mem::take(&mut self.links).into_values() {
            let lower = links
                .iter()
                .map(|link| link.node)
                .find(|node| node.is_lower());
            let Some(first) = links.first() else {
                continue;
            };
            let (node, kind) = (lower.unwrap_or(first.node), first.kind);
            state.known.insert(node, known(kind, true));
            for link in links {
                state.name(link.directory, &link.name, link.hides, node);
            }
        }
    }
}

fn known(kind: Kind, real: bool) -> Known {
    Known {
        places: Vec::new(),
        real,
        kind,
        orphan: false,
    }
}
