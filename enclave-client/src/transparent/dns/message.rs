//! One query, one answer. Pure but for what it asks [`Names`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use countersign_protocol::Host;
use hickory_proto::{
    op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR},
    },
};

use super::{Existence, Family, Found, Names};

/// Answers a query. `None` for what deserves no answer: an answer itself (two
/// resolvers would answer each other for ever), or bytes without a whole header.
///
/// - `A`, `AAAA`, `ANY`: the name's address; `NXDOMAIN` for a name that is not allowed.
/// - `HTTPS`, `SVCB`, `SRV`, `MX`, `TXT` and all others: no data, so that clients
///   go on with the address (an `HTTPS` record could send them to another port or name).
/// - `PTR` of an address in use: the name.
pub fn answer(query: &[u8], names: &impl Names) -> Option<Vec<u8>> {
    let header = HeaderBytes::read(query)?;
    let Some(query) = header.plausible().then(|| Message::from_vec(query).ok()).flatten() else {
        return Message::error_msg(header.id, OpCode::Query, ResponseCode::FormErr).to_vec().ok();
    };
    let mut reply = Message::new(query.id, MessageType::Response, query.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    reply.metadata.recursion_available = true;
    let edns = query.edns.as_ref().map(Edns::version);
    if edns.is_some() {
        let mut own = Edns::new();
        own.set_max_payload(MAX_UDP);
        reply.edns = Some(own);
    }
    reply.metadata.response_code = match (query.op_code, edns, query.queries.first()) {
        (OpCode::Query, None | Some(0), Some(question)) => {
            reply.queries = vec![question.clone()];
            resolve(question, names, &mut reply.answers)
        }
        (OpCode::Query, Some(1..), _) => ResponseCode::BADVERS,
        (OpCode::Query, ..) => ResponseCode::FormErr,
        _ => ResponseCode::NotImp,
    };
    reply.to_vec().ok()
}

fn resolve(question: &Query, names: &impl Names, answers: &mut Vec<Record>) -> ResponseCode {
    if question.query_class() != DNSClass::IN {
        return ResponseCode::Refused;
    }
    let record = |data| Record::from_rdata(question.name().clone(), TTL, data);
    let family = match question.query_type() {
        RecordType::A | RecordType::ANY => Some(Family::V4),
        RecordType::AAAA => Some(Family::V6),
        RecordType::AXFR | RecordType::IXFR => return ResponseCode::Refused,
        RecordType::PTR => return pointer(question.name(), names, |name| answers.push(record(name))),
        _ => None,
    };
    let name = match normalised(question.name()) {
        // The root exists, and has no address.
        None if question.name().is_root() => return ResponseCode::NoError,
        None => return ResponseCode::NXDomain,
        Some(name) => name,
    };
    if let Some(local) = localhost(&name, family) {
        answers.extend(local.map(|address| record(data_of(address))));
        return ResponseCode::NoError;
    }
    let Some(family) = family else {
        return match names.exists(&name) {
            Existence::Exists => ResponseCode::NoError,
            Existence::NoName => ResponseCode::NXDomain,
        };
    };
    match names.address(&name, family) {
        Found::Address(address) => {
            answers.push(record(data_of(address)));
            ResponseCode::NoError
        }
        Found::NoData => ResponseCode::NoError,
        Found::NoName => ResponseCode::NXDomain,
        Found::NoRoom => ResponseCode::ServFail,
    }
}

fn pointer(name: &Name, names: &impl Names, push: impl FnOnce(RData)) -> ResponseCode {
    let network = name.parse_arpa_name().ok();
    let address = network.filter(|net| net.prefix_len() == net.max_prefix_len()).map(|net| net.addr());
    let found = address.and_then(|address| match address.is_loopback() {
        true => Some("localhost".into()),
        false => names.name_of(address),
    });
    let Some(mut target) = found.and_then(|name| Name::from_ascii(&name).ok()) else {
        return ResponseCode::NXDomain;
    };
    target.set_fqdn(true);
    push(RData::PTR(PTR(target)));
    ResponseCode::NoError
}

/// `localhost` and what ends in it is this machine, whatever the policy says (RFC 6761
/// section 6.3): an image without /etc/hosts asks for it here. `None`: another name.
fn localhost(name: &str, family: Option<Family>) -> Option<Option<IpAddr>> {
    let is_local = name == "localhost" || name.ends_with(".localhost");
    is_local.then(|| {
        family.map(|family| match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        })
    })
}

fn data_of(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

/// The name as policies know it. A label on the wire may hold any byte, a dot too:
/// only what a destination may hold becomes one, so that `a\.b` never passes for `a.b`.
fn normalised(name: &Name) -> Option<Box<str>> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.iter().all(plain) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(std::str::from_utf8(label).ok()?);
    }
    match text.parse() {
        Ok(Host::Name(name)) => Some(name),
        Ok(Host::Address(_)) | Err(_) => None,
    }
}

/// What must be known before a message is read whole (RFC 1035 section 4.1.1).
struct HeaderBytes {
    id: u16,
    questions: u16,
    answers: u16,
    authorities: u16,
    additionals: u16,
}

impl HeaderBytes {
    /// `None` for less than a header, and for an answer.
    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let pair = bytes.get(at..at + 2)?;
            pair.try_into().ok().map(u16::from_be_bytes)
        };
        let is_query = word(2)? & 0x8000 == 0;
        let (answers, authorities) = (word(6)?, word(8)?);
        let header = Self { id: word(0)?, questions: word(4)?, answers, authorities, additionals: word(10)? };
        is_query.then_some(header)
    }

    /// Whether the counts are those of a query, so that twelve bytes cannot announce
    /// thousands of records: one question, and beside it OPT and a signature at most.
    fn plausible(&self) -> bool {
        self.questions == 1 && self.answers == 0 && self.authorities == 0 && self.additionals <= 2
    }
}

/// For as long may an answer be kept, in seconds. An address outlives it (see `names`).
const TTL: u32 = 60;

/// What fits into a datagram without fragments (RFC 6891 section 6.2.5, DNS flag day 2020). No
/// answer is longer than 600 bytes: header, a question of 255, one record.
const MAX_UDP: u16 = 1232;

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
