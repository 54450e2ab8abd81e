use std::{error::Error, fmt};

use countersign_protocol::{
    Destination, DestinationError,
    egress::{Denial, EgressPolicy},
};
use countersign_telemetry::otlp::{Endpoint, Settings};

use crate::egress::Enforcement;

/// Where telemetry goes.
#[derive(Clone, Debug)]
pub struct Collector {
    settings: Settings,
    destination: Destination,
    named_by: NamedBy,
}

/// Who named a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The command line or the manifest: if it cannot be used, that is a mistake.
    Operator,
    /// A variable of the environment, which may be meant for the application alone: if it cannot be used,
    /// the application runs all the same.
    Environment,
}

impl Collector {
    /// The collector of these settings.
    ///
    /// # Errors
    /// When its host is none that can be a destination.
    pub fn new(settings: Settings, named_by: NamedBy) -> Result<Self, DestinationError> {
        let destination = destination(&settings.endpoint)?;
        Ok(Self { settings, destination, named_by })
    }

    /// What the policy must allow.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// How it is told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who named it.
    pub fn named_by(&self) -> NamedBy {
        self.named_by
    }

    /// A collector is a destination like any other: naming it allows nothing.
    ///
    /// # Errors
    /// [`CollectorDenied`], with what is to be done.
    pub fn judge(&self, policy: &EgressPolicy, enforcement: &Enforcement) -> Result<(), CollectorDenied> {
        enforcement
            .settle(&self.destination, policy.judge(&self.destination))
            .map_err(|denial| CollectorDenied::new(&self.destination, &denial))
    }
}

/// What a collector's address is to the policy.
///
/// # Errors
/// [`DestinationError`].
pub(crate) fn destination(endpoint: &Endpoint) -> Result<Destination, DestinationError> {
    let (host, port) = (endpoint.host(), endpoint.port());
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{host}:{port}").parse()
}

/// The egress policy does not let telemetry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorDenied {
    destination: Destination,
    why: String,
    /// A deny rule, which no further line in `allow` undoes.
    by_rule: bool,
}

impl CollectorDenied {
    pub(crate) fn new(destination: &Destination, denial: &Denial<'_>) -> Self {
        let by_rule = matches!(denial, Denial::Rule(_));
        Self { destination: destination.clone(), why: denial.to_string(), by_rule }
    }
}

impl fmt::Display for CollectorDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, why, by_rule } = self;
        write!(f, "telemetry may not leave for {destination}: {why}; ")?;
        match by_rule {
            true => f.write_str("that rule would have to go, since deny beats allow"),
            false => write!(f, "add this line to egress.allow: - \"{destination}\""),
        }
    }
}

impl Error for CollectorDenied {}

#[cfg(test)]
mod tests {
    use countersign_protocol::egress::{Action, Rule};
    use countersign_telemetry::otlp::Resource;

    use super::*;

    fn collector(url: &str) -> Collector {
        let settings = Settings::new(Endpoint::parse(url).unwrap(), Resource::new("test", "0"));
        Collector::new(settings, NamedBy::Operator).unwrap()
    }

    fn judged(url: &str, rules: &[(Action, &str)]) -> Result<(), String> {
        let rule = |(action, entry): &(Action, &str)| Rule::new(*action, entry.parse().unwrap(), "test");
        let policy = EgressPolicy::new(rules.iter().map(rule).collect()).unwrap();
        collector(url).judge(&policy, &Enforcement::Enforce).map_err(|why| why.to_string())
    }

    #[test]
    fn naming_a_collector_allows_nothing_and_the_error_says_what_would() {
        let url = "https://collector.example:4318";
        let denied = judged(url, &[]).unwrap_err();
        assert_eq!(
            denied,
            "telemetry may not leave for collector.example:4318: no rule allows it; add this line to egress.allow: \
             - \"collector.example:4318\""
        );
        // The very line, as it stands there.
        let line = denied.rsplit_once("- \"").unwrap().1.trim_end_matches('"');
        assert_eq!(judged(url, &[(Action::Allow, line)]), Ok(()));
        let denied = judged(url, &[(Action::Allow, line), (Action::Deny, "*.example")]).unwrap_err();
        assert!(denied.ends_with("that rule would have to go, since deny beats allow"), "{denied}");
    }

    #[test]
    fn addresses_are_destinations_as_well() {
        for (url, destination) in [
            ("http://[2001:db8::1]:4318", "[2001:db8::1]:4318"),
            ("https://Collector.Example/otlp", "collector.example:443"),
            ("http://host:4318", "host:4318"),
        ] {
            assert_eq!(collector(url).destination().to_string(), destination);
        }
    }
}
