//! Figures as the collector gets them (`docs/observability.md` lists them).

use std::sync::Arc;

use countersign_protocol::Host;
use countersign_telemetry::{
    Counts, Loss, Signal,
    metrics::{Figure, Labels, Metric, Number, Points},
};
use tokio::{sync::watch, time::Instant};

use super::{AttestOutcome, Figures, KmsOutcome};
use crate::attest::Status;

/// Everything that the figures of one program are read from.
pub(crate) struct Report {
    pub(crate) figures: Arc<Figures>,
    /// Each proxy's session; none on the host half.
    pub(crate) sessions: Vec<(Host, watch::Receiver<Status>)>,
    /// What became of the telemetry itself.
    pub(crate) counts: Counts,
}

impl Report {
    /// As they stand now. What never happened is not told, but for the tunnels.
    pub(crate) fn read(&self) -> Vec<Metric> {
        let mut metrics = self.tunnels();
        metrics.extend(self.attestation());
        metrics.push(counter("countersign.kms.calls", "{call}", KMS_CALLS, self.kms_calls()));
        metrics.push(counter("countersign.telemetry.lost", "{item}", LOST, self.lost()));
        metrics.retain(|metric| match &metric.points {
            Points::Counter(points) | Points::Gauge(points) => !points.is_empty(),
            Points::Histogram(points) => !points.is_empty(),
        });
        metrics
    }

    fn tunnels(&self) -> Vec<Metric> {
        let tunnels = &self.figures.tunnels;
        let counts = tunnels.read();
        let bytes = |direction, bytes| number(&[("network.io.direction", direction)], bytes);
        let refused = tunnels.refused.read();
        let refused = refused.iter().map(|(word, count)| number(&[(ERROR_TYPE, word)], *count)).collect();
        vec![
            gauge("countersign.tunnels", "{tunnel}", OPEN, vec![number(&[], counts.open)]),
            counter("countersign.tunnels.opened", "{tunnel}", OPENED, vec![number(&[], counts.opened)]),
            counter("countersign.tunnels.refused", "{tunnel}", REFUSED, refused),
            counter(
                "countersign.tunnel.io",
                "By",
                BYTES,
                vec![bytes("transmit", counts.up), bytes("receive", counts.down)],
            ),
        ]
    }

    fn attestation(&self) -> Vec<Metric> {
        let outcomes = self.figures.attestations.read();
        let outcomes = outcomes.iter().map(|((proxy, outcome), count)| {
            let proxy = proxy.to_string();
            match outcome {
                AttestOutcome::Admitted => number(&[(PROXY, &proxy), (RESULT, "admitted")], *count),
                AttestOutcome::Renewed => number(&[(PROXY, &proxy), (RESULT, "renewed")], *count),
                AttestOutcome::Failed(code) => {
                    number(&[(PROXY, &proxy), (RESULT, "failed"), (ERROR_TYPE, code)], *count)
                }
            }
        });
        let outcomes = outcomes.collect();
        let (mut ages, mut leases) = (Vec::new(), Vec::new());
        let now = Instant::now();
        for (proxy, status) in &self.sessions {
            let (status, proxy) = (status.borrow(), proxy.to_string());
            let session = status.session(now).ok();
            let age = session.map(|session| now.duration_since(session.asked_at).as_secs_f64());
            let left = session.map(|session| session.until().duration_since(now).as_secs_f64());
            ages.extend(age.map(|age| seconds(&proxy, age)));
            // A session that lapsed is seen by its lease: none of it is left.
            leases.push(seconds(&proxy, left.unwrap_or_default()));
        }
        vec![
            counter("countersign.attestations", "{attestation}", ATTESTATIONS, outcomes),
            gauge("countersign.session.age", "s", AGE, ages),
            gauge("countersign.session.lease_left", "s", LEASE, leases),
        ]
    }

    fn kms_calls(&self) -> Vec<Number> {
        let calls = self.figures.kms_calls.read();
        let call = |((operation, outcome), count): &((&str, KmsOutcome), u64)| match outcome {
            KmsOutcome::Answered(status) => {
                number(&[(METHOD, operation), ("http.response.status_code", &status.to_string())], *count)
            }
            KmsOutcome::Refused(code) => number(&[(METHOD, operation), (ERROR_TYPE, code)], *count),
        };
        calls.iter().map(call).collect()
    }

    fn lost(&self) -> Vec<Number> {
        let all = Signal::ALL.into_iter().flat_map(|signal| Loss::ALL.map(|loss| (signal, loss)));
        let lost = all.map(|(signal, loss)| (signal, loss, self.counts.lost(signal, loss)));
        lost.filter(|(.., count)| *count > 0)
            .map(|(signal, loss, count)| {
                number(&[("countersign.signal", signal.as_str()), (ERROR_TYPE, loss.as_str())], count)
            })
            .collect()
    }
}

fn counter(name: &str, unit: &'static str, description: &str, points: Vec<Number>) -> Metric {
    metric(name, unit, description, Points::Counter(points))
}

fn gauge(name: &str, unit: &'static str, description: &str, points: Vec<Number>) -> Metric {
    metric(name, unit, description, Points::Gauge(points))
}

fn metric(name: &str, unit: &'static str, description: &str, points: Points) -> Metric {
    Metric { name: name.to_owned(), description: description.to_owned(), unit, points }
}

fn number(labels: &[(&str, &str)], value: u64) -> Number {
    let labels: Labels = labels.iter().map(|(name, said)| ((*name).to_owned(), (*said).to_owned())).collect();
    Number { labels, value: Figure::Int(i64::try_from(value).unwrap_or(i64::MAX)) }
}

fn seconds(proxy: &str, value: f64) -> Number {
    Number { value: Figure::Double(value), ..number(&[(PROXY, proxy)], 0) }
}

const ERROR_TYPE: &str = countersign_telemetry::names::ERROR_TYPE;
const METHOD: &str = "rpc.method";
const PROXY: &str = "countersign.proxy";
const RESULT: &str = "countersign.result";

const OPEN: &str = "Connections out that are open.";
const OPENED: &str = "Connections out that were opened.";
const REFUSED: &str = "Connections out that were not opened, by the reason.";
const BYTES: &str = "Bytes that the connections out carried, while they flow.";
const ATTESTATIONS: &str = "Rounds of attestation, by proxy and how they ended.";
const AGE: &str = "Since the session last attested.";
const LEASE: &str = "What is left of the session's lease; 0 where there is no session.";
const KMS_CALLS: &str = "Calls of the local KMS, by operation and outcome.";
const LOST: &str = "Spans, log records and figures that did not reach the collector, by the reason.";

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn report() -> Report {
        let proxy: Host = "proxy.example".parse().unwrap();
        let figures = Arc::new(Figures::default());
        Report {
            figures,
            sessions: vec![(proxy, watch::channel(Status::starting()).1)],
            counts: Counts::default(),
        }
    }

    /// `name{label=value}` of everything, and how much.
    fn told(report: &Report) -> Vec<(String, Figure)> {
        let metrics = report.read();
        let points = metrics.iter().flat_map(|metric| {
            let (Points::Counter(points) | Points::Gauge(points)) = &metric.points else { panic!() };
            points.iter().map(|point| {
                let labels: Vec<_> =
                    point.labels.iter().map(|(name, said)| format!("{name}={said}")).collect();
                (format!("{}{{{}}}", metric.name, labels.join(",")), point.value)
            })
        });
        points.collect()
    }

    #[test]
    fn what_never_happened_is_not_told() {
        let names = told(&report()).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            names,
            [
                "countersign.tunnels{}",
                "countersign.tunnels.opened{}",
                "countersign.tunnel.io{network.io.direction=transmit}",
                "countersign.tunnel.io{network.io.direction=receive}",
                "countersign.session.lease_left{countersign.proxy=proxy.example}",
            ]
        );
    }

    #[test]
    fn outcomes_are_told_by_their_words() {
        let report = report();
        let proxy: Host = "proxy.example".parse().unwrap();
        let figures = &report.figures;
        for outcome in [AttestOutcome::Admitted, AttestOutcome::Renewed, AttestOutcome::Renewed] {
            figures.attestations.add((proxy.clone(), outcome));
        }
        figures.attestations.add((proxy, AttestOutcome::Failed(Cow::Borrowed("pcr-mismatch"))));
        figures.tunnels.refused.add("destination-denied");
        figures.kms_calls.add(("Decrypt", KmsOutcome::Answered(200)));
        figures.kms_calls.add(("other", KmsOutcome::Refused("AccessDeniedException")));
        let told = told(&report);
        for (name, count) in [
            ("countersign.attestations{countersign.proxy=proxy.example,countersign.result=renewed}", 2),
            (
                "countersign.attestations{countersign.proxy=proxy.example,countersign.result=failed,error.type=pcr-mismatch}",
                1,
            ),
            ("countersign.tunnels.refused{error.type=destination-denied}", 1),
            ("countersign.kms.calls{rpc.method=Decrypt,http.response.status_code=200}", 1),
            ("countersign.kms.calls{rpc.method=other,error.type=AccessDeniedException}", 1),
        ] {
            assert!(told.contains(&(name.to_owned(), Figure::Int(count))), "{name}: {told:#?}");
        }
    }
}
