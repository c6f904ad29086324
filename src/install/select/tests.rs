use super::*;
use crate::install::lockfile::read_lockfile;

/// `root` needs `app` and, optionally, `native`, which fits Windows only and needs `helper` and
/// `shared`; `app` needs `shared` too.
const LOCKFILE: &str = "\
lockfileVersion: '9.0'

importers:

  .:
    dependencies:
      app:
        specifier: 1.0.0
        version: 1.0.0
    devDependencies:
      tool:
        specifier: 1.0.0
        version: 1.0.0
    optionalDependencies:
      native:
        specifier: 1.0.0
        version: 1.0.0

  other:
    dependencies:
      strict:
        specifier: 1.0.0
        version: 1.0.0

packages:

  app@1.0.0:
    resolution: {integrity: sha512-AA==}

  helper@1.0.0:
    resolution: {integrity: sha512-AA==}

  native@1.0.0:
    resolution: {integrity: sha512-AA==}
    os: [win32]

  shared@1.0.0:
    resolution: {integrity: sha512-AA==}

  strict@1.0.0:
    resolution: {integrity: sha512-AA==}
    engines: {node: '>=99'}

  tool-linux-arm64@1.0.0:
    resolution: {integrity: sha512-AA==}

  tool@1.0.0:
    resolution: {integrity: sha512-AA==}

snapshots:

  app@1.0.0:
    dependencies:
      shared: 1.0.0

  helper@1.0.0:
    dependencies:
      native: 1.0.0
    optional: true

  native@1.0.0:
    dependencies:
      helper: 1.0.0
      shared: 1.0.0
    optional: true

  shared@1.0.0: {}

  strict@1.0.0: {}

  tool-linux-arm64@1.0.0:
    optional: true

  tool@1.0.0:
    optionalDependencies:
      tool-linux-arm64: 1.0.0
";

fn platforms(os: &str, cpu: &str) -> SupportedPlatforms {
    let host = Host {
        os: os.into(),
        cpu: cpu.into(),
        libc: None,
    };
    SupportedPlatforms::new(&host, &SupportedArchitectures::default())
}

/// The names that are picked, and those that are skipped.
fn names(options: &SelectionOptions<'_>) -> (Vec<String>, Vec<String>) {
    let lockfile = read_lockfile(LOCKFILE).expect("a lockfile");
    let selection = select(&lockfile, options).expect("a selection");
    let picked = selection.packages.iter().map(|package| package.dep_path);
    let name = |dep_path: &DepPath| dep_path.name_str().to_owned();
    (
        picked.map(name).collect(),
        selection.skipped.into_iter().map(name).collect(),
    )
}

fn options(platforms: &SupportedPlatforms) -> SelectionOptions<'_> {
    SelectionOptions {
        importers: None,
        included: IncludedGroups::ALL,
        platforms,
        node_version: None,
        incompatible: Incompatible::Warn,
        node_linker: NodeLinker::Isolated,
    }
}

#[test]
fn what_does_not_fit_is_skipped_with_all_that_only_it_needs() {
    let linux = platforms("linux", "x64");
    let (picked, skipped) = names(&options(&linux));
    assert_eq!(picked, ["app", "shared", "strict", "tool"]);
    assert_eq!(skipped, ["helper", "native", "tool-linux-arm64"]);
    let windows = platforms("win32", "arm64");
    let (picked, skipped) = names(&options(&windows));
    assert_eq!(
        picked,
        ["app", "helper", "native", "shared", "strict", "tool"]
    );
    assert_eq!(skipped, ["tool-linux-arm64"]);
}

#[test]
fn groups_and_projects_limit_what_is_reached() {
    let linux = platforms("linux", "arm64");
    let all = IncludedGroups::ALL;
    let root = [ImporterId(None)];
    for (included, picked, skipped) in [
        (
            IncludedGroups {
                development: false,
                ..all
            },
            &["app", "shared"][..],
            &["helper", "native"][..],
        ),
        (
            IncludedGroups {
                production: false,
                ..all
            },
            &["tool-linux-arm64", "tool"],
            &[],
        ),
        (
            IncludedGroups {
                optional: false,
                ..all
            },
            &["app", "shared", "tool"],
            &[],
        ),
    ] {
        let options = SelectionOptions {
            included,
            importers: Some(&root),
            ..options(&linux)
        };
        let (found, found_skipped) = names(&options);
        assert_eq!(
            (&found[..], &found_skipped[..]),
            (
                &picked
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>()[..],
                &skipped
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>()[..]
            )
        );
    }
    let unknown = [ImporterId(crate::name::RelativePath::new("x").ok())];
    let lockfile = read_lockfile(LOCKFILE).expect("a lockfile");
    let options = SelectionOptions {
        importers: Some(&unknown),
        ..options(&linux)
    };
    assert!(matches!(
        select(&lockfile, &options),
        Err(SelectError::UnknownImporter { .. })
    ));
}

#[test]
fn what_must_be_there_and_does_not_fit_is_warned_of_or_refused() {
    let linux = platforms("linux", "x64");
    let lockfile = read_lockfile(LOCKFILE).expect("a lockfile");
    for (version, is_warned) in [
        (None, false),
        (Some("100.0.0"), false),
        (Some("20.0.0"), true),
    ] {
        let options = SelectionOptions {
            node_version: version,
            ..options(&linux)
        };
        let selection = select(&lockfile, &options).expect("a selection");
        let warned: Vec<&str> = selection
            .incompatible
            .iter()
            .map(|package| package.dep_path.name_str())
            .collect();
        assert_eq!(warned.contains(&"strict"), is_warned, "{version:?}");
        let options = SelectionOptions {
            incompatible: Incompatible::Refuse,
            ..options
        };
        let refused = select(&lockfile, &options).err().map(|error| error.code());
        assert_eq!(
            refused,
            is_warned.then_some("ERR_PNPM_UNSUPPORTED_ENGINE"),
            "{version:?}"
        );
    }
}
