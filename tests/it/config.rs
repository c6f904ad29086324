//! Configuration from files, variables and flags, as a program would load it.

use std::path::{Path, PathBuf};

use pacquet::diagnostic::Diagnostic;
use pacquet::install::config::{
    CliOverrides, Config, ConfigError, Environment, NodeLinker, Options, VirtualMode,
};
use pacquet::install::workspace::projects;
use pacquet::name::PackageName;

/// A home directory with a project in it.
struct Machine {
    root: tempfile::TempDir,
    variables: Vec<(String, String)>,
    overrides: CliOverrides,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(root.path().join("home/project")).expect("created");
        for (path, content) in files {
            let path = root.path().join("home").join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            std::fs::write(path, content).expect("written");
        }
        Self {
            root,
            variables: Vec::new(),
            overrides: CliOverrides::default(),
        }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.overrides
            .generic
            .push((key.to_owned(), value.to_owned()));
        self
    }

    fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    fn load(&self) -> Result<Config, ConfigError> {
        self.load_in("project")
    }

    fn load_in(&self, directory: &str) -> Result<Config, ConfigError> {
        let home = [("HOME".into(), self.home().into())];
        let variables = self
            .variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let directory = self.home().join(directory);
        let environment = Environment::new(home.into_iter().chain(variables), directory.clone());
        Config::load(&environment, &self.overrides, &directory)
    }
}

const WORKSPACE: &str = "project/pnpm-workspace.yaml";
const PROJECT_RC: &str = "project/.npmrc";
const GLOBAL: &str = ".config/pnpm/config.yaml";

#[test]
fn each_source_wins_over_those_below_it() {
    let retries = |machine: &Machine| machine.load().expect("loaded").network.retry.retries;
    let mut machine = Machine::new(&[]);
    assert_eq!(retries(&machine), 2);
    machine = Machine::new(&[(GLOBAL, "fetchRetries: 3")]);
    assert_eq!(retries(&machine), 3);
    machine = Machine::new(&[(GLOBAL, "fetchRetries: 3"), (WORKSPACE, "fetchRetries: 4")]);
    assert_eq!(retries(&machine), 4);
    machine = machine.variable("pnpm_config_fetch_retries", "5");
    assert_eq!(retries(&machine), 5);
    machine = machine.variable("PNPM_CONFIG_FETCH_RETRIES", "6");
    assert_eq!(retries(&machine), 6);
    machine = machine.variable("PACQUET_FETCH_RETRIES", "7");
    assert_eq!(retries(&machine), 7);
    machine = machine.flag("fetch-retries", "8");
    assert_eq!(retries(&machine), 8);
    machine = machine.flag("fetchRetries", "9");
    assert_eq!(retries(&machine), 9);
    machine.overrides.options = Options {
        fetch_retries: Some(10),
        ..Options::default()
    };
    assert_eq!(retries(&machine), 10);
}

#[test]
fn registries_come_from_every_source_in_order() {
    let registry = |machine: &Machine| {
        machine
            .load()
            .expect("loaded")
            .registries
            .default_registry()
    };
    let user = (
        ".npmrc",
        "registry=https://user.test\n@s:registry=https://scope.test/npm",
    );
    let machine = Machine::new(&[user]);
    assert_eq!(
        registry(&machine).expect("one").as_str(),
        "https://user.test/"
    );
    let scoped = PackageName::new("@s/a").expect("a name");
    let other = PackageName::new("@t/a").expect("a name");
    let registries = machine.load().expect("loaded").registries;
    assert_eq!(
        registries.registry_of(&scoped).expect("one").as_str(),
        "https://scope.test/npm/"
    );
    assert_eq!(
        registries.registry_of(&other).expect("one").as_str(),
        "https://user.test/"
    );
    let machine = Machine::new(&[user, (PROJECT_RC, "registry=https://project.test/")]);
    assert_eq!(
        registry(&machine).expect("one").as_str(),
        "https://project.test/"
    );
    let machine = Machine::new(&[user, (WORKSPACE, "registries: {default: 'https://w.test'}")]);
    assert_eq!(registry(&machine).expect("one").as_str(), "https://w.test/");
    let machine = machine.variable("PNPM_CONFIG_REGISTRY", "https://env.test");
    assert_eq!(
        registry(&machine).expect("one").as_str(),
        "https://env.test/"
    );
    let machine = machine.flag("registry", "https://flag.test/x");
    assert_eq!(
        registry(&machine).expect("one").as_str(),
        "https://flag.test/x/"
    );
}

#[test]
fn without_a_registry_and_without_npm_the_error_comes_when_one_is_needed() {
    let machine = Machine::new(&[]).variable("PATH", "/does/not/exist");
    let config = machine.load().expect("loaded without asking");
    let error = config.registries.default_registry().expect_err("none");
    assert_eq!(error.code(), "ERR_PACQUET_NO_REGISTRY");
}

#[test]
fn a_project_sees_no_variable_in_addresses_and_credentials() {
    for (line, is_error) in [
        ("registry=https://${TOKEN}.test/", true),
        ("registry=https://h.test/${TOKEN:-x}/", true),
        ("@s:registry=https://${TOKEN}.test/", true),
        ("//h.test/:_authToken=${TOKEN}", false),
        ("//${TOKEN}.test/:_authToken=x", false),
        ("_authToken=${TOKEN}", false),
        ("https-proxy=http://${TOKEN}.test", false),
        ("cafile=/${TOKEN}", false),
    ] {
        let machine = Machine::new(&[(PROJECT_RC, line)]).variable("TOKEN", "hunter2");
        match machine.load() {
            Err(error) => {
                assert!(is_error, "{line}: {error}");
                assert_eq!(error.code(), "ERR_PNPM_REGISTRY_ENV_NOT_EXPANDED");
            }
            Ok(config) => {
                assert!(!is_error, "{line}");
                assert_eq!(config.warnings.len(), 1, "{line}");
                assert_eq!(config.warnings[0].code, "ERR_PACQUET_ENV_NOT_EXPANDED");
                assert!(config.network.https_proxy.is_none());
            }
        }
    }
    let both = "//h.test/:_authToken=${A}\nhttps-proxy=http://${B}.test";
    let config = Machine::new(&[(PROJECT_RC, both)]).load().expect("loaded");
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn a_user_sees_variables_and_hears_of_missing_ones() {
    let text = "registry=https://${HOST-h}.test/\nhttps-proxy=http://${NONE}p.test";
    let machine = Machine::new(&[(".npmrc", text)]).variable("HOST", "x");
    let config = machine.load().expect("loaded");
    assert_eq!(
        config.registries.default_registry().expect("one").as_str(),
        "https://x.test/"
    );
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].message.contains("NONE"));
}

#[test]
fn only_network_settings_are_read_from_npmrc() {
    let text = "hoist=false\nstore-dir=/evil\nnode-linker=hoisted\nstrict-ssl=false\n\
                noproxy=a.test,b.test\n[section]\nregistry=https://section.test/";
    let config = Machine::new(&[(".npmrc", text)]).load().expect("loaded");
    assert_eq!(config.node_linker, NodeLinker::Isolated);
    assert_eq!(config.hoisting.private_patterns, Some(vec!["*".to_owned()]));
    assert!(!config.store_directory_is_configured);
    assert!(!config.network.strict_tls);
    assert_eq!(config.network.no_proxy.as_deref(), Some("a.test,b.test"));
    assert!(config.warnings.is_empty());
}

#[test]
fn a_project_selects_no_program_and_no_mount_option() {
    for (file, text) in [
        (WORKSPACE, "tokenHelper: /bin/evil"),
        (
            WORKSPACE,
            "_auth: {'https://h.test': {'@': {authToken: evil}}}",
        ),
        (WORKSPACE, "mountHelper: /bin/evil"),
        (WORKSPACE, "allowOther: true"),
        (WORKSPACE, "dangerouslyAllowAllBuilds: true"),
        (WORKSPACE, "npmrcAuthFile: ./evil"),
        (GLOBAL, "overrides: {a: '1'}"),
        (GLOBAL, "packages: ['*']"),
    ] {
        let config = Machine::new(&[(file, text)]).load().expect("loaded");
        assert_eq!(config.warnings.len(), 1, "{text}");
        assert_eq!(
            config.warnings[0].code, "ERR_PACQUET_PROJECT_SETTING_IGNORED",
            "{text}"
        );
        assert!(config.mount_helper.is_none() && !config.allow_other);
        assert!(!config.builds.allow_all && config.graph.overrides.is_empty());
    }
    let config = Machine::new(&[(GLOBAL, "allowOther: true\nmountHelper: /m")]).load();
    let config = config.expect("loaded");
    assert!(config.allow_other && config.mount_helper == Some("/m".into()));
    let text = "storeDir: ../s\ncacheDir: ~/c\nvirtual: true";
    let machine = Machine::new(&[(WORKSPACE, text)]);
    let config = machine.load().expect("loaded");
    assert_eq!(config.store_directory, machine.home().join("s"));
    assert_eq!(config.cache_directory, machine.home().join("c"));
    assert_eq!(config.virtual_mode, VirtualMode::On);
}

/// File, text, code of the error, and what its message must contain.
const UNUSABLE: [(&str, &str, &str, &str); 27] = [
    (
        WORKSPACE,
        "fetchRetries: lots",
        "ERR_PNPM_INVALID_SETTING",
        "fetchRetries",
    ),
    (
        WORKSPACE,
        "hoist: 'no'",
        "ERR_PNPM_INVALID_SETTING",
        "hoist",
    ),
    (
        WORKSPACE,
        "nodeLinker: pnp",
        "ERR_PNPM_INVALID_SETTING",
        "nodeLinker",
    ),
    (
        WORKSPACE,
        "packages: a",
        "ERR_PNPM_INVALID_SETTING",
        "packages",
    ),
    (
        WORKSPACE,
        "hoist: true\nhoist: false",
        "ERR_PNPM_INVALID_SETTING",
        "",
    ),
    (WORKSPACE, "[", "ERR_PNPM_INVALID_SETTING", ""),
    (WORKSPACE, "- a", "ERR_PNPM_INVALID_SETTING", ""),
    (
        WORKSPACE,
        "virtualStoreDir: .x",
        "ERR_PACQUET_CONFIG_UNSUPPORTED",
        "virtualStoreDir",
    ),
    (
        WORKSPACE,
        "modulesDir: ../x",
        "ERR_PACQUET_CONFIG_UNSUPPORTED",
        "modulesDir",
    ),
    (
        PROJECT_RC,
        "registry=ftp://h.test/",
        "ERR_PNPM_INVALID_SETTING",
        "registry",
    ),
    (
        PROJECT_RC,
        "@s:registry=x",
        "ERR_PNPM_INVALID_SETTING",
        "@s:registry",
    ),
    (
        PROJECT_RC,
        "local-address=x",
        "ERR_PNPM_INVALID_SETTING",
        "local-address",
    ),
    (
        ".npmrc",
        "//h.test/:_auth=???",
        "ERR_PNPM_AUTH_INVALID_BASE64",
        "_auth",
    ),
    (
        ".npmrc",
        "//h.test/:_auth=eA==",
        "ERR_PNPM_AUTH_MISSING_SEPARATOR",
        "_auth",
    ),
    (
        ".npmrc",
        "//h.test/:username=u\n//h.test/:_password=%",
        "ERR_PNPM_AUTH_INVALID_BASE64",
        "_password",
    ),
    (
        ".npmrc",
        "//h.test/:tokenHelper=./x",
        "ERR_PNPM_BAD_TOKEN_HELPER_PATH",
        "tokenHelper",
    ),
    (
        ".npmrc",
        "//h.test/:tokenHelper=/bin/x $Y",
        "ERR_PNPM_TOKEN_HELPER_UNSUPPORTED_CHARACTER",
        "tokenHelper",
    ),
    (
        PROJECT_RC,
        "//h.test/:tokenHelper=/bin/evil",
        "ERR_PNPM_TOKEN_HELPER_IN_PROJECT_CONFIG",
        "tokenHelper",
    ),
    (
        PROJECT_RC,
        "//h.test/:@s:tokenHelper=/bin/evil",
        "ERR_PNPM_TOKEN_HELPER_IN_PROJECT_CONFIG",
        "tokenHelper",
    ),
    (
        PROJECT_RC,
        "tokenHelper=/bin/evil",
        "ERR_PNPM_TOKEN_HELPER_IN_PROJECT_CONFIG",
        "tokenHelper",
    ),
    (
        GLOBAL,
        "_auth: {'https://h.test': {'@': {tokenAuth: t}}}",
        "ERR_PNPM_INVALID_SETTING",
        "tokenAuth",
    ),
    (
        GLOBAL,
        "_auth: {'https://h.test': {s: {authToken: t}}}",
        "ERR_PNPM_INVALID_SETTING",
        "@s",
    ),
    (
        GLOBAL,
        "_auth: {'https://u:p@h.test': {'@': {authToken: t}}}",
        "ERR_PNPM_INVALID_SETTING",
        "_auth",
    ),
    (
        WORKSPACE,
        "registries: {'https://h.test': {scopes: [s]}}",
        "ERR_PNPM_INVALID_SETTING",
        "registries",
    ),
    (
        WORKSPACE,
        "registries: {'https://h.test': {scopes: ['@s']}, 'https://i.test': {scopes: ['@s']}}",
        "ERR_PNPM_INVALID_SETTING",
        "@s",
    ),
    (
        WORKSPACE,
        "namedRegistries: {npm: 'https://h.test'}",
        "ERR_PNPM_RESERVED_NAMED_REGISTRY_NAME",
        "npm",
    ),
    (
        WORKSPACE,
        "namedRegistries: {work: nowhere}",
        "ERR_PNPM_INVALID_NAMED_REGISTRY_URL",
        "work",
    ),
];

#[test]
fn what_cannot_be_used_names_file_and_key() {
    for (file, text, code, key) in UNUSABLE {
        let error = Machine::new(&[(file, text)]).load().expect_err(text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(key), "{text}: {error}");
    }
    let machine = Machine::new(&[]).variable("PNPM_CONFIG_FETCH_RETRIES", "lots");
    let error = machine.load().expect_err("no number").to_string();
    assert!(error.contains("PNPM_CONFIG_FETCH_RETRIES"), "{error}");
}

#[test]
fn unreadable_files_are_errors_and_missing_ones_are_not() {
    let machine = Machine::new(&[]);
    std::fs::create_dir(machine.home().join(".npmrc")).expect("created");
    assert_eq!(
        machine.load().expect_err("a directory").code(),
        "ERR_PACQUET_CONFIG_READ"
    );
    let machine = Machine::new(&[]);
    std::fs::write(machine.home().join(WORKSPACE), b"a: \xff").expect("written");
    assert_eq!(
        machine.load().expect_err("not UTF-8").code(),
        "ERR_PACQUET_CONFIG_READ"
    );
}

#[test]
fn without_a_home_only_what_needs_one_fails() {
    let project = tempfile::tempdir().expect("a directory");
    let load = |variables: &[(&str, &str)]| {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::new(variables, project.path().to_path_buf());
        Config::load(&environment, &CliOverrides::default(), project.path())
    };
    assert_eq!(
        load(&[]).expect_err("no home").code(),
        "ERR_PACQUET_NO_HOME"
    );
    let config = load(&[
        ("PACQUET_STORE_DIR", "/s"),
        ("PACQUET_CACHE_DIR", "/c"),
        ("PACQUET_STATE_DIR", "/t"),
    ]);
    assert_eq!(config.expect("loaded").store_directory, Path::new("/s"));
    let error = load(&[("PACQUET_STORE_DIR", "~/s")]).expect_err("no home");
    assert!(error.to_string().contains("PACQUET_STORE_DIR"), "{error}");
}

#[test]
fn continuous_integration_implies_a_frozen_lockfile() {
    for (variables, expected) in [
        (&[][..], (None, false)),
        (&[("CI", "true")], (Some(true), true)),
        (
            &[("CI", "true"), ("PNPM_CONFIG_FROZEN_LOCKFILE", "false")],
            (Some(false), false),
        ),
        (
            &[("PNPM_CONFIG_FROZEN_LOCKFILE", "true")],
            (Some(true), false),
        ),
    ] {
        let mut machine = Machine::new(&[]);
        for (name, value) in variables {
            machine = machine.variable(name, value);
        }
        let config = machine.load().expect("loaded");
        let found = (config.lockfile.frozen, config.lockfile.frozen_is_implied);
        assert_eq!(found, expected, "{variables:?}");
    }
}

#[test]
fn a_workspace_is_found_from_below_and_its_projects_are_listed() {
    let machine = Machine::new(&[
        (
            WORKSPACE,
            "packages: ['packages/*', '!packages/c']\ncatalog: {a: '1'}",
        ),
        ("project/package.json", "{\"name\":\"root\"}"),
        ("project/packages/b/package.json", "{\"name\":\"b\"}"),
        ("project/packages/a/package.json", "{\"name\":\"a\"}"),
        ("project/packages/c/package.json", "not json"),
        ("project/packages/none/readme", ""),
    ]);
    let config = machine.load_in("project/packages/a").expect("loaded");
    assert_eq!(config.workspace_root, Some(machine.home().join("project")));
    assert_eq!(config.lockfile_directory, machine.home().join("project"));
    assert_eq!(config.graph.catalogs["default"]["a"], "1");
    let found = projects(&config).expect("projects");
    let ids: Vec<_> = found.iter().map(|project| project.id.as_str()).collect();
    assert_eq!(ids, [".", "packages/a", "packages/b"]);
}

#[test]
fn a_lone_project_needs_its_manifest() {
    let config = Machine::new(&[]).load().expect("loaded");
    assert_eq!(
        projects(&config).expect_err("none").code(),
        "ERR_PNPM_NO_PKG_MANIFEST"
    );
}

#[test]
fn tokens_say_where_packages_come_from() {
    let auth = "{\"https://t.test\":{\"@\":{\"authToken\":\"x\"},\"@s\":{\"authToken\":\"y\"}}}";
    let two = "{\"https://t.test\":{\"@\":{\"authToken\":\"x\"}},\
               \"https://u.test\":{\"@\":{\"authToken\":\"y\"}}}";
    let of_user = format!("_auth: {auth}");
    let declared = (
        PROJECT_RC,
        "registry=https://own.test\n@s:registry=https://own-s.test",
    );
    let found = |machine: Machine| {
        let registries = machine.load().expect("loaded").registries;
        let of = |name: &str| {
            let name = PackageName::new(name).expect("a name");
            registries
                .registry_of(&name)
                .expect("a registry")
                .to_string()
        };
        (of("p"), of("@s/p"))
    };
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let (own, token) = (
        pair("https://own.test/", "https://own-s.test/"),
        "https://t.test/",
    );
    let with = |files: &[(&str, &str)], name, text| Machine::new(files).variable(name, text);
    // A variable is how a runner is told which registry to use, whatever a repository says.
    let variable = with(&[declared], "pnpm_config__auth", auth);
    assert_eq!(found(variable), pair(token, token));
    let flag = with(&[declared], "PNPM_CONFIG__AUTH", auth).flag("registry", "https://f.test");
    assert_eq!(found(flag), pair("https://f.test/", token));
    let doubtful = with(&[declared], "PACQUET__AUTH", two);
    assert_eq!(found(doubtful), own);
    let undeclared = with(&[], "PACQUET__AUTH", two);
    assert_eq!(
        found(undeclared),
        pair("https://u.test/", "https://u.test/")
    );
    // What a login left says nothing where something else does.
    assert_eq!(found(Machine::new(&[declared, (GLOBAL, &of_user)])), own);
    assert_eq!(
        found(Machine::new(&[(GLOBAL, &of_user)])),
        pair(token, token)
    );
    let scope = Machine::new(&[declared]).flag("@s:registry", "https://g.test");
    assert_eq!(found(scope), pair("https://own.test/", "https://g.test/"));
}

#[test]
fn registries_are_declared_by_address() {
    let text = "registries:\n  https://a.test/npm:\n    scopes: ['@']\n  https://b.test/:\n    \
                scopes: ['@s']\n    prefix: work\n    serverType: artifactory\n  \
                https://c.test/simple/:\n    ecosystem: pypi\n    packages: ['*']\n";
    let config = Machine::new(&[(WORKSPACE, text)]).load().expect("loaded");
    let registries = &config.registries;
    let of = |name: &str| {
        let name = PackageName::new(name).expect("a name");
        registries.registry_of(&name).expect("a registry")
    };
    assert_eq!(of("p").as_str(), "https://a.test/npm/");
    assert_eq!(of("@s/p").as_str(), "https://b.test/");
    assert_eq!(registries.prefix_of(&of("@s/p")), Some("work"));
    assert_eq!(registries.prefix_of(&of("p")), None);
    assert!(registries.repeats_scope(&of("@s/p")) && !registries.repeats_scope(&of("p")));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}
