use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::{JwtRefused, ProviderUnavailable};

/// The provider's keys that can sign what is taken here.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    kid: String,
    /// What the key itself is for: never empty. A token cannot widen it.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// RFC 7517 section 5.
#[derive(Deserialize)]
pub(super) struct JwkSet {
    keys: Vec<Value>,
}

impl KeySet {
    /// Keeps what can verify a signature. RFC 7517 section 5: "Implementations
    /// SHOULD ignore JWKs within a JWK Set that use `kty` values that are not
    /// understood by them, that are missing required members, or for which
    /// values are out of the supported ranges."
    pub(super) fn read(set: JwkSet) -> Result<Self, ProviderUnavailable> {
        if set.keys.len() > MAX_KEYS {
            return Err(ProviderUnavailable::TooManyKeys { found: set.keys.len(), max: MAX_KEYS });
        }
        let keys: Vec<_> = set.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err(ProviderUnavailable::NoKeys) } else { Ok(Self(keys)) }
    }

    pub(super) fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// The key of this id, for this algorithm. RFC 7517 section 4.5 lets keys of
    /// different types share an id.
    pub(super) fn find(&self, kid: &str, algorithm: Algorithm) -> Result<&DecodingKey, JwtRefused> {
        let named = || self.0.iter().filter(|key| key.kid == kid);
        if let Some(key) = named().find(|key| key.algorithms.contains(&algorithm)) {
            return Ok(&key.decoding);
        }
        let others: Vec<_> = named().flat_map(|key| &key.algorithms).map(|other| name(*other)).collect();
        let kid = kid.to_owned();
        if others.is_empty() {
            return Err(JwtRefused::UnknownKey { kid });
        }
        Err(JwtRefused::KeyConfusion { kid, token: name(algorithm), key: others.join(", ") })
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let algorithms = algorithms(&jwk);
        let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let may_verify =
            jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        if algorithms.is_empty() || !for_signatures || !may_verify {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { kid: jwk.common.key_id?, algorithms, decoding })
    }
}

/// What a key may verify: what its type can do, narrowed to its own `alg`. An
/// `oct` key can do nothing: a provider that publishes one publishes a secret.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    let by_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        _ => &[],
    };
    let own = jwk.common.key_algorithm;
    by_type.iter().copied().filter(|one| own.is_none_or(|own| own == KeyAlgorithm::from(*one))).collect()
}

/// The one list of algorithms: asymmetric, and without a known weakness.
pub(super) fn allowed(alg: &str) -> Option<Algorithm> {
    ALLOWED.into_iter().find(|algorithm| name(*algorithm) == alg)
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::PS256 => "PS256",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        _ => "another algorithm",
    }
}

const ALLOWED: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

/// Providers have two or three; some of many tenants have a dozen.
pub(super) const MAX_KEYS: usize = 64;
