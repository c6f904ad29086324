//! Commands: which package's is linked where two offer the same, and in which form.

use std::cmp::Ordering;

use crate::install::lockfile::{PackageInfo, Resolution};
use crate::install::semver::Version;

use crate::name::BinName;
use crate::store::{Bin, BinRunner};

use super::error::LayoutError;
use super::graph::{Graph, Target};
use super::input::{InstalledPackage, LayoutInput, LayoutWarning, NodeLinker};
use super::model::{DirectoryIndex, LayoutEntry};
use super::tree::TreeBuilder;

/// How a package came to offer its commands at a place. The first one's win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The project or package depends on it.
    Direct,
    /// A direct dependency requires it as a peer.
    Peer,
    /// It was hoisted to where the command is.
    Hoisted,
}

/// A command that could be linked.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    bin: &'a Bin,
    /// The target as seen from the package's directory.
    target: &'a str,
    package: &'a str,
    version: Option<&'a str>,
    rank: Rank,
    location: LocationIndex,
}

type LocationIndex = usize;

/// A package's directory as seen from the `.bin` directory.
#[derive(Debug)]
struct Location {
    /// With a slash after it.
    path: String,
    /// Whether it is in a directory with its dependencies, and in no project's.
    has_dependencies_beside: bool,
}

impl Location {
    /// Where Node looks for what the package's modules load, and, behind that, in `hoisted`.
    fn node_path(&self, hoisted: &str) -> Vec<String> {
        let mut out = Vec::new();
        if self.has_dependencies_beside
            && let Some((above, _)) = self.path.rsplit_once("/node_modules/")
        {
            out.push(format!("{}node_modules", self.path));
            out.push(format!("{above}/node_modules"));
        }
        out.push(hoisted.to_owned());
        out
    }
}

/// Whether the commands of an archive count: where the lockfile says that it has some. The hoisted
/// linker of pnpm does not ask the lockfile.
fn has_commands(input: &LayoutInput<'_>, package: &PackageInfo) -> bool {
    let is_directory = matches!(package.resolution, Resolution::Directory { .. });
    let is_hoisted = input.settings.node_linker == NodeLinker::Hoisted;
    package.has_bin || is_directory || is_hoisted
}

/// The commands that one `.bin` directory could hold.
#[derive(Debug, Default)]
pub(super) struct BinCandidates<'a> {
    candidates: Vec<Candidate<'a>>,
    locations: Vec<Location>,
    /// Where all that was hoisted is, as seen from the `.bin` directory, where commands tell Node
    /// of it.
    hoisted: Option<String>,
}

impl<'a> BinCandidates<'a> {
    /// Commands that find what is in `hoisted` for those who have no dependency on it, such as a
    /// project's configuration that names plugins of its tool.
    pub(super) fn that_extend_node_path(hoisted: String) -> Self {
        Self {
            hoisted: Some(hoisted),
            ..Self::default()
        }
    }

    /// Offers the commands of what `target` leads to. `location` gives the package's directory as
    /// seen from the `.bin` directory, and is called only where there are commands.
    pub(super) fn offer(
        &mut self,
        input: &LayoutInput<'a>,
        graph: &Graph<'a>,
        target: &Target,
        rank: Rank,
        location: impl FnOnce() -> String,
    ) {
        let (bins, name, version) = match target {
            Target::Node(node) => {
                let node = &graph.nodes[*node];
                let Some(installed) = node.installed else {
                    return;
                };
                if !has_commands(input, node.package) {
                    return;
                }
                let facts = &installed.record.facts;
                let name = facts.name.as_deref().unwrap_or(node.name().as_str());
                (&facts.bins, name, facts.version.as_deref())
            }
            Target::Directory(path) => {
                let path = if path.is_empty() { "." } else { path };
                let Some(manifest) = input.manifests.get(path) else {
                    return;
                };
                let name = manifest.name.as_ref().map_or("", |name| name.as_str());
                (&manifest.bins, name, manifest.version.as_deref())
            }
        };
        if bins.is_empty() {
            return;
        }
        let place = self.locations.len();
        self.locations.push(Location {
            path: location(),
            has_dependencies_beside: matches!(target, Target::Node(_)),
        });
        self.candidates.extend(bins.iter().map(|bin| Candidate {
            bin,
            target: bin.target.as_str(),
            package: name,
            version,
            rank,
            location: place,
        }));
    }

    /// Offers the commands of the packages that `installed` carries in its own `node_modules`, for
    /// the `.bin` directory there.
    pub(super) fn offer_bundled(&mut self, installed: &'a InstalledPackage) {
        let bundled = &installed.record.facts.bundled_bins;
        if bundled.is_empty() {
            return;
        }
        let place = self.locations.len();
        self.locations.push(Location {
            path: "../".to_owned(),
            has_dependencies_beside: false,
        });
        self.candidates.extend(bundled.iter().filter_map(|bundled| {
            Some(Candidate {
                bin: &bundled.bin,
                target: bundled.bin.target.as_str().strip_prefix("node_modules/")?,
                package: &bundled.package,
                version: None,
                rank: Rank::Direct,
                location: place,
            })
        }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Links the chosen ones in the directory `.bin` of `parent`, which is at `path`, and adds a
    /// warning for each command that was not chosen.
    pub(super) fn link_and_warn(
        self,
        tree: &mut TreeBuilder,
        parent: DirectoryIndex,
        path: &str,
        warnings: &mut Vec<LayoutWarning>,
    ) -> Result<(), LayoutError> {
        let conflicts = self.link(tree, parent)?;
        warnings.extend(conflicts.iter().map(|conflict| conflict.warning(path)));
        Ok(())
    }

    /// Links the chosen ones in the directory `.bin` of `parent`, if there are any.
    pub(super) fn link(
        self,
        tree: &mut TreeBuilder,
        parent: DirectoryIndex,
    ) -> Result<Vec<BinConflict<'a>>, LayoutError> {
        let Self {
            mut candidates,
            locations,
            hoisted,
        } = self;
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        candidates.sort_by(Candidate::compare);
        let directory = tree.directory(parent, ".bin")?;
        let mut conflicts = Vec::new();
        let mut winner: Option<&Candidate<'a>> = None;
        for candidate in &candidates {
            match winner.filter(|winner| winner.bin.name == candidate.bin.name) {
                Some(winner) if winner.package == candidate.package => {}
                Some(winner) => conflicts.push(BinConflict {
                    bin: &candidate.bin.name,
                    winner: winner.package,
                    loser: candidate.package,
                }),
                None => {
                    let name = candidate.bin.name.as_str();
                    let location = &locations[candidate.location];
                    // A Node is no command of a module.
                    let hoisted = hoisted.as_deref().filter(|_| name != "node");
                    let entry = bin_entry(
                        &candidate.bin.runner,
                        &[&location.path, candidate.target].concat(),
                        &hoisted.map_or_else(Vec::new, |hoisted| location.node_path(hoisted)),
                    );
                    tree.insert(directory, name, entry)?;
                    winner = Some(candidate);
                }
            }
        }
        Ok(conflicts)
    }
}

impl Candidate<'_> {
    /// Smaller is better, within one command: direct before hoisted, then the package that has
    /// the command's name, then the smaller name, then the higher version.
    fn compare(&self, other: &Self) -> Ordering {
        let key = |one: &Self| (one.rank, !owns(one.package, one.bin.name.as_str()));
        self.bin
            .name
            .cmp(&other.bin.name)
            .then_with(|| key(self).cmp(&key(other)))
            .then_with(|| self.package.cmp(other.package))
            .then_with(|| parsed(other.version).cmp(&parsed(self.version)))
    }
}

fn parsed(version: Option<&str>) -> Option<Version> {
    version.and_then(Version::parse)
}

/// Whether `package` is the one that a command of this name is expected from.
fn owns(package: &str, bin: &str) -> bool {
    package == bin
        || match bin {
            "npx" => package == "npm",
            "pnpm" | "pnpx" | "pn" | "pnx" => matches!(package, "pnpm" | "@pnpm/exe"),
            _ => false,
        }
}

/// A command that two packages offer at one place.
#[derive(Debug)]
pub(super) struct BinConflict<'a> {
    bin: &'a BinName,
    winner: &'a str,
    loser: &'a str,
}

impl BinConflict<'_> {
    /// As a warning about the directory that holds `.bin`.
    fn warning(&self, directory: &str) -> LayoutWarning {
        LayoutWarning::BinConflict {
            directory: format!("{directory}/.bin").into(),
            bin: self.bin.clone(),
            winner: self.winner.into(),
            loser: self.loser.into(),
        }
    }
}

/// The entry that starts the file `target`, which is a path as seen from `.bin`, as are those of
/// `node_path`.
fn bin_entry(runner: &BinRunner, target: &str, node_path: &[String]) -> LayoutEntry {
    match runner {
        BinRunner::Shebang if node_path.is_empty() => LayoutEntry::Symlink(target.into()),
        BinRunner::Program(program) => shim(Some(program), target, node_path),
        BinRunner::Shebang | BinRunner::Direct => shim(None, target, node_path),
    }
}

/// A shell script that finds itself, through any symlinks to it, and starts `target` from there.
fn shim(program: Option<&str>, target: &str, node_path: &[String]) -> LayoutEntry {
    // A linked directory may be anywhere.
    let seen = |path: &str| match path.starts_with('/') {
        true => quoted(path),
        false => format!("\"$directory\"/{}", quoted(path)),
    };
    let target = seen(target);
    // The real directory: Node takes `..` off the path that it is given as text.
    let mut script = String::from(
        "#!/bin/sh\n\
         case $0 in\n  /*) self=$0 ;;\n  *) self=./$0 ;;\nesac\n\
         while [ -h \"$self\" ]; do\n  link=$(readlink \"$self\")\n  case $link in\n    \
         /*) self=$link ;;\n    *) self=${self%/*}/$link ;;\n  esac\ndone\n\
         directory=$(CDPATH= cd -P -- \"${self%/*}\" && pwd -P) || exit\n",
    );
    if !node_path.is_empty() {
        let all: Vec<String> = node_path.iter().map(|path| seen(path)).collect();
        script.push_str(&format!(
            "NODE_PATH={}${{NODE_PATH:+:$NODE_PATH}}\nexport NODE_PATH\n",
            all.join(":")
        ));
    }
    match program {
        Some(program) => {
            // A program given by its path is that one and no other.
            if !program.contains('/') {
                let beside = seen(program);
                script.push_str(&format!(
                    "[ -x {beside} ] && exec {beside} {target} \"$@\"\n"
                ));
            }
            script.push_str(&format!("exec {} {target} \"$@\"\n", quoted(program)));
        }
        None => script.push_str(&format!("exec {target} \"$@\"\n")),
    }
    LayoutEntry::File {
        content: script.into_bytes().into(),
        executable: true,
    }
}

/// As one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn write(path: &Path, content: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        pacquet_test_registry::program::write(path, content);
    }

    fn output(program: &Path, directory: &Path) -> String {
        let output = Command::new(program)
            .args(["a b", "$c"])
            .current_dir(directory)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn a_target_with_an_interpreter_line_is_linked() {
        let entry = bin_entry(&BinRunner::Shebang, "../p/bin/x.js", &[]);
        assert_eq!(entry, LayoutEntry::Symlink("../p/bin/x.js".into()));
    }

    #[test]
    fn a_shim_finds_its_target_through_links_and_from_anywhere() {
        for (runner, target, content) in [
            (
                BinRunner::Program("sh".into()),
                "it's $1/x.sh",
                "echo \"ran $1,$2\"\n",
            ),
            (
                BinRunner::Program("/bin/sh".into()),
                "y",
                "#!/bin/sh\r\necho \"ran $1,$2\"\n",
            ),
            (BinRunner::Direct, "x", "#!/bin/sh\necho \"ran $1,$2\"\n"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path();
            write(&root.join("modules/p").join(target), content.as_bytes());
            let LayoutEntry::File {
                content,
                executable: true,
            } = bin_entry(&runner, &format!("../p/{target}"), &[])
            else {
                panic!("not a shim");
            };
            write(&root.join("modules/.bin/tool"), &content);
            fs::create_dir(root.join("other")).unwrap();
            symlink("../modules/.bin/tool", root.join("other/near")).unwrap();
            symlink(root.join("other/near"), root.join("far")).unwrap();
            for path in ["modules/.bin/tool", "other/near", "far"] {
                assert_eq!(output(&root.join(path), root), "ran a b,$c\n", "{path}");
                let relative = Path::new("..").join(path);
                assert_eq!(
                    output(&relative, &root.join("other")),
                    "ran a b,$c\n",
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn a_program_beside_the_shim_is_preferred() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let LayoutEntry::File { content, .. } =
            bin_entry(&BinRunner::Program("node".into()), "../p/x.js", &[])
        else {
            panic!("not a shim");
        };
        write(&root.join(".bin/tool"), &content);
        write(
            &root.join(".bin/node"),
            b"#!/bin/sh\necho \"own ${1##*/}\"\n",
        );
        assert_eq!(output(&root.join(".bin/tool"), root), "own x.js\n");
    }

    #[test]
    fn a_command_tells_node_of_what_was_hoisted() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let location = Location {
            path: "../.pnpm/p@1/node_modules/@s/p/".to_owned(),
            has_dependencies_beside: true,
        };
        let node_path = location.node_path("../.pnpm/node_modules");
        let LayoutEntry::File { content, .. } = bin_entry(
            &BinRunner::Shebang,
            "../.pnpm/p@1/node_modules/@s/p/x",
            &node_path,
        ) else {
            panic!("not a shim");
        };
        write(&root.join("modules/.bin/tool"), &content);
        write(
            &root.join("modules/.pnpm/p@1/node_modules/@s/p/x"),
            b"#!/bin/sh\necho $NODE_PATH\n",
        );
        // Who comes by a link to the directory sees the real one.
        symlink("modules/.bin", root.join("other")).unwrap();
        let said = Command::new(root.join("other/tool"))
            .env("NODE_PATH", "/before")
            .output()
            .unwrap();
        let store = format!("{}/modules/.bin/../.pnpm", root.display());
        let expected = format!(
            "{store}/p@1/node_modules/@s/p/node_modules:{store}/p@1/node_modules:\
             {store}/node_modules:/before\n"
        );
        assert_eq!(String::from_utf8(said.stdout).unwrap(), expected);
    }

    #[test]
    fn owners_are_known() {
        for (package, bin, expected) in [
            ("tsc", "tsc", true),
            ("npm", "npx", true),
            ("@pnpm/exe", "pnpm", true),
            ("typescript", "tsc", false),
            ("npm", "pnpm", false),
            ("", "npx", false),
        ] {
            assert_eq!(owns(package, bin), expected, "{package} {bin}");
        }
    }
}
