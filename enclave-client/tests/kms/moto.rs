//! Real clients, moto with SigV4 and IAM switched on, documents verified by the Python reading of the
//! rules, envelopes made by the openssl command: `tests/python/kms_shim.py`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use countersign_enclave::{
    device::{Attestor, Device, DeviceError, DocumentRequest},
    kms::{Callers, CredentialSource, Credentials, KmsConfig},
};
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use serde_json::Value;

use crate::setup::{REGION, Running, config};

#[tokio::test]
async fn boto3_and_the_command_line_use_it_as_plain_kms() {
    let Some(shim) = Shim::start(&[]) else { return };
    let endpoint = shim.endpoint().await;
    let client = shim.python("kms_client.py", &endpoint, &[&shim.key]).await;
    assert_eq!(stdout(&client), "ok\n", "{}", stderr(&client));

    let Some(aws) = installed("aws") else { return };
    let file = shim.directory.join("plain");
    fs::write(&file, "from the command line").unwrap();
    let plain = format!("fileb://{}", file.display());
    let encrypt = ["kms", "encrypt", "--key-id", &shim.key, "--plaintext", &plain];
    let sealed = shim.run(&aws, &endpoint, &[&encrypt[..], &TEXT_OF_BLOB].concat()).await;
    let blob = shim.directory.join("blob");
    fs::write(&blob, decoded(stdout(&sealed).trim())).unwrap();
    let blob = format!("fileb://{}", blob.display());
    let decrypt = ["kms", "decrypt", "--ciphertext-blob", &blob, "--output", "text", "--query", "Plaintext"];
    let opened = shim.run(&aws, &endpoint, &decrypt).await;
    assert_eq!(decoded(stdout(&opened).trim()), b"from the command line", "{}", stderr(&opened));
}

#[tokio::test]
async fn the_sdk_for_javascript_uses_it_as_plain_kms() {
    let script = repository().join("tests/kms-js/client.mjs");
    if !script.with_file_name("node_modules").exists() {
        println!("SKIPPED: no tests/kms-js/node_modules; `make setup-test` installs them");
        return;
    }
    // The SDK's own limit.
    let version = Command::new("node").arg("--version").output().unwrap();
    let major =
        stdout(&version).trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < 20) {
        println!("SKIPPED: node is older than 20: {}", stdout(&version).trim());
        return;
    }
    let Some(shim) = Shim::start(&[]) else { return };
    let endpoint = shim.endpoint().await;
    let arguments = [script.to_str().unwrap(), &shim.key];
    let client = shim.run(Path::new("node"), &endpoint, &arguments).await;
    assert_eq!(stdout(&client), "ok\n", "{}", stderr(&client));
}

/// moto ignores `Recipient` and answers with the plaintext.
#[tokio::test]
async fn a_kms_that_ignores_the_document_is_refused() {
    let Some(shim) = Shim::start(&["--ignore"]) else { return };
    let endpoint = shim.endpoint().await;
    let client = shim.python("kms_client.py", &endpoint, &[&shim.key, "--refused"]).await;
    let message = "countersign: the answer holds a plaintext";
    assert_eq!(stdout(&client), format!("PlaintextRefusedException\n{message}\n"), "{}", stderr(&client));
}

/// moto under the endpoint's own wrong secret: its refusal is moto's, in moto's words.
#[tokio::test]
async fn the_endpoints_own_signature_is_what_kms_judges() {
    let Some(shim) = Shim::start(&[]) else { return };
    let wrong = Credentials::new(shim.access_key.clone(), "wrong".into(), None);
    let wrong = CredentialSource::fixed(wrong);
    let endpoint = shim.endpoint_with(|config| KmsConfig { credentials: wrong, ..config }).await;
    let client = shim.python("kms_client.py", &endpoint, &[&shim.key, "--refused"]).await;
    assert!(stderr(&client).contains("SignatureDoesNotMatch"), "{}", stderr(&client));
}

const TEXT_OF_BLOB: [&str; 4] = ["--output", "text", "--query", "CiphertextBlob"];

/// The shim in a process of its own, which ends with this value.
struct Shim {
    process: Child,
    directory: PathBuf,
    root: SimulatedRoot,
    port: u64,
    anchor: String,
    key: String,
    access_key: String,
    secret: String,
}

impl Shim {
    fn start(arguments: &[&str]) -> Option<Self> {
        let python = installed("python")?;
        let unique = format!("countersign-kms-{}-{:?}", std::process::id(), std::thread::current().id());
        let directory = std::env::temp_dir().join(unique);
        fs::create_dir_all(&directory).unwrap();
        let root = SimulatedRoot::generate(now_ms()).unwrap();
        let root_file = directory.join("root.der");
        fs::write(&root_file, root.root_der()).unwrap();
        let mut command = Command::new(python);
        command.arg(repository().join("tests/python/kms_shim.py")).arg("--root").arg(&root_file);
        let mut process =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the shim starts");
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Some(Self {
            process,
            directory,
            root,
            port: ready["port"].as_u64().unwrap(),
            anchor: text("anchor"),
            key: text("key"),
            access_key: text("access_key"),
            secret: text("secret"),
        })
    }

    async fn endpoint(&self) -> Running {
        self.endpoint_with(|config| config).await
    }

    async fn endpoint_with(&self, change: impl FnOnce(KmsConfig) -> KmsConfig) -> Running {
        let own = Credentials::new(self.access_key.clone(), self.secret.clone(), None);
        let own = CredentialSource::fixed(own);
        let config = KmsConfig {
            credentials: own.clone(),
            callers: Callers::Signed(own),
            ..config(&format!("https://127.0.0.1:{}", self.port), &self.anchor)
        };
        let device = Device::new(SimulatedDevice(SoftwareNsm::new(&self.root, Module::from_image("app"))));
        Running::with_device(change(config), device, Arc::default()).await
    }

    async fn python(&self, script: &str, endpoint: &Running, arguments: &[&str]) -> Output {
        let script = repository().join("tests/python").join(script);
        let arguments = [&[script.to_str().unwrap()], arguments].concat();
        self.run(&installed("python").unwrap(), endpoint, &arguments).await
    }

    /// Runs a program as the application inside would be: with its credentials and the endpoint in its
    /// environment.
    async fn run(&self, program: &Path, endpoint: &Running, arguments: &[&str]) -> Output {
        tokio::process::Command::new(program)
            .args(arguments)
            .env("AWS_ENDPOINT_URL_KMS", format!("http://{}", endpoint.address))
            .env("AWS_ACCESS_KEY_ID", &self.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_REGION", REGION)
            .env("AWS_CONFIG_FILE", self.directory.join("none"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.directory.join("none"))
            .kill_on_drop(true)
            .output()
            .await
            .unwrap()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A software module: its documents are real, under a root of its own.
struct SimulatedDevice(SoftwareNsm);

impl Attestor for SimulatedDevice {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let request = AttestationRequest {
            public_key: Some(request.public_key),
            user_data: Some(request.user_data),
            nonce: Some(request.nonce),
        };
        Ok(self.0.attest(now_ms(), &request).unwrap())
    }
}

/// A program of the Python environment that `make setup-test` makes.
fn installed(program: &str) -> Option<PathBuf> {
    let path = repository().join("target/venv/bin").join(program);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: no {}; `make setup-test` installs it", path.display());
    None
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn decoded(text: &str) -> Vec<u8> {
    crate::upstream::base64_decode(text)
}
