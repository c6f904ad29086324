//! What `.modules.yaml`, the state file of an install, says of the tree beside it.

use std::path::Path;

use serde::Deserialize;

use super::context::Context;
use super::serving::modules_of;
use crate::fs::image::{Image, LayerNode};
use crate::install::locked::Groups;

/// The state file of an install, in the root's `node_modules`.
const MODULES_STATE: &str = ".modules.yaml";

/// What is read of it.
#[derive(Default, Deserialize)]
struct Recorded {
    #[serde(default, rename = "ignoredBuilds")]
    ignored_builds: Vec<Box<str>>,
    #[serde(default)]
    included: Option<Included>,
}

/// The groups of dependencies that were installed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Included {
    dependencies: bool,
    dev_dependencies: bool,
    optional_dependencies: bool,
}

/// The groups that are installed; `None` where nothing is.
pub(super) fn groups(context: &Context) -> Option<Groups> {
    let included = parse(&read(&modules_of(context, "."))).included?;
    Some(Groups {
        production: included.dependencies,
        development: included.dev_dependencies,
        optional: included.optional_dependencies,
    })
}

/// The packages with ignored scripts.
pub(super) fn ignored_builds(modules: &Path) -> Vec<Box<str>> {
    parse(&read(modules)).ignored_builds
}

/// The same of the first tree of `image`: who has just mounted it need not ask its server.
pub(super) fn ignored_builds_in(image: &Image) -> Vec<Box<str>> {
    let state = image.child(0, MODULES_STATE.as_bytes());
    match state.and_then(|node| image.node(node)) {
        Some(LayerNode::File { content, .. }) => parse(content).ignored_builds,
        _ => Vec::new(),
    }
}

fn read(modules: &Path) -> Vec<u8> {
    std::fs::read(modules.join(MODULES_STATE)).unwrap_or_default()
}

fn parse(state: &[u8]) -> Recorded {
    serde_json::from_slice(state).unwrap_or_default()
}
