use std::{fmt, net::IpAddr, str::FromStr};

use countersign_protocol::unmap;

/// One to [`MAX_ADDRESSES`] addresses, none twice, none an IPv4-mapped IPv6 one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<IpAddr>);

/// The most addresses of one name that are said or tried.
pub const MAX_ADDRESSES: usize = 16;

impl Addresses {
    /// The first [`MAX_ADDRESSES`] of them; `None` of none.
    pub fn first_of(addresses: impl IntoIterator<Item = IpAddr>) -> Option<Self> {
        let mut kept = Vec::new();
        for address in addresses.into_iter().map(unmap) {
            if !kept.contains(&address) {
                kept.push(address);
            }
            if kept.len() == MAX_ADDRESSES {
                break;
            }
        }
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// In the order they were given.
    pub fn as_slice(&self) -> &[IpAddr] {
        &self.0
    }

    /// Those that the others hold too, in this order.
    pub fn shared_with(&self, others: &[IpAddr]) -> Option<Self> {
        Self::first_of(self.0.iter().copied().filter(|address| others.contains(address)))
    }
}

/// `198.51.100.7, 2001:db8::1`
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}

/// A list as RFC 9110 section 5.6.1 has it, without empty elements.
impl FromStr for Addresses {
    type Err = AddressesError;

    fn from_str(text: &str) -> Result<Self, AddressesError> {
        let mut addresses = Vec::new();
        for word in text.split(',') {
            if addresses.len() == MAX_ADDRESSES {
                return Err(AddressesError::TooMany);
            }
            let word = word.trim_matches([' ', '\t']);
            let address = unmap(word.parse().map_err(|_| AddressesError::NoAddress)?);
            if addresses.contains(&address) {
                return Err(AddressesError::Twice);
            }
            addresses.push(address);
        }
        Ok(Self(addresses))
    }
}

/// Why text is no list of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressesError {
    /// More than [`MAX_ADDRESSES`].
    TooMany,
    /// One of them is no IPv4 or IPv6 address, or empty.
    NoAddress,
    /// One of them stands there twice.
    Twice,
}

impl fmt::Display for AddressesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {MAX_ADDRESSES} addresses"),
            Self::NoAddress => f.write_str("not a list of IP addresses (write 198.51.100.7, 2001:db8::1)"),
            Self::Twice => f.write_str("an address stands there twice"),
        }
    }
}

impl std::error::Error for AddressesError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_is_written() {
        let list: Addresses = "198.51.100.7 ,2001:DB8::1, ::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(list.to_string(), "198.51.100.7, 2001:db8::1, 192.0.2.1");
        assert_eq!(list.to_string().parse(), Ok(list));
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            ("", AddressesError::NoAddress),
            ("192.0.2.1,", AddressesError::NoAddress),
            ("[2001:db8::1]", AddressesError::NoAddress),
            ("0xa9fea9fe", AddressesError::NoAddress),
            ("192.0.2.1:443", AddressesError::NoAddress),
            ("fe80::1%eth0", AddressesError::NoAddress),
            ("192.0.2.1, ::ffff:192.0.2.1", AddressesError::Twice),
        ] {
            assert_eq!(text.parse::<Addresses>(), Err(error), "{text:?}");
        }
        let many = |count: usize| (0..count).map(|n| format!("192.0.2.{n}")).collect::<Vec<_>>().join(",");
        assert!(many(MAX_ADDRESSES).parse::<Addresses>().is_ok());
        assert_eq!(many(MAX_ADDRESSES + 1).parse::<Addresses>(), Err(AddressesError::TooMany));
    }

    #[test]
    fn what_both_know_keeps_the_order_of_the_first() {
        let list: Addresses = "192.0.2.3, 192.0.2.1, 192.0.2.2".parse().unwrap();
        let others = ["192.0.2.1", "192.0.2.3", "192.0.2.9"].map(|a| a.parse().unwrap());
        assert_eq!(list.shared_with(&others).unwrap().to_string(), "192.0.2.3, 192.0.2.1");
        assert_eq!(list.shared_with(&others[2..]), None);
    }
}
