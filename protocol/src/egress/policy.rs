use std::net::IpAddr;

use super::{
    Denial, PolicyError, Rule,
    compiled::{Compiled, Found, RuleId},
    target::HOST,
};
use crate::{AddressClass, Destination, Host, classify, unmap};

/// Rules, compiled. The empty policy denies everything.
///
/// Deny comes before allow, and what no rule allows is denied. Rules for names hold
/// for names and rules for addresses for addresses: so a destination is judged as it
/// was asked for, and then once more for each address that its name resolved to.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    rules: Vec<Rule>,
    compiled: Compiled,
}

impl EgressPolicy {
    /// Compiles rules. Their order decides which of several that say the same is named: the first.
    ///
    /// # Errors
    /// [`PolicyError`]: more than a decision may cost.
    pub fn new(rules: Vec<Rule>) -> Result<Self, PolicyError> {
        if rules.len() > MAX_RULES {
            return Err(PolicyError::TooManyRules { count: rules.len(), limit: MAX_RULES });
        }
        let compiled = Compiled::new(&rules)?;
        Ok(Self { rules, compiled })
    }

    /// The rules, as they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Judges what was asked for, before any name is resolved. For an address
    /// this is the whole judgement; for the word `host` too. Names the rule that allows.
    ///
    /// # Errors
    /// [`Denial`].
    pub fn judge(&self, destination: &Destination) -> Result<&Rule, Denial<'_>> {
        let port = destination.port();
        let found = match destination.host() {
            Host::Name(name) if &**name == HOST => self.compiled.host(port),
            Host::Name(name) => self.compiled.name(name, port).0,
            Host::Address(address) => self.compiled.address(*address, port),
        };
        self.denied(found)?;
        let allow = found.allow.and_then(|id| self.rule(id));
        allow.ok_or_else(|| match destination.host() {
            Host::Name(_) => Denial::NoRule,
            Host::Address(address) => not_allowed(*address),
        })
    }

    /// Judges an address that the name of an allowed destination resolved to: no
    /// deny rule may name it, and a special one (loopback, link-local, metadata)
    /// must be named by an allow rule whose whole network is special.
    ///
    /// `host` leads to the loopback and an address to itself, whatever a resolver says.
    ///
    /// # Errors
    /// [`Denial`].
    pub fn judge_address(&self, destination: &Destination, address: IpAddr) -> Result<(), Denial<'_>> {
        match destination.host() {
            Host::Name(name) if &**name == HOST => {
                return match classify(address) {
                    AddressClass::Loopback => Ok(()),
                    _ => Err(Denial::Elsewhere { address }),
                };
            }
            Host::Address(asked) if unmap(address) != *asked => return Err(Denial::Elsewhere { address }),
            Host::Name(_) | Host::Address(_) => {}
        }
        let found = self.compiled.address(address, destination.port());
        self.denied(found)?;
        match (classify(address), found.allow) {
            (AddressClass::Ordinary, _) | (_, Some(_)) => Ok(()),
            (_, None) => Err(not_allowed(address)),
        }
    }

    /// The most steps that a decision about a name can cost, whatever the name.
    pub fn most_steps(&self) -> u32 {
        self.compiled.most_steps()
    }

    fn denied(&self, found: Found) -> Result<(), Denial<'_>> {
        found.deny.and_then(|id| self.rule(id)).map_or(Ok(()), |rule| Err(Denial::Rule(rule)))
    }

    fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.0 as usize)
    }
}

fn not_allowed(address: IpAddr) -> Denial<'static> {
    match classify(address) {
        AddressClass::Ordinary => Denial::NoRule,
        class => Denial::Special { address, class },
    }
}

/// Enough for every manifest that people write, and little enough for an enclave.
const MAX_RULES: usize = 100_000;
