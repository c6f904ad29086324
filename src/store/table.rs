//! A pack's table in memory: the files and the directories that their paths imply, numbered.
//!
//! Nodes are numbered level by level from the root, which is [`ROOT`]; the entries of a directory
//! have consecutive numbers in the order of their names' bytes. So a directory is a range, a lookup
//! is a binary search in it, and the numbers depend on nothing but the paths: they are the same
//! whenever and wherever the pack is opened.

use std::ops::Range;

use super::format::{FormatError, TableView};

/// The number of the package's own directory.
pub const ROOT: u32 = 0;

const NO_RECORD: u32 = u32::MAX;

/// 32 bytes a node; the names are in one string beside the nodes.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// A file's offset in the pack; a directory's first entry.
    start: u64,
    /// A file's bytes; a directory's number of entries.
    length: u64,
    name_start: u32,
    parent: u32,
    /// A file's place in the table on disk, [`NO_RECORD`] for a directory.
    record: u32,
    name_length: u8,
    executable: bool,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory {
        /// Number of the first of its entries.
        first: u32,
        /// How many entries it has.
        entries: u32,
    },
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Where its content begins in the pack, in bytes.
        offset: u64,
        /// Whether it may be executed.
        executable: bool,
    },
}

/// The numbered tree of a pack.
#[derive(Debug, Clone)]
pub struct PackTable {
    nodes: Box<[Node]>,
    names: Box<str>,
    files: u32,
}

/// A directory that waits for its entries: its number, its files in the table, and how many bytes
/// of their paths lead to it.
struct Pending {
    number: u32,
    records: Range<usize>,
    prefix: usize,
}

impl PackTable {
    /// Builds the tree of a table.
    ///
    /// # Errors
    /// [`FormatError::Lengths`] where numbers do not fit, which the limits of the format prevent.
    pub(crate) fn build(view: &TableView<'_>) -> Result<Self, FormatError> {
        let files: Vec<_> = view.files().collect();
        let mut nodes = Vec::with_capacity(files.len() + files.len() / 4 + 1);
        let mut names = String::new();
        nodes.push(Node::directory(0, 0, 0, 0));
        let mut pending = std::collections::VecDeque::from([Pending {
            number: ROOT,
            records: 0..files.len(),
            prefix: 0,
        }]);
        while let Some(directory) = pending.pop_front() {
            let first = number(nodes.len())?;
            let mut at = directory.records.start;
            while at < directory.records.end {
                let file = files[at];
                let rest = &file.path[directory.prefix..];
                let name_start = number(names.len())?;
                if let Some((name, _)) = rest.split_once('/') {
                    let lead = &file.path[..=directory.prefix + name.len()];
                    let run = files[at..directory.records.end]
                        .partition_point(|other| other.path.starts_with(lead));
                    pending.push_back(Pending {
                        number: number(nodes.len())?,
                        records: at..at + run,
                        prefix: lead.len(),
                    });
                    names.push_str(name);
                    let length = name_length(name)?;
                    nodes.push(Node::directory(directory.number, name_start, length, 0));
                    at += run;
                } else {
                    names.push_str(rest);
                    nodes.push(Node {
                        start: file.offset,
                        length: file.size,
                        name_start,
                        parent: directory.number,
                        record: number(at)?,
                        name_length: name_length(rest)?,
                        executable: file.executable,
                    });
                    at += 1;
                }
            }
            let entries = nodes.len() as u64 - u64::from(first);
            let node = &mut nodes[directory.number as usize];
            node.start = u64::from(first);
            node.length = entries;
        }
        Ok(Self {
            nodes: nodes.into(),
            names: names.into(),
            files: number(files.len())?,
        })
    }

    fn get(&self, number: u32) -> Option<&Node> {
        self.nodes.get(number as usize)
    }

    fn name_of(&self, node: &Node) -> &str {
        let start = node.name_start as usize;
        &self.names[start..start + usize::from(node.name_length)]
    }

    /// Number of nodes: the root, every directory and every file. Numbers are below it.
    pub fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).expect("invariant: nodes were numbered with 32 bits")
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// Number of files.
    pub fn files(&self) -> u32 {
        self.files
    }

    /// What the node is, or `None` where there is none of this number.
    pub fn kind(&self, number: u32) -> Option<NodeKind> {
        let node = self.get(number)?;
        if node.record == NO_RECORD {
            let range = node.entries();
            return Some(NodeKind::Directory {
                first: range.start,
                entries: range.end - range.start,
            });
        }
        Some(NodeKind::File {
            size: node.length,
            offset: node.start,
            executable: node.executable,
        })
    }

    /// The last component of the node's path; empty for the root.
    pub fn name(&self, number: u32) -> Option<&str> {
        Some(self.name_of(self.get(number)?))
    }

    /// The directory that has the node; the root is its own.
    pub fn parent(&self, number: u32) -> Option<u32> {
        Some(self.get(number)?.parent)
    }

    /// The numbers of a directory's entries, in the order of their names' bytes. Empty for what is
    /// no directory.
    pub fn entries(&self, directory: u32) -> Range<u32> {
        match self.get(directory) {
            Some(node) if node.record == NO_RECORD => node.entries(),
            _ => 0..0,
        }
    }

    /// The number of the entry `name` of a directory.
    pub fn lookup(&self, directory: u32, name: &[u8]) -> Option<u32> {
        let range = self.entries(directory);
        let nodes = &self.nodes[range.start as usize..range.end as usize];
        let at = nodes
            .binary_search_by(|node| self.name_of(node).as_bytes().cmp(name))
            .ok()?;
        Some(range.start + u32::try_from(at).ok()?)
    }

    /// The number of the node at a path of components joined with `/`; the root for "".
    pub fn find(&self, path: &str) -> Option<u32> {
        path.split('/')
            .filter(|component| !component.is_empty())
            .try_fold(ROOT, |directory, name| {
                self.lookup(directory, name.as_bytes())
            })
    }

    /// The node's path within the package; "" for the root.
    pub fn path(&self, number: u32) -> Option<String> {
        let mut components = Vec::new();
        let mut at = number;
        while at != ROOT {
            let node = self.get(at)?;
            components.push(self.name_of(node));
            at = node.parent;
        }
        components.reverse();
        Some(components.join("/"))
    }

    /// A file's place in the table on disk.
    pub(crate) fn record(&self, number: u32) -> Option<u32> {
        let record = self.get(number)?.record;
        (record != NO_RECORD).then_some(record)
    }

    /// Bytes of memory that the table takes.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.nodes) + self.names.len() + size_of::<Self>()
    }
}

impl Node {
    fn directory(parent: u32, name_start: u32, name_length: u8, start: u64) -> Self {
        Self {
            start,
            length: 0,
            name_start,
            parent,
            record: NO_RECORD,
            name_length,
            executable: false,
        }
    }

    /// A directory's entries. Both ends were made by [`number`].
    fn entries(&self) -> Range<u32> {
        let first = self.start as u32;
        first..first + self.length as u32
    }
}

fn number(value: usize) -> Result<u32, FormatError> {
    match u32::try_from(value) {
        Ok(number) if number < NO_RECORD => Ok(number),
        _ => Err(FormatError::Lengths),
    }
}

fn name_length(name: &str) -> Result<u8, FormatError> {
    u8::try_from(name.len()).map_err(|_| FormatError::Lengths)
}
