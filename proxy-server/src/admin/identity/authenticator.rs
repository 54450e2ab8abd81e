use std::{net::IpAddr, sync::Arc, time::Duration};

use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout};

use super::{
    ApiToken, AuthError, CertificateRules, ClientNetwork, Credentials, FailedLogin, FailedLogins, Oidc,
    Principal, RedirectAnswer, SignInAttempt, SignInConfig, SignInRefused, Tokens, known_good::KnownGood,
    sampler::Sampler, throttle::Throttle,
};
use crate::store::UnixMs;

/// From credentials to a [`Principal`]. Shared by all connections of the admin port.
///
/// Of one network, failed logins make the next ones wait ([`AuthError::TooManyFailures`]).
/// Successes are not counted, and forgive nothing. While a network waits, only
/// credentials that were right within the last day are looked at, so that an
/// attacker behind an administrator's address cannot lock him out; a right
/// token that was never used before waits like a guess, since to look at it
/// would mean to look at every guess. Requests under way at the same time are
/// all looked at: the bound on those is the port's bound on requests.
pub struct Authenticator {
    tokens: Arc<dyn Tokens>,
    oidc: Option<Arc<Oidc>>,
    certificates: CertificateRules,
    throttle: Throttle,
    known_good: KnownGood,
    sampler: Sampler,
    audit: Arc<dyn FailedLogins>,
}

impl Authenticator {
    /// One that knows API tokens only.
    pub fn new(tokens: Arc<dyn Tokens>, audit: Arc<dyn FailedLogins>) -> Self {
        Self {
            tokens,
            oidc: None,
            certificates: CertificateRules::default(),
            throttle: Throttle::default(),
            known_good: KnownGood::default(),
            sampler: Sampler::new(Instant::now()),
            audit,
        }
    }

    /// The same, with JWTs of a provider. Somebody must run [`Oidc::keep_fresh`].
    #[must_use]
    pub fn with_oidc(self, oidc: Arc<Oidc>) -> Self {
        Self { oidc: Some(oidc), ..self }
    }

    /// The same, with client certificates. TLS must verify them ([`super::client_verifier`]).
    #[must_use]
    pub fn with_certificates(self, certificates: CertificateRules) -> Self {
        Self { certificates, ..self }
    }

    /// Who sent this. `client` is the address of the connection, or what a
    /// trusted load balancer says it is; never a header's.
    ///
    /// # Errors
    /// [`AuthError`], which was reported to the audit if it counts as a failed login.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
        client: IpAddr,
        now: UnixMs,
    ) -> Result<Principal, AuthError> {
        let network = ClientNetwork::of(client);
        let fingerprint = credentials.fingerprint();
        let started = Instant::now();
        if !self.known_good.has(&fingerprint, started) {
            self.may_try(network, started)?;
        }
        let judged = match credentials {
            Credentials::Bearer(bearer) => self.bearer(bearer.as_str(), now).await,
            Credentials::Certificate(certificate) => self.certificate(certificate),
            Credentials::IdToken(token) => self.provider()?.holder(token, now).await.map_err(AuthError::from),
        };
        match &judged {
            Ok(_) => self.known_good.note(fingerprint, started),
            Err(error) if error.is_failed_login() => {
                self.known_good.forget(&fingerprint);
                self.failed(network, error);
            }
            Err(_) => {}
        }
        judged
    }

    /// How people sign in with their browser, if they may.
    pub fn sign_in(&self) -> Option<&SignInConfig> {
        self.oidc.as_ref()?.sign_in()
    }

    /// Where a browser goes to sign in.
    ///
    /// # Errors
    /// [`AuthError::SignIn`], [`AuthError::Provider`].
    pub async fn sign_in_url(&self, attempt: &SignInAttempt) -> Result<String, AuthError> {
        Ok(self.provider()?.sign_in_url(attempt).await?)
    }

    /// The browser is back. Whose credentials these are is for
    /// [`Authenticator::authenticate`] to say, now and with each request.
    ///
    /// # Errors
    /// [`AuthError`], which was reported to the audit if it counts as a failed login.
    pub async fn signed_in(
        &self,
        attempt: SignInAttempt,
        answer: RedirectAnswer,
        client: IpAddr,
        now: UnixMs,
    ) -> Result<Credentials, AuthError> {
        let network = ClientNetwork::of(client);
        self.may_try(network, Instant::now())?;
        let redeemed = self.provider()?.redeem(attempt, answer, now).await.map_err(AuthError::from);
        redeemed.map(Credentials::IdToken).inspect_err(|error| {
            if error.is_failed_login() {
                self.failed(network, error);
            }
        })
    }

    fn may_try(&self, network: ClientNetwork, now: Instant) -> Result<(), AuthError> {
        self.throttle.check(network, now).map_err(|retry_after| {
            self.sampler.skip();
            AuthError::TooManyFailures { retry_after }
        })
    }

    fn provider(&self) -> Result<&Oidc, AuthError> {
        self.oidc.as_deref().ok_or(AuthError::SignIn(SignInRefused::NotConfigured))
    }

    async fn bearer(&self, text: &str, now: UnixMs) -> Result<Principal, AuthError> {
        if text.starts_with(ApiToken::PREFIX) {
            return self.api_token(&text.parse().map_err(AuthError::Mistyped)?, now).await;
        }
        let oidc = self.oidc.as_ref().ok_or(AuthError::NotAnApiToken)?;
        Ok(oidc.authenticate(text, now).await?)
    }

    async fn api_token(&self, token: &ApiToken, now: UnixMs) -> Result<Principal, AuthError> {
        let hash = token.hash();
        let answer = timeout(STORE_DEADLINE, self.tokens.find(&hash)).await;
        let record = answer.map_err(|_| AuthError::StoreDeadline)?.map_err(AuthError::Store)?;
        // The store says it is this one; compared again here, in constant time, so that
        // a collation or a prefix match in a database never becomes a login.
        let record = record.filter(|record| record.hash == hash).ok_or(AuthError::UnknownToken)?;
        record.usable(now).map_err(|reason| AuthError::UnusableToken { id: record.id, reason })?;
        if record.last_used.is_none_or(|last| now.since(last) >= USE_NOTED_EVERY_MS) {
            self.tokens.used(&record.id, now);
        }
        Ok(Principal::holding(&record))
    }

    fn certificate(&self, verified: &CertificateDer<'_>) -> Result<Principal, AuthError> {
        self.certificates.identify(verified).map_err(AuthError::Certificate)
    }

    fn failed(&self, network: ClientNetwork, error: &AuthError) {
        let now = Instant::now();
        let failures = self.throttle.failed(network, now);
        if let Some(unreported) = self.sampler.sample(failures, now) {
            let (code, subject) = (error.code(), error.subject());
            self.audit.failed(FailedLogin { network, code, subject, failures, unreported });
        }
    }
}

/// A lookup by an index takes milliseconds; a store that is away must not hold requests.
const STORE_DEADLINE: Duration = Duration::from_secs(2);

const USE_NOTED_EVERY_MS: u64 = 60_000;
