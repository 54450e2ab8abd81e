use std::{fmt, num::NonZeroU16, str::FromStr};

use minicbor::Encoder;

use super::{PeerConfigError, PeerMeasurement, error::beginning};

/// Who a peer may be: what a peer's configuration file says, whoever wrote it.
///
/// It is a value in order and not yet one to rely on: the host can write the file. That somebody signed it, or that
/// its hash is pinned, is a type of the enclave's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig(PeerConfigFields);

/// The fields of a [`PeerConfig`], for whoever makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfigFields {
    /// What the peer is called. 1 to 253 of `a-z A-Z 0-9 . _ -`.
    pub name: String,
    /// Grows with each change.
    pub serial: Serial,
    /// Whose documents count.
    pub root: TrustRoot,
    /// When it counts.
    pub validity: Validity,
    /// The PCRs that the peer may have: several while one release takes over from another. Never empty.
    pub measurements: Vec<PeerMeasurement>,
    /// The ports at which it is reached. Empty for a peer that only calls.
    pub ports: Vec<NonZeroU16>,
    /// The image it runs, as people name it. Nothing is decided by it.
    pub image: Option<String>,
}

/// The number of a version of a peer's configuration. An older one than the last accepted is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub u64);

/// The root that a peer's documents must lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustRoot {
    /// AWS's for its commercial regions.
    #[default]
    Aws,
    /// AWS's for GovCloud.
    AwsUsGov,
}

/// From when until when, in seconds since 1970, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    from: u64,
    until: u64,
}

impl PeerConfig {
    /// The most measurements.
    pub const MAX_MEASUREMENTS: usize = 64;
    /// The most ports.
    pub const MAX_PORTS: usize = 64;
    /// The longest name, in bytes: that of a Kubernetes object.
    pub const MAX_NAME: usize = 253;
    /// The longest image name, in bytes.
    pub const MAX_IMAGE: usize = 512;

    /// A configuration whose fields are in order.
    ///
    /// # Errors
    /// [`PeerConfigError`]: the first field that is not.
    pub fn new(fields: PeerConfigFields) -> Result<Self, PeerConfigError> {
        let PeerConfigFields { name, serial: _, root: _, validity: _, measurements, ports, image } = &fields;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=Self::MAX_NAME).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(PeerConfigError::Name { name: beginning(name) });
        }
        if !(1..=Self::MAX_MEASUREMENTS).contains(&measurements.len()) {
            return Err(PeerConfigError::Measurements { count: measurements.len() });
        }
        for (index, measurement) in measurements.iter().enumerate() {
            if measurements.iter().take(index).any(|before| before.name() == measurement.name()) {
                return Err(PeerConfigError::MeasurementTwice { name: measurement.name().to_owned() });
            }
        }
        if ports.len() > Self::MAX_PORTS {
            return Err(PeerConfigError::Ports { count: ports.len() });
        }
        if let Some(port) = ports.iter().enumerate().find(|(index, port)| ports[..*index].contains(port)) {
            return Err(PeerConfigError::PortTwice { port: *port.1 });
        }
        let printable = |image: &String| {
            (1..=Self::MAX_IMAGE).contains(&image.len()) && !image.chars().any(char::is_control)
        };
        if image.as_ref().is_some_and(|image| !printable(image)) {
            return Err(PeerConfigError::Image);
        }
        Ok(Self(fields))
    }

    /// Every field.
    pub fn fields(&self) -> &PeerConfigFields {
        &self.0
    }

    /// What is signed: the CBOR array
    /// `["countersign-peer-config-v1", name, serial, root, valid_from, valid_until, [[name, {index: PCR}]…], [port…],
    /// image or null]`, deterministically encoded (RFC 8949 section 4.2). One value has one form, whatever the text
    /// it was read from looks like.
    pub fn canonical(&self) -> Vec<u8> {
        let PeerConfigFields { name, serial, root, validity, measurements, ports, image } = &self.0;
        let mut encoder = Encoder::new(Vec::with_capacity(256 + measurements.len() * 192));
        let written = encoder.array(9).and_then(|e| {
            e.str(LABEL)?
                .str(name)?
                .u64(serial.0)?
                .str(root.as_str())?
                .u64(validity.from)?
                .u64(validity.until)?
                .array(measurements.len() as u64)?;
            for measurement in measurements {
                let pcrs = measurement.pcrs();
                e.array(2)?.str(measurement.name())?.map(pcrs.len() as u64)?;
                for (index, value) in pcrs {
                    e.u8(index)?.bytes(value)?;
                }
            }
            e.array(ports.len() as u64)?;
            for port in ports {
                e.u16(port.get())?;
            }
            match image {
                Some(image) => e.str(image)?.ok(),
                None => e.null()?.ok(),
            }
        });
        // A Vec takes every write: its error type has no value.
        debug_assert!(written.is_ok());
        encoder.into_writer()
    }
}

impl Validity {
    /// From one moment until another.
    ///
    /// # Errors
    /// [`PeerConfigError::Validity`] when they are the wrong way round, or past the year 9999.
    pub fn new(from: u64, until: u64) -> Result<Self, PeerConfigError> {
        if from > until || until > YEAR_9999 {
            return Err(PeerConfigError::Validity { from, until });
        }
        Ok(Self { from, until })
    }

    /// Its first second.
    pub fn from(self) -> u64 {
        self.from
    }

    /// Its last second.
    pub fn until(self) -> u64 {
        self.until
    }
}

impl TrustRoot {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsUsGov => "aws-us-gov",
        }
    }
}

impl FromStr for TrustRoot {
    type Err = PeerConfigError;

    fn from_str(text: &str) -> Result<Self, PeerConfigError> {
        [Self::Aws, Self::AwsUsGov]
            .into_iter()
            .find(|root| root.as_str() == text)
            .ok_or_else(|| PeerConfigError::Root { root: beginning(text) })
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const LABEL: &str = "countersign-peer-config-v1";

/// 9999-12-31T23:59:59Z, the last moment that RFC 3339 can write.
const YEAR_9999: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn measurement(name: &str, byte: u8) -> PeerMeasurement {
        let pcrs = BTreeMap::from([(0, [byte; 48]), (1, [byte; 48]), (2, [byte; 48]), (8, [9; 48])]);
        PeerMeasurement::new(name, pcrs).unwrap()
    }

    fn fields() -> PeerConfigFields {
        PeerConfigFields {
            name: "spark".to_owned(),
            serial: Serial(7),
            root: TrustRoot::Aws,
            validity: Validity::new(1, 2).unwrap(),
            measurements: vec![measurement("a", 1)],
            ports: vec![NonZeroU16::new(7076).unwrap()],
            image: None,
        }
    }

    #[test]
    fn the_canonical_form_is_the_documented_one() {
        let pcr = |index: u8, byte: &str| format!("{index:02x}5830{}", byte.repeat(48));
        let pcrs = [pcr(0, "01"), pcr(1, "01"), pcr(2, "01"), pcr(8, "09")].concat();
        let expected = format!(
            "89781a636f756e7465727369676e2d706565722d636f6e6669672d7631{}{}{}{}81826161a4{pcrs}81191ba4f6",
            "65737061726b", "07", "63617773", "0102",
        );
        assert_eq!(hex::encode(PeerConfig::new(fields()).unwrap().canonical()), expected);
    }

    #[test]
    fn every_field_changes_the_canonical_form() {
        let variants = [
            fields(),
            PeerConfigFields { name: "spark2".to_owned(), ..fields() },
            PeerConfigFields { serial: Serial(8), ..fields() },
            PeerConfigFields { root: TrustRoot::AwsUsGov, ..fields() },
            PeerConfigFields { validity: Validity::new(0, 2).unwrap(), ..fields() },
            PeerConfigFields { validity: Validity::new(1, 3).unwrap(), ..fields() },
            PeerConfigFields { measurements: vec![measurement("b", 1)], ..fields() },
            PeerConfigFields { measurements: vec![measurement("a", 2)], ..fields() },
            PeerConfigFields { measurements: vec![measurement("a", 1), measurement("b", 1)], ..fields() },
            PeerConfigFields { ports: Vec::new(), ..fields() },
            PeerConfigFields { image: Some("x".to_owned()), ..fields() },
        ];
        let mut forms: Vec<_> =
            variants.into_iter().map(|fields| PeerConfig::new(fields).unwrap().canonical()).collect();
        let count = forms.len();
        forms.sort_unstable();
        forms.dedup();
        assert_eq!(forms.len(), count);
    }

    #[test]
    fn what_is_out_of_order_is_named() {
        let error = |fields: PeerConfigFields| PeerConfig::new(fields).unwrap_err();
        let port = NonZeroU16::new(1).unwrap();
        assert_eq!(
            error(PeerConfigFields { name: "a b".to_owned(), ..fields() }),
            PeerConfigError::Name { name: "a b".to_owned() }
        );
        assert_eq!(
            error(PeerConfigFields { measurements: Vec::new(), ..fields() }),
            PeerConfigError::Measurements { count: 0 }
        );
        let twice = vec![measurement("a", 1), measurement("a", 2)];
        assert_eq!(
            error(PeerConfigFields { measurements: twice, ..fields() }),
            PeerConfigError::MeasurementTwice { name: "a".to_owned() }
        );
        assert_eq!(
            error(PeerConfigFields { ports: vec![port, port], ..fields() }),
            PeerConfigError::PortTwice { port }
        );
        let image = Some("a\nb".to_owned());
        assert_eq!(error(PeerConfigFields { image, ..fields() }), PeerConfigError::Image);
        assert_eq!(Validity::new(2, 1), Err(PeerConfigError::Validity { from: 2, until: 1 }));
        assert!("danger-simulated".parse::<TrustRoot>().is_err());
    }

    #[test]
    fn a_measurement_pins_the_image_and_never_debug_mode() {
        let pcrs = |indexes: &[u8], byte: u8| indexes.iter().map(|&index| (index, [byte; 48])).collect();
        let new = |indexes: &[u8], byte| PeerMeasurement::new("m", pcrs(indexes, byte)).unwrap_err();
        let measurement = || "m".to_owned();
        assert_eq!(new(&[0, 1, 8], 1), PeerConfigError::PcrMissing { measurement: measurement(), index: 2 });
        assert_eq!(
            new(&[0, 1, 2, 32], 1),
            PeerConfigError::PcrIndex { measurement: measurement(), index: 32 }
        );
        assert_eq!(new(&[0, 1, 2], 0), PeerConfigError::DebugMode { measurement: measurement() });
        assert!(matches!(
            PeerMeasurement::new("", pcrs(&[0, 1, 2], 1)),
            Err(PeerConfigError::MeasurementName { .. })
        ));
    }
}
