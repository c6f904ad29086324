//! Configuration: every source read once, combined by precedence, resolved into one [`Config`].
//!
//! From lowest to highest: defaults; `.npmrc` files (registries, credentials and network only; the
//! user's, `auth.ini`, the project's); the user's `config.yaml`; `pnpm-workspace.yaml`;
//! `PNPM_CONFIG_*`, then `PACQUET_*` variables; flags.
//!
//! **Architecture Invariant:** it reads no environment variable and no current directory by itself;
//! both come in an [`Environment`].
//!
//! **Architecture Invariant:** what a repository writes never names a program, never sees a
//! variable of the user's in an address or credential, and never decides where the user's
//! credentials go: each is bound to the address it was written for.

mod audit;
mod branches;
mod credentials;
mod declared;
mod environment;
mod error;
mod expand;
mod flags;
mod global;
mod hoisting;
mod isolated;
mod load;
mod network;
mod not_applied;
mod npmrc;
mod options;
mod package_configs;
mod packages;
mod peer_rules;
mod pnpm_store;
mod process;
mod publishing;
mod recorded;
mod registries;
mod resolution;
mod resolved;
mod save;
mod scripts;
mod selection;
mod tasks;
mod users;
mod value;
mod yaml;

pub use audit::AuditConfig;
pub use branches::{BranchLockfiles, LOCKFILE_NAME};
pub use credentials::{Credentials, Pem, Secret, TlsIdentity};
pub use declared::DeclaredRegistries;
pub use environment::Environment;
pub use error::{ConfigError, ConfigWarning};
pub use flags::DefaultFlags;
pub use global::GlobalPlaces;
pub use hoisting::Hoisting;
pub use load::{CliOverrides, said_of_settings};
pub use network::{NetworkConfig, RetryConfig};
pub use options::{Options, SettingForm, camel_case, setting_form};
pub use packages::{CONFIG_PACKAGES_NAME, ConfigPackages, DeclaredPackage};
pub use peer_rules::PeerRules;
pub use registries::{Registries, prefixed_version};
pub use resolution::ResolutionConfig;
pub use resolved::PNPM_VERSION;
pub use resolved::{BuildPolicy, BuildRunning, Config, GraphConfig, LockfileConfig};
pub use save::SaveConfig;
pub use scripts::ScriptConfig;
pub use selection::SelectionConfig;
pub use users::{is_setting_of_users, user_directory};
pub use value::{
    AllowBuilds, CatalogMode, Concurrency, EngineReaction, HoistingLimits, HostList, InitialType,
    LinkWorkspacePackages, LogLevelName, NodeLinker, PackageImportMethod, PrependNodePath,
    ReporterName, ResolutionMode, SaveWorkspaceProtocol, SupportedArchitectures, TrustPolicy,
    VerifyDependencies, VirtualMode,
};
pub use yaml::parse_settings;
pub use yaml::{YamlFile, in_effect};
