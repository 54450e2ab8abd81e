use std::sync::Arc;

use bytes::Bytes;
use tokio::{io::AsyncWriteExt, sync::Semaphore, time::timeout};
use tokio_util::task::TaskTracker;

use super::{
    door::Place,
    egress::{EgressDesk, WRITE_DEADLINE, overloaded},
    wire::Answer,
};
use crate::{transport::Stream, trunk::Trunk};

/// Where the enclave's connections come in, and the lanes of its trunks: each is served if there is a place for it.
pub(super) struct Entrance {
    desk: EgressDesk,
    room: Arc<Semaphore>,
    /// How many of them are told at a time that there is no place.
    farewells: Arc<Semaphore>,
    trunks: Arc<Semaphore>,
    tasks: TaskTracker,
    most: usize,
}

impl Entrance {
    pub(super) fn new(desk: EgressDesk, room: Arc<Semaphore>, tasks: TaskTracker, most: usize) -> Self {
        let (farewells, trunks) = (Arc::new(Semaphore::new(FAREWELLS)), Arc::new(Semaphore::new(TRUNKS)));
        Self { desk, room, farewells, trunks, tasks, most }
    }

    /// Serves a connection, and the lanes of one that is a trunk.
    pub(super) fn serve(self: &Arc<Self>, stream: Stream, place: Place) {
        let entrance = self.clone();
        self.tasks.spawn(async move {
            if let Some((stream, early)) = entrance.desk.serve(stream, place).await {
                entrance.trunk(stream, early).await;
            }
        });
    }

    /// A few at a time are told why; whoever comes while they are being told is dropped.
    pub(super) fn turn_away(self: &Arc<Self>, stream: Stream) {
        let Ok(farewell) = self.farewells.clone().try_acquire_owned() else { return };
        let entrance = self.clone();
        self.tasks.spawn(async move {
            entrance.desk.refuse(stream, None, None, overloaded(entrance.most, "connections")).await;
            drop(farewell);
        });
    }

    /// Takes lanes until the trunk is over, or the host half stops; what is open then has its time to end. A trunk takes no
    /// place of those for connections.
    async fn trunk(self: &Arc<Self>, mut stream: Stream, early: Bytes) {
        let Ok(_place) = self.trunks.try_acquire() else {
            let Ok(_farewell) = self.farewells.try_acquire() else { return };
            return self.desk.refuse(stream, None, None, overloaded(TRUNKS, "trunks")).await;
        };
        if !matches!(timeout(WRITE_DEADLINE, stream.write_all(&Answer::Trunk.encode())).await, Ok(Ok(()))) {
            return;
        }
        let (trunk, driver) = Trunk::taking(stream, early);
        let lanes = async {
            while let Some(Some(lane)) = self.desk.stop.run_until_cancelled(trunk.take()).await {
                self.lane(Stream::Lane(lane));
            }
            drop(trunk);
        };
        tokio::join!(driver, lanes);
    }

    fn lane(self: &Arc<Self>, lane: Stream) {
        let Ok(place) = self.room.clone().try_acquire_owned() else { return self.turn_away(lane) };
        let entrance = self.clone();
        self.tasks.spawn(async move { entrance.desk.serve(lane, place).await });
    }
}

/// Connections over the limit that are told so at a time.
const FAREWELLS: usize = 64;

/// At a time: an enclave has up to four.
const TRUNKS: usize = 64;
