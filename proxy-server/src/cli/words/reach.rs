use std::{ffi::OsString, fmt, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use http::Uri;

use crate::cli::failure::Failure;

/// A command for the admin API, and where that is.
#[derive(Debug, Args)]
pub(in crate::cli) struct Asked<C: Subcommand> {
    #[command(subcommand)]
    pub(in crate::cli) command: C,
    #[command(flatten)]
    pub(in crate::cli) reach: Reach,
}

/// Where a command acts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where")]
pub(in crate::cli) struct Reach {
    /// A proxy's admin API, as https://proxy.internal:9443 [env: COUNTERSIGN_SERVER].
    /// Without it the command acts on this machine's store.
    #[arg(long, global = true, value_name = "URL", conflicts_with = "config")]
    server: Option<ServerUrl>,
    /// Act on this machine's store, which this file names [env: COUNTERSIGN_CONFIG]
    /// [default: countersign.toml].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The API token is in this file, or on standard input for - [env: COUNTERSIGN_TOKEN_FILE].
    /// COUNTERSIGN_TOKEN holds the token itself.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "config")]
    token_file: Option<PathBuf>,
    /// The server's certificate must come from a CA in this PEM file, and not from a public one
    /// [env: COUNTERSIGN_CA].
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "config")]
    ca: Option<PathBuf>,
    /// Sign in with this client certificate, a PEM file.
    #[arg(long, global = true, value_name = "FILE", requires = "client_key", conflicts_with = "config")]
    client_cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file.
    #[arg(long, global = true, value_name = "FILE", requires = "client_cert", conflicts_with = "config")]
    client_key: Option<PathBuf>,
}

/// Where a command acts, decided.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Place {
    /// At a proxy's admin API.
    Server(RemotePlace),
    /// On this machine's store, which this configuration names.
    Machine(PathBuf),
}

/// How to get to a proxy's admin API.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct RemotePlace {
    pub(in crate::cli) server: ServerUrl,
    /// Under which CAs the server stands; `None` is the public ones.
    pub(in crate::cli) ca: Option<PathBuf>,
    pub(in crate::cli) token: TokenFrom,
    /// Certificate and key.
    pub(in crate::cli) client: Option<(PathBuf, PathBuf)>,
}

/// Where the token is, which is never on the command line: process lists and
/// shell histories are read by others.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum TokenFrom {
    /// The variable COUNTERSIGN_TOKEN.
    Variable,
    /// A file; `-` is standard input.
    File(PathBuf),
    /// Nowhere: a client certificate may do.
    Nowhere,
}

/// A way to ask for a variable; tests have their own.
pub(in crate::cli) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Reach {
    /// What the line says counts before what the environment says, and a server
    /// of the environment before the file that is there by default.
    ///
    /// # Errors
    /// [`Failure::Usage`]: something for a server, and no server; a variable
    /// that names no server.
    pub(in crate::cli) fn place(self, environment: Environment<'_>) -> Result<Place, Failure> {
        let Self { server, config, token_file, ca, client_cert, client_key } = self;
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let server = match (server, &config) {
            (Some(server), _) => Some(server),
            (None, Some(_)) => None,
            (None, None) => variable(SERVER).map(|text| named(&text)).transpose()?,
        };
        let Some(server) = server else {
            if token_file.is_some() || ca.is_some() || client_cert.is_some() {
                return Err(Failure::Usage(NO_SERVER.to_owned()));
            }
            let file = config.or_else(|| variable(CONFIG).map(PathBuf::from));
            return Ok(Place::Machine(file.unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))));
        };
        let token = match token_file {
            Some(file) => TokenFrom::File(file),
            None if variable(TOKEN).is_some() => TokenFrom::Variable,
            None => variable(TOKEN_FILE).map_or(TokenFrom::Nowhere, |file| TokenFrom::File(file.into())),
        };
        Ok(Place::Server(RemotePlace {
            server,
            ca: ca.or_else(|| variable(CA).map(PathBuf::from)),
            token,
            client: client_cert.zip(client_key),
        }))
    }
}

fn named(text: &OsString) -> Result<ServerUrl, Failure> {
    let said = text.to_string_lossy();
    said.parse().map_err(|reason: BadServerUrl| Failure::Usage(format!("{SERVER}: {reason}")))
}

/// `https://host:port`, and nothing else: credentials never go over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct ServerUrl(String);

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.0)
    }
}

impl FromStr for ServerUrl {
    type Err = BadServerUrl;

    fn from_str(text: &str) -> Result<Self, BadServerUrl> {
        let uri: Uri = text.parse().map_err(|_| BadServerUrl)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let bare = uri.path() == "/" && uri.query().is_none() && !text.contains('#');
        match (uri.scheme_str(), authority) {
            (Some("https"), Some(authority)) if bare && !authority.host().is_empty() => {
                Ok(Self(authority.as_str().to_owned()))
            }
            _ => Err(BadServerUrl),
        }
    }
}

/// Text that names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct BadServerUrl;

impl fmt::Display for BadServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected the admin API's address and nothing more, as https://proxy.internal:9443")
    }
}

impl std::error::Error for BadServerUrl {}

const SERVER: &str = "COUNTERSIGN_SERVER";
const CONFIG: &str = "COUNTERSIGN_CONFIG";
const CA: &str = "COUNTERSIGN_CA";
/// Also read by the client, once it needs the token.
pub(in crate::cli) const TOKEN: &str = "COUNTERSIGN_TOKEN";
const TOKEN_FILE: &str = "COUNTERSIGN_TOKEN_FILE";
const DEFAULT_CONFIG: &str = "countersign.toml";
const NO_SERVER: &str =
    "--token-file, --ca and --client-cert are for a server: add --server https://HOST:9443";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reach: Reach,
    }

    fn place(line: &[&str], variables: &[(&str, &str)]) -> Result<Place, String> {
        let line = Line::try_parse_from([&["x"], line].concat()).map_err(|error| error.kind().to_string())?;
        let environment = |name: &str| {
            let known = variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| OsString::from(value))
        };
        line.reach.place(&environment).map_err(|failure| failure.to_string())
    }

    fn server(place: Result<Place, String>) -> (String, TokenFrom) {
        match place {
            Ok(Place::Server(remote)) => (remote.server.to_string(), remote.token),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_line_counts_before_the_environment() {
        let both = [(SERVER, "https://a:1"), (CONFIG, "env.toml")];
        assert_eq!(server(place(&[], &both)).0, "https://a:1");
        assert_eq!(server(place(&["--server", "https://b"], &both)).0, "https://b");
        assert_eq!(place(&["--config", "x.toml"], &both), Ok(Place::Machine("x.toml".into())));
        assert_eq!(place(&[], &both[1..]), Ok(Place::Machine("env.toml".into())));
        assert_eq!(place(&[], &[(SERVER, "")]), Ok(Place::Machine(DEFAULT_CONFIG.into())));
    }

    #[test]
    fn the_token_is_in_a_file_or_a_variable() {
        let at = &["--server", "https://a"][..];
        let variables = [(TOKEN, "cst_x"), (TOKEN_FILE, "env.token")];
        assert_eq!(server(place(at, &variables)).1, TokenFrom::Variable);
        assert_eq!(server(place(at, &variables[1..])).1, TokenFrom::File("env.token".into()));
        assert_eq!(server(place(at, &[])).1, TokenFrom::Nowhere);
        let named = [at, &["--token-file", "mine"]].concat();
        assert_eq!(server(place(&named, &variables)).1, TokenFrom::File("mine".into()));
    }

    #[test]
    fn what_contradicts_itself_is_wrong_usage() {
        for line in [
            &["--server", "https://a", "--config", "x"][..],
            &["--token-file", "t"],
            &["--ca", "c"],
            &["--server", "https://a", "--client-cert", "c"],
            &["--config", "x", "--client-cert", "c", "--client-key", "k"],
        ] {
            assert!(place(line, &[]).is_err(), "{line:?}");
        }
        let wrong = place(&[], &[(SERVER, "http://a")]).unwrap_err();
        assert!(wrong.starts_with("COUNTERSIGN_SERVER: expected"), "{wrong}");
    }

    #[test]
    fn a_server_is_https_and_an_address() {
        for good in ["https://a", "https://a:9443/", "https://[::1]:9443"] {
            assert!(good.parse::<ServerUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "a:9443",
            "http://a",
            "https://",
            "https://u:p@a",
            "https://a/v1",
            "https://a?x",
            "https://a#x",
            "ftp://a",
            "https:/a",
        ] {
            assert_eq!(bad.parse::<ServerUrl>(), Err(BadServerUrl), "{bad}");
        }
    }
}
