use super::{
    MAX_LANES, Role, State,
    ends::{Ends, Heard},
    wake,
};
use crate::trunk::frame::{Broken, Frame};

/// What comes from the other end.
impl State {
    /// Takes frames, and parts of frames.
    pub(in crate::trunk) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let incoming = &mut self.incoming;
            if incoming.missing > 0 {
                let (data, rest) = bytes.split_at(incoming.missing.min(bytes.len()));
                incoming.missing -= data.len();
                bytes = rest;
                // A lane that this end has left: what was under way is for nobody.
                if let Some(ends) = self.lanes.get_mut(&incoming.lane) {
                    ends.inbox.extend_from_slice(data);
                    wake(&mut ends.reader);
                }
                continue;
            }
            let (part, rest) = bytes.split_at((Frame::HEAD - incoming.known).min(bytes.len()));
            let room = incoming.head.get_mut(incoming.known..).unwrap_or_default();
            room.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            incoming.known += part.len();
            bytes = rest;
            if incoming.known == Frame::HEAD {
                incoming.known = 0;
                let (lane, frame) = Frame::parse(incoming.head)?;
                self.hear(lane, frame)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, lane: u32, frame: Frame) -> Result<(), Broken> {
        if frame == Frame::Open {
            return self.begin(lane);
        }
        if lane == 0 || lane > self.last {
            return Err(Broken::NoLane);
        }
        if let Frame::Data(len) = frame {
            (self.incoming.lane, self.incoming.missing) = (lane, len as usize);
        }
        let Some(ends) = self.lanes.get_mut(&lane) else { return Ok(()) };
        if ends.gone || (ends.heard == Heard::End && matches!(frame, Frame::Data(_) | Frame::End)) {
            return Err(Broken::AfterEnd);
        }
        match frame {
            Frame::Data(len) => ends.granted = ends.granted.checked_sub(len).ok_or(Broken::NoCredit)?,
            Frame::Credit(more) => {
                let credit = ends.credit.checked_add(more).filter(|credit| *credit <= Frame::MOST);
                ends.credit = credit.ok_or(Broken::Credit)?;
                wake(&mut ends.writer);
            }
            Frame::End => {
                ends.heard = Heard::End;
                wake(&mut ends.reader);
            }
            Frame::Reset => {
                ends.gone = true;
                // What was said to its end stays so.
                if ends.heard == Heard::Open {
                    ends.heard = Heard::Reset;
                }
                wake(&mut ends.reader);
                wake(&mut ends.writer);
            }
            Frame::Open => {}
        }
        Ok(())
    }

    fn begin(&mut self, lane: u32) -> Result<(), Broken> {
        if self.role == Role::Opens || lane <= self.last {
            return Err(Broken::Number);
        }
        self.last = lane;
        // The other end may have left lanes that this end has not left yet.
        if self.retired || self.lanes.len() >= MAX_LANES {
            self.say(Frame::Reset, lane);
            return Ok(());
        }
        self.lanes.insert(lane, Ends::new());
        self.arrived.push_back(lane);
        wake(&mut self.door);
        Ok(())
    }
}

/// The frame that is being read.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    head: [u8; Frame::HEAD],
    /// Bytes of the head that are there.
    known: usize,
    /// The lane of the data that follows, and how much of it is missing.
    lane: u32,
    missing: usize,
}
