//! The walk down from a project.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::cache::{CachedResult, extend, extend_missing, is_among};
use super::context::{Context, Parent, Parents};
use super::finish::{LastWalk, Record};
use super::missing::{MissingIssue, MissingScope, MissingSummary};
use super::{
    Chain, Discovered, Missing, MissingPeers, Outcome, PeerNodes, PeerOptions, Project, State,
};
use crate::install::resolve::components::components;
use crate::install::resolve::forest::{
    Direct, Edge, Forest, LINK_DEPTH, Node, NodeId, Package, PackageIndex,
};
use crate::install::resolve::local::{is_below, relative_text};
use crate::install::resolve::symbols::Symbol;
use crate::install::resolve::versions;

/// Component of each package in the graph of what was chosen.
pub(super) fn package_components(forest: &Forest) -> Vec<u32> {
    let neighbours: Vec<Vec<u32>> = forest
        .packages
        .iter()
        .map(|package| {
            package
                .children()
                .iter()
                .map(|edge| edge.package.0)
                .collect()
        })
        .collect();
    components(forest.packages.len(), &neighbours)
}

pub(super) struct Walk<'a> {
    pub(super) forest: &'a Forest,
    pub(super) state: &'a mut State,
    pub(super) options: &'a PeerOptions,
    /// What only the last walk records.
    pub(super) last: Option<LastWalk>,
    pub(super) scope: Option<&'a MissingScope<'a>>,
    pub(super) missing: std::collections::BTreeMap<Symbol, Vec<MissingIssue>>,
    /// Nodes that may be the peers that the lockfile has; `None` in a walk that finds these out.
    pub(super) providers: Option<FxHashSet<NodeId>>,
    /// Whether some node has other peers than the lockfile has for it.
    pub(super) differs_from_locked: bool,
    /// [`Project::changed`] of the project that is being visited.
    pub(super) changed: FxHashSet<NodeId>,
    /// [`Project::changed`] of the root project, whose dependencies others have in sight.
    pub(super) changed_of_root: FxHashSet<NodeId>,
    in_progress: FxHashSet<NodeId>,
    visited: FxHashSet<NodeId>,
    /// Nodes that edges lead back to are being visited: what is missing for them is reported
    /// where they really are.
    visits_back_nodes: bool,
}

/// What is known at a node of what is above it.
#[derive(Clone, Copy)]
struct Above<'p> {
    parents: &'p Rc<Parents>,
    context: &'p Rc<Context>,
    chain: &'p Chain,
}

/// What the children of a node came to, together.
#[derive(Default)]
struct FromChildren {
    external: PeerNodes,
    providers: PeerNodes,
    missing: MissingPeers,
    summaries: Vec<Rc<MissingSummary>>,
}

impl FromChildren {
    fn add(&mut self, outcome: Outcome, aliases: &[Symbol]) {
        if let Some(summary) = outcome.summary
            && !self
                .summaries
                .iter()
                .any(|known| Rc::ptr_eq(known, &summary))
        {
            self.summaries.push(summary);
        }
        extend(&mut self.providers, &outcome.providers);
        for (name, node) in outcome.external.iter() {
            if !is_among(aliases, *name) {
                self.external.insert(*name, *node);
            }
        }
        extend_missing(&mut self.missing, &outcome.missing);
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        forest: &'a Forest,
        state: &'a mut State,
        options: &'a PeerOptions,
        is_discovery: bool,
    ) -> Self {
        Self {
            forest,
            state,
            options,
            last: (!is_discovery).then(LastWalk::default),
            scope: None,
            missing: std::collections::BTreeMap::new(),
            providers: None,
            differs_from_locked: false,
            changed: FxHashSet::default(),
            changed_of_root: FxHashSet::default(),
            in_progress: FxHashSet::default(),
            visited: FxHashSet::default(),
            visits_back_nodes: false,
        }
    }

    pub(super) fn node(&self, node: NodeId) -> Node {
        match node.place() {
            (at, true) => self.state.nodes[at],
            (at, false) => self.forest.nodes[at],
        }
    }

    fn add_node(&mut self, package: PackageIndex, depth: i32) -> NodeId {
        if let Some(node) = self.forest.package(package).only_node {
            return node;
        }
        let node = NodeId::local(self.state.nodes.len());
        self.state.nodes.push(Node { package, depth });
        node
    }

    /// One discovery over `walked`, some of the dependencies of `project`.
    pub(super) fn discover(mut self, project: &Project, walked: &[Direct]) -> Discovered {
        let mut found = Discovered::default();
        let parents = Rc::new(self.parents_of(project));
        for outcome in self.visit_project(project, walked, &parents) {
            extend(&mut found.providers, &outcome.providers);
            if let Some(summary) = outcome.summary
                && !found
                    .summaries
                    .iter()
                    .any(|known| Rc::ptr_eq(known, &summary))
            {
                found.summaries.push(summary);
            }
        }
        found.missing = self.missing;
        found
    }

    /// Visits `walked`: first what is the project's own, then what only offers itself to others,
    /// where its place in the tree was not visited.
    pub(super) fn visit_project(
        &mut self,
        project: &Project,
        walked: &[Direct],
        parents: &Rc<Parents>,
    ) -> Vec<Outcome> {
        self.changed.clone_from(&project.changed);
        let context = Rc::new(Context::of(parents, &self.forest.peer_names));
        let above = Above {
            parents,
            context: &context,
            chain: &Chain::default(),
        };
        let (own, providers): (Vec<&Direct>, Vec<&Direct>) = walked
            .iter()
            .partition(|direct| !project.providers.contains(&direct.node));
        let mut outcomes = Vec::with_capacity(walked.len());
        for direct in &own {
            self.keep_context(direct, &context);
        }
        for direct in own {
            outcomes.push(self.visit(direct.node, above));
        }
        for direct in providers {
            if !self.visited.contains(&direct.node) {
                self.keep_context(direct, &context);
                outcomes.push(self.visit(direct.node, above));
            }
        }
        self.visits_back_nodes = true;
        while let Some(node) = self.state.pending_back_nodes.pop() {
            if !self.visited.contains(&node) {
                self.visit(node, above);
            }
        }
        self.visits_back_nodes = false;
        outcomes
    }

    fn keep_context(&mut self, direct: &Direct, context: &Rc<Context>) {
        if self.is_wanted_as_peer(direct.alias, direct.package) {
            self.state.contexts.insert(direct.node, Rc::clone(context));
        }
    }

    fn is_wanted_as_peer(&self, alias: Symbol, package: PackageIndex) -> bool {
        let names = &self.forest.peer_names;
        names.contains(&alias) || names.contains(&self.forest.package(package).name)
    }

    /// What a project's own dependencies offer.
    pub(super) fn parents_of(&mut self, project: &Project) -> Parents {
        let mut parents = Parents::default();
        for direct in &project.direct {
            if !self.is_wanted_as_peer(direct.alias, direct.package) {
                continue;
            }
            let node = self.renamed_link(project, direct).unwrap_or(direct.node);
            let depth = self.node(direct.node).depth;
            self.offer(&mut parents, direct.alias, node, direct.package, depth);
        }
        parents
    }

    /// The node by which a link out of the lockfile's directory is known, so that the lockfile
    /// does not depend on where that is.
    fn renamed_link(&mut self, project: &Project, direct: &Direct) -> Option<NodeId> {
        if !self.options.exclude_links {
            return None;
        }
        let target = self
            .forest
            .package(direct.package)
            .id
            .strip_prefix("link:")?;
        let root = &self.options.lockfile_directory;
        if is_below(root, &root.join(target)) {
            return None;
        }
        let place = project
            .modules_directory
            .join(self.forest.text(direct.alias));
        let name = format!("link:{}", relative_text(root, &place));
        let node = NodeId::local(self.state.nodes.len());
        self.state.nodes.push(Node {
            package: direct.package,
            depth: LINK_DEPTH,
        });
        self.state.renamed_links.insert(node, name.into());
        Some(node)
    }

    /// Puts a package into sight, by its alias and by its name.
    fn offer(
        &self,
        parents: &mut Parents,
        alias: Symbol,
        node: NodeId,
        package: PackageIndex,
        depth: i32,
    ) {
        let name = self.forest.package(package).name;
        let parent = Parent {
            node,
            package,
            alias: (alias != name).then_some(alias),
            depth,
            occurrence: 0,
        };
        self.offer_as(parents, alias, parent);
        if alias != name {
            self.offer_as(parents, name, parent);
        }
    }

    /// Under its own name a package comes before one that is there under an alias; of two with
    /// aliases the higher version comes first.
    fn offer_as(&self, parents: &mut Parents, name: Symbol, parent: Parent) {
        if let Some(known) = parents.get(&name) {
            let is_renamed = |parent: &Parent| parent.alias.is_some_and(|alias| alias != name);
            if !is_renamed(known) {
                return;
            }
            let version = |parent: &Parent| self.package(parent).resolved.peer_version();
            if is_renamed(&parent) && versions::is_at_least(version(known), version(&parent)) {
                return;
            }
        }
        parents.insert(name, parent);
    }

    fn package(&self, parent: &Parent) -> &Package {
        self.forest.package(parent.package)
    }

    fn visit(&mut self, node: NodeId, above: Above<'_>) -> Outcome {
        let Node {
            package: index,
            depth,
        } = self.node(node);
        let package = self.forest.package(index);
        let is_pure = depth == LINK_DEPTH
            || (self.state.pure.contains(&index) && package.peers.is_empty())
            || self.in_progress.contains(&node);
        if is_pure {
            let path = self.state.paths.of(&package.id);
            if !self.in_progress.contains(&node) {
                self.remember(node, path, true);
            }
            return Outcome::pure(path);
        }
        let children = package.children();
        let has_locked = self.last.is_some() && self.forest.locked_peers.contains_key(&node);
        if has_locked && self.providers.is_none() {
            self.note_locked(node, index, above.parents);
        }
        if !(has_locked || self.provides_children(&children))
            && let Some(result) = self.cached(index, above.parents)
        {
            let outcome = result.outcome();
            return self.reuse(node, outcome, above.chain);
        }
        self.in_progress.insert(node);
        let outcome = self.visit_new(node, index, &children, above);
        self.in_progress.remove(&node);
        outcome
    }

    fn provides_children(&self, children: &[Edge]) -> bool {
        children
            .iter()
            .any(|edge| self.is_wanted_as_peer(edge.alias, edge.package))
    }

    fn visit_new(
        &mut self,
        node: NodeId,
        index: PackageIndex,
        children: &Arc<[Edge]>,
        above: Above<'_>,
    ) -> Outcome {
        let is_laid_out = self.laid_out(node).is_some();
        let nodes = self.lay_out(node, index, children);
        let own = self.offered_by_children(index, children, &nodes, is_laid_out);
        let parents = self.parents_below(above.parents, &own, children);
        let parents = self.with_locked(node, index, parents);
        let context = if Rc::ptr_eq(&parents, above.parents) {
            Rc::clone(above.context)
        } else {
            Rc::new(Context::of(&parents, &self.forest.peer_names))
        };
        for parent in own.values() {
            self.state.contexts.insert(parent.node, Rc::clone(&context));
        }
        if let Some(result) = self.cached(index, &parents) {
            let outcome = result.outcome();
            return self.reuse(node, outcome, above.chain);
        }
        let chain = above.chain.pushed(index);
        let below = Above {
            parents: &parents,
            context: &context,
            chain: &chain,
        };
        let aliases: Vec<Symbol> = children.iter().map(|edge| edge.alias).collect();
        let mut from_children = FromChildren::default();
        for is_repeated in [true, false] {
            for (edge, child) in children.iter().zip(nodes.iter()) {
                if parents.contains_key(&edge.alias) == is_repeated
                    && !self.is_cut(index, edge.package)
                {
                    let outcome = self.visit(*child, below);
                    from_children.add(outcome, &aliases);
                }
            }
        }
        // A project is offered only what is below those for whom dependencies were chosen.
        if !is_laid_out && self.last.is_none() {
            from_children.providers.clear();
        }
        self.conclude(
            node,
            index,
            (children, &nodes, &aliases),
            from_children,
            (&parents, above.chain),
        )
    }

    /// Whether the edge leads back within a cycle of packages.
    pub(super) fn is_cut(&self, from: PackageIndex, to: PackageIndex) -> bool {
        if from == to {
            return true;
        }
        let component = |package: PackageIndex| self.state.components.get(package.0 as usize);
        component(from) == component(to)
            && self.forest.package(to).id <= self.forest.package(from).id
    }

    fn laid_out(&self, node: NodeId) -> Option<&Arc<[NodeId]>> {
        if let (at, false) = node.place()
            && let Some(nodes) = &self.forest.laid_out[at]
        {
            return Some(nodes);
        }
        self.state.laid_out.get(&node)
    }

    /// The nodes of the edges of `node`, which get some where they have none.
    fn lay_out(
        &mut self,
        node: NodeId,
        index: PackageIndex,
        children: &Arc<[Edge]>,
    ) -> Arc<[NodeId]> {
        if let Some(nodes) = self.laid_out(node) {
            return Arc::clone(nodes);
        }
        let depth = self.node(node).depth + 1;
        let is_last = self.last.is_some();
        let nodes: Arc<[NodeId]> = children
            .iter()
            .map(|edge| match self.is_cut(index, edge.package) {
                true if is_last => self.back_node(edge.package, depth),
                // A discovery does not go there.
                true => node,
                false => self.add_node(edge.package, depth),
            })
            .collect();
        if is_last {
            self.state.laid_out.insert(node, Arc::clone(&nodes));
        }
        nodes
    }

    /// The one node for all edges that lead back to `package`; it is visited as if the project
    /// had it.
    pub(super) fn back_node(&mut self, package: PackageIndex, depth: i32) -> NodeId {
        if let Some(node) = self.forest.package(package).only_node {
            return node;
        }
        if let Some(node) = self.state.back_nodes.get(&package) {
            return *node;
        }
        let node = self.add_node(package, depth);
        self.state.back_nodes.insert(package, node);
        self.state.pending_back_nodes.push(node);
        node
    }

    fn offered_by_children(
        &self,
        index: PackageIndex,
        children: &[Edge],
        nodes: &[NodeId],
        is_laid_out: bool,
    ) -> Parents {
        let mut own = Parents::default();
        for (edge, child) in children.iter().zip(nodes) {
            let is_cut = !is_laid_out && self.is_cut(index, edge.package);
            if !is_cut && self.is_wanted_as_peer(edge.alias, edge.package) {
                let depth = self.node(*child).depth;
                self.offer(&mut own, edge.alias, *child, edge.package, depth);
            }
        }
        own
    }

    /// What is in sight below a node: what is above it and what it brings itself.
    fn parents_below(&self, above: &Rc<Parents>, own: &Parents, children: &[Edge]) -> Rc<Parents> {
        let mut parents = Rc::clone(above);
        if own.is_empty() {
            return parents;
        }
        let mut joined: Option<Parents> = None;
        let mut changes: Vec<(Symbol, Parent)> = Vec::new();
        for (name, new) in own {
            let Some(known) = parents.get(name) else {
                changes.push((*name, *new));
                continue;
            };
            let joined = joined.get_or_insert_with(|| {
                let mut joined = (*parents).clone();
                joined.extend(own.iter().map(|(name, parent)| (*name, *parent)));
                joined
            });
            if !self.is_same_package(known, new)
                || self.breaks_diamond(joined, known, new, children)
            {
                let occurrence = known.occurrence + 1;
                changes.push((*name, Parent { occurrence, ..*new }));
            }
        }
        if !changes.is_empty() {
            Rc::make_mut(&mut parents).extend(changes);
        }
        parents
    }

    fn is_same_package(&self, left: &Parent, right: &Parent) -> bool {
        let (one, other) = (self.package(left), self.package(right));
        left.alias == right.alias
            && one.name == other.name
            && one.resolved.peer_version() == other.resolved.peer_version()
    }

    /// The same version is in sight already and would be used instead of the node's own. That is
    /// wrong where the two see different peers, and a child has both them and the package as peers.
    fn breaks_diamond(
        &self,
        joined: &Parents,
        inherited: &Parent,
        own: &Parent,
        children: &[Edge],
    ) -> bool {
        if inherited.node == own.node {
            return false;
        }
        let Some(context) = self.state.contexts.get(&inherited.node) else {
            return false;
        };
        let package = self.package(own);
        let differs = |name: &Symbol| -> bool {
            match (context.seen.get(name), joined.get(name)) {
                (Some(seen), Some(now)) => seen.package != now.package,
                _ => false,
            }
        };
        let differing: Vec<Symbol> = package
            .peers
            .iter()
            .map(|peer| peer.name)
            .filter(differs)
            .collect();
        !differing.is_empty()
            && children.iter().any(|edge| {
                let peers = &self.forest.package(edge.package).peers;
                let has = |name: Symbol| peers.iter().any(|peer| peer.name == name);
                has(package.name) && differing.iter().any(|name| has(*name))
            })
    }

    /// Takes a node's peers, and puts together what it comes to.
    fn conclude(
        &mut self,
        node: NodeId,
        index: PackageIndex,
        (children, nodes, aliases): (&Arc<[Edge]>, &Arc<[NodeId]>, &[Symbol]),
        from_children: FromChildren,
        (parents, above): (&Parents, &Chain),
    ) -> Outcome {
        let package = self.forest.package(index);
        let FromChildren {
            external,
            mut providers,
            missing: missing_below,
            mut summaries,
        } = from_children;
        let (mut all, mut all_missing, mut own) =
            (external, missing_below.clone(), PeerNodes::new());
        for peer in &package.peers {
            if let Some(parent) = parents.get(&peer.name) {
                own.insert(peer.name, parent.node);
                continue;
            }
            let missing = Missing::of(peer);
            self.report_missing(peer.name, &missing, above);
            let known = all_missing.entry(peer.name).or_default();
            if !known.contains(&missing) {
                Rc::make_mut(known).push(missing);
            }
        }
        extend(&mut all, &own);
        let takes_itself = self.leave_out_itself(index, &mut all);
        extend(&mut providers, &own);
        let path = self.path_during_walk(package, &all);
        let is_complete = all.values().all(|peer| self.is_complete(*peer));
        self.remember(node, path, is_complete);
        let own_missing =
            (!missing_below.is_empty()).then(|| (index, missing_below.keys().copied().collect()));
        let summary = match (own_missing, summaries.len()) {
            (None, 0 | 1) => summaries.pop(),
            (own, _) => Some(Rc::new(MissingSummary {
                own,
                children: summaries,
            })),
        };
        let is_pure = all.is_empty() && all_missing.is_empty() && !takes_itself;
        let (all, all_missing) = (Rc::new(all), Rc::new(all_missing));
        if is_pure {
            self.state.pure.insert(index);
        } else {
            let result = CachedResult {
                path,
                is_complete,
                takes_itself,
                external: Rc::clone(&all),
                missing: Rc::clone(&all_missing),
                summary: summary.clone(),
            };
            self.state.cache.entry(index).or_default().push(result);
        }
        self.record(node, index, children, nodes, (&all, &all_missing, own));
        let mut external = PeerNodes::clone(&all);
        external.retain(|name, _| !is_among(aliases, *name));
        Outcome {
            path,
            is_complete,
            external: Rc::new(external),
            providers,
            missing: all_missing,
            summary,
        }
    }

    /// A package is no peer of itself, though another version of it is. Says whether it was one.
    fn leave_out_itself(&self, index: PackageIndex, peers: &mut PeerNodes) -> bool {
        let name = self.forest.package(index).name;
        let own = peers.get(&name);
        let is_itself = own.is_some_and(|peer| self.node(*peer).package == index);
        if is_itself {
            peers.remove(&name);
        }
        is_itself
    }

    /// What the last walk keeps of a node.
    fn record(
        &mut self,
        node: NodeId,
        index: PackageIndex,
        children: &Arc<[Edge]>,
        nodes: &Arc<[NodeId]>,
        (all, all_missing, own): (&Rc<PeerNodes>, &Rc<MissingPeers>, PeerNodes),
    ) {
        if self.last.is_none() {
            return;
        }
        let depth = self.node(node).depth + 1;
        let mut edges: FxHashMap<Symbol, NodeId> = FxHashMap::default();
        for (edge, child) in children.iter().zip(nodes.iter()) {
            let leads_back =
                self.is_cut(index, edge.package) && !self.state.node_paths.contains_key(child);
            let target = if leads_back {
                self.back_node(edge.package, depth)
            } else {
                *child
            };
            edges.insert(edge.alias, target);
        }
        edges.extend(own);
        let peers = &self.forest.package(index).peers;
        let passed_on: FxHashSet<Symbol> = all
            .keys()
            .chain(all_missing.keys())
            .copied()
            .filter(|name| !peers.iter().any(|peer| peer.name == *name))
            .collect();
        if let Some(last) = &mut self.last {
            last.external.insert(node, Rc::clone(all));
            last.records.push(Record {
                node,
                package: index,
                edges,
                passed_on,
            });
        }
    }

    pub(super) fn report_missing(&mut self, name: Symbol, missing: &Missing, ancestors: &Chain) {
        if self.visits_back_nodes
            || self
                .scope
                .is_some_and(|scope| scope.leaves_out(ancestors, name))
        {
            return;
        }
        self.missing.entry(name).or_default().push(MissingIssue {
            range: Arc::clone(&missing.range),
            optional: missing.optional,
            ancestors: ancestors.clone(),
        });
    }

    pub(super) fn remember(&mut self, node: NodeId, path: Symbol, is_complete: bool) {
        self.state.node_paths.insert(node, path);
        if !is_complete {
            self.state.incomplete.insert(node);
        }
        self.visited.insert(node);
    }

    /// A dependency path of which peers that are still being visited have no suffix.
    fn path_during_walk(&mut self, package: &Package, peers: &PeerNodes) -> Symbol {
        if peers.is_empty() {
            return self.state.paths.of(&package.id);
        }
        let segments = peers
            .iter()
            .map(|(name, node)| self.segment_during_walk(*name, *node))
            .collect();
        let suffix = versions::peers_suffix(segments, self.options.suffix_length_max);
        self.state.paths.of(&format!("{}{suffix}", package.id))
    }

    /// Whether a suffix that names `peer` now names its peers too.
    fn is_complete(&self, peer: NodeId) -> bool {
        self.options.dedupe_peers
            || self.forest.package(self.node(peer).package).is_link()
            || (self.state.node_paths.contains_key(&peer) && !self.state.incomplete.contains(&peer))
    }

    fn segment_during_walk(&self, name: Symbol, node: NodeId) -> String {
        let index = self.node(node).package;
        if let Some(segment) = self.link_segment(name, node) {
            return segment;
        }
        match self.state.node_paths.get(&node) {
            Some(path) if !self.options.dedupe_peers => self.state.paths.text(*path).to_string(),
            _ => self.forest.peer_pair(index),
        }
    }

    /// How a linked project is named in a suffix.
    pub(super) fn link_segment(&self, name: Symbol, node: NodeId) -> Option<String> {
        let link = match self.state.renamed_links.get(&node) {
            Some(link) => link,
            None => &self.forest.package(self.node(node).package).id,
        };
        let target = link.strip_prefix("link:")?;
        let version = versions::link_as_version(target);
        Some(format!("{}@{version}", self.forest.text(name)))
    }
}

impl Outcome {
    fn pure(path: Symbol) -> Self {
        Self {
            path,
            is_complete: true,
            external: Rc::default(),
            providers: PeerNodes::new(),
            missing: Rc::default(),
            summary: None,
        }
    }
}
