use std::{num::NonZeroU16, time::Duration};

use countersign_protocol::egress::Rule;

use super::{AddressPool, PortList};

/// How the transparent mode runs.
#[derive(Clone, Debug)]
pub struct TransparentConfig {
    /// The addresses that stand for names.
    pub pool: AddressPool,
    /// The ports at which names are listened for.
    pub ports: PortList,
    /// Who takes the connections.
    pub way: Way,
    /// The rules, for the networks they allow.
    pub rules: Vec<Rule>,
    /// What becomes of those networks.
    pub networks: Networks,
    /// The bounds.
    pub limits: Limits,
}

/// Who takes the connections to the pool's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The kernel: a listener for each name and port.
    Listeners,
    /// A stack in user space behind a TUN device: any port. Needs `/dev/net/tun`.
    Tun,
}

/// What becomes of the networks that the rules allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Networks {
    /// Routed to this machine as well, where they are small enough to be listened for
    /// address by address. Right where nothing but the host half leads out.
    Routed,
    /// Left alone: this machine has a network, and its own connections go there.
    Untouched,
}

/// The bounds of the transparent mode.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Names that have an address at a time; the one not asked for longest gives way.
    pub names: usize,
    /// Between an answer and the connection that comes of it: a name does not give way so soon.
    pub hold: Duration,
    /// How long an address stands for no name after its name gave way.
    pub rest: Duration,
    /// Listening sockets: one for each name in use, port and family.
    pub sockets: usize,
    /// Connections at a time; the next one is reset.
    pub connections: usize,
    /// The same of [`Way::Tun`], where each may take 128 KiB of memory for what waits in it.
    pub tun_connections: usize,
    /// Of those, connections whose way out is not open yet: the oldest gives way. Its program
    /// asks again after a second, as TCP does.
    pub tun_half_open: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names: 4096,
            hold: Duration::from_secs(5),
            // Sixty times as long as an answer may be kept.
            rest: Duration::from_secs(3600),
            sockets: 8192,
            connections: 16_384,
            tun_connections: 4096,
            tun_half_open: 1024,
        }
    }
}

impl TransparentConfig {
    /// What a policy's rules ask for; names are listened for at `more` ports too.
    pub fn new(rules: Vec<Rule>, more: &[NonZeroU16], networks: Networks) -> Self {
        Self {
            pool: AddressPool::default(),
            ports: PortList::new(&rules, more),
            way: Way::Listeners,
            rules,
            networks,
            limits: Limits::default(),
        }
    }
}
