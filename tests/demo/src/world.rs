use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    failure::Failure,
    programs::{Programs, run},
};

/// The working folder and everything in it that is made before the first program runs.
pub(crate) struct World {
    directory: PathBuf,
}

/// The images of the story, as `workload-measurement`.
pub(crate) const IMAGES: [&str; 2] = ["payments-1.0", "payments-2.0"];

/// An image that no measurement knows.
pub(crate) const UNKNOWN_IMAGE: &str = "payments-unreviewed";

/// What the applications call the upstream. Only the proxy knows where that is.
pub(crate) const UPSTREAM_NAME: &str = "vault.demo.internal";

impl World {
    /// An empty folder; what an earlier story left there is removed.
    ///
    /// # Errors
    /// The folder is somebody else's, or cannot be made.
    pub(crate) fn create(directory: Option<PathBuf>) -> Result<Self, Failure> {
        let directory = match directory {
            Some(directory) => std::path::absolute(directory),
            None => beside_target(),
        };
        let directory = directory.map_err(Failure::system("a place for the working folder"))?;
        let mark = directory.join(MARK);
        let empty = fs::read_dir(&directory).map_or(true, |mut entries| entries.next().is_none());
        // Never removes a folder that this program did not make.
        Failure::unless(empty || mark.is_file(), || {
            Failure::new(
                format!("{} to be empty or from an earlier demo", directory.display()),
                "other files",
            )
        })?;
        if !empty {
            fs::remove_dir_all(&directory).map_err(Failure::system("to remove the last story"))?;
        }
        for inner in ["logs", "root", "tls", "measurements", "state", "enclaves"] {
            let made = fs::create_dir_all(directory.join(inner));
            made.map_err(Failure::system(format!("to make {}", directory.display())))?;
        }
        let world = Self { directory };
        world.write(MARK, "made by countersign-demo, and removed by it\n")?;
        Ok(world)
    }

    /// A path inside.
    pub(crate) fn path(&self, inner: &str) -> PathBuf {
        self.directory.join(inner)
    }

    /// The folder.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a file inside.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write(&self, inner: &str, content: &str) -> Result<PathBuf, Failure> {
        let path = self.path(inner);
        fs::write(&path, content).map_err(Failure::system(format!("to write {}", path.display())))?;
        Ok(path)
    }

    /// The simulated root and the measurements of the known images, by the real simulator.
    ///
    /// # Errors
    /// A command that fails.
    pub(crate) async fn make_root_and_measurements(&self, programs: &Programs) -> Result<(), Failure> {
        let root = self.path("root");
        run(&programs.simulator, &["root".as_ref(), "--dir".as_ref(), root.as_os_str()]).await?;
        for image in IMAGES {
            let json = run(&programs.simulator, &["measure", "--image", image]).await?;
            self.write(&format!("measurements/{image}.json"), &String::from_utf8_lossy(&json))?;
        }
        Ok(())
    }

    /// The server certificate for both ports, by the real program.
    ///
    /// # Errors
    /// A command that fails.
    pub(crate) async fn make_certificate(&self, programs: &Programs) -> Result<(), Failure> {
        let tls = self.path("tls");
        let arguments = [
            "dev-certificate".as_ref(),
            "--dir".as_ref(),
            tls.as_os_str(),
            "--name".as_ref(),
            "localhost".as_ref(),
        ];
        run(&programs.proxy, &arguments).await.map(drop)
    }

    /// `countersign.toml`.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write_configuration(&self, upstream: SocketAddr) -> Result<PathBuf, Failure> {
        let [first, second] = IMAGES;
        let port = upstream.port();
        let text = format!(
            r#"# Written by countersign-demo. Ports are free ones, see ready.json.
deployment = "demo"
state_directory = "state"
drain_seconds = 2

[listen]
attestation = "127.0.0.1:0"
gateway = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

[tls]
certificate = "tls/server.pem"
key = "tls/server.key"

[trust]
danger_simulated_root = "root/root.der"

# The proxy resolves this name; an enclave never does.
[hosts]
"{UPSTREAM_NAME}" = ["127.0.0.1"]

[[workload]]
name = "payments"
destinations = ["{UPSTREAM_NAME}:{port}"]
# A name that leads to loopback is refused unless the workload names the address.
addresses = ["127.0.0.1/32"]

[[workload.measurement]]
name = "1.0"
file = "measurements/{first}.json"

[[workload.measurement]]
name = "2.0"
file = "measurements/{second}.json"
"#
        );
        self.write("countersign.toml", &text)
    }
}

/// `target/debug/countersign-demo` → `.run`
fn beside_target() -> std::io::Result<PathBuf> {
    let demo = std::env::current_exe()?;
    let root = demo.ancestors().nth(3).ok_or(std::io::ErrorKind::NotFound)?;
    Ok(root.join(".run"))
}

const MARK: &str = ".countersign-demo";
