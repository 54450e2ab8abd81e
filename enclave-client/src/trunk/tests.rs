use std::{io::ErrorKind, os::unix::net::UnixStream as StdUnixStream, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{Lane, Trunk, drive::FAREWELL, frame::Frame, state::WINDOW};
use crate::transport::{Stream, UnixSocket};

/// Both ends of a trunk, and what drives them.
struct Pair {
    opens: Trunk,
    takes: Trunk,
    driven: [JoinHandle<()>; 2],
}

impl Pair {
    fn new() -> Self {
        let (one, other) = sockets();
        let (opens, first) = Trunk::opening(one);
        let (takes, second) = Trunk::taking(other, Bytes::new());
        Self { opens, takes, driven: [tokio::spawn(first), tokio::spawn(second)] }
    }

    async fn lane(&self) -> (Lane, Lane) {
        let near = self.opens.open().unwrap();
        (near, self.takes.take().await.unwrap())
    }
}

fn sockets() -> (Stream, Stream) {
    let (one, other) = StdUnixStream::pair().unwrap();
    let stream = |socket| Stream::Unix(UnixSocket::new(socket).unwrap());
    (stream(one), stream(other))
}

/// A hostile other end, and the trunk that takes its lanes.
fn raw() -> (UnixStream, Trunk, JoinHandle<()>) {
    let (one, other) = StdUnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    let (trunk, driver) = Trunk::taking(Stream::Unix(UnixSocket::new(other).unwrap()), Bytes::new());
    (UnixStream::from_std(one).unwrap(), trunk, tokio::spawn(driver))
}

/// The same, and the trunk that opens lanes to it.
fn opening() -> (UnixStream, Trunk, JoinHandle<()>) {
    let (one, other) = StdUnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    let (trunk, driver) = Trunk::opening(Stream::Unix(UnixSocket::new(other).unwrap()));
    (UnixStream::from_std(one).unwrap(), trunk, tokio::spawn(driver))
}

/// Bytes whose order cannot be mistaken, of each lane others.
fn pattern(lane: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16) ^ lane) as u8).collect()
}

#[tokio::test]
async fn a_thousand_lanes_carry_their_own_bytes_both_ways() {
    a_thousand_lanes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn so_they_do_over_several_threads() {
    a_thousand_lanes().await;
}

async fn a_thousand_lanes() {
    let pair = Pair::new();
    let mut done = Vec::new();
    for number in 0..1000 {
        let (near, far) = pair.lane().await;
        let len = if number % 100 == 0 { 3 << 20 } else { number * 7 };
        done.push(tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(near);
            let sent = pattern(number, len);
            let writing = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let mut back = Vec::new();
            let (read, ()) = tokio::join!(read.read_to_end(&mut back), writing);
            assert_eq!(read.unwrap(), len);
            assert!(back == sent, "lane {number}");
        }));
        tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(far);
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        });
    }
    for one in done {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_half_close_leaves_the_other_direction_open() {
    let pair = Pair::new();
    let (mut near, mut far) = pair.lane().await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "question");
    assert!(!far.is_gone());
    assert_eq!(near.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    heard.clear();
    near.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "answer");
}

#[tokio::test]
async fn what_is_dropped_early_is_reset_and_never_looks_finished() {
    let pair = Pair::new();
    for (drop_near, half_closed) in [(true, false), (false, false), (true, true), (false, true)] {
        let (near, far) = pair.lane().await;
        let (mut dropped, mut other) = if drop_near { (near, far) } else { (far, near) };
        dropped.write_all(b"part").await.unwrap();
        if half_closed {
            dropped.shutdown().await.unwrap();
        }
        drop(dropped);
        let mut heard = [0; 4];
        other.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"part");
        // Even one that had said everything: nobody is there for what is said to it.
        while !other.is_gone() {
            tokio::task::yield_now().await;
        }
        let end = other.read(&mut heard).await.map_err(|why| why.kind());
        assert_eq!(end, if half_closed { Ok(0) } else { Err(ErrorKind::ConnectionReset) });
        assert_eq!(other.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn a_slow_reader_holds_back_its_own_lane_alone_and_loses_nothing() {
    let pair = Pair::new();
    let (mut slow, mut unread) = pair.lane().await;
    let block = pattern(1, 1 << 20);
    let mut sent = 0;
    while let Ok(wrote) = timeout(Duration::from_millis(300), slow.write(&block[sent..])).await {
        sent += wrote.unwrap();
    }
    assert_eq!(sent, WINDOW as usize, "what may be on its way to nobody");
    let (mut quick, mut read) = pair.lane().await;
    let other = pattern(2, 8 << 20);
    let expected = other.clone();
    tokio::spawn(async move {
        quick.write_all(&other).await.unwrap();
        quick.shutdown().await.unwrap();
        quick
    });
    let mut seen = Vec::new();
    read.read_to_end(&mut seen).await.unwrap();
    assert!(seen == expected);
    let rest = tokio::spawn(async move {
        slow.write_all(&block[sent..]).await.unwrap();
        slow.shutdown().await.unwrap();
        slow
    });
    seen.clear();
    unread.read_to_end(&mut seen).await.unwrap();
    assert!(seen == pattern(1, 1 << 20));
    rest.await.unwrap();
}

#[tokio::test]
async fn when_the_connection_ends_every_lane_is_reset() {
    let Pair { opens, takes, driven: [first, second] } = Pair::new();
    let mut near = opens.open().unwrap();
    let mut far = takes.take().await.unwrap();
    far.write_all(b"last words").await.unwrap();
    let mut heard = [0; 10];
    near.read_exact(&mut heard).await.unwrap();
    second.abort();
    assert_eq!(near.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(near.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(near.is_gone() && opens.is_over() && opens.open().is_none());
    first.await.unwrap();
    // Those of a driver that was dropped have nobody to wait for.
    assert_eq!(far.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(far.is_gone() && takes.take().await.is_none());
}

/// The first to find out may be a write: that an end takes no more unsays nothing of what it said.
#[tokio::test]
async fn what_was_said_before_the_connection_ended_is_heard() {
    let (mut other, trunk, driven) = opening();
    let mut lane = trunk.open().unwrap();
    other.read_exact(&mut [0; Frame::HEAD]).await.unwrap();
    let answer = [&Frame::Data(6).head(1)[..], b"answer", &Frame::End.head(1)].concat();
    other.write_all(&answer).await.unwrap();
    drop(other);
    assert_eq!(lane.write(b"late").await.unwrap(), 4);
    driven.await.unwrap();
    let mut heard = String::new();
    lane.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "answer");
}

/// What is left for an end that reads nothing keeps a trunk that nobody needs for a moment only.
#[tokio::test(start_paused = true)]
async fn an_end_that_reads_nothing_is_not_waited_for() {
    let (_unread, trunk, driven) = opening();
    let mut lanes = Vec::new();
    for _ in 0..8 {
        let mut lane = trunk.open().unwrap();
        lane.write_all(&[0; WINDOW as usize]).await.unwrap();
        lanes.push(lane);
    }
    let begun = Instant::now();
    tokio::time::sleep(FAREWELL * 10).await;
    assert!(!driven.is_finished(), "lanes may wait");
    drop((trunk, lanes));
    timeout(FAREWELL * 10, driven).await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), FAREWELL * 11);
}

/// Lanes begun and left for somebody who reads nothing, and says nothing.
#[tokio::test]
async fn what_nobody_hears_is_not_kept_for_ever() {
    let (_unread, trunk, driven) = opening();
    for lanes in 0.. {
        let Some(lane) = trunk.open() else { break };
        drop(lane);
        if lanes % 1000 == 0 {
            tokio::task::yield_now().await;
        }
        assert!(lanes < 1_000_000, "{lanes} lanes, and it still writes");
    }
    driven.await.unwrap();
}

#[tokio::test]
async fn an_end_that_retires_finishes_what_there_is_and_closes() {
    for retired in ["opens", "takes"] {
        let Pair { opens, takes, driven } = Pair::new();
        let mut near = opens.open().unwrap();
        let mut far = takes.take().await.unwrap();
        let mut still = match retired {
            "opens" => {
                drop(opens);
                None
            }
            _ => {
                drop(takes);
                let mut late = opens.open().unwrap();
                assert_eq!(late.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
                Some(opens)
            }
        };
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        far.write_all(heard.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        heard.clear();
        near.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question");
        drop((near, far));
        for one in driven {
            one.await.unwrap();
        }
        assert!(still.take().is_none_or(|opens| opens.is_over()));
    }
}

/// Each is said by an end that must not say it. The trunk is over, and so is every lane.
#[tokio::test]
async fn what_breaks_the_rules_ends_the_trunk() {
    let data = |lane, len: u32| [&Frame::Data(len).head(lane)[..], &vec![7; len as usize]].concat();
    let open = |lane| Frame::Open.head(lane).to_vec();
    let then = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    for (name, attack) in [
        ("no such kind", [9, 0, 0, 0, 0, 0, 0, 1].to_vec()),
        ("data of nothing", [1, 0, 0, 0, 0, 0, 0, 1].to_vec()),
        ("lane 0", open(0)),
        ("a lane that never began", data(5, 1)),
        ("a number used twice", then(open(2), open(2))),
        ("a number that went by", then(open(2), open(1))),
        ("more than the window", then(open(1), data(1, WINDOW + 1))),
        ("more than the window, in two", [open(1), data(1, WINDOW), data(1, 1)].concat()),
        ("credit beyond all bounds", then(open(1), Frame::Credit(Frame::MOST).head(1).to_vec())),
        ("data after the end", [open(1), Frame::End.head(1).to_vec(), data(1, 1)].concat()),
        ("a second end", [open(1), Frame::End.head(1).to_vec(), Frame::End.head(1).to_vec()].concat()),
        (
            "credit after a reset",
            [open(1), Frame::Reset.head(1).to_vec(), Frame::Credit(1).head(1).to_vec()].concat(),
        ),
    ] {
        let (mut hostile, trunk, driven) = raw();
        // It may be hung up on before it has said everything.
        let _ = hostile.write_all(&attack).await;
        driven.await.unwrap();
        assert!(trunk.is_over(), "{name}");
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(5), hostile.read_to_end(&mut answer)).await.expect(name);
    }
}

/// An end that has lanes begun and refused without reading what it is told.
#[tokio::test]
async fn answers_that_nobody_reads_are_not_kept_for_ever() {
    let (mut hostile, trunk, driven) = raw();
    let refusing = tokio::spawn(async move { while trunk.take().await.is_some() {} });
    let mut lane = 0_u32;
    let flood = async {
        loop {
            let many: Vec<u8> = (0..1000).flat_map(|more| Frame::Open.head(lane + more + 1)).collect();
            lane += 1000;
            if hostile.write_all(&many).await.is_err() {
                break;
            }
            assert!(lane < 4_000_000, "{lane} lanes, and it still listens");
        }
    };
    flood.await;
    driven.await.unwrap();
    refusing.await.unwrap();
}

#[tokio::test]
async fn frames_may_come_in_any_pieces() {
    let (mut hostile, trunk, _driven) = raw();
    let said = [&Frame::Open.head(1)[..], &Frame::Data(5).head(1), b"hello", &Frame::End.head(1)].concat();
    for byte in said {
        hostile.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut lane = trunk.take().await.unwrap();
    let mut heard = String::new();
    lane.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "hello");
}

/// What is on its way to a lane that this end has left is nobody's, and no reason to end the others.
#[tokio::test]
async fn what_comes_for_a_lane_that_was_left_is_dropped() {
    let (mut hostile, trunk, _driven) = raw();
    hostile.write_all(&[Frame::Open.head(1), Frame::Open.head(2)].concat()).await.unwrap();
    drop(trunk.take().await.unwrap());
    let mut other = trunk.take().await.unwrap();
    let late =
        [&Frame::Data(3).head(1)[..], b"abc", &Frame::End.head(1), &Frame::Data(2).head(2), b"ok"].concat();
    hostile.write_all(&late).await.unwrap();
    let mut heard = [0; 2];
    other.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ok");
}
