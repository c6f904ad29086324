//! Dependencies that projects of the workspace provide.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::install::config::SaveWorkspaceProtocol;
use crate::install::relock::{Named, Specifiers};
use crate::install::semver::{Range, Version};
use crate::name::{PackageName, escaped};

/// A project that provides what is added.
pub(super) struct Provider {
    name: String,
    version: Option<String>,
    /// The range that was asked for.
    asked: Option<String>,
    /// By the protocol `workspace:`, whatever is configured.
    has_protocol: bool,
}

impl Provider {
    /// The project that provides `named`: where it is asked for by the protocol, or where projects
    /// are linked without it.
    pub(super) fn find(context: &Context, workspace: &Workspace, named: &Named) -> Option<Self> {
        let alias = named.alias.as_ref()?.as_str();
        let asked = named.specifier.as_deref();
        let protocol = asked.and_then(|text| text.strip_prefix("workspace:"));
        let (name, range) = match protocol {
            Some(rest) => match rest.rsplit_once('@') {
                Some((name, range)) if !name.is_empty() => (name, range),
                _ => (alias, rest),
            },
            None if context.config.graph.link_workspace_packages => (alias, asked.unwrap_or("")),
            None => return None,
        };
        let project = workspace.project(name)?;
        let version = project.manifest.version.as_deref();
        // Who says `workspace:` gets the project, whatever version it has.
        let fits = match (Range::parse(range), version.and_then(Version::parse)) {
            _ if protocol.is_some() => !range.starts_with(['.', '/']),
            (Some(range), Some(version)) => range.contains(&version),
            (None, Some(_)) => !range.contains(':'),
            (_, None) => false,
        };
        fits.then(|| Self {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            asked: asked.map(str::to_owned),
            has_protocol: protocol.is_some(),
        })
    }

    /// What is written for it.
    pub(super) fn specifier(
        &self,
        specifiers: &Specifiers<'_>,
        alias: &PackageName,
        previous: Option<&str>,
    ) -> String {
        let target = (&*self.name, self.version.as_deref());
        let written = specifiers.linked(alias, target, previous, self.asked.as_deref());
        let is_bare = !self.has_protocol && specifiers.protocol() == SaveWorkspaceProtocol::Off;
        match written.strip_prefix("workspace:") {
            Some(range) if is_bare => range.to_owned(),
            _ => written,
        }
    }
}

/// `--workspace` needs a workspace.
pub(in crate::cli) fn refuse_outside(context: &Context) -> Result<(), Failure> {
    match context.config.workspace_root {
        Some(_) => Ok(()),
        None => Err(Failure::new(
            "ERR_PNPM_WORKSPACE_OPTION_OUTSIDE_WORKSPACE",
            "--workspace can only be used inside a workspace",
            Some("a workspace has a pnpm-workspace.yaml at its root"),
        )),
    }
}

/// The specifier that links a project of the workspace by its name.
pub(super) fn of_workspace(
    context: &Context,
    workspace: &Workspace,
    text: &str,
) -> Result<String, Failure> {
    refuse_outside(context)?;
    let named = Named::parse(text);
    let name = named.alias.as_ref().map_or(text, |alias| alias.as_str());
    if workspace.project(name).is_none() {
        return Err(Failure::new(
            "ERR_PNPM_WORKSPACE_PACKAGE_NOT_FOUND",
            format!("\"{}\" is not in the workspace", escaped(text)),
            Some("leave out --workspace to have it from the registry"),
        ));
    }
    Ok(
        match text
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('@'))
        {
            Some(range) if !range.is_empty() => format!("{name}@workspace:{range}"),
            _ => format!("{name}@workspace:*"),
        },
    )
}
