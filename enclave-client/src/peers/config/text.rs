//! A peer's configuration as YAML, and as the ConfigMap around it.

use std::{collections::BTreeMap, fmt, num::NonZeroU16};

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_protocol::peer::{
    ConfigSignature, PeerConfig, PeerConfigError, PeerConfigFields, PeerMeasurement, Serial, SignatureError,
    Validity,
};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{CONFIG_KEY, MAX_CONFIG};

/// What a file says. Whether it may be believed is [`super::Trusted`]'s question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigText {
    /// Who the peer may be.
    pub config: PeerConfig,
    /// Somebody's word for it.
    pub signature: Option<ConfigSignature>,
}

impl ConfigText {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`ConfigTextError`]: what is not as it must be. A word that is not known is an error too: a newer version may
    /// mean a restriction by it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigTextError> {
        let file: File = yaml(bytes)?;
        if file.version != VERSION {
            return Err(ConfigTextError::Version { actual: beginning(&file.version) });
        }
        let measurements = file.measurements.into_iter().map(measurement).collect::<Result<_, _>>()?;
        let config = PeerConfig::new(PeerConfigFields {
            name: file.name,
            serial: Serial(file.serial),
            root: file.root.as_deref().unwrap_or("aws").parse().map_err(ConfigTextError::Config)?,
            validity: Validity::new(moment(&file.valid_from)?, moment(&file.valid_until)?)
                .map_err(ConfigTextError::Config)?,
            measurements,
            ports: file.ports,
            image: file.image,
        })
        .map_err(ConfigTextError::Config)?;
        let signature = file.signature.map(signature).transpose()?;
        Ok(Self { config, signature })
    }

    /// The file that [`ConfigText::parse`] reads to the same.
    pub fn write(&self) -> String {
        let PeerConfigFields { name, serial, root, validity, measurements, ports, image } =
            self.config.fields();
        let mut lines = vec![
            format!("version: {VERSION}"),
            format!("name: {}", quoted(name)),
            format!("serial: {serial}"),
            format!("root: {}", root.as_str()),
            format!("validFrom: {}", quoted(&timestamp(validity.from()))),
            format!("validUntil: {}", quoted(&timestamp(validity.until()))),
        ];
        lines.extend(image.iter().map(|image| format!("image: {}", quoted(image))));
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        lines.push(format!("ports: [{}]", ports.join(", ")));
        lines.push("measurements:".to_owned());
        for measurement in measurements {
            lines.push(format!("  - name: {}", quoted(measurement.name())));
            lines.push("    pcrs:".to_owned());
            let pcrs = measurement.pcrs();
            lines.extend(pcrs.map(|(index, value)| format!("      PCR{index}: \"{}\"", hex::encode(value))));
        }
        if let Some(ConfigSignature { algorithm, bytes }) = &self.signature {
            lines.push("signature:".to_owned());
            lines.push(format!("  algorithm: {algorithm}"));
            lines.push(format!("  value: \"{}\"", STANDARD.encode(bytes)));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A ConfigMap of this name with the text under [`CONFIG_KEY`].
pub fn config_map(name: &str, text: &str) -> String {
    let body: String = text.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\ndata:\n  {CONFIG_KEY}: |\n{body}",
        quoted(name)
    )
}

/// Whether a file is a ConfigMap and not what stands in one.
pub fn is_config_map(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        kind: Option<String>,
    }
    yaml::<Kind>(bytes).is_ok_and(|file| file.kind.as_deref() == Some("ConfigMap"))
}

/// The text under [`CONFIG_KEY`] of a ConfigMap, byte for byte as Kubernetes mounts it.
///
/// # Errors
/// [`ConfigTextError`]: it is none, or has no such key.
pub fn find_in_config_map(bytes: &[u8]) -> Result<String, ConfigTextError> {
    #[derive(Deserialize)]
    struct ConfigMap {
        data: Option<BTreeMap<String, String>>,
    }
    let map: ConfigMap = yaml(bytes)?;
    map.data.and_then(|mut data| data.remove(CONFIG_KEY)).ok_or(ConfigTextError::NoKey)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    version: String,
    name: String,
    serial: u64,
    root: Option<String>,
    valid_from: String,
    valid_until: String,
    image: Option<String>,
    #[serde(default)]
    ports: Vec<NonZeroU16>,
    measurements: Vec<Measurement>,
    signature: Option<Signature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Measurement {
    name: String,
    pcrs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    algorithm: String,
    value: String,
}

fn yaml<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ConfigTextError> {
    if bytes.len() > MAX_CONFIG {
        return Err(ConfigTextError::TooLong { len: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ConfigTextError::NotText)?;
    let options = serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        ignore_binary_tag_for_string: true,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let plain = error.without_snippet().to_string();
        let reason = plain.lines().next().unwrap_or("not YAML").chars().filter(|c| !c.is_control());
        ConfigTextError::Yaml { reason: reason.take(MAX_REASON).collect() }
    })
}

fn measurement(raw: Measurement) -> Result<PeerMeasurement, ConfigTextError> {
    let mut pcrs = BTreeMap::new();
    for (key, value) in raw.pcrs {
        let wrong = || ConfigTextError::Pcr { measurement: beginning(&raw.name), key: beginning(&key) };
        let digits = key.strip_prefix("PCR").ok_or_else(wrong)?;
        let index: u8 = digits.parse().map_err(|_| wrong())?;
        if index.to_string() != digits {
            return Err(wrong());
        }
        let mut bytes = [0; PeerMeasurement::PCR_LEN];
        hex::decode_to_slice(&value, &mut bytes).map_err(|_| wrong())?;
        pcrs.insert(index, bytes);
    }
    PeerMeasurement::new(raw.name, pcrs).map_err(ConfigTextError::Config)
}

fn signature(raw: Signature) -> Result<ConfigSignature, ConfigTextError> {
    let algorithm = raw.algorithm.parse().map_err(ConfigTextError::Signature)?;
    let bytes = STANDARD.decode(&raw.value).map_err(|_| ConfigTextError::SignatureValue)?;
    if !(1..=ConfigSignature::MAX).contains(&bytes.len()) {
        return Err(ConfigTextError::SignatureValue);
    }
    Ok(ConfigSignature { algorithm, bytes })
}

fn moment(text: &str) -> Result<u64, ConfigTextError> {
    let wrong = || ConfigTextError::Moment { text: beginning(text) };
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
    u64::try_from(moment.unix_timestamp()).map_err(|_| wrong())
}

/// RFC 3339, in UTC. A [`Validity`] ends before the year 10000, so there is always one.
pub(crate) fn timestamp(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

/// As much of a text that nobody has vouched for as an error needs: it goes to the log.
fn beginning(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A JSON string is a YAML one as well.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const VERSION: &str = "v1";

/// A mapping in a list in a mapping, with room.
const MAX_DEPTH: usize = 8;

/// Of the reader's words, which can hold some of the file, in characters.
const MAX_REASON: usize = 256;

/// Why text is no peer configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigTextError {
    /// Longer than [`MAX_CONFIG`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Not UTF-8.
    NotText,
    /// Not YAML, or without a field, or with one too many.
    Yaml {
        /// The reader's words.
        reason: String,
    },
    /// A version that is not known here.
    Version {
        /// What stands there.
        actual: String,
    },
    /// No time of RFC 3339 after 1970.
    Moment {
        /// What stands there.
        text: String,
    },
    /// A PCR's name or value.
    Pcr {
        /// The measurement's name.
        measurement: String,
        /// The PCR's name.
        key: String,
    },
    /// The word for the kind of signature.
    Signature(SignatureError),
    /// Not base64, or of an impossible length.
    SignatureValue,
    /// Each field is one, and together they are none.
    Config(PeerConfigError),
    /// A ConfigMap without [`CONFIG_KEY`].
    NoKey,
}

impl fmt::Display for ConfigTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => write!(f, "{len} bytes, the limit is {MAX_CONFIG}"),
            Self::NotText => f.write_str("not UTF-8"),
            Self::Yaml { reason } => f.write_str(reason),
            Self::Version { actual } => write!(f, "version is {actual:?}; {VERSION} is read here"),
            Self::Moment { text } => write!(f, "{text:?} is no time such as 2026-01-31T00:00:00Z"),
            Self::Pcr { measurement, key } => write!(
                f,
                "measurement {measurement:?}: {key:?} is not PCR0 to PCR31 with 96 hexadecimal digits"
            ),
            Self::Signature(why) => why.fmt(f),
            Self::SignatureValue => {
                write!(f, "signature.value is not base64 of 1 to {} bytes", ConfigSignature::MAX)
            }
            Self::Config(why) => why.fmt(f),
            Self::NoKey => write!(f, "the ConfigMap has no key {CONFIG_KEY}"),
        }
    }
}

impl std::error::Error for ConfigTextError {}

#[cfg(test)]
mod tests {
    use countersign_protocol::peer::{SignatureAlgorithm, TrustRoot};

    use super::*;

    fn text() -> ConfigText {
        let pcrs = |byte: u8| (0..=2).map(|index| (index, [byte; 48])).collect();
        let config = PeerConfig::new(PeerConfigFields {
            name: "spark-worker".to_owned(),
            serial: Serial(7),
            root: TrustRoot::AwsUsGov,
            validity: Validity::new(1_790_000_000, 1_800_000_000).unwrap(),
            measurements: vec![
                PeerMeasurement::new("1.4: \"old\"", pcrs(1)).unwrap(),
                PeerMeasurement::new("no", pcrs(0x11)).unwrap(),
            ],
            ports: vec![NonZeroU16::new(7076).unwrap(), NonZeroU16::new(7077).unwrap()],
            image: Some("registry.example/spark@sha256:00".to_owned()),
        });
        let signature = Some(ConfigSignature { algorithm: SignatureAlgorithm::Ed25519, bytes: vec![9; 64] });
        ConfigText { config: config.unwrap(), signature }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = text();
        assert_eq!(ConfigText::parse(text.write().as_bytes()), Ok(text.clone()));
        let unsigned = ConfigText { signature: None, ..text };
        assert_eq!(ConfigText::parse(unsigned.write().as_bytes()), Ok(unsigned));
    }

    #[test]
    fn a_config_map_holds_the_file_byte_for_byte() {
        let written = text().write();
        let map = config_map("spark-worker-oblv-cli-config", &written);
        assert!(is_config_map(map.as_bytes()) && !is_config_map(written.as_bytes()));
        assert_eq!(find_in_config_map(map.as_bytes()), Ok(written));
        let other = "kind: ConfigMap\ndata: { other: x }\n";
        assert_eq!(find_in_config_map(other.as_bytes()), Err(ConfigTextError::NoKey));
    }

    /// Each change of the file in order, and what is said of it.
    #[test]
    fn what_is_not_in_order_is_refused_and_named() {
        let written = text().write();
        for (from, to, says) in [
            ("version: v1", "version: v2", "version is \"v2\"; v1 is read here"),
            ("serial: 7", "serial: -7", "invalid"),
            ("serial: 7", "serial: 7\nextra: 1", "unknown field `extra`"),
            ("serial: 7\n", "", "missing field `serial`"),
            ("serial: 7", "serial: 7\nserial: 8", "duplicate"),
            ("root: aws-us-gov", "root: mine", "root \"mine\" is neither aws nor aws-us-gov"),
            ("PCR1:", "PCR01:", "\"PCR01\" is not PCR0 to PCR31"),
            ("PCR1:", "PCR40:", "lacks PCR1"),
            ("PCR2: \"01", "PCR2: \"01ff", "\"PCR2\" is not PCR0 to PCR31 with 96"),
            ("[7076, 7077]", "[7076, 7076]", "port 7076 stands twice"),
            ("[7076, 7077]", "[0]", "invalid"),
            ("algorithm: ed25519", "algorithm: none", "neither ed25519 nor"),
            ("value: \"CQk", "value: \"!!!", "signature.value is not base64"),
        ] {
            assert!(written.contains(from), "{from}");
            let error = ConfigText::parse(written.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(says), "{to:?}: {error}");
        }
        let from = written.lines().find(|line| line.starts_with("validFrom")).unwrap();
        let error = ConfigText::parse(written.replace(from, "validFrom: yesterday").as_bytes());
        assert_eq!(error, Err(ConfigTextError::Moment { text: "yesterday".to_owned() }));
        assert_eq!(ConfigText::parse(b"\xff"), Err(ConfigTextError::NotText));
        // What nobody signed does not fill the log.
        let endless = "x".repeat(100_000);
        for (from, to) in [
            ("version: v1".to_owned(), format!("version: {endless}")),
            ("name: \"spark-worker\"".to_owned(), format!("name: {endless}")),
            ("- name: \"no\"".to_owned(), format!("- name: {endless}")),
            ("root: aws-us-gov".to_owned(), format!("root: {endless}")),
            ("PCR1:".to_owned(), format!("PCR{endless}:")),
            ("algorithm: ed25519".to_owned(), format!("algorithm: {endless}")),
            ("serial: 7".to_owned(), format!("serial: {endless}")),
            ("serial: 7".to_owned(), format!("serial: 7\n{endless}: 1")),
        ] {
            assert!(written.contains(&from), "{from}");
            let error = ConfigText::parse(written.replacen(&from, &to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().len() < 400, "{from}: {} bytes", error.to_string().len());
        }
        let long = vec![b' '; MAX_CONFIG + 1];
        assert_eq!(ConfigText::parse(&long), Err(ConfigTextError::TooLong { len: MAX_CONFIG + 1 }));
    }
}
