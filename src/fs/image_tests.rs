//! Tests of the image, its builder and the file system over it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::attributes::{Kind, Owner};
use super::image::{Image, ImageError, LayerNode};
use super::layer::build;
use super::lower::Lower;
use super::memory::{LayoutSketch, MemoryPackages};
use super::node::Node;
use super::package::{CacheLimits, PackageCache};
use super::vfs_error::VfsError;
use crate::install::layout::{DirectoryIndex, Layout, LayoutEntry};
use crate::install::lockfile::ImporterId;
use crate::store::PackId;

const ROOT: DirectoryIndex = DirectoryIndex(0);

fn tree_of(image: Arc<Image>, packages: PackageCache) -> Lower {
    Lower::new(image, Arc::new(packages), Owner { uid: 0, gid: 0 })
}

fn pack(number: u8) -> PackId {
    PackId([number; 32])
}

fn file(content: &str) -> LayoutEntry {
    LayoutEntry::File {
        content: content.as_bytes().into(),
        executable: false,
    }
}

fn sample(packs: &[u8]) -> Layout {
    let mut sketch = LayoutSketch::new(ImporterId(None));
    for number in packs {
        let path = format!(".pnpm/p{number}/node_modules/p{number}");
        sketch.package(ROOT, &path, pack(*number)).unwrap();
        let link = LayoutEntry::Symlink(path.into());
        sketch.entry(ROOT, &format!("p{number}"), link).unwrap();
    }
    sketch.entry(ROOT, ".modules.yaml", file("x")).unwrap();
    sketch.into_layout()
}

#[test]
fn an_image_comes_back_from_its_bytes() {
    let image = build(&sample(&[1, 2])).unwrap();
    let again = Image::open(image.as_bytes().to_vec()).unwrap();
    assert_eq!(again.digest(), image.digest());
    let link = again.child(0, b"p1").unwrap();
    let target: &[u8] = b".pnpm/p1/node_modules/p1";
    assert_eq!(again.node(link), Some(LayerNode::Symlink(target)));
    assert_eq!(again.child(0, b"p"), None);
    assert_eq!(again.child(link, b"p1"), None);
    assert_eq!(again.node(again.node_count()), None);
}

#[test]
fn an_image_is_saved_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer");
    let image = build(&sample(&[1])).unwrap();
    assert!(matches!(Image::load(&path), Err(ImageError::Io { .. })));
    image.save(&path).unwrap();
    assert_eq!(Image::load(&path).unwrap().digest(), image.digest());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let nowhere = directory.path().join("absent/layer");
    assert!(matches!(image.save(&nowhere), Err(ImageError::Io { .. })));
}

/// Slot of each depPath.
fn slots(image: &Image) -> BTreeMap<Vec<u8>, (u32, u32)> {
    let instances = (0..image.instance_count()).map(|index| image.instance(index).unwrap());
    instances
        .map(|instance| {
            let slots = (instance.slot, instance.pack_slot);
            assert_eq!(image.instance_by_slot(instance.slot), Some(instance));
            assert_eq!(image.pack_by_slot(instance.pack_slot), Some(instance.pack));
            (instance.dep_path.to_vec(), slots)
        })
        .collect()
}

#[test]
fn layouts_that_are_no_tree_are_refused() {
    let mut twice = sample(&[1]);
    let name = crate::name::EntryName::new("again").unwrap();
    let again = LayoutEntry::Directory(DirectoryIndex(1));
    twice.directories[0].entries.insert(name.clone(), again);
    let mut cycle = sample(&[1]);
    let root = LayoutEntry::Directory(ROOT);
    cycle.directories[1].entries.insert(name.clone(), root);
    let mut nowhere = sample(&[1]);
    let absent = LayoutEntry::Directory(DirectoryIndex(99));
    nowhere.directories[0].entries.insert(name.clone(), absent);
    let mut unknown = sample(&[1]);
    unknown.instances.clear();
    let mut no_tree = sample(&[1]);
    no_tree.trees.clear();
    let mut targets = vec![twice, cycle, nowhere, unknown, no_tree];
    for target in ["", "a\0b", &"x".repeat(4096)] {
        let mut layout = sample(&[1]);
        let link = LayoutEntry::Symlink(target.into());
        layout.directories[0].entries.insert(name.clone(), link);
        targets.push(layout);
    }
    for layout in targets {
        assert!(matches!(build(&layout), Err(ImageError::Layout(_))));
    }
}

/// The bytes with a digest that fits, so that only the structure can be wrong.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len().saturating_sub(32);
    bytes.truncate(body);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// Asks everything of an image that was opened.
fn exercise(image: &Image) {
    for node in 0..image.node_count() {
        assert!(image.node(node).is_some());
        assert!(image.name(node).is_some());
        let slot = image.slot(node).unwrap();
        assert_eq!(image.place(slot), Some(node));
        assert!(image.parent(node).is_some_and(|parent| parent <= node));
        if let Some(LayerNode::Directory { first, count, .. }) = image.node(node) {
            for child in first..first + count {
                assert_eq!(image.child(node, image.name(child).unwrap()), Some(child));
                assert_eq!(image.parent(child), Some(node));
            }
        }
    }
    slots(image);
}

#[test]
fn images_that_are_cut_or_of_another_version_are_refused() {
    let whole = build(&sample(&[1, 2])).unwrap().as_bytes().to_vec();
    for length in 0..whole.len() {
        assert!(Image::open(whole[..length].to_vec()).is_err());
        assert!(Image::open(resealed(whole[..length].to_vec())).is_err());
    }
    let mut newer = whole.clone();
    newer[8] = 3;
    assert!(matches!(
        Image::open(resealed(newer)),
        Err(ImageError::Version(3))
    ));
    let mut longer = whole;
    longer.push(0);
    assert!(Image::open(resealed(longer)).is_err());
    assert!(Image::open(vec![0xff; 4096]).is_err());
}

proptest! {
    #[test]
    fn a_changed_byte_is_always_seen(at in 0_usize..10_000, bit in 0_u8..8) {
        let mut bytes = build(&sample(&[1, 2])).unwrap().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(Image::open(bytes).is_err());
    }

    #[test]
    fn no_bytes_make_an_open_image_misbehave(
        changes in prop::collection::vec((0_usize..10_000, any::<u8>()), 1..6),
    ) {
        let mut bytes = build(&sample(&[1, 2])).unwrap().as_bytes().to_vec();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Ok(image) = Image::open(resealed(bytes)) {
            exercise(&image);
        }
    }
}

/// What a path shows: `None` for a directory.
type Model = BTreeMap<String, Option<Vec<u8>>>;

fn remember(model: &mut Model, path: &str, content: &[u8]) {
    for (at, _) in path.match_indices('/') {
        model.insert(path[..at].to_owned(), None);
    }
    model.insert(path.to_owned(), Some(content.to_vec()));
}

/// Walks the tree from the root, through cookies in steps of `step` entries.
fn walk(tree: &Lower, step: usize) -> Model {
    let mut found = Model::new();
    let mut queue = vec![(Node::Layer(0), String::new())];
    while let Some((directory, path)) = queue.pop() {
        let mut cookie = 2;
        loop {
            let mut taken = Vec::new();
            tree.read_directory(directory, cookie, &mut |entry| {
                if taken.len() == step {
                    return ControlFlow::Break(());
                }
                let name = String::from_utf8(entry.name.to_vec()).unwrap();
                taken.push((name, entry.cookie, entry.attributes));
                ControlFlow::Continue(())
            })
            .unwrap();
            let Some((_, last, _)) = taken.last() else {
                break;
            };
            cookie = *last;
            for (name, _, attributes) in taken {
                let looked = tree.lookup(directory, name.as_bytes()).unwrap();
                assert_eq!(looked, Some(attributes));
                assert_eq!(tree.attributes(attributes.node).unwrap(), attributes);
                assert_eq!(
                    Node::from_id(attributes.node.to_id(0), 0),
                    Some(attributes.node)
                );
                let path = format!("{path}{name}");
                let content = (attributes.kind == Kind::File).then(|| {
                    let mut content = Vec::new();
                    tree.read(attributes.node, 0, u32::MAX, &mut content)
                        .unwrap();
                    assert_eq!(content.len() as u64, attributes.size);
                    content
                });
                if content.is_none() {
                    queue.push((attributes.node, format!("{path}/")));
                }
                assert_eq!(found.insert(path, content), None);
            }
        }
    }
    found
}

/// A file path of up to three components from few names, so that paths meet.
fn paths() -> impl Strategy<Value = Vec<String>> {
    let path = prop::collection::vec("[abc]", 0..3)
        .prop_map(|directories| {
            directories.join("d/") + if directories.is_empty() { "" } else { "d/" }
        })
        .prop_flat_map(|directory| "[xyz]".prop_map(move |name| format!("{directory}{name}")));
    prop::collection::vec(path, 0..12)
}

proptest! {
    #[test]
    fn the_file_system_shows_the_layer_over_the_package(
        below in paths(),
        above in paths(),
        step in 1_usize..5,
    ) {
        let mut packages = MemoryPackages::default();
        let files: Vec<(&str, &[u8], bool)> = below
            .iter()
            .map(|path| (path.as_str(), path.as_bytes(), false))
            .collect();
        packages.add(pack(1), &files);
        let mut model = Model::from([("p".to_owned(), None)]);
        for path in &below {
            remember(&mut model, &format!("p/{path}"), path.as_bytes());
        }
        let mut sketch = LayoutSketch::new(ImporterId(None));
        let instance = sketch.package(ROOT, "p", pack(1)).unwrap();
        for path in &above {
            let path = format!("p/{path}");
            for (at, _) in path.match_indices('/').skip(1) {
                sketch.back(ROOT, &path[..at], instance, Some(&path[2..at])).unwrap();
            }
            sketch.entry(ROOT, &path, file("upper")).unwrap();
            remember(&mut model, &path, b"upper");
        }
        let image = Arc::new(build(&sketch.into_layout()).unwrap());
        let cache = PackageCache::new(Box::new(packages), CacheLimits::default());
        prop_assert_eq!(walk(&tree_of(image, cache), step), model);
    }
}

#[test]
fn odd_questions_get_answers_and_no_panic() {
    let mut packages = MemoryPackages::default();
    packages.add(pack(1), &[("d/f", b"0123", true)]);
    let image = Arc::new(build(&sample(&[1, 2])).unwrap());
    let cache = PackageCache::new(Box::new(packages), CacheLimits::default());
    let tree = tree_of(image, cache);
    let mut buffer = Vec::new();
    let file = Node::File { slot: 0, file: 0 };
    for (offset, size, expected) in [
        (0, 0, &b""[..]),
        (0, 4, b"0123"),
        (3, u32::MAX, b"3"),
        (4, 1, b""),
        (1 << 63, 1, b""),
        (u64::MAX, u32::MAX, b""),
    ] {
        tree.read(file, offset, size, &mut buffer).unwrap();
        assert_eq!(buffer, expected);
    }
    for node in [
        Node::Layer(u32::MAX),
        Node::Directory {
            slot: 77,
            directory: 0,
        },
        Node::Directory {
            slot: 0,
            directory: 9,
        },
        Node::File { slot: 77, file: 0 },
        Node::File { slot: 0, file: 9 },
    ] {
        assert!(
            matches!(tree.attributes(node), Err(VfsError::Stale)),
            "{node:?}"
        );
    }
    assert!(matches!(
        tree.lookup(file, b"x"),
        Err(VfsError::NotDirectory)
    ));
    assert!(matches!(tree.read_link(file), Err(VfsError::NotSymlink)));
    let long = [b'x'; 256];
    assert!(matches!(
        tree.lookup(Node::Layer(0), &long),
        Err(VfsError::NameTooLong)
    ));
    let root = tree.read(Node::Layer(0), 0, 1, &mut buffer);
    assert!(matches!(root, Err(VfsError::IsDirectory)));
    let missing = Node::File { slot: 1, file: 0 };
    assert!(matches!(tree.attributes(missing), Err(VfsError::Pack(_))));
    for cookie in [3, 99, 1 << 32, u64::MAX] {
        let directory = Node::Directory {
            slot: 0,
            directory: 1,
        };
        let mut shown = 0;
        tree.read_directory(directory, cookie, &mut |_| {
            shown += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(shown, 0, "{cookie}");
    }
}
