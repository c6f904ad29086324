//! Packages that come from no registry, and what the lockfile records of them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pacquet::diagnostic::Diagnostic;
use pacquet::install::config::{CliOverrides, Config, Environment};
use pacquet::install::lockfile::Resolution;
use pacquet::install::origins::{Found, OriginError, Origins};
use pacquet::install::pick::{GitSpecifier, Specifier, SpecifierContext};
use pacquet::install::registry::{Client, ClientLimits, Url};
use pacquet::name::PackageName;
use pacquet_test_registry::{Fault, Package, Registry, TarballBuilder, When, integrity};

struct Fixture {
    registry: Registry,
    directory: tempfile::TempDir,
    origins: Origins,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let variables = [
            ("HOME".into(), home.as_os_str().to_owned()),
            ("PATH".into(), path),
        ];
        let quick = [
            ("PACQUET_FETCH_RETRY_MINTIMEOUT".into(), "1".into()),
            ("PACQUET_FETCH_RETRY_MAXTIMEOUT".into(), "5".into()),
        ];
        let variables = variables.into_iter().chain(quick);
        let environment = Environment::new(variables, home.to_path_buf());
        let config = Config::load(&environment, &CliOverrides::default(), home).unwrap();
        let limits = ClientLimits::new(home.to_path_buf());
        let client = Client::new(&config, limits, Arc::new(pacquet::report::Silent));
        let temporary = home.join("tmp");
        fs::create_dir(&temporary).unwrap();
        Self {
            registry: Registry::start(),
            origins: Origins::new(Arc::new(client), environment, temporary),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            directory,
        }
    }

    fn tarball(&self, url: &str) -> Result<Found, OriginError> {
        let url = Url::parse(url).unwrap();
        self.runtime.block_on(self.origins.tarball(&url, &alias()))
    }

    fn git(&self, text: &str) -> Result<Found, OriginError> {
        let result = self
            .runtime
            .block_on(self.origins.git(&specifier(text), &alias()));
        let left = fs::read_dir(self.directory.path().join("tmp"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "a checkout stayed");
        result
    }

    /// A repository with a package, another in a directory, and tags; and its first commit.
    fn repository(&self) -> (String, String) {
        let directory = self.directory.path().join("repository");
        fs::create_dir(&directory).unwrap();
        let script = r#"set -e
            git init -q -b main . && git config user.name n && git config user.email e@e.test
            mkdir -p packages/inner empty && touch empty/file
            echo '{"name":"whole","version":"1.2.3"}' > package.json
            echo '{"name":"inner","version":"0.1.0"}' > packages/inner/package.json
            git add -A && git commit -qm one && git tag v1.0.0 && git tag -a -m x v1.1.0
            echo '{"name":"whole","version":"2.0.0"}' > package.json
            git commit -qam two && git branch next && git rev-parse v1.0.0"#;
        let first = run(&directory, script);
        (format!("git+file://{}", directory.display()), first)
    }
}

fn run(directory: &Path, script: &str) -> String {
    let mut command = Command::new("/bin/sh");
    let output = command
        .args(["-c", script])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn alias() -> PackageName {
    PackageName::new("alias").unwrap()
}

fn specifier(text: &str) -> GitSpecifier {
    match Specifier::parse(Some(&alias()), text, &SpecifierContext::default()) {
        Ok(Specifier::Git(specifier)) => specifier,
        other => panic!("{text}: {other:?}"),
    }
}

fn archive() -> (Vec<u8>, String) {
    let bytes = Package::new("tarred", "3.0.0")
        .bin("x", "x.js")
        .file("x.js", "#!x\n")
        .build()
        .tarball;
    let digest = integrity::sha512(&bytes);
    (bytes, digest)
}

#[test]
fn an_archive_at_an_address_is_pinned_by_its_digest() {
    let fixture = Fixture::new();
    let (bytes, digest) = archive();
    let url = fixture
        .registry
        .serve("/t.tgz", "application/octet-stream", bytes);
    let found = fixture.tarball(&url).unwrap();
    assert_eq!(
        (&*found.id, found.manifest.name.as_str()),
        (url.as_str(), "tarred")
    );
    assert!(found.manifest.has_bin);
    let expected = Resolution::Tarball {
        integrity: Some(digest.into()),
        tarball: Some(url.as_str().into()),
        git_hosted: false,
        path: None,
    };
    assert_eq!(found.resolution, expected);
    // An address that leads elsewhere is recorded as it is, for it may lead elsewhere tomorrow.
    let moved = url.replace("/t.tgz", "/moved.tgz");
    let location = url.clone();
    let redirect = Fault::Redirect {
        status: 302,
        location,
    };
    fixture.registry.fault("/moved.tgz", When::Always, redirect);
    let found = fixture.tarball(&moved).unwrap();
    assert_eq!(&*found.id, moved.as_str());
    for (path, fault, code) in [
        ("/none.tgz", Fault::Status(404), "ERR_PNPM_FETCH_404"),
        (
            "/page.tgz",
            Fault::Body {
                content_type: "application/octet-stream".to_owned(),
                bytes: b"no archive".to_vec(),
            },
            "ERR_PACQUET_NOT_AN_ARCHIVE",
        ),
    ] {
        fixture.registry.fault(path, When::Always, fault);
        let error = fixture.tarball(&url.replace("/t.tgz", path)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn an_archive_of_this_machine_is_named_from_the_lockfile() {
    let fixture = Fixture::new();
    let root = fixture.directory.path();
    let (bytes, digest) = archive();
    let path = root.join("vendor/x.tgz");
    fs::create_dir(root.join("vendor")).unwrap();
    fs::write(&path, &bytes).unwrap();
    let found = fixture
        .origins
        .archive(&path, &root.join("app"), &alias())
        .unwrap();
    assert_eq!(&*found.id, "file:../vendor/x.tgz");
    let expected = Resolution::Tarball {
        integrity: Some(digest.into()),
        tarball: Some("file:../vendor/x.tgz".into()),
        git_hosted: false,
        path: None,
    };
    assert_eq!(found.resolution, expected);
    // Not compressed, and with another first component.
    let plain =
        TarballBuilder::new().file("other/package.json", r#"{"name":"p","version":"1.0.0"}"#);
    fs::write(&path, plain.finish_archive()).unwrap();
    let found = fixture.origins.archive(&path, root, &alias()).unwrap();
    assert_eq!(found.manifest.name.as_str(), "p");
    let name = r#"{"name":"../p","version":"1.0.0"}"#;
    let named = TarballBuilder::new()
        .file("package/package.json", name)
        .finish();
    for (bytes, code) in [
        (b"no archive".to_vec(), "ERR_PACQUET_NOT_AN_ARCHIVE"),
        (
            bytes[..bytes.len() / 2].to_vec(),
            "ERR_PACQUET_NOT_AN_ARCHIVE",
        ),
        (named, "ERR_PNPM_INVALID_DEPENDENCY_NAME"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = fixture.origins.archive(&path, root, &alias()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    fs::remove_file(&path).unwrap();
    let error = fixture.origins.archive(&path, root, &alias()).unwrap_err();
    assert_eq!(error.code(), "ERR_PNPM_LINKED_PKG_DIR_NOT_FOUND");
}

#[test]
fn a_repository_is_pinned_to_a_commit() {
    let fixture = Fixture::new();
    let (url, first) = fixture.repository();
    let repo = url.trim_start_matches("git+").to_owned();
    for (text, version, is_first) in [
        (String::new(), "2.0.0", false),
        ("#main".to_owned(), "2.0.0", false),
        ("#next".to_owned(), "2.0.0", false),
        ("#v1.0.0".to_owned(), "1.2.3", true),
        ("#v1.1.0".to_owned(), "1.2.3", true),
        ("#semver:^1.0.0".to_owned(), "1.2.3", true),
        (format!("#{first}"), "1.2.3", true),
        (format!("#{}", &first[..8]), "1.2.3", true),
    ] {
        let found = fixture.git(&format!("{url}{text}")).unwrap();
        assert_eq!(&*found.manifest.version, version, "{text}");
        let Resolution::Git {
            repo: own,
            commit,
            path,
        } = &found.resolution
        else {
            panic!("{:?}", found.resolution);
        };
        assert_eq!((&**own, path), (repo.as_str(), &None), "{text}");
        assert_eq!(**commit == *first, is_first, "{text}");
        assert_eq!(*found.id, format!("git+{repo}#{commit}"), "{text}");
    }
    let found = fixture
        .git(&format!("{url}#v1.0.0&path:/packages/inner"))
        .unwrap();
    assert_eq!(found.manifest.name.as_str(), "inner");
    assert_eq!(
        *found.id,
        format!("git+{repo}#{first}&path:/packages/inner")
    );
    let found = fixture.git(&format!("{url}#v1.0.0&path:empty")).unwrap();
    assert_eq!(found.manifest.name.as_str(), "alias");
}

#[test]
fn what_a_repository_does_not_have_is_told() {
    let fixture = Fixture::new();
    let (url, _) = fixture.repository();
    for (text, code, part) in [
        (
            "#absent",
            "ERR_PACQUET_GIT_REFERENCE",
            "Could not resolve absent",
        ),
        (
            "#semver:^9",
            "ERR_PACQUET_GIT_REFERENCE",
            "versions are: v1.0.0, v1.1.0",
        ),
        (
            "#abcdef0",
            "ERR_PACQUET_GIT_REFERENCE",
            "Could not resolve abcdef0",
        ),
        ("#v1.0.0&path:/absent", "ERR_PNPM_INVALID_PATH", "absent"),
        ("#v1.0.0&path:/../x", "ERR_PNPM_INVALID_PATH", ""),
    ] {
        let error = fixture.git(&format!("{url}{text}")).unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = fixture.git(&format!("{url}-none")).unwrap_err();
    assert_eq!(error.code(), "ERR_PNPM_GIT_RESOLVE_FAILED");
    // Nothing that could be an option or another transport reaches the program.
    for text in [
        "git+ssh://-oProxyCommand=x/r",
        "git+file:///r#--upload-pack=x",
    ] {
        let error = fixture.git(text).unwrap_err();
        assert!(error.code().contains("GIT"), "{text}: {error}");
    }
}
