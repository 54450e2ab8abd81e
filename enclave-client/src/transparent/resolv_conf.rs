use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

/// Tells glibc, musl and Go, which all read this file (resolv.conf(5)), to ask the
/// resolver on loopback and nobody else. What stood there is gone.
///
/// A symbolic link is replaced and not followed: what it points at belongs to another
/// program. A file is written in place, because a container's is mounted there. Its
/// directory is made if there is none, as in an image that holds a static binary and no more.
///
/// # Errors
/// What the system says.
pub fn write_resolv_conf(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(path)?;
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text())
}

fn text() -> String {
    format!("# Names are answered by countersign-enclave on this machine.\nnameserver {RESOLVER}\n")
}

/// Where the resolver listens, at [`DNS_PORT`]; resolv.conf has no word for another port.
pub(super) const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// RFC 1035 section 4.2.
pub(super) const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_written_in_place_and_a_link_is_replaced() {
        let directory = std::env::temp_dir().join(format!("csn-resolv-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let [file, link, target, dangling] =
            ["file", "link", "target", "dangling"].map(|name| directory.join(name));
        fs::write(&file, "nameserver 192.0.2.1\n".repeat(9)).unwrap();
        fs::write(&target, "another program's").unwrap();
        symlink(&target, &link).unwrap();
        symlink(directory.join("nowhere"), &dangling).unwrap();
        for path in [&file, &link, &dangling, &directory.join("new"), &directory.join("etc/new")] {
            write_resolv_conf(path).unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), text());
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "another program's");
        assert!(text().lines().any(|line| line == "nameserver 127.0.0.1"));
        fs::remove_dir_all(&directory).unwrap();
    }
}
