//! The chain below the root: three CAs and the leaf, each renewed before it could outlive its issuer.

use std::sync::Arc;

use crate::certificate::{Attribute, Criticality, Extension, Hash, KeyUsage, Template, Validity, name};
use crate::key::{Key, KeyUse};
use crate::root::{ORGANIZATION, SimulatedRoot, UNIT, root_name};
use crate::{Module, SimulatorError};

/// Who signs a document and everybody who vouches for that signer, below the root.
#[derive(Clone)]
pub(crate) struct Chain {
    root: SimulatedRoot,
    regional: Arc<Link>,
    zonal: Arc<Link>,
    instance: Arc<Link>,
    leaf: Arc<Link>,
}

/// One certificate with its key.
struct Link {
    der: Vec<u8>,
    subject: Vec<u8>,
    validity: Validity,
    key: Key,
}

/// The places below the root, from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Regional,
    Zonal,
    Instance,
    Leaf,
}

/// What a fault does to a certificate before it is signed; [`unaltered`] for an honest chain.
pub(crate) type Alter<'a> = &'a dyn Fn(Level, &mut Template);

pub(crate) fn unaltered(_: Level, _: &mut Template) {}

impl Chain {
    /// A whole new chain.
    pub(crate) fn issue(
        root: &SimulatedRoot,
        module: &Module,
        now_ms: u64,
        alter: Alter<'_>,
    ) -> Result<Self, SimulatorError> {
        let issuance = Issuance { root, module, now: now_ms / 1000, alter };
        let regional = Arc::new(issuance.link(Level::Regional, None)?);
        let zonal = Arc::new(issuance.link(Level::Zonal, Some(&regional))?);
        let instance = Arc::new(issuance.link(Level::Instance, Some(&zonal))?);
        let leaf = Arc::new(issuance.link(Level::Leaf, Some(&instance))?);
        Ok(Self { root: root.clone(), regional, zonal, instance, leaf })
    }

    /// The same chain while it serves, with whatever is due replaced, and everything below that.
    pub(crate) fn renewed(&self, module: &Module, now_ms: u64) -> Result<Self, SimulatorError> {
        let now = now_ms / 1000;
        let due = [
            (Level::Regional, &self.regional),
            (Level::Zonal, &self.zonal),
            (Level::Instance, &self.instance),
            (Level::Leaf, &self.leaf),
        ]
        .into_iter()
        .find(|(level, link)| !level.serves(link.validity, now));
        match due {
            None => Ok(self.clone()),
            Some((level, _)) => self.replaced_from(level, module, now_ms),
        }
    }

    /// New keys and certificates from this level down.
    pub(crate) fn replaced_from(
        &self,
        level: Level,
        module: &Module,
        now_ms: u64,
    ) -> Result<Self, SimulatorError> {
        let issuance = Issuance { root: &self.root, module, now: now_ms / 1000, alter: &unaltered };
        let mut chain = self.clone();
        if level <= Level::Regional {
            chain.regional = Arc::new(issuance.link(Level::Regional, None)?);
        }
        if level <= Level::Zonal {
            chain.zonal = Arc::new(issuance.link(Level::Zonal, Some(&chain.regional))?);
        }
        if level <= Level::Instance {
            chain.instance = Arc::new(issuance.link(Level::Instance, Some(&chain.zonal))?);
        }
        chain.leaf = Arc::new(issuance.link(Level::Leaf, Some(&chain.instance))?);
        Ok(chain)
    }

    /// The same chain beside another root's certificate than the one that signed it.
    pub(crate) fn presented_under(self, root: &SimulatedRoot) -> Self {
        Self { root: root.clone(), ..self }
    }

    /// Root first, as the document's `cabundle` wants it.
    pub(crate) fn cabundle(&self) -> Vec<Vec<u8>> {
        vec![
            self.root.root_der().to_vec(),
            self.regional.der.clone(),
            self.zonal.der.clone(),
            self.instance.der.clone(),
        ]
    }

    pub(crate) fn leaf_der(&self) -> &[u8] {
        &self.leaf.der
    }

    /// Signs documents.
    pub(crate) fn leaf_key(&self) -> &Key {
        &self.leaf.key
    }
}

impl Level {
    /// A certificate serves while everything it may still sign ends before it does: in AWS's chains the leaf
    /// is always the first to expire.
    fn serves(self, validity: Validity, now: u64) -> bool {
        validity.not_before <= now && now.saturating_add(self.renewed_before_end()) <= validity.not_after
    }

    /// Seconds since the certificate began, when it is issued. AWS's are found at about these ages.
    fn age(self) -> u64 {
        match self {
            Self::Regional => 24 * HOUR,
            Self::Zonal => HOUR,
            Self::Instance => 5 * MINUTE,
            Self::Leaf => 3,
        }
    }

    /// From its beginning to its end, in seconds.
    fn lifetime(self) -> u64 {
        match self {
            Self::Regional => 20 * DAY,
            Self::Zonal => 6 * DAY,
            Self::Instance => 24 * HOUR,
            Self::Leaf => 3 * HOUR,
        }
    }

    fn renewed_before_end(self) -> u64 {
        match self {
            Self::Regional => Self::Zonal.lifetime() + MINUTE,
            Self::Zonal => Self::Instance.lifetime() + MINUTE,
            Self::Instance => Self::Leaf.lifetime() + MINUTE,
            // A session never outlives the leaf, and the longest lease is ten minutes.
            Self::Leaf => 10 * MINUTE,
        }
    }

    fn subject(self, module: &Module) -> Result<Vec<u8>, SimulatorError> {
        let common = match self {
            Self::Regional => format!("{}.{REGION}.{DOMAIN}", random_label()?),
            Self::Zonal => format!("{}.zonal.{REGION}.{DOMAIN}", random_label()?),
            Self::Instance => format!("{}.{REGION}.{DOMAIN}", module.instance_id()),
            Self::Leaf => format!("{}.{REGION}.{DOMAIN}", module.module_id),
        };
        let common = at_most(&common, COMMON_NAME_LIMIT);
        // The order and the choice of attributes are AWS's.
        Ok(match self {
            Self::Regional => name(&[
                (Attribute::Country, "US"),
                (Attribute::Organization, ORGANIZATION),
                (Attribute::Unit, UNIT),
                (Attribute::CommonName, common),
            ]),
            Self::Zonal => name(&[
                (Attribute::CommonName, common),
                (Attribute::Unit, UNIT),
                (Attribute::Organization, ORGANIZATION),
                (Attribute::Country, "US"),
                (Attribute::State, "WA"),
                (Attribute::Locality, "Seattle"),
            ]),
            Self::Instance | Self::Leaf => name(&[
                (Attribute::Country, "US"),
                (Attribute::State, "Washington"),
                (Attribute::Locality, "Seattle"),
                (Attribute::Organization, ORGANIZATION),
                (Attribute::Unit, UNIT),
                (Attribute::CommonName, common),
            ]),
        })
    }

    fn extensions(self, own: &Key, issuer: &Key) -> Result<Vec<Extension>, SimulatorError> {
        let own_id = own.identifier();
        let issuer_id = issuer.identifier();
        let authority = |path_length| -> Result<Vec<Extension>, SimulatorError> {
            Ok(vec![
                Extension::authority(Some(path_length)),
                Extension::authority_key_identifier(&issuer_id),
                Extension::subject_key_identifier(&own_id),
                Extension::key_usage(Criticality::Critical, KeyUsage::AUTHORITY),
                // RFC 6761: `.invalid` never resolves, so whoever follows this finds nothing.
                Extension::crl_distribution_point(&format!(
                    "http://crl-{REGION}.{DOMAIN}.invalid/crl/{}.crl",
                    random_label()?
                )),
            ])
        };
        Ok(match self {
            Self::Regional => authority(2)?,
            Self::Zonal => authority(1)?,
            Self::Instance => vec![
                Extension::authority(Some(0)),
                Extension::key_usage(Criticality::Critical, KeyUsage::CERT_SIGN),
                Extension::subject_key_identifier(&own_id),
                Extension::authority_key_identifier(&issuer_id),
            ],
            Self::Leaf => vec![
                Extension::end_entity(),
                Extension::key_usage(Criticality::NotCritical, KeyUsage::SIGNATURE),
            ],
        })
    }
}

/// What all certificates of one run have in common.
struct Issuance<'a> {
    root: &'a SimulatedRoot,
    module: &'a Module,
    now: u64,
    alter: Alter<'a>,
}

impl Issuance<'_> {
    /// `issuer` is the level above, or the root for the topmost.
    fn link(&self, level: Level, issuer: Option<&Link>) -> Result<Link, SimulatorError> {
        let key = Key::generate(match level {
            Level::Leaf => KeyUse::Documents,
            _ => KeyUse::Certificates,
        })?;
        let (issuer_key, issuer_name) = match issuer {
            Some(link) => (&link.key, link.subject.clone()),
            None => (self.root.key(), root_name()),
        };
        let not_before = self.now.saturating_sub(level.age());
        let mut template = Template {
            hash: Hash::Sha384,
            issuer: issuer_name,
            subject: level.subject(self.module)?,
            validity: Validity { not_before, not_after: not_before.saturating_add(level.lifetime()) },
            public_key: key.public_key_info(),
            extensions: level.extensions(&key, issuer_key)?,
        };
        (self.alter)(level, &mut template);
        let der = template.sign(issuer_key)?;
        Ok(Link { der, subject: template.subject, validity: template.validity, key })
    }
}

/// Sixteen hex digits, as in the names of AWS's regional and zonal CAs.
fn random_label() -> Result<String, SimulatorError> {
    let mut label = [0; 8];
    aws_lc_rs::rand::fill(&mut label).map_err(|_| SimulatorError::Crypto { operation: "draw a name" })?;
    Ok(hex::encode(label))
}

fn at_most(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

const REGION: &str = "sim-local-1";
const DOMAIN: &str = "simulated.nitro-enclaves";
/// RFC 5280, appendix A, ub-common-name; AWS cuts the leaf's there.
const COMMON_NAME_LIMIT: usize = 64;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
