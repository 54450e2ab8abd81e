use std::fmt;

use countersign_telemetry::{Counts, Loss, Signal};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

/// What became of what the collector was to be told.
#[derive(Debug)]
pub(super) struct Collected(pub(super) Counts);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Self(counts) = self;
        let mut family = encoder.encode_descriptor(
            "telemetry_exported",
            "Spans, log records and points that the collector took",
            None,
            MetricType::Counter,
        )?;
        for signal in Signal::ALL {
            let label = [("signal", signal.as_str())];
            ConstCounter::new(counts.exported(signal)).encode(family.encode_family(&label)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "telemetry_lost",
            "Spans, log records and points that the collector did not get, by why",
            None,
            MetricType::Counter,
        )?;
        for (signal, how) in Signal::ALL.into_iter().flat_map(|signal| Loss::ALL.map(|how| (signal, how))) {
            let labels = [("signal", signal.as_str()), ("reason", how.as_str())];
            ConstCounter::new(counts.lost(signal, how)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
