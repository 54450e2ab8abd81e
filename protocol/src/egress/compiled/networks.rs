use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{SlotId, special_throughout};
use crate::AddressClass;

/// Networks of one family. Two networks are apart, or one lies in the other: so every
/// address has one innermost network, and the others that hold it are its parents.
#[derive(Clone, Debug)]
pub(super) struct Networks<K> {
    /// From which address on, and the innermost network from there. Ascending.
    starts: Box<[K]>,
    innermost: Box<[Option<u32>]>,
    networks: Box<[Network]>,
}

#[derive(Clone, Debug)]
struct Network {
    parent: Option<u32>,
    slot: SlotId,
    special: Option<AddressClass>,
}

impl<K: Copy + Ord> Networks<K> {
    /// Gives each network that holds the address, the innermost first: 33 of IPv4
    /// at most, 129 of IPv6.
    pub(super) fn find(&self, address: K, mut each: impl FnMut(SlotId, Option<AddressClass>)) {
        let after = self.starts.partition_point(|start| *start <= address);
        let innermost = after.checked_sub(1).and_then(|at| self.innermost.get(at).copied().flatten());
        let mut next = innermost.and_then(|at| self.networks.get(at as usize));
        while let Some(network) = next {
            each(network.slot, network.special);
            next = network.parent.and_then(|at| self.networks.get(at as usize));
        }
    }
}

impl<K> Default for Networks<K> {
    fn default() -> Self {
        Self { starts: Box::default(), innermost: Box::default(), networks: Box::default() }
    }
}

/// Networks while they are gathered: in the order of their first address, the wider one first.
#[derive(Debug)]
pub(super) struct Builder<B: Block>(BTreeMap<(B::Bits, u8), (B, Option<SlotId>)>);

impl<B: Block> Builder<B> {
    /// Where the rules of a network are kept.
    pub(super) fn slot(&mut self, network: B) -> &mut Option<SlotId> {
        let key = (network.first(), network.into().prefix_len());
        &mut self.0.entry(key).or_insert((network, None)).1
    }

    /// Cuts the addresses where a network begins or ends.
    pub(super) fn finish(self) -> Networks<B::Bits> {
        let mut networks: Vec<Network> = Vec::new();
        let mut segments = Segments(Vec::new());
        // Those that hold the address at hand, the innermost last, each with where it ends.
        let mut around: Vec<(Option<B::Bits>, u32)> = Vec::new();
        for (network, slot) in self.0.into_values() {
            let Some(slot) = slot else { continue };
            let first = network.first();
            segments.close(&mut around, |end| end <= first);
            let id = networks.len() as u32;
            let parent = around.last().map(|(_, parent)| *parent);
            networks.push(Network { parent, slot, special: special_throughout(network.into()) });
            segments.begin(first, Some(id));
            around.push((network.end(), id));
        }
        segments.close(&mut around, |_| true);
        let (starts, innermost): (Vec<_>, Vec<_>) = segments.0.into_iter().unzip();
        Networks { starts: starts.into(), innermost: innermost.into(), networks: networks.into() }
    }
}

impl<B: Block> Default for Builder<B> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// From which address on, and the innermost network from there.
struct Segments<K>(Vec<(K, Option<u32>)>);

impl<K: Copy + Ord> Segments<K> {
    fn begin(&mut self, start: K, innermost: Option<u32>) {
        match self.0.last_mut() {
            Some(last) if last.0 == start => last.1 = innermost,
            _ => self.0.push((start, innermost)),
        }
    }

    /// Ends networks from the innermost on; what was around it goes on.
    fn close(&mut self, around: &mut Vec<(Option<K>, u32)>, ends: impl Fn(K) -> bool) {
        while let Some(&(end, _)) = around.last() {
            // Without an end it lasts to the last address of all, and so does what is around it.
            let Some(end) = end.filter(|end| ends(*end)) else { return };
            around.pop();
            self.begin(end, around.last().map(|(_, parent)| *parent));
        }
    }
}

/// A network of one family.
pub(super) trait Block: Copy + Into<IpNet> {
    /// An address, as a number.
    type Bits: Copy + Ord;

    /// Its first address.
    fn first(self) -> Self::Bits;

    /// The address after its last one, if there is any.
    fn end(self) -> Option<Self::Bits>;
}

impl Block for Ipv4Net {
    type Bits = u32;

    fn first(self) -> u32 {
        self.network().to_bits()
    }

    fn end(self) -> Option<u32> {
        self.broadcast().to_bits().checked_add(1)
    }
}

impl Block for Ipv6Net {
    type Bits = u128;

    fn first(self) -> u128 {
        self.network().to_bits()
    }

    fn end(self) -> Option<u128> {
        self.broadcast().to_bits().checked_add(1)
    }
}
