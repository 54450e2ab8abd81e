//! Two ends with the same keys, and everything that can be done to the bytes between them.

use rustls::crypto::cipher::{AeadKey, Iv};

use super::*;

#[test]
fn what_is_sealed_opens_under_every_suite() {
    for suite in SUITES {
        for len in [1, 2, 100, PLAIN - 1, PLAIN, PLAIN + 1, 3 * PLAIN + 7] {
            let (mut ours, mut theirs) = pair(suite);
            let data = bytes(len);
            let mut copied = Vec::new();
            ours.seal_copy(&data, &mut copied).unwrap();
            assert_eq!(read(&mut theirs, &mut copied).unwrap(), (data.clone(), Then::NeedBytes));
            let mut framed = frames(&mut ours, &data);
            assert_eq!(read(&mut theirs, &mut framed).unwrap(), (data, Then::NeedBytes));
        }
    }
}

#[test]
fn any_split_of_the_stream_gives_the_same_plaintext() {
    let mut random = 7u64;
    for round in 0..50 {
        let (mut ours, mut theirs) = pair(SUITES[round % 3]);
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for piece in 0..8usize {
            let data = bytes(1 + (piece * 7919 + round * 131) % 20_000);
            ours.update_owed = piece == 5;
            ours.seal_copy(&data, &mut stream).unwrap();
            expected.extend(data);
        }
        let mut pending = Vec::new();
        let mut plain = Vec::new();
        while !stream.is_empty() {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let take = (1 + (random >> 33) as usize % 9_000).min(stream.len());
            pending.extend(stream.drain(..take));
            let mut slices = Vec::new();
            let progress = theirs.open(&mut pending, &mut slices).unwrap();
            slices.into_iter().for_each(|range| plain.extend_from_slice(&pending[range]));
            pending.drain(..progress.consumed);
        }
        assert!(plain == expected, "round {round}");
        assert!(pending.is_empty());
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused() {
    let (mut ours, _) = pair(Suite::Aes128);
    let mut sealed = Vec::new();
    ours.seal_copy(b"countersign", &mut sealed).unwrap();
    for at in 0..sealed.len() {
        let (_, mut theirs) = pair(Suite::Aes128);
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let result = read(&mut theirs, &mut changed);
        match at {
            0 => assert_eq!(result, Err(RecordError::Unprotected { content: 22 })),
            // The legacy version is ignored as a version, and authenticated as a byte.
            1 | 2 => assert_eq!(result, Err(RecordError::BadRecordMac)),
            // A longer record is awaited in full.
            3 => assert_eq!(result, Ok((vec![], Then::NeedBytes))),
            4 => assert!(
                matches!(result, Ok((_, Then::NeedBytes)) | Err(RecordError::BadRecordMac)),
                "{result:?}"
            ),
            _ => assert_eq!(result, Err(RecordError::BadRecordMac), "byte {at}"),
        }
    }
}

#[test]
fn a_truncated_record_gives_nothing() {
    let (mut ours, mut theirs) = pair(Suite::Aes256);
    let mut sealed = Vec::new();
    ours.seal_copy(b"countersign", &mut sealed).unwrap();
    for len in 0..sealed.len() {
        let mut cut = sealed[..len].to_vec();
        assert_eq!(read(&mut theirs, &mut cut), Ok((vec![], Then::NeedBytes)), "{len}");
    }
    assert_eq!(read(&mut theirs, &mut sealed).unwrap().0, b"countersign");
}

#[test]
fn reordered_replayed_and_dropped_records_are_refused() {
    let sealed = || {
        let (mut ours, theirs) = pair(Suite::Aes128);
        let [mut first, mut second] = [Vec::new(), Vec::new()];
        ours.seal_copy(b"first", &mut first).unwrap();
        ours.seal_copy(b"second", &mut second).unwrap();
        (first, second, theirs)
    };
    let (first, second, mut theirs) = sealed();
    assert_eq!(read(&mut theirs, &mut [second, first].concat()), Err(RecordError::BadRecordMac));
    let (first, _, mut theirs) = sealed();
    assert_eq!(read(&mut theirs, &mut [first.clone(), first].concat()), Err(RecordError::BadRecordMac));
    let (_, mut second, mut theirs) = sealed();
    assert_eq!(read(&mut theirs, &mut second), Err(RecordError::BadRecordMac));
}

#[test]
fn after_a_refused_record_nothing_opens() {
    let (mut ours, mut theirs) = pair(Suite::Aes256);
    let mut forged = sealed(&mut ours, wire::APPLICATION_DATA, b"forged");
    let mut genuine = sealed(&mut ours, wire::APPLICATION_DATA, b"genuine");
    *forged.last_mut().unwrap() ^= 1;
    for bytes in [&mut forged, &mut genuine] {
        assert_eq!(read(&mut theirs, bytes), Err(RecordError::BadRecordMac));
    }
}

#[test]
fn lengths_have_their_bounds() {
    let header = |content, len: u16| [&[content, 3, 3][..], &len.to_be_bytes()].concat();
    assert_eq!(record_len(&header(23, 16_640)), Ok(Some(MAX_RECORD)));
    assert_eq!(record_len(&header(23, 16_641)), Err(RecordError::TooLong { len: 16_641 }));
    assert_eq!(record_len(&header(23, 17)), Ok(Some(22)));
    assert_eq!(record_len(&header(23, 16)), Err(RecordError::TooShort { len: 16 }));
    assert_eq!(
        record_len(&header(20, 1)),
        Err(RecordError::Unprotected { content: 20 }),
        "change_cipher_spec"
    );
    assert_eq!(record_len(&[23, 3, 3, 0xff]), Ok(None));

    let (mut ours, mut theirs) = pair(Suite::Aes128);
    let mut record = vec![0; HEADER + PLAIN + 1 + TRAILER];
    seal::seal(&mut ours.tx, wire::APPLICATION_DATA, &mut record).unwrap();
    let error = RecordError::PlainTooLong { len: PLAIN + 1 };
    assert_eq!(read(&mut theirs, &mut record), Err(error.clone()));
    assert_eq!(error.alert(), Some(Alert::RecordOverflow));
}

#[test]
fn padding_is_taken_off_and_padding_alone_refused() {
    let (mut ours, mut theirs) = pair(Suite::Aes128);
    // Content type zero at the end is padding; the type is what stands before it.
    let mut padded = sealed(&mut ours, 0, &[b'h', b'i', wire::APPLICATION_DATA, 0, 0, 0]);
    assert_eq!(read(&mut theirs, &mut padded).unwrap().0, b"hi");
    let mut hollow = sealed(&mut ours, 0, &[0; 20]);
    assert_eq!(read(&mut theirs, &mut hollow), Err(RecordError::NoContentType));
}

#[test]
fn empty_records_are_bounded() {
    let (mut ours, mut theirs) = pair(Suite::Aes128);
    let mut flood = Vec::new();
    for _ in 0..MAX_IDLE_RECORDS {
        flood.extend(sealed(&mut ours, wire::APPLICATION_DATA, &[]));
    }
    assert_eq!(read(&mut theirs, &mut flood.clone()).unwrap(), (vec![], Then::NeedBytes));
    let mut data = sealed(&mut ours, wire::APPLICATION_DATA, b"x");
    assert_eq!(read(&mut theirs, &mut data).unwrap().0, b"x");
    let mut flood = Vec::new();
    for _ in 0..=MAX_IDLE_RECORDS {
        flood.extend(sealed(&mut ours, wire::APPLICATION_DATA, &[]));
    }
    assert_eq!(read(&mut theirs, &mut flood), Err(RecordError::TooManyEmpty));
}

#[test]
fn a_key_update_is_followed_and_answered_once() {
    let (mut ours, mut theirs) = pair(Suite::Aes256);
    let mut stream = Vec::new();
    for _ in 0..3 {
        let mut request = wire::KEY_UPDATE;
        request[4] = 1;
        stream.extend(sealed(&mut ours, wire::HANDSHAKE, &request));
        let next = ours.schedule.next_tx().unwrap();
        ours.tx = TrafficKey::new(0, next).unwrap();
        ours.seal_copy(b"data", &mut stream).unwrap();
    }
    assert_eq!(read(&mut theirs, &mut stream).unwrap().0, b"datadatadata");
    assert!(theirs.update_owed);

    let mut answer = frames(&mut theirs, b"answer");
    assert_eq!(answer.len(), LEAD + HEADER + 6 + TRAILER, "one KeyUpdate and the data");
    assert!(!theirs.update_owed);
    assert_eq!(read(&mut ours, &mut answer).unwrap().0, b"answer");
    assert!(!ours.update_owed, "an answer asks for nothing");
    assert_eq!(read(&mut ours, &mut frames(&mut theirs, b"more")).unwrap().0, b"more");
}

#[test]
fn keys_change_before_their_limit() {
    let (mut ours, mut theirs) = pair(Suite::Aes128);
    ours.tx_limit = 3;
    for round in 0..20u8 {
        let data = [round; 10];
        let mut sealed = frames(&mut ours, &data);
        assert_eq!(read(&mut theirs, &mut sealed).unwrap().0, data, "round {round}");
        assert!(ours.tx.sealed_after(0) <= 3);
    }
}

#[test]
fn a_sequence_number_never_wraps() {
    let (mut ours, mut theirs) = pair(Suite::ChaCha);
    for key in [&mut ours.tx, &mut theirs.rx] {
        *key = TrafficKey::new(u64::MAX - 1, secrets(Suite::ChaCha, 1)).unwrap();
    }
    ours.tx_limit = u64::MAX;
    ours.schedule = Box::new(NoSchedule);
    let mut last = sealed(&mut ours, wire::APPLICATION_DATA, b"last");
    assert_eq!(read(&mut theirs, &mut last).unwrap().0, b"last");
    let mut record = vec![0; HEADER + TRAILER];
    assert_eq!(seal::seal(&mut ours.tx, 23, &mut record), Err(RecordError::SequenceEnds));
    assert_eq!(open::open(&mut theirs.rx, &mut record), Err(RecordError::SequenceEnds));
}

#[test]
fn alerts_end_the_direction_or_the_connection() {
    let (mut ours, mut theirs) = pair(Suite::Aes128);
    let mut stream = Vec::new();
    ours.seal_copy(b"bye", &mut stream).unwrap();
    ours.seal_alert(Alert::UserCanceled, &mut stream).unwrap();
    ours.seal_alert(Alert::CloseNotify, &mut stream).unwrap();
    stream.extend_from_slice(b"whatever follows is ignored");
    assert_eq!(read(&mut theirs, &mut stream).unwrap(), (b"bye".to_vec(), Then::Closed));

    let (mut ours, mut theirs) = pair(Suite::Aes128);
    let mut fatal = Vec::new();
    ours.seal_alert(Alert::InternalError, &mut fatal).unwrap();
    let error = RecordError::PeerAlert { description: 80 };
    assert_eq!(read(&mut theirs, &mut fatal), Err(error.clone()));
    assert_eq!(error.alert(), None);
}

#[test]
fn messages_that_may_not_come_are_refused_by_name() {
    let unexpected = |content| RecordError::Unexpected { content };
    for (content, plain, error) in [
        (wire::HANDSHAKE, &[][..], unexpected(22)),
        (wire::HANDSHAKE, &[1, 0, 0, 0], unexpected(22)),
        (wire::HANDSHAKE, &[24, 0, 0], unexpected(22)),
        (wire::HANDSHAKE, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0], unexpected(22)),
        (wire::HANDSHAKE, &[24, 0, 0, 1, 2], RecordError::BadUpdateRequest { request: 2 }),
        (wire::ALERT, &[1], RecordError::Malformed),
        (wire::ALERT, &[1, 0, 1, 0], RecordError::Malformed),
        (20, &[1], unexpected(20)),
        (24, &[1], unexpected(24)),
    ] {
        let (mut ours, mut theirs) = pair(Suite::Aes128);
        assert_eq!(
            read(&mut theirs, &mut sealed(&mut ours, content, plain)),
            Err(error),
            "{content} {plain:?}"
        );
    }
}

#[test]
fn a_batch_is_bounded() {
    let (mut ours, mut theirs) = pair(Suite::Aes128);
    let mut stream = Vec::new();
    for _ in 0..MAX_SLICES + 1 {
        ours.seal_copy(b"x", &mut stream).unwrap();
    }
    let mut slices = Vec::new();
    let progress = theirs.open(&mut stream, &mut slices).unwrap();
    assert_eq!((progress.then, slices.len()), (Then::Batch, MAX_SLICES));
    assert_eq!(read(&mut theirs, &mut stream[progress.consumed..]).unwrap().0, b"x");
}

#[test]
fn foreign_bytes_never_panic() {
    let mut random = 1u64;
    for _ in 0..20_000 {
        let (_, mut theirs) = pair(Suite::Aes128);
        let mut junk: Vec<u8> = (0..40)
            .map(|_| {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (random >> 56) as u8
            })
            .collect();
        junk[0] = 23;
        (junk[3], junk[4]) = (0, junk[4] % 40);
        assert!(!matches!(read(&mut theirs, &mut junk), Ok((plain, _)) if !plain.is_empty()));
    }
}

impl Records {
    /// Seals as a plain writer would: one record after the other onto the end of `out`.
    fn seal_copy(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        for chunk in plain.chunks(PLAIN) {
            if self.update_due(1) {
                let at = out.len();
                out.resize(at + LEAD, 0);
                self.update_keys(out.get_mut(at..).unwrap_or_default())?;
            }
            seal_onto(&mut self.tx, wire::APPLICATION_DATA, chunk, out)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Suite {
    Aes128,
    Aes256,
    ChaCha,
}

const SUITES: [Suite; 3] = [Suite::Aes128, Suite::Aes256, Suite::ChaCha];

/// Secrets that differ with each update, in both directions alike.
struct Schedule {
    suite: Suite,
    rx: u8,
    tx: u8,
}

impl KeySchedule for Schedule {
    fn next_rx(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        self.rx += 2;
        Ok(secrets(self.suite, self.rx))
    }

    fn next_tx(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        self.tx += 2;
        Ok(secrets(self.suite, self.tx))
    }
}

struct NoSchedule;

impl KeySchedule for NoSchedule {
    fn next_rx(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        Err(rustls::Error::HandshakeNotComplete)
    }

    fn next_tx(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        Err(rustls::Error::HandshakeNotComplete)
    }
}

/// Two ends: what one seals the other opens.
fn pair(suite: Suite) -> (Records, Records) {
    let end = |tx, rx| {
        let extracted = ExtractedSecrets { tx: (0, secrets(suite, tx)), rx: (0, secrets(suite, rx)) };
        Records::new(extracted, Box::new(Schedule { suite, rx, tx }), 1 << 24).unwrap()
    };
    (end(1, 2), end(2, 1))
}

fn secrets(suite: Suite, seed: u8) -> ConnectionTrafficSecrets {
    let (key, iv) = (AeadKey::from([seed; 32]), Iv::from([seed ^ 0x5a; 12]));
    match suite {
        Suite::Aes128 => ConnectionTrafficSecrets::Aes128Gcm { key, iv },
        Suite::Aes256 => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        Suite::ChaCha => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
    }
}

fn sealed(records: &mut Records, content: u8, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    seal_onto(&mut records.tx, content, plain, &mut out).unwrap();
    out
}

/// Seals as the tunnel does: plaintext in the gaps of frames.
fn frames(records: &mut Records, data: &[u8]) -> Vec<u8> {
    let mut area = vec![0; LEAD + FRAME * data.len().div_ceil(PLAIN)];
    for (frame, chunk) in area[LEAD..].chunks_mut(FRAME).zip(data.chunks(PLAIN)) {
        frame[HEADER..HEADER + chunk.len()].copy_from_slice(chunk);
    }
    let range = records.seal_frames(&mut area, data.len()).unwrap();
    area[range].to_vec()
}

fn read(records: &mut Records, bytes: &mut [u8]) -> Result<(Vec<u8>, Then), RecordError> {
    let mut plain = Vec::new();
    let mut from = 0;
    loop {
        let mut slices = Vec::new();
        let progress = records.open(&mut bytes[from..], &mut slices)?;
        slices.into_iter().for_each(|range| plain.extend_from_slice(&bytes[from..][range]));
        from += progress.consumed;
        if progress.then != Then::Batch {
            return Ok((plain, progress.then));
        }
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}
