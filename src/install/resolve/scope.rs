//! Names of what is above a dependency: they may take its place.

use std::rc::Rc;

use rustc_hash::FxHashSet;

use super::symbols::Symbol;

/// Aliases of the levels above.
#[derive(Debug, Default)]
pub(super) struct Scope {
    names: FxHashSet<Symbol>,
    parent: Option<Rc<Scope>>,
}

impl Scope {
    pub(super) fn of(names: FxHashSet<Symbol>) -> Rc<Self> {
        Rc::new(Self {
            names,
            parent: None,
        })
    }

    pub(super) fn contains(&self, name: Symbol) -> bool {
        let mut level = Some(self);
        while let Some(current) = level {
            if current.names.contains(&name) {
                return true;
            }
            level = current.parent.as_deref();
        }
        false
    }

    /// One level deeper.
    pub(super) fn below(self: &Rc<Self>, names: FxHashSet<Symbol>) -> Rc<Self> {
        Rc::new(Self {
            names,
            parent: Some(Rc::clone(self)),
        })
    }
}
