use hickory_proto::rr::rdata::opt::EdnsOption;

use super::*;

/// `db.example` is allowed, `full.example` has no room, `v4.example` has no IPv6 address.
struct Book;

impl Names for Book {
    fn address(&self, name: &str, family: Family) -> Found {
        match (name, family) {
            ("db.example" | "v4.example" | "host", Family::V4) => Found::Address([198, 18, 0, 7].into()),
            ("db.example", Family::V6) => Found::Address("fd5c:8b1e:46d0::7".parse().unwrap()),
            ("v4.example" | "host", Family::V6) => Found::NoData,
            ("full.example", _) => Found::NoRoom,
            _ => Found::NoName,
        }
    }

    fn exists(&self, name: &str) -> Existence {
        match name {
            "db.example" => Existence::Exists,
            _ => Existence::NoName,
        }
    }

    fn name_of(&self, address: IpAddr) -> Option<Box<str>> {
        (address == IpAddr::from([198, 18, 0, 7])).then(|| "db.example".into())
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn ask(query: &Message) -> Message {
    let bytes = answer(&query.to_vec().unwrap(), &Book).unwrap();
    assert!(bytes.len() <= 512);
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!((reply.id, reply.message_type), (query.id, MessageType::Response));
    assert_eq!(reply.authorities, []);
    reply
}

/// The code and the data of the answers.
fn told(name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let query = query(name, kind);
    let reply = ask(&query);
    assert_eq!(reply.queries, query.queries, "the question comes back as it was asked");
    assert!(reply.recursion_available && reply.recursion_desired);
    let data = reply.answers.iter().map(|record| {
        assert_eq!((&record.name, record.ttl), (query.queries[0].name(), TTL));
        record.data.to_string()
    });
    (reply.response_code, data.collect())
}

#[test]
fn each_question_has_its_answer() {
    use RecordType as Q;
    use ResponseCode::{NXDomain, NoError, Refused, ServFail};
    for (name, kind, code, data) in [
        ("db.example.", Q::A, NoError, Some("198.18.0.7")),
        ("DB.Example.", Q::A, NoError, Some("198.18.0.7")),
        ("db.example.", Q::ANY, NoError, Some("198.18.0.7")),
        ("db.example.", Q::AAAA, NoError, Some("fd5c:8b1e:46d0::7")),
        ("v4.example.", Q::AAAA, NoError, None),
        ("host.", Q::A, NoError, Some("198.18.0.7")),
        ("full.example.", Q::A, ServFail, None),
        ("evil.example.", Q::A, NXDomain, None),
        ("evil.example.", Q::AAAA, NXDomain, None),
        ("evil.example.", Q::HTTPS, NXDomain, None),
        // Data would send clients elsewhere, or encrypt the name in their greeting.
        ("db.example.", Q::HTTPS, NoError, None),
        ("db.example.", Q::SVCB, NoError, None),
        ("db.example.", Q::SRV, NoError, None),
        ("db.example.", Q::TXT, NoError, None),
        ("db.example.", Q::MX, NoError, None),
        ("db.example.", Q::from(65000), NoError, None),
        ("db.example.", Q::AXFR, Refused, None),
        (".", Q::NS, NoError, None),
        (".", Q::A, NoError, None),
        // Numbers are addresses, not names, in whatever spelling.
        ("127.0.0.1.", Q::A, NXDomain, None),
        ("2852039166.", Q::A, NXDomain, None),
        ("localhost.", Q::A, NoError, Some("127.0.0.1")),
        ("app.localhost.", Q::AAAA, NoError, Some("::1")),
        ("localhost.", Q::MX, NoError, None),
        ("7.0.18.198.in-addr.arpa.", Q::PTR, NoError, Some("db.example.")),
        ("8.0.18.198.in-addr.arpa.", Q::PTR, NXDomain, None),
        ("18.198.in-addr.arpa.", Q::PTR, NXDomain, None),
        ("1.0.0.127.in-addr.arpa.", Q::PTR, NoError, Some("localhost.")),
        ("db.example.", Q::PTR, NXDomain, None),
    ] {
        let expected = (code, data.map(str::to_owned).into_iter().collect::<Vec<_>>());
        assert_eq!(told(name, kind), expected, "{name} {kind}");
    }
}

#[test]
fn a_dot_inside_a_label_makes_no_other_name() {
    for labels in
        [&[&b"db.example"[..]][..], &[b"db", b"example\0"], &[b"d b", b"example"], &[b"*", b"example"]]
    {
        let name = Name::from_labels(labels.iter().copied()).unwrap();
        let mut message = query(".", RecordType::A);
        message.queries[0].set_name(name.clone());
        assert_eq!(ask(&message).response_code, ResponseCode::NXDomain, "{name}");
    }
}

#[test]
fn another_class_opcode_or_version_is_refused_by_its_code() {
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(ask(&chaos).response_code, ResponseCode::Refused);

    let mut update = query("db.example.", RecordType::SOA);
    update.metadata.op_code = OpCode::Notify;
    assert_eq!(ask(&update).response_code, ResponseCode::NotImp);

    let mut edns = Edns::new();
    edns.set_version(1);
    let mut newer = query("db.example.", RecordType::A);
    newer.edns = Some(edns);
    let reply = ask(&newer);
    // 16 is BADVERS here, and BADSIG beside a signature (RFC 6895 section 2.3).
    assert_eq!((u16::from(reply.response_code), reply.answers.len()), (16, 0));
}

#[test]
fn edns_is_answered_with_edns_and_only_then() {
    let mut message = query("db.example.", RecordType::A);
    assert!(ask(&message).edns.is_none());
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    edns.options_mut().insert(EdnsOption::Unknown(10, vec![7; 8]));
    message.edns = Some(edns);
    let own = ask(&message).edns.unwrap();
    assert_eq!((own.version(), own.max_payload(), own.options().as_ref().len()), (0, MAX_UDP, 0));
}

#[test]
fn the_longest_name_fits_into_a_datagram() {
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{label}.{}.", "a".repeat(61));
    assert_eq!(told(&long, RecordType::A), (ResponseCode::NXDomain, vec![]));
}

#[test]
fn junk_is_a_format_error_or_nothing_at_all() {
    let good = query("db.example.", RecordType::A).to_vec().unwrap();
    assert_eq!(answer(&[], &Book), None);
    assert_eq!(answer(&good[..11], &Book), None);
    let mut reply = good.clone();
    reply[2] |= 0x80;
    assert_eq!(answer(&reply, &Book), None, "an answer is never answered");

    let code = |bytes: &[u8]| Message::from_vec(&answer(bytes, &Book).unwrap()).unwrap().response_code;
    // A name that points at itself (RFC 1035 section 4.1.4), and one that points forward.
    let header = &good[..12];
    for pointer in [[0xc0, 12], [0xc0, 14], [0xff, 0xff]] {
        let looped = [header, &pointer, &[0, 1, 0, 1]].concat();
        assert_eq!(code(&looped), ResponseCode::FormErr, "{pointer:?}");
    }
    for cut in 12..good.len() {
        assert_eq!(code(&good[..cut]), ResponseCode::FormErr, "{cut} bytes");
    }
    // Counts that announce more than there is, up to 65,535 records in twelve bytes.
    for at in [4, 6, 8, 10] {
        for count in [2u16, 0xffff] {
            let mut lying = good.clone();
            lying[at..at + 2].copy_from_slice(&count.to_be_bytes());
            assert_eq!(code(&lying), ResponseCode::FormErr, "{count} at {at}");
        }
    }
    let mut none = good.clone();
    none[5] = 0;
    assert_eq!(code(&none), ResponseCode::FormErr, "no question");
}
