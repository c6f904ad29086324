//! The projects of a workspace: where its root is, which directories its globs mean, and their
//! manifests.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use rayon::prelude::*;

use crate::diagnostic::Diagnostic;
use crate::install::config::Config;
use crate::install::drafts::Drafts;
use crate::install::lockfile::ImporterId;
use crate::install::manifest::{Manifest, ManifestError};
use crate::name::{NameError, RelativePath, escaped};
use crate::store::start_workers;

/// The file that marks a workspace's root.
const WORKSPACE_FILE: &str = "pnpm-workspace.yaml";

/// What makes a directory one of a project.
const PROJECT_MARKS: [&str; 5] = [
    "package.json",
    "package.json5",
    "package.yaml",
    "node_modules",
    WORKSPACE_FILE,
];

/// Directories that never hold projects.
const NEVER_ENTERED: [&str; 2] = ["node_modules", "bower_components"];

/// Deepest directory below the root that `**` reaches.
const GLOB_DEPTH_MAX: usize = 64;

/// How many manifests are worth the start of threads that read them.
const SHARED_OUT_FROM: usize = 32;

/// Most patterns that braces in one pattern may stand for.
const BRACE_ALTERNATIVES_MAX: usize = 256;

/// Why the projects of a workspace could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A pattern is none, or climbs out of the workspace.
    #[error(
        "The pattern \"{}\" of the workspace's packages {reason}",
        escaped(pattern)
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// A directory cannot be listed.
    #[error("Cannot list {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A project's path cannot be a lockfile's importer.
    #[error("The project {} cannot be named in a lockfile: its path {source}", path.display())]
    Path {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        source: NameError,
    },
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Diagnostic for WorkspaceError {
    fn code(&self) -> &'static str {
        match self {
            Self::Pattern { .. } => "ERR_PNPM_WORKSPACE_INVALID_GLOB",
            Self::List { .. } | Self::Path { .. } => "ERR_PACQUET_WORKSPACE",
            Self::Manifest(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Manifest(error) => error.hint(),
            Self::Pattern { .. } => {
                Some("correct it in `packages` of pnpm-workspace.yaml".to_owned())
            }
            Self::List { .. } => Some("make it readable for this user".to_owned()),
            Self::Path { .. } => Some(
                "the lockfile must be in the project's directory or above it: name another one \
                 with --lockfile-dir, or rename the directory"
                    .to_owned(),
            ),
        }
    }
}

/// A project.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Its key in the lockfile's `importers`: the path relative to the lockfile's directory.
    pub id: ImporterId,
    /// Its directory, absolute.
    pub directory: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

/// The nearest directory at or above `directory` that has a `pnpm-workspace.yaml`.
pub fn find_workspace_root(directory: &Path) -> Option<PathBuf> {
    let root = directory
        .ancestors()
        .find(|ancestor| ancestor.join(WORKSPACE_FILE).is_file());
    root.map(Path::to_path_buf)
}

/// Whether a project in `directory`, below `root`, is one of the workspace with these patterns. One
/// that no pattern means stands for itself, as if there were no workspace around it.
///
/// # Errors
/// A pattern is wrong.
pub fn is_member(root: &Path, globs: &[String], directory: &Path) -> Result<bool, WorkspaceError> {
    let relative = match directory.strip_prefix(root) {
        Ok(relative) if relative.as_os_str().is_empty() => return Ok(true),
        Ok(relative) => relative,
        Err(_) => return Ok(false),
    };
    let names: Vec<&str> = relative.iter().filter_map(|name| name.to_str()).collect();
    let is_never = |name: &&str| NEVER_ENTERED.contains(name);
    if names.iter().any(is_never) || is_excluded(&exclusions(globs)?, relative) {
        return Ok(false);
    }
    for glob in globs.iter().filter(|glob| !glob.starts_with('!')) {
        for pattern in alternatives(trimmed(glob), glob)? {
            if reaches(&pattern_parts(&pattern, glob)?, &names) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether `parts` lead along `names`, as [`walk`] goes.
fn reaches(parts: &[Part], names: &[&str]) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return names.is_empty();
    };
    let Some((name, more)) = names.split_first() else {
        return matches!(part, Part::AnyDepth) && reaches(rest, names);
    };
    match part {
        Part::Literal(literal) => literal == name && reaches(rest, more),
        Part::Glob(matcher, wants_dot) => {
            (*wants_dot || !name.starts_with('.')) && matcher.is_match(name) && reaches(rest, more)
        }
        Part::AnyDepth => reaches(rest, names) || (!name.starts_with('.') && reaches(parts, more)),
    }
}

/// The directory of the project that somebody in `directory` works on: the nearest at or above it
/// that has a manifest, a `node_modules` or a `pnpm-workspace.yaml`, else `directory` itself.
///
/// A directory that everybody may put files into (sticky, as `/tmp` is) is nobody's project for
/// those below it: its manifest, whose scripts would run, can be anybody's.
pub fn find_project_directory(directory: &Path) -> &Path {
    let is_project = |ancestor: &Path| {
        PROJECT_MARKS
            .iter()
            .any(|name| ancestor.join(name).exists())
    };
    let nearest = directory
        .ancestors()
        .take_while(|ancestor| *ancestor == directory || !is_shared(ancestor))
        .find(|ancestor| !ancestor.ends_with("node_modules") && is_project(ancestor));
    nearest.unwrap_or(directory)
}

fn is_shared(directory: &Path) -> bool {
    const STICKY: u32 = 0o1000;
    let mode = |facts: std::fs::Metadata| facts.permissions().mode();
    directory
        .metadata()
        .is_ok_and(|facts| mode(facts) & STICKY != 0)
}

/// The projects of the lockfile, the root's first, the others sorted by path.
///
/// Outside a workspace, in one without `packages` and where every project has a lockfile of its
/// own, that is one project only. A workspace's root may lack a manifest; then it is not among
/// them.
///
/// # Errors
/// A pattern or a manifest is wrong. A lone project without a manifest is
/// [`ManifestError::Missing`].
pub fn projects(config: &Config) -> Result<Vec<Project>, WorkspaceError> {
    drafted_projects(config, &Drafts::default())
}

/// The same, where manifests may have drafts.
///
/// # Errors
/// As [`projects`].
pub fn drafted_projects(config: &Config, drafts: &Drafts) -> Result<Vec<Project>, WorkspaceError> {
    match &config.workspace_root {
        Some(root) if config.lockfile.shared => {
            all_below(config, root, &config.lockfile_directory, drafts)
        }
        _ => Ok(vec![only(config, drafts)?]),
    }
}

/// All projects of the workspace, whether they are in one lockfile or not. Where they are not,
/// their ids are their paths relative to the workspace's root.
///
/// # Errors
/// As [`projects`].
pub fn all_projects(config: &Config, drafts: &Drafts) -> Result<Vec<Project>, WorkspaceError> {
    match &config.workspace_root {
        Some(root) if config.has_lockfiles_apart() => all_below(config, root, root, drafts),
        _ => drafted_projects(config, drafts),
    }
}

/// The project in which a command works.
fn only(config: &Config, drafts: &Drafts) -> Result<Project, WorkspaceError> {
    let directory = &config.directory;
    let manifest = Manifest::read_drafted(directory, drafts)?;
    let missing = || ManifestError::Missing {
        directory: directory.clone(),
    };
    Ok(Project {
        id: importer_id(&config.lockfile_directory, directory)?,
        directory: directory.clone(),
        manifest: manifest
            .ok_or_else(missing)?
            .with_reaction(config.runtime_on_fail),
    })
}

/// The projects of the workspace at `root`, with ids relative to `base`.
fn all_below(
    config: &Config,
    root: &Path,
    base: &Path,
    drafts: &Drafts,
) -> Result<Vec<Project>, WorkspaceError> {
    let read = |directory: &Path| Manifest::read_drafted(directory, drafts);
    let globs = config.package_globs.as_deref().unwrap_or_default();
    let below = matching_directories(root, globs)?;
    // Joining an empty path would leave a slash at the end, and the text is recorded.
    let directories: Vec<PathBuf> = std::iter::once(root.to_owned())
        .chain(below.iter().map(|relative| root.join(relative)))
        .collect();
    let project = |directory: &PathBuf| -> Result<Option<Project>, WorkspaceError> {
        let Some(manifest) = read(directory)? else {
            return Ok(None);
        };
        Ok(Some(Project {
            id: importer_id(base, directory)?,
            directory: directory.clone(),
            manifest: manifest.with_reaction(config.runtime_on_fail),
        }))
    };
    let found: Vec<_> = match directories.len() >= SHARED_OUT_FROM && start_workers().is_ok() {
        true => directories.par_iter().map(project).collect(),
        false => directories.iter().map(project).collect(),
    };
    let out: Vec<Project> = found
        .into_iter()
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    if out.is_empty() {
        return Err(ManifestError::Missing {
            directory: root.to_owned(),
        }
        .into());
    }
    Ok(out)
}

/// The projects below `root` that `patterns` mean, sorted by path.
///
/// # Errors
/// As [`projects`].
pub fn projects_below(root: &Path, patterns: &[String]) -> Result<Vec<Project>, WorkspaceError> {
    let mut out = Vec::new();
    for relative in matching_directories(root, patterns)? {
        let directory = root.join(relative);
        if let Some(manifest) = Manifest::read_optional(&directory)? {
            let id = importer_id(root, &directory)?;
            out.push(Project {
                id,
                directory,
                manifest,
            });
        }
    }
    Ok(out)
}

/// `directory` as a path relative to `base`, where it is at or below it.
fn importer_id(base: &Path, directory: &Path) -> Result<ImporterId, WorkspaceError> {
    let refused = |source| WorkspaceError::Path {
        path: directory.to_path_buf(),
        source,
    };
    let relative = directory
        .strip_prefix(base)
        .map_err(|_| refused(NameError::Dots))?;
    let text = relative.to_str().ok_or(refused(NameError::Encoding))?;
    if text.is_empty() {
        return Ok(ImporterId(None));
    }
    RelativePath::new(text)
        .map(|path| ImporterId(Some(path)))
        .map_err(refused)
}

/// Directories below `root` (without itself) that `globs` mean, relative, sorted.
fn matching_directories(
    root: &Path,
    globs: &[String],
) -> Result<BTreeSet<PathBuf>, WorkspaceError> {
    let mut found = BTreeSet::new();
    let excludes = exclusions(globs)?;
    for glob in globs.iter().filter(|glob| !glob.starts_with('!')) {
        for pattern in alternatives(trimmed(glob), glob)? {
            let parts = pattern_parts(&pattern, glob)?;
            walk(root, PathBuf::new(), &parts, 0, &mut found)?;
        }
    }
    found.remove(Path::new(""));
    found.retain(|path| !is_excluded(&excludes, path));
    Ok(found)
}

/// The patterns that begin with `!`.
fn exclusions(globs: &[String]) -> Result<GlobSet, WorkspaceError> {
    let mut excludes = GlobSetBuilder::new();
    for glob in globs {
        if let Some(pattern) = glob.strip_prefix('!') {
            let pattern = format!("{}/package.json", trimmed(pattern));
            excludes.add(glob_of(&pattern, glob)?);
        }
    }
    excludes
        .build()
        .map_err(|error| wrong_pattern("!", &error.to_string()))
}

fn is_excluded(excludes: &GlobSet, path: &Path) -> bool {
    !excludes.is_empty() && excludes.is_match(path.join("package.json"))
}

fn trimmed(pattern: &str) -> &str {
    let pattern = pattern.trim_end_matches('/');
    pattern.strip_prefix("./").unwrap_or(pattern)
}

fn wrong_pattern(pattern: &str, reason: &str) -> WorkspaceError {
    WorkspaceError::Pattern {
        pattern: pattern.to_owned(),
        reason: reason.to_owned(),
    }
}

fn glob_of(pattern: &str, whole: &str) -> Result<globset::Glob, WorkspaceError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| wrong_pattern(whole, &format!("is not valid: {}", error.kind())))
}

/// One component of a pattern.
enum Part {
    Literal(String),
    Glob(GlobMatcher, bool),
    AnyDepth,
}

fn pattern_parts(pattern: &str, whole: &str) -> Result<Vec<Part>, WorkspaceError> {
    let mut parts = Vec::new();
    for component in pattern.split('/') {
        parts.push(match component {
            "." | "" if pattern.starts_with('/') => {
                return Err(wrong_pattern(whole, "is absolute"));
            }
            "." | "" => continue,
            ".." => return Err(wrong_pattern(whole, "climbs out of the workspace")),
            "**" => Part::AnyDepth,
            literal if !literal.contains(['*', '?', '[', '{', '\\']) => {
                Part::Literal(literal.to_owned())
            }
            glob => Part::Glob(
                glob_of(glob, whole)?.compile_matcher(),
                glob.starts_with('.'),
            ),
        });
    }
    Ok(parts)
}

/// `a{b,c}d` as `abd` and `acd`, because a brace may hold a separator and components are matched
/// one by one.
fn alternatives(pattern: &str, whole: &str) -> Result<Vec<String>, WorkspaceError> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(next) = open.pop() {
        let Some(end) = next.find('}') else {
            done.push(next);
            continue;
        };
        let Some(start) = next[..end].rfind('{') else {
            done.push(next);
            continue;
        };
        for choice in next[start + 1..end].split(',') {
            open.push(format!("{}{choice}{}", &next[..start], &next[end + 1..]));
        }
        if open.len() + done.len() > BRACE_ALTERNATIVES_MAX {
            return Err(wrong_pattern(whole, "has too many alternatives"));
        }
    }
    Ok(done)
}

fn walk(
    root: &Path,
    at: PathBuf,
    parts: &[Part],
    depth: usize,
    found: &mut BTreeSet<PathBuf>,
) -> Result<(), WorkspaceError> {
    let Some((part, rest)) = parts.split_first() else {
        if root.join(&at).join("package.json").is_file() {
            found.insert(at);
        }
        return Ok(());
    };
    if depth > GLOB_DEPTH_MAX {
        return Ok(());
    }
    match part {
        Part::Literal(name) => {
            let next = at.join(name);
            if !NEVER_ENTERED.contains(&name.as_str()) && root.join(&next).is_dir() {
                walk(root, next, rest, depth + 1, found)?;
            }
        }
        Part::Glob(matcher, wants_dot) => {
            for name in subdirectories(&root.join(&at), Links::Follow)? {
                if (*wants_dot || !name.starts_with('.')) && matcher.is_match(&name) {
                    walk(root, at.join(name), rest, depth + 1, found)?;
                }
            }
        }
        Part::AnyDepth => {
            walk(root, at.clone(), rest, depth, found)?;
            for name in subdirectories(&root.join(&at), Links::Skip)? {
                if !name.starts_with('.') {
                    walk(root, at.join(name), parts, depth + 1, found)?;
                }
            }
        }
    }
    Ok(())
}

/// What to do with symlinks to directories. `**` must not follow them: they may form a circle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Follow,
    Skip,
}

fn subdirectories(directory: &Path, links: Links) -> Result<Vec<String>, WorkspaceError> {
    let failed = |source| WorkspaceError::List {
        path: directory.to_path_buf(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let is_directory =
            kind.is_dir() || (kind.is_symlink() && links == Links::Follow && entry.path().is_dir());
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if is_directory && !NEVER_ENTERED.contains(&name.as_str()) {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(projects: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for project in projects {
            let directory = root.path().join(project);
            std::fs::create_dir_all(&directory).expect("created");
            std::fs::write(directory.join("package.json"), "{}").expect("written");
        }
        root
    }

    fn list(root: &Path, globs: &[&str]) -> Result<Vec<String>, WorkspaceError> {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let found = matching_directories(root, &globs)?;
        Ok(found
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect())
    }

    #[test]
    fn globs_mean_what_they_mean_to_pnpm() {
        let all = [
            ".",
            "packages/a",
            "packages/b",
            "packages/b/inner",
            "packages/.hidden",
            "packages/a/node_modules/x",
            "packages/a/test/fixture",
            "apps/web",
            "bower_components/y",
        ];
        let root = tree(&all);
        for (globs, expected) in [
            (&[][..], &[][..]),
            (&["."], &[]),
            (&["packages/*"], &["packages/a", "packages/b"]),
            (&["packages/*/"], &["packages/a", "packages/b"]),
            (&["./packages/a"], &["packages/a"]),
            (&["packages/?"], &["packages/a", "packages/b"]),
            (&["packages/{a,c}"], &["packages/a"]),
            (&["{packages/a,apps/*}"], &["apps/web", "packages/a"]),
            (&["packages/.*"], &["packages/.hidden"]),
            (&["packages/*", "!packages/b"], &["packages/a"]),
            (&["!packages/b", "packages/*"], &["packages/a"]),
            (
                &["apps/**", "packages/**", "!**/test/**"],
                &["apps/web", "packages/a", "packages/b", "packages/b/inner"],
            ),
            (&["missing/*", "missing"], &[]),
            (&["bower_components/*", "packages/a/node_modules/*"], &[]),
        ] {
            let listed = list(root.path(), globs).expect("projects");
            assert_eq!(listed, expected, "{globs:?}");
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
            let is_member = |path: &str| {
                is_member(root.path(), &globs, &root.path().join(path)).expect("patterns")
            };
            for path in all {
                let is_listed = path == "." || expected.contains(&path);
                assert_eq!(is_member(path), is_listed, "{globs:?} {path}");
            }
        }
    }

    #[test]
    fn patterns_that_climb_or_explode_are_refused() {
        let root = tree(&["a"]);
        let explosive = "{a,b,c,d,e,f,g,h}".repeat(8);
        for glob in ["../a", "a/../../b", "/etc", "a[", &explosive, "!a["] {
            assert!(list(root.path(), &[glob]).is_err(), "{glob}");
        }
    }

    #[test]
    fn circles_of_symlinks_end() {
        let root = tree(&["a/b"]);
        std::os::unix::fs::symlink("..", root.path().join("a/loop")).expect("linked");
        assert_eq!(list(root.path(), &["**"]).expect("projects"), ["a/b"]);
    }

    #[test]
    fn ids_are_relative_to_the_lockfile() {
        for (base, directory, expected) in [
            ("/w", "/w", Some(".")),
            ("/w", "/w/p/a", Some("p/a")),
            ("/w/p", "/w/a", None),
        ] {
            let id = importer_id(Path::new(base), Path::new(directory));
            assert_eq!(
                id.ok().as_ref().map(ImporterId::as_str),
                expected,
                "{directory}"
            );
        }
    }
}
