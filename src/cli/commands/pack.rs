//! `pack`: the archive of a project, as a registry would have it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::cli::apart::sorted;
use crate::cli::arguments::{GlobalArguments, PackArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::print;
use crate::cli::scripting::{Order, Root, choose, launcher, nothing_chosen, run_own_scripts};
use crate::install::config::Options;
use crate::install::manifest::ManifestError;
use crate::install::publish::{
    Content, Protocols, archive, contents, identity, published_manifest,
};
use crate::install::scripts::{Launcher, ScriptManifest, ScriptOutput};
use crate::install::workspace::{self, WorkspaceError};
use crate::lexical;
use crate::name::{EntryName, RelativePath, escaped};
use crate::store::Integrity;
use crate::sys;

/// What came of a project.
struct Packed {
    name: String,
    version: String,
    /// How the file is called.
    shown: String,
    /// Digest and size of what was written.
    written: Option<(Integrity, usize)>,
    files: Vec<String>,
}

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &PackArguments,
) -> Result<(), Failure> {
    if arguments.out.is_some() && arguments.pack_destination.is_some() {
        return Err(Failure::new(
            "ERR_PNPM_INVALID_OPTION",
            "Cannot use --pack-destination and --out together",
            None,
        ));
    }
    let options = Options {
        ignore_scripts: arguments.ignore_scripts.then_some(true),
        ..Options::default()
    };
    let context = Context::load_anywhere(global, options)?;
    interrupt::forward(&context.children)?;
    let launcher = launcher(&context, "pack", ScriptOutput::Lines, &context.children);
    let packer = Packer {
        versions: versions(&context)?,
        context: &context,
        is_one_of_many: global.workspace.is_recursive(),
        arguments,
        launcher,
    };
    if !global.workspace.is_recursive() {
        let packed = packer.pack(&context.config.directory)?;
        print(&match arguments.json {
            true => format!("{:#}\n", packed.json()),
            false => packed.text(),
        });
        return Ok(());
    }
    let chosen = choose(&context, &global.workspace, Root::Kept)?;
    if chosen.selection.projects.is_empty() {
        nothing_chosen(&context, &chosen);
        return Ok(());
    }
    let order = Order::new(&context, &global.workspace, &chosen)?;
    let mut all = Vec::new();
    for directory in sorted(&chosen, &order.waits_for) {
        if is_package(&directory)? {
            all.push(packer.pack(&directory)?);
        }
    }
    print(&match arguments.json {
        true => format!("{:#}\n", all.iter().map(Packed::json).collect::<Value>()),
        false => all.iter().map(Packed::text).collect::<Vec<_>>().join("\n"),
    });
    Ok(())
}

/// Whether there is something to pack: of many projects, those that are no packages are passed
/// over.
fn is_package(directory: &Path) -> Result<bool, Failure> {
    let fields = fields(directory)?;
    let has = |field: &str| fields.get(field).is_some_and(Value::is_string);
    Ok(has("name") && has("version"))
}

fn fields(directory: &Path) -> Result<Map<String, Value>, Failure> {
    Ok(manifest(directory)?.fields().clone())
}

fn manifest(directory: &Path) -> Result<ScriptManifest, Failure> {
    let directory = directory.to_owned();
    let manifest = ScriptManifest::read(&directory)?;
    manifest.ok_or_else(|| ManifestError::Missing { directory }.into())
}

/// Versions of the projects of the workspace.
fn versions(context: &Context) -> Result<HashMap<String, String>, Failure> {
    let projects = match context.projects() {
        Err(WorkspaceError::Manifest(ManifestError::Missing { .. })) => Vec::new(),
        projects => projects.map_err(Failure::from)?,
    };
    let named = projects.iter().filter_map(|project: &workspace::Project| {
        let manifest = &project.manifest;
        Some((
            manifest.name.as_deref()?.into(),
            manifest.version.as_deref()?.into(),
        ))
    });
    Ok(named.collect())
}

struct Packer<'a> {
    context: &'a Context,
    arguments: &'a PackArguments,
    versions: HashMap<String, String>,
    is_one_of_many: bool,
    launcher: Launcher,
}

impl Packer<'_> {
    fn pack(&self, project: &Path) -> Result<Packed, Failure> {
        identity(&fields(project)?)?;
        run_own_scripts(
            self.context,
            &self.launcher,
            project,
            &["prepack", "prepare"],
        )?;
        // Scripts may have changed it.
        let own = fields(project)?;
        let directory = own.get("publishConfig");
        let directory = directory.and_then(|config| config.get("directory")?.as_str());
        let directory = directory.map_or_else(|| project.to_owned(), |path| project.join(path));
        let fields = match directory == project {
            true => own,
            false => fields(&directory)?,
        };
        let (name, version) = identity(&fields)?;
        let manifest = self.published(&directory, fields)?;
        let root = self.context.config.workspace_root.as_deref();
        let contents = contents(&directory, &manifest, root)?;
        let path = self.place(&directory, &name, &version)?;
        let written = match self.arguments.dry_run {
            true => None,
            false => Some(self.write(&path, &contents, manifest)?),
        };
        if written.is_some() {
            run_own_scripts(self.context, &self.launcher, project, &["postpack"])?;
        }
        let mut files: Vec<String> = contents
            .keys()
            .map(|path| path.as_str().to_owned())
            .collect();
        files.sort_by_cached_key(|path| path.to_lowercase());
        let shown = match path.parent() == Some(project) {
            true => path.file_name().unwrap_or_default().to_string_lossy(),
            false => path.to_string_lossy(),
        };
        Ok(Packed {
            name,
            version,
            shown: shown.into_owned(),
            written,
            files,
        })
    }

    fn published(
        &self,
        directory: &Path,
        fields: Map<String, Value>,
    ) -> Result<Map<String, Value>, Failure> {
        let config = &self.context.config;
        let found = |text: &str| {
            let place = match text.starts_with(['.', '/']) {
                true => directory.join(text),
                false => directory.join(&config.modules_directory).join(text),
            };
            let manifest = ScriptManifest::read(&place).ok()??;
            let version = manifest.fields().get("version")?.as_str()?;
            Some((manifest.name()?.to_owned(), version.to_owned()))
        };
        let protocols = Protocols {
            catalogs: &config.graph.catalogs,
            versions: &self.versions,
            found: &found,
        };
        let keeps_own = config.publishing.keeps_own_fields;
        Ok(published_manifest(fields, &protocols, keeps_own)?)
    }

    /// Where the archive is written. Paths are meant from where the command is called, or of one
    /// project from what is published of it.
    fn place(&self, directory: &Path, name: &str, version: &str) -> Result<PathBuf, Failure> {
        let flat = name.trim_start_matches('@').replace('/', "-");
        let base = match self.is_one_of_many {
            true => &self.context.called_in,
            false => directory,
        };
        if let Some(out) = &self.arguments.out {
            let path = out.replace("%s", &flat).replace("%v", version);
            return Ok(lexical::normal(&base.join(path)));
        }
        let file = format!("{flat}-{version}.tgz");
        if EntryName::new(&file).is_err() {
            let sentence = format!("\"{}\" is no name of a file", escaped(&file));
            return Err(Failure::new(
                "ERR_PNPM_INVALID_PACKAGE_NAME",
                sentence,
                None,
            ));
        }
        let place = match &self.arguments.pack_destination {
            Some(place) => base.join(place),
            None => base.to_owned(),
        };
        Ok(lexical::normal(&place.join(file)))
    }

    fn write(
        &self,
        path: &Path,
        contents: &BTreeMap<RelativePath, Content>,
        manifest: Map<String, Value>,
    ) -> Result<(Integrity, usize), Failure> {
        let level = self.context.config.publishing.level;
        let bytes = archive(contents, &format!("{:#}", Value::Object(manifest)), level)?;
        let failed = |cause| {
            let sentence = format!("{} cannot be written", path.display());
            Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
        };
        let parent = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).map_err(failed)?;
        sys::file::replace(path, &bytes, None).map_err(failed)?;
        Ok((Integrity::of(&bytes), bytes.len()))
    }
}

impl Packed {
    fn json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("name".into(), json!(self.name));
        fields.insert("version".into(), json!(self.version));
        fields.insert("filename".into(), json!(self.shown));
        if let Some((integrity, size)) = &self.written {
            fields.insert("integrity".into(), json!(integrity.to_string()));
            fields.insert("size".into(), json!(size));
        }
        let files = self.files.iter().map(|path| json!({ "path": path }));
        fields.insert("files".into(), files.collect());
        Value::Object(fields)
    }

    fn text(&self) -> String {
        let files: String = self
            .files
            .iter()
            .map(|path| format!("{}\n", escaped(path)))
            .collect();
        format!(
            "package: {}@{}\nTarball Contents\n{files}Tarball Details\n{}\n",
            self.name, self.version, self.shown
        )
    }
}
