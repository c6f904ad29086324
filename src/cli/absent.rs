//! Commands and flags of pnpm that this program does not have: what to do instead.

use super::failure::Failure;
use crate::name::escaped;

const PUBLISHES: &str = "it installs packages and publishes none: use `pnpm` or `npm` for that";
const ACCOUNTS: &str = "it has no accounts at registries: use `pnpm` or `npm`, or write \
                        credentials into .npmrc yourself";
const LOOKS: &str = "use `pnpm` or `npm` to look at what a registry says of a package";
const ITSELF: &str = "it does not manage itself: update it in the way in which it was installed";
const RUNTIMES: &str = "it chooses no runtimes: declare them in devEngines.runtime, and lock them \
                        with `pnpm install --lockfile-only`";
const INVENTORY: &str = "use `pnpm sbom`, which reads what this program installed too";
const BLOBS: &str = "its store has one file a package, not one a file: see `pacquet store status` \
                     and `pacquet store verify`";
const RELEASES: &str = "it makes no releases: use `pnpm` for them";
const CACHE: &str = "what it knows of packages is in the directory that `pacquet config get \
                     cache-dir` names, which may be removed at any time";

const COMMANDS: [(&str, &[&str]); 10] = [
    (
        PUBLISHES,
        &[
            "publish",
            "pack-app",
            "stage",
            "deprecate",
            "undeprecate",
            "unpublish",
            "dist-tag",
            "dist-tags",
            "star",
            "unstar",
            "stars",
        ],
    ),
    (
        ACCOUNTS,
        &[
            "login", "adduser", "logout", "whoami", "team", "owner", "owners", "access", "token",
        ],
    ),
    (
        LOOKS,
        &[
            "search", "s", "se", "find", "docs", "home", "repo", "bugs", "issues", "ping", "fund",
        ],
    ),
    (ITSELF, &["self-update", "setup", "with", "shim"]),
    (RUNTIMES, &["env", "runtime", "rt"]),
    (BLOBS, &["cat-file", "cat-index", "find-hash"]),
    (INVENTORY, &["sbom"]),
    (RELEASES, &["change", "lane"]),
    (CACHE, &["cache"]),
    (
        "use `pnpm` for it",
        &[
            "pipeline",
            "tasks",
            "permissions",
            "approve",
            "server",
            "edit",
            "xmas",
        ],
    ),
];

/// What is said of releases that are made of what was noted for them.
pub(super) fn releases() -> Failure {
    let sentence = "pacquet does not have the changes of pnpm that are noted for a release";
    Failure::new("ERR_PACQUET_ABSENT", sentence, Some(RELEASES))
}

/// What is said of a command of pnpm that is none here, nor a script or program.
pub(super) fn command(name: &str) -> Option<Failure> {
    let (hint, _) = COMMANDS.iter().find(|(_, names)| names.contains(&name))?;
    let sentence = format!("pacquet does not have pnpm's command \"{}\"", escaped(name));
    Some(Failure::new("ERR_PACQUET_ABSENT", sentence, Some(hint)))
}

const FLAGS: [(&[&str], &str); 10] = [
    (
        &["--global", "-g"],
        "add, remove, update, list, outdated, root, bin and prefix know it: look at what is there \
         with `pacquet list --global`",
    ),
    (&["--pnpr-server"], "resolution is not left to a server"),
    (
        &["--save-build"],
        "only packages of JavaScript are installed",
    ),
    (&["--changeset", "--no-changeset"], RELEASES),
    (
        &["--patches"],
        "versions have no revisions here: update to another version",
    ),
    (
        &["--include-github-actions"],
        "it looks at dependencies in package.json alone",
    ),
    (
        &["--variant"],
        "only one archive is made of a project: leave it out",
    ),
    (
        &["--notes"],
        "look for release notes where the package is developed",
    ),
    (
        &["--init-package-manager"],
        "write packageManager into package.json yourself",
    ),
    (
        &["--prod", "--dev", "--optional", "--no-optional"],
        "run `pacquet install` with it afterwards",
    ),
];

/// What is said of a flag that pnpm has.
pub(super) fn flag(flag: &str) -> Option<Failure> {
    let name = flag.split('=').next().unwrap_or(flag);
    let (_, hint) = FLAGS.iter().find(|(names, _)| names.contains(&name))?;
    let sentence = format!("pacquet does not have pnpm's flag {}", escaped(name));
    Some(Failure::new("ERR_PACQUET_ABSENT", sentence, Some(hint)))
}
