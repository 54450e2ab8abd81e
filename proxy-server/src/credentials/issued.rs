use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use countersign_protocol::message::IssuedCredentials;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Credentials that STS gave for one session. The secrets are wiped when dropped and masked in `Debug`.
pub struct Issued {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Zeroizing<String>,
    expires: SystemTime,
    life: Duration,
    ends: Instant,
}

impl Issued {
    /// From their parts; `expires` is AWS's word, what is left of it is counted by this machine's clocks.
    pub fn new(
        access_key_id: String,
        secret_access_key: String,
        session_token: String,
        expires: SystemTime,
    ) -> Self {
        let life = expires.duration_since(SystemTime::now()).unwrap_or_default();
        Self {
            access_key_id,
            secret_access_key: Zeroizing::new(secret_access_key),
            session_token: Zeroizing::new(session_token),
            expires,
            life,
            ends: Instant::now() + life,
        }
    }

    /// The part that is no secret: CloudTrail names it.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// From then on AWS refuses them.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// Whether they are new enough to be given again: an enclave asks at about half of what is left of them, and
    /// then it is time for new ones.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.left(now) > self.life.mul_f64(FRESH)
    }

    /// Whether they are worth giving where no new ones can be had.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.left(now) > LEAST_LIFE
    }

    fn left(&self, now: Instant) -> Duration {
        self.ends.saturating_duration_since(now)
    }

    /// The message that carries them.
    pub fn message(&self) -> IssuedCredentials<'_> {
        let expires = self.expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        IssuedCredentials {
            access_key_id: &self.access_key_id,
            secret_access_key: &self.secret_access_key,
            session_token: &self.session_token,
            expires,
        }
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issued").field(&self.access_key_id).finish()
    }
}

/// Of their life. The enclave asks again when 45 to 55 of a hundred parts are over: what it is given then is new,
/// and whoever asks all the time makes STS issue no oftener than each 40 parts.
const FRESH: f64 = 0.6;

/// Less than this is over before it is used.
const LEAST_LIFE: Duration = Duration::from_secs(60);
