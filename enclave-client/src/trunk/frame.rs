use std::fmt;

/// What stands at the start of a frame; of [`Frame::Data`] as many bytes follow.
///
/// ```text
///   0      1                       4                              8
///   ┌──────┬───────────────────────┬──────────────────────────────┐
///   │ kind │ value, 24 bits        │ lane, 32 bits             │   big-endian
///   └──────┴───────────────────────┴──────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A lane begins. Its number is larger than those of all before it.
    Open,
    /// So many bytes of it follow, at least one.
    Data(u32),
    /// Its sender has said everything.
    End,
    /// It is over for both, and what was not read is lost.
    Reset,
    /// So many more bytes may be sent.
    Credit(u32),
}

impl Frame {
    /// Bytes of a head.
    pub(super) const HEAD: usize = 8;

    /// The largest value.
    pub(super) const MOST: u32 = (1 << 24) - 1;

    pub(super) fn head(self, lane: u32) -> [u8; Self::HEAD] {
        let (kind, value) = match self {
            Self::Open => (0_u32, 0),
            Self::Data(len) => (1, len),
            Self::End => (2, 0),
            Self::Reset => (3, 0),
            Self::Credit(bytes) => (4, bytes),
        };
        let first = (kind << 24) | (value & Self::MOST);
        ((u64::from(first) << 32) | u64::from(lane)).to_be_bytes()
    }

    /// The lane and what is said of it.
    pub(super) fn parse(head: [u8; Self::HEAD]) -> Result<(u32, Self), Broken> {
        let [kind, rest @ ..] = head;
        let [a, b, c, lane @ ..] = rest;
        let value = u32::from_be_bytes([0, a, b, c]);
        let frame = match (kind, value) {
            (0, 0) => Self::Open,
            (1, 1..) => Self::Data(value),
            (2, 0) => Self::End,
            (3, 0) => Self::Reset,
            (4, 1..) => Self::Credit(value),
            _ => return Err(Broken::Head),
        };
        Ok((u32::from_be_bytes(lane), frame))
    }
}

/// Why a trunk ended that its other end still used: what came over it is none of what may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// No such frame.
    Head,
    /// A frame of a lane that never began.
    NoLane,
    /// A lane whose number is none, was used before, or that this end does not take.
    Number,
    /// More bytes than there was credit for.
    NoCredit,
    /// More credit than there can be.
    Credit,
    /// Something of a lane after its end.
    AfterEnd,
    /// Nobody reads what is said.
    Unread,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "no such frame",
            Self::NoLane => "a frame of a lane that never began",
            Self::Number => "a lane with a wrong number",
            Self::NoCredit => "more bytes than there was credit for",
            Self::Credit => "more credit than there can be",
            Self::AfterEnd => "a frame of a lane after its end",
            Self::Unread => "it does not read what it is told",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for frame in [
            Frame::Open,
            Frame::Data(1),
            Frame::Data(Frame::MOST),
            Frame::End,
            Frame::Reset,
            Frame::Credit(7),
        ] {
            for lane in [1, 0x0102_0304, u32::MAX] {
                assert_eq!(Frame::parse(frame.head(lane)), Ok((lane, frame)));
            }
        }
        assert_eq!(Frame::Data(0x01_0203).head(0x0405_0607), [1, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn every_other_head_is_refused() {
        for head in [
            [5, 0, 0, 0],
            [255, 0, 0, 1],
            [0, 0, 0, 1],
            [1, 0, 0, 0],
            [2, 0, 1, 0],
            [3, 1, 0, 0],
            [4, 0, 0, 0],
        ] {
            let [a, b, c, d] = head;
            assert_eq!(Frame::parse([a, b, c, d, 0, 0, 0, 1]), Err(Broken::Head), "{head:?}");
        }
    }
}
