use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{Action, Rule, Target};
use crate::{AddressClass, Destination, Host, classify, unmap};

/// Rules, compiled. The empty policy denies everything.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    rules: Vec<Rule>,
}

impl EgressPolicy {
    /// Compiles rules. Their order decides which of several that say the same is named: the first.
    ///
    /// # Errors
    /// [`PolicyError`]: more than a decision may cost.
    pub fn new(rules: Vec<Rule>) -> Result<Self, PolicyError> {
        if rules.len() > MAX_RULES {
            return Err(PolicyError::TooManyRules { count: rules.len() });
        }
        Ok(Self { rules })
    }

    /// The rules, as they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Judges what was asked for, before any name is resolved. For an address
    /// this is the whole judgement; for the word `host` too.
    ///
    /// # Errors
    /// [`Denial`].
    pub fn judge(&self, destination: &Destination) -> Result<&Rule, Denial<'_>> {
        let port = destination.port();
        match destination.host() {
            Host::Name(name) => {
                let hit = |target: &Target| match target {
                    Target::Host => &**name == "host",
                    Target::Name(pattern) => &**name != "host" && pattern.matches(name),
                    Target::Network(_) => false,
                };
                if let Some(rule) = self.find(Action::Deny, port, hit) {
                    return Err(Denial::Rule(rule));
                }
                self.find(Action::Allow, port, hit).ok_or(Denial::NoRule)
            }
            Host::Address(address) => {
                self.not_denied(*address, port)?;
                self.allowing(*address, port).ok_or(match classify(*address) {
                    AddressClass::Ordinary => Denial::NoRule,
                    class => Denial::Special { address: *address, class },
                })
            }
        }
    }

    /// Judges an address that the name of an allowed destination resolved to: no
    /// deny rule may name it, and a special one (loopback, link-local, metadata)
    /// must be named by an allow rule whose whole network is special.
    ///
    /// # Errors
    /// [`Denial`].
    pub fn judge_address(&self, destination: &Destination, address: IpAddr) -> Result<(), Denial<'_>> {
        let port = destination.port();
        self.not_denied(address, port)?;
        match classify(address) {
            AddressClass::Ordinary => Ok(()),
            class @ AddressClass::NotUnicast => Err(Denial::Special { address, class }),
            class => match self.allowing(address, port) {
                Some(_) => Ok(()),
                None => Err(Denial::Special { address, class }),
            },
        }
    }

    fn not_denied(&self, address: IpAddr, port: u16) -> Result<(), Denial<'_>> {
        let address = unmap(address);
        let hit = |target: &Target| matches!(target, Target::Network(network) if network.contains(&address));
        self.find(Action::Deny, port, hit).map_or(Ok(()), |rule| Err(Denial::Rule(rule)))
    }

    fn allowing(&self, address: IpAddr, port: u16) -> Option<&Rule> {
        let address = unmap(address);
        let class = classify(address);
        if class == AddressClass::NotUnicast {
            return None;
        }
        // `0.0.0.0/0` does not mean the metadata service: a special address is named by a special network.
        let named = |network: &IpNet| {
            class == AddressClass::Ordinary
                || (classify(network.network()) == class && classify(network.broadcast()) == class)
        };
        let hit = |target: &Target| matches!(target, Target::Network(network) if network.contains(&address) && named(network));
        self.find(Action::Allow, port, hit)
    }

    fn find(&self, action: Action, port: u16, hit: impl Fn(&Target) -> bool) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.action == action && rule.ports.contains(port) && hit(&rule.target))
    }
}

/// Why a destination is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial<'p> {
    /// A deny rule names it.
    Rule(&'p Rule),
    /// No rule allows it.
    NoRule,
    /// The address is special, and no rule names it as such.
    Special {
        /// The address.
        address: IpAddr,
        /// What it is.
        class: AddressClass,
    },
}

impl fmt::Display for Denial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(f, "denied by {rule}"),
            Self::NoRule => f.write_str("no rule allows it"),
            Self::Special { address, class } => {
                write!(f, "{address} is {class:?}, which only a rule for that very network allows")
            }
        }
    }
}

/// Why rules make no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// More rules than a policy may have.
    TooManyRules {
        /// How many.
        count: usize,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRules { count } => write!(f, "{count} rules, the limit is {MAX_RULES}"),
        }
    }
}

impl std::error::Error for PolicyError {}

const MAX_RULES: usize = 100_000;
