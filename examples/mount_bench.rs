//! Measures mounting: `mount_bench build <tarballs> <store> <layer>` makes a store and a layer of
//! the tarballs that `<tarballs>/integrity.tsv` lists; `mount_bench mount <store> <layer>
//! <mountpoint> [threads]` mounts it in the background; `mount_bench status` tells of all mounts;
//! `mount_bench unmount <mountpoint>`; `mount_bench write <store> <layer> <directory>` writes the
//! same tree as real files.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pacquet::fs::control::RunDirectory;
use pacquet::fs::image::Image;
use pacquet::fs::kernel::Access as MountAccess;
use pacquet::fs::memory::LayoutSketch;
use pacquet::fs::mount::{
    MountPlan, RealFiles, ServerCommand, UnmountRequest, mount, run_server, status, unmount,
};
use pacquet::fs::node::Node;
use pacquet::fs::package::{CacheLimits, PackageCache};
use pacquet::fs::server::Service;
use pacquet::fs::stored::StoredPackages;
use pacquet::fs::vfs::{Kind, Vfs};
use pacquet::install::layout::{DirectoryIndex, LayoutEntry};
use pacquet::install::lockfile::ImporterId;
use pacquet::store::{Access, IngestOptions, Integrity, PackageKey, Store, StoreError};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let path = |index: usize| PathBuf::from(&args[index]);
    match args[0].to_str().unwrap() {
        "build" => build(&path(1), &path(2), &path(3)),
        "mount" => {
            let threads = args
                .get(4)
                .map_or(2, |arg| arg.to_str().unwrap().parse().unwrap());
            start(&path(1), &path(2), &path(3), threads)
        }
        "serve" => Ok(run_server(args[1..].to_vec(), |arguments| {
            let store = Store::open(&arguments.store, Access::ReadOnly)?;
            Ok::<_, StoreError>(Service {
                packages: Box::new(StoredPackages::new(Arc::new(store))),
                cache_limits: CacheLimits::default(),
                settle: Box::new(|| ()),
            })
        })?),
        "status" => {
            for mount in status(&RunDirectory::of_user()?)? {
                println!("{mount:#?}");
            }
            Ok(())
        }
        "unmount" => Ok(unmount(
            &path(1),
            &RunDirectory::of_user()?,
            UnmountRequest::Strict,
        )?),
        "write" => write(&path(1), &path(2), &path(3)),
        other => Err(other.into()),
    }
}

fn build(tarballs: &Path, store: &Path, layer: &Path) -> Result<(), Box<dyn Error>> {
    let store = Store::open(store, Access::ReadWrite)?;
    let root = DirectoryIndex(0);
    let mut sketch = LayoutSketch::new(ImporterId(None));
    let mut packed = Vec::new();
    for line in fs::read_to_string(tarballs.join("integrity.tsv"))?.lines() {
        let (id, integrity) = line.split_once('\t').unwrap();
        let file = tarballs.join(format!("{}.tgz", id.replace('/', "+")));
        let bytes = bytes::Bytes::from(fs::read(file)?);
        let integrity_checked = Integrity::parse(integrity)?;
        let mut options = IngestOptions::new(PackageKey::new(integrity, id, None));
        options.integrity = Some(&integrity_checked);
        let package = store.ingest_tarball(bytes, &options)?;
        let (name, _) = id.rsplit_once('@').unwrap();
        let directory = format!(".pnpm/{}/node_modules/{name}", id.replace('/', "+"));
        let depth = if name.contains('/') { "../" } else { "" };
        let target = format!("{depth}{directory}");
        sketch.package(root, &directory, package.record.pack)?;
        sketch.entry(root, name, LayoutEntry::Symlink(target.into()))?;
        packed.push(package);
    }
    store.commit(&packed)?;
    let layout = sketch.into_layout();
    let before = Instant::now();
    let image = pacquet::fs::layer::build(&layout, None)?;
    println!(
        "layer of {} nodes built in {:?}",
        image.node_count(),
        before.elapsed()
    );
    let before = Instant::now();
    pacquet::fs::layer::build(&layout, Some(&image))?;
    println!("built again with its slots in {:?}", before.elapsed());
    let before = Instant::now();
    image.save(layer)?;
    println!("saved in {:?}", before.elapsed());
    let before = Instant::now();
    Image::load(layer)?;
    println!(
        "{} bytes loaded in {:?}",
        image.as_bytes().len(),
        before.elapsed()
    );
    Ok(())
}

fn start(
    store: &Path,
    layer: &Path,
    mountpoint: &Path,
    threads: usize,
) -> Result<(), Box<dyn Error>> {
    let before = Instant::now();
    let plan = MountPlan {
        layer: fs::canonicalize(layer)?,
        layer_digest: Image::load(layer)?.digest_text(),
        store: fs::canonicalize(store)?,
        project: fs::canonicalize(mountpoint.parent().unwrap())?,
        mounts: vec![(0, mountpoint.to_owned())],
        access: MountAccess::Owner,
        threads,
        real_files: RealFiles::Refuse,
    };
    let command = ServerCommand {
        program: "/proc/self/exe".into(),
        leading_args: vec!["serve".into()],
    };
    let outcome = mount(&plan, &RunDirectory::of_user()?, &command)?;
    let ready = before.elapsed();
    fs::metadata(mountpoint)?;
    println!("{outcome:?} in {ready:?}");
    Ok(())
}

fn write(store: &Path, layer: &Path, directory: &Path) -> Result<(), Box<dyn Error>> {
    let store = Store::open(store, Access::ReadOnly)?;
    let packages = StoredPackages::new(Arc::new(store));
    let cache = PackageCache::new(Box::new(packages), CacheLimits::default());
    let vfs = Vfs::new(Arc::new(Image::load(layer)?), cache);
    let mut queue = vec![(Node::Layer(0), directory.to_owned())];
    while let Some((node, path)) = queue.pop() {
        fs::create_dir_all(&path)?;
        let mut entries = Vec::new();
        vfs.read_directory(node, 2, &mut |entry| {
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            entries.push((path.join(name), entry.attributes));
            ControlFlow::Continue(())
        })?;
        for (path, attributes) in entries {
            match attributes.kind {
                Kind::Directory => queue.push((attributes.node, path)),
                Kind::Symlink => {
                    let target = String::from_utf8(vfs.read_link(attributes.node)?.to_vec())?;
                    std::os::unix::fs::symlink(target, path)?;
                }
                Kind::File => {
                    let mut content = Vec::new();
                    vfs.read(attributes.node, 0, u32::MAX, &mut content)?;
                    fs::write(path, content)?;
                }
            }
        }
    }
    Ok(())
}
