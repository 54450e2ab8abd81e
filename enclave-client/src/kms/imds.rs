use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use countersign_protocol::Destination;
use http::{Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::timeout;

use super::{Credentials, Issuer};
use crate::egress::{Cuttable, Egress, EgressError};

/// The metadata service of the parent instance, version 2 (Amazon EC2 User Guide, "Use IMDSv2"): the role
/// of the instance, for enclaves that get nothing narrower.
///
/// The egress policy must name its address: metadata addresses are denied unless named.
pub struct Imds {
    egress: Arc<Egress>,
    at: Destination,
}

impl Imds {
    /// `at` is `169.254.169.254:80` on EC2.
    pub fn new(egress: Arc<Egress>, at: Destination) -> Self {
        Self { egress, at }
    }

    async fn fetch(&self) -> Result<Credentials, ImdsError> {
        let connection = self.egress.open(&self.at).await.map_err(ImdsError::Egress)?;
        let (mut imds, connection) =
            handshake(TokioIo::new(Cuttable::new(connection))).await.map_err(ImdsError::Http)?;
        let carrying = tokio::spawn(connection);
        let fetched = self.ask(&mut imds).await;
        carrying.abort();
        fetched
    }

    async fn ask(&self, imds: &mut SendRequest<Full<Bytes>>) -> Result<Credentials, ImdsError> {
        let for_a_minute = ("x-aws-ec2-metadata-token-ttl-seconds", "60");
        let token = self.call(imds, Method::PUT, TOKEN, for_a_minute).await?;
        let token = std::str::from_utf8(&token).map_err(|_| ImdsError::Token)?;
        let header = ("x-aws-ec2-metadata-token", token);
        let role = self.call(imds, Method::GET, ROLES, header).await?;
        let role = std::str::from_utf8(&role).unwrap_or_default().trim();
        // IAM's own characters for the name of a role; it becomes part of a path.
        let named = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        if role.is_empty() || role.len() > 64 || !role.bytes().all(named) {
            return Err(ImdsError::Role);
        }
        let found = self.call(imds, Method::GET, &format!("{ROLES}{role}"), header).await?;
        let found: Found = serde_json::from_slice(&found).map_err(|_| ImdsError::Credentials)?;
        let expires =
            OffsetDateTime::parse(&found.expiration, &Rfc3339).map_err(|_| ImdsError::Credentials)?;
        if found.code != "Success" {
            return Err(ImdsError::Credentials);
        }
        let made = Credentials::new(found.access_key_id, found.secret_access_key, Some(found.token));
        Ok(made.expiring(expires.into()))
    }

    async fn call(
        &self,
        imds: &mut SendRequest<Full<Bytes>>,
        method: Method,
        path: &str,
        header: (&str, &str),
    ) -> Result<Bytes, ImdsError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.at.host().to_string())
            .header(header.0, header.1)
            .body(Full::default())
            .map_err(|_| ImdsError::Token)?;
        imds.ready().await.map_err(ImdsError::Http)?;
        let (head, body) = imds.send_request(request).await.map_err(ImdsError::Http)?.into_parts();
        if head.status != StatusCode::OK {
            return Err(ImdsError::Status { path: path.to_owned(), status: head.status });
        }
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| ImdsError::Body)?;
        Ok(body.to_bytes())
    }
}

impl Issuer for Imds {
    type Error = ImdsError;

    async fn issue(&self) -> Result<Credentials, ImdsError> {
        timeout(DEADLINE, self.fetch()).await.map_err(|_| ImdsError::Deadline)?
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    code: String,
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

const TOKEN: &str = "/latest/api/token";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// Real answers have some 1,500 bytes.
const MAX_BODY: usize = 16 * 1024;

/// For all four steps.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why the metadata service gave no credentials.
#[derive(Debug)]
pub enum ImdsError {
    /// There is no way to it.
    Egress(EgressError),
    /// The connection broke.
    Http(hyper::Error),
    /// It refused.
    Status {
        /// What was asked for.
        path: String,
        /// Its answer.
        status: StatusCode,
    },
    /// An answer broke off, or is too large.
    Body,
    /// The session token cannot stand in a header.
    Token,
    /// No role, or one that has no role's name.
    Role,
    /// They cannot be read, or it says that they are no success.
    Credentials,
    /// Too slow.
    Deadline,
}

impl fmt::Display for ImdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Egress(_) => f.write_str("there is no way to the metadata service"),
            Self::Http(_) => f.write_str("the connection to the metadata service broke"),
            Self::Status { path, status } => write!(f, "the metadata service answered {path} with {status}"),
            Self::Body => f.write_str("an answer of the metadata service did not come whole"),
            Self::Token => f.write_str("the metadata service gave no usable session token"),
            Self::Role => f.write_str("the instance has no role"),
            Self::Credentials => f.write_str("the role's credentials cannot be read"),
            Self::Deadline => f.write_str("the metadata service did not answer in time"),
        }
    }
}

impl std::error::Error for ImdsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Egress(why) => Some(why),
            Self::Http(why) => Some(why),
            _ => None,
        }
    }
}
