//! YAML files of settings: the user's `config.yaml` and a workspace's `pnpm-workspace.yaml`.

use std::path::Path;

use serde::de::{Deserialize as _, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::credentials::Secret;
use super::declared::DeclaredAuth;
use super::environment::Environment;
use super::error::{ConfigError, ConfigWarning};
use super::expand::{expand, has_placeholder};
use super::not_applied;
use super::options::{Options, USER_ONLY, WORKSPACE_ONLY, checked_of_pnpm};
use super::value::{Origin, Written};
use crate::name::escaped;

/// Which of the two a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YamlFile {
    /// The user's.
    Global,
    /// The repository's.
    Workspace,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) options: Options,
    pub(super) auth: DeclaredAuth,
}

/// Settings whose values are addresses of registries. Without one, packages would come from
/// somewhere else, so a variable in it is an error.
const ADDRESSES: [&str; 3] = ["registry", "registries", "namedRegistries"];

/// Settings whose values go to a host or are one: a repository's file must not put the user's
/// variables there.
const NEVER_EXPANDED: [&str; 7] = [
    "httpsProxy",
    "httpProxy",
    "proxy",
    "noProxy",
    "userAgent",
    "ca",
    "localAddress",
];

/// Settings in whose maps a text says something else than a number in its place would.
const NUMBERS_REFUSED: [&str; 2] = ["allowBuilds", "configDependencies"];

/// Reads `text`, the content of the file at `path`.
///
/// # Errors
/// It is not YAML, or a setting has the wrong type.
pub(super) fn read(
    text: &str,
    path: &Path,
    file: YamlFile,
    environment: &Environment,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<Settings, ConfigError> {
    let name = path.display().to_string();
    let base = path.parent().unwrap_or(Path::new("/"));
    let origin = Origin {
        name: &name,
        base,
        home: environment.home(),
    };
    let mut options = Options::default();
    let mut auth = DeclaredAuth::default();
    for (key, value) in parse(text, path)? {
        if is_misplaced(&key, file) {
            warnings.push(misplaced(&key, &name, file));
            continue;
        }
        if value.is_null() {
            continue;
        }
        if file == YamlFile::Workspace && mentions_variable(&value) {
            if ADDRESSES.contains(&key.as_str()) {
                let path = path.to_path_buf();
                return Err(ConfigError::RegistryNotExpanded { path, key });
            }
            if NEVER_EXPANDED.contains(&key.as_str()) {
                warnings.push(not_expanded(&key, &name));
                continue;
            }
        }
        let value = expanded(value, file, environment);
        if key == "_auth" {
            auth = DeclaredAuth::read(&value, &name, environment, warnings)?;
            continue;
        }
        warnings.extend(not_applied::warning(&key, &value, &name));
        let set = match options.set(&key, Written::Typed(&value), &origin) {
            Err(refused) => match with_numbers_as_texts(text, &key) {
                Some(value) => {
                    let value = expanded(value, file, environment);
                    let set = options.set(&key, Written::Typed(&value), &origin);
                    set.map_err(|_| refused)
                }
                None => Err(refused),
            },
            set => set,
        };
        if !set? && !checked_of_pnpm(&key, Written::Typed(&value), &origin)? {
            let message = format!("{name} has the unknown setting \"{}\"", escaped(&key));
            warnings.push(ConfigWarning {
                code: "ERR_PACQUET_UNKNOWN_SETTING",
                message,
            });
        }
    }
    if options.registry.is_none() {
        let listed = options
            .registries
            .as_ref()
            .and_then(|declared| declared.scopes.get("default"));
        options.registry = listed.map(|url| Secret::new(url.as_str()));
    }
    Ok(Settings { options, auth })
}

/// Whether a setting is not for the one who writes such a file.
fn is_misplaced(key: &str, file: YamlFile) -> bool {
    match file {
        YamlFile::Global => WORKSPACE_ONLY.contains(&key),
        YamlFile::Workspace => USER_ONLY.contains(&key),
    }
}

/// Of the settings of a file those that count, as they do.
pub fn in_effect(
    settings: Map<String, Value>,
    file: YamlFile,
    environment: &Environment,
) -> Map<String, Value> {
    let counts = settings
        .into_iter()
        .filter(|(key, _)| !is_misplaced(key, file));
    counts
        .map(|(key, value)| (key, expanded(value, file, environment)))
        .collect()
}

fn mentions_variable(value: &Value) -> bool {
    match value {
        Value::String(text) => has_placeholder(text),
        Value::Array(items) => items.iter().any(mentions_variable),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| has_placeholder(key) || mentions_variable(value)),
        _ => false,
    }
}

fn not_expanded(key: &str, name: &str) -> ConfigWarning {
    ConfigWarning {
        code: "ERR_PACQUET_ENV_NOT_EXPANDED",
        message: format!(
            "\"{key}\" in {name} is ignored: environment variables are not expanded in it, because \
             the file is part of the project"
        ),
    }
}

fn misplaced(key: &str, name: &str, file: YamlFile) -> ConfigWarning {
    let reason = match file {
        YamlFile::Global => "only a workspace can set it",
        YamlFile::Workspace => "a project may not set it",
    };
    ConfigWarning {
        code: "ERR_PACQUET_PROJECT_SETTING_IGNORED",
        message: format!("\"{key}\" in {name} is ignored: {reason}"),
    }
}

fn parse(text: &str, path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let value = parse_settings(text).map_err(|source| ConfigError::Yaml {
        path: path.to_path_buf(),
        source,
    })?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(ConfigError::NotAMap {
            path: path.to_path_buf(),
        }),
    }
}

/// What a file of settings says, as JSON; one without anything is an empty map.
///
/// # Errors
/// It is no YAML.
pub fn parse_settings(text: &str) -> Result<Value, serde_norway::Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let yaml: serde_norway::Value = serde_norway::from_str(text)?;
    if !has_plain_keys(&yaml) {
        return Err(serde::de::Error::custom("a key is neither text nor number"));
    }
    Ok(match json(yaml) {
        Value::Null => Value::Object(Map::new()),
        value => value,
    })
}

fn has_plain_keys(yaml: &serde_norway::Value) -> bool {
    use serde_norway::Value as Yaml;
    match yaml {
        Yaml::Sequence(items) => items.iter().all(has_plain_keys),
        Yaml::Mapping(map) => map.iter().all(|(key, value)| {
            matches!(key, Yaml::String(_) | Yaml::Number(_) | Yaml::Bool(_))
                && has_plain_keys(value)
        }),
        Yaml::Tagged(tagged) => has_plain_keys(&tagged.value),
        _ => true,
    }
}

/// The setting `key` of a file of settings, with each number as the text that it is written as:
/// where a text is meant, as in `react: 18.20`, it need not be in quotes.
fn with_numbers_as_texts(text: &str, key: &str) -> Option<Value> {
    if NUMBERS_REFUSED.contains(&key) {
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let typed: serde_norway::Value = serde_norway::from_str(text).ok()?;
    let all = Texts(&typed).deserialize(serde_norway::Deserializer::from_str(text));
    match all.ok()? {
        Value::Object(mut map) => map.remove(key),
        _ => None,
    }
}

/// Reads a value again of which it is known what it is.
struct Texts<'a>(&'a serde_norway::Value);

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0 {
            serde_norway::Value::Number(_) => String::deserialize(deserializer).map(Value::String),
            serde_norway::Value::Sequence(_) => deserializer.deserialize_seq(self),
            serde_norway::Value::Mapping(_) => deserializer.deserialize_map(self),
            known => {
                serde::de::IgnoredAny::deserialize(deserializer)?;
                Ok(json(known.clone()))
            }
        }
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("what was read before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        for known in self.0.as_sequence().into_iter().flatten() {
            items.extend(sequence.next_element_seed(Texts(known))?);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        for (key, known) in self.0.as_mapping().into_iter().flatten() {
            map.next_key::<serde::de::IgnoredAny>()?;
            let value = map.next_value_seed(Texts(known))?;
            out.insert(key_text(key.clone()), value);
        }
        Ok(Value::Object(out))
    }
}

/// YAML's data model in JSON's: keys that are numbers or booleans become the text that they are
/// written as, tags are dropped. The parser has bounded depth and aliases already.
fn json(yaml: serde_norway::Value) -> Value {
    use serde_norway::Value as Yaml;
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => number
            .as_u64()
            .map(Value::from)
            .or_else(|| number.as_i64().map(Value::from))
            .or_else(|| number.as_f64().map(Value::from))
            .unwrap_or(Value::Null),
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(json).collect()),
        Yaml::Mapping(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key_text(key), json(value)))
                .collect(),
        ),
        Yaml::Tagged(tagged) => json(tagged.value),
    }
}

fn key_text(key: serde_norway::Value) -> String {
    match json(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A value with its variables replaced: of a repository's file where it is a text by itself. What
/// lists and maps of a repository name is asked of hosts and written into files.
fn expanded(value: Value, file: YamlFile, environment: &Environment) -> Value {
    match value {
        Value::String(text) => Value::String(expand(&text, environment).text),
        value if file == YamlFile::Workspace => value,
        Value::Array(items) => {
            let items = items.into_iter();
            Value::Array(
                items
                    .map(|item| expanded(item, file, environment))
                    .collect(),
            )
        }
        Value::Object(map) => {
            let map = map.into_iter();
            let entries = map.map(|(key, value)| (key, expanded(value, file, environment)));
            Value::Object(entries.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(text: &str) -> (Result<Options, ConfigError>, Vec<ConfigWarning>) {
        let environment = Environment::new([("T".into(), "secret".into())], "/w".into());
        let mut warnings = Vec::new();
        let path = Path::new("/w/pnpm-workspace.yaml");
        let settings = read(text, path, YamlFile::Workspace, &environment, &mut warnings);
        (settings.map(|settings| settings.options), warnings)
    }

    #[test]
    fn what_is_no_map_of_settings_is_refused() {
        for text in [
            "- a",
            "text",
            "hoist: [",
            "hoist: true\nhoist: false",
            "null: 1",
            "[a]: 1",
            "catalog: {~: 1}",
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
             c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
             e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
             g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]",
        ] {
            assert!(workspace(text).0.is_err(), "{text}");
        }
        let deep = format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(workspace(&deep).0.is_err());
        for text in ["", "# nothing", "\u{feff}hoist: true", "hoist:"] {
            assert!(workspace(text).0.is_ok(), "{text}");
        }
    }

    #[test]
    fn a_repository_cannot_say_what_is_the_users() {
        for key in ["allowOther: true", "mountHelper: /x", "tokenHelper: /x"] {
            let (options, warnings) = workspace(key);
            assert_eq!(options.expect("settings"), Options::default(), "{key}");
            assert_eq!(warnings.len(), 1, "{key}");
        }
        let (options, warnings) = workspace("dangerouslyAllowAllBuilds: true");
        assert_eq!(
            options.expect("settings").dangerously_allow_all_builds,
            None
        );
        assert_eq!(warnings[0].code, "ERR_PACQUET_PROJECT_SETTING_IGNORED");
    }

    #[test]
    fn variables_reach_paths_and_never_hosts() {
        let (options, warnings) = workspace("storeDir: /s/${T}\nuserAgent: ${T}");
        let options = options.expect("settings");
        assert_eq!(options.store_dir, Some("/s/secret".into()));
        assert_eq!((options.user_agent, warnings.len()), (None, 1));
        let (options, _) = workspace(
            "overrides: {a: 'https://h.test/${T}.tgz'}\ncatalog: {a: '${T}'}\n\
             patchedDependencies: {a: '${T}'}\nhoistPattern: ['${T}']\n\
             packageExtensions: {a: {dependencies: {b: 'https://h.test/${T}'}}}",
        );
        let options = format!("{:?}", options.expect("settings"));
        assert!(!options.contains("secret") && options.matches("${T}").count() == 5);
        for text in [
            "registry: https://h.test/${T}/",
            "registries: {'@a': 'https://${T}'}",
            "registries: {'https://${T}': {scopes: ['@a']}}",
            "namedRegistries: {a: 'https://h.test/${T}'}",
        ] {
            let refused = workspace(text).0.expect_err(text);
            assert!(
                matches!(refused, ConfigError::RegistryNotExpanded { .. }),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_are_texts_as_they_are_written_where_texts_are_meant() {
        let (options, _) = workspace(
            "catalog: &all\n  a: 18.20\n  b: 0x6\n  c: \"1\"\ncatalogs: {x: *all}\n\
             packages: [1, b]\ntag: 3\nsaveExact: \"true\"\nfetchRetries: \"4\"\n\
             packageExtensions: {a@1: {dependencies: {b: 1.0}, peerDependenciesMeta: \
             {b: {optional: true}}}}",
        );
        let options = options.expect("settings");
        let catalog: Vec<String> = options
            .catalog
            .into_iter()
            .flatten()
            .map(|pair| pair.1)
            .collect();
        assert_eq!(catalog, ["18.20", "0x6", "1"]);
        assert_eq!(
            options.catalogs.map(|all| all["x"]["a"].clone()),
            Some("18.20".to_owned())
        );
        assert_eq!(options.packages, Some(vec!["1".to_owned(), "b".to_owned()]));
        assert_eq!(options.tag.as_deref(), Some("3"));
        assert_eq!(
            (options.save_exact, options.fetch_retries),
            (Some(true), Some(4))
        );
        let extension = &options.package_extensions.expect("extensions").0["a@1"];
        assert_eq!(extension["dependencies"]["b"], "1.0");
        assert_eq!(extension["peerDependenciesMeta"]["b"]["optional"], true);
        for text in [
            "catalog: {a: true}",
            "overrides: {a: }",
            "allowBuilds: {a: 1}",
        ] {
            assert!(workspace(text).0.is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_settings_are_named_once_and_pnpms_own_are_not() {
        let (_, warnings) = workspace("foo: 1\nsavePrefix: '~'\n\"a\\e[2J\": 1");
        let messages: Vec<_> = warnings.iter().map(|w| w.message.as_str()).collect();
        assert_eq!(messages.len(), 2);
        assert!(messages[0].contains("\"foo\""));
        assert!(!messages[1].contains('\u{1b}'));
    }

    #[test]
    fn settings_that_would_change_an_install_are_told_of_where_they_are_on() {
        let (_, warnings) = workspace("executionEnv: {nodeVersion: 22.0.0}");
        let messages: Vec<_> = warnings.iter().map(|w| w.message.as_str()).collect();
        assert_eq!(messages.len(), 1);
        assert!(messages[0].contains("\"executionEnv\""), "{messages:?}");
        let (_, warnings) = workspace("remoteCache: {}\nexecutionEnv: {}");
        assert!(warnings.is_empty());
    }
}
