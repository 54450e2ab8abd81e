use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use serde::Deserialize;
use tokio::{sync::Semaphore, time::timeout};
use zeroize::Zeroizing;

use super::{
    RedirectAnswer, SignInAttempt, SignInConfig, SignInRefused,
    answer::Told,
    endpoints::{ClientShows, Endpoints, IssuerTold},
    error::word,
};
use crate::{
    admin::identity::oidc::{
        Issuer, OidcError, ProviderUnavailable,
        fetch::{DEADLINE, Fetcher, Form, Posted},
    },
    percent::{encoded, pairs},
};

/// Redeems codes, some at a time: a provider that is slow holds no more of the port's requests than that.
pub(in crate::admin::identity::oidc) struct Exchange(Semaphore);

/// RFC 6749 section 5.1 and OpenID Connect Core 1.0 section 3.1.3.3: the one field that is needed of it.
#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
}

/// RFC 6749 section 5.2.
#[derive(Deserialize)]
struct TokenError {
    error: String,
}

impl Default for Exchange {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Exchange {
    /// The text of an ID token that nobody has looked at. It waits for the provider at most five seconds.
    pub(in crate::admin::identity::oidc) async fn redeem(
        &self,
        fetcher: &Fetcher,
        endpoints: &Endpoints,
        (issuer, config): (&Issuer, &SignInConfig),
        (attempt, answer): (&SignInAttempt, RedirectAnswer),
    ) -> Result<Zeroizing<String>, OidcError> {
        check_issuer(issuer, endpoints.issuer_told, answer.issuer.as_deref()).map_err(OidcError::SignIn)?;
        let code = match answer.told {
            Told::Code(code) => code,
            Told::Error(error) => return Err(OidcError::SignIn(SignInRefused::at_provider(&error))),
        };
        let _place =
            self.0.try_acquire().map_err(|_| OidcError::Unavailable(ProviderUnavailable::TooManyCodes))?;
        let form = form(config, endpoints.client_shows, &code, attempt);
        let asked = timeout(DEADLINE, fetcher.post::<TokenAnswer, TokenError>(&endpoints.token, form));
        let told = asked.await.unwrap_or(Err(ProviderUnavailable::Deadline));
        match told.map_err(OidcError::Unavailable)? {
            Posted::Done(TokenAnswer { id_token: Some(token) }) => Ok(Zeroizing::new(token)),
            Posted::Done(TokenAnswer { id_token: None }) => {
                Err(OidcError::Unavailable(ProviderUnavailable::NoIdToken))
            }
            Posted::Refused(TokenError { error }) if error == "invalid_grant" => {
                Err(OidcError::SignIn(SignInRefused::Code))
            }
            // `invalid_client` and the like: the provider and this proxy are not of one mind.
            Posted::Refused(TokenError { error }) => {
                Err(OidcError::Unavailable(ProviderUnavailable::ClientRefused { error: word(&error) }))
            }
        }
    }
}

/// RFC 9207 section 2.4: "clients MUST then decode the value and compare it to the issuer identifier"; a
/// redirect without it is refused "if the client has received [the parameter's support] in metadata".
fn check_issuer(expected: &Issuer, told: IssuerTold, found: Option<&str>) -> Result<(), SignInRefused> {
    match (found, told) {
        (Some(found), _) if found == expected.as_str() => Ok(()),
        (None, IssuerTold::Maybe) => Ok(()),
        (found, _) => Err(SignInRefused::Issuer {
            expected: expected.to_string(),
            found: found.map(|found| found.chars().take(Issuer::MAX).collect()),
        }),
    }
}

/// RFC 6749 section 4.1.3 and RFC 7636 section 4.5.
fn form(config: &SignInConfig, shows: ClientShows, code: &str, attempt: &SignInAttempt) -> Form {
    let redirect = config.redirect_uri();
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect),
        ("code_verifier", &attempt.verifier),
    ];
    let mut authorization = None;
    match (&config.client_secret, shows) {
        (Some(secret), ClientShows::Basic) => authorization = basic(&config.client_id, secret.as_str()),
        (Some(secret), ClientShows::Form) => {
            fields.extend([("client_id", config.client_id.as_str()), ("client_secret", secret.as_str())]);
        }
        // RFC 6749 section 3.2.1: a public client says which one it is.
        (None, _) => fields.push(("client_id", &config.client_id)),
    }
    Form { body: Zeroizing::new(pairs(fields)), authorization }
}

/// RFC 6749 section 2.3.1: both parts are encoded as in a form, then as RFC 7617 says.
fn basic(client: &str, secret: &str) -> Option<HeaderValue> {
    let both = Zeroizing::new(format!("{}:{}", encoded(client), encoded(secret)));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes())));
    // Base64 is always a header's value.
    let mut value = HeaderValue::try_from(value.as_str()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// People do not sign in more than a few at a time.
const AT_ONCE: usize = 16;
