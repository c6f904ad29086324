//! The isolated linker: a virtual store `node_modules/.pnpm`, and symlinks into it.
//!
//! ```text
//! node_modules/<alias>                             -> .pnpm/<directory>/node_modules/<name>
//! node_modules/.pnpm/<directory>/node_modules/<name>              the package
//! node_modules/.pnpm/<directory>/node_modules/<alias>             -> ../../<directory>/…
//! node_modules/.pnpm/<directory>/node_modules/<name>/node_modules/.bin
//! node_modules/.pnpm/node_modules/<alias>          -> ../<directory>/…      (hoisted privately)
//! <project>/node_modules/<alias>                   -> ../../node_modules/.pnpm/<directory>/…
//! ```

use std::collections::HashMap;

use crate::install::lockfile::{ImporterId, Resolution};
use crate::name::PackageName;

use super::bins::{BinCandidates, Rank};
use super::error::LayoutError;
use super::graph::{Edge, Graph, NodeIndex, Target, relative_path, resolve_path};
use super::hoist::{Hoisted, Hoisting, hoist};
use super::input::{BuiltLayout, HoistKind, LayoutInput};
use super::model::{DirectoryIndex, LayoutTree};
use super::tree::TreeBuilder;

pub(super) fn build(input: &LayoutInput<'_>) -> Result<BuiltLayout, LayoutError> {
    let graph = Graph::new(input)?;
    let locations = locations(input, &graph)?;
    let hoisting = hoist(input, &graph, &locations);
    let mut linker = Linker {
        input,
        graph: &graph,
        locations: &locations,
        tree: TreeBuilder::default(),
        built: BuiltLayout::default(),
    };
    let root = linker.tree.root();
    linker.tree.layout.trees.push(LayoutTree {
        importer: ImporterId(None),
        root,
    });
    let is_anything_installed = graph.nodes.iter().any(|node| node.installed.is_some());
    if is_anything_installed || !hoisting.hoisted.is_empty() {
        linker.virtual_store(root, &hoisting)?;
    }
    if !input.settings.virtual_store_only {
        linker.projects(root, &hoisting.hoisted)?;
    }
    linker.injected();
    linker.built.hoisted_dependencies = hoisting.record;
    linker.built.layout = linker.tree.layout;
    Ok(linker.built)
}

/// Where each node is, or would be, below the virtual store: `<directory>/node_modules/<name>`.
fn locations(input: &LayoutInput<'_>, graph: &Graph<'_>) -> Result<Vec<String>, LayoutError> {
    let max_length = input.settings.virtual_store_dir_max_length;
    let mut taken = HashMap::with_capacity(graph.nodes.len());
    let mut locations = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let directory = node
            .dep_path
            .virtual_store_directory_name(max_length)
            .map_err(|source| LayoutError::Name {
                name: node.dep_path.as_str().into(),
                source,
            })?;
        locations.push(format!(
            "{}/node_modules/{}",
            directory.as_str(),
            node.name().as_str()
        ));
        let is_taken =
            node.installed.is_some() && taken.insert(directory.clone(), node.dep_path).is_some();
        if is_taken {
            return Err(LayoutError::Collision {
                path: format!(".pnpm/{}", directory.as_str()).into(),
            });
        }
    }
    Ok(locations)
}

/// What was hoisted into the root project's `node_modules`.
fn public<'h, 'a>(hoisted: &'h [Hoisted<'a>]) -> impl Iterator<Item = &'h Hoisted<'a>> {
    hoisted
        .iter()
        .filter(|hoisted| hoisted.kind == HoistKind::Public)
}

struct Linker<'i, 'a> {
    input: &'i LayoutInput<'a>,
    graph: &'i Graph<'a>,
    locations: &'i [String],
    tree: TreeBuilder,
    built: BuiltLayout,
}

impl<'a> Linker<'_, 'a> {
    /// `.pnpm`.
    fn virtual_store(
        &mut self,
        root: DirectoryIndex,
        hoisting: &Hoisting<'a>,
    ) -> Result<(), LayoutError> {
        let store = self.tree.directory(root, ".pnpm")?;
        for node in 0..self.graph.nodes.len() {
            self.package(store, node)?;
        }
        // pnpm makes this directory also where all goes to the top.
        if hoisting.hoisted.is_empty() {
            return Ok(());
        }
        let private = hoisting
            .hoisted
            .iter()
            .filter(|hoisted| hoisted.kind == HoistKind::Private);
        let modules = self.tree.directory(store, "node_modules")?;
        let mut bins = BinCandidates::default();
        for Hoisted { alias, target, .. } in private {
            match target {
                Target::Node(node) => {
                    let location = &self.locations[*node];
                    self.tree
                        .link(modules, alias, &["../", location].concat())?;
                    bins.offer(self.input, self.graph, target, Rank::Hoisted, || {
                        format!("../../{location}/")
                    });
                }
                Target::Directory(path) => {
                    self.tree
                        .link(modules, alias, &format!("../../../{path}"))?;
                }
            }
        }
        bins.link(&mut self.tree, modules)?;
        Ok(())
    }

    /// A package, its dependencies beside it, and the commands of both within it.
    fn package(&mut self, store: DirectoryIndex, index: NodeIndex) -> Result<(), LayoutError> {
        let node = &self.graph.nodes[index];
        let Some(installed) = node.installed else {
            return Ok(());
        };
        let location = &self.locations[index];
        let directory_name = location.split('/').next().unwrap_or_default();
        let directory = self.tree.new_directory(store, directory_name)?;
        let modules = self.tree.new_directory(directory, "node_modules")?;
        let package = self
            .tree
            .instance(modules, node.name(), node.dep_path, installed)?;
        // From `<directory>/node_modules/<name>/node_modules/.bin` to the virtual store.
        let to_store = if node.name().scope().is_some() {
            "../../../../../.."
        } else {
            "../../../../.."
        };
        let mut bins = BinCandidates::default();
        for edge in node.included_children() {
            // The package itself is at its own name.
            if edge.alias == node.name() || !self.graph.is_installed(&edge.target) {
                continue;
            }
            let link = match &edge.target {
                // The package itself by another name.
                Target::Node(child) if *child == index => node.name().as_str().to_owned(),
                Target::Node(child) => ["../../", &self.locations[*child]].concat(),
                Target::Directory(path) if path.starts_with('/') => path.to_string(),
                Target::Directory(path) => format!("../../../../{path}"),
            };
            if self.input.settings.symlink {
                self.tree.link(modules, edge.alias, &link)?;
            }
            // A linked directory brings no commands into a package, only into a project.
            if let Target::Node(child) = edge.target {
                bins.offer(self.input, self.graph, &edge.target, Rank::Direct, || {
                    format!("{to_store}/{}/", self.locations[child])
                });
            }
        }
        bins.offer(
            self.input,
            self.graph,
            &Target::Node(index),
            Rank::Direct,
            || "../../".into(),
        );
        bins.offer_bundled(installed);
        if bins.is_empty() {
            return Ok(());
        }
        let own_modules = self.tree.directory(package, "node_modules")?;
        bins.link(&mut self.tree, own_modules)?;
        Ok(())
    }

    fn projects(
        &mut self,
        root: DirectoryIndex,
        hoisted: &[Hoisted<'a>],
    ) -> Result<(), LayoutError> {
        self.root_project(root, hoisted)?;
        let graph = self.graph;
        for project in &graph.projects {
            if let Some(path) = &project.id.0 {
                let direct = self.direct(&project.direct);
                self.project(project.id, path.as_str(), &direct, hoisted)?;
            }
        }
        Ok(())
    }

    fn root_project(
        &mut self,
        root: DirectoryIndex,
        hoisted: &[Hoisted<'a>],
    ) -> Result<(), LayoutError> {
        let project = self
            .graph
            .projects
            .iter()
            .find(|project| project.id.0.is_none());
        let direct = project
            .map(|project| self.direct(&project.direct))
            .unwrap_or_default();
        let modules = &*self.input.settings.modules_directory;
        let mut bins = self.project_bins(modules);
        for Edge { alias, target } in direct {
            let link = self.offer(&mut bins, "", target, Rank::Direct);
            if self.input.settings.symlink {
                self.tree.link(root, alias, &link)?;
            }
            if let Target::Node(node) = target {
                self.peer_bins(&mut bins, modules, *node);
            }
        }
        for Hoisted { alias, target, .. } in public(hoisted) {
            // The root may link a directory by this name: that stays.
            if !self.tree.has(root, alias) {
                let link = self.offer(&mut bins, "", target, Rank::Hoisted);
                self.tree.link(root, alias, &link)?;
            }
        }
        self.link_bins(bins, root, modules)
    }

    fn project(
        &mut self,
        id: &ImporterId,
        path: &str,
        direct: &[&Edge<'a>],
        hoisted: &[Hoisted<'a>],
    ) -> Result<(), LayoutError> {
        let deduplicated = self.deduplicated(direct, hoisted);
        let modules = format!("{path}/{}", self.input.settings.modules_directory);
        // A dependency that the root has for this project brings its peers' commands here.
        let mut bins = self.project_bins(&modules);
        for edge in direct {
            if let Target::Node(node) = edge.target {
                self.peer_bins(&mut bins, &modules, node);
            }
        }
        let mut links = Vec::with_capacity(deduplicated.len());
        for Edge { alias, target } in deduplicated {
            let link = self.offer(&mut bins, path, target, Rank::Direct);
            if self.input.settings.symlink {
                links.push((*alias, link));
            }
        }
        if links.is_empty() && bins.is_empty() {
            return Ok(());
        }
        let root = self.tree.root();
        self.tree.layout.trees.push(LayoutTree {
            importer: id.clone(),
            root,
        });
        for (alias, link) in links {
            self.tree.link(root, alias, &link)?;
        }
        self.link_bins(bins, root, &modules)
    }

    /// What of `direct` a project needs itself: with `dedupeDirectDeps` not what the root has by
    /// the same name, as its own dependency or because it was hoisted there.
    fn deduplicated<'e>(
        &self,
        direct: &[&'e Edge<'a>],
        hoisted: &[Hoisted<'a>],
    ) -> Vec<&'e Edge<'a>> {
        if !self.input.settings.dedupe_direct_deps {
            return direct.to_vec();
        }
        let root = self
            .graph
            .projects
            .iter()
            .find(|project| project.id.0.is_none());
        let mut of_root: HashMap<&PackageName, &Target> = public(hoisted)
            .map(|hoisted| (hoisted.alias, &hoisted.target))
            .collect();
        let own = root.map(|root| self.direct(&root.direct));
        of_root.extend(
            own.into_iter()
                .flatten()
                .map(|edge| (edge.alias, &edge.target)),
        );
        let is_own = |edge: &Edge<'_>| of_root.get(edge.alias) != Some(&&edge.target);
        direct.iter().copied().filter(|edge| is_own(edge)).collect()
    }

    /// Where a link in the `node_modules` of the project at `path` leads, to a dependency whose
    /// commands are offered.
    fn offer(
        &self,
        bins: &mut BinCandidates<'a>,
        path: &str,
        target: &Target,
        rank: Rank,
    ) -> String {
        let absolute = match target {
            Target::Node(node) => self.place_of(*node),
            Target::Directory(directory) => directory.to_string(),
        };
        let own = &*self.input.settings.modules_directory;
        let modules = match path {
            "" => own,
            path => &format!("{path}/{own}"),
        };
        let link = relative_path(modules, &absolute);
        bins.offer(self.input, self.graph, target, rank, || {
            if absolute.starts_with('/') {
                format!("{absolute}/")
            } else {
                format!("../{link}/")
            }
        });
        link
    }

    /// Offers the commands of the packages that were installed because a direct dependency needs
    /// them as peers: with `autoInstallPeers` the project need not depend on them itself.
    fn peer_bins(&self, bins: &mut BinCandidates<'a>, modules: &str, node: NodeIndex) {
        if !self.graph.installs_peers {
            return;
        }
        let node = &self.graph.nodes[node];
        for edge in node.included_children() {
            let Target::Node(peer) = edge.target else {
                continue;
            };
            if node.requires_peer(edge.alias.as_str()) {
                let place = self.place_of(peer);
                bins.offer(self.input, self.graph, &edge.target, Rank::Peer, || {
                    format!("../{}/", relative_path(modules, &place))
                });
            }
        }
    }

    /// For the commands of the project with the directory `modules`. What is hoisted out of its
    /// sight is in the virtual store.
    fn project_bins(&self, modules: &str) -> BinCandidates<'a> {
        let settings = self.input.settings;
        let hoists = settings.hoist_pattern.as_ref();
        if !settings.extend_node_path || hoists.is_none_or(|patterns| patterns.is_empty()) {
            return BinCandidates::default();
        }
        let commands = format!("{modules}/.bin");
        let hidden = format!("{}/.pnpm/node_modules", settings.modules_directory);
        BinCandidates::that_extend_node_path(relative_path(&commands, &hidden))
    }

    /// Where a package is, relative to the lockfile's directory.
    fn place_of(&self, node: NodeIndex) -> String {
        let modules = &self.input.settings.modules_directory;
        format!("{modules}/.pnpm/{}", self.locations[node])
    }

    fn link_bins(
        &mut self,
        bins: BinCandidates<'a>,
        parent: DirectoryIndex,
        path: &str,
    ) -> Result<(), LayoutError> {
        bins.link_and_warn(&mut self.tree, parent, path, &mut self.built.warnings)
    }

    fn direct<'e>(&self, edges: &'e [Edge<'a>]) -> Vec<&'e Edge<'a>> {
        edges
            .iter()
            .filter(|edge| self.graph.is_installed(&edge.target))
            .collect()
    }

    /// Records the instances whose content is a directory's (`injectedDeps`).
    fn injected(&mut self) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let Resolution::Directory { directory } = &node.package.resolution else {
                continue;
            };
            let directory = resolve_path("", directory);
            if node.installed.is_some() {
                let place = self.place_of(index);
                let places = self
                    .built
                    .injected_dependencies
                    .entry(directory)
                    .or_default();
                places.push(place.into());
            }
        }
    }
}
