//! Which packages may run scripts.

use std::collections::HashSet;

use crate::install::config::BuildPolicy;
use crate::install::lockfile::DepPath;
use crate::install::semver::Version;
use crate::name::PackageName;

use super::BuildError;

/// What is decided of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its scripts may run.
    Allowed,
    /// They may not, and nobody needs to be told.
    Denied,
    /// Nobody has decided.
    Undecided,
}

/// The rules of `allowBuilds`, ready to be asked.
///
/// A name stands for what the registry serves under it: no archive and no repository can be
/// allowed by the name that it gives itself. Those have their depPath as key, a repository also the
/// beginning of it, without the commit. What denies wins.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    allowed: Keys,
    denied: Keys,
    allow_all: bool,
}

#[derive(Debug, Clone, Default)]
struct Keys {
    /// `name` and `name@version`.
    names: HashSet<Box<str>>,
    /// depPaths without peers, and repositories.
    sources: HashSet<Box<str>>,
}

impl Rules {
    /// Reads the keys.
    ///
    /// # Errors
    /// A key names a range: only exact versions are read.
    pub fn new(policy: &BuildPolicy) -> Result<Self, BuildError> {
        let mut rules = Self {
            allow_all: policy.allow_all,
            ..Self::default()
        };
        for (key, allowed) in &policy.allow_builds.0 {
            let Some(allowed) = allowed else { continue };
            match allowed {
                true => rules.allowed.add(key)?,
                false => rules.denied.add(key)?,
            }
        }
        Ok(rules)
    }

    /// What they say of a package.
    pub fn decide(&self, dep_path: &DepPath) -> Decision {
        let denied = self.denied.has_source(dep_path) || self.denied.has_name(dep_path);
        // A name is trusted only where it is the registry's.
        let is_from_registry = Version::parse(dep_path.version()).is_some();
        let allowed = self.allowed.has_source(dep_path)
            || (is_from_registry && self.allowed.has_name(dep_path));
        match (self.allow_all, denied, allowed) {
            (true, _, _) | (false, false, true) => Decision::Allowed,
            (false, true, _) => Decision::Denied,
            (false, false, false) => Decision::Undecided,
        }
    }
}

impl Keys {
    fn add(&mut self, key: &str) -> Result<(), BuildError> {
        let at = key.char_indices().skip(1).find(|(_, byte)| *byte == '@');
        let Some((at, _)) = at else {
            self.names.insert(key.into());
            return Ok(());
        };
        let (name, versions) = (&key[..at], &key[at + 1..]);
        if versions.contains([':', '/', '#']) && !versions.contains("||") {
            self.sources.insert(key.into());
            return Ok(());
        }
        for version in versions.split("||").map(str::trim) {
            if Version::parse(version).is_none() || PackageName::new(name).is_err() {
                return Err(BuildError::VersionUnion {
                    key: key.to_owned(),
                });
            }
            self.names.insert(format!("{name}@{version}").into());
        }
        Ok(())
    }

    fn has_name(&self, dep_path: &DepPath) -> bool {
        self.names.contains(dep_path.name_str()) || self.names.contains(dep_path.package_id_str())
    }

    fn has_source(&self, dep_path: &DepPath) -> bool {
        let id = dep_path.package_id_str();
        let repository = repository_of(dep_path);
        self.sources.contains(id)
            || repository.is_some_and(|repository| self.sources.contains(repository.as_str()))
    }
}

/// `name@git+…` without the commit, also for the archive of a commit that a code host makes.
fn repository_of(dep_path: &DepPath) -> Option<String> {
    let (name, version) = (dep_path.name_str(), dep_path.version());
    if version.starts_with("git+") {
        let repository = version.split('#').next().unwrap_or(version);
        return Some(format!("{name}@{repository}"));
    }
    let rest = version.strip_prefix("https://")?;
    let (host, path) = rest.split_once('/')?;
    let (host, repository) = match host {
        "codeload.github.com" => ("github.com", two_names(path, "/tar.gz/")?),
        "bitbucket.org" => (host, two_names(path, "/get/")?),
        _ => (host, project_before(path, "/-/archive/")?),
    };
    Some(format!("{name}@git+https://{host}/{repository}.git"))
}

/// `owner/name` before `marker`.
fn two_names<'a>(path: &'a str, marker: &str) -> Option<&'a str> {
    let (repository, _) = path.split_once(marker)?;
    let (owner, name) = repository.split_once('/')?;
    (!owner.is_empty() && !name.is_empty() && !name.contains('/')).then_some(repository)
}

/// The project before the first `marker` that a revision follows.
fn project_before<'a>(path: &'a str, marker: &str) -> Option<&'a str> {
    path.match_indices(marker).find_map(|(at, _)| {
        let (revision, _) = path[at + marker.len()..].split_once('/')?;
        (at > 0 && !revision.is_empty()).then_some(&path[..at])
    })
}

/// The key under which `allowBuilds` would decide on a package.
pub fn allow_key(dep_path: &DepPath) -> &str {
    match Version::parse(dep_path.version()) {
        Some(_) => dep_path.name_str(),
        None => dep_path.package_id_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::config::AllowBuilds;

    fn rules(keys: &[(&str, Option<bool>)], allow_all: bool) -> Result<Rules, BuildError> {
        let keys = keys
            .iter()
            .map(|(key, allowed)| ((*key).to_owned(), *allowed));
        Rules::new(&BuildPolicy {
            ignore_scripts: false,
            allow_builds: AllowBuilds(keys.collect()),
            strict: true,
            allow_all,
        })
    }

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn names_decide_only_on_what_the_registry_serves() {
        use Decision::{Allowed, Denied, Undecided};
        let git = format!("a@git+https://h/r.git#{COMMIT}");
        let hosted = format!("a@https://codeload.github.com/o/r/tar.gz/{COMMIT}");
        let yes = Some(true);
        for (key, value, dep_path, expected) in [
            ("a", yes, "a@1.0.0", Allowed),
            ("a", yes, "a@1.0.0(b@2.0.0)", Allowed),
            ("a", Some(false), "a@1.0.0", Denied),
            ("a", None, "a@1.0.0", Undecided),
            ("@s/a", yes, "@s/a@1.0.0", Allowed),
            ("@s/a", yes, "a@1.0.0", Undecided),
            ("*", yes, "a@1.0.0", Undecided),
            ("a@1.0.0 || 2.0.0", yes, "a@2.0.0", Allowed),
            ("a@1.0.0", yes, "a@2.0.0", Undecided),
            // M5: a name that something else gives itself.
            ("a", yes, git.as_str(), Undecided),
            ("a", yes, hosted.as_str(), Undecided),
            ("a", yes, "a@https://h/a.tgz", Undecided),
            ("a", yes, "a@file:a.tgz", Undecided),
            ("a", yes, "a@work:1.0.0", Undecided),
            ("a", Some(false), "a@file:a.tgz", Denied),
            ("a@file:a.tgz", yes, "a@file:a.tgz", Allowed),
            ("a@file:a.tgz", yes, "a@file:b.tgz", Undecided),
            (
                "a@https://h/a.tgz",
                yes,
                "a@https://h/a.tgz(b@1.0.0)",
                Allowed,
            ),
            (git.as_str(), yes, git.as_str(), Allowed),
            ("a@git+https://h/r.git", yes, git.as_str(), Allowed),
            ("b@git+https://h/r.git", yes, git.as_str(), Undecided),
            (
                "a@git+https://github.com/o/r.git",
                yes,
                hosted.as_str(),
                Allowed,
            ),
            (
                "a@git+https://github.com/o/x.git",
                yes,
                hosted.as_str(),
                Undecided,
            ),
        ] {
            let rules = rules(&[(key, value)], false).expect(key);
            let dep_path = DepPath::new(dep_path).expect(dep_path);
            assert_eq!(
                rules.decide(&dep_path),
                expected,
                "{key} {}",
                dep_path.as_str()
            );
        }
    }

    #[test]
    fn what_denies_wins_and_everything_can_be_allowed() {
        let package = DepPath::new("a@1.0.0").expect("a depPath");
        let both = [("a", Some(true)), ("a@1.0.0", Some(false))];
        let decide = |allow_all| rules(&both, allow_all).expect("rules").decide(&package);
        assert_eq!(decide(false), Decision::Denied);
        assert_eq!(decide(true), Decision::Allowed);
    }

    #[test]
    fn ranges_are_refused() {
        for key in ["a@^1.0.0", "a@1.0.0 || ^2", "a@latest", "a@*"] {
            let error = rules(&[(key, Some(true))], false).expect_err(key);
            assert!(matches!(error, BuildError::VersionUnion { .. }), "{error}");
        }
    }
}
