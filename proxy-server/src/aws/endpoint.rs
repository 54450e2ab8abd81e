use std::{fmt, net::IpAddr, str::FromStr};

use http::Uri;

/// Where a service is asked instead of at its region's own address: a VPC endpoint, or a stand-in in tests.
///
/// Plain HTTP is taken on loopback only: what comes back is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsEndpoint(String);

impl AwsEndpoint {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AwsEndpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let uri: Uri = text.parse().map_err(|_| BadEndpoint)?;
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let loopback = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => Ok(Self(text.to_owned())),
            Some("http") if loopback => Ok(Self(text.to_owned())),
            _ => Err(BadEndpoint),
        }
    }
}

/// Text that names no safe endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEndpoint;

impl fmt::Display for BadEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an https:// URL, or http:// to a loopback address")
    }
}

impl std::error::Error for BadEndpoint {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        let at = |text: &str| text.parse::<AwsEndpoint>();
        for good in
            ["https://vpce-1.kms.eu-central-1.vpce.amazonaws.com", "http://127.0.0.1:5000", "http://[::1]:1"]
        {
            assert_eq!(at(good).unwrap().as_str(), good);
        }
        for bad in
            ["http://10.0.0.1", "http://localhost:5000", "ftp://127.0.0.1", "127.0.0.1:5000", "https://", "x"]
        {
            assert_eq!(at(bad), Err(BadEndpoint), "{bad}");
        }
    }
}
