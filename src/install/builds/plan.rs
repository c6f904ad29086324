//! What has to be built, what was built before, and in which order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::BuildError;
use super::policy::{Decision, Rules};
use crate::install::config::{BuildPolicy, BuildRunning};
use crate::install::layout::InstalledPackage;
use crate::install::lockfile::{DepPath, Lockfile, Reference, Snapshot};
use crate::install::select::{cpu_name, os_name};
use crate::name::hexadecimal;
use crate::store::{PackageKey, Store};

/// What a plan is made from.
#[derive(Clone, Copy)]
pub struct PlanInput<'a> {
    /// Who depends on whom.
    pub lockfile: &'a Lockfile,
    /// `allowBuilds` and the like.
    pub policy: &'a BuildPolicy,
    /// Whether builds of others are used, and own ones shared.
    pub running: &'a BuildRunning,
    /// What native code is built for.
    pub node_version: Option<&'a str>,
    /// Where builds of before are.
    pub store: &'a Store,
    /// Whose build it is where it is not shared.
    pub project: &'a Path,
}

/// A package whose scripts have to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Which.
    pub dep_path: DepPath,
    /// As it was published.
    pub plain: InstalledPackage,
    /// What it will be found by when it is built.
    pub key: PackageKey,
    /// Whether the install goes on when it fails.
    pub is_optional: bool,
    /// Which others of the list must be built before, because it depends on them.
    pub waits_for: Vec<usize>,
}

/// What comes of the scripts of packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildPlan {
    /// To be built.
    pub builds: Vec<Build>,
    /// Nobody has decided whether their scripts may run: package ids, sorted.
    pub ignored: Vec<Box<str>>,
    /// With `ignoreScripts`: all that have scripts, as depPaths, sorted.
    pub pending: Vec<Box<str>>,
}

/// Plans, and lets what was built before take the place of the package in `installed`.
///
/// # Errors
/// A key of `allowBuilds` is none, or the store cannot be asked.
pub fn plan(
    input: &PlanInput<'_>,
    installed: &mut HashMap<DepPath, InstalledPackage>,
) -> Result<BuildPlan, BuildError> {
    let rules = Rules::new(input.policy)?;
    let mut plan = BuildPlan::default();
    let mut allowed = Vec::new();
    for (dep_path, package) in &*installed {
        if !package.record.facts.requires_build {
            continue;
        }
        if input.policy.ignore_scripts {
            plan.pending.push(dep_path.as_str().into());
            continue;
        }
        match rules.decide(dep_path) {
            Decision::Allowed => allowed.push(dep_path.clone()),
            Decision::Denied => {}
            Decision::Undecided => plan.ignored.push(dep_path.package_id_str().into()),
        }
    }
    allowed.sort();
    for list in [&mut plan.ignored, &mut plan.pending] {
        list.sort();
        list.dedup();
    }
    plan.builds = use_what_was_built(input, installed, allowed)?;
    order(input.lockfile, &mut plan.builds);
    Ok(plan)
}

fn use_what_was_built(
    input: &PlanInput<'_>,
    installed: &mut HashMap<DepPath, InstalledPackage>,
    allowed: Vec<DepPath>,
) -> Result<Vec<Build>, BuildError> {
    let keys = allowed.iter().filter_map(|dep_path| {
        let plain = &installed.get(dep_path)?.key;
        Some(BuiltKeys::of(input, installed, dep_path, plain))
    });
    let keys: Vec<BuiltKeys> = keys.collect();
    let asked: Vec<PackageKey> = keys
        .iter()
        .flat_map(|keys| [keys.own.clone(), keys.shared.clone()])
        .collect();
    let found = input
        .store
        .lookup_many(&asked)
        .map_err(|source| BuildError::Store {
            package: "packages".to_owned(),
            source,
        })?;
    let mut builds = Vec::new();
    for ((dep_path, keys), found) in allowed.into_iter().zip(keys).zip(found.chunks(2)) {
        let [own, shared] = found else { continue };
        let shared = shared.clone().filter(|_| input.running.reads_side_effects);
        let built = match (own, shared) {
            (_, Some(record)) => Some((keys.shared.clone(), record)),
            (Some(record), None) => Some((keys.own.clone(), record.clone())),
            (None, None) => None,
        };
        let Some(package) = installed.get_mut(&dep_path) else {
            continue;
        };
        if let Some((key, record)) = built {
            *package = InstalledPackage { key, record };
            continue;
        }
        let snapshot = input.lockfile.snapshots.get(&dep_path);
        builds.push(Build {
            plain: package.clone(),
            key: match input.running.writes_side_effects {
                true => keys.shared,
                false => keys.own,
            },
            is_optional: snapshot.is_some_and(|snapshot| snapshot.optional),
            waits_for: Vec::new(),
            dep_path,
        });
    }
    Ok(builds)
}

/// Another one whenever scripts see an environment in which they could build something else: what
/// was built in an older one is built anew. In the first one the `node-gyp` of npm did nothing.
const ENVIRONMENT: &str = "2";

/// What a built package is found by: shared with every project of the store, or this one's own.
struct BuiltKeys {
    shared: PackageKey,
    own: PackageKey,
}

impl BuiltKeys {
    fn of(
        input: &PlanInput<'_>,
        installed: &HashMap<DepPath, InstalledPackage>,
        dep_path: &DepPath,
        plain: &PackageKey,
    ) -> Self {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        part(ENVIRONMENT);
        for part_of_machine in [os_name(), cpu_name(), node_major(input.node_version)] {
            part(part_of_machine);
        }
        for reached in closure(input.lockfile, dep_path) {
            part(reached.as_str());
            let Some(package) = installed.get(reached) else {
                part("");
                continue;
            };
            part(package.key.as_str());
            // The key of a directory says where it is, not what is in it.
            part(&package.record.pack.to_string());
        }
        let shared = hexadecimal(&digest.clone().finalize());
        digest.update(input.project.as_os_str().as_encoded_bytes());
        let own = hexadecimal(&digest.finalize());
        Self {
            shared: plain.built(&shared),
            own: plain.built(&own),
        }
    }
}

/// Native code works with every version of a major one.
fn node_major(version: Option<&str>) -> &str {
    version.map_or("", |version| version.split('.').next().unwrap_or(version))
}

fn dependencies(snapshot: &Snapshot) -> impl Iterator<Item = &DepPath> {
    let all = snapshot
        .dependencies
        .values()
        .chain(snapshot.optional_dependencies.values());
    all.filter_map(|reference| match reference {
        Reference::Package(dep_path) => Some(dep_path),
        Reference::Link(_) => None,
    })
}

/// Everything that `dep_path` reaches, itself too.
fn closure<'a>(lockfile: &'a Lockfile, dep_path: &'a DepPath) -> BTreeSet<&'a DepPath> {
    let mut seen = BTreeSet::new();
    let mut open = vec![dep_path];
    while let Some(next) = open.pop() {
        if seen.insert(next)
            && let Some(snapshot) = lockfile.snapshots.get(next)
        {
            open.extend(dependencies(snapshot));
        }
    }
    seen
}

/// A build waits for those that it depends on, directly or through packages that are not built.
fn order(lockfile: &Lockfile, builds: &mut [Build]) {
    let places: HashMap<DepPath, usize> = builds
        .iter()
        .enumerate()
        .map(|(place, build)| (build.dep_path.clone(), place))
        .collect();
    for (place, build) in builds.iter_mut().enumerate() {
        let mut seen: HashSet<&DepPath> = HashSet::new();
        let mut open = vec![&build.dep_path];
        let mut waits_for = Vec::new();
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            match places.get(next) {
                Some(other) if *other != place => waits_for.push(*other),
                _ => open.extend(
                    lockfile
                        .snapshots
                        .get(next)
                        .into_iter()
                        .flat_map(dependencies),
                ),
            }
        }
        waits_for.sort_unstable();
        build.waits_for = waits_for;
    }
}
