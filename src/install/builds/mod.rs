//! Scripts of packages: which run, in which order, and what is kept of them.
//!
//! [`plan`] looks at what is going to be installed. What was built before, by any project with this
//! store, takes the place of the package as it was published; the rest is a list of [`Build`]s.
//! When the tree is in place, [`run`] builds them in it, dependencies first, and [`keep`] makes a
//! package of its own of what each has become, under a key that says what went into it. The
//! caller then plans again, and there is nothing left to build.
//!
//! **Architecture Invariant:** whether scripts run is decided by where a package comes from, never
//! by the name that it gives itself ([`Rules`]).
//!
//! **Architecture Invariant:** nothing of a build that failed is kept.

mod error;
mod keep;
mod plan;
mod policy;
mod run;

pub use error::{BuildError, tell_ignored};
pub use keep::{Kept, keep};
pub use plan::{Build, BuildPlan, PlanInput, plan};
pub use policy::{Decision, Rules, allow_key};
pub use run::{BuildPlace, BuildReport, places, run};
