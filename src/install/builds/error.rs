//! Why packages could not be built.

use std::io;
use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::install::scripts::{ScriptEnd, ScriptError};
use crate::name::escaped;
use crate::report::{Event, Reporter};
use crate::store::StoreError;

/// Why packages could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A key of `allowBuilds` has something else than exact versions.
    #[error(
        "Invalid versions union in allowBuilds: \"{}\". Use exact versions only",
        escaped(key)
    )]
    VersionUnion {
        /// The key.
        key: String,
    },
    /// A script failed.
    #[error("{}: `{}` ended with {end}", escaped(what), escaped(script))]
    Failed {
        /// Package and stage.
        what: String,
        /// The line of shell.
        script: String,
        /// How it ended.
        end: ScriptEnd,
    },
    /// A script could not be run.
    #[error("The scripts of {} cannot be run", escaped(package))]
    Script {
        /// Its depPath.
        package: String,
        /// Why.
        #[source]
        source: ScriptError,
    },
    /// What a build made cannot be read.
    #[error("What was built in {} cannot be read", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What a build made cannot be stored.
    #[error("What was built of {} cannot be stored", escaped(package))]
    Store {
        /// Its depPath.
        package: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Packages have scripts on which nobody has decided.
    #[error("Ignored build scripts: {}", escaped(&packages.join(", ")))]
    Ignored {
        /// `name@version`.
        packages: Vec<Box<str>>,
    },
}

impl Diagnostic for BuildError {
    fn code(&self) -> &'static str {
        match self {
            Self::VersionUnion { .. } => "ERR_PNPM_INVALID_VERSION_UNION",
            Self::Failed { .. } => "ERR_PNPM_EXECUTOR_LIFECYCLE_SCRIPT_FAILED",
            Self::Script { source, .. } => source.code(),
            Self::Read { .. } => "ERR_PACQUET_BUILD_READ",
            Self::Store { source, .. } => source.code(),
            Self::Ignored { .. } => "ERR_PNPM_IGNORED_BUILDS",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Script { source, .. } => source.hint(),
            Self::Store { source, .. } => source.hint(),
            Self::Ignored { packages } => Some(ignored_hint(packages)),
            Self::Failed {
                end: ScriptEnd::TimedOut,
                ..
            } => Some("set buildTimeoutSeconds to give it more time; 0 is no limit".to_owned()),
            Self::Failed { .. } => Some(
                "read what it printed above; allowBuilds with `false` installs without its \
                 scripts"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Tells of packages whose scripts were ignored, where that is no error.
pub fn tell_ignored(reporter: &dyn Reporter, packages: &[Box<str>]) {
    let names = escaped(&packages.join(", "));
    let hint = ignored_hint(packages);
    let message = format!("Ignored build scripts: {names}. To decide, {hint}\n");
    reporter.report(&Event::Warning {
        code: "ERR_PNPM_IGNORED_BUILDS",
        message: message.trim_end(),
    });
}

/// What to write where, to decide on packages.
fn ignored_hint(packages: &[Box<str>]) -> String {
    use std::fmt::Write as _;
    let mut text = "run `pacquet approve-builds`, or write into pnpm-workspace.yaml which of them \
                    may run scripts:\nallowBuilds:"
        .to_owned();
    let mut keys: Vec<&str> = packages.iter().map(|id| key_of(id)).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let quote = if key.starts_with('@') || key.contains([':', '#']) {
            "'"
        } else {
            ""
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {quote}{}{quote}: true", escaped(key));
    }
    text
}

fn key_of(id: &str) -> &str {
    let at = id.char_indices().skip(1).find(|(_, byte)| *byte == '@');
    match at {
        Some((at, _)) if crate::install::semver::Version::parse(&id[at + 1..]).is_some() => {
            &id[..at]
        }
        _ => id,
    }
}
