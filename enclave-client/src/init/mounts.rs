use std::{
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};

use rustix::{
    mount::{MountFlags, mount},
    system::{sethostname, uname},
};

use super::Step;

/// A file system that programs expect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mount {
    pub(super) target: &'static str,
    kind: &'static str,
    flags: MountFlags,
    data: Option<&'static std::ffi::CStr>,
}

/// In the order in which they can be mounted.
pub(super) const WANTED: &[Mount] = &[
    Mount { target: "/proc", kind: "proc", flags: SEALED, data: None },
    Mount { target: "/sys", kind: "sysfs", flags: SEALED, data: None },
    Mount { target: "/dev", kind: "devtmpfs", flags: DEVICES, data: Some(c"mode=0755") },
    Mount { target: "/dev/pts", kind: "devpts", flags: DEVICES, data: Some(c"mode=0620,ptmxmode=0666") },
    Mount { target: "/dev/shm", kind: "tmpfs", flags: SCRATCH, data: Some(c"mode=1777") },
    Mount { target: "/tmp", kind: "tmpfs", flags: SCRATCH, data: Some(c"mode=1777") },
    Mount { target: "/run", kind: "tmpfs", flags: SCRATCH, data: Some(c"mode=0755") },
];

impl Mount {
    /// Mounts it unless something is mounted there, or it would hide files of the image.
    pub(super) fn if_absent(&self) -> io::Result<Step> {
        if is_mount_point(Path::new(self.target))? {
            return Ok(Step::NotNeeded);
        }
        fs::create_dir_all(self.target)?;
        if self.kind == "tmpfs" && fs::read_dir(self.target)?.next().is_some() {
            return Ok(Step::NotNeeded);
        }
        mount(self.kind, self.target, self.kind, self.flags, self.data)?;
        Ok(Step::Done(format!("{} mounted", self.kind)))
    }
}

/// A mount point lies on another device than its parent.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let here = match fs::metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let parent = fs::metadata(path.parent().unwrap_or(path))?;
    Ok(here.dev() != parent.dev())
}

/// What shells and programs expect in /dev, and devtmpfs does not have.
pub(super) fn link_standard_streams() -> io::Result<Step> {
    let mut made = 0;
    for (from, to) in LINKS {
        match symlink(to, from) {
            Ok(()) => made += 1,
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why),
        }
    }
    Ok(if made == 0 { Step::NotNeeded } else { Step::Done(format!("{made} made")) })
}

/// A name, if the machine has none: some programs refuse to start without.
pub(super) fn name_host() -> io::Result<Step> {
    if !matches!(uname().nodename().to_bytes(), b"" | b"(none)") {
        return Ok(Step::NotNeeded);
    }
    sethostname(HOST_NAME.as_bytes())?;
    Ok(Step::Done(HOST_NAME.to_owned()))
}

const HOST_NAME: &str = "enclave";

const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

const SEALED: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);
/// Programs may be unpacked and started there, as on any machine.
const SCRATCH: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_told_from_directories() {
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(Path::new("/proc/self")).unwrap());
        assert!(!is_mount_point(Path::new("/no/such/directory")).unwrap());
    }
}
