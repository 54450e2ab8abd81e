use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use countersign_protocol::{Destination, Host};
use tokio::time::Instant;
use tracing::info;

use super::{
    super::{
        AddressPool,
        config::Limits,
        directory::Families,
        dns::{Existence, Family, Found, Names},
        doorman::{House, Visit, Visits},
        names::{NameTable, Place},
    },
    plan::Edges,
};
use crate::throttle::Throttle;

/// Answers the resolver: gives a name its address. And knows what an address stands for.
pub(in super::super) struct Book {
    pool: AddressPool,
    families: Families,
    edges: Edges,
    house: Arc<House>,
    table: Mutex<NameTable<Entry>>,
    denials: Throttle,
}

/// A name in use.
#[derive(Debug)]
struct Entry {
    number: u32,
    visits: Visits,
}

impl Place for Entry {
    fn in_use(&self) -> bool {
        self.visits.any()
    }
}

impl Book {
    pub(in super::super) fn new(
        pool: AddressPool,
        families: Families,
        edges: Edges,
        limits: Limits,
        house: Arc<House>,
    ) -> Self {
        let table = Mutex::new(NameTable::new(limits, pool.last()));
        Self { pool, families, edges, house, table, denials: Throttle::default() }
    }

    /// Who is meant by an address and port. A name keeps its address while the visit lasts.
    /// `None`: the address stands for nobody.
    pub(super) fn destination(&self, to: SocketAddr) -> Option<(Destination, Visit)> {
        let port = NonZeroU16::new(to.port())?;
        match self.pool.number(to.ip()) {
            Some(number) => {
                let table = self.table();
                let (name, entry) = table.place_of(number)?;
                let host = Host::Name(Box::from(&**name));
                Some((Destination::new(host, port), Visit::new(&entry.visits)))
            }
            None => {
                let host = Host::Address(to.ip());
                Some((Destination::new(host, port), Visit::new(&Visits::default())))
            }
        }
    }

    fn allow(&self, name: &str) -> Result<(), ()> {
        self.edges.allow(name, self.house.egress().in_force()).map_err(|why| self.denied(name, &why))
    }

    fn denied(&self, name: &str, why: &str) {
        if let Some(held_back) = self.denials.pass(Instant::now()) {
            info!(name, code = "name-denied", held_back, "name not answered: {why}");
        }
    }

    /// What is locked is whole between any two statements.
    fn table(&self) -> MutexGuard<'_, NameTable<Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names for Book {
    fn address(&self, name: &str, family: Family) -> Found {
        if self.allow(name).is_err() {
            return Found::NoName;
        }
        if family == Family::V6 && self.families == Families::OnlyV4 {
            return Found::NoData;
        }
        let entry = |number| Entry { number, visits: Visits::default() };
        let found = self.table().find(name, Instant::now(), entry);
        match found {
            Ok(entry) => Found::Address(self.pool.address(entry.number, family)),
            Err(why) => {
                self.denied(name, why.as_str());
                Found::NoRoom
            }
        }
    }

    fn exists(&self, name: &str) -> Existence {
        match self.allow(name) {
            Ok(()) => Existence::Exists,
            Err(()) => Existence::NoName,
        }
    }

    fn name_of(&self, address: IpAddr) -> Option<Box<str>> {
        let number = self.pool.number(address)?;
        self.table().name_of(number).map(|name| Box::from(&*name))
    }
}
