use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use subtle::ConstantTimeEq;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{
    admin::{
        identity::{Credentials, NoRandomness, Subject},
        secret::{known_by as key, secret},
    },
    store::UnixMs,
};

/// Who is signed in to this process's page. In memory only: a restart signs
/// everybody out, and nothing that is worth a login lies on a disk.
#[derive(Default)]
pub(super) struct Logins(Mutex<HashMap<[u8; 32], Login>>);

/// One browser that is signed in.
struct Login {
    credentials: Credentials,
    subject: Subject,
    csrf: Zeroizing<String>,
    used: Instant,
    /// When it is over, whatever is done.
    until: Instant,
}

/// What a cookie stands for: judged again with every request.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) credentials: Credentials,
    pub(super) csrf: Csrf,
    /// When it is over, whatever is done.
    pub(super) until: Instant,
}

/// The secret of a login that forms carry, and no other site knows.
#[derive(Clone)]
pub(super) struct Csrf(Zeroizing<String>);

impl Csrf {
    /// For a hidden field.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// In constant time.
    pub(super) fn is(&self, told: &str) -> bool {
        self.0.as_bytes().ct_eq(told.as_bytes()).into()
    }
}

/// Whether a request is a person's doing, or the page's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// Somebody opened a page or sent a form.
    Person,
    /// The page renewed itself: this keeps nobody signed in.
    Page,
}

impl Logins {
    /// Signs in, and gives the cookie's value. No login outlives the provider's
    /// word that it stands for. When there are too many, who was idle for longest goes:
    /// of the same person if that one has many.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn begin(
        &self,
        subject: &Subject,
        credentials: Credentials,
    ) -> Result<Zeroizing<String>, NoRandomness> {
        let (id, csrf) = (secret()?, secret()?);
        let now = Instant::now();
        let mut logins = self.held();
        logins.retain(|_, login| login.lives(now));
        let own = logins.values().filter(|login| login.subject == *subject).count();
        if own >= MOST_OF_ONE || logins.len() >= MOST {
            let may_go = |login: &Login| own < MOST_OF_ONE || login.subject == *subject;
            let going = logins.iter().filter(|(_, login)| may_go(login));
            if let Some(idle) = going.min_by_key(|(_, login)| login.used).map(|(key, _)| *key) {
                logins.remove(&idle);
            }
        }
        let (subject, until) = (subject.clone(), now + longest(&credentials));
        logins.insert(key(&id), Login { credentials, subject, csrf, used: now, until });
        Ok(id)
    }

    /// The login of this cookie, if it lives.
    pub(super) fn find(&self, id: &str, activity: Activity) -> Option<Found> {
        let now = Instant::now();
        let mut logins = self.held();
        let login = logins.get_mut(&key(id)).filter(|login| login.lives(now))?;
        if activity == Activity::Person {
            login.used = now;
        }
        Some(Found {
            credentials: login.credentials.clone(),
            csrf: Csrf(login.csrf.clone()),
            until: login.until,
        })
    }

    /// Signs out.
    pub(super) fn end(&self, id: &str) {
        self.held().remove(&key(id));
    }

    fn held(&self) -> MutexGuard<'_, HashMap<[u8; 32], Login>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    fn lives(&self, now: Instant) -> bool {
        now.duration_since(self.used) < IDLE && now < self.until
    }
}

/// How long a login with these can last.
fn longest(credentials: &Credentials) -> Duration {
    match credentials {
        Credentials::IdToken(token) => {
            Duration::from_millis(token.expires().since(UnixMs::now())).min(LONGEST)
        }
        // These are judged anew with each request, and say nothing before.
        Credentials::Bearer(_) | Credentials::Certificate(_) => LONGEST,
    }
}

/// Nobody did anything for so long.
pub(super) const IDLE: Duration = Duration::from_secs(30 * 60);

/// A working day; then people sign in again.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 3600);

/// Browsers that are signed in at once.
const MOST: usize = 1024;

/// Those of one person: whoever signs in over and over signs out nobody else.
const MOST_OF_ONE: usize = 16;

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;

    fn credentials() -> Credentials {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer cst_test"));
        Credentials::find(&headers, None).unwrap()
    }

    fn person(name: &str) -> Subject {
        Subject::local(name)
    }

    fn lives(logins: &Logins, id: &str, activity: Activity) -> bool {
        logins.find(id, activity).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_ends_by_idleness_by_its_age_and_by_hand() {
        let logins = Logins::default();
        let id = logins.begin(&person("ann"), credentials()).unwrap();
        assert!(!lives(&logins, "another", Activity::Person));
        tokio::time::advance(IDLE - Duration::from_secs(1)).await;
        assert!(lives(&logins, &id, Activity::Page));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!lives(&logins, &id, Activity::Person), "the page's own requests keep nobody signed in");

        let id = logins.begin(&person("ann"), credentials()).unwrap();
        for _ in 0..21 {
            tokio::time::advance(IDLE - Duration::from_secs(1)).await;
            if !lives(&logins, &id, Activity::Person) {
                break;
            }
        }
        assert!(!lives(&logins, &id, Activity::Person), "a day's end is a day's end");

        let id = logins.begin(&person("ann"), credentials()).unwrap();
        logins.end(&id);
        assert!(!lives(&logins, &id, Activity::Person));
    }

    #[tokio::test(start_paused = true)]
    async fn the_idlest_gives_way() {
        let logins = Logins::default();
        let first = logins.begin(&person("ann"), credentials()).unwrap();
        let second = logins.begin(&person("ann"), credentials()).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(lives(&logins, &first, Activity::Person));
        for number in 0..MOST - 1 {
            logins.begin(&person(&number.to_string()), credentials()).unwrap();
        }
        assert!(lives(&logins, &first, Activity::Page));
        assert!(!lives(&logins, &second, Activity::Page));
        assert_eq!(logins.held().len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_signs_in_over_and_over_signs_out_nobody_else() {
        let logins = Logins::default();
        let other = logins.begin(&person("other"), credentials()).unwrap();
        let first = logins.begin(&person("one"), credentials()).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..2 * MOST {
            logins.begin(&person("one"), credentials()).unwrap();
        }
        assert!(lives(&logins, &other, Activity::Page));
        assert!(!lives(&logins, &first, Activity::Page));
        assert_eq!(logins.held().len(), MOST_OF_ONE + 1);
    }
}
