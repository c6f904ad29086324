//! `/proc/self/mountinfo`, as proc(5) describes it: what is mounted, of which kind, for whom.

use std::io;

/// The file-system type of every mount that this project makes.
const KIND: &str = "fuse.pacquet";

pub(crate) fn read() -> io::Result<String> {
    std::fs::read_to_string("/proc/self/mountinfo")
}

/// How many mounts of ours belong to `user`.
pub(crate) fn mounts_of(table: &str, user: u32) -> usize {
    table
        .lines()
        .filter(|line| owner(line) == Some(user))
        .count()
}

/// Whether the mount with the number `mount_id` is of our kind and made for `user`.
pub(crate) fn is_ours(table: &str, mount_id: u64, user: u32) -> bool {
    table.lines().any(|line| {
        line.split(' ').next().and_then(|id| id.parse().ok()) == Some(mount_id)
            && owner(line) == Some(user)
    })
}

/// The `user_id` of a line that describes a mount of ours.
fn owner(line: &str) -> Option<u32> {
    let (_, after) = line.split_once(" - ")?;
    let mut fields = after.split(' ');
    if fields.next()? != KIND {
        return None;
    }
    let options = fields.nth(1)?;
    options
        .split(',')
        .find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
21 1 0:20 / / rw - ext4 /dev/vda rw
90 21 0:45 / /home/a/node_modules rw,nosuid - fuse.pacquet pacquet rw,user_id=1000,group_id=1000
91 21 0:46 / /home/b/node_modules rw,nosuid - fuse.sshfs x rw,user_id=1000,group_id=1000
92 21 0:47 / /tmp/x\\040-\\040fuse.pacquet rw - tmpfs x rw,user_id=1000
";

    #[test]
    fn only_mounts_of_our_kind_and_of_the_user_count() {
        assert_eq!(mounts_of(TABLE, 1000), 1);
        assert_eq!(mounts_of(TABLE, 0), 0);
        assert!(is_ours(TABLE, 90, 1000));
        for (id, user) in [(90, 0), (91, 1000), (92, 1000), (21, 0), (7, 1000)] {
            assert!(!is_ours(TABLE, id, user), "{id} {user}");
        }
    }
}
