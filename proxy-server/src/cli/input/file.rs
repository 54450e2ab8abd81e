use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::cli::failure::Failure;

/// A file, or standard input for `-`.
///
/// # Errors
/// [`Failure::Unreadable`].
pub(in crate::cli) fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| Failure::unreadable(path, &error))?;
    Ok(Box::new(file))
}

/// The whole of it, which has at most `limit` bytes.
///
/// # Errors
/// [`Failure::Unreadable`].
pub(in crate::cli) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::unreadable(path, &error))?;
    if bytes.len() > limit {
        return Err(Failure::wrong(
            path,
            format_args!("is longer than {limit} bytes: is it the right file?"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_bound_and_a_directory_is_none() {
        let this = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(read(&this, 1 << 20).is_ok());
        assert!(matches!(read(&this, 10), Err(Failure::Wrong { .. })));
        assert!(matches!(read(Path::new("/no/such/file"), 10), Err(Failure::Unreadable { .. })));
        assert!(matches!(read(Path::new("/"), 10), Err(Failure::Unreadable { .. })));
    }
}
