use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_protocol::Destination;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    super::doorman::{House, Visit},
    Book, Tun,
    connection::Connection,
    device::MTU,
    flows::{Begun, Flows, Serial},
    packet::{Flow, Kind, classify},
    refuser::Refuser,
    stream::TunStream,
};
use crate::transport::Setbacks;

/// Takes every packet that the kernel sends to the device, and lets connections in.
pub(in super::super) struct Gate {
    tun: Arc<Tun>,
    book: Arc<Book>,
    house: Arc<House>,
    refuser: Refuser,
    flows: Mutex<Flows>,
    half_open: usize,
}

/// A connection to be: everything that it holds until it ends.
struct Visitor {
    flow: Flow,
    serial: Serial,
    syn: Vec<u8>,
    destination: Destination,
    give_up: CancellationToken,
    _visit: Visit,
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    pub(in super::super) fn new(tun: Arc<Tun>, book: Arc<Book>, house: Arc<House>, half_open: usize) -> Self {
        let refuser = Refuser::new(&tun);
        Self { tun, book, house, refuser, flows: Mutex::default(), half_open }
    }

    /// Takes packets until the service ends.
    pub(in super::super) async fn run(self: Arc<Self>) {
        let mut packet = vec![0; MTU as usize];
        let stop = self.house.stop().clone();
        let mut setbacks = Setbacks::default();
        while let Some(received) = stop.run_until_cancelled(self.tun.receive(&mut packet)).await {
            match received {
                Ok(len) => {
                    setbacks.over();
                    self.packet(packet.get(..len).unwrap_or_default());
                }
                Err(why) => {
                    stop.run_until_cancelled(setbacks.wait("TUN device", &why)).await;
                }
            }
        }
    }

    fn packet(self: &Arc<Self>, packet: &[u8]) {
        match classify(packet) {
            Some(Kind::Syn(flow)) => self.knock(flow, packet),
            Some(Kind::Segment(flow)) => {
                let connection = self.flows().connection(&flow);
                match connection {
                    Some(connection) => connection.packet(packet),
                    None => self.refuse(packet),
                }
            }
            Some(Kind::Datagram) => self.refuse(packet),
            None => {}
        }
    }

    /// The first packet of a connection: its way out is opened before it is answered.
    fn knock(self: &Arc<Self>, flow: Flow, syn: &[u8]) {
        let begun = self.flows().begin(flow, self.house.stop());
        let (serial, give_up) = match begun {
            Begun::New(serial, give_up) => (serial, give_up),
            Begun::Again => return,
            Begun::Open(connection) => return connection.packet(syn),
        };
        let shed = self.flows().shed(self.half_open);
        if let Some((destination, _)) = shed.and_then(|shed| self.book.destination(shed.to)) {
            self.house.warn(&destination, "half-open", "given up for a newer one: too many are being opened");
        }
        let visitor = self.book.destination(flow.to).and_then(|(destination, visit)| {
            let permit = self.house.room_for(&destination)?;
            let syn = syn.to_vec();
            Some(Visitor { flow, serial, syn, destination, give_up, _visit: visit, _permit: permit })
        });
        match visitor {
            Some(visitor) => {
                let (gate, stop) = (self.clone(), self.house.stop().clone());
                tokio::spawn(async move { stop.run_until_cancelled(gate.serve(visitor)).await });
            }
            None => {
                self.flows().end(flow, serial);
                self.refuse(syn);
            }
        }
    }

    async fn serve(&self, visitor: Visitor) {
        let Visitor { flow, serial, syn, destination, give_up, _visit, _permit } = visitor;
        let Some(opened) = give_up.run_until_cancelled(self.house.open(&destination)).await else {
            // Shed: the program sends its first packet again.
            return;
        };
        let ready = opened.and_then(|far| {
            let near = Connection::new(&flow, self.tun.clone());
            near.map(|near| (near, far)).inspect_err(|why| debug!("no socket: {why}")).ok()
        });
        let Some((near, far)) = ready else {
            self.flows().end(flow, serial);
            return self.refuse(&syn);
        };
        if !self.flows().open(flow, serial, near.clone()) {
            // Shed at the last moment.
            return;
        }
        // Only now, since the answer to our answer must find the connection.
        near.packet(&syn);
        let stream = TunStream::new(near.clone());
        tokio::join!(near.keep_time(), self.house.carry(stream, far, &destination));
        self.flows().end(flow, serial);
    }

    fn refuse(&self, packet: &[u8]) {
        self.refuser.refuse(packet, &self.tun);
    }

    /// What is locked is whole between any two statements.
    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
