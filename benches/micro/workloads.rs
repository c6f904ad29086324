//! What is measured: pack reading and look-up, unpacking and hashing, lockfiles, layouts.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

use pacquet::install::layout::{
    IncludedGroups, InstalledPackage, LayoutInput, LayoutSettings, NodeLinker, build_layout,
};
use pacquet::install::lockfile::{DepPath, Lockfile, read_lockfile, write_lockfile};
use pacquet::store::{
    Access, IngestOptions, PackId, PackageFacts, PackageKey, PackageRecord, Packed, Store,
};
use pacquet_test_registry::Package;
use pacquet_test_registry::generate::Random;

/// The lockfile of the standard project: 1,343 packages.
const LOCKFILE: &str = include_str!("../fixtures/alotta-files/pnpm-lock.yaml");

/// Files of the package that is packed and read.
const FILES: usize = 500;

/// Something to do again and again.
pub(crate) type Run = Box<dyn FnMut()>;

/// A named piece of work.
pub(crate) struct Workload {
    /// Its name in the tables.
    pub(crate) name: &'static str,
    prepare: fn() -> Run,
}

impl std::fmt::Display for Workload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

impl Workload {
    /// Makes what it needs, outside any measurement.
    pub(crate) fn prepare(&self) -> Run {
        (self.prepare)()
    }
}

/// All of them.
pub(crate) const WORKLOADS: [Workload; 10] = [
    Workload {
        name: "unpack-and-hash",
        prepare: unpack,
    },
    Workload {
        name: "pack-open",
        prepare: pack_open,
    },
    Workload {
        name: "pack-look-up",
        prepare: pack_look_up,
    },
    Workload {
        name: "pack-read",
        prepare: pack_read,
    },
    Workload {
        name: "pack-verify",
        prepare: pack_verify,
    },
    Workload {
        name: "index-look-up",
        prepare: index_look_up,
    },
    Workload {
        name: "lockfile-read",
        prepare: lockfile_read,
    },
    Workload {
        name: "lockfile-write",
        prepare: lockfile_write,
    },
    Workload {
        name: "layout-isolated",
        prepare: || layout(NodeLinker::Isolated),
    },
    Workload {
        name: "layout-hoisted",
        prepare: || layout(NodeLinker::Hoisted),
    },
];

fn archive() -> Vec<u8> {
    let mut random = Random::new(1);
    let mut package = Package::new("measured", "1.0.0");
    for number in 0..FILES {
        let folder = ["", "lib/", "dist/", "dist/esm/deep/"][random.below(4)];
        let length = random.below(8_000);
        package = package.file(&format!("{folder}file-{number}.js"), random.bytes(length));
    }
    package.build().tarball
}

fn key(number: usize) -> PackageKey {
    PackageKey::new("sha512-A", &format!("measured@{number}.0.0"), None)
}

/// A store in a folder of its own, and one package in it.
fn store() -> (tempfile::TempDir, Store, Packed) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path(), Access::ReadWrite).expect("a store");
    let packed = store
        .ingest_tarball(archive(), &IngestOptions::new(key(0)))
        .expect("a good archive");
    store
        .commit(std::slice::from_ref(&packed))
        .expect("the index can be written");
    (folder, store, packed)
}

fn unpack() -> Run {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path(), Access::ReadWrite).expect("a store");
    let archive = archive();
    Box::new(move || {
        let _ = &folder;
        let options = IngestOptions::new(key(0));
        black_box(store.ingest_tarball(archive.clone(), &options).is_ok());
    })
}

fn pack_open() -> Run {
    let (folder, store, packed) = store();
    Box::new(move || {
        let _ = &folder;
        black_box(store.open_pack(&packed.record.pack).is_ok());
    })
}

/// Calls `work` with an open pack and the numbers of its files.
fn with_pack(work: impl Fn(&pacquet::store::Pack, &[u32]) + 'static) -> Run {
    let (folder, store, packed) = store();
    let pack = store.open_pack(&packed.record.pack).expect("a good pack");
    let files: Vec<u32> = (0..pack.table().len())
        .filter(|number| pack.read_file(*number).is_ok())
        .collect();
    Box::new(move || {
        let _ = (&folder, &store);
        work(&pack, &files);
    })
}

fn pack_look_up() -> Run {
    with_pack(|pack, files| {
        for number in files {
            let table = pack.table();
            let (Some(parent), Some(name)) = (table.parent(*number), table.name(*number)) else {
                continue;
            };
            black_box(table.lookup(parent, name.as_bytes()));
            black_box(table.lookup(parent, b"not-there.js"));
        }
    })
}

fn pack_read() -> Run {
    with_pack(|pack, files| {
        for number in files {
            black_box(pack.read_file(*number).is_ok());
        }
    })
}

fn pack_verify() -> Run {
    with_pack(|pack, files| {
        for number in files {
            black_box(pack.verify_file(*number).is_ok());
        }
    })
}

fn index_look_up() -> Run {
    let (folder, store, packed) = store();
    let many: Vec<Packed> = (0..1_000)
        .map(|number| Packed {
            key: key(number),
            ..packed.clone()
        })
        .collect();
    store.commit(&many).expect("the index can be written");
    let keys: Vec<PackageKey> = (0..1_500).map(key).collect();
    Box::new(move || {
        let _ = &folder;
        black_box(store.lookup_many(&keys).is_ok());
    })
}

fn lockfile() -> Lockfile {
    read_lockfile(LOCKFILE).expect("the fixture's lockfile is good")
}

fn lockfile_read() -> Run {
    Box::new(|| {
        black_box(read_lockfile(LOCKFILE).is_ok());
    })
}

fn lockfile_write() -> Run {
    let lockfile = lockfile();
    Box::new(move || {
        black_box(write_lockfile(&lockfile));
    })
}

fn layout(node_linker: NodeLinker) -> Run {
    let lockfile = lockfile();
    let record = PackageRecord {
        pack: PackId([0; 32]),
        facts: PackageFacts::default(),
    };
    let installed: HashMap<DepPath, InstalledPackage> = lockfile
        .snapshots
        .keys()
        .map(|dep_path| {
            let key = PackageKey::new("sha512-A", dep_path.as_str(), None);
            let record = record.clone();
            (dep_path.clone(), InstalledPackage { key, record })
        })
        .collect();
    let settings = LayoutSettings {
        node_linker,
        ..LayoutSettings::default()
    };
    let manifests = BTreeMap::new();
    Box::new(move || {
        let input = LayoutInput {
            lockfile: &lockfile,
            installed: &installed,
            included: IncludedGroups::ALL,
            manifests: &manifests,
            settings: &settings,
        };
        black_box(build_layout(&input).is_ok());
    })
}
