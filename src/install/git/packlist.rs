//! Which files of a directory make a package: the rules of `npm pack` as pnpm applies them to git
//! packages and to `file:` directories.
//!
//! With `files` in `package.json`, only what it names, else everything but what the root's
//! `.npmignore` (else `.gitignore`) names. Some files always come (the manifest, readme, licence,
//! `main`, `browser`, bins), some never. Ignore files of directories below always apply.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::ignore::{
    Rule, files_rule, is_ignored, is_never, is_selected, never_packed, plain_path,
};
use super::tree::{Disk, EntryKind, Listed, PackTree};
use crate::diagnostic::Diagnostic;
use crate::limits::{CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX, PACKAGE_ENTRIES_MAX};
use crate::name::{NameError, RelativePath, escaped};

/// Why the files of a package could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum PackListError {
    /// Something cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The manifest is not a JSON object.
    #[error("{} is not a JSON object", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
    },
    /// A name that no package may have.
    #[error(
        "The file \"{}\" in {} cannot be packed: its path {source}",
        escaped(name),
        directory.display()
    )]
    Name {
        /// The name.
        name: String,
        /// Where.
        directory: PathBuf,
        /// What is wrong.
        source: NameError,
    },
    /// More than [`PACKAGE_ENTRIES_MAX`] files.
    #[error("{} has more than {PACKAGE_ENTRIES_MAX} files", directory.display())]
    TooMany {
        /// The directory.
        directory: PathBuf,
    },
}

impl Diagnostic for PackListError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ERR_PACQUET_PACK_READ",
            Self::Manifest { .. } => "ERR_PNPM_BAD_PACKAGE_JSON",
            Self::Name { .. } => "ERR_PACQUET_PACK_NAME",
            Self::TooMany { .. } => "ERR_PACQUET_PACK_SIZE",
        }
    }
}

/// The files of a package, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackList {
    /// Regular files.
    pub files: Vec<RelativePath>,
    /// Symlinks that the rules would include. A package has only regular files; these are for a
    /// message.
    pub links: Vec<RelativePath>,
}

/// Lists what of `directory` makes a package. Symlinks are not followed.
///
/// # Errors
/// Something cannot be read, or has a name that no package may have.
pub fn pack_list(directory: &Path) -> Result<PackList, PackListError> {
    list(&Disk::new(directory), directory)
}

/// Lists what of an archive's `files` makes a package. `read` gives the content of the manifest
/// and of ignore files; `name` is how messages call the archive.
///
/// # Errors
/// The manifest is not a JSON object.
pub fn pack_list_of_archive<'a>(
    name: &str,
    files: impl IntoIterator<Item = &'a RelativePath>,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<PackList, PackListError> {
    list(&Listed::new(files, read), Path::new(name))
}

fn list(tree: &dyn PackTree, root: &Path) -> Result<PackList, PackListError> {
    let manifest = read_manifest(tree, root)?;
    let selection = Selection::of(&manifest);
    let mut walk = Walk {
        tree,
        root,
        selection,
        out: PackList::default(),
    };
    let mut rules = vec![never_packed()];
    if walk.selection.files.is_none() {
        rules.extend(walk.ignore_rules("")?);
    }
    walk.enter("", &mut rules)?;
    walk.out.files.sort();
    walk.out.links.sort();
    Ok(walk.out)
}

fn read_manifest(tree: &dyn PackTree, root: &Path) -> Result<Map<String, Value>, PackListError> {
    let path = root.join("package.json");
    let failed = |source| PackListError::Read {
        path: path.clone(),
        source,
    };
    let Some(text) = tree
        .read("package.json", MANIFEST_BYTES_MAX)
        .map_err(failed)?
    else {
        return Ok(Map::new());
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(PackListError::Manifest { path }),
    }
}

/// What the manifest says.
struct Selection {
    /// `files`, as rules in reverse: what they match is included.
    files: Option<Vec<Rule>>,
    /// `main`, `browser` and bins.
    always: Vec<String>,
}

impl Selection {
    fn of(manifest: &Map<String, Value>) -> Self {
        let files = manifest.get("files").and_then(Value::as_array).map(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .filter_map(files_rule)
                .collect()
        });
        let mut always = Vec::new();
        for field in ["main", "browser"] {
            always.extend(manifest.get(field).and_then(Value::as_str).map(plain_path));
        }
        match manifest.get("bin") {
            Some(Value::String(path)) => always.push(plain_path(path)),
            Some(Value::Object(map)) => {
                always.extend(map.values().filter_map(Value::as_str).map(plain_path));
            }
            _ => {}
        }
        Self { files, always }
    }

    fn is_always_packed(&self, path: &str) -> bool {
        self.always.iter().any(|always| always == path) || is_document(path)
    }
}

/// The manifest, and readme, licence and copying of the root, in any case and with any ending.
fn is_document(path: &str) -> bool {
    if path.contains('/') {
        return false;
    }
    let lower = path.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    path == "package.json" || matches!(stem, "readme" | "license" | "licence" | "copying")
}

struct Walk<'a> {
    tree: &'a dyn PackTree,
    root: &'a Path,
    selection: Selection,
    out: PackList,
}

impl Walk<'_> {
    /// The rules of `.npmignore`, else of `.gitignore`, of one directory.
    fn ignore_rules(&self, base: &str) -> Result<Option<Vec<Rule>>, PackListError> {
        for name in [".npmignore", ".gitignore"] {
            let path = format!("{base}{name}");
            let text =
                self.tree
                    .read(&path, CONFIG_BYTES_MAX)
                    .map_err(|source| PackListError::Read {
                        path: self.root.join(&path),
                        source,
                    })?;
            if let Some(text) = text {
                let rules = text.lines().filter_map(|line| Rule::parse(line, base));
                return Ok(Some(rules.collect()));
            }
        }
        Ok(None)
    }

    /// Lists the directory `base` (a path with a slash at its end, or nothing).
    fn enter(&mut self, base: &str, rules: &mut Vec<Vec<Rule>>) -> Result<(), PackListError> {
        let directory = self.root.join(base);
        let failed = |source| PackListError::Read {
            path: directory.clone(),
            source,
        };
        for (name, kind) in self.tree.list(base).map_err(failed)? {
            let refused = |source| PackListError::Name {
                name: name.to_string_lossy().into_owned(),
                directory: directory.clone(),
                source,
            };
            let name = name.to_str().ok_or_else(|| refused(NameError::Encoding))?;
            let path = format!("{base}{name}");
            if kind == EntryKind::Directory {
                self.descend(&path, rules)?;
                continue;
            }
            if !self.is_packed(&path, rules) {
                continue;
            }
            let packed = RelativePath::new(&path).map_err(refused)?;
            match kind {
                EntryKind::File => self.out.files.push(packed),
                EntryKind::Symlink => self.out.links.push(packed),
                EntryKind::Directory | EntryKind::Other => {}
            }
            if self.out.files.len() > PACKAGE_ENTRIES_MAX {
                return Err(PackListError::TooMany {
                    directory: self.root.to_path_buf(),
                });
            }
        }
        Ok(())
    }

    fn descend(&mut self, path: &str, rules: &mut Vec<Vec<Rule>>) -> Result<(), PackListError> {
        RelativePath::new(path).map_err(|source| PackListError::Name {
            name: path.to_owned(),
            directory: self.root.to_path_buf(),
            source,
        })?;
        let inside = format!("{path}/");
        let has_always = self
            .selection
            .always
            .iter()
            .any(|always| always.starts_with(&inside));
        let ignored = is_ignored(path, true, rules);
        if is_never(path, rules) || (ignored && !has_always) {
            return Ok(());
        }
        if ignored {
            // Only what is always packed comes out of it.
            rules.push(Rule::parse("*", &inside).into_iter().collect());
        }
        let own = self.ignore_rules(&inside)?.unwrap_or_default();
        rules.push(own);
        let result = self.enter(&inside, rules);
        rules.pop();
        if ignored {
            rules.pop();
        }
        result
    }

    fn is_packed(&self, path: &str, rules: &[Vec<Rule>]) -> bool {
        if is_never(path, rules) {
            return false;
        }
        if self.selection.is_always_packed(path) {
            return true;
        }
        let selected = self
            .selection
            .files
            .as_ref()
            .is_none_or(|files| is_selected(path, files));
        selected && !is_ignored(path, false, rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files packed of a directory with these files (each with its content).
    fn packed(files: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().expect("a directory");
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            std::fs::write(path, content).expect("written");
        }
        let list = pack_list(root.path()).expect("a list");
        list.files
            .iter()
            .map(|path| path.as_str().to_owned())
            .collect()
    }

    fn with_manifest(manifest: &str, files: &[&str], ignores: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![("package.json", manifest)];
        all.extend(files.iter().map(|path| (*path, "x")));
        all.extend(ignores);
        packed(&all)
    }

    // The expectations of these three tests are what pnpm 12.21 made of the same directories.

    #[test]
    fn the_files_field_is_rooted_and_directories_come_whole() {
        let manifest = r#"{"files":["b.js","sub/*","!sub/no.js","*.md","/abs","./dot",
            "deep/**/*.js"],"bin":{"x":"./cli/x.js"},"browser":"br.js","main":"./m"}"#;
        let files = [
            "b.js",
            "lib/b.js",
            "sub/a.js",
            "sub/no.js",
            "sub/in/c.js",
            "top.md",
            "lib/top.md",
            "abs/1",
            "dot/2",
            "deep/1/2.js",
            "deep/1/2.ts",
            "cli/x.js",
            "br.js",
            "m.js",
            "m/index.js",
            "CHANGELOG.md",
            "COPYING",
            "LICENSE.txt",
            "readme",
            "lib/README.md",
            "license",
            "sub/ign",
            "NOTICE",
            "HISTORY.md",
            "npm-shrinkwrap.json",
        ];
        assert_eq!(
            with_manifest(manifest, &files, &[("sub/.npmignore", "ign")]),
            [
                "CHANGELOG.md",
                "COPYING",
                "HISTORY.md",
                "LICENSE.txt",
                "abs/1",
                "b.js",
                "br.js",
                "cli/x.js",
                "deep/1/2.js",
                "dot/2",
                "license",
                "package.json",
                "readme",
                "sub/a.js",
                "sub/in/c.js",
                "top.md",
            ]
        );
    }

    #[test]
    fn what_is_never_packed_stays_out_of_named_directories() {
        let manifest = r#"{"files":["lib/","src/*.js","test"],"bundledDependencies":["bb"]}"#;
        let files = [
            "lib/a",
            "lib/x/a",
            "lib/.npmrc",
            "lib/node_modules/q/i.js",
            "src/a.js",
            "src/x/a.js",
            "test/ig",
            "test/keep",
            "node_modules/bb/i.js",
            "lib/package-lock.json",
            "yarn.lock",
            "lib/a.orig",
            "lib/.x.swp",
            "lib/._y",
            "CVS/x",
            "lib/CVS/y",
        ];
        assert_eq!(
            with_manifest(manifest, &files, &[("test/.gitignore", "ig")]),
            [
                "lib/a",
                "lib/node_modules/q/i.js",
                "lib/package-lock.json",
                "lib/x/a",
                "package.json",
                "src/a.js",
                "test/keep",
            ]
        );
        assert_eq!(
            with_manifest(r#"{"files":["."]}"#, &["a", "b/c"], &[]),
            ["package.json"]
        );
    }

    #[test]
    fn ignore_files_mean_what_they_mean_to_git() {
        let ignore = "# c\n*.log\n!keep.log\n/rooted\nsub/\nfoo/bar\nREADME.md\n**/zz\nend \n";
        let files = [
            "a.log",
            "keep.log",
            "x/a.log",
            "rooted",
            "x/rooted",
            "sub/a",
            "x/sub/b",
            "foo/bar",
            "x/foo/bar",
            "README.md",
            "y/zz",
            "yarn.lock",
            "package-lock.json",
            "pnpm-lock.yaml",
            "bun.lockb",
            "npm-shrinkwrap.json",
            "npm-debug.log",
            "config.gypi",
            ".lock-wscript",
            ".wafpickle-3",
            ".eslintrc",
            "archived-packages/x",
            "build/config.gypi",
            "x/node_modules/k",
            ".hg/x",
            "x/end",
            "x/package-lock.json",
            "bun.lock",
        ];
        assert_eq!(
            with_manifest("{}", &files, &[(".gitignore", ignore)]),
            [
                ".eslintrc",
                "README.md",
                "bun.lock",
                "config.gypi",
                "keep.log",
                "npm-shrinkwrap.json",
                "package.json",
                "x/foo/bar",
                "x/node_modules/k",
                "x/package-lock.json",
                "x/rooted",
            ]
        );
    }

    #[test]
    fn npmignore_stands_before_gitignore_and_bins_before_both() {
        let manifest = r#"{"bin":"out/cli.js"}"#;
        let ignores = [(".npmignore", "out"), (".gitignore", "*")];
        assert_eq!(
            with_manifest(manifest, &["a", "out/cli.js", "out/b"], &ignores),
            ["a", "out/cli.js", "package.json"]
        );
    }

    #[test]
    fn links_are_named_and_never_followed() {
        let root = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/etc", root.path().join("link")).expect("linked");
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("README")).expect("linked");
        let list = pack_list(root.path()).expect("a list");
        assert!(list.files.is_empty());
        let links: Vec<_> = list.links.iter().map(RelativePath::as_str).collect();
        assert_eq!(links, ["README", "link"]);
    }

    #[test]
    fn what_cannot_be_a_package_is_refused() {
        for manifest in ["", "[]", "{", "1"] {
            let root = tempfile::tempdir().expect("a directory");
            std::fs::write(root.path().join("package.json"), manifest).expect("written");
            assert!(pack_list(root.path()).is_err(), "{manifest}");
        }
        for name in ["a\\b", "a\nb", "\u{1b}[2J"] {
            let root = tempfile::tempdir().expect("a directory");
            std::fs::write(root.path().join(name), "x").expect("written");
            assert!(
                matches!(pack_list(root.path()), Err(PackListError::Name { .. })),
                "{name:?}"
            );
        }
        assert!(matches!(
            pack_list(Path::new("/does/not/exist")),
            Err(PackListError::Read { .. })
        ));
    }
}
