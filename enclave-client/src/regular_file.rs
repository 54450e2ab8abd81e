use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;

/// The first `most` bytes of a regular file. For a file that somebody else puts in its place: anything else there is an
/// error, and is not waited for.
///
/// # Errors
/// What the system said, or that it is no regular file.
pub(crate) fn read_at_most(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    // Without it, to open a pipe waits for a writer. To a regular file it means nothing.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc, thread, time::Duration};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// A directory of this test's own.
    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("countersign-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn no_more_than_asked_for_is_read() {
        let directory = directory("regular");
        let path = directory.join("file");
        fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_at_most(&path, 10).unwrap(), [7; 10]);
        assert_eq!(read_at_most(&path, 100).unwrap(), [7; 100]);
        assert_eq!(read_at_most(&path, 101).unwrap(), [7; 100]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let directory = directory("pipe");
        let path = directory.join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (said, heard) = mpsc::channel();
        thread::spawn(move || said.send(read_at_most(&path, 10)));
        let refused = heard.recv_timeout(Duration::from_secs(10)).expect("no wait for a writer").unwrap_err();
        assert_eq!(refused.to_string(), "not a regular file");
        fs::remove_dir_all(directory).unwrap();
    }
}
