//! Gives the nodes of a new layer the slots that the same nodes had in the layer before.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::fs::image::{
    DIGEST_BYTES, FLAG_CLEARS, FLAGS_AT, HEADER_BYTES, INSTANCE_BYTES, Image, ImageError,
    LayerNode, NODE_BYTES, NODE_SLOT_AT, PACK_BYTES, PACK_SLOT_AT, Slots,
};
use crate::fs::node::INDEX_LIMIT;
use crate::store::PackId;

/// No more slots are given out when this many of them are used up: the layer is mounted anew then.
const SLOT_LIMIT: u32 = INDEX_LIMIT / 2;

/// Where the first of the three next slots is in the header.
const NEXT_SLOTS_AT: usize = 40;

/// `new`, with the slots of what it has in common with `previous`: packs, instances (depPath, key
/// and pack), and the nodes that are at the same path, on which only directories with the same
/// backing lead, and that are the same themselves. All others get slots that `previous` and the
/// layers before it did not have. Where it `clears`, what went is out of reach.
///
/// # Errors
/// When the trees are others, or the numbers are used up.
pub(in crate::fs) fn successor(
    new: &Image,
    previous: &Image,
    clears: bool,
) -> Result<Image, ImageError> {
    if new.tree_count() != previous.tree_count() {
        return Err(ImageError::Layout("it has other trees"));
    }
    let mut next = previous.next_slots();
    let packs = pack_slots(new, previous, &mut next);
    let instances = instance_slots(new, previous, &mut next);
    let nodes = node_slots(new, previous, &instances, &mut next);
    if next.pack > SLOT_LIMIT || next.instance > SLOT_LIMIT || next.node == u32::MAX {
        return Err(ImageError::Layout("the numbers of its nodes are used up"));
    }
    let mut bytes = new.as_bytes().to_vec();
    let tables = new.tables();
    let columns = [
        (HEADER_BYTES + NODE_SLOT_AT, NODE_BYTES, nodes),
        (tables.instances, INSTANCE_BYTES, instances),
        (tables.packs + PACK_SLOT_AT, PACK_BYTES, packs),
        (NEXT_SLOTS_AT, 4, vec![next.instance, next.pack, next.node]),
        (FLAGS_AT, 4, vec![u32::from(clears) * FLAG_CLEARS]),
    ];
    for (first, width, slots) in columns {
        for (place, slot) in slots.into_iter().enumerate() {
            let at = first + place * width;
            bytes[at..at + 4].copy_from_slice(&slot.to_le_bytes());
        }
    }
    let end = bytes.len() - DIGEST_BYTES;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    Image::open_built(bytes)
}

fn take(next: &mut u32) -> u32 {
    let slot = *next;
    *next = next.saturating_add(1);
    slot
}

fn pack_slots(new: &Image, previous: &Image, next: &mut Slots) -> Vec<u32> {
    let known = (0..previous.pack_count()).filter_map(|place| previous.pack(place));
    let known: HashMap<PackId, u32> = known.collect();
    let packs = (0..new.pack_count()).filter_map(|place| new.pack(place));
    packs
        .map(|(id, _)| {
            known
                .get(&id)
                .copied()
                .unwrap_or_else(|| take(&mut next.pack))
        })
        .collect()
}

/// What makes two instances the same: depPath, key, pack.
type Identity<'a> = (&'a [u8], &'a [u8], PackId);

fn instance_slots(new: &Image, previous: &Image, next: &mut Slots) -> Vec<u32> {
    let mut known: HashMap<Identity<'_>, Vec<u32>> = HashMap::new();
    for place in (0..previous.instance_count()).rev() {
        if let Some(instance) = previous.instance(place) {
            let identity = (instance.dep_path, instance.key, instance.pack);
            known.entry(identity).or_default().push(instance.slot);
        }
    }
    let instances = (0..new.instance_count()).filter_map(|place| new.instance(place));
    instances
        .map(|instance| {
            let identity = (instance.dep_path, instance.key, instance.pack);
            let slot = known.get_mut(&identity).and_then(Vec::pop);
            slot.unwrap_or_else(|| take(&mut next.instance))
        })
        .collect()
}

fn node_slots(new: &Image, previous: &Image, instances: &[u32], next: &mut Slots) -> Vec<u32> {
    let count = new.node_count();
    let mut slots = Vec::with_capacity(count as usize);
    // The place that each node has in the previous layer. Parents come before their children.
    let mut counterparts: Vec<Option<u32>> = Vec::with_capacity(count as usize);
    for place in 0..count {
        let counterpart = if place < new.tree_count() {
            Some(place)
        } else {
            new.parent(place)
                .and_then(|parent| *counterparts.get(parent as usize)?)
                .and_then(|parent| previous.child(parent, new.name(place)?))
                .filter(|before| is_same((new, place), (previous, *before), instances))
        };
        let slot = counterpart.and_then(|place| previous.slot(place));
        slots.push(slot.unwrap_or_else(|| take(&mut next.node)));
        counterparts.push(counterpart);
    }
    slots
}

/// Whether two nodes are the same. `instances` are the slots that the instances of the new layer
/// have in the order of their places.
fn is_same(
    (new, place): (&Image, u32),
    (previous, before): (&Image, u32),
    instances: &[u32],
) -> bool {
    match (new.node(place), previous.node(before)) {
        (
            Some(LayerNode::Directory { backing: after, .. }),
            Some(LayerNode::Directory {
                backing: before, ..
            }),
        ) => match (after, before) {
            (None, None) => true,
            (Some(after), Some(before)) => {
                // Where the new layer was built alone, its slots are its places.
                let slot = instances.get(after.instance.slot as usize);
                slot == Some(&before.instance.slot) && after.path == before.path
            }
            _ => false,
        },
        (Some(after), Some(before)) => after == before,
        _ => false,
    }
}
