use std::{borrow::Borrow, collections::HashMap, fmt, sync::Arc};

use super::AdmitError;

/// The EC2 instance that evidence names. All enclaves of one machine have the
/// same, and no machine can name another's: the NSM signs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance(Arc<str>);

impl Instance {
    /// The instance in a document's `module_id`: `i-0123…` of `i-0123…-enc4567…`.
    /// A text of any other shape counts as an instance of its own.
    pub fn of_module(module_id: &str) -> Self {
        let instance = match module_id.split_once("-enc") {
            Some((instance, _)) if instance.starts_with("i-") => instance,
            _ => module_id,
        };
        Self(instance.into())
    }

    /// Its id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Instance {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// How many live sessions each instance has. Holds nothing of one that has none,
/// and each name once, however many sessions have it.
#[derive(Default)]
pub(super) struct Instances(HashMap<Instance, u32>);

impl Instances {
    /// Whether one more would be more than `limit`.
    pub(super) fn check(&self, instance: &Instance, limit: u32) -> Result<(), AdmitError> {
        let standing = self.0.get(instance).copied().unwrap_or_default();
        if standing < limit { Ok(()) } else { Err(AdmitError::TooManyOfInstance { limit }) }
    }

    /// Counts one more; the name as everybody shares it.
    pub(super) fn enter(&mut self, instance: Instance) -> Instance {
        let shared = self.0.get_key_value(&instance).map(|(known, _)| known.clone()).unwrap_or(instance);
        *self.0.entry(shared.clone()).or_default() += 1;
        shared
    }

    /// Counts one less.
    pub(super) fn leave(&mut self, instance: &Instance) {
        if let Some(standing) = self.0.get_mut(instance) {
            *standing -= 1;
            if *standing == 0 {
                self.0.remove(instance);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_is_the_part_before_the_enclave() {
        for (module, instance) in [
            ("i-0123456789abcdef0-enc0198c2f5a3b4d6e7", "i-0123456789abcdef0"),
            ("i-01234567-enc-enc", "i-01234567"),
            ("i-0123456789abcdef0", "i-0123456789abcdef0"),
            ("x-enc1", "x-enc1"),
            ("-enc1", "-enc1"),
        ] {
            assert_eq!(Instance::of_module(module).as_str(), instance);
        }
    }

    #[test]
    fn a_name_is_held_once_and_no_longer_than_needed() {
        let mut instances = Instances::default();
        let first = instances.enter(Instance::of_module("i-1-enc1"));
        let second = instances.enter(Instance::of_module("i-1-enc2"));
        assert!(Arc::ptr_eq(&first.0, &second.0));
        assert_eq!(instances.check(&first, 2), Err(AdmitError::TooManyOfInstance { limit: 2 }));
        assert_eq!(instances.check(&first, 3), Ok(()));
        instances.leave(&first);
        instances.leave(&second);
        assert_eq!(instances.len(), 0);
    }
}
