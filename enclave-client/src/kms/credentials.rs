use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::timeout};
use zeroize::Zeroizing;

/// AWS credentials. The secrets are wiped when dropped and masked in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
    expires: Option<SystemTime>,
}

impl Credentials {
    /// From their parts; the token belongs to temporary ones.
    pub fn new(access_key_id: String, secret_access_key: String, session_token: Option<String>) -> Self {
        Self {
            access_key_id,
            secret_access_key: Zeroizing::new(secret_access_key),
            session_token: session_token.map(Zeroizing::new),
            expires: None,
        }
    }

    /// The same, with the moment from which AWS refuses them.
    pub fn expiring(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }

    /// From when on AWS refuses them; `None` where nobody said.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    fn expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if there is one, `AWS_SESSION_TOKEN`, as `lookup`
    /// finds them.
    ///
    /// # Errors
    /// [`CredentialError::Variable`] names the one that is missing or empty.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, CredentialError> {
        let get = |name: &'static str| {
            lookup(name).filter(|value| !value.is_empty()).ok_or(CredentialError::Variable { name })
        };
        let (id, secret) = (get("AWS_ACCESS_KEY_ID")?, get("AWS_SECRET_ACCESS_KEY")?);
        Ok(Self::new(id, secret, get("AWS_SESSION_TOKEN").ok()))
    }

    /// The part that is no secret.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    pub(super) fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }

    pub(super) fn session_token(&self) -> Option<&str> {
        self.session_token.as_ref().map(|token| token.as_str())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.access_key_id).finish()
    }
}

/// Where credentials come from: whoever renews them publishes, and each call takes the newest.
#[derive(Clone, Debug)]
pub struct CredentialSource {
    held: watch::Receiver<Held>,
    /// Keeps the channel of fixed ones open.
    _fixed: Option<Arc<Publisher>>,
}

/// Where new credentials go. What was published before stays known for as long as AWS takes it: an SDK asks for
/// new ones when it likes, and signs with what it has until then.
#[derive(Debug)]
pub struct Publisher(watch::Sender<Held>);

/// The newest first. Empty while there are none (none yet, or none any more).
type Held = Vec<Arc<Credentials>>;

impl Publisher {
    /// From now on these are the newest.
    pub fn publish(&self, credentials: Credentials) {
        let newest = Arc::new(credentials);
        self.0.send_modify(|held| {
            let now = SystemTime::now();
            held.retain(|old| old.access_key_id != newest.access_key_id && !old.expired(now));
            held.insert(0, newest);
            held.truncate(REMEMBERED);
        });
    }

    /// From now on there are none.
    pub fn take_back(&self) {
        self.0.send_replace(Held::new());
    }
}

impl CredentialSource {
    /// Always the same ones.
    pub fn fixed(credentials: Credentials) -> Self {
        let (publisher, source) = Self::published();
        publisher.publish(credentials);
        Self { _fixed: Some(Arc::new(publisher)), ..source }
    }

    /// Those that somebody publishes; none yet.
    pub fn published() -> (Publisher, Self) {
        let (sender, held) = watch::channel(Held::new());
        (Publisher(sender), Self { held, _fixed: None })
    }

    /// The newest ones; waits a moment for the first.
    ///
    /// # Errors
    /// [`CredentialError::None`] when there are none within [`PATIENCE`].
    pub async fn newest(&self) -> Result<Arc<Credentials>, CredentialError> {
        let mut held = self.held.clone();
        let some = timeout(PATIENCE, held.wait_for(|held| !held.is_empty())).await;
        some.ok().and_then(|found| found.ok()?.first().cloned()).ok_or(CredentialError::None)
    }

    /// Those of this access key that AWS still takes, or else the newest; waits as [`Self::newest`] does.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub async fn known_as(&self, access_key_id: &str) -> Result<Arc<Credentials>, CredentialError> {
        let newest = self.newest().await?;
        let now = SystemTime::now();
        let held = self.held.borrow();
        let known = held.iter().find(|known| known.access_key_id == access_key_id && !known.expired(now));
        Ok(known.cloned().unwrap_or(newest))
    }

    /// Returns when other ones are published than were when this was called last.
    ///
    /// # Errors
    /// [`CredentialError::None`] when nobody publishes any more.
    pub async fn changed(&mut self) -> Result<Option<Arc<Credentials>>, CredentialError> {
        self.held.changed().await.map_err(|_| CredentialError::None)?;
        Ok(self.held.borrow_and_update().first().cloned())
    }
}

/// For credentials to come: less than an SDK waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The newest and those before it: renewed at half their life, two of them live at a time.
const REMEMBERED: usize = 4;

/// Why there are no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialError {
    /// An environment variable is not set, or empty.
    Variable {
        /// Its name.
        name: &'static str,
    },
    /// Nobody published any in time.
    None,
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { name } => write!(f, "{name} is not set"),
            Self::None => f.write_str("there are no AWS credentials"),
        }
    }
}

impl std::error::Error for CredentialError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_give_credentials_and_debug_hides_them() {
        let set = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("AKIDEXAMPLE".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
            "AWS_SESSION_TOKEN" => Some(String::new()),
            _ => None,
        };
        let found = Credentials::from_variables(set).unwrap();
        assert_eq!((found.secret_access_key(), found.session_token()), ("secret", None));
        assert_eq!(format!("{found:?}"), "Credentials(\"AKIDEXAMPLE\")");
        let error = Credentials::from_variables(|name| set(name).filter(|value| value != "secret"));
        assert_eq!(error.unwrap_err().to_string(), "AWS_SECRET_ACCESS_KEY is not set");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_takes_the_newest_and_waits_for_the_first_only() {
        let (publisher, source) = CredentialSource::published();
        assert_eq!(source.newest().await, Err(CredentialError::None));
        publisher.publish(made("one", 60));
        assert_eq!(source.newest().await.unwrap().access_key_id(), "one");
        publisher.take_back();
        assert_eq!(source.newest().await, Err(CredentialError::None), "taken back");
        assert_eq!(source.known_as("one").await, Err(CredentialError::None));
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_ones_are_known_until_they_expire() {
        let (publisher, source) = CredentialSource::published();
        let known = async |id: &str| source.known_as(id).await.unwrap().access_key_id().to_owned();
        publisher.publish(made("over", 0));
        publisher.publish(made("one", 60));
        publisher.publish(made("two", 60));
        assert_eq!((known("one").await, known("two").await), ("one".into(), "two".into()));
        assert_eq!(known("over").await, "two", "expired: the caller is judged by the newest");
        for number in 3..9 {
            publisher.publish(made(&number.to_string(), 60));
        }
        assert_eq!((known("5").await, known("4").await), ("5".into(), "8".into()), "no more than four");
        publisher.publish(made("8", 60));
        assert_eq!(source.held.borrow().len(), REMEMBERED, "the same ones again take no second place");
    }

    fn made(id: &str, left: u64) -> Credentials {
        let expires = SystemTime::now() + Duration::from_secs(left);
        Credentials::new(id.to_owned(), "secret".to_owned(), None).expiring(expires)
    }
}
