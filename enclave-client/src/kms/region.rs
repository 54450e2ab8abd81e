use std::{collections::BTreeMap, fmt, str::FromStr};

use countersign_protocol::{Destination, DestinationError};

/// The name of an AWS region, as a credential scope has it: `eu-west-1`.
///
/// It becomes part of a host name, so it holds lower-case letters, digits and hyphens only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Box<str>);

impl Region {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let ends = !text.starts_with('-') && !text.ends_with('-');
        if (1..=MAX_REGION).contains(&text.len()) && ends && text.bytes().all(inner) {
            Ok(Self(text.into()))
        } else {
            Err(RegionError)
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not the name of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionError;

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no region: 1 to {MAX_REGION} lower-case letters, digits and hyphens")
    }
}

impl std::error::Error for RegionError {}

/// The longest name today has 15 bytes (`ap-southeast-10` would).
const MAX_REGION: usize = 32;

/// Where KMS is, for each region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Regions with an endpoint of their own: a VPC endpoint, for instance.
    pub named: BTreeMap<Region, Site>,
    /// All others.
    pub standard: Standard,
}

/// AWS's own endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standard {
    /// `kms.REGION.…`
    #[default]
    Public,
    /// `kms-fips.REGION.…`
    Fips,
}

impl Endpoints {
    /// Where the KMS of a region is.
    ///
    /// # Errors
    /// [`SiteError::Partition`] for a partition that has no public endpoints, unless it is named.
    pub fn site(&self, region: &Region) -> Result<Site, SiteError> {
        if let Some(site) = self.named.get(region) {
            return Ok(site.clone());
        }
        let name = region.as_str();
        // Domain suffixes by partition: AWS General Reference, "Service endpoints".
        let suffix = match name.split('-').next() {
            Some("cn") => "amazonaws.com.cn",
            Some("eusc") => return Err(SiteError::Partition),
            _ if name.contains("-iso") => return Err(SiteError::Partition),
            _ => "amazonaws.com",
        };
        let service = match self.standard {
            Standard::Public => "kms",
            Standard::Fips => "kms-fips",
        };
        format!("https://{service}.{name}.{suffix}").parse()
    }
}

/// One KMS: `https://host[:port]`, nothing after it. There is no plain HTTP: answers of KMS are trusted
/// for nothing but the TLS they come through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    destination: Destination,
    authority: Box<str>,
}

impl Site {
    /// What is dialled and what the certificate must be for.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The `Host` header: without the port where it is 443.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for Site {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        let rest = text.strip_prefix("https://").ok_or(SiteError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let with_port = |text: &str| text.parse::<Destination>().map_err(SiteError::Destination);
        let destination = match with_port(rest) {
            Err(SiteError::Destination(DestinationError::MissingPort)) => with_port(&format!("{rest}:443"))?,
            other => other?,
        };
        let authority = match destination.port() {
            443 => destination.host().to_string(),
            _ => destination.to_string(),
        };
        Ok(Self { destination, authority: authority.into() })
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}

/// Why there is no such KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteError {
    /// Not `https://`.
    Scheme,
    /// Not `host[:port]` after it.
    Destination(DestinationError),
    /// The region's partition has no public endpoints.
    Partition,
}

impl fmt::Display for SiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("an endpoint of KMS is https://host[:port]"),
            Self::Destination(why) => why.fmt(f),
            Self::Partition => {
                f.write_str("this partition's endpoint must be configured (kms_proxy.endpoints)")
            }
        }
    }
}

impl std::error::Error for SiteError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_that_of_the_partition() {
        let cases = [
            ("eu-west-1", Standard::Public, "kms.eu-west-1.amazonaws.com"),
            ("cn-north-1", Standard::Public, "kms.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", Standard::Public, "kms.us-gov-west-1.amazonaws.com"),
            ("us-east-2", Standard::Fips, "kms-fips.us-east-2.amazonaws.com"),
            ("us-gov-west-1", Standard::Fips, "kms-fips.us-gov-west-1.amazonaws.com"),
        ];
        for (region, standard, host) in cases {
            let site = Endpoints { standard, ..Endpoints::default() }.site(&region.parse().unwrap()).unwrap();
            assert_eq!((site.authority(), site.destination().to_string()), (host, format!("{host}:443")));
        }
        for region in ["us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1"] {
            let site = Endpoints::default().site(&region.parse().unwrap());
            assert_eq!(site, Err(SiteError::Partition), "{region}");
        }
    }

    #[test]
    fn a_named_endpoint_goes_before() {
        let region: Region = "eu-west-1".parse().unwrap();
        let site: Site = "https://VPCE-1.kms.example:8443/".parse().unwrap();
        assert_eq!(site.authority(), "vpce-1.kms.example:8443");
        let named = [(region.clone(), site.clone())].into();
        assert_eq!(Endpoints { named, ..Endpoints::default() }.site(&region), Ok(site));
    }

    #[test]
    fn what_is_no_region_gets_into_no_host_name() {
        for text in ["", "eu-west-1.evil.example/", "EU-WEST-1", "a/b", "-a", "a-", "ü", &"a".repeat(33)] {
            assert_eq!(text.parse::<Region>(), Err(RegionError), "{text:?}");
        }
    }

    #[test]
    fn an_endpoint_is_https_and_nothing_more() {
        assert_eq!("http://kms.example".parse::<Site>(), Err(SiteError::Scheme));
        for text in ["https://kms.example/path", "https://user@kms.example", "https://"] {
            assert!(matches!(text.parse::<Site>(), Err(SiteError::Destination(_))), "{text}");
        }
    }
}
