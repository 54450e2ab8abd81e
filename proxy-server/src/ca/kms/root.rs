use std::{future::Future, time::Duration};

use aws_sdk_kms::{
    Client,
    error::SdkError,
    operation::get_public_key::GetPublicKeyOutput,
    primitives::Blob,
    types::{KeyUsageType, MessageType},
};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use tokio::time::timeout;

use super::{KmsKey, public_key::RootKey};
use crate::{
    aws::{Manners, sdk_config},
    ca::{CaError, anchor::anchor_of, intermediate::Draft, unsigned::Unsigned},
};

/// A root whose key KMS keeps.
///
/// It has no certificate: the gateway trusts its name and its public key, which
/// every replica reads from KMS alike, so there is nothing to publish.
pub(in crate::ca) struct KmsRoot {
    client: Client,
    arn: String,
    key: RootKey,
    anchor: TrustAnchor<'static>,
}

impl KmsRoot {
    /// Asks KMS for the public key. Credentials come from where AWS's SDKs look
    /// for them; needed are `kms:GetPublicKey` and `kms:Sign`.
    pub(in crate::ca) async fn open(key: &KmsKey) -> Result<Self, CaError> {
        let config = sdk_config(key.region(), key.endpoint(), MANNERS);
        let config = within(key.arn(), async { Ok(config.await) }).await?;
        Self::with_client(Client::new(&config), key.arn()).await
    }

    /// The same through a client that stands already.
    pub(super) async fn with_client(client: Client, arn: &str) -> Result<Self, CaError> {
        let asked = client.get_public_key().key_id(arn).send();
        let answer = within(arn, async { asked.await.map_err(failed(arn, "GetPublicKey")) }).await?;
        let key = root_key(&answer)
            .ok_or_else(|| CaError::KmsKey { key: arn.to_owned(), found: describe(&answer) })?;
        let anchor = anchor_of(&key)?;
        Ok(Self { client, arn: arn.to_owned(), key, anchor })
    }

    /// The certificate that KMS makes of a draft.
    pub(in crate::ca) async fn certify(&self, draft: &Draft) -> Result<CertificateDer<'static>, CaError> {
        let unsigned = Unsigned::new(draft.params.clone(), &draft.key, &self.key)?;
        let asked = self
            .client
            .sign()
            .key_id(&self.arn)
            .message_type(MessageType::Raw)
            .message(Blob::new(unsigned.tbs()))
            .signing_algorithm(self.key.kms_algorithm())
            .send();
        let answer = within(&self.arn, async { asked.await.map_err(failed(&self.arn, "Sign")) }).await?;
        let signature = answer.signature.map(Blob::into_inner).unwrap_or_default();
        // Whoever issues under a certificate that nobody takes finds out too late.
        if !self.key.holds(unsigned.tbs(), &signature) {
            return Err(CaError::KmsSignature { key: self.arn.clone() });
        }
        unsigned.signed(signature)
    }

    pub(in crate::ca) fn anchor(&self) -> &TrustAnchor<'static> {
        &self.anchor
    }
}

/// The key, if it may sign certificates and is on a curve that both ends know.
/// The bytes of the key say which curve it is, whatever else KMS says of it.
fn root_key(answer: &GetPublicKeyOutput) -> Option<RootKey> {
    let signs = answer.key_usage() == Some(&KeyUsageType::SignVerify);
    answer.public_key().filter(|_| signs).and_then(|spki| RootKey::from_spki(spki.as_ref()))
}

fn describe(answer: &GetPublicKeyOutput) -> String {
    let usage = answer.key_usage().map_or("none", KeyUsageType::as_str);
    #[allow(deprecated, reason = "the older name of the field, all that some stand-ins for KMS know")]
    let older = || answer.customer_master_key_spec().map(|spec| spec.as_str());
    let spec = answer.key_spec().map(|spec| spec.as_str()).or_else(older).unwrap_or("none");
    format!("key usage {usage} and key spec {spec}")
}

async fn within<T>(arn: &str, doing: impl Future<Output = Result<T, CaError>>) -> Result<T, CaError> {
    let slow = |_| CaError::KmsSlow { key: arn.to_owned(), after: DEADLINE };
    timeout(DEADLINE, doing).await.map_err(slow)?
}

fn failed<E, R>(arn: &str, operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> CaError
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    move |error| CaError::Kms { key: arn.to_owned(), operation, source: Box::new(error) }
}

/// The rotation itself tries again for days.
const MANNERS: Manners = Manners { attempts: 3, attempt: Duration::from_secs(4) };

/// How long all tries together may take, credentials included.
const DEADLINE: Duration = Duration::from_secs(15);
