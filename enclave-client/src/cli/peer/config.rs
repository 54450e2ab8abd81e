use std::{
    collections::BTreeMap,
    num::NonZeroU16,
    path::{Path, PathBuf},
    process::ExitCode,
};

use aws_lc_rs::digest;
use clap::{Args, ValueEnum};
use countersign_protocol::peer::{
    PeerConfig, PeerConfigFields, PeerMeasurement, Serial, TrustRoot, Validity,
};
use countersign_verifier::{Measurement, Pcr, PcrIndex};
use serde_json::json;

use super::file::{Failed, now, read};
use crate::{
    cli::{ManifestArg, Output},
    manifest::Manifest,
    peers::config::{ConfigSigner, ConfigText, config_map},
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    manifest: ManifestArg,
    /// What `nitro-cli describe-eif` prints of the image, or a flat object of PCRs; more than once while one release
    /// takes over from another. Its name is the file's, if none stands before it
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    measurements: Vec<String>,
    /// One PCR more in every measurement, for instance 4=… of the machine, 3=… of its role
    #[arg(long, value_name = "INDEX=HEX", value_parser = pcr)]
    pcr: Vec<(PcrIndex, Pcr)>,
    /// PEM file with the private key that signs it: Ed25519 or P-256. Without it only the hash can be pinned
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// What the enclave is called; the manifest's name, if it has one
    #[arg(long)]
    name: Option<String>,
    /// The number of this version; the seconds since 1970, so that a later one is greater
    #[arg(long)]
    serial: Option<u64>,
    /// For how long it counts, from an hour ago on
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
    valid_days: u64,
    /// The root that the enclave's documents lead to
    #[arg(long, value_enum, default_value_t)]
    root: Root,
    /// The image's name and digest, for people
    #[arg(long)]
    image: Option<String>,
    /// Name of the ConfigMap; NAME-oblv-cli-config
    #[arg(long, value_name = "NAME")]
    config_map: Option<String>,
    /// What to print: the ConfigMap, or an object with it and what a manifest pins
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Root {
    /// The commercial regions
    #[default]
    Aws,
    /// GovCloud
    AwsUsGov,
}

/// All there is to print.
struct Made {
    text: String,
    map: String,
    sha256: String,
    signer: Option<String>,
}

impl ConfigArgs {
    pub(super) fn execute(&self) -> ExitCode {
        let made = match self.make() {
            Ok(made) => made,
            Err(failed) => return failed.report(self.output),
        };
        let Made { text, map, sha256, signer } = made;
        match self.output {
            Output::Json => {
                println!(
                    "{}",
                    json!({"config_map": map, "peer_yaml": text, "sha256": sha256, "signer": signer})
                );
            }
            Output::Text => {
                print!("{map}");
                match signer {
                    Some(pem) => eprint!("the caller's manifest pins it with configSigner:\n{pem}"),
                    None => {
                        eprintln!("not signed; the caller's manifest pins it with configSha256: {sha256}")
                    }
                }
            }
        }
        ExitCode::SUCCESS
    }

    fn make(&self) -> Result<Made, Failed> {
        let manifest =
            self.manifest.load().map_err(|why| Failed::Usage(self.manifest.lines(&why).join("\n")))?;
        let config = self.config(&manifest)?;
        let name = self.config_map.clone();
        let name = name.unwrap_or_else(|| format!("{}-oblv-cli-config", config.fields().name));
        let signer = self.sign.as_deref().map(signer).transpose()?;
        let failed = |why: crate::peers::config::SignerError| Failed::Usage(why.to_string());
        let signature = signer.as_ref().map(|signer| signer.sign(&config)).transpose().map_err(failed)?;
        let text = ConfigText { config, signature }.write();
        Ok(Made {
            map: config_map(&name, &text),
            sha256: hex::encode(digest::digest(&digest::SHA256, text.as_bytes())),
            signer: signer.map(|signer| signer.public_pem()).transpose().map_err(failed)?,
            text,
        })
    }

    fn config(&self, manifest: &Manifest) -> Result<PeerConfig, Failed> {
        let wrong = |why: countersign_protocol::peer::PeerConfigError| Failed::Usage(why.to_string());
        let name = self.name.clone().or_else(|| manifest.name.clone());
        let name = name.ok_or_else(|| Failed::Usage("the manifest has no name: add --name".to_owned()))?;
        let now = now().as_millis() / 1000;
        let ports: Vec<NonZeroU16> = manifest.peer_ports.iter().map(|port| port.listen_port).collect();
        let measurements = self.measurements.iter().map(|text| self.measurement(text));
        PeerConfig::new(PeerConfigFields {
            name,
            serial: Serial(self.serial.unwrap_or(now)),
            root: match self.root {
                Root::Aws => TrustRoot::Aws,
                Root::AwsUsGov => TrustRoot::AwsUsGov,
            },
            validity: Validity::new(now - HOUR, now + self.valid_days * DAY).map_err(wrong)?,
            measurements: measurements.collect::<Result<_, _>>()?,
            ports,
            image: self.image.clone(),
        })
        .map_err(wrong)
    }

    fn measurement(&self, text: &str) -> Result<PeerMeasurement, Failed> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name.to_owned(), Path::new(path)),
            None => {
                let path = Path::new(text);
                let stem = path.file_stem().unwrap_or_default();
                (stem.to_string_lossy().into_owned(), path)
            }
        };
        let wrong = |why: String| Failed::Usage(format!("{}: {why}", path.display()));
        let read = Measurement::from_json(&name, &read(path)?).map_err(|why| wrong(why.to_string()))?;
        let mut pcrs: BTreeMap<_, _> =
            read.pcrs().map(|(index, value)| (index.get(), *value.as_bytes())).collect();
        for (index, value) in &self.pcr {
            if pcrs.insert(index.get(), *value.as_bytes()).is_some_and(|before| before != *value.as_bytes()) {
                return Err(wrong(format!("{index} has another value than --pcr gives it")));
            }
        }
        PeerMeasurement::new(name, pcrs).map_err(|why| wrong(why.to_string()))
    }
}

fn signer(path: &Path) -> Result<ConfigSigner, Failed> {
    let pem = zeroize::Zeroizing::new(read(path)?);
    ConfigSigner::from_pem(&pem).map_err(|why| Failed::Usage(format!("{}: {why}", path.display())))
}

/// `4=` and 96 hexadecimal digits.
fn pcr(text: &str) -> Result<(PcrIndex, Pcr), String> {
    let (index, value) = text.split_once('=').ok_or("write INDEX=HEX, for instance 4=00ff…")?;
    let index = index.parse().ok().and_then(PcrIndex::new).ok_or("a PCR is one of 0 to 31")?;
    Ok((index, value.parse().map_err(|why: countersign_verifier::NotAPcr| why.to_string())?))
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

const EXAMPLES: &str = "\
Examples:
  openssl genpkey -algorithm ed25519 -out signer.pem
  nitro-cli describe-eif --eif-path worker.eif > 1.4.1.json
  countersign-enclave peer config --manifest worker.yaml --measurements 1.4.1.json --sign signer.pem > configmap.yaml
  countersign-enclave peer config --manifest worker.yaml --measurements old=1.4.0.json --measurements new=1.4.1.json \\
    --sign signer.pem | kubectl apply -f -

The ports are those of peers: in the manifest, the name is its name. The note about the pin goes to standard error.
Exit codes: 0 written; 2 wrong usage, or a file that cannot be read.";
