//! What `run` without a name shows.

use crate::install::scripts::ScriptManifest;
use crate::name::escaped;

/// Scripts that package managers run by themselves, or have a command for.
const LIFECYCLE: &[&str] = &[
    "prepublish",
    "prepare",
    "prepublishOnly",
    "prepack",
    "postpack",
    "publish",
    "postpublish",
    "preinstall",
    "install",
    "postinstall",
    "preuninstall",
    "uninstall",
    "postuninstall",
    "preversion",
    "version",
    "postversion",
    "pretest",
    "test",
    "posttest",
    "prestop",
    "stop",
    "poststop",
    "prestart",
    "start",
    "poststart",
    "prerestart",
    "restart",
    "postrestart",
    "preshrinkwrap",
    "shrinkwrap",
    "postshrinkwrap",
];

/// The scripts of a project, and of the root of its workspace where that is another.
pub(super) fn of(manifest: &ScriptManifest, root: Option<&ScriptManifest>) -> String {
    let shown = manifest
        .scripts()
        .filter(|(name, _)| !name.starts_with('.'));
    let (lifecycle, other): (Vec<_>, Vec<_>) =
        shown.partition(|(name, _)| LIFECYCLE.contains(name));
    if lifecycle.is_empty() && other.is_empty() {
        return "There are no scripts specified.".to_owned();
    }
    let of_root: Vec<_> = root.into_iter().flat_map(ScriptManifest::scripts).collect();
    let groups = [
        ("Lifecycle scripts:", lifecycle),
        ("Commands available via \"pacquet run\":", other),
        (
            "Commands of the root workspace project (to run them, use \"pacquet -w run\"):",
            of_root,
        ),
    ];
    let groups = groups
        .into_iter()
        .filter(|(_, scripts)| !scripts.is_empty());
    let paragraphs: Vec<String> = groups
        .map(|(head, scripts)| group(head, &scripts))
        .collect();
    paragraphs.join("\n\n")
}

fn group(head: &str, scripts: &[(&str, &str)]) -> String {
    let entries = scripts
        .iter()
        .map(|(name, script)| format!("  {}\n    {}", escaped(name), escaped(script)));
    let entries: Vec<String> = entries.collect();
    format!("{head}\n{}", entries.join("\n"))
}
