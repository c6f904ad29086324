//! Tests of slots and changes, against a walk over the paths of both layers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::changes::changes;
use super::successor;
use crate::fs::image::{Image, LayerNode};
use crate::fs::layer::build;
use crate::fs::memory::LayoutSketch;
use crate::install::layout::{DirectoryIndex, LayoutEntry};
use crate::install::lockfile::ImporterId;
use crate::store::PackId;

const ROOT: DirectoryIndex = DirectoryIndex(0);

/// A project with these packages: name and the number of the pack, which is its version too.
fn project(packages: &BTreeMap<u8, u8>) -> Image {
    let mut sketch = LayoutSketch::new(ImporterId(None));
    for (name, pack) in packages {
        let path = format!(".pnpm/p{name}@{pack}/node_modules/p{name}");
        let pack = PackId([*pack; 32]);
        sketch.package(ROOT, &path, pack).unwrap();
        let link = LayoutEntry::Symlink(path.into());
        sketch.entry(ROOT, &format!("p{name}"), link).unwrap();
        // As a hoisted layout has it: the same path, whatever the version.
        sketch
            .package(ROOT, &format!("flat/p{name}"), pack)
            .unwrap();
    }
    let listed = format!("{packages:?}");
    let state = LayoutEntry::File {
        content: listed.as_bytes().into(),
        executable: false,
    };
    sketch.entry(ROOT, ".modules.yaml", state).unwrap();
    build(&sketch.into_layout()).unwrap()
}

/// What a node is, apart from its children.
fn facts(image: &Image, place: u32) -> String {
    match image.node(place).unwrap() {
        LayerNode::Directory { backing, .. } => {
            let backing = backing.map(|one| (one.instance.dep_path, one.instance.pack, one.path));
            format!("{backing:?}")
        }
        other => format!("{other:?}"),
    }
}

/// Every path with its slot and what it is, from the root down.
fn paths(image: &Image) -> BTreeMap<Vec<Vec<u8>>, (u32, Vec<String>)> {
    let mut found: BTreeMap<u32, (Vec<Vec<u8>>, Vec<String>)> = BTreeMap::new();
    for place in 0..image.node_count() {
        let (mut path, mut chain) = (Vec::new(), Vec::new());
        if place >= image.tree_count() {
            (path, chain) = found[&image.parent(place).unwrap()].clone();
            path.push(image.name(place).unwrap().to_vec());
            chain.push(facts(image, place));
        }
        found.insert(place, (path, chain));
    }
    let slotted = found.into_iter();
    slotted
        .map(|(place, (path, chain))| (path, (image.slot(place).unwrap(), chain)))
        .collect()
}

fn packages() -> impl Strategy<Value = BTreeMap<u8, u8>> {
    prop::collection::btree_map(0_u8..6, 0_u8..3, 0..6)
}

proptest! {
    #[test]
    fn what_is_unchanged_keeps_its_number_and_what_is_new_has_a_fresh_one(
        versions in prop::collection::vec(packages(), 2..6),
    ) {
        let mut previous = project(&versions[0]);
        let slots = paths(&previous).into_values().map(|(slot, _)| slot);
        let mut used: BTreeSet<u32> = slots.collect();
        for version in &versions[1..] {
            let new = successor(&project(version), &previous, false).unwrap();
            let reopened = Image::open(new.as_bytes().to_vec()).unwrap();
            prop_assert_eq!(reopened.digest(), new.digest());
            let (before, after) = (paths(&previous), paths(&new));
            let mut changed = BTreeSet::new();
            let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for path in all {
                match (before.get(path), after.get(path)) {
                    (Some(old), Some(now)) if old.1 == now.1 => prop_assert_eq!(old.0, now.0),
                    (_, now) => {
                        if let Some((slot, _)) = now {
                            prop_assert!(used.insert(*slot), "{:?} was another's", path);
                        }
                        let parent = &path[..path.len() - 1];
                        // Below a name that changed nothing is known any more.
                        let (old, now) = (before.get(parent), after.get(parent));
                        if old.map(|old| old.0) == now.map(|now| now.0) {
                            changed.insert((now.unwrap().0, path[path.len() - 1].clone()));
                        }
                    }
                }
            }
            let told = changes(&new, &previous).into_iter();
            let told: BTreeSet<_> = told.map(|one| (one.directory, one.name)).collect();
            prop_assert_eq!(told, changed);
            previous = new;
        }
    }
}

/// Slot of each depPath's instance and of its pack.
fn slots(image: &Image) -> BTreeMap<Vec<u8>, (u32, u32)> {
    let instances = (0..image.instance_count()).map(|place| image.instance(place).unwrap());
    instances
        .map(|instance| {
            assert_eq!(image.instance_by_slot(instance.slot), Some(instance));
            assert_eq!(image.pack_by_slot(instance.pack_slot), Some(instance.pack));
            let slots = (instance.slot, instance.pack_slot);
            (instance.dep_path.to_vec(), slots)
        })
        .collect()
}

#[test]
fn unchanged_instances_keep_their_slots_and_new_ones_get_fresh_ones() {
    let of = |packages: &[u8]| project(&packages.iter().map(|name| (*name, *name)).collect());
    let first = of(&[1, 2, 3]);
    let second = successor(&of(&[9, 3, 1]), &first, false).unwrap();
    let (before, after) = (slots(&first), slots(&second));
    for kept in ["flat/p1", "flat/p3"] {
        assert_eq!(before[kept.as_bytes()], after[kept.as_bytes()]);
    }
    assert_eq!(after[&b"flat/p9"[..]], (7, 3));
    let third = successor(&of(&[2]), &second, false).unwrap();
    assert_eq!(slots(&third)[&b"flat/p2"[..]], (9, 4));
}

#[test]
fn layers_with_other_trees_are_no_successors() {
    let mut sketch = LayoutSketch::new(ImporterId(None));
    sketch.add_tree(ImporterId(None));
    let two = build(&sketch.into_layout()).unwrap();
    let one = project(&BTreeMap::new());
    assert!(successor(&two, &one, false).is_err());
    assert!(successor(&one, &two, false).is_err());
}
