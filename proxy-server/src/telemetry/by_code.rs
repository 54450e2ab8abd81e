use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

/// How often each code came. A lock, and so nothing for what carries bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct ByCode(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl ByCode {
    pub(super) fn count(&self, code: &'static str, by: u64) {
        *self.codes().entry(code).or_default() += by;
    }

    /// Every code that came at all.
    pub(super) fn read(&self) -> BTreeMap<&'static str, u64> {
        self.codes().clone()
    }

    fn codes(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As one counter with a label.
    pub(super) fn told(&self, name: &'static str, help: &'static str, label: &'static str) -> Box<Told> {
        Box::new(Told { codes: self.clone(), name, help, label })
    }
}

#[derive(Debug)]
pub(super) struct Told {
    codes: ByCode,
    name: &'static str,
    help: &'static str,
    label: &'static str,
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut counter = encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
        for (code, count) in self.codes.read() {
            ConstCounter::new(count).encode(counter.encode_family(&[(self.label, code)])?)?;
        }
        Ok(())
    }
}
