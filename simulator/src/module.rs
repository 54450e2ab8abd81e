//! Which enclave the module belongs to: its id and what was measured when it booted.

use std::collections::BTreeMap;

use aws_lc_rs::digest;

use crate::SimulatorError;

/// The value of one PCR: SHA-384.
pub type PcrValue = [u8; 48];

/// An enclave as the NSM sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Module {
    /// The document's `module_id`: `i-…-enc…`.
    pub module_id: String,
    /// The PCRs that are set, and so locked; the others of PCR0 to PCR15 are zero, and PCR4 follows from the
    /// instance in [`module_id`](Self::module_id). There is nothing past 31: such an entry is never read.
    pub pcrs: BTreeMap<u8, PcrValue>,
}

impl Module {
    /// An enclave that runs the image of this name. Everything is derived from the name, so that a demo's
    /// measurements stay the same from run to run; a real image has no such relation.
    #[must_use]
    pub fn from_image(name: &str) -> Self {
        let pcrs = (0..=2).map(|index| (index, derived(&format!("pcr{index}"), name))).collect();
        let id = hex::encode(derived("module-id", name));
        let (instance, enclave) = id.split_at(id.len() / 2);
        Self { module_id: format!("i-{instance:.17}-enc{enclave:.16}"), pcrs }
    }

    /// The same image started with `--debug-mode`: PCR0, 1 and 2 are zero, and PCR4 is not.
    #[must_use]
    pub fn debug(mut self) -> Self {
        self.pcrs.extend([(0, [0; 48]), (1, [0; 48]), (2, [0; 48])]);
        self
    }

    /// The same enclave with one PCR set (and locked).
    ///
    /// # Errors
    /// [`SimulatorError::PcrIndex`] past 31.
    pub fn with_pcr(mut self, index: u8, value: PcrValue) -> Result<Self, SimulatorError> {
        if index > HIGHEST_PCR {
            return Err(SimulatorError::PcrIndex { index });
        }
        self.pcrs.insert(index, value);
        Ok(self)
    }

    /// The same image in another enclave: two enclaves never share an id.
    #[must_use]
    pub fn with_module_id(mut self, module_id: impl Into<String>) -> Self {
        self.module_id = module_id.into();
        self
    }

    /// What `nitro-cli describe-eif` prints of an image, as far as it concerns measurements: the PCRs that
    /// are set, in upper-case names and lower-case hex.
    #[must_use]
    pub fn pcr_json(&self) -> String {
        let mut measurements = serde_json::Map::new();
        measurements.insert("HashAlgorithm".into(), "Sha384 { ... }".into());
        for (index, value) in &self.pcrs {
            measurements.insert(format!("PCR{index}"), hex::encode(value).into());
        }
        format!("{:#}", serde_json::json!({ "Measurements": measurements }))
    }

    /// The parent instance: everything before `-enc`.
    pub(crate) fn instance_id(&self) -> &str {
        self.module_id.split_once("-enc").map_or(&self.module_id, |(instance, _)| instance)
    }
}

fn derived(purpose: &str, name: &str) -> PcrValue {
    let hash = digest::digest(&digest::SHA384, format!("countersign-simulator/{purpose}/{name}").as_bytes());
    let mut out = [0; 48];
    out.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

const HIGHEST_PCR: u8 = 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_reproducible_and_like_no_other() {
        let app = Module::from_image("app");
        assert_eq!(app, Module::from_image("app"));
        assert_ne!(app.pcrs, Module::from_image("other").pcrs);
        assert_eq!(app.pcrs.len(), 3);
        assert_ne!(app.pcrs[&0], app.pcrs[&1]);
    }

    /// `i-` and 17 digits, `-enc` and 16: the length of AWS's ids.
    #[test]
    fn a_module_id_looks_like_one() {
        let id = Module::from_image("app").module_id;
        assert_eq!(id.len(), "i-018e0c27541e1f15a-enc019fc8255f07a185".len());
        assert_eq!(id.find("-enc"), Some(19));
        assert_eq!(Module::from_image("app").instance_id().len(), 19);
    }

    #[test]
    fn the_json_is_that_of_describe_eif() {
        let module = Module::from_image("app").with_pcr(4, [0xab; 48]).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&module.pcr_json()).unwrap();
        let measurements = &parsed["Measurements"];
        assert_eq!(measurements["HashAlgorithm"], "Sha384 { ... }");
        assert_eq!(measurements["PCR0"], hex::encode(module.pcrs[&0]));
        assert_eq!(measurements["PCR4"], "ab".repeat(48));
        assert_eq!(measurements.as_object().unwrap().len(), 5);
    }

    #[test]
    fn there_is_no_pcr_32() {
        let refused = Module::from_image("app").with_pcr(32, [0; 48]);
        assert!(matches!(refused, Err(SimulatorError::PcrIndex { index: 32 })));
    }
}
