use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use countersign_protocol::{Destination, Host};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::{
    AddressPool, PortList,
    config::Limits,
    dns::{Existence, Family, Found, Names},
    doorman::{Doorman, House, Visits},
    names::{NameTable, NoRoom, Place},
};
use crate::throttle::Throttle;

/// Answers the resolver: gives a name its address, and has it listened for there
/// before anybody is told.
pub(super) struct Directory {
    pool: AddressPool,
    families: Families,
    ports: PortList,
    house: Arc<House>,
    table: Mutex<NameTable<NamePlace>>,
    sockets: Arc<Semaphore>,
    denials: Throttle,
    troubles: Throttle,
}

/// What the system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    /// IPv4 and IPv6.
    Both,
    /// IPv6 is switched off: names have no IPv6 address.
    OnlyV4,
}

/// A name's number, and who listens there. Dropped, nobody does any more.
pub(super) struct NamePlace {
    number: u32,
    visits: Visits,
    doors: Mutex<BTreeMap<(Family, u16), OwnedSemaphorePermit>>,
    close: CancellationToken,
    _close_at_drop: DropGuard,
}

/// The log says which door, and why.
struct NotAllOpen;

impl Place for NamePlace {
    fn in_use(&self) -> bool {
        self.visits.any()
    }
}

impl Directory {
    pub(super) fn new(
        pool: AddressPool,
        families: Families,
        ports: PortList,
        limits: Limits,
        house: Arc<House>,
    ) -> Self {
        Self {
            pool,
            families,
            ports,
            house,
            table: Mutex::new(NameTable::new(limits, pool.last())),
            sockets: Arc::new(Semaphore::new(limits.sockets)),
            denials: Throttle::default(),
            troubles: Throttle::default(),
        }
    }

    /// Listens at a destination that is an address itself, until the service ends.
    pub(super) fn open_address(&self, destination: Destination) -> io::Result<()> {
        let Host::Address(address) = *destination.host() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let permit = self.socket_permit().ok_or_else(|| io::Error::other("every socket is in use"))?;
        let doorman = Doorman::new(address, destination, Visits::default(), self.house.clone())?;
        let stop = self.house.stop().clone();
        tokio::spawn(async move {
            doorman.accept_until(stop).await;
            drop(permit);
        });
        Ok(())
    }

    fn place(&self, name: &str, now: Instant) -> Result<Arc<NamePlace>, NoRoom> {
        self.table().find(name, now, |number| {
            let close = self.house.stop().child_token();
            NamePlace {
                number,
                visits: Visits::default(),
                doors: Mutex::default(),
                _close_at_drop: close.clone().drop_guard(),
                close,
            }
        })
    }

    /// Opens the doors that are not open yet. One that failed is tried again with the next
    /// question; until all are open the name has no address, since where no door of ours is,
    /// the application's own listener would take the connection for the destination.
    fn open_doors(
        &self,
        place: &NamePlace,
        address: IpAddr,
        destinations: Vec<Destination>,
    ) -> Result<(), NotAllOpen> {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let mut doors = lock(&place.doors);
        let (wanted, mut open) = (destinations.len(), 0);
        for destination in destinations {
            let key = (family, destination.port());
            if doors.contains_key(&key) {
                open += 1;
                continue;
            }
            let Some(permit) = self.socket_permit() else {
                self.trouble(&destination, "every socket is in use");
                continue;
            };
            let doorman =
                Doorman::new(address, destination.clone(), place.visits.clone(), self.house.clone());
            match doorman {
                Ok(doorman) => {
                    tokio::spawn(doorman.accept_until(place.close.clone()));
                    doors.insert(key, permit);
                    open += 1;
                }
                Err(why) if why.kind() == io::ErrorKind::AddrInUse => self.trouble(
                    &destination,
                    "another program listens on this port at every address; have it listen on 127.0.0.1",
                ),
                Err(why) => self.trouble(&destination, &format!("{address} cannot be listened at: {why}")),
            }
        }
        if open == wanted { Ok(()) } else { Err(NotAllOpen) }
    }

    /// Room for one more socket, if need be from the name that went longest without being asked for.
    fn socket_permit(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = self.sockets.clone().try_acquire_owned() {
                return Some(permit);
            }
            // Dropped outside of the lock: its doors close with it.
            let _forgotten = self.table().forget_one(Instant::now()).ok()?;
        }
    }

    fn trouble(&self, destination: &Destination, why: &str) {
        if let Some(held_back) = self.troubles.pass(Instant::now()) {
            warn!(%destination, code = "not-listened-for", held_back, "not reachable: {why}");
        }
    }

    fn denied(&self, name: &str, why: &str) {
        if let Some(held_back) = self.denials.pass(Instant::now()) {
            info!(name, code = "name-denied", held_back, "name not answered: {why}");
        }
    }

    fn table(&self) -> MutexGuard<'_, NameTable<NamePlace>> {
        lock(&self.table)
    }
}

impl Names for Directory {
    fn address(&self, name: &str, family: Family) -> Found {
        let host = Host::Name(name.into());
        let destinations = match self.ports.open_for(&host, self.house.egress().in_force()) {
            Ok(destinations) => destinations,
            Err(why) => {
                self.denied(name, &why);
                return Found::NoName;
            }
        };
        if family == Family::V6 && self.families == Families::OnlyV4 {
            return Found::NoData;
        }
        let place = match self.place(name, Instant::now()) {
            Ok(place) => place,
            Err(why) => {
                self.denied(name, why.as_str());
                return Found::NoRoom;
            }
        };
        let address = self.pool.address(place.number, family);
        match self.open_doors(&place, address, destinations) {
            Ok(()) => Found::Address(address),
            Err(NotAllOpen) => Found::NoRoom,
        }
    }

    fn exists(&self, name: &str) -> Existence {
        match self.ports.open_for(&Host::Name(name.into()), self.house.egress().in_force()) {
            Ok(_) => Existence::Exists,
            Err(why) => {
                self.denied(name, &why);
                Existence::NoName
            }
        }
    }

    fn name_of(&self, address: IpAddr) -> Option<Box<str>> {
        let number = self.pool.number(address)?;
        self.table().name_of(number).map(|name| Box::from(&*name))
    }
}

/// What is locked is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
