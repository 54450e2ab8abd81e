//! The address of a PostgreSQL database, for people.

use super::postgres;
use crate::store::StoreError;

/// A store's URL as libpq's own programs take it (`pg_dump --dbname=…`), without its password.
///
/// Only what says where the database is, as whom, and how safely to get there is kept:
/// whatever else stands in a URL may be a secret.
///
/// # Errors
/// [`StoreError::Address`].
pub fn dump_address(url: &str) -> Result<String, StoreError> {
    postgres::options(url)?;
    let bad = || StoreError::Address { reason: "expected postgres://user@host:port/database".to_owned() };
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    let at = if user.is_empty() { "" } else { "@" };
    let mut address = format!("{scheme}://{user}{at}{host}/{database}");
    let mut separator = '?';
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if let Some((_, word)) = KEPT.iter().find(|(known, _)| *known == key) {
            address.extend([separator]);
            address.push_str(&format!("{word}={value}"));
            separator = '&';
        }
    }
    Ok(address)
}

/// As sqlx and as libpq call them.
const KEPT: [(&str, &str); 12] = [
    ("host", "host"),
    ("port", "port"),
    ("user", "user"),
    ("dbname", "dbname"),
    ("sslmode", "sslmode"),
    ("ssl-mode", "sslmode"),
    ("sslrootcert", "sslrootcert"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("sslcert", "sslcert"),
    ("ssl-cert", "sslcert"),
    ("sslkey", "sslkey"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_is_stays_and_every_secret_goes() {
        for (url, expected) in [
            ("postgres://u:secret@127.0.0.1:5433/c", "postgres://u@127.0.0.1:5433/c"),
            ("postgres://u:se%40cret@127.0.0.1/c#secret", "postgres://u@127.0.0.1/c"),
            ("postgres://127.0.0.1/c?password=secret&user=u", "postgres://127.0.0.1/c?user=u"),
            ("postgres://127.0.0.1/c?pass%77ord=secret", "postgres://127.0.0.1/c"),
            (
                "postgresql://u:secret@db.example/c?ssl-mode=verify-full&ssl-root-cert=/ca.pem",
                "postgresql://u@db.example/c?sslmode=verify-full&sslrootcert=/ca.pem",
            ),
            ("postgres://u:secret@localhost", "postgres://u@localhost/"),
        ] {
            assert_eq!(dump_address(url).unwrap(), expected, "{url}");
        }
        assert!(dump_address("mysql://u:secret@host/c").is_err());
    }
}
