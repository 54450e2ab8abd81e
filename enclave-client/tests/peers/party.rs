//! One end of an exchange by hand: for attacks below the service.

use countersign_enclave::{
    device::Device,
    key::EnclaveKey,
    peers::{Judge, PeerError, PeerIdentity, Proven, Secured, config::Trusted, round},
};
use countersign_protocol::{
    Lease,
    peer::{Opening, PeerConfig},
};
use countersign_simulator::Module;
use countersign_verifier::{PcrSet, UnixMillis, Verifier};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::rig::World;

/// An enclave's key, its NSM and whom it believes.
pub struct Party {
    pub key: EnclaveKey,
    pub identity: PeerIdentity,
    device: Device,
    trusted: Trusted,
    lease: Lease,
}

impl Party {
    pub fn new(world: &World, module: Module, peers: PeerConfig) -> Self {
        Self::holding(world, module, peers, EnclaveKey::generate().unwrap())
    }

    /// With a key that somebody else may hold too.
    pub fn holding(world: &World, module: Module, peers: PeerConfig, key: EnclaveKey) -> Self {
        let text = world.signer.sign(peers);
        let trusted = Trusted::new(text.as_bytes(), &world.signer.pin(), None, &world.verifiers()).unwrap();
        let identity = PeerIdentity::of(&key).unwrap();
        Self { key, identity, device: world.device(module).0, trusted, lease: Lease::MIN }
    }

    pub fn granting(self, lease: Lease) -> Self {
        Self { lease, ..self }
    }

    /// Proves itself at a port; what was proved, and the connection that did.
    pub async fn prove<S>(&self, stream: S) -> Result<(Proven, Secured<S>), PeerError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut link = self.identity.connect(stream).await?;
        link.stream.write_all(&[Opening::Prove.byte()]).await.map_err(PeerError::Tls)?;
        Ok((round(&mut link, &self.device, self).await?, link))
    }

    pub async fn dial<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<Proven, PeerError> {
        let mut link = self.identity.connect(stream).await?;
        round(&mut link, &self.device, self).await
    }

    pub async fn take<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<Proven, PeerError> {
        let mut link = self.identity.accept(stream).await?;
        round(&mut link, &self.device, self).await
    }
}

impl Judge for Party {
    fn verifier(&self) -> Result<Arc<Verifier>, PeerError> {
        Ok(self.trusted.verifier().clone())
    }

    fn appraise(&self, pcrs: &PcrSet, _: UnixMillis) -> Result<(String, Lease), PeerError> {
        Ok((self.trusted.appraise(pcrs)?.to_owned(), self.lease))
    }
}
