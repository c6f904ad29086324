//! One package, written beside its place and then renamed into it.

use super::RealFiles;
use super::directory::{Directory, temporary_name};
use super::error::RealError;
use super::method::{Source, SourceOptions};
use crate::install::layout::{Backing, DirectoryIndex, Instance, LayoutDirectory, LayoutEntry};
use crate::store::{NodeKind, ROOT};

/// The file whose presence tells that a package is there whole; it comes last.
pub(super) const MARKER: &str = "package.json";

/// A directory of a pack that is being written, where there is one.
type Contents<'s, 'a> = Option<(&'s mut Source<'a>, u32)>;

impl RealFiles<'_> {
    /// Writes the package that the directory `index` of the layout shows to `name` in `parent`.
    /// What was there goes away in the same moment.
    pub(super) fn write_package(
        &self,
        parent: &Directory,
        name: &str,
        index: DirectoryIndex,
    ) -> Result<(), RealError> {
        let temporary = temporary_name();
        let made = parent.make_new(&temporary)?;
        let written = self
            .fill_package(&made, index)
            .and_then(|()| parent.put(&temporary, name));
        if written.is_err() {
            let _ = parent.remove(&temporary);
        }
        written
    }

    fn instance(&self, backing: &Backing) -> &Instance {
        &self.layout.instances[backing.instance.0 as usize]
    }

    fn fill_package(&self, target: &Directory, index: DirectoryIndex) -> Result<(), RealError> {
        let own = &self.layout.directories[index.0 as usize];
        let Some(backing) = &own.backing else {
            return self.fill(target, None, Some(own));
        };
        let instance = self.instance(backing);
        let failed = |source| RealError::Store {
            package: instance.dep_path.clone(),
            source,
        };
        let pack = self.store.open_pack(&instance.pack).map_err(&failed)?;
        let options = SourceOptions {
            package: &instance.dep_path,
            store: self.store,
            methods: &self.methods,
            private: self.private.contains(&instance.pack),
            verify: self.verify,
        };
        let mut source = Source::new(&pack, options).map_err(&failed)?;
        self.fill(target, Some((&mut source, ROOT)), Some(own))
            .and_then(|()| {
                let marker = pack.table().lookup(ROOT, MARKER.as_bytes());
                marker.map_or(Ok(()), |number| place(&mut source, number, target, MARKER))
            })
    }

    /// Fills `target`, which is empty, with the entries of a directory of a pack and with those of
    /// the layout. The layout's own win.
    fn fill(
        &self,
        target: &Directory,
        mut contents: Contents<'_, '_>,
        own: Option<&LayoutDirectory>,
    ) -> Result<(), RealError> {
        if let Some((source, node)) = &mut contents {
            let pack = source.pack;
            for number in pack.table().entries(*node) {
                let name = pack.table().name(number).unwrap_or_default();
                if own.is_some_and(|own| own.entries.contains_key(name)) {
                    continue;
                }
                match pack.table().kind(number) {
                    Some(NodeKind::Directory { .. }) => {
                        let child = target.make_new(name)?;
                        self.fill(&child, Some((&mut **source, number)), None)?;
                    }
                    Some(NodeKind::File { .. }) if *node == ROOT && name == MARKER => {}
                    Some(NodeKind::File { .. }) => {
                        place(source, number, target, name)?;
                    }
                    None => {}
                }
            }
        }
        let Some(own) = own else {
            return Ok(());
        };
        for (name, entry) in &own.entries {
            let name = name.as_str();
            match entry {
                LayoutEntry::Symlink(link) => target.link(name, link)?,
                LayoutEntry::File {
                    content,
                    executable,
                } => target.write_new(name, content, *executable)?,
                LayoutEntry::Directory(index) => {
                    let child = target.make_new(name)?;
                    self.fill_child(&child, *index, &mut contents)?;
                }
            }
        }
        Ok(())
    }

    /// A directory of the layout within a package: it shows the same pack deeper down, another
    /// package, or nothing else.
    fn fill_child(
        &self,
        child: &Directory,
        index: DirectoryIndex,
        contents: &mut Contents<'_, '_>,
    ) -> Result<(), RealError> {
        let own = &self.layout.directories[index.0 as usize];
        match (&own.backing, contents) {
            (Some(backing), _) if backing.directory.is_none() => self.fill_package(child, index),
            (Some(backing), Some((source, _))) => {
                let path = backing.directory.as_ref().map_or("", |path| path.as_str());
                let table = source.pack.table();
                // What the pack does not have has no entries.
                let node = table.find(path).unwrap_or(u32::MAX);
                self.fill(child, Some((&mut **source, node)), Some(own))
            }
            _ => self.fill(child, None, Some(own)),
        }
    }
}

fn place(
    source: &mut Source<'_>,
    number: u32,
    target: &Directory,
    name: &str,
) -> Result<(), RealError> {
    match source.pack.table().kind(number) {
        Some(NodeKind::File {
            size, executable, ..
        }) => source.place(number, (size, executable), target, name),
        _ => Ok(()),
    }
}
