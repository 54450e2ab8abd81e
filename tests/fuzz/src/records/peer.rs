use countersign_proxy::gateway::fuzzing::Secrets;
use rustls::crypto::aws_lc_rs::cipher_suite::{TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage, Tls13AeadAlgorithm,
};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

/// A suite for both ends. Without AES-128: nobody outside of rustls can make a key as short as it wants it.
pub(super) struct Suite {
    pub(super) secrets: Secrets,
    suite: &'static SupportedCipherSuite,
}

pub(super) const SUITES: [Suite; 2] = [
    Suite {
        secrets: |number| {
            let (key, iv) = key(number);
            ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        },
        suite: &TLS13_AES_256_GCM_SHA384,
    },
    Suite {
        secrets: |number| {
            let (key, iv) = key(number);
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }
        },
        suite: &TLS13_CHACHA20_POLY1305_SHA256,
    },
];

/// The other end: rustls's AEAD, and records one by one.
pub(super) struct Peer {
    aead: &'static dyn Tls13AeadAlgorithm,
    tx: (u64, Box<dyn MessageEncrypter>),
    sealed: u64,
    rx: (u64, Box<dyn MessageDecrypter>),
    opened: u64,
}

/// What the peer was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) plain: Vec<u8>,
    pub(super) updates: usize,
    pub(super) closed: usize,
}

impl Peer {
    pub(super) fn new(suite: &Suite, tx: u64, rx: u64) -> Self {
        let aead = suite.suite.tls13().expect("a suite of TLS 1.3").aead_alg;
        Self { aead, tx: (tx, encrypter(aead, tx)), sealed: 0, rx: (rx, decrypter(aead, rx)), opened: 0 }
    }

    /// A record of this content type. Type 0 makes `plain` the whole inside: its last byte that is not zero is the type.
    pub(super) fn seal(&mut self, content: u8, plain: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::from(content),
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(plain),
        };
        let record = self.tx.1.encrypt(message, self.sealed).expect("a fresh key seals");
        self.sealed += 1;
        record.encode()
    }

    /// The peer's records after its KeyUpdate.
    pub(super) fn next_tx(&mut self) {
        let number = self.tx.0 + 2;
        self.tx = (number, encrypter(self.aead, number));
        self.sealed = 0;
    }

    /// What rustls reads in the record that this peer sealed last.
    pub(super) fn reread(&self, record: &[u8]) -> Option<(u8, Vec<u8>)> {
        open(decrypter(self.aead, self.tx.0).as_mut(), self.sealed - 1, record)
    }

    /// Reads what the gateway sent, which is always in order.
    pub(super) fn read(&mut self, mut stream: &[u8]) -> Received {
        let mut received = Received::default();
        while !stream.is_empty() {
            let length = super::length(stream).expect("a header").expect("a whole header");
            let (record, rest) = stream.split_at(length);
            stream = rest;
            let (content, plain) = open(self.rx.1.as_mut(), self.opened, record).expect("rustls opens it");
            self.opened += 1;
            match content {
                APPLICATION_DATA => received.plain.extend(plain),
                HANDSHAKE => {
                    assert_eq!(plain, KEY_UPDATE, "a gateway asks for no update");
                    let number = self.rx.0 + 2;
                    self.rx = (number, decrypter(self.aead, number));
                    self.opened = 0;
                    received.updates += 1;
                }
                ALERT => {
                    assert_eq!(
                        (plain.as_slice(), stream),
                        (&[1, 0][..], &[][..]),
                        "close_notify is the last"
                    );
                    received.closed += 1;
                }
                content => panic!("content type {content}"),
            }
        }
        received
    }
}

fn open(key: &mut dyn MessageDecrypter, number: u64, record: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (header, mut sealed) = (&record[..5], record[5..].to_vec());
    assert_eq!(header[..3], [APPLICATION_DATA, 3, 3], "a header as RFC 8446 section 5.2 has it");
    let message =
        InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut sealed);
    let message = key.decrypt(message, number).ok()?;
    Some((u8::from(message.typ), message.payload.to_vec()))
}

fn encrypter(aead: &dyn Tls13AeadAlgorithm, number: u64) -> Box<dyn MessageEncrypter> {
    let (key, iv) = key(number);
    aead.encrypter(key, iv)
}

fn decrypter(aead: &dyn Tls13AeadAlgorithm, number: u64) -> Box<dyn MessageDecrypter> {
    let (key, iv) = key(number);
    aead.decrypter(key, iv)
}

/// Fixed secrets, another for each number.
fn key(number: u64) -> (AeadKey, Iv) {
    let [.., low] = number.to_be_bytes();
    (AeadKey::from([low; 32]), Iv::new([low ^ 0x5a; 12]))
}

pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// A KeyUpdate that asks for none (RFC 8446 section 4.6.3).
pub(super) const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
