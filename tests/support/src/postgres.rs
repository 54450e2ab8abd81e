use std::{
    fs, io,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// A PostgreSQL server with an empty data directory of its own, on a UNIX socket
/// that only its user reaches. It is gone with the process that started it, however
/// that ends.
pub struct PostgresServer {
    directory: PathBuf,
    programs: PathBuf,
    user: Option<User>,
    durability: Durability,
    databases: AtomicU32,
    /// Ends the server when this process does: its other end waits for us to close it.
    _reaper: (Child, ChildStdin),
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: a test does not lose power.
    Test,
    /// The disk, as in earnest: for benchmarks, and for tests that kill the server.
    Disk,
}

/// PostgreSQL refuses to run as root.
#[derive(Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

impl PostgresServer {
    /// The server that all tests of this process share. `None` where it may be missing: only
    /// when its programs are, and [`MAY_BE_MISSING`] says so.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<PostgresServer>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Durability::Test)).as_ref()
    }

    /// A server of one's own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(durability: Durability) -> Option<Self> {
        let Some(programs) = programs() else {
            if std::env::var_os(MAY_BE_MISSING).is_some() {
                eprintln!("SKIPPED: no PostgreSQL server on this machine ({MAY_BE_MISSING} is set)");
                return None;
            }
            panic!("no PostgreSQL server on this machine: run tests/setup/test.sh");
        };
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("csn-pg-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let user = unprivileged();
        if let Some(User { id, group }) = user {
            chown(&directory, Some(id), Some(group)).unwrap();
        }
        let reaper = reaper(&directory, user).unwrap();
        let databases = AtomicU32::new(0);
        let server = Self { directory, programs, user, durability, databases, _reaper: reaper };
        let data = server.data();
        server.run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        server.resume();
        Some(server)
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// When the server does not make it.
    pub fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        // The server asks nobody for a password; the proxy has one to keep to itself.
        crate::logs::plant("database password", PASSWORD);
        format!(
            "postgres://postgres:{PASSWORD}@localhost/{name}?host={}&sslmode=disable",
            self.directory.display()
        )
    }

    /// Runs SQL in a database, by its name or URL, and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let path = database.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let host = self.directory.display().to_string();
        self.run("psql", &["-h", &host, "-U", "postgres", "-d", name, "-X", "-q", "-A", "-t", "-c", sql])
    }

    /// Kills the server like a power failure would end it.
    ///
    /// # Panics
    /// When it does not die.
    pub fn kill(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    /// Starts it again, with the same data.
    ///
    /// # Panics
    /// When it does not come up within 30 s.
    pub fn resume(&self) {
        let fsync = match self.durability {
            Durability::Test => "-F",
            Durability::Disk => "",
        };
        let options = format!("{fsync} -k {} -c listen_addresses= -N 300", self.directory.display());
        let log = self.directory.join("log").display().to_string();
        self.run("pg_ctl", &["-D", &self.data(), "-o", &options, "-l", &log, "-w", "-t", "30", "start"]);
    }

    fn data(&self) -> String {
        self.directory.join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(&self.directory).stdin(Stdio::null());
        // pg_ctl leaves the server behind with its own ends of these: a pipe would never end.
        let printed = if program == "pg_ctl" {
            as_user(&mut command, self.user).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().map(|status| (status, String::new()))
        } else {
            as_user(&mut command, self.user).output().map(|output| {
                let text = [output.stdout, output.stderr].concat();
                (output.status, String::from_utf8_lossy(&text).into_owned())
            })
        };
        let (status, text) = printed.unwrap();
        let log = || fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        assert!(status.success(), "{program} {arguments:?} failed: {text}{}", log());
        text
    }
}

/// A shell that waits until our end of its input is closed, and then ends the server.
fn reaper(directory: &Path, user: Option<User>) -> io::Result<(Child, ChildStdin)> {
    let script = "cat >/dev/null; kill -QUIT \"$(head -n 1 data/postmaster.pid)\"; cd /; rm -rf \"$0\"";
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(directory).current_dir(directory);
    // In a group of its own: Ctrl-C at a terminal must not end it first.
    as_user(&mut command, user).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn()?;
    let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok((child, input))
}

fn as_user(command: &mut Command, user: Option<User>) -> &mut Command {
    match user {
        Some(User { id, group }) => command.uid(id).gid(group),
        None => command,
    }
}

/// Where Debian keeps the programs of the newest version, or whatever PATH has.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = found.into_iter().rev().map(|(_, path)| path).chain(std::env::split_paths(&in_path));
    places.find(|place| place.join("initdb").is_file() && place.join("pg_ctl").is_file())
}

/// The user `postgres` of the Debian package, or `nobody`, when this runs as root.
fn unprivileged() -> Option<User> {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some(User { id: fields.next()?.ok()?, group: fields.next()?.ok()? })
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("no user to run PostgreSQL as"))
}

/// Set where tests may run without PostgreSQL.
const MAY_BE_MISSING: &str = "COUNTERSIGN_WITHOUT_POSTGRES";

/// Of the URLs that tests use.
const PASSWORD: &str = "planted-database-password-3d90";
