//! Half a round, for people: the other end proves itself, and we prove nothing.

use countersign_protocol::{
    Nonce,
    peer::{Opening, PeerMessage, PeerRefusal},
};
use countersign_verifier::{PcrSet, UnixMillis};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    PeerError, PeerIdentity, ProtocolFault, ROUND_DEADLINE, Secured,
    config::Trusted,
    exchange::{self, Tie, within},
    frames,
};

/// What a peer proved to somebody who is no enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The enclave's id.
    pub module_id: String,
    /// Its PCRs.
    pub pcrs: PcrSet,
    /// When the document was made, by its NSM.
    pub timestamp: UnixMillis,
    /// When its certificates end.
    pub not_after: UnixMillis,
    /// The root that they lead to.
    pub root: &'static str,
    /// The measurement of the configuration that it is.
    pub measurement: String,
}

/// Attests whoever answers on `stream`, at the time `at`: that of the machine that asks, since it has no NSM.
///
/// # Errors
/// [`PeerError`]: why the other end is not who the configuration says.
pub async fn probe<S>(
    identity: &PeerIdentity,
    stream: S,
    trusted: &Trusted,
    at: UnixMillis,
) -> Result<Probed, PeerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut link = identity.connect(stream).await?;
    let probed = within(ROUND_DEADLINE, ask(&mut link, trusted, at)).await;
    let goodbye = PeerMessage::Refused(PeerRefusal::new("probe", "only looked, and is no enclave"));
    // The other end ends it anyway.
    let _ = timeout(ROUND_DEADLINE, frames::write(&mut link.stream, &goodbye)).await;
    probed
}

async fn ask<S>(link: &mut Secured<S>, trusted: &Trusted, at: UnixMillis) -> Result<Probed, PeerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mine: Nonce = exchange::nonce()?;
    link.stream.write_all(&[Opening::Prove.byte()]).await.map_err(PeerError::Tls)?;
    frames::write(&mut link.stream, &PeerMessage::Challenge(mine)).await?;
    let received = frames::read(&mut link.stream).await?;
    let PeerMessage::Challenge(theirs) = received.message()? else {
        return Err(ProtocolFault::OutOfTurn { expected: "a challenge" }.into());
    };
    let received = frames::read(&mut link.stream).await?;
    let PeerMessage::Proof(document) = received.message()? else {
        return Err(ProtocolFault::OutOfTurn { expected: "a proof" }.into());
    };
    let evidence = Tie::new(link, mine, theirs)?.verify(link, trusted.verifier(), document, at)?;
    Ok(Probed {
        module_id: evidence.module_id().to_owned(),
        pcrs: evidence.pcrs().clone(),
        timestamp: evidence.timestamp(),
        not_after: evidence.not_after(),
        root: trusted.verifier().anchor().name(),
        measurement: trusted.appraise(evidence.pcrs())?.to_owned(),
    })
}
