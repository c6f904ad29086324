//! Giving projects the peers that their dependencies miss, until nothing that must be there is
//! missing, and nothing that may be there could be had from what is there already.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::edges::EdgeRequest;
use super::error::ResolveError;
use super::forest::{Direct, NodeId, PackageIndex};
use super::missing_peers::{self, Candidates, RootDependency};
use super::offered::Versions;
use super::peers::{Discovered, Discovery, MissingIssue, MissingScope, PeerOptions, Project};
use super::scope::Scope;
use super::settings::PreferredFrom;
use super::symbols::Symbol;
use super::tree::{Owner, Tree, Walker};
use crate::name::PackageName;

/// A dependency that a project declares, with its catalog's entry in place.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) alias: PackageName,
    pub(super) specifier: Box<str>,
    pub(super) optional: bool,
    pub(super) injected: bool,
    /// Declared as a peer and nothing else.
    pub(super) is_peer: bool,
}

/// A project that is being resolved.
pub(super) struct ProjectState {
    pub(super) walker: Walker,
    pub(super) project: Project,
    declared: Vec<Declared>,
    aliases: FxHashSet<Symbol>,
    /// Required peers were all found, with so many changes of what was known.
    settled_at: Option<u64>,
    /// How many of the direct dependencies were walked, with so many changes of what was known.
    walked: (usize, u64),
    missing: BTreeMap<Symbol, Vec<MissingIssue>>,
    missing_optional: BTreeMap<Arc<str>, Vec<String>>,
    /// Peer → versions that the lockfile has for dependencies of the project.
    pub(super) locked_versions: FxHashMap<Symbol, FxHashSet<Box<str>>>,
}

/// What was missing below a package for the occurrence that its dependencies were chosen for.
#[derive(Debug, Default)]
struct OwnersMissing {
    recorded_by: FxHashMap<PackageIndex, Option<Owner>>,
    names: FxHashMap<PackageIndex, FxHashSet<Symbol>>,
}

/// All projects and what they are given.
pub(super) struct Hoist<'t, 'a> {
    pub(super) tree: &'t mut Tree<'a>,
    pub(super) options: &'t PeerOptions,
    pub(super) states: Vec<ProjectState>,
    discovery: Discovery,
    owners_missing: OwnersMissing,
    root: Vec<RootDependency>,
    /// Name → versions that were chosen, and the revision for which that is true.
    pub(super) chosen: Option<((u64, u64), Versions)>,
}

impl<'t, 'a> Hoist<'t, 'a> {
    pub(super) fn new(tree: &'t mut Tree<'a>, options: &'t PeerOptions) -> Self {
        Self {
            tree,
            options,
            states: Vec::new(),
            discovery: Discovery::default(),
            owners_missing: OwnersMissing::default(),
            root: Vec::new(),
            chosen: None,
        }
    }

    /// Chooses what a project declares.
    pub(super) fn add(
        &mut self,
        walker: Walker,
        modules_directory: PathBuf,
        declared: Vec<Declared>,
    ) -> Result<(), ResolveError> {
        let locked = self.tree.locked_peers(&walker);
        let mut aliases: FxHashSet<Symbol> = declared
            .iter()
            .map(|one| self.tree.forest.symbols.of(one.alias.as_str()))
            .collect();
        let scope = Scope::of(aliases.clone());
        let requests: Vec<EdgeRequest> = declared
            .iter()
            .map(|one| self.request(&walker, one, &scope))
            .collect();
        let kept = requests.iter();
        let kept = kept.filter(|request| self.tree.kept(&walker, request).is_some());
        let kept: FxHashSet<Symbol> = kept.map(|request| request.symbol).collect();
        let direct = self.tree.extend(&walker, requests, &scope)?;
        let changed = direct.iter().filter(|direct| !kept.contains(&direct.alias));
        let changed = changed.map(|direct| direct.node).collect();
        aliases.extend(direct.iter().map(|direct| direct.alias));
        let mut walker = walker;
        walker.lowest_direct = false;
        self.states.push(ProjectState {
            project: Project {
                id: Arc::clone(&walker.id),
                directory: walker.directory.to_path_buf(),
                modules_directory,
                direct,
                providers: FxHashSet::default(),
                skipped_peers: FxHashSet::default(),
                changed,
            },
            walker,
            declared,
            aliases,
            settled_at: None,
            walked: (0, 0),
            missing: BTreeMap::new(),
            missing_optional: BTreeMap::new(),
            locked_versions: locked,
        });
        Ok(())
    }

    pub(super) fn request(
        &mut self,
        walker: &Walker,
        declared: &Declared,
        scope: &Rc<Scope>,
    ) -> EdgeRequest {
        // What moves and comes out as it was keeps what the lockfile has below it.
        let prior = self.tree.prior_direct(walker, declared);
        let stays = prior
            .as_ref()
            .is_none_or(|prior| self.tree.stays(walker, declared, prior));
        EdgeRequest {
            symbol: self.tree.forest.symbols.of(declared.alias.as_str()),
            prior,
            alias: declared.alias.clone(),
            specifier: declared.specifier.clone(),
            optional: declared.optional,
            below: None,
            injected: declared.injected,
            depth: 0,
            ancestors: Rc::from([]),
            is_released: false,
            allows_reuse: stays,
            overlay: None,
            scope: Rc::clone(scope),
            directory: None,
            parent_is_project: false,
        }
    }

    /// Gives all projects what is missing.
    pub(super) fn run(&mut self) -> Result<(), ResolveError> {
        let settings = self.tree.settings;
        if !settings.auto_install_peers && !settings.dedupe_peer_dependents {
            return Ok(());
        }
        self.root = self.root_dependencies();
        let mut first: Vec<(Discovered, bool)> = Vec::with_capacity(self.states.len());
        for at in 0..self.states.len() {
            first.push(self.discover(at, false));
        }
        let owners = self.tree.owner_projects();
        for (at, (discovered, _)) in first.iter_mut().enumerate() {
            let scope = self.scope(at, &owners);
            for (name, issues) in &mut discovered.missing {
                issues.retain(|issue| !scope.leaves_out(&issue.ancestors, *name));
            }
        }
        for (at, discovered) in first.into_iter().enumerate() {
            self.find_required(at, Some(discovered))?;
        }
        loop {
            // What one of them gets in this round is not there yet for the others.
            let all = 0..self.states.len();
            let found: Vec<BTreeMap<Arc<str>, String>> =
                all.map(|at| self.find_optional(at)).collect();
            if found.iter().all(BTreeMap::is_empty) {
                return Ok(());
            }
            for (at, hoisted) in found.into_iter().enumerate() {
                if !hoisted.is_empty() {
                    self.give(at, hoisted)?;
                    self.states[at].settled_at = None;
                }
            }
            for at in 0..self.states.len() {
                if self.states[at].settled_at != Some(self.tree.revision.1) {
                    self.states[at].missing_optional.clear();
                    self.find_required(at, None)?;
                }
            }
        }
    }

    fn scope<'s>(
        &'s self,
        at: usize,
        owners: &'s FxHashMap<PackageIndex, usize>,
    ) -> MissingScope<'s> {
        MissingScope {
            project: at,
            owners,
            owners_missing: &self.owners_missing.names,
        }
    }

    /// Looks for what is missing below those dependencies that were not looked at before. Says
    /// whether these were all.
    fn discover(&mut self, at: usize, is_scoped: bool) -> (Discovered, bool) {
        let rewrites = self.tree.revision.1;
        let state = &self.states[at];
        let is_full = state.walked.0 == 0 || state.walked.1 != rewrites;
        let from = if is_full { 0 } else { state.walked.0 };
        let walked: Vec<Direct> = state.project.direct[from..].to_vec();
        let owners = match is_scoped && self.states.len() > 1 {
            true => Some(self.tree.owner_projects()),
            false => None,
        };
        let scope = owners.as_ref().map(|owners| MissingScope {
            project: at,
            owners,
            owners_missing: &self.owners_missing.names,
        });
        let discovered = self.discovery.discover(
            &self.tree.forest,
            self.tree.revision,
            &self.states[at].project,
            &walked,
            self.options,
            scope.as_ref(),
        );
        self.states[at].walked = (self.states[at].project.direct.len(), rewrites);
        if self.states.len() > 1 {
            self.keep_owners_missing(at, &discovered);
        }
        (discovered, is_full)
    }

    fn keep_owners_missing(&mut self, at: usize, discovered: &Discovered) {
        let missing = discovered.missing_by_package();
        let record = &mut self.owners_missing;
        for (package, owner) in self.tree.owners() {
            if owner.project != at {
                continue;
            }
            let is_recorded = record
                .recorded_by
                .get(package)
                .is_some_and(|by| by.as_ref() == Some(owner));
            if !is_recorded {
                record.recorded_by.insert(*package, Some(owner.clone()));
                let names = missing.get(package).cloned().unwrap_or_default();
                record.names.insert(*package, names);
            }
        }
        for (package, names) in missing {
            let is_foreign = self
                .tree
                .owners()
                .get(&package)
                .is_none_or(|owner| owner.project != at);
            if is_foreign && !record.recorded_by.contains_key(&package) {
                record.recorded_by.insert(package, None);
                record.names.insert(package, names);
            }
        }
    }

    /// Adds required peers to a project until none is missing.
    fn find_required(
        &mut self,
        at: usize,
        mut first: Option<(Discovered, bool)>,
    ) -> Result<(), ResolveError> {
        loop {
            let (discovered, is_full) = match first.take() {
                Some(first) => first,
                None => self.discover(at, true),
            };
            let Discovered {
                providers, missing, ..
            } = discovered;
            let state = &mut self.states[at];
            if is_full {
                state.missing.clear();
            }
            for (name, issues) in missing {
                state.missing.entry(name).or_default().extend(issues);
            }
            let (required, optional) = self.partition(at);
            self.add_providers(at, &providers, &required);
            let state = &mut self.states[at];
            for (name, ranges) in optional {
                let known = state.missing_optional.entry(name).or_default();
                for range in ranges {
                    if !known.contains(&range) {
                        known.push(range);
                    }
                }
            }
            if required.is_empty() {
                state.settled_at = Some(self.tree.revision.1);
                return Ok(());
            }
            let hoisted = self.choose_required(at, &required);
            if hoisted.is_empty() {
                return Ok(());
            }
            self.give(at, hoisted)?;
        }
    }

    fn choose_required(
        &mut self,
        at: usize,
        required: &BTreeMap<Arc<str>, String>,
    ) -> BTreeMap<Arc<str>, String> {
        self.know_chosen();
        let wanted = required.iter().filter_map(|(name, range)| {
            let specifier = self.specifier_of_required(at, name, range)?;
            Some((Arc::clone(name), specifier))
        });
        wanted.collect()
    }

    /// What a project asks for to get a missing peer; `None`: it gets none.
    pub(super) fn specifier_of_required(
        &self,
        at: usize,
        name: &str,
        range: &str,
    ) -> Option<String> {
        let settings = self.tree.settings;
        let candidates = self.known_candidates(at, name);
        let there = self.chosen.as_ref();
        let there = there.map_or(&[][..], |(_, chosen)| chosen.of(name));
        let candidates = match settings.auto_install_peers {
            true => candidates.map(|candidates| candidates.there(there, range)),
            // What the lockfile has besides was installed for the peer.
            false => candidates
                .map(|candidates| candidates.only(there))
                .filter(|candidates| !candidates.is_empty()),
        };
        let root = missing_peers::of_root(self.root_for(), name);
        let is_overridable = settings.auto_install_peers || root.is_some();
        let directory = &self.states[at].project.directory;
        let overridden = is_overridable
            .then(|| settings.hooks.of_undeclared(directory, name, range))
            .flatten();
        match overridden {
            Some(text) => (&*text != "-").then(|| text.into()),
            None => root.map(str::to_owned).or_else(|| {
                missing_peers::required(range, candidates.as_ref(), settings.auto_install_peers)
            }),
        }
    }

    fn root_for(&self) -> &[RootDependency] {
        if self.tree.settings.peers_from_root {
            &self.root
        } else {
            &[]
        }
    }

    /// The optional peers that a project could be given from what is there.
    fn find_optional(&mut self, at: usize) -> BTreeMap<Arc<str>, String> {
        let missing = self.states[at].missing_optional.clone();
        let mut hoisted = BTreeMap::new();
        let mut skipped = Vec::new();
        let own = self.own_versions(at).filter(|_| !missing.is_empty());
        for (name, ranges) in &missing {
            let symbol = self.tree.forest.symbols.of(name);
            if self.states[at].aliases.contains(&symbol) {
                // What is deep in the tree is offered by now.
                continue;
            }
            let all = self.optional_candidates(at, name);
            let locked = self.states[at].locked_versions.get(&symbol);
            let root = missing_peers::of_root(self.root_for(), name);
            // What the root project asks for counts no more where that can be nothing that fits.
            let is_bound = |root: &str| missing_peers::may_be_of_root(ranges, root);
            let root = root.filter(|root| is_bound(root));
            let optional = |from: &Candidates, is_there: bool| {
                let kept = missing_peers::optional(ranges, from, root, locked);
                kept.or_else(|| match is_there {
                    true => missing_peers::optional(ranges, from, root, None),
                    false => None,
                })
            };
            let fitting = |from: &Candidates| {
                from.where_version(|version| {
                    own.as_ref().is_none_or(|own| own.has(name, version))
                        && self.goes_with(at, name, version, &mut Vec::new())
                })
            };
            let mut given = all.iter();
            match given.find_map(|(from, is_there)| optional(&fitting(from), *is_there)) {
                Some(version) => {
                    hoisted.insert(Arc::clone(name), version);
                }
                None => {
                    let mut there = all.iter();
                    if there.any(|(from, is_there)| optional(from, *is_there).is_some()) {
                        skipped.push(symbol);
                    }
                }
            }
        }
        self.states[at].project.skipped_peers.extend(skipped);
        hoisted
    }

    /// What an optional peer may be taken from, in this order, and whether something has chosen
    /// it: whatever was chosen may take the place of what the lockfile has for the peer; what is
    /// only locked or preferred may not, and what is only pinned comes last.
    fn optional_candidates(&mut self, at: usize, name: &str) -> Vec<(Candidates, bool)> {
        let candidates = self.candidates(at, name);
        let chosen = self.chosen.iter();
        let chosen: Vec<Box<str>> = chosen.flat_map(|(_, all)| all.of(name)).cloned().collect();
        let there = candidates.as_ref().map(|all| all.clone().only(&chosen));
        let there = there.map(|there| (there, true));
        let others = candidates.into_iter().chain(self.pinned(at, name));
        let others = others.map(|others| (others, false));
        there.into_iter().chain(others).collect()
    }

    /// Makes `hoisted` (name → specifier) dependencies of a project.
    fn give(&mut self, at: usize, hoisted: BTreeMap<Arc<str>, String>) -> Result<(), ResolveError> {
        for name in hoisted.keys() {
            let symbol = self.tree.forest.symbols.of(name);
            self.states[at].aliases.insert(symbol);
        }
        let scope = Scope::of(self.states[at].aliases.clone());
        let walker = self.states[at].walker.clone();
        let declared = hoisted.into_iter().filter_map(|(name, specifier)| {
            Some(Declared {
                alias: PackageName::new(&name).ok()?,
                specifier: specifier.into(),
                optional: false,
                injected: false,
                is_peer: false,
            })
        });
        let declared: Vec<Declared> = declared.collect();
        // What the project depended on itself until now keeps its version, and nothing below it.
        let anew = |request| EdgeRequest {
            prior: None,
            ..request
        };
        let requests = declared
            .iter()
            .map(|one| anew(self.request(&walker, one, &scope)))
            .collect();
        let direct = self.tree.extend(&walker, requests, &scope)?;
        self.states[at].project.direct.extend(direct);
        Ok(())
    }

    /// Packages deep in the tree that somebody has as peers become available to the whole project.
    fn add_providers(
        &mut self,
        at: usize,
        providers: &BTreeMap<Symbol, NodeId>,
        required: &BTreeMap<Arc<str>, String>,
    ) {
        if !self.tree.settings.auto_install_peers {
            return;
        }
        let forest = &self.tree.forest;
        let mut sorted: Vec<(&Arc<str>, Symbol, NodeId)> = providers
            .iter()
            .map(|(name, node)| (forest.symbols.text(*name), *name, *node))
            .collect();
        sorted.sort_unstable_by(|left, right| left.0.cmp(right.0));
        let state = &mut self.states[at];
        for (text, alias, node) in sorted {
            let (index, is_local) = node.place();
            let is_known = state.aliases.contains(&alias) || required.contains_key(text);
            if is_local || is_known {
                continue;
            }
            state.project.direct.push(Direct {
                alias,
                node,
                package: forest.nodes[index].package,
            });
            state.project.providers.insert(node);
            state.aliases.insert(alias);
        }
    }

    /// What is missing: required peers with the range that all of their dependants allow, and
    /// optional ones with all ranges.
    fn partition(
        &self,
        at: usize,
    ) -> (BTreeMap<Arc<str>, String>, BTreeMap<Arc<str>, Vec<String>>) {
        let state = &self.states[at];
        let highest = self.tree.settings.highest_match_of_peers;
        let (mut required, mut optional) = (BTreeMap::new(), BTreeMap::new());
        for (name, issues) in &state.missing {
            if state.aliases.contains(name) || issues.is_empty() {
                continue;
            }
            let text = Arc::clone(self.tree.forest.symbols.text(*name));
            let ranges: Vec<&str> = issues
                .iter()
                .filter(|issue| !issue.optional)
                .map(|issue| &*issue.range)
                .collect();
            if ranges.is_empty() {
                let ranges = issues.iter().map(|issue| &*issue.range);
                optional.insert(text, missing_peers::comparable(ranges));
            } else if let Some(range) = missing_peers::merged(&ranges, highest) {
                required.insert(text, range);
            }
        }
        (required, optional)
    }

    /// Versions and ranges of `name` that are preferred or were chosen already.
    fn candidates(&mut self, at: usize, name: &str) -> Option<Candidates> {
        self.know_chosen();
        self.known_candidates(at, name)
    }

    /// The same, of what was chosen when that was last found out.
    pub(super) fn known_candidates(&self, at: usize, name: &str) -> Option<Candidates> {
        let project = self.states[at].walker.project;
        let settings = self.tree.settings;
        let mut candidates = match settings.preferences.from {
            PreferredFrom::Project => Candidates::of(&settings.preferred(project, name)),
            PreferredFrom::Pinned | PreferredFrom::PinnedTags => Candidates::default(),
        };
        for version in self.chosen.iter().flat_map(|(_, chosen)| chosen.of(name)) {
            candidates.add_version(version);
        }
        (!candidates.is_empty()).then_some(candidates)
    }

    /// What another installer pins of `name`.
    fn pinned(&self, at: usize, name: &str) -> Option<Candidates> {
        let settings = self.tree.settings;
        let project = self.states[at].walker.project;
        let is_pinned = settings.preferences.from != PreferredFrom::Project;
        is_pinned.then(|| Candidates::of(&settings.preferred(project, name)))
    }

    /// Finds out every version that is reached from a project, where that has changed.
    fn know_chosen(&mut self) {
        let revision = self.tree.revision;
        let is_known = self
            .chosen
            .as_ref()
            .is_some_and(|(known, _)| *known == revision);
        if !is_known {
            let versions = Versions::below(self.tree, self.tree.roots.iter().copied());
            self.chosen = Some((revision, versions));
        }
    }

    /// What the root project has, for peers of other projects.
    fn root_dependencies(&self) -> Vec<RootDependency> {
        let Some(root) = self.states.iter().find(|state| &*state.project.id == ".") else {
            return Vec::new();
        };
        let forest = &self.tree.forest;
        root.declared
            .iter()
            .map(|declared| {
                let symbol = forest.symbols.find(declared.alias.as_str());
                let mut direct = root.project.direct.iter();
                let direct = direct.find(|direct| Some(direct.alias) == symbol);
                let resolved = direct.map(|direct| &forest.package(direct.package).resolved);
                RootDependency::new(declared, resolved)
            })
            .collect()
    }
}
