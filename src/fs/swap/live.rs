//! The trees that a server serves, and the swap itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::announce::{Announcement, Announcer, PASSING, in_order};
use super::gone::{FILES_MAX, gone_files};
use super::{Change, Terms, changes_between, successor};
use crate::fs::adapter::Invalidator;
use crate::fs::control::SwapReport;
use crate::fs::image::{Image, ImageError};
use crate::fs::lower::Lower;
use crate::fs::node::{Node, ROOT};
use crate::fs::upper::Untold;
use crate::fs::vfs::Vfs;
use crate::sys::channel;

/// How long a swap waits for the kernel to be told. It may wait for locks that programs hold.
const TELL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why another layer cannot be served.
#[derive(Debug, thiserror::Error)]
pub(in crate::fs) enum SwapError {
    /// It is no layer, or none that can take the place of the present one.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Nobody would go on with it.
    #[error("the server has no supervisor")]
    NoSupervisor,
    /// The supervisor does not keep it.
    #[error("it could not be given to the supervisor: {0}")]
    Supervisor(#[from] io::Error),
}

/// A tree that is served.
pub(in crate::fs) struct LiveTree {
    pub(in crate::fs) number: u32,
    pub(in crate::fs) vfs: Arc<Vfs>,
    pub(in crate::fs) invalidator: Invalidator,
    /// Names of which a server that died may not have told the kernel.
    pub(in crate::fs) untold: Untold,
    /// What tells those who watch it of swaps.
    pub(in crate::fs) announcer: Option<Announcer>,
}

/// All trees of a server.
pub(in crate::fs) struct LiveTrees {
    pub(in crate::fs) trees: Vec<LiveTree>,
    lower: Mutex<Arc<Lower>>,
    announcing: Arc<AtomicUsize>,
    announced: UnixStream,
}

impl LiveTrees {
    /// `trees`, which all show `lower`. A byte is written to `announced` whenever those who watch
    /// have been told of a swap.
    pub(in crate::fs) fn new(
        trees: Vec<LiveTree>,
        lower: Arc<Lower>,
        announced: UnixStream,
    ) -> Self {
        Self {
            trees,
            lower: Mutex::new(lower),
            announcing: Arc::default(),
            announced,
        }
    }

    /// Whether those who watch are being told of a swap.
    pub(in crate::fs) fn is_announcing(&self) -> bool {
        self.announcing.load(Ordering::SeqCst) > 0
    }

    fn lower(&self) -> MutexGuard<'_, Arc<Lower>> {
        self.lower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves `built`, a layer that was built alone, from now on, on these `terms`. `keep` gives
    /// the layer that takes its place to whoever would serve after this process, and is called
    /// before anything changes.
    pub(in crate::fs) fn swap(
        &self,
        built: &Image,
        terms: &Terms,
        keep: impl FnOnce(File) -> io::Result<()>,
    ) -> Result<SwapReport, SwapError> {
        let mut lower = self.lower();
        let image = Arc::new(successor(built, lower.image(), terms.clears)?);
        keep(channel::unnamed_file(image.as_bytes())?)?;
        let next = Arc::new(lower.with(Arc::clone(&image)));
        let mut report = SwapReport::default();
        let mut messages = Vec::new();
        for tree in &self.trees {
            let packages = terms
                .forgotten
                .iter()
                .filter(|place| place.tree == tree.number);
            let packages: Vec<&str> = packages.map(|place| &*place.path).collect();
            match tree.vfs.follow(Arc::clone(&next), &packages) {
                Ok(discarded) => {
                    messages.extend(untold_messages(tree.number, &discarded.untold));
                    report.discarded.extend(discarded.place.map(PathBuf::from));
                }
                // It is too late to stay with the layer before.
                Err(error) => report.problem = Some(error.to_string()),
            }
        }
        let changed = changes_between(&next, &lower);
        report.changed_names = changed.len() as u64;
        messages.extend(gone_messages(&next, &changed));
        messages.extend(change_messages(&changed));
        *lower = next;
        drop(lower);
        self.tell(messages, &changed);
        Ok(report)
    }

    /// Tells of what a server that died may not have told of the last `swaps` swaps: those who
    /// watch, and the kernel. Whether all of the last one was told to the kernel `is_unsettled`.
    pub(in crate::fs) fn settle(&self, is_unsettled: bool, swaps: usize) {
        let lower = Arc::clone(&self.lower());
        let mut messages = Vec::new();
        let mut changed = Vec::new();
        let mut after = Arc::clone(&lower);
        for number in 0..swaps.max(1) {
            let Some(before) = after.as_it_was() else {
                break;
            };
            let found = changes_between(&after, &before);
            after = Arc::new(before);
            if number == 0 && is_unsettled {
                for tree in &self.trees {
                    messages.extend(untold_messages(tree.number, &tree.untold));
                }
                messages.extend(gone_messages(&lower, &found));
            }
            messages.extend(change_messages(&found));
            changed.extend(found);
        }
        messages.extend(passed_messages(&changed));
        changed.sort_by(|one, other| one.key().cmp(&other.key()));
        changed.dedup_by(|one, other| one.key() == other.key());
        self.tell(messages, &changed);
    }

    /// Sends the messages from a thread of its own, as they must not come from one that answers
    /// requests; and then those who watch the tree.
    fn tell(&self, messages: Vec<Message>, changed: &[Change]) {
        let underway = Underway::begin(&self.announcing, &self.announced);
        let announced = self.announcements(changed);
        let followed: Vec<Arc<Vfs>> = self
            .trees
            .iter()
            .map(|tree| Arc::clone(&tree.vfs))
            .collect();
        let trees: Vec<(u32, Invalidator)> = self
            .trees
            .iter()
            .map(|tree| (tree.number, tree.invalidator.clone()))
            .collect();
        let (sender, told) = mpsc::channel();
        let spawned = thread::Builder::new()
            .name("invalidate".to_owned())
            .spawn(move || {
                for message in messages {
                    let tree = trees.iter().find(|(number, _)| *number == message.tree);
                    if let Some((_, invalidator)) = tree {
                        message.send(invalidator);
                    }
                }
                followed.iter().for_each(|vfs| vfs.forget_untold());
                let _ = sender.send(());
                for announced in announced {
                    announced.send();
                }
                drop(underway);
            });
        if spawned.is_err() || told.recv_timeout(TELL_TIMEOUT).is_err() {
            tracing::error!("the kernel could not be told in time what has changed");
        }
    }
}

/// Those who watch are being told of a swap until it is dropped.
struct Underway {
    announcing: Arc<AtomicUsize>,
    /// Without it nobody is told of the end, and the next server tells them again.
    announced: Option<UnixStream>,
}

impl Underway {
    fn begin(announcing: &Arc<AtomicUsize>, announced: &UnixStream) -> Self {
        announcing.fetch_add(1, Ordering::SeqCst);
        Self {
            announcing: Arc::clone(announcing),
            announced: announced.try_clone().ok(),
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.announcing.fetch_sub(1, Ordering::SeqCst);
        if let Some(mut announced) = self.announced.as_ref() {
            let _ = announced.write_all(&[0]);
        }
    }
}

/// What those who watch a tree are told.
struct Announced {
    announcer: Announcer,
    invalidator: Invalidator,
    names: Vec<Announcement>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.announcer.announcing.release(&self.names);
    }
}

impl Announced {
    fn new(announcer: Announcer, invalidator: Invalidator, names: Vec<Announcement>) -> Self {
        announcer.announcing.expect(&names);
        Self {
            announcer,
            invalidator,
            names,
        }
    }

    fn send(&self) {
        if let Err(error) = self.announcer.announce(&self.names) {
            tracing::warn!(%error, "those who watch the tree were not told");
        }
        // The kernel believes now that names have passed.
        let _ = self.invalidator.name(ROOT, PASSING);
        for (number, name) in (1_u32..).zip(&self.names) {
            let _ = self.invalidator.name(name.node, name.name.as_bytes());
            // Who is in a directory that went is nowhere now.
            let _ = self.invalidator.away(number);
        }
    }
}

impl LiveTrees {
    /// What those who watch each tree are told of these changes.
    fn announcements(&self, changed: &[Change]) -> Vec<Announced> {
        let trees = self.trees.iter().filter_map(|tree| {
            let mut names = Vec::new();
            let changed = changed.iter().filter(|change| !change.lingers);
            for change in changed.filter(|change| change.tree == tree.number) {
                let directory = Node::Layer(change.directory);
                let Some(path) = tree.vfs.path(directory) else {
                    continue;
                };
                let (Ok(directory_path), Ok(name)) = (
                    String::from_utf8(path),
                    String::from_utf8(change.name.clone()),
                ) else {
                    continue;
                };
                let found = tree.vfs.lookup(directory, &change.name);
                names.push(Announcement {
                    directory: directory_path,
                    node: directory.to_id(tree.number),
                    name,
                    before: change.before.map(Node::Layer),
                    is_shown: found.is_ok_and(|found| found.is_some()),
                });
            }
            let names = in_order(names, &tree.vfs.lower(), tree.number);
            let announcer = tree.announcer.clone()?;
            Some(Announced::new(announcer, tree.invalidator.clone(), names))
        });
        trees.collect()
    }
}

/// What the kernel is told.
#[derive(Debug)]
struct Message {
    tree: u32,
    directory: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// This file of the directory is gone.
    Gone(u64, Vec<u8>),
    /// This name of the directory.
    Name(Vec<u8>),
    /// The list of its names. Comes after those, and so after whoever was reading the list before
    /// the swap: he had the directory's lock.
    List,
}

impl Message {
    fn send(&self, invalidator: &Invalidator) {
        // A kernel that does not know the name says so, and one that is gone needs nothing.
        let _ = match &self.what {
            What::Gone(file, name) => invalidator.gone(self.directory, *file, name),
            What::Name(name) => invalidator.name(self.directory, name),
            What::List => invalidator.node(self.directory),
        };
    }
}

/// Of files that are gone. They come before the names of the directories in which they were.
fn gone_messages(next: &Lower, changed: &[Change]) -> Vec<Message> {
    let mut messages = Vec::new();
    for change in changed {
        let room = FILES_MAX.saturating_sub(messages.len());
        for file in gone_files(next, change, room) {
            messages.push(Message {
                tree: change.tree,
                directory: file.directory.to_id(change.tree),
                what: What::Gone(file.file.to_id(change.tree), file.name),
            });
        }
    }
    messages
}

fn change_messages(changes: &[Change]) -> Vec<Message> {
    let mut messages = Vec::with_capacity(changes.len() * 2);
    for (index, change) in changes.iter().enumerate() {
        let directory = Node::Layer(change.directory).to_id(change.tree);
        // Who is in what lingers stays there.
        if !change.lingers {
            messages.push(Message {
                tree: change.tree,
                directory,
                what: What::Name(change.name.clone()),
            });
        }
        let next = changes.get(index + 1);
        if next.is_none_or(|next| next.directory != change.directory) {
            messages.push(Message {
                tree: change.tree,
                directory,
                what: What::List,
            });
        }
    }
    messages
}

/// The directory to which names were moved.
fn passed_messages(changed: &[Change]) -> Vec<Message> {
    let trees: BTreeSet<u32> = changed.iter().map(|change| change.tree).collect();
    let message = |tree| Message {
        tree,
        directory: ROOT,
        what: What::Name(PASSING.to_vec()),
    };
    trees.into_iter().map(message).collect()
}

fn untold_messages(tree: u32, untold: &Untold) -> Vec<Message> {
    let mut messages = Vec::new();
    for (directory, name) in untold {
        let directory = directory.to_id(tree);
        for what in [What::Name(name.clone()), What::List] {
            messages.push(Message {
                tree,
                directory,
                what,
            });
        }
    }
    messages
}
