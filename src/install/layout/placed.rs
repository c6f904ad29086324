//! A tree whose places are given, as a lockfile of npm gives them: nothing is hoisted or moved.

use std::collections::{BTreeMap, HashMap};

use crate::install::lockfile::{DepPath, ImporterId};
use crate::install::package_lock::{
    Base, HIDDEN_FILE_NAME, Location, Placed, PlacedContent, compare_names, locations,
};
use crate::name::{BinName, PackageName, RelativePath};

use super::error::LayoutError;
use super::graph::relative_path;
use super::input::{BuiltLayout, InstalledPackage, ManifestFacts};
use super::model::{DirectoryIndex, LayoutEntry, LayoutTree};
use super::tree::TreeBuilder;

/// Everything that decides the layout.
#[derive(Debug, Clone, Copy)]
pub struct PlacedInput<'a> {
    /// What goes where.
    pub places: &'a [Placed],
    /// The packages, with what the store knows of them.
    pub installed: &'a HashMap<DepPath, InstalledPackage>,
    /// Manifests of directories that links lead to, with the commands whose targets are there.
    pub manifests: &'a BTreeMap<Box<str>, ManifestFacts>,
    /// The content of [`HIDDEN_FILE_NAME`].
    pub hidden: &'a [u8],
}

/// Builds the layout.
///
/// # Errors
/// Where two things would be at one place.
pub fn build_placed(input: &PlacedInput<'_>) -> Result<BuiltLayout, LayoutError> {
    let mut builder = Builder {
        input,
        tree: TreeBuilder::default(),
        roots: BTreeMap::new(),
        bins: BTreeMap::new(),
        facts: HashMap::new(),
    };
    let root = builder.tree.root();
    builder.add_tree(ImporterId(None), root);
    // What is around something is there before it.
    let mut places: Vec<&Placed> = input.places.iter().collect();
    places.sort_by_key(|placed| placed.location.depth());
    for placed in places {
        builder.place(placed)?;
    }
    builder.link_bins()?;
    if !input.places.is_empty() {
        let content = LayoutEntry::File {
            content: input.hidden.into(),
            executable: false,
        };
        builder.tree.insert(root, HIDDEN_FILE_NAME, content)?;
    }
    Ok(BuiltLayout {
        layout: builder.tree.layout,
        hoisted_locations: locations(input.places),
        ..BuiltLayout::default()
    })
}

/// A command that one `.bin` directory could hold.
#[derive(Clone)]
struct Command {
    name: BinName,
    /// As seen from `.bin`.
    target: String,
    /// Links come last.
    is_of_link: bool,
    alias: PackageName,
}

struct Builder<'i, 'a> {
    input: &'i PlacedInput<'a>,
    tree: TreeBuilder,
    /// The `node_modules` of the project and of directories in it.
    roots: BTreeMap<Option<RelativePath>, DirectoryIndex>,
    /// By the `node_modules` whose `.bin` it is.
    bins: BTreeMap<DirectoryIndex, Vec<Command>>,
    /// The packages by location.
    facts: HashMap<&'i str, &'a InstalledPackage>,
}

impl<'i> Builder<'i, '_> {
    fn add_tree(&mut self, importer: ImporterId, root: DirectoryIndex) {
        self.roots.insert(importer.0.clone(), root);
        self.tree.layout.trees.push(LayoutTree { importer, root });
    }

    fn place(&mut self, placed: &'i Placed) -> Result<(), LayoutError> {
        let location = &placed.location;
        let Some(alias) = location.name() else {
            return Ok(());
        };
        match &placed.content {
            PlacedContent::Package(dep_path) => {
                let Some(installed) = self.input.installed.get(dep_path) else {
                    return Ok(());
                };
                let modules = self.modules(location)?;
                self.tree.instance(modules, alias, dep_path, installed)?;
                self.facts.insert(location.as_str(), installed);
                for bin in &installed.record.facts.bins {
                    if placed.bins.iter().any(|name| **name == *bin.name.as_str()) {
                        let target = format!("../{}/{}", alias.as_str(), bin.target.as_str());
                        self.offer(modules, placed, bin.name.clone(), target);
                    }
                }
            }
            PlacedContent::Carried => self.carried(placed, alias)?,
            PlacedContent::Link(target) => {
                let modules = self.modules(location)?;
                let directory = format!("{}/node_modules", location.parent().unwrap_or_default());
                let link = relative_path(directory.trim_start_matches('/'), target);
                self.tree.link(modules, alias, &link)?;
                let key = if target.is_empty() { "." } else { target };
                let manifest = self.input.manifests.get(key);
                for bin in manifest.into_iter().flat_map(|manifest| &manifest.bins) {
                    let target = format!("../{}/{}", alias.as_str(), bin.target.as_str());
                    self.offer(modules, placed, bin.name.clone(), target);
                }
            }
        }
        Ok(())
    }

    /// The commands of a package that is in the archive of the one around it.
    fn carried(&mut self, placed: &'i Placed, alias: &PackageName) -> Result<(), LayoutError> {
        let around = placed.location.parent().unwrap_or_default();
        let Some(around) = self.facts.get(around).filter(|_| !placed.bins.is_empty()) else {
            return Ok(());
        };
        let prefix = format!("node_modules/{}/", alias.as_str());
        let commands: Vec<(BinName, String)> = around
            .record
            .facts
            .bundled_bins
            .iter()
            .filter(|bundled| {
                placed
                    .bins
                    .iter()
                    .any(|name| **name == *bundled.bin.name.as_str())
            })
            .filter_map(|bundled| {
                let target = bundled.bin.target.as_str().strip_prefix(&prefix)?;
                let target = format!("../{}/{target}", alias.as_str());
                Some((bundled.bin.name.clone(), target))
            })
            .collect();
        if commands.is_empty() {
            return Ok(());
        }
        let modules = self.modules(&placed.location)?;
        for (name, target) in commands {
            self.offer(modules, placed, name, target);
        }
        Ok(())
    }

    fn offer(&mut self, modules: DirectoryIndex, placed: &Placed, name: BinName, target: String) {
        let Some(alias) = placed.location.name().cloned() else {
            return;
        };
        self.bins.entry(modules).or_default().push(Command {
            name,
            target,
            is_of_link: matches!(placed.content, PlacedContent::Link(_)),
            alias,
        });
    }

    /// The `node_modules` that a location is in.
    fn modules(&mut self, location: &Location) -> Result<DirectoryIndex, LayoutError> {
        let base = match location.base() {
            Base::Root => None,
            Base::Inside(path) => Some(path.clone()),
            Base::Outside(_) => {
                let path = location.as_str().into();
                return Err(LayoutError::Collision { path });
            }
        };
        let mut at = match self.roots.get(&base) {
            Some(root) => *root,
            None => {
                let root = self.tree.root();
                self.add_tree(ImporterId(base), root);
                root
            }
        };
        let around = location
            .names()
            .split_last()
            .map_or(&[][..], |(_, names)| names);
        for name in around {
            for component in name.as_str().split('/') {
                at = self.tree.directory(at, component)?;
            }
            at = self.tree.directory(at, "node_modules")?;
        }
        Ok(at)
    }

    /// Of those that offer a command at one place the first has it, in the order of a dictionary.
    /// npm makes symlinks of all of them.
    fn link_bins(&mut self) -> Result<(), LayoutError> {
        for (modules, mut commands) in std::mem::take(&mut self.bins) {
            commands.sort_by(|a, b| {
                a.is_of_link
                    .cmp(&b.is_of_link)
                    .then_with(|| compare_names(a.alias.as_str(), b.alias.as_str()))
            });
            let bin = self.tree.directory(modules, ".bin")?;
            for command in commands {
                let name = command.name.as_str();
                let own = &self.tree.layout.directories[bin.0 as usize].entries;
                if !own.contains_key(name) {
                    let link = LayoutEntry::Symlink(command.target.into());
                    self.tree.insert(bin, name, link)?;
                }
            }
        }
        Ok(())
    }
}
