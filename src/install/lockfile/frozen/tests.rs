use super::super::read_lockfile;
use super::*;
use serde_json::json;

const LOCKFILE: &str = "\
lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

catalogs:
  default:
    cat:
      specifier: ^1.0.0
      version: 1.2.0

overrides:
  a: 1.0.0
  b>c: 2.0.0

patchedDependencies:
  a: 1c5e9204307ad684ee91254c3cf47a0318bc4ebd7a51ecf70f2948f10c4e6894

importers:

  .:
    dependencies:
      a:
        specifier: ^1.0.0
        version: 1.2.0
      linked:
        specifier: link:./d
        version: link:d
    devDependencies:
      alias:
        specifier: npm:a@^1
        version: a@1.2.0
    optionalDependencies:
      o:
        specifier: 1.2.0
        version: a@1.2.0

  packages/p:
    dependencies:
      q:
        specifier: workspace:^1.0.0
        version: link:../q
    dependenciesMeta:
      q:
        injected: true
    publishDirectory: dist

  packages/q: {}

packages:

  a@1.2.0:
    resolution: {integrity: sha512-AA==}

ignoredOptionalDependencies:
  - z-*
  - y

snapshots:

  a@1.2.0: {}
";

fn specifiers<const N: usize>(entries: [(&str, &str); N]) -> Specifiers {
    entries
        .map(|(alias, specifier)| (alias.into(), specifier.into()))
        .into()
}

fn settings() -> LockfileSettings {
    LockfileSettings {
        // In another order than in the lockfile, which does not count.
        overrides: [("b>c", "2.0.0"), ("a", "1.0.0")]
            .map(|(key, value)| (key.into(), value.into()))
            .into(),
        patched_dependencies: specifiers([(
            "a",
            "1c5e9204307ad684ee91254c3cf47a0318bc4ebd7a51ecf70f2948f10c4e6894",
        )]),
        ignored_optional_dependencies: vec!["y".into(), "z-*".into()],
        // An entry that the lockfile does not use does not count.
        catalogs: [(
            "default".into(),
            specifiers([("cat", "^1.0.0"), ("unused", "^9")]),
        )]
        .into(),
        ..LockfileSettings::default()
    }
}

fn root() -> ProjectManifest {
    ProjectManifest {
        dependencies: specifiers([("a", "^1.0.0"), ("linked", "link:./d")]),
        dev_dependencies: specifiers([("alias", "npm:a@^1")]),
        optional_dependencies: specifiers([("o", "1.2.0"), ("y", "1.0.0"), ("z-1", "1.0.0")]),
        ..ProjectManifest::default()
    }
}

fn importer(id: &str) -> ImporterId {
    ImporterId(
        crate::name::RelativePath::new(id)
            .ok()
            .filter(|_| id != "."),
    )
}

fn projects() -> Vec<(ImporterId, ProjectManifest)> {
    let p = ProjectManifest {
        dependencies: specifiers([("q", "workspace:^1.0.0")]),
        dependencies_meta: Some(json!({"q": {"injected": true}})),
        publish_directory: Some("dist".into()),
        links_project: false,
        ..ProjectManifest::default()
    };
    let q = ProjectManifest {
        version: Some("1.3.0".into()),
        ..ProjectManifest::default()
    };
    vec![
        (importer("."), root()),
        (importer("packages/p"), p),
        (importer("packages/q"), q),
    ]
}

fn lockfile() -> Lockfile {
    read_lockfile(LOCKFILE).expect("a lockfile")
}

#[test]
fn what_did_not_change_is_up_to_date() {
    assert_eq!(check_frozen(&lockfile(), &settings(), &projects()), Ok(()));
    // A project without dependencies need not be in the lockfile.
    let mut projects = projects();
    projects.push((importer("packages/new"), ProjectManifest::default()));
    assert_eq!(check_frozen(&lockfile(), &settings(), &projects), Ok(()));
}

/// A setting in the words of pnpm, and a change to it.
type SettingChange = (&'static str, fn(&mut LockfileSettings));

#[test]
fn every_setting_that_changed_is_named() {
    let changes: [SettingChange; 18] = [
        ("catalogs", |now| {
            now.catalogs = [("default".into(), specifiers([("cat", "^2")]))].into()
        }),
        ("catalogs", |now| now.catalogs.clear()),
        ("overrides", |now| now.overrides.clear()),
        ("overrides", |now| {
            _ = now.overrides.insert("a".into(), "1.0.1".into())
        }),
        ("overrides", |now| {
            _ = now.overrides.insert("c".into(), "1".into())
        }),
        ("packageExtensionsChecksum", |now| {
            now.package_extensions_checksum = Some("sha256-AA==".into());
        }),
        ("ignoredOptionalDependencies", |now| {
            now.ignored_optional_dependencies.clear()
        }),
        ("ignoredOptionalDependencies", |now| {
            now.ignored_optional_dependencies.push("x".into());
        }),
        ("patchedDependencies", |now| {
            now.patched_dependencies.clear()
        }),
        ("patchedDependencies", |now| {
            _ = now.patched_dependencies.insert("a".into(), "0".into())
        }),
        ("settings.autoInstallPeers", |now| {
            now.auto_install_peers = false
        }),
        ("settings.dedupePeers", |now| now.dedupe_peers = true),
        ("settings.excludeLinksFromLockfile", |now| {
            now.exclude_links_from_lockfile = true
        }),
        ("settings.peersSuffixMaxLength", |now| {
            now.peers_suffix_max_length = 10
        }),
        ("pnpmfileChecksum", |now| {
            now.pnpmfile_checksum = Some("sha256-AA==".into())
        }),
        ("settings.injectWorkspacePackages", |now| {
            now.inject_workspace_packages = true
        }),
        // The first in pnpm's order is named, whatever else changed.
        ("overrides", |now| {
            now.overrides.clear();
            now.pnpmfile_checksum = Some("sha256-AA==".into());
        }),
        ("settings.dedupePeers", |now| {
            now.inject_workspace_packages = true;
            now.dedupe_peers = true;
        }),
    ];
    for (expected, change) in changes {
        let mut now = settings();
        change(&mut now);
        let error = check_frozen(&lockfile(), &now, &projects()).expect_err(expected);
        assert_eq!(error.code(), "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH");
        let FrozenError::ConfigMismatch {
            setting,
            in_lockfile,
            now,
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(*setting, expected);
        assert_ne!(in_lockfile, now, "{error}");
    }
}

#[test]
fn settings_that_an_old_lockfile_lacks_do_not_count() {
    let mut lockfile = lockfile();
    lockfile.settings = None;
    let mut now = LockfileSettings {
        auto_install_peers: false,
        ..settings()
    };
    assert_eq!(check_frozen(&lockfile, &now, &projects()), Ok(()));
    // But for those that were recorded from the beginning.
    now.scoped_optional_peers = true;
    assert!(check_frozen(&lockfile, &now, &projects()).is_err());
}

/// What the message must contain, and a change to the root's manifest.
type ManifestChange = (&'static [&'static str], fn(&mut ProjectManifest));

#[test]
fn every_manifest_that_changed_is_told_of_with_both_sides() {
    let changes: [ManifestChange; 10] = [
        (
            &[
                "added new@^3",
                "changed a (lockfile: ^1.0.0, manifest: ^1.1.0)",
            ],
            |root| {
                root.dependencies.insert("new".into(), "^3".into());
                root.dependencies.insert("a".into(), "^1.1.0".into());
            },
        ),
        (&["removed alias@npm:a@^1"], |root| {
            root.dev_dependencies.clear()
        }),
        (&["removed o@1.2.0"], |root| {
            _ = root.optional_dependencies.remove("o")
        }),
        (&["\"alias\"", "dependencies"], |root| {
            let specifier = root.dev_dependencies.remove("alias").expect("an alias");
            root.dependencies.insert("alias".into(), specifier);
        }),
        (&["\"a\"", "optionalDependencies"], |root| {
            root.optional_dependencies
                .insert("a".into(), "^1.0.0".into());
        }),
        (&["`publishDirectory`", "dist"], |root| {
            root.publish_directory = Some("dist".into())
        }),
        (&["`linkDirectory`", "true", "false"], |root| {
            root.links_project = true;
        }),
        (&["`dependenciesMeta`", "{}", "injected"], |root| {
            root.dependencies_meta = Some(json!({"a": {"injected": true}}));
        }),
        (&["added peer@^5"], |root| {
            root.peer_dependencies = specifiers([("peer", "^5")])
        }),
        (&["added \\u{1b}[2J@1"], |root| {
            root.dependencies.insert("\u{1b}[2J".into(), "1".into());
        }),
    ];
    for (parts, change) in changes {
        let mut projects = projects();
        change(&mut projects[0].1);
        let error = check_frozen(&lockfile(), &settings(), &projects).expect_err(parts[0]);
        assert_eq!(error.code(), "ERR_PNPM_OUTDATED_LOCKFILE");
        for part in parts {
            assert!(error.to_string().contains(part), "{part:?} in {error}");
        }
    }
}

#[test]
fn a_dependency_in_two_fields_counts_once() {
    let mut projects = projects();
    let root = &mut projects[0].1;
    // Optional before production before development, and peers only where there is none.
    root.dev_dependencies.insert("a".into(), "^9".into());
    root.dev_dependencies.insert("o".into(), "^9".into());
    root.dependencies.insert("o".into(), "^9".into());
    root.peer_dependencies = specifiers([("a", "*"), ("alias", "*")]);
    assert_eq!(check_frozen(&lockfile(), &settings(), &projects), Ok(()));
}

#[test]
fn links_do_not_count_where_they_are_left_out() {
    let text = LOCKFILE
        .replace(
            "excludeLinksFromLockfile: false",
            "excludeLinksFromLockfile: true",
        )
        .replace(
            "      linked:\n        specifier: link:./d\n        version: link:d\n",
            "",
        );
    let lockfile = read_lockfile(&text).expect("a lockfile");
    let now = LockfileSettings {
        exclude_links_from_lockfile: true,
        ..settings()
    };
    assert_eq!(check_frozen(&lockfile, &now, &projects()), Ok(()));
}

#[test]
fn a_version_out_of_its_range_is_refused() {
    let text = LOCKFILE
        .replace("a@1.2.0:", "a@2.0.0:")
        .replace("a@1.2.0", "a@2.0.0");
    let text = text.replace("\n        version: 1.2.0", "\n        version: 2.0.0");
    let lockfile = read_lockfile(&text).expect("a lockfile");
    let error = check_frozen(&lockfile, &settings(), &projects()).expect_err("out of range");
    assert!(
        error
            .to_string()
            .contains("the lockfile has 2.0.0 for \"a\""),
        "{error}"
    );
}

#[test]
fn a_prerelease_is_in_the_range_that_has_everything() {
    let text = LOCKFILE.replace("a@1.2.0", "a@1.2.0-rc.1");
    let text = text.replace(
        "specifier: ^1.0.0\n        version: 1.2.0\n      linked",
        "specifier: '*'\n        version: 1.2.0-rc.1\n      linked",
    );
    let lockfile = read_lockfile(&text).expect("a lockfile");
    let mut projects = projects();
    projects[0].1.dependencies = specifiers([("a", "*"), ("linked", "link:./d")]);
    assert_eq!(check_frozen(&lockfile, &settings(), &projects), Ok(()));
}

#[test]
fn a_linked_project_out_of_its_range_is_refused() {
    // The second is how `linkWorkspacePackages` links.
    for specifier in ["workspace:^1.0.0", "^1.0.0"] {
        let lockfile = read_lockfile(&LOCKFILE.replace("workspace:^1.0.0", specifier));
        let lockfile = lockfile.expect("a lockfile");
        let mut projects = projects();
        projects[1].1.dependencies = specifiers([("q", specifier)]);
        assert_eq!(check_frozen(&lockfile, &settings(), &projects), Ok(()));
        projects[2].1.version = Some("2.0.0".into());
        let error = check_frozen(&lockfile, &settings(), &projects).expect_err("out of range");
        assert!(
            error.to_string().contains("packages/p/package.json"),
            "{error}"
        );
        assert!(error.to_string().contains("\"2.0.0\""), "{error}");
    }
}

#[test]
fn a_project_that_the_lockfile_lacks_is_refused() {
    let mut projects = projects();
    projects.push((importer("packages/new"), root()));
    let error = check_frozen(&lockfile(), &settings(), &projects).expect_err("a new project");
    assert_eq!(error.code(), "ERR_PNPM_OUTDATED_LOCKFILE");
    assert!(
        error.to_string().contains("packages/new/package.json"),
        "{error}"
    );
}

#[test]
fn a_directory_need_not_have_what_is_optional_or_a_peer_too() {
    let text = LOCKFILE
        .replace(
            "packages:\n\n",
            "packages:\n\n  dir@file:dir:\n    resolution: {directory: dir, type: directory}\n    \
             peerDependencies:\n      a: ^1.0.0\n      absent: '*'\n    \
             peerDependenciesMeta:\n      absent:\n        optional: true\n\n",
        )
        .replace(
            "  a@1.2.0: {}\n",
            "  a@1.2.0: {}\n\n  dir@file:dir(a@1.2.0):\n    dependencies:\n      a: 1.2.0\n",
        );
    let lockfile = read_lockfile(&text).expect("a lockfile");
    let of = |dependencies: Specifiers, peer_dependencies: Specifiers| {
        let manifest = ProjectManifest {
            dependencies,
            optional_dependencies: specifiers([("lost", "^1.0.0")]),
            peer_dependencies,
            optional_peers: ["absent".into()].into(),
            ..ProjectManifest::default()
        };
        let manifests = [("dir".into(), manifest)].into();
        check_directories(&lockfile, &settings(), &manifests)
    };
    // The peer comes from the dependent, in its range and not that of the dependency.
    let peers = specifiers([("a", "^1.0.0"), ("absent", "*")]);
    let both = specifiers([("a", "2.0.0"), ("absent", "^1.0.0")]);
    assert_eq!(of(both.clone(), peers), Ok(()));
    let error = of(both, specifiers([("absent", "*")])).expect_err("another range");
    assert_eq!(error.code(), "ERR_PNPM_OUTDATED_LOCKFILE");
    let more = specifiers([("a", "^1.0.0"), ("more", "^1.0.0")]);
    let error = of(more, Specifiers::default()).expect_err("one more");
    assert!(error.to_string().contains("added more@^1.0.0"), "{error}");
    for (peers, told) in [
        (
            [("a", "^1.1.0"), ("absent", "*")],
            "changed a (lockfile: ^1.0.0, manifest: ^1.1.0)",
        ),
        ([("a", "^1.0.0"), ("added", "^1.0.0")], "added added@^1.0.0"),
    ] {
        let error = of(specifiers([("a", "^1.0.0")]), specifiers(peers)).expect_err("other peers");
        assert!(error.to_string().contains(told), "{error}");
    }
    let peers = specifiers([("a", "^1.0.0")]);
    assert_eq!(
        of(Specifiers::default(), peers),
        Ok(()),
        "one that is optional needs no range"
    );
}
