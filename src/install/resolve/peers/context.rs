//! The packages that are in sight of an occurrence, by name.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::install::resolve::forest::{NodeId, PackageIndex};
use crate::install::resolve::symbols::Symbol;

/// A package in sight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent {
    pub(super) node: NodeId,
    pub(super) package: PackageIndex,
    /// The name in `node_modules` where that is not the package's own.
    pub(super) alias: Option<Symbol>,
    pub(super) depth: i32,
    /// How often the name changed its meaning on the way down.
    pub(super) occurrence: u32,
}

/// Name → package in sight; packages under another name are in it under both.
pub(super) type Parents = FxHashMap<Symbol, Parent>;

/// What is kept of [`Parents`] to compare places with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) package: PackageIndex,
    pub(super) depth: i32,
    pub(super) occurrence: u32,
}

/// What was in sight of a node, as far as somebody has it as a peer.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) seen: FxHashMap<Symbol, Seen>,
    pub(super) depth_max: i32,
    pub(super) is_shadowed: bool,
}

impl Context {
    pub(super) fn of(parents: &Parents, peer_names: &FxHashSet<Symbol>) -> Self {
        let mut context = Self::default();
        for (name, parent) in parents {
            if peer_names.contains(name) {
                let seen = Seen {
                    package: parent.package,
                    depth: parent.depth,
                    occurrence: parent.occurrence,
                };
                context.depth_max = context.depth_max.max(seen.depth);
                context.is_shadowed |= seen.occurrence > 0;
                context.seen.insert(*name, seen);
            }
        }
        context
    }
}
