//! Settings' values: from YAML (typed) and from text (environment, flags).

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use super::credentials::Secret;
use super::error::ConfigError;
use crate::lexical;

/// Where a value was written, and what its relative paths are relative to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// For messages: a path, a variable's name or a flag.
    pub(super) name: &'a str,
    /// Base of relative paths.
    pub(super) base: &'a Path,
    /// What `~` stands for.
    pub(super) home: Option<&'a Path>,
}

/// A value as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Written<'a> {
    /// In YAML or JSON, with its own type.
    Typed(&'a Value),
    /// As text, to be read as the setting's type.
    Text(&'a str),
}

/// Why a value cannot be taken.
pub(super) enum Refusal {
    /// It should be this, with an article.
    Expected(&'static str),
    /// It begins with `~` and there is no home directory.
    NoHome,
    /// Something is wrong with what it says of registries.
    Registries(String),
}

impl Refusal {
    pub(super) fn at(self, origin: &Origin<'_>, key: &str, written: Written<'_>) -> ConfigError {
        let origin = origin.name.to_owned();
        let key = key.to_owned();
        match self {
            Self::Expected(expected) => ConfigError::WrongType {
                origin,
                key,
                expected,
                found: describe(written),
            },
            Self::NoHome => ConfigError::NoHome { origin, key },
            Self::Registries(reason) => ConfigError::InvalidRegistries { origin, reason },
        }
    }
}

/// Longest text that a message repeats, in characters.
const SHOWN_CHARACTERS_MAX: usize = 60;

fn describe(written: Written<'_>) -> String {
    match written {
        Written::Typed(Value::Null) => "empty".to_owned(),
        Written::Typed(Value::Array(_)) => "a list".to_owned(),
        Written::Typed(Value::Object(_)) => "a map".to_owned(),
        Written::Typed(Value::String(text)) => quoted(text),
        Written::Text(text) => quoted(text),
        Written::Typed(other) => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    let ellipsis = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{shown}{ellipsis}\"")
}

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// Reads it.
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal>;
}

impl Setting for bool {
    /// As pnpm, in quotes too.
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let text = match written {
            Written::Typed(Value::Bool(value)) => return Ok(*value),
            Written::Typed(Value::String(text)) => text.as_str(),
            Written::Text(text) => text,
            Written::Typed(_) => "",
        };
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Refusal::Expected("true or false")),
        }
    }
}

impl Setting for u64 {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let value = match written {
            Written::Typed(Value::String(text)) => text.parse().ok(),
            Written::Typed(value) => value.as_u64(),
            Written::Text(text) => text.parse().ok(),
        };
        value.ok_or(Refusal::Expected("a whole number that is not negative"))
    }
}

impl Setting for String {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        match written {
            Written::Typed(Value::String(text)) => Ok(text.clone()),
            Written::Text(text) => Ok(text.to_owned()),
            Written::Typed(_) => Err(Refusal::Expected("a string")),
        }
    }
}

impl Setting for Secret {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        String::read(written, origin).map(Self::new)
    }
}

impl Setting for Vec<String> {
    /// Text is a JSON list, or one element.
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let refusal = || Refusal::Expected("a list of strings");
        let parsed;
        let value = match written {
            Written::Typed(value) => value,
            Written::Text(text) if text.trim_start().starts_with('[') => {
                parsed = serde_json::from_str(text).map_err(|_| refusal())?;
                &parsed
            }
            Written::Text(text) => return Ok(vec![text.to_owned()]),
        };
        let items = value.as_array().ok_or_else(refusal)?;
        items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(refusal))
            .collect()
    }
}

impl Setting for IndexMap<String, String> {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let refusal = || Refusal::Expected("a map of nothing but strings");
        let mut out = Self::new();
        for (key, value) in object(written, "a map of nothing but strings")? {
            out.insert(key, value.as_str().ok_or_else(refusal)?.to_owned());
        }
        Ok(out)
    }
}

impl Setting for IndexMap<String, IndexMap<String, String>> {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        object(written, "a map of maps of strings")?
            .into_iter()
            .map(|(key, value)| Ok((key, Setting::read(Written::Typed(&value), origin)?)))
            .collect()
    }
}

/// `packageExtensions`: what is added to the manifests of packages, by selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredExtensions(pub serde_json::Map<String, Value>);

impl DeclaredExtensions {
    /// Fields that map names to specifiers.
    const OF_SPECIFIERS: [&str; 3] = ["dependencies", "optionalDependencies", "peerDependencies"];
    const META: &str = "peerDependenciesMeta";
}

impl Setting for DeclaredExtensions {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let refusal =
            || Refusal::Expected("a map of maps of dependencies, each with a text as specifier");
        let is_map_of = |value: Option<&Value>, is_right: fn(&Value) -> bool| match value {
            None => true,
            Some(Value::Object(map)) => map.values().all(is_right),
            Some(_) => false,
        };
        let is_meta = |meta: &Value| {
            let optional = meta.get("optional");
            meta.is_object() && optional.is_none_or(Value::is_boolean)
        };
        let extensions = object(written, "a map of maps of dependencies")?;
        for extension in extensions.values() {
            let fields = extension.as_object().ok_or_else(refusal)?;
            let of = |name: &&str| is_map_of(fields.get(*name), Value::is_string);
            if !Self::OF_SPECIFIERS.iter().all(of) || !is_map_of(fields.get(Self::META), is_meta) {
                return Err(refusal());
            }
        }
        Ok(Self(extensions))
    }
}

/// `allowBuilds`: which packages may run scripts, as written. `None`: somebody has yet to decide,
/// as in the placeholders that pnpm writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowBuilds(pub IndexMap<String, Option<bool>>);

impl Setting for AllowBuilds {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let expected = "a map of true and false";
        object(written, expected)?
            .into_iter()
            .map(|(key, value)| match value {
                Value::Bool(allowed) => Ok((key, Some(allowed))),
                Value::String(_) => Ok((key, None)),
                _ => Err(Refusal::Expected(expected)),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// How many children run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// That many, at least one.
    At(usize),
    /// One for each processor, less so many.
    ProcessorsLess(usize),
}

impl Concurrency {
    /// Reads what is written on a command line.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "Infinity" {
            return Some(Self::At(usize::MAX));
        }
        text.parse().ok().map(Self::of)
    }

    /// As pnpm: what is not positive is counted from the number of processors.
    fn of(number: i64) -> Self {
        let size = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
        match number {
            1.. => Self::At(size),
            _ => Self::ProcessorsLess(size),
        }
    }

    /// The number on a machine with so many `processors`.
    pub fn number(self, processors: usize) -> usize {
        match self {
            Self::At(number) => number,
            Self::ProcessorsLess(fewer) => processors.saturating_sub(fewer).max(1),
        }
    }
}

impl Setting for Concurrency {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let read = match written {
            Written::Typed(Value::String(text)) => Self::parse(text),
            Written::Typed(value) => value.as_i64().map(Self::of),
            Written::Text(text) => Self::parse(text),
        };
        read.ok_or(Refusal::Expected("a whole number or Infinity"))
    }
}

/// `scriptsPrependNodePath`: whether the directory of Node comes before `PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrependNodePath {
    /// It does.
    Always,
    /// It does not.
    #[default]
    Never,
}

impl Setting for PrependNodePath {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        match written {
            Written::Typed(Value::Bool(true)) | Written::Text("true") => Ok(Self::Always),
            Written::Typed(Value::Bool(false)) | Written::Text("false" | "warn-only") => {
                Ok(Self::Never)
            }
            // The Node that runs scripts is always the one that `PATH` finds: nothing to warn of.
            Written::Typed(Value::String(text)) if text == "warn-only" => Ok(Self::Never),
            _ => Err(Refusal::Expected("true, false or \"warn-only\"")),
        }
    }
}

/// `verifyDepsBeforeRun`: what happens before a script where `node_modules` is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyDependencies {
    /// It is brought up to date.
    #[default]
    Install,
    /// It is told.
    Warn,
    /// The command fails.
    Error,
    /// Somebody is asked.
    Prompt,
    /// Nothing.
    Never,
}

impl Setting for VerifyDependencies {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let text = match written {
            Written::Typed(Value::Bool(false)) => "false",
            Written::Typed(Value::String(text)) => text.as_str(),
            Written::Text(text) => text,
            Written::Typed(_) => "",
        };
        match text {
            "install" => Ok(Self::Install),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            "prompt" => Ok(Self::Prompt),
            "false" => Ok(Self::Never),
            _ => Err(Refusal::Expected("install, warn, error, prompt or false")),
        }
    }
}

impl Setting for serde_json::Map<String, Value> {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        object(written, "a map")
    }
}

pub(super) fn object(
    written: Written<'_>,
    expected: &'static str,
) -> Result<serde_json::Map<String, Value>, Refusal> {
    let value = match written {
        Written::Typed(Value::Object(map)) => return Ok(map.clone()),
        Written::Text(text) => serde_json::from_str(text).ok(),
        Written::Typed(_) => None,
    };
    value.ok_or(Refusal::Expected(expected))
}

/// A path, absolute already.
impl Setting for PathBuf {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        let text = String::read(written, origin).map_err(|_| Refusal::Expected("a path"))?;
        if text.is_empty() || text.contains('\0') {
            return Err(Refusal::Expected("a path"));
        }
        if text == "~" || text.starts_with("~/") {
            let home = origin.home.ok_or(Refusal::NoHome)?;
            return Ok(home.join(text.trim_start_matches(['~', '/'])));
        }
        // As pnpm's own path arithmetic leaves it.
        Ok(lexical::normal(&origin.base.join(text)))
    }
}

macro_rules! text_enum {
    ($(#[$meta:meta])* $type:ident, $expected:literal, {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $type {
            /// As it is written in configuration.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl Setting for $type {
            fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
                match String::read(written, origin).as_deref() {
                    $(Ok($text) => Ok(Self::$variant),)*
                    _ => Err(Refusal::Expected($expected)),
                }
            }
        }
    };
}

text_enum!(
    /// How `node_modules` is laid out.
    NodeLinker, "\"isolated\" or \"hoisted\" (\"pnp\" and \"loaded\" are not supported)", {
        /// A virtual store of packages, linked by symlinks.
        Isolated = "isolated",
        /// Flat, as npm makes it.
        Hoisted = "hoisted",
    }
);

text_enum!(
    /// How far up the hoisted linker may lift packages.
    HoistingLimits, "\"none\", \"workspaces\" or \"dependencies\"", {
        /// To the root.
        None = "none",
        /// To the project that needs it.
        Workspaces = "workspaces",
        /// Not above the direct dependency that needs it.
        Dependencies = "dependencies",
    }
);

text_enum!(
    /// How files of a package come into a real `node_modules`.
    PackageImportMethod,
    "\"auto\", \"hardlink\", \"copy\", \"clone\" or \"clone-or-copy\"", {
        /// The cheapest way that works.
        Auto = "auto",
        /// Hard links.
        Hardlink = "hardlink",
        /// Copies.
        Copy = "copy",
        /// Copies that share blocks.
        Clone = "clone",
        /// Copies that share blocks, else plain ones.
        CloneOrCopy = "clone-or-copy",
    }
);

text_enum!(
    /// Which versions are chosen.
    ResolutionMode, "\"highest\", \"time-based\" or \"lowest-direct\"", {
        /// The highest.
        Highest = "highest",
        /// The lowest of direct dependencies, and of theirs what was published by then.
        TimeBased = "time-based",
        /// The lowest of direct dependencies.
        LowestDirect = "lowest-direct",
    }
);

text_enum!(
    /// What evidence of a version's origin is asked for.
    TrustPolicy, "\"off\" or \"no-downgrade\"", {
        /// None.
        Off = "off",
        /// Not less than earlier versions have.
        NoDowngrade = "no-downgrade",
    }
);

text_enum!(
    /// What happens where an engine is another one than a manifest asks for.
    EngineReaction, "\"download\", \"error\", \"warn\" or \"ignore\"", {
        /// The right one is fetched.
        Download = "download",
        /// The command fails.
        Error = "error",
        /// It is told.
        Warn = "warn",
        /// Nothing.
        Ignore = "ignore",
    }
);

text_enum!(
    /// Whether `add` writes into a catalog.
    CatalogMode, "\"manual\", \"strict\" or \"prefer\"", {
        /// Where it is asked to.
        Manual = "manual",
        /// Always; a version that the catalog does not allow is refused.
        Strict = "strict",
        /// Wherever the catalog allows the version.
        Prefer = "prefer",
    }
);

text_enum!(
    /// How progress is shown.
    ReporterName, "\"default\", \"append-only\", \"ndjson\" or \"silent\"", {
        /// Live progress on a terminal, plain lines elsewhere.
        Default = "default",
        /// Plain lines.
        AppendOnly = "append-only",
        /// One JSON object a line.
        Ndjson = "ndjson",
        /// Errors only.
        Silent = "silent",
    }
);

text_enum!(
    /// How much is said.
    LogLevelName, "\"silent\", \"error\", \"warn\", \"info\" or \"debug\"", {
        /// Nothing but failures.
        Silent = "silent",
        /// The same.
        Error = "error",
        /// Warnings too.
        Warn = "warn",
        /// Progress too.
        Info = "info",
        /// The same.
        Debug = "debug",
    }
);

text_enum!(
    /// How Node reads the files of a package that `init` begins.
    InitialType, "\"commonjs\" or \"module\"", {
        /// `require`.
        Commonjs = "commonjs",
        /// `import`.
        Module = "module",
    }
);

/// `linkWorkspacePackages`: where a project takes the place of a registry's package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkWorkspacePackages {
    /// Nowhere.
    Off,
    /// In what projects depend on.
    Direct,
    /// In what packages depend on, too.
    Deep,
}

impl Setting for LinkWorkspacePackages {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        match written {
            Written::Typed(Value::Bool(true)) | Written::Text("true") => Ok(Self::Direct),
            Written::Typed(Value::Bool(false)) | Written::Text("false") => Ok(Self::Off),
            Written::Typed(Value::String(text)) if text == "deep" => Ok(Self::Deep),
            Written::Text("deep") => Ok(Self::Deep),
            _ => Err(Refusal::Expected("true, false or \"deep\"")),
        }
    }
}

/// `saveWorkspaceProtocol`: how a dependency on a project is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveWorkspaceProtocol {
    /// As a dependency on a registry's package.
    Off,
    /// `workspace:^1.0.0`.
    On,
    /// `workspace:^`.
    Rolling,
}

impl Setting for SaveWorkspaceProtocol {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        match written {
            Written::Typed(Value::Bool(true)) | Written::Text("true") => Ok(Self::On),
            Written::Typed(Value::Bool(false)) | Written::Text("false") => Ok(Self::Off),
            Written::Typed(Value::String(text)) if text == "rolling" => Ok(Self::Rolling),
            Written::Text("rolling") => Ok(Self::Rolling),
            _ => Err(Refusal::Expected("true, false or \"rolling\"")),
        }
    }
}

/// `os`, `cpu` and `libc` for which packages are installed; `current` stands for this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SupportedArchitectures {
    /// As `process.platform` of Node.
    pub os: Option<Vec<String>>,
    /// As `process.arch` of Node.
    pub cpu: Option<Vec<String>>,
    /// `glibc`, `musl`.
    pub libc: Option<Vec<String>>,
    /// All there are, whatever else is listed (`forceIgnoresPlatform`).
    pub all: bool,
}

impl Setting for SupportedArchitectures {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        let map = object(written, "a map of \"os\", \"cpu\" and \"libc\"")?;
        let list = |key: &str| match map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => Vec::read(Written::Typed(value), origin).map(Some),
        };
        Ok(Self {
            os: list("os")?,
            cpu: list("cpu")?,
            libc: list("libc")?,
            all: false,
        })
    }
}

/// One path or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathList(pub Vec<PathBuf>);

impl Setting for PathList {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        let one = |text: &str| PathBuf::read(Written::Text(text), origin);
        let paths = match written {
            Written::Typed(Value::String(text)) => vec![one(text)?],
            _ => Vec::<String>::read(written, origin)?
                .iter()
                .map(|text| one(text))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self(paths))
    }
}

/// `noproxy`: a list, or text with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostList(pub String);

impl Setting for HostList {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        match written {
            Written::Typed(Value::Bool(true)) | Written::Text("true") => Ok(Self("*".to_owned())),
            Written::Typed(Value::Array(_)) => {
                Ok(Self(Vec::<String>::read(written, origin)?.join(",")))
            }
            _ => Ok(Self(String::read(written, origin)?)),
        }
    }
}

/// `virtual`: whether `node_modules` is served from a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VirtualMode {
    /// Nobody said: what is served stays served, and everything else is real files.
    #[default]
    AsItIs,
    /// Real files.
    Off,
    /// A mount, or an error.
    On,
    /// A mount where one can be made, else real files.
    Auto,
}

impl Setting for VirtualMode {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        match written {
            Written::Typed(Value::Bool(true)) | Written::Text("true") => Ok(Self::On),
            Written::Typed(Value::Bool(false)) | Written::Text("false") => Ok(Self::Off),
            Written::Typed(Value::String(text)) if text == "auto" => Ok(Self::Auto),
            Written::Text("auto") => Ok(Self::Auto),
            _ => Err(Refusal::Expected("true, false or \"auto\"")),
        }
    }
}
