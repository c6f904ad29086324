//! How the scripts of projects are run.

use indexmap::IndexMap;

use super::options::Options;
use super::resolved::{PNPM_VERSION, concurrency};
use super::value::{PrependNodePath, VerifyDependencies};
use crate::install::select::{cpu_name, os_name};

/// How the scripts of projects are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptConfig {
    /// `enablePrePostScripts`.
    pub runs_pre_and_post: bool,
    /// `scriptShell`.
    pub shell: Option<String>,
    /// `scriptsPrependNodePath`.
    pub prepend_node_path: PrependNodePath,
    /// `nodeOptions`.
    pub node_options: Option<String>,
    /// `extraEnv`, which only hooks set: variables of scripts.
    pub extra_environment: IndexMap<String, String>,
    /// `verifyDepsBeforeRun`.
    pub verify_dependencies: VerifyDependencies,
    /// `requiredScripts`: a run in the projects of a workspace fails where one lacks such a script.
    pub required: Vec<String>,
    /// `tasks`: what scripts wait for, by name; see [`Tasks::depends_on`](super::tasks::Tasks).
    pub tasks: IndexMap<String, Vec<String>>,
    /// `syncInjectedDepsAfterScripts`: after such a script the copies of its project are renewed.
    pub renewing_copies: Vec<String>,
    /// `workspaceConcurrency`: in how many projects at once.
    pub workspace_concurrency: usize,
    /// `userAgent`, as tools that run as scripts are told it: they know pnpm.
    pub user_agent: String,
}

pub(super) fn scripts(options: &Options) -> ScriptConfig {
    let agent = || {
        format!(
            "pnpm/{PNPM_VERSION} npm/? node/? {} {}",
            os_name(),
            cpu_name()
        )
    };
    ScriptConfig {
        runs_pre_and_post: options.enable_pre_post_scripts.unwrap_or(true),
        shell: options.script_shell.clone(),
        prepend_node_path: options.scripts_prepend_node_path.unwrap_or_default(),
        node_options: options.node_options.clone(),
        extra_environment: options.extra_env.clone().unwrap_or_default(),
        verify_dependencies: options.verify_deps_before_run.unwrap_or_default(),
        required: options.required_scripts.clone().unwrap_or_default(),
        tasks: options.tasks.clone().unwrap_or_default().depends_on,
        renewing_copies: options
            .sync_injected_deps_after_scripts
            .clone()
            .unwrap_or_default(),
        workspace_concurrency: concurrency(options.workspace_concurrency),
        user_agent: options.user_agent.clone().unwrap_or_else(agent),
    }
}
