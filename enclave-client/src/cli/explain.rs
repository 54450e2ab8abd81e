use std::{fmt, net::IpAddr, process::ExitCode, str::FromStr};

use clap::Args;
use countersign_protocol::{
    Destination, DestinationError, Host,
    egress::{But, EgressPolicy, Near},
};
use serde_json::{Value, json};
use tracing::error;

use super::{
    EXIT_OS, EXIT_USAGE, ManifestArg, Output,
    check::mistakes,
    print::{lines, print},
    rules_in_force,
};
use crate::{
    attest::chain,
    manifest::Manifest,
    transport::{Address, Dial},
};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    manifest: ManifestArg,
    /// Resolve each name here, and judge the addresses too
    #[arg(long)]
    resolve: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// host:port, or host:port=address,address to judge the addresses that the name leads to
    #[arg(required = true, value_name = "DESTINATION")]
    destinations: Vec<Asked>,
}

/// What somebody asks about.
#[derive(Clone, Debug)]
struct Asked {
    destination: Destination,
    addresses: Vec<IpAddr>,
}

/// What comes of it.
struct Answer {
    destination: Destination,
    /// The rule that allows it, or why it is denied.
    name: Result<String, String>,
    /// Rules that nearly allow it.
    near: Vec<String>,
    /// The proxy that it goes through.
    proxy: Option<Host>,
    /// The ConfigMap that says who it is, where it is a peer enclave.
    peer: Option<String>,
    /// What the policy says of each, or why there are none.
    addresses: Result<Vec<Judged>, String>,
}

struct Judged {
    address: IpAddr,
    verdict: Result<(), String>,
}

impl ExplainArgs {
    /// 0: all are allowed. 1: one is not. 2: wrong usage or manifest.
    pub(super) fn execute(&self) -> ExitCode {
        let manifest = match self.manifest.load() {
            Ok(manifest) => manifest,
            Err(error) => {
                let code = ExitCode::from(EXIT_USAGE);
                return match self.output {
                    Output::Text => print(lines(self.manifest.lines(&error)), code),
                    Output::Json => print(format_args!("{}\n", mistakes(&error)), code),
                };
            }
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(why) => {
                error!(code = "os-failed", "no runtime: {why}");
                return ExitCode::from(EXIT_OS);
            }
        };
        let policy = match EgressPolicy::new(rules_in_force(&manifest)) {
            Ok(policy) => policy,
            Err(why) => {
                error!(code = "manifest-invalid", "{why}");
                return ExitCode::from(EXIT_USAGE);
            }
        };
        let answer = |asked| runtime.block_on(self.answer(asked, &policy, &manifest));
        let answers: Vec<_> = self.destinations.iter().map(answer).collect();
        let allowed = answers.iter().all(Answer::is_allowed);
        let code = if allowed { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DENIED) };
        match self.output {
            Output::Text => print(answers.iter().map(Answer::to_string).collect::<String>(), code),
            Output::Json => {
                print(format_args!("{}\n", Value::from_iter(answers.iter().map(Answer::json))), code)
            }
        }
    }

    async fn answer(&self, asked: &Asked, policy: &EgressPolicy, manifest: &Manifest) -> Answer {
        let Asked { destination, addresses } = asked;
        let proxy = manifest.proxies.iter().find(|proxy| proxy.destinations.contains(destination));
        let proxy = proxy.map(|proxy| proxy.name.clone());
        let peer = manifest.peers.iter().find(|peer| peer.destination == *destination);
        let peer = peer.map(|peer| peer.source.config_map.clone());
        let mut addresses = Ok(addresses.clone());
        // The proxy resolves what goes through it, and `host` is no name.
        if self.resolve && proxy.is_none() && destination.host().is_resolved() {
            let found = Dial::Tcp(destination.clone()).resolve().await.map_err(|why| chain(&why));
            addresses = addresses.and_then(|given| Ok([given, ips(found?)].concat()));
        }
        let judge = |address: IpAddr| Judged {
            address,
            verdict: policy.judge_address(destination, address).map(drop).map_err(|why| why.to_string()),
        };
        let explained = policy.explain(destination);
        Answer {
            destination: destination.clone(),
            near: explained.near.iter().map(near).collect(),
            name: explained.decision.map(ToString::to_string).map_err(|why| why.to_string()),
            proxy,
            peer,
            addresses: addresses.map(|addresses| addresses.into_iter().map(judge).collect()),
        }
    }
}

fn ips(addresses: Vec<Address>) -> Vec<IpAddr> {
    let ip = |address| match address {
        Address::Tcp(address) => Some(address.ip()),
        _ => None,
    };
    addresses.into_iter().filter_map(ip).collect()
}

/// A rule that nearly allows, and what is missing.
fn near(Near { rule, but }: &Near<'_>) -> String {
    let but = match but {
        But::OtherPorts => "for other ports",
        But::NotSpecial => "not for special addresses alone",
        But::OtherLabels => "for other names of that domain",
    };
    format!("{rule}, but {but}")
}

impl Answer {
    /// Whether a connection would be tried: the name is allowed, and one of the addresses that were asked about.
    fn is_allowed(&self) -> bool {
        let address = self.addresses.as_ref().is_ok_and(|addresses| {
            addresses.is_empty() || addresses.iter().any(|judged| judged.verdict.is_ok())
        });
        self.name.is_ok() && address
    }

    fn json(&self) -> Value {
        let addresses = self.addresses.as_deref().unwrap_or(&[]).iter().map(|Judged { address, verdict }| {
            json!({"address": address, "allowed": verdict.is_ok(), "why": verdict.as_ref().err()})
        });
        json!({
            "destination": self.destination.to_string(),
            "allowed": self.is_allowed(),
            "rule": self.name.as_ref().ok(),
            "why": self.name.as_ref().err(),
            "near": self.near,
            "proxy": self.proxy.as_ref().map(ToString::to_string),
            "peer": self.peer,
            "addresses": addresses.collect::<Vec<_>>(),
            "unresolved": self.addresses.as_ref().err(),
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Ok(rule) => writeln!(f, "{}: allowed by {rule}", self.destination)?,
            Err(why) => writeln!(f, "{}: {}", self.destination, denied(why))?,
        }
        for near in &self.near {
            writeln!(f, "  near: {near}")?;
        }
        if let Some(config_map) = &self.peer {
            writeln!(
                f,
                "  to a peer enclave that proves it is what {config_map} says; its port must stand there too"
            )?;
        }
        if let Some(proxy) = &self.proxy {
            writeln!(
                f,
                "  through the proxy {proxy}, while attested; it resolves the name and has rules of its own"
            )?;
        }
        match &self.addresses {
            Ok(addresses) => addresses.iter().try_for_each(|Judged { address, verdict }| match verdict {
                Ok(()) => writeln!(f, "  {address}: may be dialled"),
                Err(why) => writeln!(f, "  {address}: {}", denied(why)),
            }),
            Err(why) => writeln!(f, "  no address: {why}"),
        }
    }
}

fn denied(why: &str) -> String {
    if why.starts_with("denied by") { why.to_owned() } else { format!("denied: {why}") }
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (destination, addresses) = text.split_once('=').unwrap_or((text, ""));
        let destination = destination.parse().map_err(|why| match why {
            DestinationError::MissingPort => {
                format!("rules are for a host and a port: write {destination}:443, for instance")
            }
            why => why.to_string(),
        })?;
        let address = |text: &str| {
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            bare.parse().map_err(|_| format!("{text:?} is no IP address"))
        };
        let addresses = addresses.split(',').filter(|_| text.contains('=')).map(address);
        Ok(Self { destination, addresses: addresses.collect::<Result<_, _>>()? })
    }
}

/// One of the destinations is denied.
const EXIT_DENIED: u8 = 1;
