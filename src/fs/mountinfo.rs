//! Reads `/proc/self/mountinfo` (proc(5)): what is mounted where, without touching any mount.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The type that our mounts have.
pub const FS_TYPE: &str = "fuse.pacquet";

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// The number of the mount.
    pub id: u64,
    /// Device, as `major:minor`. Its minor number is the FUSE connection's.
    pub device: (u32, u32),
    /// Where it is.
    pub mountpoint: PathBuf,
    /// Its type.
    pub fs_type: String,
    /// What is mounted.
    pub source: OsString,
    /// For FUSE, the user who mounted it.
    pub user: Option<u32>,
}

impl MountEntry {
    /// Whether it is a mount of this program, made by `user`.
    pub fn is_ours(&self, user: u32) -> bool {
        self.fs_type == FS_TYPE && self.user == Some(user)
    }
}

/// All mounts that this process sees, in the order of mounting.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn read() -> io::Result<Vec<MountEntry>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// The mount that is visible at `mountpoint`, which is absolute and canonical but for mounts.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn find(mountpoint: &Path) -> io::Result<Option<MountEntry>> {
    let mut mounts = read()?.into_iter();
    Ok(mounts.rfind(|entry| entry.mountpoint == mountpoint))
}

/// Parses the text of a mountinfo file. Lines that are none are left out.
pub fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = std::str::from_utf8(fields.by_ref().nth(1)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let mountpoint = fields.by_ref().nth(1)?;
    fields.by_ref().find(|field| *field == b"-")?;
    let fs_type = fields.next()?;
    let source = fields.next()?;
    let options = fields.next().unwrap_or_default();
    let user = options
        .split(|byte| *byte == b',')
        .find_map(|option| option.strip_prefix(b"user_id="))
        .and_then(|user| std::str::from_utf8(user).ok()?.parse().ok());
    Some(MountEntry {
        id,
        device: (major.parse().ok()?, minor.parse().ok()?),
        mountpoint: PathBuf::from(OsString::from_vec(unescape(mountpoint))),
        fs_type: String::from_utf8_lossy(fs_type).into_owned(),
        source: OsString::from_vec(unescape(source)),
        user,
    })
}

/// The kernel writes space, tab, newline and backslash as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(octal);
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    let mut value = 0_u32;
    for digit in digits {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        value = value * 8 + u32::from(digit - b'0');
    }
    u8::try_from(value).ok()
}

/// Whether `path` is `mountpoint` or below it.
pub fn is_inside(path: &Path, mountpoint: &Path) -> bool {
    let (path, mountpoint) = (
        path.as_os_str().as_bytes(),
        mountpoint.as_os_str().as_bytes(),
    );
    path.strip_prefix(mountpoint)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_escapes() {
        let text = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            99 22 0:57 / /home/a\\040b\\134c/node_modules rw,nosuid,nodev - fuse.pacquet pacquet \
            rw,user_id=1000,group_id=100,default_permissions\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].id, mounts[1].id), (22, 99));
        assert_eq!(mounts[0].fs_type, "ext4");
        assert_eq!(mounts[0].user, None);
        assert!(!mounts[0].is_ours(0));
        assert_eq!(mounts[1].device, (0, 57));
        assert_eq!(mounts[1].mountpoint, Path::new("/home/a b\\c/node_modules"));
        assert!(mounts[1].is_ours(1000));
        assert!(!mounts[1].is_ours(0));
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        for text in [
            &b""[..],
            b"\n\n",
            b"1 2",
            b"1 2 x:y / /a rw - ext4 b c",
            b"x 2 0:1 / /a rw - ext4 b c",
            b"1 2 0:1 / /a rw ext4 b c",
            b"1 2 0:1 / /a rw -",
            b"\xff\xff \xff \xff",
        ] {
            assert_eq!(parse(text), [], "{text:?}");
        }
    }

    #[test]
    fn half_escapes_stay_as_they_are() {
        for (field, plain) in [
            (&b"a\\040"[..], &b"a "[..]),
            (b"\\", b"\\"),
            (b"\\04", b"\\04"),
            (b"\\089", b"\\089"),
            (b"\\777", b"\\777"),
        ] {
            assert_eq!(unescape(field), plain);
        }
    }

    #[test]
    fn a_path_is_inside_by_components() {
        for (path, inside) in [
            ("/a/b", true),
            ("/a/b/c", true),
            ("/a/bc", false),
            ("/a", false),
        ] {
            assert_eq!(is_inside(Path::new(path), Path::new("/a/b")), inside);
        }
    }
}
