//! The trees of an image that show no package content: the `node_modules` of a workspace's
//! projects.

use super::image::{Image, LayerNode};
use crate::install::real::links::{LinkDirectory, LinkEntry};
use crate::name::EntryName;

/// What is below the directory `node` of `image`, where that is only links and generated files;
/// `None` where something of a package shows through.
pub fn links_of(image: &Image, node: u32) -> Option<LinkDirectory> {
    let LayerNode::Directory {
        first,
        count,
        backing: None,
    } = image.node(node)?
    else {
        return None;
    };
    // What is in a directory comes after it.
    if first <= node && count > 0 {
        return None;
    }
    let mut directory = LinkDirectory::default();
    for child in first..first.checked_add(count)? {
        let name = std::str::from_utf8(image.name(child)?).ok()?;
        let entry = match image.node(child)? {
            LayerNode::Directory { .. } => LinkEntry::Directory(links_of(image, child)?),
            LayerNode::Symlink(target) => {
                LinkEntry::Symlink(std::str::from_utf8(target).ok()?.into())
            }
            LayerNode::File {
                content,
                executable,
            } => LinkEntry::File {
                content: content.into(),
                executable,
            },
        };
        let name = EntryName::new(name).ok()?;
        directory.entries.insert(name, entry);
    }
    Some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::layer;
    use crate::fs::memory::LayoutSketch;
    use crate::install::layout::{DirectoryIndex, LayoutEntry};
    use crate::install::lockfile::ImporterId;
    use crate::store::PackId;

    const ROOT: DirectoryIndex = DirectoryIndex(0);

    fn sketch() -> LayoutSketch {
        let mut sketch = LayoutSketch::new(ImporterId(None));
        let link = LayoutEntry::Symlink("../x/a".into());
        sketch.entry(ROOT, "a", link).unwrap();
        let shim = LayoutEntry::File {
            content: (*b"#!/bin/sh\n").into(),
            executable: true,
        };
        sketch.entry(ROOT, ".bin/a", shim).unwrap();
        sketch
    }

    #[test]
    fn a_tree_of_links_comes_out_of_the_image_as_it_was() {
        let image = layer::build(&sketch().into_layout()).unwrap();
        let links = links_of(&image, 0).unwrap();
        let get = |directory: &LinkDirectory, name: &str| {
            directory
                .entries
                .get(&EntryName::new(name).unwrap())
                .cloned()
        };
        assert_eq!(get(&links, "a"), Some(LinkEntry::Symlink("../x/a".into())));
        let Some(LinkEntry::Directory(bins)) = get(&links, ".bin") else {
            panic!("no directory");
        };
        let shim = LinkEntry::File {
            content: (*b"#!/bin/sh\n").into(),
            executable: true,
        };
        assert_eq!(get(&bins, "a"), Some(shim));
        assert_eq!((links.entries.len(), bins.entries.len()), (2, 1));
    }

    #[test]
    fn a_tree_with_package_content_is_none_of_links() {
        let mut sketch = sketch();
        sketch.package(ROOT, "p", PackId([1; 32])).unwrap();
        let image = layer::build(&sketch.into_layout()).unwrap();
        assert_eq!(links_of(&image, 0), None);
        assert_eq!(links_of(&image, u32::MAX), None);
    }
}
