//! Two ends without sockets: their steps in every order that chance finds, and nobody moves who was not woken.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use tokio::io::ReadBuf;

use super::*;

/// SplitMix64: the same steps for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % end as u64) as usize
    }
}

/// A task: awake or not.
struct Task(Arc<Awake>);

struct Awake(AtomicBool);

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Task {
    fn new(awake: bool) -> Self {
        Self(Arc::new(Awake(awake.into())))
    }

    fn wake(&self) {
        self.0.clone().wake();
    }

    fn is_awake(&self) -> bool {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Runs, and sleeps unless it was woken meanwhile, or has more to do.
    fn run(&self, turn: impl FnOnce(&mut Context<'_>) -> bool) {
        self.0.0.store(false, Ordering::Relaxed);
        if turn(&mut Context::from_waker(&self.0.clone().into())) {
            self.wake();
        }
    }
}

/// What a lane's user at one end does, and what he has seen.
struct User {
    sends: usize,
    /// He leaves after so many turns, whatever he has heard.
    patience: usize,
    sent: usize,
    ended: bool,
    heard: usize,
    reads: bool,
    writes: bool,
    left: bool,
    reader: Task,
    writer: Task,
}

struct World {
    chance: Chance,
    ends: [State; 2],
    drivers: [Task; 2],
    writing: [BytesMut; 2],
    /// What each end's socket holds of it.
    wires: [VecDeque<u8>; 2],
    /// How much that may be.
    room: usize,
    door: Task,
    /// Of each lane, those at either end.
    users: Vec<[User; 2]>,
    opened: usize,
}

/// The byte at a place of a stream: of each lane and direction others.
fn byte(lane: usize, end: usize, at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16) ^ ((lane * 2 + end) * 37)) as u8
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut user = || User {
            sends: [0, 1, 5_000, 100_000, 200_000][chance.below(5)],
            patience: if chance.below(4) == 0 { 1 + chance.below(20) } else { usize::MAX },
            sent: 0,
            ended: false,
            heard: 0,
            reads: true,
            writes: true,
            left: false,
            reader: Task::new(false),
            writer: Task::new(false),
        };
        let users = (0..12).map(|_| [user(), user()]).collect();
        let room = [1000, 60_000, 300_000][chance.below(3)];
        Self {
            chance,
            ends: [State::new(Role::Opens), State::new(Role::Takes)],
            drivers: [Task::new(true), Task::new(true)],
            writing: Default::default(),
            wires: Default::default(),
            room,
            door: Task::new(true),
            users,
            opened: 0,
        }
    }

    /// Until nobody is awake.
    fn run(&mut self) {
        loop {
            let mut turns: Vec<(usize, usize, usize)> = Vec::new();
            turns.extend((0..2).filter(|end| self.drivers[*end].is_awake()).map(|end| (0, end, 0)));
            turns.extend(self.door.is_awake().then_some((1, 0, 0)));
            turns.extend((self.opened < self.users.len()).then_some((2, 0, 0)));
            for (lane, users) in self.users.iter().enumerate() {
                for (end, user) in users.iter().enumerate().filter(|(_, user)| !user.left) {
                    turns.extend((user.reads && user.reader.is_awake()).then_some((3, end, lane)));
                    turns.extend((user.writes && user.writer.is_awake()).then_some((4, end, lane)));
                }
            }
            if turns.is_empty() {
                return;
            }
            match turns[self.chance.below(turns.len())] {
                (0, end, _) => self.drive(end),
                (1, ..) => self.take(),
                (2, ..) => {
                    assert_eq!(self.ends[0].open(), Some(self.opened as u32 + 1));
                    self.come(self.opened, 0);
                    self.opened += 1;
                }
                (3, end, lane) => self.read(lane, end),
                (_, end, lane) => self.write(lane, end),
            }
            assert!(self.ends.iter().all(|end| end.waiting.len() <= end.lanes.len()));
        }
    }

    fn come(&self, lane: usize, end: usize) {
        self.users[lane][end].reader.wake();
        self.users[lane][end].writer.wake();
    }

    fn take(&mut self) {
        let mut taken = None;
        self.door.run(|cx| {
            taken = match self.ends[1].poll_take(cx) {
                Poll::Ready(lane) => Some(lane.unwrap()),
                Poll::Pending => None,
            };
            taken.is_some()
        });
        if let Some(lane) = taken {
            self.come(lane as usize - 1, 1);
        }
    }

    /// As `drive.rs` does it.
    fn drive(&mut self, end: usize) {
        let state = &mut self.ends[end];
        let (writing, room) = (&mut self.writing[end], self.room);
        let most = 1 + self.chance.below(100_000);
        let [one, two] = &mut self.wires;
        let (to, from) = if end == 0 { (one, two) } else { (two, one) };
        let [first, second] = &self.drivers;
        let (this, that) = if end == 0 { (first, second) } else { (second, first) };
        this.run(|cx| {
            let mut again = false;
            loop {
                if writing.is_empty() {
                    std::mem::swap(writing, &mut state.out);
                }
                again |= state.drive(cx);
                let taken = writing.len().min(room - to.len());
                if taken == 0 {
                    break;
                }
                to.extend(writing.split_to(taken));
                that.wake();
            }
            let came: Vec<u8> = from.drain(..most.min(from.len())).collect();
            if came.is_empty() {
                return again;
            }
            that.wake();
            assert_eq!(state.receive(&came), Ok(()), "end {end}");
            true
        });
    }

    fn read(&mut self, lane: usize, end: usize) {
        let mut room = vec![0; 1 + self.chance.below(80_000)];
        let [one, two] = &mut self.users[lane];
        let (user, other) = if end == 0 { (one, &*two) } else { (two, &*one) };
        let state = &mut self.ends[end];
        user.reader.run(|cx| {
            let mut room = ReadBuf::new(&mut room);
            match state.poll_read(lane as u32 + 1, cx, &mut room) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if room.filled().is_empty() => {
                    assert!(other.ended && user.heard == other.sent, "lane {lane} looks finished");
                    user.reads = false;
                }
                Poll::Ready(Ok(())) => {
                    for (at, seen) in room.filled().iter().enumerate() {
                        assert_eq!(*seen, byte(lane, 1 - end, user.heard + at), "lane {lane}");
                    }
                    user.heard += room.filled().len();
                }
                Poll::Ready(Err(why)) => {
                    assert_eq!(why.kind(), io::ErrorKind::ConnectionReset);
                    assert!(other.left && !other.ended, "lane {lane} broke");
                    user.reads = false;
                }
            }
            user.reads
        });
        self.passed(lane, end);
    }

    fn write(&mut self, lane: usize, end: usize) {
        let most = 1 + self.chance.below(80_000);
        let [one, two] = &mut self.users[lane];
        let (user, other) = if end == 0 { (one, &*two) } else { (two, &*one) };
        let state = &mut self.ends[end];
        user.writer.run(|cx| {
            let number = lane as u32 + 1;
            let rest = user.sends - user.sent;
            if rest == 0 {
                user.writes = false;
                user.ended = state.shutdown(number).is_ok();
                assert!(user.ended || other.left, "lane {lane}");
                return false;
            }
            let part: Vec<u8> = (0..rest.min(most)).map(|at| byte(lane, end, user.sent + at)).collect();
            match state.poll_write(number, cx, &part) {
                Poll::Pending => return false,
                Poll::Ready(Ok(taken)) => user.sent += taken,
                Poll::Ready(Err(why)) => {
                    assert_eq!(why.kind(), io::ErrorKind::BrokenPipe);
                    assert!(other.left, "lane {lane}");
                    user.writes = false;
                }
            }
            user.writes
        });
        self.passed(lane, end);
    }

    fn passed(&mut self, lane: usize, end: usize) {
        let user = &mut self.users[lane][end];
        user.patience -= 1;
        if user.patience == 0 || !(user.reads || user.writes) {
            user.left = true;
            self.ends[end].leave(lane as u32 + 1);
        }
    }
}

#[test]
fn in_whatever_order_everything_arrives_and_nothing_stays() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        world.run();
        for (lane, users) in world.users.iter().enumerate() {
            assert!(users.iter().all(|user| user.left), "seed {seed}: lane {lane} waits for ever");
        }
        for end in &mut world.ends {
            assert!(end.lanes.is_empty() && end.arrived.is_empty() && end.out.is_empty(), "seed {seed}");
            assert_eq!((end.budget, end.over), (BUDGET, None), "seed {seed}");
            end.retire();
            assert!(end.is_done());
        }
    }
}

/// It is polled for whatever comes, and cannot write.
#[test]
fn a_writer_stands_in_the_queue_once() {
    let mut state = State::new(Role::Takes);
    let cx = Context::from_waker(Waker::noop());
    let lanes = FULL as u32 / WINDOW + 1;
    for lane in 1..=lanes {
        state.receive(&Frame::Open.head(lane)).unwrap();
    }
    for lane in 1..lanes {
        assert!(state.poll_write(lane, &cx, &[0; WINDOW as usize]).is_ready());
    }
    for _ in 0..1000 {
        assert!(state.poll_write(lanes, &cx, b"x").is_pending());
    }
    assert_eq!(state.waiting, [lanes]);
    // Let go on, it may have to wait again; and whoever leaves waits no more.
    let said = std::mem::take(&mut state.out);
    assert!(!state.drive(&cx));
    state.out = said;
    assert!(state.poll_write(lanes, &cx, b"x").is_pending());
    assert_eq!(state.waiting, [lanes]);
    state.leave(lanes);
    assert!(state.waiting.is_empty());
}

#[test]
fn numbers_end_and_are_never_used_again() {
    let mut state = State::new(Role::Opens);
    state.last = u32::MAX - 1;
    assert_eq!(state.open(), Some(u32::MAX));
    assert_eq!(state.open(), None);
    state.leave(u32::MAX);
    assert_eq!(state.open(), None);
    let mut other = State::new(Role::Takes);
    assert_eq!(other.receive(&state.out), Ok(()));
    assert_eq!(other.receive(&Frame::Open.head(1)), Err(Broken::Number));
}

/// Those that its other end has left may not have been left here.
#[test]
fn a_lane_too_many_is_reset_and_costs_no_other() {
    let mut state = State::new(Role::Takes);
    for lane in 1..=MAX_LANES as u32 {
        state.receive(&Frame::Open.head(lane)).unwrap();
    }
    let late = MAX_LANES as u32 + 1;
    assert_eq!(state.receive(&Frame::Open.head(late)), Ok(()));
    assert_eq!(state.out, Frame::Reset.head(late)[..]);
    assert_eq!((state.lanes.len(), state.arrived.len()), (MAX_LANES, MAX_LANES));
    state.leave(1);
    state.receive(&Frame::Open.head(late + 1)).unwrap();
    assert!(!state.is_gone(late + 1));
}
