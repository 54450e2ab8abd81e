use std::fmt;

/// A check that a model can leave out.
///
/// To leave a part out of the binder and to put it in and never compare it is the same to the attacker: who checks is
/// what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The document is signed by an NSM whose chain ends in AWS's root.
    Signature,
    /// Its PCRs are those of an allowed image, outside debug mode.
    Measurement,
    /// Its PCR4 is the one that the initiator's peer configuration pins: this instance, not another with the same image.
    Instance,
    /// An enclave that attests to a proxy checks the server's certificate against its manifest's anchor.
    Anchor,
    /// The document's `nonce` is the challenge.
    Nonce,
    /// A challenge can be answered once.
    OneUse,
    /// The document's `public_key` is the TLS peer's key.
    PublicKey,
    /// SPKI(K) in the binder is the TLS peer's key.
    AttesterKey,
    /// SPKI(server) in the binder, between peers the key of whoever checks, is the checker's own key.
    ServerKey,
    /// The exporter in the binder is this connection's (with the challenge as its context, see [`Part::Context`]).
    Exporter,
    /// The exporter's context is the challenge; among peers both nonces of the round.
    Context,
    /// The role in the binder.
    Role,
    /// The deployment in the binder.
    Deployment,
    /// `boot_id` and `sequence` in the binder: the same boot, and a greater number than the last.
    Sequence,
    /// Among peers: both nonces of the round in the binder.
    Nonces,
    /// The labels of binder and exporter: what kind of evidence it is.
    Label,
    /// A later connection: the peer's key is one that is remembered.
    KnownKey,
    /// A later connection: what is remembered is not older than the interval.
    Interval,
    /// A later connection: the remembered measurement is one that this peer configuration accepts now.
    Appraisal,
    /// The gateway: the session certificate comes from the session CA.
    Issuer,
    /// The gateway: the client proves in the handshake that it holds the certificate's key.
    Possession,
    /// The gateway: the session stands in the registry.
    Record,
    /// The gateway: the record names the certificate's key.
    RecordKey,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Signature,
        Self::Measurement,
        Self::Instance,
        Self::Anchor,
        Self::Nonce,
        Self::OneUse,
        Self::PublicKey,
        Self::AttesterKey,
        Self::ServerKey,
        Self::Exporter,
        Self::Context,
        Self::Role,
        Self::Deployment,
        Self::Sequence,
        Self::Nonces,
        Self::Label,
        Self::KnownKey,
        Self::Interval,
        Self::Appraisal,
        Self::Issuer,
        Self::Possession,
        Self::Record,
        Self::RecordKey,
    ];

    /// The word in traces and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Measurement => "measurement",
            Self::Instance => "instance",
            Self::Anchor => "anchor",
            Self::Nonce => "nonce",
            Self::OneUse => "one-use",
            Self::PublicKey => "public_key",
            Self::AttesterKey => "SPKI(K)",
            Self::ServerKey => "SPKI(server)",
            Self::Exporter => "exporter",
            Self::Context => "exporter-context",
            Self::Role => "role",
            Self::Deployment => "deployment",
            Self::Sequence => "sequence",
            Self::Nonces => "nonces",
            Self::Label => "label",
            Self::KnownKey => "known-key",
            Self::Interval => "interval",
            Self::Appraisal => "appraisal",
            Self::Issuer => "issuer",
            Self::Possession => "possession",
            Self::Record => "record",
            Self::RecordKey => "record-key",
        }
    }
}

/// A set of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Parts(u32);

impl Parts {
    /// Everything is checked.
    pub const NONE: Self = Self(0);
    /// Nothing is checked.
    pub const ALL: Self = Self((1 << Part::ALL.len()) - 1);

    /// These parts.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        parts.into_iter().fold(Self::NONE, Self::with)
    }

    /// These parts and one more.
    pub const fn with(self, part: Part) -> Self {
        Self(self.0 | 1 << part as u32)
    }

    /// These parts but one.
    pub const fn without(self, part: Part) -> Self {
        Self(self.0 & !(1 << part as u32))
    }

    /// These parts, and `part` if the check fails.
    #[must_use]
    pub const fn unless(self, passes: bool, part: Part) -> Self {
        if passes { self } else { self.with(part) }
    }

    /// The parts of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The parts that the other has too.
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The parts that the other has not.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each part of this is one of the other.
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// How many.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Nothing in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| Self::NONE.with(*part).is_within(self))
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(Part::as_str).collect();
        f.write_str(&words.join(" + "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_bit_of_its_own() {
        assert_eq!(Parts::of(Part::ALL), Parts::ALL);
        assert_eq!(Parts::ALL.len(), Part::ALL.len());
        for part in Part::ALL {
            assert!(!Parts::NONE.with(part).is_within(Parts::ALL.without(part)), "{part:?}");
        }
    }
}
