//! DEVELOPMENT ONLY: makes a simulated root, measurements and documents for demos and tests.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use countersign_simulator::{AttestationRequest, Fault, Module, PcrValue, SimulatedRoot, SoftwareNsm};

/// DEVELOPMENT ONLY: a software Nitro Secure Module. Its documents prove nothing about any machine.
#[derive(Parser)]
#[command(name = "countersign-simulator", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the simulated root, or find the one that is there, and print where its files are.
    Root(RootArgs),
    /// Print an image's measurements, as `nitro-cli describe-eif` does.
    Measure(ImageArgs),
    /// Sign a document of this moment.
    Document(DocumentArgs),
}

#[derive(Args)]
struct RootArgs {
    /// Directory of root.der and root.key.pem; made if it is missing.
    #[arg(long)]
    dir: PathBuf,
}

#[derive(Args)]
struct ImageArgs {
    /// The measurements are derived from this name.
    #[arg(long)]
    image: String,
    /// Set another PCR, as INDEX=HEX; can be given again.
    #[arg(long = "pcr", value_name = "INDEX=HEX")]
    pcrs: Vec<PcrAssignment>,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["image", "list_faults"]))]
struct DocumentArgs {
    /// Directory of the simulated root; made if it is missing.
    #[arg(long, required_unless_present = "list_faults")]
    dir: Option<PathBuf>,
    /// The image that the enclave runs.
    #[arg(long)]
    image: Option<String>,
    /// Set another PCR, as INDEX=HEX; can be given again.
    #[arg(long = "pcr", value_name = "INDEX=HEX")]
    pcrs: Vec<PcrAssignment>,
    /// What the document says of instance and enclave; by default it follows from the image.
    #[arg(long, value_name = "TEXT")]
    module_id: Option<String>,
    /// An enclave in debug mode: PCR0, 1 and 2 are zero.
    #[arg(long)]
    debug: bool,
    /// At most 512 bytes.
    #[arg(long, value_name = "HEX")]
    nonce: Option<HexBytes>,
    /// At most 1024 bytes.
    #[arg(long, value_name = "HEX")]
    public_key: Option<HexBytes>,
    /// At most 512 bytes.
    #[arg(long, value_name = "HEX")]
    user_data: Option<HexBytes>,
    /// Build in one defect; see --list-faults.
    #[arg(long, value_name = "NAME")]
    fault: Option<Fault>,
    /// Print every fault and the rule it breaks, and do nothing else.
    #[arg(long)]
    list_faults: bool,
    /// Write the document's bytes here; without it, hex goes to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Root(args) => root(&args),
        Command::Measure(ImageArgs { image, pcrs }) => {
            let module = with_pcrs(Module::from_image(&image), pcrs)?;
            print(&format!("{}\n", module.pcr_json()))
        }
        Command::Document(args) => document(args),
    }
}

fn root(args: &RootArgs) -> Result<(), Box<dyn Error>> {
    let root = SimulatedRoot::load_or_generate(&args.dir, now_ms()?)?;
    let certificate = args.dir.join("root.der");
    let key = args.dir.join("root.key.pem");
    print(&format!(
        "certificate  {}\nkey          {}\nsha256       {}\n",
        certificate.display(),
        key.display(),
        root.fingerprint()
    ))
}

fn document(args: DocumentArgs) -> Result<(), Box<dyn Error>> {
    let DocumentArgs {
        dir,
        image,
        pcrs,
        module_id,
        debug,
        nonce,
        public_key,
        user_data,
        fault,
        list_faults: _,
        output,
    } = args;
    // The parser lets only --list-faults do without the other two.
    let (Some(dir), Some(image)) = (dir, image) else { return list_faults() };

    let module = Module::from_image(&image);
    let module = with_pcrs(if debug { module.debug() } else { module }, pcrs)?;
    let module = match module_id {
        Some(id) => module.with_module_id(id),
        None => module,
    };
    let now_ms = now_ms()?;
    let nsm = SoftwareNsm::new(&SimulatedRoot::load_or_generate(&dir, now_ms)?, module);
    let request = AttestationRequest {
        public_key: public_key.map(|hex| hex.0),
        user_data: user_data.map(|hex| hex.0),
        nonce: nonce.map(|hex| hex.0),
    };
    let document = match fault {
        None => nsm.attest(now_ms, &request)?,
        Some(fault) => nsm.attest_with(now_ms, &request, fault)?,
    };
    match output {
        Some(path) => {
            fs::write(&path, document)
                .map_err(|error| format!("could not write {}: {error}", path.display()))?;
            Ok(())
        }
        None => print(&format!("{}\n", hex::encode(document))),
    }
}

fn list_faults() -> Result<(), Box<dyn Error>> {
    let width = Fault::ALL.iter().map(|fault| fault.name().len()).max().unwrap_or_default();
    let lines: String =
        Fault::ALL.iter().map(|fault| format!("{:width$}  {}\n", fault.name(), fault.summary())).collect();
    print(&lines)
}

fn with_pcrs(module: Module, pcrs: Vec<PcrAssignment>) -> Result<Module, Box<dyn Error>> {
    let set = |module: Module, PcrAssignment { index, value }| module.with_pcr(index, value);
    Ok(pcrs.into_iter().try_fold(module, set)?)
}

/// Not `println!`: that panics when the reader has gone.
fn print(text: &str) -> Result<(), Box<dyn Error>> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn report(error: &dyn Error) {
    let mut text = format!("countersign-simulator: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    // Nothing is left to tell anybody when standard error is gone as well.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn now_ms() -> Result<u64, Box<dyn Error>> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}

#[derive(Clone, Debug)]
struct HexBytes(Vec<u8>);

#[derive(Clone, Debug)]
struct PcrAssignment {
    index: u8,
    value: PcrValue,
}

impl FromStr for HexBytes {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(Self)
    }
}

impl FromStr for PcrAssignment {
    type Err = NotAPcr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (index, value) = text.split_once('=').ok_or(NotAPcr)?;
        let index = index.parse().map_err(|_| NotAPcr)?;
        let mut bytes = [0; 48];
        hex::decode_to_slice(value, &mut bytes).map_err(|_| NotAPcr)?;
        Ok(Self { index, value: bytes })
    }
}

#[derive(Clone, Debug)]
struct NotAPcr;

impl fmt::Display for NotAPcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a PCR is INDEX=HEX with 96 hex digits, as in 4=00…00")
    }
}

impl Error for NotAPcr {}

/// Shown below `--help`.
const EXAMPLES: &str = "\
Examples:
  # A root that the proxy and the enclave of a demo share
  countersign-simulator root --dir simulated

  # The measurement that the proxy has to allow
  countersign-simulator measure --image payments > measurement.json

  # A document, and the verifier's opinion of it (in a build with the
  # simulator feature)
  countersign-simulator document --dir simulated --image payments \\
    --nonce 00ff --output doc.cbor
  countersign-verify verify doc.cbor --danger-root simulated/root.der \\
    --expect measurement.json --nonce 00ff

  # A document that must be refused
  countersign-simulator document --list-faults
  countersign-simulator document --dir simulated --image payments \\
    --fault expired-leaf --output bad.cbor";
