use std::{path::Path, process::ExitCode};

use crate::{
    cli::{failure::Failure, machine, show},
    config::{MachineConfig, StorePlace},
    store::{AuditWriter, BackupError, dump_address},
};

/// `backup`
pub(in crate::cli) async fn backup(config: &Path, out: &Path) -> Result<ExitCode, Failure> {
    let MachineConfig { state_directory, store, .. } =
        MachineConfig::load(config).map_err(Failure::Configuration)?;
    if let StorePlace::Postgres { url, hints: _ } = &store {
        let command = pg_dump(&dump_address(url)?, out);
        return Err(Failure::wrong(config, format_args!("{}:\n\n  {command}", BackupError::NotAFile)));
    }
    machine::open_store(config, state_directory, store, AuditWriter::unnamed()).await?.backup(out).await?;
    show::print(&format!("copied the store to {}\n", out.display()))
}

/// A line for the shell. A password is asked for, or comes from PGPASSWORD or PGPASSFILE as it did here.
fn pg_dump(address: &str, out: &Path) -> String {
    let (address, out) = (quoted(address), quoted(&out.to_string_lossy()));
    format!("(umask 077 && pg_dump --format=custom --file={out} --dbname={address})")
}

/// One word for a POSIX shell, whatever it holds.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line_for_the_shell() {
        let line = pg_dump("postgres://u@db/c?sslmode=verify-full", Path::new("it's; rm -rf"));
        let expected = r"(umask 077 && pg_dump --format=custom --file='it'\''s; rm -rf' --dbname='postgres://u@db/c?sslmode=verify-full')";
        assert_eq!(line, expected);
        assert_eq!(quoted("/backups/a.dump"), "/backups/a.dump");
        assert_eq!(quoted(""), "''");
    }
}
