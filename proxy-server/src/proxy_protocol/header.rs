use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use countersign_protocol::unmap;

use super::tlv;

/// The first bytes of a header, which say how many follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; PREFIX_LEN],
    command: Command,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The balancer's own connection, as for a health check.
    Local,
    /// Somebody's connection that the balancer passes on.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Local,
    Proxy(Family),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Prefix {
    /// Reads the first 16 bytes of a connection.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn parse(bytes: [u8; PREFIX_LEN]) -> Result<Self, HeaderError> {
        if !bytes.starts_with(&SIGNATURE) {
            let first = bytes.starts_with(VERSION_1);
            return Err(if first { HeaderError::VersionOne } else { HeaderError::NoHeader });
        }
        let [.., version_and_command, family, _, _] = bytes;
        if version_and_command >> 4 != 2 {
            return Err(HeaderError::Version { found: version_and_command >> 4 });
        }
        let command = match version_and_command & 0x0f {
            // "the receiver must accept this connection as valid and must use the real
            // connection endpoints and discard the protocol block including the family
            // which is ignored" (section 2.2).
            0 => Command::Local,
            1 => Command::Proxy(match family {
                0x11 => Family::V4,
                0x21 => Family::V6,
                // UNSPEC, datagrams and UNIX sockets: "the receiver is [...] free to reject it".
                // A client whose address is not said would be counted as the balancer.
                found => return Err(HeaderError::Family { found }),
            }),
            found => return Err(HeaderError::Command { found }),
        };
        let prefix = Self { bytes, command };
        match prefix.rest_len() {
            found if found > MAX_LEN => Err(HeaderError::TooLong { found }),
            _ => Ok(prefix),
        }
    }

    /// How many bytes follow: at most [`MAX_LEN`].
    pub fn rest_len(&self) -> usize {
        let [.., high, low] = self.bytes;
        usize::from(u16::from_be_bytes([high, low]))
    }

    /// Reads the bytes that follow, all of them.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn finish(&self, rest: &[u8]) -> Result<Header, HeaderError> {
        if rest.len() != self.rest_len() {
            return Err(HeaderError::Truncated { expected: self.rest_len(), found: rest.len() });
        }
        match self.command {
            Command::Local => Ok(Header::Local),
            Command::Proxy(Family::V4) => self.addresses::<4, V4_LEN>(rest),
            Command::Proxy(Family::V6) => self.addresses::<16, V6_LEN>(rest),
        }
    }

    /// Two addresses of `N` bytes, two ports, and the fields after them.
    fn addresses<const N: usize, const LEN: usize>(&self, rest: &[u8]) -> Result<Header, HeaderError>
    where
        Octets<N>: Into<IpAddr>,
    {
        let short = HeaderError::AddressesTruncated { expected: LEN, found: rest.len() };
        let (block, fields) = rest.split_at_checked(LEN).ok_or(short.clone())?;
        let read = || {
            let (source, after) = block.split_first_chunk::<N>()?;
            let (destination, after) = after.split_first_chunk::<N>()?;
            let &[a, b, c, d] = after else { return None };
            let socket = |octets: &[u8; N], port| SocketAddr::new(unmap(Octets(*octets).into()), port);
            Some(Header::Proxied {
                source: socket(source, u16::from_be_bytes([a, b])),
                destination: socket(destination, u16::from_be_bytes([c, d])),
            })
        };
        let header = read().ok_or(short)?;
        tlv::check([&self.bytes, block], fields)?;
        Ok(header)
    }
}

/// An address as it stands in a header.
struct Octets<const N: usize>([u8; N]);

impl From<Octets<4>> for IpAddr {
    fn from(Octets(octets): Octets<4>) -> Self {
        Ipv4Addr::from(octets).into()
    }
}

impl From<Octets<16>> for IpAddr {
    fn from(Octets(octets): Octets<16>) -> Self {
        Ipv6Addr::from(octets).into()
    }
}

/// Why the first bytes of a connection are no header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They begin otherwise.
    NoHeader,
    /// They are a header of version 1, which is text.
    VersionOne,
    /// Another version than 2.
    Version {
        /// Which one.
        found: u8,
    },
    /// Neither LOCAL nor PROXY.
    Command {
        /// Which one.
        found: u8,
    },
    /// Neither TCP over IPv4 nor over IPv6.
    Family {
        /// Family and transport, as one byte.
        found: u8,
    },
    /// Longer than we take.
    TooLong {
        /// The length it announces.
        found: usize,
    },
    /// Fewer or more bytes than the header announces.
    Truncated {
        /// How many it announces.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The announced length has no room for the addresses.
    AddressesTruncated {
        /// What they take.
        expected: usize,
        /// What is announced.
        found: usize,
    },
    /// A field after the addresses that runs over the end.
    Field {
        /// Where it begins, counted from the end of the addresses.
        at: usize,
    },
    /// A checksum that is not 4 bytes long.
    ChecksumLength {
        /// How long it is.
        found: usize,
    },
    /// More than one checksum.
    ChecksumTwice,
    /// A checksum that does not hold.
    Checksum {
        /// What the bytes come to.
        expected: u32,
        /// What stands there.
        found: u32,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str(
                "expected a PROXY protocol header, as from every address in listen.proxy_protocol_from; found none",
            ),
            Self::VersionOne => {
                f.write_str("expected version 2 of the PROXY protocol (send-proxy-v2); found version 1")
            }
            Self::Version { found } => write!(f, "expected version 2 of the PROXY protocol; found {found}"),
            Self::Command { found } => write!(f, "expected command 0 (LOCAL) or 1 (PROXY); found {found}"),
            Self::Family { found } => {
                write!(f, "expected TCP over IPv4 (0x11) or IPv6 (0x21); found {found:#04x}")
            }
            Self::TooLong { found } => write!(f, "expected at most {MAX_LEN} bytes; found {found}"),
            Self::Truncated { expected, found } => write!(f, "expected {expected} bytes; found {found}"),
            Self::AddressesTruncated { expected, found } => {
                write!(f, "expected {expected} bytes of addresses; found {found}")
            }
            Self::Field { at } => write!(f, "the field at byte {at} after the addresses runs over the end"),
            Self::ChecksumLength { found } => write!(f, "expected a checksum of 4 bytes; found {found}"),
            Self::ChecksumTwice => f.write_str("expected one checksum; found two"),
            Self::Checksum { expected, found } => {
                write!(f, "expected the checksum {expected:08x}; found {found:08x}")
            }
        }
    }
}

impl std::error::Error for HeaderError {}

/// Signature, version, command, family, length.
pub const PREFIX_LEN: usize = 16;

/// The most bytes taken after them. The addresses take 36, and what load
/// balancers add (names, ids of endpoints) some hundred; a header could announce 65535.
pub const MAX_LEN: usize = 4096;

/// "\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A" (section 2.2).
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// How version 1 begins (section 2.1).
const VERSION_1: &[u8] = b"PROXY ";

const V4_LEN: usize = 2 * 4 + 4;
const V6_LEN: usize = 2 * 16 + 4;
