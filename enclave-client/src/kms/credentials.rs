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
    newest: watch::Receiver<Option<Arc<Credentials>>>,
    /// Keeps the channel of fixed ones open.
    _fixed: Option<Arc<watch::Sender<Option<Arc<Credentials>>>>>,
}

impl CredentialSource {
    /// Always the same ones.
    pub fn fixed(credentials: Credentials) -> Self {
        let (sender, newest) = watch::channel(Some(Arc::new(credentials)));
        Self { newest, _fixed: Some(Arc::new(sender)) }
    }

    /// Those that somebody publishes; `None` while there are none (none yet, or none any more).
    pub fn published(newest: watch::Receiver<Option<Arc<Credentials>>>) -> Self {
        Self { newest, _fixed: None }
    }

    /// The newest ones; waits a moment for the first.
    ///
    /// # Errors
    /// [`CredentialError::None`] when there are none within [`PATIENCE`].
    pub async fn newest(&self) -> Result<Arc<Credentials>, CredentialError> {
        let mut newest = self.newest.clone();
        let some = timeout(PATIENCE, newest.wait_for(Option::is_some)).await;
        some.ok().and_then(|found| found.ok()?.clone()).ok_or(CredentialError::None)
    }
}

/// For credentials to come: less than an SDK waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
        let (publish, receiver) = watch::channel(None);
        let source = CredentialSource::published(receiver);
        assert_eq!(source.newest().await, Err(CredentialError::None));
        let one = Arc::new(Credentials::new("one".into(), "s".into(), None));
        publish.send(Some(one.clone())).unwrap();
        assert_eq!(source.newest().await, Ok(one));
        publish.send(None).unwrap();
        assert_eq!(source.newest().await, Err(CredentialError::None), "taken back");
    }
}
