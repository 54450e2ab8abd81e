//! One round of the exchange: both ends prove what they are, at the same time.
//!
//! ```text
//!   Challenge ─▶ ◀─ Challenge      each its own nonce
//!       both ask their NSM           PeerBinder: side, both keys, exporter over both nonces, both nonces
//!   Proof     ─▶ ◀─ Proof
//!       both verify                  signature, chain, nonce, key, binder, then PCRs
//!   Accepted  ─▶ ◀─ Accepted       a side that refuses says so, and ends
//! ```
//!
//! The time to verify at is that of our own document: an enclave's clock may be
//! wrong or set by its host, the time that the NSM signs is the hypervisor's. So
//! clocks of two enclaves may differ by any amount, and the two hypervisors by
//! [`SKEW`]. Against replay stand the nonces, not the time.

use std::time::Duration;

use countersign_protocol::{
    Lease, Nonce,
    peer::{PeerBinder, PeerMessage, Side, exporter_context},
};
use countersign_verifier::{
    Evidence, Expectations, Expected, Freshness, PcrSet, UnixMillis, UnverifiedDocument, Verifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{PeerError, ProtocolFault, Secured, SignedTime, frames, frames::Received};
use crate::device::{Device, DocumentRequest};

/// What decides whether evidence is good enough.
pub trait Judge: Send + Sync {
    /// Verifies documents under the root that the peer's configuration names.
    ///
    /// # Errors
    /// [`PeerError::Config`] when no configuration is in force.
    fn verifier(&self) -> Result<std::sync::Arc<Verifier>, PeerError>;

    /// The name of the measurement that these PCRs are, and how long it may go on without another proof.
    ///
    /// # Errors
    /// [`PeerError`], also when no configuration is in force.
    fn appraise(&self, pcrs: &PcrSet, at: UnixMillis) -> Result<(String, Lease), PeerError>;
}

/// What the other end proved in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Its PCRs.
    pub pcrs: PcrSet,
    /// The enclave's id.
    pub module_id: String,
    /// The root that its document leads to, by the verifier's name for it.
    pub root: &'static str,
    /// The measurement it is, by name.
    pub measurement: String,
    /// When the round was: the time in our own document.
    pub at: SignedTime,
    /// How long both ends hold what the other proved: the shorter of what they grant each other, so that neither takes
    /// for proven what the other has dropped.
    pub lease: Lease,
    /// Counted from when its document had arrived.
    pub since: Instant,
}

/// One round, within [`ROUND_DEADLINE`]. `link` must be at the beginning of one.
///
/// # Errors
/// [`PeerError`]: why the other end is not who it must be, its refusal of us, or what went wrong. The other end
/// was told, if it listens; nothing more may be said on the connection.
pub async fn round<S>(
    link: &mut Secured<S>,
    device: &Device,
    judge: &(impl Judge + ?Sized),
) -> Result<Proven, PeerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let done = round_within(ROUND_DEADLINE, link, device, judge).await;
    if let Err(why) = &done {
        refuse(link, why).await;
    }
    done
}

/// As [`round`], with a deadline of the caller's, who also tells the other end why not: [`refuse`].
pub(super) async fn round_within<S>(
    deadline: Duration,
    link: &mut Secured<S>,
    device: &Device,
    judge: &(impl Judge + ?Sized),
) -> Result<Proven, PeerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let whole = async {
        let mine = nonce()?;
        if link.side() == Side::Initiator {
            frames::write(&mut link.stream, &PeerMessage::Challenge(mine)).await?;
        }
        let theirs = challenge(&frames::read(&mut link.stream).await?)?;
        exchange(link, device, judge, mine, theirs).await
    };
    within(deadline, whole).await
}

/// The rest of a round whose challenge from the other end, the initiator, has come already. The caller tells the other
/// end why not.
///
/// # Errors
/// As [`round`].
pub(super) async fn answer<S>(
    link: &mut Secured<S>,
    device: &Device,
    judge: &(impl Judge + ?Sized),
    challenged: &Received,
) -> Result<Proven, PeerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let rest = async {
        let theirs = challenge(challenged)?;
        exchange(link, device, judge, nonce()?, theirs).await
    };
    within(ROUND_DEADLINE, rest).await
}

/// Says why to the other end, as far as it is about the other end. It may be gone; where it certainly does not listen,
/// time is better spent on another connection.
pub(super) async fn refuse<S>(link: &mut Secured<S>, why: &PeerError)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if matches!(why, PeerError::RefusedByPeer(_) | PeerError::Tls(_) | PeerError::Deadline { .. }) {
        return;
    }
    let refusal = PeerMessage::Refused(why.to_refusal());
    let said = async {
        frames::write(&mut link.stream, &refusal).await?;
        link.stream.shutdown().await.map_err(PeerError::Tls)?;
        // Closed with bytes unread, TCP would send a reset, which can overtake what was just said.
        let mut rest = (&mut link.stream).take(MAX_UNREAD);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map_err(PeerError::Tls)
    };
    // Its own deadline: who does not listen is not waited for.
    let _ = timeout(LAST_WORD, said).await;
}

async fn exchange<S>(
    link: &mut Secured<S>,
    device: &Device,
    judge: &(impl Judge + ?Sized),
    mine: Nonce,
    theirs: Nonce,
) -> Result<Proven, PeerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if link.side() == Side::Responder {
        frames::write(&mut link.stream, &PeerMessage::Challenge(mine)).await?;
    }
    let verifier = judge.verifier()?;
    let tie = Tie::new(link, mine, theirs)?;
    let document = device.document(tie.request(link)).await.map_err(PeerError::Device)?;
    let at = SignedTime::of(&document)?;
    frames::write(&mut link.stream, &PeerMessage::Proof(&document)).await?;
    let received = frames::read(&mut link.stream).await?;
    let PeerMessage::Proof(theirs) = received.message()? else {
        return Err(ProtocolFault::OutOfTurn { expected: "a proof" }.into());
    };
    let since = Instant::now();
    let evidence = tie.verify(link, &verifier, theirs, at.at)?;
    let now = at.later(since);
    let (measurement, lease) = judge.appraise(evidence.pcrs(), now)?;
    let lease = bounded(lease, &evidence, now)?;
    frames::write(&mut link.stream, &PeerMessage::Accepted(lease)).await?;
    let PeerMessage::Accepted(granted) = frames::read(&mut link.stream).await?.message()? else {
        return Err(ProtocolFault::OutOfTurn { expected: "an acceptance" }.into());
    };
    Ok(Proven {
        pcrs: evidence.pcrs().clone(),
        module_id: evidence.module_id().to_owned(),
        root: verifier.anchor().name(),
        measurement,
        at,
        lease: lease.min(granted),
        since,
    })
}

/// What ties both documents of a round to this connection and this round.
pub(super) struct Tie {
    mine: Nonce,
    theirs: Nonce,
    exporter: [u8; countersign_protocol::wire::EXPORTER_LEN],
}

impl Tie {
    pub(super) fn new<S>(link: &Secured<S>, mine: Nonce, theirs: Nonce) -> Result<Self, PeerError> {
        let context = match link.side() {
            Side::Initiator => exporter_context(&mine, &theirs),
            Side::Responder => exporter_context(&theirs, &mine),
        };
        Ok(Self { mine, theirs, exporter: link.exporter(&context)? })
    }

    /// What our document shall carry.
    fn request<S>(&self, link: &Secured<S>) -> DocumentRequest {
        let binder = PeerBinder {
            side: link.side(),
            attester_spki: link.own_spki(),
            verifier_spki: link.peer_spki(),
            exporter: &self.exporter,
            attester_nonce: &self.mine,
            verifier_nonce: &self.theirs,
        };
        DocumentRequest {
            public_key: link.own_spki().to_vec(),
            user_data: binder.digest().to_vec(),
            nonce: self.theirs.as_bytes().to_vec(),
        }
    }

    /// What the other end's document must carry; then signature and chain.
    pub(super) fn verify<'d, S>(
        &self,
        link: &Secured<S>,
        verifier: &Verifier,
        document: &'d [u8],
        at: UnixMillis,
    ) -> Result<Evidence<'d>, PeerError> {
        let binder = PeerBinder {
            side: link.side().other(),
            attester_spki: link.peer_spki(),
            verifier_spki: link.own_spki(),
            exporter: &self.exporter,
            attester_nonce: &self.theirs,
            verifier_nonce: &self.mine,
        };
        let document = UnverifiedDocument::parse(document)?;
        let evidence = verifier.verify(
            &document,
            &Expectations {
                at: allowing_for_skew(at, document.timestamp()),
                freshness: Freshness::Within { past: SKEW, future: SKEW },
                nonce: Expected::Exactly(self.mine.as_bytes()),
                public_key: Expected::Exactly(link.peer_spki()),
                user_data: Expected::Exactly(&binder.digest()),
            },
        )?;
        Ok(evidence)
    }
}

/// A hypervisor that is ahead of ours issues certificates that do not count yet by our time. So the later of the two
/// times is taken, as long as they are not too far apart: it can only make a certificate end earlier.
fn allowing_for_skew(ours: UnixMillis, theirs: UnixMillis) -> UnixMillis {
    if theirs.since(ours) <= SKEW { ours.max(theirs) } else { ours }
}

/// Nothing that rests on evidence lives longer than its certificates: a lease that begins `now` is at most what is left.
fn bounded(lease: Lease, evidence: &Evidence<'_>, now: UnixMillis) -> Result<Lease, PeerError> {
    let left = evidence.not_after().since(now).as_secs();
    Lease::from_secs(left.min(lease.as_secs())).map_err(|_| PeerError::EndsSoon { left })
}

fn challenge(received: &Received) -> Result<Nonce, PeerError> {
    match received.message()? {
        PeerMessage::Challenge(nonce) => Ok(nonce),
        _ => Err(ProtocolFault::OutOfTurn { expected: "a challenge" }.into()),
    }
}

pub(super) fn nonce() -> Result<Nonce, PeerError> {
    let mut bytes = [0; Nonce::LEN];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PeerError::Device(crate::device::DeviceError::Gone))?;
    Ok(Nonce::from_bytes(bytes))
}

pub(super) async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, PeerError>>,
) -> Result<T, PeerError> {
    timeout(deadline, work).await.unwrap_or(Err(PeerError::Deadline { deadline }))
}

/// How far two hypervisors' clocks may be apart. AWS keeps them within milliseconds; a document also waits for its
/// turn at the device, at most [`crate::device::DEADLINE`], on either side.
pub const SKEW: Duration = Duration::from_secs(60);

/// For all of a round: a document of each side, each with its wait for the device, and the way there and back.
pub const ROUND_DEADLINE: Duration = Duration::from_secs(20);

/// For a refusal to leave.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What the other end may have said meanwhile: a document and a word or two.
const MAX_UNREAD: u64 = 64 * 1024;
