//! Packuments from a registry and from the cache, and how many requests that takes.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use pacquet::diagnostic::Diagnostic;
use pacquet::install::config::{CliOverrides, Config, Environment};
use pacquet::install::metadata::{Form, MetadataError, Packuments, Picked, Wanted};
use pacquet::install::pick::{
    PickOptions, Preferred, RegistryChoice, RegistrySpecifier, Selector, Specifier,
    SpecifierContext, WEIGHT_LOCKED,
};
use pacquet::install::registry::{Client, ClientLimits};
use pacquet::name::PackageName;
use pacquet_test_registry::{Digests, Fault, Package, Registry, Shortcomings, When};
use serde_json::json;

use crate::project::Project;

/// What a packument may have here.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// A user with a cache, and a registry.
struct Fixture {
    registry: Registry,
    home: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

impl Fixture {
    fn new(packages: &[Package]) -> Self {
        let registry = Registry::with(packages);
        let home = tempfile::tempdir().unwrap();
        let npmrc = format!("registry={}\n", registry.url());
        fs::write(home.path().join(".npmrc"), npmrc).unwrap();
        let settings = [
            ("PACQUET_FETCH_RETRY_MINTIMEOUT", "1"),
            ("PACQUET_FETCH_RETRY_MAXTIMEOUT", "5"),
        ];
        Self {
            registry,
            home,
            settings: settings
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.into(), value.into()));
    }

    /// What the configuration says about choosing.
    fn options(&self) -> PickOptions {
        PickOptions::new(&self.config().resolution, Timestamp::now()).unwrap()
    }

    fn config(&self) -> Config {
        let home = self.home.path();
        let mut variables = vec![("HOME".into(), home.as_os_str().to_owned())];
        let settings = self.settings.iter();
        variables.extend(settings.map(|(key, value)| (key.into(), value.into())));
        let environment = Environment::new(variables, home.to_path_buf());
        Config::load(&environment, &CliOverrides::default(), home).unwrap()
    }

    /// A run: everything that is known is from the cache.
    fn run(&self) -> Run {
        let config = self.config();
        let home = self.home.path();
        let mut limits = ClientLimits::new(home.to_path_buf());
        limits.document_bytes_max = DOCUMENT_BYTES_MAX;
        let client = Client::new(&config, limits, Arc::new(pacquet::report::Silent));
        Run {
            packuments: Packuments::new(&config, Arc::new(client)),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn packument_requests(&self) -> Vec<pacquet_test_registry::Request> {
        self.registry.take_requests()
    }

    /// The files of the cache.
    fn files(&self) -> Vec<PathBuf> {
        let root = self.home.path().join(".cache/pacquet/metadata");
        let files = walkdir::WalkDir::new(root).into_iter().flatten();
        let files = files.filter(|entry| entry.file_type().is_file());
        files.map(walkdir::DirEntry::into_path).collect()
    }

    /// As if the cache had been confirmed so many hours ago.
    fn age_hours(&self, hours: u64) {
        for path in self.files() {
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
            let file = fs::File::options().append(true).open(path).unwrap();
            file.set_modified(then).unwrap();
        }
    }
}

struct Run {
    packuments: Packuments,
    runtime: tokio::runtime::Runtime,
}

fn specifier(text: &str) -> RegistrySpecifier {
    let (name, version) = text.rsplit_once('@').unwrap();
    RegistrySpecifier {
        name: PackageName::new(name).unwrap(),
        selector: Selector::parse(version).unwrap(),
        registry: RegistryChoice::Configured,
        address: None,
    }
}

impl Run {
    fn pick_with(
        &self,
        text: &str,
        change: impl FnOnce(&mut Wanted<'_>, &mut PickOptions, &mut Preferred),
    ) -> Result<Picked, MetadataError> {
        let specifier = specifier(text);
        let registry = self.packuments.registry_of(&specifier).unwrap();
        let (mut options, mut preferred) = (PickOptions::default(), Preferred::none());
        options.ignore_missing_time = true;
        let (none, nothing) = (PickOptions::default(), Preferred::none());
        let mut wanted = Wanted {
            specifier: &specifier,
            registry: &registry,
            preferred: &nothing,
            options: &none,
            form: Form::Abbreviated,
            fresh: false,
        };
        change(&mut wanted, &mut options, &mut preferred);
        let wanted = Wanted {
            options: &options,
            preferred: &preferred,
            ..wanted
        };
        self.runtime.block_on(self.packuments.pick(&wanted))
    }

    fn pick(&self, text: &str) -> Result<Picked, MetadataError> {
        self.pick_with(text, |_, _, _| {})
    }

    fn version(&self, text: &str) -> String {
        told(self.pick(text))
    }
}

/// The version that was chosen, or the code of the failure.
fn told(result: Result<Picked, MetadataError>) -> String {
    match result {
        Ok(picked) => picked.packument.version(picked.version).to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

fn two() -> Vec<Package> {
    vec![
        Package::new("left", "1.0.0").dependency("right", "^1.0.0"),
        Package::new("left", "1.1.0").dependency("right", "^1.1.0"),
        Package::new("@scope/right", "1.0.0"),
    ]
}

#[test]
fn a_packument_is_fetched_once_a_run_and_then_only_confirmed() {
    let fixture = Fixture::new(&two());
    let run = fixture.run();
    assert_eq!(run.version("left@^1.0.0"), "1.1.0");
    assert_eq!(run.version("left@~1.0.0"), "1.0.0");
    assert_eq!(run.version("@scope/right@latest"), "1.0.0");
    let manifest = run.pick("left@1.1.0").unwrap().manifest;
    let right = PackageName::new("right").unwrap();
    assert_eq!(
        manifest.dependencies.get(&right).map(|text| &**text),
        Some("^1.1.0")
    );
    let requests = fixture.packument_requests();
    let paths: Vec<&str> = requests.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["/left", "/@scope/right"]);
    let accept = requests[0].header("accept").unwrap();
    assert!(
        accept.starts_with("application/vnd.npm.install-v1+json;"),
        "{accept}"
    );
    let run = fixture.run();
    assert_eq!(run.version("left@^1.0.0"), "1.1.0");
    assert_eq!(run.version("left@*"), "1.1.0");
    let requests = fixture.packument_requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].header("if-none-match").is_some());
    fixture.registry.publish(&Package::new("left", "1.2.0"));
    assert_eq!(fixture.run().version("left@^1.0.0"), "1.2.0");
    assert_eq!(fixture.packument_requests().len(), 1);
}

#[test]
fn what_the_registry_says_stays_true_is_asked_about_only_where_that_is_not_enough() {
    let fixture = Fixture::new(&two());
    let trusting = || {
        let mut run = fixture.run();
        run.packuments.trust_cache(true);
        run
    };
    let requests = || fixture.packument_requests().len();
    // Nothing was said: it is asked each time.
    for _ in 0..2 {
        assert_eq!(trusting().version("left@^1.0.0"), "1.1.0");
        assert_eq!(requests(), 1);
    }
    // Said with an answer that nothing has changed.
    fixture.registry.set_max_age(Some(300));
    assert_eq!(trusting().version("left@^1.0.0"), "1.1.0");
    assert_eq!(requests(), 1);
    fixture.registry.publish(&Package::new("left", "1.2.0"));
    assert_eq!(trusting().version("left@^1.0.0"), "1.1.0");
    assert_eq!(requests(), 0);
    // Who does not trust it, or wants what is not there, asks; and this is a whole answer.
    assert_eq!(fixture.run().version("left@^1.0.0"), "1.2.0");
    assert_eq!(requests(), 1);
    fixture.registry.publish(&Package::new("left", "2.0.0"));
    assert_eq!(trusting().version("left@1"), "1.2.0");
    assert_eq!(requests(), 0);
    assert_eq!(trusting().version("left@2"), "2.0.0");
    assert_eq!(requests(), 1);
    // The time is over.
    fixture.age_hours(1);
    for path in fixture.files() {
        let past = std::time::SystemTime::now() - std::time::Duration::from_secs(1);
        let times = fs::FileTimes::new().set_accessed(past);
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_times(times).unwrap();
    }
    assert_eq!(trusting().version("left@^1.0.0"), "1.2.0");
    assert_eq!(requests(), 1);
    // Nothing is said any more.
    fixture.registry.set_max_age(None);
    assert_eq!(fixture.run().version("left@^1.0.0"), "1.2.0");
    assert_eq!(requests(), 1);
    assert_eq!(trusting().version("left@^1.0.0"), "1.2.0");
    assert_eq!(requests(), 1);
}

#[test]
fn exact_and_locked_versions_need_no_request() {
    let fixture = Fixture::new(&two());
    assert_eq!(fixture.run().version("left@*"), "1.1.0");
    fixture.packument_requests();
    assert_eq!(fixture.run().version("left@1.0.0"), "1.0.0");
    let locked = fixture.run().pick_with("left@^1.0.0", |_, _, preferred| {
        preferred.insert(Selector::parse("1.0.0").unwrap(), WEIGHT_LOCKED);
    });
    assert_eq!(told(locked), "1.0.0");
    assert!(fixture.packument_requests().is_empty());
    let fresh = fixture
        .run()
        .pick_with("left@1.0.0", |wanted, _, _| wanted.fresh = true);
    assert_eq!(told(fresh), "1.0.0");
    assert_eq!(fixture.packument_requests().len(), 1);
    // One that the cache does not have may be new.
    fixture.registry.publish(&Package::new("left", "1.2.0"));
    assert_eq!(fixture.run().version("left@1.2.0"), "1.2.0");
    assert_eq!(fixture.packument_requests().len(), 1);
}

#[test]
fn a_cache_that_is_younger_than_the_cutoff_needs_no_request() {
    let fixture = Fixture::new(&two());
    let day = |_: &mut Wanted<'_>, options: &mut PickOptions, _: &mut Preferred| {
        options.published_by = Some(Timestamp::now() - SignedDuration::from_hours(24));
    };
    assert_eq!(told(fixture.run().pick_with("left@*", day)), "1.1.0");
    fixture.packument_requests();
    assert_eq!(told(fixture.run().pick_with("left@*", day)), "1.1.0");
    assert!(fixture.packument_requests().is_empty());
    fixture.age_hours(25);
    assert_eq!(told(fixture.run().pick_with("left@*", day)), "1.1.0");
    assert_eq!(fixture.packument_requests().len(), 1);
    // Confirmed just now.
    assert_eq!(told(fixture.run().pick_with("left@*", day)), "1.1.0");
    assert!(fixture.packument_requests().is_empty());
}

#[test]
fn young_versions_take_the_full_form_to_tell() {
    let now = Timestamp::now();
    let packages = [
        Package::new("left", "1.0.0").time("2020-01-01T00:00:00.000Z"),
        Package::new("left", "1.1.0").time(&now.to_string()),
    ];
    let day = |_: &mut Wanted<'_>, options: &mut PickOptions, _: &mut Preferred| {
        options.published_by = Some(now - SignedDuration::from_hours(24));
    };
    let fixture = Fixture::new(&packages);
    let run = fixture.run();
    let mature = run.pick_with("left@^1.0.0", day).unwrap();
    assert_eq!(
        (&*mature.manifest.version, mature.is_immature),
        ("1.0.0", false)
    );
    let young = run.pick_with("left@^1.1.0", day).unwrap();
    assert_eq!(
        (&*young.manifest.version, young.is_immature),
        ("1.1.0", true)
    );
    assert_eq!(fixture.packument_requests().len(), 2);
    assert_eq!(told(fixture.run().pick_with("left@^1.0.0", day)), "1.0.0");
    assert!(fixture.packument_requests().is_empty());
    // A registry that does not tell.
    let fixture = Fixture::new(&packages);
    fixture.registry.set_shortcomings(Shortcomings {
        no_times: true,
        ..Shortcomings::default()
    });
    assert_eq!(told(fixture.run().pick_with("left@^1.0.0", day)), "1.1.0");
    let strict = fixture
        .run()
        .pick_with("left@^1.0.0", |wanted, options, preferred| {
            day(wanted, options, preferred);
            options.ignore_missing_time = false;
        });
    assert_eq!(told(strict), "ERR_PNPM_MISSING_TIME");
}

#[test]
fn offline_only_the_cache_counts() {
    let mut fixture = Fixture::new(&two());
    assert_eq!(fixture.run().version("left@*"), "1.1.0");
    fixture.packument_requests();
    fixture.registry.publish(&Package::new("left", "1.2.0"));
    fixture.set("PACQUET_PREFER_OFFLINE", "true");
    assert_eq!(fixture.run().version("left@*"), "1.1.0");
    assert!(fixture.packument_requests().is_empty());
    assert_eq!(fixture.run().version("left@^1.2.0"), "1.2.0");
    assert_eq!(fixture.packument_requests().len(), 1);
    fixture.set("PACQUET_OFFLINE", "true");
    let run = fixture.run();
    assert_eq!(run.version("left@*"), "1.2.0");
    assert_eq!(run.version("left@9.9.9"), "ERR_PNPM_NO_MATCHING_VERSION");
    let error = run.pick("@scope/right@*").unwrap_err();
    assert_eq!(error.code(), "ERR_PNPM_NO_OFFLINE_META");
    assert!(error.to_string().contains("@scope/right@*"), "{error}");
    assert!(error.hint().unwrap().contains("--offline"));
    assert!(fixture.packument_requests().is_empty());
}

#[test]
fn a_damaged_cache_is_fetched_again() {
    let fixture = Fixture::new(&two());
    assert_eq!(fixture.run().version("left@1.0.0"), "1.0.0");
    let [path] = fixture.files().try_into().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut damages = vec![Vec::new(), b"garbage".to_vec(), vec![0; whole.len()]];
    damages.extend(
        (0..whole.len())
            .step_by(7)
            .map(|length| whole[..length].to_vec()),
    );
    damages.extend((0..whole.len()).step_by(5).map(|position| {
        let mut changed = whole.clone();
        changed[position] ^= 0x55;
        changed
    }));
    damages.push([&whole[..], b"x"].concat());
    for damage in damages {
        fs::write(&path, &damage).unwrap();
        fixture.packument_requests();
        let manifest = fixture.run().pick("left@1.0.0").unwrap().manifest;
        assert_eq!(manifest.dependencies.len(), 1);
        assert!(fixture.packument_requests().len() <= 1);
    }
    // Of another package.
    fs::write(&path, &whole).unwrap();
    assert_eq!(fixture.run().version("@scope/right@*"), "1.0.0");
    let other = fixture
        .files()
        .into_iter()
        .find(|other| *other != path)
        .unwrap();
    fs::copy(other, &path).unwrap();
    assert_eq!(fixture.run().version("left@1.0.0"), "1.0.0");
    // Nothing that can be a file.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(fixture.run().version("left@1.0.0"), "1.0.0");
}

#[test]
fn a_cache_that_changes_while_it_is_read_does_no_harm() {
    // Larger than the first read, so that old manifests are read when they are asked for.
    let packages: Vec<Package> = (0..80)
        .map(|minor| {
            let package = Package::new("large", &format!("1.{minor}.0"));
            package.packument_field("engines", json!({ "node": "x".repeat(500) }))
        })
        .collect();
    let fixture = Fixture::new(&packages);
    assert_eq!(fixture.run().version("large@1.79.0"), "1.79.0");
    let [path] = fixture.files().try_into().unwrap();
    let run = fixture.run();
    assert_eq!(run.version("large@1.79.0"), "1.79.0");
    fixture.packument_requests();
    assert_eq!(run.version("large@1.0.0"), "1.0.0");
    assert!(fixture.packument_requests().is_empty());
    fs::write(&path, "something else").unwrap();
    assert_eq!(run.version("large@1.1.0"), "1.1.0");
    assert_eq!(fixture.packument_requests().len(), 1);
    assert_eq!(run.version("large@1.2.0"), "1.2.0");
    assert!(fixture.packument_requests().is_empty());
}

#[test]
fn all_that_ask_at_once_share_one_request() {
    let fixture = Fixture::new(&two());
    let run = fixture.run();
    let specifiers: Vec<_> = (0..50).map(|_| specifier("left@^1.0.0")).collect();
    let registry = run.packuments.registry_of(&specifiers[0]).unwrap();
    let (options, preferred) = (PickOptions::default(), Preferred::none());
    let picks = specifiers.iter().map(|specifier| {
        let wanted = Wanted {
            specifier,
            registry: &registry,
            preferred: &preferred,
            options: &options,
            form: Form::Abbreviated,
            fresh: false,
        };
        let packuments = &run.packuments;
        async move { packuments.pick(&wanted).await }
    });
    let results = run.runtime.block_on(futures_util::future::join_all(picks));
    assert!(results.into_iter().all(|result| told(result) == "1.1.0"));
    assert_eq!(fixture.packument_requests().len(), 1);
    // And runs at the same time do not disturb each other.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(fixture.run().version("left@^1.0.0"), "1.1.0");
                }
            });
        }
    });
}

#[test]
fn registries_that_serve_less_are_served_by() {
    for shortcomings in [
        Shortcomings {
            only_full: true,
            ..Shortcomings::default()
        },
        Shortcomings {
            no_entity_tags: true,
            no_compression: true,
            ..Shortcomings::default()
        },
    ] {
        let fixture = Fixture::new(&two());
        fixture.registry.set_shortcomings(shortcomings);
        assert_eq!(fixture.run().version("left@*"), "1.1.0", "{shortcomings:?}");
        assert_eq!(fixture.run().version("left@*"), "1.1.0", "{shortcomings:?}");
        let requests = fixture.packument_requests();
        assert_eq!(requests.len(), 2);
        let is_conditional = requests[1].header("if-none-match").is_some()
            || requests[1].header("if-modified-since").is_some();
        assert!(is_conditional, "{shortcomings:?}");
    }
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let fixture = Fixture::new(&two());
    fixture.registry.set_dist_tag("left", "next", "1.0.0");
    let run = fixture.run();
    let error = run.pick("left@^2.0.0").unwrap_err();
    assert_eq!(error.code(), "ERR_PNPM_NO_MATCHING_VERSION");
    let message = error.to_string();
    assert!(
        message.contains("No matching version found for left@^2.0.0"),
        "{message}"
    );
    let hint = error.hint().unwrap();
    for part in [
        "latest release of left is \"1.1.0\"",
        "* next: 1.0.0",
        "all 2 published",
    ] {
        assert!(hint.contains(part), "{hint}");
    }
    let error = run.pick("absent@*").unwrap_err();
    assert_eq!(error.code(), "ERR_PNPM_FETCH_404");
    let hint = error.hint().unwrap();
    assert!(hint.contains("absent is not in the npm registry"), "{hint}");
    assert!(hint.contains("No authorization header was set"), "{hint}");
    fixture
        .registry
        .replace_packument("left", json!({ "name": "left" }));
    assert_eq!(fixture.run().version("left@*"), "ERR_PNPM_NO_VERSIONS");
}

#[test]
fn a_packument_of_another_package_or_none_is_refused() {
    let fixture = Fixture::new(&two());
    let right = fixture.registry.packument("@scope/right");
    fixture.registry.replace_packument("left", right);
    let error = fixture.run().pick("left@*").unwrap_err();
    assert_eq!(error.code(), "ERR_PNPM_REGISTRY_NAME_MISMATCH");
    assert!(error.to_string().contains("@scope/right"), "{error}");
    let body = |bytes: &[u8]| Fault::Body {
        content_type: "application/json".to_owned(),
        bytes: bytes.to_vec(),
    };
    let twice = br#"{"name":"left","versions":{},"versions":{}}"#;
    for fault in [
        Fault::Html,
        body(b"{"),
        body(b"\xff"),
        body(twice),
        Fault::CompressedTwice,
    ] {
        let fixture = Fixture::new(&two());
        fixture.registry.fault("/left", When::Always, fault.clone());
        assert_eq!(
            fixture.run().version("left@*"),
            "ERR_PACQUET_PACKUMENT",
            "{fault:?}"
        );
        assert!(fixture.files().is_empty());
    }
    for digests in [
        Digests::Raw("sha512-@@".to_owned()),
        Digests::Raw("md9-AA".to_owned()),
    ] {
        let fixture = Fixture::new(&[Package::new("left", "1.0.0").digests(digests)]);
        assert_eq!(
            fixture.run().version("left@*"),
            "ERR_PNPM_INVALID_TARBALL_INTEGRITY"
        );
    }
    let fixture = Fixture::new(&[Package::new("left", "1.0.0").tarball_url("file:///etc/passwd")]);
    assert_eq!(fixture.run().version("left@*"), "ERR_PACQUET_TARBALL_URL");
}

#[test]
fn a_packument_without_end_is_refused_at_the_limit() {
    let large = format!(r#"{{"name":"left","x":"{}"}}"#, "x".repeat(2 << 20));
    let body = Fault::Body {
        content_type: "application/json".to_owned(),
        bytes: large.clone().into_bytes(),
    };
    for fault in [
        body,
        Fault::EndlessChunks,
        Fault::ContentLength(u64::MAX / 2),
    ] {
        let fixture = Fixture::new(&two());
        fixture.registry.fault("/left", When::Always, fault.clone());
        let error = fixture.run().pick("left@*").unwrap_err();
        assert!(
            error.to_string().contains("more than 1048576 bytes"),
            "{fault:?}: {error}"
        );
        assert!(fixture.files().is_empty());
    }
    // Compressed it is small.
    let fixture = Fixture::new(&two());
    let mut packument = fixture.registry.packument("left");
    packument["dist-tags"]["x"] = json!("x".repeat(2 << 20));
    fixture.registry.replace_packument("left", packument);
    let error = fixture.run().pick("left@*").unwrap_err();
    assert!(
        error.to_string().contains("more than 1048576 bytes"),
        "{error}"
    );
}

#[test]
fn failures_that_pass_are_tried_again_and_others_are_not() {
    for (fault, first, requests) in [
        (Fault::Status(503), "1.1.0", 2),
        (Fault::Status(429), "1.1.0", 2),
        (Fault::ContentLengthTooLong(10), "1.1.0", 2),
        (Fault::Status(403), "ERR_PNPM_FETCH_403", 1),
        (Fault::Status(404), "ERR_PNPM_FETCH_404", 1),
        (Fault::Status(410), "ERR_PNPM_FETCH_410", 1),
    ] {
        let fixture = Fixture::new(&two());
        fixture
            .registry
            .fault("/left", When::First(1), fault.clone());
        assert_eq!(fixture.run().version("left@*"), first, "{fault:?}");
        assert_eq!(fixture.packument_requests().len(), requests, "{fault:?}");
    }
    // A registry that cannot be reached is no reason to fail where the cache knows.
    let fixture = Fixture::new(&two());
    assert_eq!(fixture.run().version("left@*"), "1.1.0");
    fixture
        .registry
        .fault("/left", When::Always, Fault::Status(500));
    assert_eq!(fixture.run().version("left@*"), "1.1.0");
    fixture.registry.clear_faults();
    fixture
        .registry
        .fault("/left", When::Always, Fault::Status(404));
    assert_eq!(fixture.run().version("left@*"), "ERR_PNPM_FETCH_404");
}

#[test]
fn a_version_with_less_evidence_of_its_origin_is_passed_over() {
    let version = |version: &str, year: u16| {
        Package::new("left", version).time(&format!("{year}-01-01T00:00:00.000Z"))
    };
    let mut fixture = Fixture::new(&[version("1.0.0", 2020), version("1.1.0", 2021)]);
    let mut packument = fixture.registry.packument("left");
    packument["versions"]["1.0.0"]["dist"]["attestations"] = json!({ "provenance": {} });
    fixture.registry.replace_packument("left", packument);
    fixture.set("PACQUET_TRUST_POLICY", "no-downgrade");
    let run = fixture.run();
    let trusted = |text: &str| {
        told(run.pick_with(text, |wanted, options, _| {
            wanted.form = run.packuments.form(false);
            options.trust = fixture.options().trust;
        }))
    };
    assert_eq!(trusted("left@^1.0.0"), "1.0.0");
    assert_eq!(trusted("left@latest"), "1.0.0");
    assert_eq!(trusted("left@1.1.0"), "ERR_PNPM_TRUST_DOWNGRADE");
    assert_eq!(run.version("left@^1.0.0"), "1.1.0");
}

#[test]
fn packages_of_other_registries_go_there() {
    let fixture = Fixture::new(&[]);
    let other = Registry::with(&[
        Package::new("@jsr/s__n", "1.0.0"),
        Package::new("n", "2.0.0"),
    ]);
    let npmrc = format!(
        "registry={}\n@jsr:registry={}\n",
        fixture.registry.url(),
        other.url()
    );
    fs::write(fixture.home.path().join(".npmrc"), npmrc).unwrap();
    let workspace = format!("namedRegistries:\n  work: {}\n", other.url());
    fs::write(fixture.home.path().join("pnpm-workspace.yaml"), workspace).unwrap();
    let run = fixture.run();
    let context = SpecifierContext {
        named_registries: ["work".into()].into(),
        ..SpecifierContext::default()
    };
    for (text, expected) in [("jsr:@s/n@^1", "1.0.0"), ("work:n", "2.0.0")] {
        let Ok(Specifier::Registry(specifier)) = Specifier::parse(None, text, &context) else {
            panic!("{text}");
        };
        let registry = run.packuments.registry_of(&specifier).unwrap();
        assert_eq!(registry.as_str(), other.url());
        let wanted = Wanted {
            specifier: &specifier,
            registry: &registry,
            preferred: &Preferred::none(),
            options: &PickOptions::default(),
            form: Form::Abbreviated,
            fresh: false,
        };
        assert_eq!(
            told(run.runtime.block_on(run.packuments.pick(&wanted))),
            expected
        );
    }
    assert!(fixture.registry.take_requests().is_empty());
    fs::write(
        fixture.home.path().join(".npmrc"),
        "registry=http://127.0.0.1:9/\n",
    )
    .unwrap();
    let context = SpecifierContext::default();
    let Ok(Specifier::Registry(specifier)) = Specifier::parse(None, "jsr:@s/n", &context) else {
        panic!("jsr");
    };
    let error = fixture
        .run()
        .packuments
        .registry_of(&specifier)
        .unwrap_err();
    assert_eq!(error.code(), "ERR_PACQUET_NO_REGISTRY");
    assert!(error.hint().unwrap().contains("@jsr:registry="));
}

/// What the program makes of a project with one dependency: its lockfile, or what it said.
fn relock(project: &Project, settings: &str) -> Result<String, String> {
    project.write("pnpm-workspace.yaml", settings);
    let output = project.run(&["install", "--lockfile-only"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap()),
        false => Err(said),
    }
}

#[test]
fn a_lockfile_pins_what_has_no_digest_and_is_refused_when_too_young() {
    let project = Project::new();
    let bare = Package::new("bare", "1.0.0").digests(Digests::None);
    let built = project.registry.publish(&bare);
    let young = Package::new("young", "1.0.0").time(&Timestamp::now().to_string());
    project.registry.publish(&young);
    let manifest = |name: &str| json!({ "name": "app", "dependencies": { name: "^1.0.0" } });
    project.write("package.json", &manifest("bare").to_string());
    let lockfile = relock(&project, "").unwrap();
    assert!(lockfile.contains(&built.integrity), "{lockfile}");
    fs::remove_file(project.root().join("pnpm-lock.yaml")).unwrap();
    project.write("package.json", &manifest("young").to_string());
    for settings in [
        "minimumReleaseAge: 1440\n",
        "minimumReleaseAgeStrict: true\n",
    ] {
        let said = relock(&project, settings).unwrap_err();
        assert!(
            said.contains("ERR_PNPM_NO_MATURE_MATCHING_VERSION"),
            "{said}"
        );
        assert!(said.contains("young@1.0.0 was published at"), "{said}");
        assert!(!project.root().join("pnpm-lock.yaml").exists());
    }
    let excluded = "minimumReleaseAge: 1440\nminimumReleaseAgeExclude: [young]\n";
    for settings in ["", excluded] {
        assert!(relock(&project, settings).unwrap().contains("young@1.0.0"));
        fs::remove_file(project.root().join("pnpm-lock.yaml")).unwrap();
    }
}
