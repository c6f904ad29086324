//! Packages made on the fly: a manifest, files, and the tarball and packument entry of them.

use serde_json::{Map, Value, json};

use crate::integrity;
use crate::tarball::{Entry, TarballBuilder};

/// When a package was published unless the test says otherwise.
pub const DEFAULT_TIME: &str = "2026-01-01T00:00:00.000Z";

/// Which digests the packument publishes for a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digests {
    /// `integrity` (sha512) and `shasum`, as registries do today.
    Both,
    /// Only `shasum`, as for packages published before 2017.
    ShasumOnly,
    /// Neither.
    None,
    /// This text as `integrity`, right or wrong, and no `shasum`.
    Raw(String),
}

#[derive(Clone, Debug)]
struct File {
    path: String,
    contents: Vec<u8>,
    mode: u32,
}

/// A version of a package under construction.
#[derive(Clone, Debug)]
pub struct Package {
    name: String,
    version: String,
    manifest: Map<String, Value>,
    packument_fields: Map<String, Value>,
    files: Vec<File>,
    prefix: String,
    raw_tarball: Option<Vec<u8>>,
    digests: Digests,
    tarball_url: Option<String>,
    time: String,
}

/// A finished version: its manifest and its bytes.
#[derive(Clone, Debug)]
pub struct Built {
    /// The package's name, with its scope.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The `package.json` in the tarball.
    pub manifest: Value,
    /// The entry of `versions` in the packument, without `dist.tarball`.
    pub packument_entry: Value,
    /// The gzip-compressed tarball.
    pub tarball: Vec<u8>,
    /// The `sha512-…` of the tarball.
    pub integrity: String,
    /// The SHA-1 of the tarball in hexadecimal.
    pub shasum: String,
    /// Its time of publication (ISO 8601).
    pub time: String,
}

impl Built {
    /// The path at which the registry serves the tarball: `/@s/name/-/name-1.0.0.tgz`.
    pub fn tarball_path(&self) -> String {
        tarball_path(&self.name, &self.version)
    }
}

/// The path of a version's tarball on a registry: `/@s/name/-/name-1.0.0.tgz`.
pub fn tarball_path(name: &str, version: &str) -> String {
    let base = name.rsplit('/').next().unwrap_or(name);
    let version = version.split('+').next().unwrap_or(version);
    format!("/{name}/-/{base}-{version}.tgz")
}

impl Package {
    /// A package with nothing but a `package.json`.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            manifest: Map::new(),
            packument_fields: Map::new(),
            files: Vec::new(),
            prefix: "package".to_owned(),
            raw_tarball: None,
            digests: Digests::Both,
            tarball_url: None,
            time: DEFAULT_TIME.to_owned(),
        }
    }

    /// The package's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The package's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Adds a file, mode 0644. `path` is relative to the package.
    pub fn file(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.file_with_mode(path, contents, 0o644)
    }

    /// Adds a file, mode 0755.
    pub fn executable(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.file_with_mode(path, contents, 0o755)
    }

    /// Adds a file with the mode that its header gives.
    pub fn file_with_mode(mut self, path: &str, contents: impl AsRef<[u8]>, mode: u32) -> Self {
        let contents = contents.as_ref().to_vec();
        self.files.push(File {
            path: path.to_owned(),
            contents,
            mode,
        });
        self
    }

    /// The files that were added: path below the package, contents, mode in the header.
    /// `package.json` is made by [`Package::build`] and is not among them.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8], u32)> {
        self.files
            .iter()
            .map(|file| (file.path.as_str(), file.contents.as_slice(), file.mode))
    }

    /// Merges the fields of this object into `package.json` and the packument's entry.
    pub fn manifest(mut self, fields: Value) -> Self {
        if let Value::Object(fields) = fields {
            self.manifest.extend(fields);
        }
        self
    }

    /// Sets a field only in the packument, so that it differs from the tarball's manifest.
    pub fn packument_field(mut self, key: &str, value: Value) -> Self {
        self.packument_fields.insert(key.to_owned(), value);
        self
    }

    fn entry(mut self, field: &str, key: &str, value: Value) -> Self {
        let map = self
            .manifest
            .entry(field.to_owned())
            .or_insert_with(|| json!({}));
        if let Value::Object(map) = map {
            map.insert(key.to_owned(), value);
        }
        self
    }

    fn push(mut self, field: &str, value: &str) -> Self {
        let list = self
            .manifest
            .entry(field.to_owned())
            .or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!(value));
        }
        self
    }

    /// Adds to `dependencies`; the alias form is `npm:name@version`.
    pub fn dependency(self, name: &str, specifier: &str) -> Self {
        self.entry("dependencies", name, json!(specifier))
    }

    /// Adds to `optionalDependencies`.
    pub fn optional_dependency(self, name: &str, specifier: &str) -> Self {
        self.entry("optionalDependencies", name, json!(specifier))
    }

    /// Adds to `devDependencies`.
    pub fn dev_dependency(self, name: &str, specifier: &str) -> Self {
        self.entry("devDependencies", name, json!(specifier))
    }

    /// Adds to `peerDependencies`.
    pub fn peer_dependency(self, name: &str, range: &str) -> Self {
        self.entry("peerDependencies", name, json!(range))
    }

    /// Adds to `peerDependencies`, and marks it optional.
    pub fn optional_peer_dependency(self, name: &str, range: &str) -> Self {
        self.peer_dependency(name, range).optional_peer(name)
    }

    /// Marks a peer optional; alone, it means one of any version.
    pub fn optional_peer(self, name: &str) -> Self {
        let optional = json!({"optional": true});
        self.entry("peerDependenciesMeta", name, optional)
    }

    /// Adds to `bin`. The file itself is added by [`Package::executable`] or [`Package::file`].
    pub fn bin(self, name: &str, target: &str) -> Self {
        self.entry("bin", name, json!(target))
    }

    /// Adds a script.
    pub fn script(self, name: &str, command: &str) -> Self {
        self.entry("scripts", name, json!(command))
    }

    /// Adds to `os` (`linux`, `!win32`).
    pub fn os(self, os: &str) -> Self {
        self.push("os", os)
    }

    /// Adds to `cpu` (`x64`, `!arm`).
    pub fn cpu(self, cpu: &str) -> Self {
        self.push("cpu", cpu)
    }

    /// Adds to `libc` (`glibc`, `musl`).
    pub fn libc(self, libc: &str) -> Self {
        self.push("libc", libc)
    }

    /// Sets `engines.node`.
    pub fn engine(self, node: &str) -> Self {
        self.entry("engines", "node", json!(node))
    }

    /// Puts a dependency into the tarball: its name in `bundleDependencies` and in
    /// `dependencies`, its files below `node_modules/`.
    pub fn bundled(self, package: &Package) -> Self {
        let base = format!("node_modules/{}", package.name);
        let manifest = package.manifest_value().to_string();
        let mut bundle = self
            .dependency(&package.name, &package.version)
            .push("bundleDependencies", &package.name)
            .file(&format!("{base}/package.json"), manifest);
        for file in &package.files {
            let path = format!("{base}/{}", file.path);
            bundle = bundle.file_with_mode(&path, &file.contents, file.mode);
        }
        bundle
    }

    /// Marks the version deprecated, in the packument only.
    pub fn deprecated(self, message: &str) -> Self {
        self.packument_field("deprecated", json!(message))
    }

    /// Sets `dist.tarball` in the packument; the default is the registry's own path.
    pub fn tarball_url(mut self, url: &str) -> Self {
        self.tarball_url = Some(url.to_owned());
        self
    }

    /// Sets the time of publication (ISO 8601).
    pub fn time(mut self, time: &str) -> Self {
        time.clone_into(&mut self.time);
        self
    }

    /// Sets the first component of every path in the tarball; the default is `package`.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Uses these bytes as the tarball, whatever the manifest and files say.
    pub fn tarball(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw_tarball = Some(bytes.into());
        self
    }

    /// Chooses the digests in the packument.
    pub fn digests(mut self, digests: Digests) -> Self {
        self.digests = digests;
        self
    }

    fn manifest_value(&self) -> Value {
        let mut manifest = Map::new();
        manifest.insert("name".into(), json!(self.name));
        manifest.insert("version".into(), json!(self.version));
        manifest.extend(self.manifest.clone());
        Value::Object(manifest)
    }

    /// Makes the manifest and the bytes.
    pub fn build(&self) -> Built {
        let manifest = self.manifest_value();
        let tarball = self
            .raw_tarball
            .clone()
            .unwrap_or_else(|| self.pack(&manifest));
        let integrity = integrity::sha512(&tarball);
        let shasum = integrity::shasum(&tarball);
        let mut dist = json!({
            "fileCount": self.files.len() + 1,
            "unpackedSize": self.files.iter().map(|file| file.contents.len()).sum::<usize>(),
        });
        match &self.digests {
            Digests::Both => {
                dist["integrity"] = json!(integrity);
                dist["shasum"] = json!(shasum);
            }
            Digests::ShasumOnly => dist["shasum"] = json!(shasum),
            Digests::None => {}
            Digests::Raw(text) => dist["integrity"] = json!(text),
        }
        if let Some(url) = &self.tarball_url {
            dist["tarball"] = json!(url);
        }
        let mut packument_entry = manifest.clone();
        packument_entry["_id"] = json!(format!("{}@{}", self.name, self.version));
        packument_entry["dist"] = dist;
        if self.has_install_script() {
            packument_entry["hasInstallScript"] = json!(true);
        }
        for (key, value) in &self.packument_fields {
            packument_entry[key] = value.clone();
        }
        Built {
            name: self.name.clone(),
            version: self.version.clone(),
            manifest,
            packument_entry,
            tarball,
            integrity,
            shasum,
            time: self.time.clone(),
        }
    }

    fn has_install_script(&self) -> bool {
        let scripts = self.manifest.get("scripts").and_then(Value::as_object);
        let names = ["preinstall", "install", "postinstall"];
        scripts.is_some_and(|scripts| names.iter().any(|name| scripts.contains_key(*name)))
    }

    fn pack(&self, manifest: &Value) -> Vec<u8> {
        let text =
            serde_json::to_string_pretty(manifest).expect("invariant: a JSON value can be written");
        let mut builder = TarballBuilder::new();
        if !self.files.iter().any(|file| file.path == "package.json") {
            builder = builder.file(format!("{}/package.json", self.prefix), text);
        }
        for file in &self.files {
            let path = format!("{}/{}", self.prefix, file.path);
            builder = builder.entry(Entry::file(path, &file.contents).mode(file.mode));
        }
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_the_same_every_time() {
        let make = || {
            Package::new("@scope/name", "1.2.3")
                .file("index.js", "1")
                .dependency("left", "^1.0.0")
                .bin("name", "cli.js")
                .executable("cli.js", "#!/usr/bin/env node\n")
                .build()
        };
        assert_eq!(make().integrity, make().integrity);
        assert_eq!(make().tarball_path(), "/@scope/name/-/name-1.2.3.tgz");
        assert_eq!(
            make().packument_entry["dist"]["integrity"],
            json!(make().integrity)
        );
    }

    #[test]
    fn a_bundled_package_lies_below_node_modules() {
        let inner = Package::new("inner", "1.0.0").file("index.js", "in");
        let outer = Package::new("outer", "1.0.0").bundled(&inner).build();
        assert_eq!(outer.manifest["bundleDependencies"], json!(["inner"]));
        assert_eq!(outer.manifest["dependencies"], json!({"inner": "1.0.0"}));
    }

    #[test]
    fn digests_are_what_was_asked_for() {
        let package = || Package::new("old", "0.1.0");
        let dist = |package: Package| package.build().packument_entry["dist"].clone();
        assert!(
            dist(package().digests(Digests::ShasumOnly))
                .get("integrity")
                .is_none()
        );
        assert!(
            dist(package().digests(Digests::None))
                .get("shasum")
                .is_none()
        );
        let raw = dist(package().digests(Digests::Raw("md4-x".into())));
        assert_eq!(raw["integrity"], json!("md4-x"));
    }
}
