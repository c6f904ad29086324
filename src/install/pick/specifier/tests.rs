use super::*;
use crate::install::pick::{GitHost, GitReference};

fn context() -> SpecifierContext {
    SpecifierContext {
        registry: Url::parse("https://r.test/npm/").ok(),
        named_registries: ["work".into()].into(),
        ..SpecifierContext::default()
    }
}

fn parse(alias: &str, text: &str) -> Result<Specifier, SpecifierError> {
    let alias = PackageName::new(alias).ok();
    Specifier::parse(alias.as_ref(), text, &context())
}

/// The form in a word, and what matters of it.
fn told(alias: &str, text: &str) -> String {
    match parse(alias, text) {
        Err(error) => error.code().trim_start_matches("ERR_PNPM_").to_owned(),
        Ok(Specifier::Catalog(name)) => format!("catalog {name}"),
        Ok(Specifier::Workspace(one)) => {
            let name = one.name.map(|name| format!("{name}@")).unwrap_or_default();
            format!("workspace {name}{} {}", one.text, one.selector.as_str())
        }
        Ok(Specifier::Registry(one)) => {
            let kind = match one.selector {
                Selector::Version(_) => "version",
                Selector::Tag(_) => "tag",
                Selector::Range { .. } => "range",
            };
            let registry = match one.registry {
                RegistryChoice::Configured => String::new(),
                RegistryChoice::Jsr { name } => format!(" jsr {name}"),
                RegistryChoice::Named { prefix } => format!(" {prefix}:"),
            };
            format!("{kind} {}@{}{registry}", one.name, one.selector.as_str())
        }
        Ok(Specifier::Git(one)) => {
            let reference = match one.reference {
                GitReference::Head => String::new(),
                GitReference::Name(name) => format!(" {name}"),
                GitReference::Range(range) => format!(" semver {range}"),
            };
            let path = one
                .path
                .map(|path| format!(" in {path}"))
                .unwrap_or_default();
            let hosted = if one.hosted.is_some() {
                "hosted"
            } else {
                "git"
            };
            format!("{hosted} {}{reference}{path}", one.url)
        }
        Ok(Specifier::Tarball(url)) => format!("tarball {url}"),
        Ok(Specifier::Local(one)) => format!("{:?} {}", one.kind, one.path),
        Ok(Specifier::Runtime(version)) => format!("runtime {version}"),
    }
}

#[test]
fn versions_ranges_and_tags_are_of_the_registry() {
    for (text, expected) in [
        ("1.2.3", "version a@1.2.3"),
        ("v1.2.3", "version a@1.2.3"),
        (" 1.2.3 ", "version a@1.2.3"),
        ("=1.2.3", "version a@1.2.3"),
        ("1.2.3beta", "version a@1.2.3-beta"),
        (">=1 foo", "range a@>=1 foo"),
        ("^1.2.3", "range a@^1.2.3"),
        (">=1 <2 || 3.x", "range a@>=1 <2 || 3.x"),
        ("*", "range a@*"),
        ("", "range a@*"),
        ("1 ||", "range a@*"),
        ("latest", "tag a@latest"),
        ("next-11", "tag a@next-11"),
        ("npm:b@^1", "range b@^1"),
        ("npm:@s/b@1.0.0", "version @s/b@1.0.0"),
        ("npm:@s/b", "tag @s/b@latest"),
        ("npm:b", "tag b@latest"),
        ("npm:b@beta", "tag b@beta"),
        ("npm:^1.0.0", "range a@^1.0.0"),
        ("npm:../b@1", "INVALID_PACKAGE_NAME"),
        ("npm:a/b@1", "INVALID_PACKAGE_NAME"),
        ("https://r.test/npm/a/-/a-1.0.0.tgz", "version a@1.0.0"),
        (
            "https://r.test/npm/@s%2fb/-/b-1.0.0-rc.1.tgz",
            "version @s/b@1.0.0-rc.1",
        ),
        (
            "https://r.test/npm/a/-/b-1.0.0.tgz",
            "tarball https://r.test/npm/a/-/b-1.0.0.tgz",
        ),
    ] {
        assert_eq!(told("a", text), expected, "{text:?}");
    }
}

#[test]
fn catalogs_workspaces_and_other_registries_have_protocols() {
    for (alias, text, expected) in [
        ("a", "catalog:", "catalog default"),
        ("a", "catalog:react18", "catalog react18"),
        ("a", "workspace:*", "workspace * *"),
        ("a", "workspace:^", "workspace ^ *"),
        ("a", "workspace:~", "workspace ~ *"),
        ("a", "workspace:", "workspace  *"),
        ("a", "workspace:^1.0.0", "workspace ^1.0.0 ^1.0.0"),
        ("a", "workspace:b@*", "workspace b@* *"),
        ("a", "workspace:@s/b@^", "workspace @s/b@^ *"),
        ("a", "workspace:../b", "Link ../b"),
        ("a", "workspace:./b", "Link ./b"),
        ("a", "workspace:b/c", "SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER"),
        ("a", "jsr:@s/n@^1", "range @jsr/s__n@^1 jsr @s/n"),
        ("a", "jsr:@s/n", "tag @jsr/s__n@latest jsr @s/n"),
        ("@s/n", "jsr:^1", "range @jsr/s__n@^1 jsr @s/n"),
        ("a", "jsr:^1", "MISSING_JSR_PACKAGE_SCOPE"),
        ("a", "jsr:n@^1", "MISSING_JSR_PACKAGE_SCOPE"),
        ("a", "jsr:@s", "INVALID_JSR_PACKAGE_NAME"),
        ("a", "jsr:@s/../n", "INVALID_JSR_PACKAGE_NAME"),
        ("", "jsr:^1", "INVALID_JSR_SPECIFIER"),
        ("a", "work:@s/n@^1", "range @s/n@^1 work:"),
        ("a", "work:n@^1", "range n@^1 work:"),
        ("a", "work:n", "tag n@latest work:"),
        ("a", "work:^1", "range a@^1 work:"),
        ("@s/a", "work:beta", "tag @s/a@beta work:"),
        ("a", "work:@s/../n", "INVALID_NAMED_REGISTRY_PACKAGE_NAME"),
        ("a", "other:n@^1", "SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER"),
        ("node", "runtime:22", "runtime 22"),
        ("a", "runtime:22", "SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER"),
    ] {
        assert_eq!(told(alias, text), expected, "{text:?}");
    }
}

#[test]
fn repositories_of_known_hosts_are_one_identity_however_written() {
    let url = "hosted https://github.com/u/p.git";
    for (text, expected) in [
        ("u/p", url.to_owned()),
        ("u/p#main", format!("{url} main")),
        ("u/p#semver:^1.0.0", format!("{url} semver ^1.0.0")),
        ("u/p#feature/x", format!("{url} feature/x")),
        ("u/p#main&path:/a/b", format!("{url} main in /a/b")),
        ("u/p#path:a", format!("{url} in a")),
        ("github:u/p", url.to_owned()),
        ("github:u/p.git#v1", format!("{url} v1")),
        ("https://github.com/u/p", url.to_owned()),
        ("https://github.com/u/p.git#v1", format!("{url} v1")),
        ("https://www.github.com/u/p.git", url.to_owned()),
        ("https://github.com/u/p/tree/main", format!("{url} main")),
        ("git+https://github.com/u/p.git", url.to_owned()),
        ("git+ssh://git@github.com/u/p.git#v1", format!("{url} v1")),
        ("git+ssh://git@github.com:u/p.git", url.to_owned()),
        ("ssh://git@github.com/u/p", url.to_owned()),
        ("git@github.com:u/p.git#v1.0.0", format!("{url} v1.0.0")),
        ("git://github.com/u/p.git", url.to_owned()),
        ("http://github.com/u/p.git", url.to_owned()),
        (
            "gitlab:g/s/p",
            "hosted https://gitlab.com/g/s/p.git".to_owned(),
        ),
        (
            "https://gitlab.com/g/p.git",
            "hosted https://gitlab.com/g/p.git".to_owned(),
        ),
        (
            "bitbucket:u/p#x",
            "hosted https://bitbucket.org/u/p.git x".to_owned(),
        ),
        (
            "git+https://t:x@github.com/u/p.git#v1",
            "git https://t:x@github.com/u/p.git v1".to_owned(),
        ),
    ] {
        assert_eq!(told("a", text), expected, "{text:?}");
    }
}

#[test]
fn other_repositories_keep_their_address() {
    for (text, expected) in [
        (
            "git+ssh://git@h.test/r.git#abc",
            "git ssh://git@h.test/r.git abc",
        ),
        (
            "git+ssh://git@h.test:team/r.git",
            "git ssh://git@h.test/team/r.git",
        ),
        (
            "ssh://u:p@h.test:22/r/@f.git#path:/a&dev",
            "git ssh://u:p@h.test:22/r/@f.git dev in /a",
        ),
        (
            "git+https://h.test/r.git#semver:1.x",
            "git https://h.test/r.git semver 1.x",
        ),
        ("https://h.test/r.git#abc", "git https://h.test/r.git abc"),
        ("git+file:///srv/r.git", "git file:///srv/r.git"),
        ("git://h.test/r.git", "git git://h.test/r.git"),
        (
            "https://h.test/r.git/x.tgz",
            "tarball https://h.test/r.git/x.tgz",
        ),
    ] {
        assert_eq!(told("a", text), expected, "{text:?}");
    }
}

#[test]
fn what_a_manifest_keeps_of_a_repository_is_short() {
    for (text, expected) in [
        ("git+ssh://git@github.com/u/p.git#v1", "github:u/p#v1"),
        ("u/p#semver:^1.0.0", "github:u/p#semver:^1.0.0"),
        ("https://gitlab.com/g/s/p.git", "gitlab:g/s/p"),
        (
            "git+ssh://git@h.test/r.git#abc",
            "git+ssh://git@h.test/r.git#abc",
        ),
        (
            "https://t:x@github.com/u/p.git#v1",
            "git+https://t:x@github.com/u/p.git#v1",
        ),
    ] {
        match parse("a", text) {
            Ok(Specifier::Git(one)) => assert_eq!(&*one.normalized, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn archives_of_commits_have_addresses() {
    for (host, expected) in [
        (
            GitHost::GitHub,
            "https://codeload.github.com/u/p/tar.gz/abc",
        ),
        (
            GitHost::GitLab,
            "https://gitlab.com/u/p/-/archive/abc/p-abc.tar.gz",
        ),
        (
            GitHost::Bitbucket,
            "https://bitbucket.org/u/p/get/abc.tar.gz",
        ),
    ] {
        let repository = crate::install::pick::HostedRepository {
            host,
            user: "u".into(),
            project: "p".into(),
        };
        assert_eq!(repository.archive("abc"), expected);
    }
}

#[test]
fn paths_and_addresses_are_what_is_left() {
    for (text, expected) in [
        ("https://h.test/x.tgz", "tarball https://h.test/x.tgz"),
        ("https://h.test:443/x.tgz", "tarball https://h.test/x.tgz"),
        ("http://h.test/x", "tarball http://h.test/x"),
        ("file:../b", "Directory ../b"),
        ("file:./b.tgz", "Archive ./b.tgz"),
        ("file:b.tar.gz", "Archive b.tar.gz"),
        ("file:///abs/b", "Directory /abs/b"),
        ("file://../b", "Directory ../b"),
        ("file:~/b", "Directory ~/b"),
        ("link:../b", "Link ../b"),
        ("link:/abs", "Link /abs"),
        ("../b", "Link ../b"),
        ("./b.tgz", "Archive ./b.tgz"),
        ("b.TGZ", "tag a@b.TGZ"),
        ("/abs/b", "Link /abs/b"),
        // As for pnpm: a user called `~`.
        ("~/b", "hosted https://github.com/~/b.git"),
        ("~/b/c", "Link ~/b/c"),
        ("a/b/c", "Link a/b/c"),
        ("path:b", "PATH_IS_UNSUPPORTED_PROTOCOL"),
        ("weird:b", "SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER"),
        ("https://", "SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER"),
    ] {
        assert_eq!(told("a", text), expected, "{text:?}");
    }
}
