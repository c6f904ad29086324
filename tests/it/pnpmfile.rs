//! The hooks of pnpmfiles.

use std::fs;

use pacquet_test_registry::Package;

use crate::project::Project;

/// A project that depends on `top`, which depends on `middle` 1.
fn project(pnpmfile: &str) -> Project {
    let project = Project::new();
    let packages = [
        Package::new("top", "1.0.0").dependency("middle", "1.0.0"),
        Package::new("middle", "1.0.0"),
        Package::new("middle", "2.0.0"),
    ];
    for package in &packages {
        project.registry.publish(package);
    }
    let manifest = r#"{"name":"own","dependencies":{"top":"1.0.0"}}"#;
    project.write("package.json", manifest);
    project.write(".pnpmfile.cjs", pnpmfile);
    project
}

fn lockfile(project: &Project) -> String {
    fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap()
}

const CHANGES_BOTH: &str = "module.exports = { hooks: {
  readPackage (manifest, context) {
    context.log('saw ' + manifest.name)
    console.log('this is no answer')
    if (manifest.name === 'top') manifest.dependencies.middle = '2.0.0'
    if (manifest.name === 'own') manifest.dependencies.middle = '1.0.0'
    return manifest
  },
  async afterAllResolved (lockfile) {
    lockfile.packages['top@1.0.0'].deprecated = 'by the hook'
    return lockfile
  }
} }
";

#[test]
fn hooks_change_manifests_and_the_lockfile() {
    let project = project(CHANGES_BOTH);
    project.succeed(&["install", "--lockfile-only"]);
    let locked = lockfile(&project);
    // What pnpm 12.21 records of this file.
    let checksum = "pnpmfileChecksum: sha256-rT6qrnIXUr/NrJJGOPjtY1tRKL+s15Z7CSGchNg1BNA=";
    assert!(locked.contains(checksum), "{locked}");
    let own = "      middle:\n        specifier: 1.0.0\n        version: 1.0.0\n";
    assert!(locked.contains(own), "{locked}");
    let top = "  top@1.0.0:\n    dependencies:\n      middle: 2.0.0\n";
    assert!(locked.contains(top), "{locked}");
    assert!(locked.contains("deprecated: by the hook"), "{locked}");

    let frozen = ["install", "--lockfile-only", "--frozen-lockfile"];
    project.succeed(&frozen);
    let said = project.fail(&[&frozen[..], &["--ignore-pnpmfile"]].concat());
    assert!(said.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{said}");
    project.write(".pnpmfile.cjs", &format!("{CHANGES_BOTH}// changed\n"));
    let said = project.fail(&frozen);
    assert!(said.contains("ERR_PNPM_LOCKFILE_CONFIG_MISMATCH"), "{said}");
    assert_eq!(lockfile(&project), locked);
}

#[test]
fn a_hook_that_fails_is_named_and_changes_nothing() {
    let failing = "ERR_PNPM_PNPMFILE_FAIL";
    let bad = "ERR_PNPM_BAD_READ_PACKAGE_HOOK_RESULT";
    for (hooks, code) in [
        ("readPackage () { throw new Error('on purpose') }", failing),
        ("readPackage () { process.exit(3) }", failing),
        (
            "afterAllResolved () { throw new Error('on purpose') }",
            failing,
        ),
        (
            "afterAllResolved () { return { lockfileVersion: 7 } }",
            failing,
        ),
        ("readPackage () {}", bad),
        ("readPackage (m) { m.dependencies = 7; return m }", bad),
        (
            "readPackage (m) { m.dependencies['../up'] = '1'; return m }",
            "ERR_PNPM_INVALID_DEPENDENCY_NAME",
        ),
        ("readPackage (", failing),
    ] {
        let project = project(&format!("module.exports = {{ hooks: {{ {hooks} }} }}"));
        let said = project.fail(&["install", "--lockfile-only"]);
        assert!(said.contains(code), "{hooks}: {said}");
        assert!(!project.root().join("pnpm-lock.yaml").exists(), "{hooks}");
        project.succeed(&["install", "--lockfile-only", "--ignore-pnpmfile"]);
        assert!(!lockfile(&project).contains("pnpmfileChecksum"), "{hooks}");
    }
}

#[test]
fn pnpmfiles_that_the_configuration_names_are_run_in_their_order() {
    let project = project("throw new Error('not this one')");
    project.write(
        "pnpm-workspace.yaml",
        "pnpmfile: [./first.cjs, ./second.mjs]\n",
    );
    let said = project.fail(&["install", "--lockfile-only"]);
    assert!(said.contains("ERR_PNPM_PNPMFILE_NOT_FOUND"), "{said}");
    let change = |to: &str| {
        let body = format!("if (m.name === 'top') m.dependencies.middle = {to}; return m");
        format!("{{ readPackage (m) {{ {body} }} }}")
    };
    project.write("first.cjs", &format!("exports.hooks = {}", change("'2'")));
    let second = change("m.dependencies.middle + '.0.0'");
    project.write("second.mjs", &format!("export const hooks = {second}"));
    project.succeed(&["install", "--lockfile-only"]);
    assert!(lockfile(&project).contains("      middle: 2.0.0\n"));
}

#[test]
fn hooks_change_settings_and_those_of_the_user_come_first() {
    let hooks =
        "readPackage (m) { if (m.name === 'top') m.dependencies.middle = '2.0.0'; return m },
      updateConfig (config) {
        config.catalogs.default = { top: '1.0.0' }
        return Object.assign(config, { dedupePeers: true })
      }";
    let project = project(&format!("module.exports = {{ hooks: {{ {hooks} }} }}"));
    project.write("package.json", r#"{"dependencies":{"top":"catalog:"}}"#);
    project.write(
        "mine.cjs",
        "module.exports = { hooks: { readPackage (m) {
          if (m.name === 'top') m.dependencies = { left: '1.0.0' }
          return m
        } } }",
    );
    project.registry.publish(&Package::new("left", "1.0.0"));
    project.succeed(&[
        "install",
        "--lockfile-only",
        "--global-pnpmfile",
        "mine.cjs",
    ]);
    let locked = lockfile(&project);
    assert!(locked.contains("  dedupePeers: true\n"), "{locked}");
    let top = "  top@1.0.0:\n    dependencies:\n      left: 1.0.0\n      middle: 2.0.0\n";
    assert!(locked.contains(top), "{locked}");
    // The lockfile depends on the project's file alone.
    project.succeed(&["install", "--lockfile-only", "--frozen-lockfile"]);
    let own = "module.exports = { hooks: { updateConfig () { throw new Error('x') } } }";
    project.write(".pnpmfile.cjs", own);
    let said = project.fail(&["install", "--lockfile-only"]);
    assert!(said.contains("ERR_PNPM_PNPMFILE_FAIL"), "{said}");
}

#[test]
fn the_checksum_of_several_pnpmfiles_does_not_depend_on_their_order() {
    for order in ["[./b.cjs, ./a.cjs]", "[./a.cjs, ./b.cjs]"] {
        let project = project("");
        let hooks = "module.exports={hooks:{readPackage:p=>p}}\n";
        project.write("b.cjs", hooks);
        project.write("a.cjs", &format!("//a\n{hooks}"));
        project.write("pnpm-workspace.yaml", &format!("pnpmfile: {order}\n"));
        project.succeed(&["install", "--lockfile-only"]);
        // What pnpm 12.21 records of these files.
        let checksum = "pnpmfileChecksum: sha256-7ZOSEVHhMabbxymg/N2XTeL9FZkx4Mw+Lh6EdCIDdxg=";
        assert!(lockfile(&project).contains(checksum), "{order}");
    }
}
