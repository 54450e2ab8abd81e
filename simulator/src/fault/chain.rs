//! Faults in certificates: everything is signed by the right issuer, but what it signed is wrong.

use crate::certificate::{
    Attribute, Criticality, Extension, Hash, KeyUsage, OID_BASIC_CONSTRAINTS, Template, name,
};
use crate::chain::{Chain, Level, unaltered};
use crate::key::{Key, KeyUse};
use crate::{Fault, Module, SimulatedRoot, SimulatorError};

impl Fault {
    /// A chain with this fault in it; `None` if the fault lies elsewhere and the module's own chain serves.
    pub(crate) fn broken_chain(
        self,
        root: &SimulatedRoot,
        module: &Module,
        now_ms: u64,
    ) -> Result<Option<Chain>, SimulatorError> {
        match self {
            Self::ForeignRoot => {
                Chain::issue(&SimulatedRoot::impostor(now_ms)?, module, now_ms, &unaltered).map(Some)
            }
            Self::IssuedByForeignRoot => {
                let chain = Chain::issue(&SimulatedRoot::impostor(now_ms)?, module, now_ms, &unaltered)?;
                Ok(Some(chain.presented_under(root)))
            }
            Self::P256Leaf => {
                let public_key = Key::generate(KeyUse::WrongCurve)?.public_key_info();
                let alter = move |level, template: &mut Template| {
                    if level == Level::Leaf {
                        template.public_key.clone_from(&public_key);
                    }
                };
                Chain::issue(root, module, now_ms, &alter).map(Some)
            }
            // Without path lengths a longer chain is no defect by itself: only its last link is.
            Self::UnrelatedCertificate => {
                let alter = |level, template: &mut Template| {
                    if level != Level::Leaf {
                        template.replace(Extension::authority(None));
                    }
                };
                Chain::issue(root, module, now_ms, &alter).map(Some)
            }
            _ => match self.level() {
                None => Ok(None),
                Some(struck) => {
                    let alter = |level, template: &mut Template| {
                        if level == struck {
                            self.alter_template(template, now_ms / 1000);
                        }
                    };
                    Chain::issue(root, module, now_ms, &alter).map(Some)
                }
            },
        }
    }

    /// The certificate that is wrong.
    fn level(self) -> Option<Level> {
        Some(match self {
            Self::UnknownCriticalExtensionInCa => Level::Regional,
            Self::PathLenViolated | Self::ExpiredIntermediate => Level::Zonal,
            Self::IntermediateNotCa
            | Self::BasicConstraintsNotCritical
            | Self::MissingBasicConstraints
            | Self::NoKeyCertSign => Level::Instance,
            Self::OversizedCertificate
            | Self::WrongIssuerName
            | Self::ExpiredLeaf
            | Self::LeafNotYetValid
            | Self::LeafNoDigitalSignature
            | Self::LeafIsCa
            | Self::UnknownCriticalExtension
            | Self::Sha256Signature
            | Self::TimestampStale => Level::Leaf,
            _ => return None,
        })
    }

    fn alter_template(self, template: &mut Template, now: u64) {
        match self {
            Self::OversizedCertificate => template.extensions.push(unknown(Criticality::NotCritical, 600)),
            Self::WrongIssuerName => template.issuer = name(&[(Attribute::CommonName, "somebody else")]),
            Self::ExpiredLeaf => {
                template.validity.not_before = now.saturating_sub(4 * HOUR);
                template.validity.not_after = now.saturating_sub(HOUR);
            }
            Self::LeafNotYetValid => template.validity.not_before = now.saturating_add(HOUR),
            Self::ExpiredIntermediate => {
                template.validity.not_before = now.saturating_sub(48 * HOUR);
                template.validity.not_after = now.saturating_sub(HOUR);
            }
            // Only the document is old: the leaf was there when it was made, and still is.
            Self::TimestampStale => template.validity.not_before = now.saturating_sub(2 * HOUR),
            Self::IntermediateNotCa => template.replace(Extension::end_entity()),
            Self::BasicConstraintsNotCritical => {
                let mut constraints = Extension::authority(Some(0));
                constraints.criticality = Criticality::NotCritical;
                template.replace(constraints);
            }
            Self::MissingBasicConstraints => template.remove(OID_BASIC_CONSTRAINTS),
            Self::PathLenViolated => template.replace(Extension::authority(Some(0))),
            Self::NoKeyCertSign => {
                template.replace(Extension::key_usage(Criticality::Critical, KeyUsage::CRL_SIGN));
            }
            Self::LeafNoDigitalSignature => {
                template.replace(Extension::key_usage(Criticality::NotCritical, KeyUsage::NON_REPUDIATION));
            }
            Self::LeafIsCa => template.replace(Extension::authority(None)),
            Self::UnknownCriticalExtension | Self::UnknownCriticalExtensionInCa => {
                template.extensions.push(unknown(Criticality::Critical, 1));
            }
            Self::Sha256Signature => template.hash = Hash::Sha256,
            _ => {}
        }
    }
}

/// An extension that means nothing, with a value of this many bytes.
fn unknown(criticality: Criticality, length: usize) -> Extension {
    Extension::new(OID_EXAMPLE, criticality, crate::der::octet_string(&vec![0; length]))
}

/// 2.999.1: the arc that X.660 keeps for examples.
const OID_EXAMPLE: &[u8] = &[0x88, 0x37, 0x01];
const HOUR: u64 = 3600;
