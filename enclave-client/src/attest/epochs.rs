use std::collections::HashMap;

use countersign_protocol::{Deployment, Epoch};

use super::AttestError;

/// The highest policy epoch seen of each deployment.
///
/// An epoch never goes back. One that does means a restored backup, a replica
/// that lost its store, or somebody who replays an old policy: such a proxy is
/// not attested to until it has caught up.
#[derive(Debug, Default)]
pub struct Epochs(HashMap<Deployment, Epoch>);

impl Epochs {
    /// Remembers `offered`, or refuses it.
    ///
    /// # Errors
    /// [`AttestError::EpochWentBack`] below the highest seen;
    /// [`AttestError::TooManyDeployments`] for a name that calls itself another deployment each time.
    pub fn observe(&mut self, deployment: &Deployment, offered: Epoch) -> Result<(), AttestError> {
        let full = self.0.len() >= MAX_DEPLOYMENTS;
        match self.0.get_mut(deployment) {
            Some(seen) if offered < *seen => {
                Err(AttestError::EpochWentBack { deployment: deployment.clone(), seen: *seen, offered })
            }
            Some(seen) => {
                *seen = offered;
                Ok(())
            }
            None if full => Err(AttestError::TooManyDeployments),
            None => {
                self.0.insert(deployment.clone(), offered);
                Ok(())
            }
        }
    }
}

/// One proxy name stands for one deployment; a few more allow for a migration.
const MAX_DEPLOYMENTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_never_goes_back() {
        let mut epochs = Epochs::default();
        let demo: Deployment = "demo".parse().unwrap();
        for up in [3, 3, 7] {
            epochs.observe(&demo, Epoch(up)).unwrap();
        }
        let error = epochs.observe(&demo, Epoch(6)).unwrap_err();
        assert_eq!(error.to_string(), "epoch of deployment demo went back from 7 to 6");
        epochs.observe(&demo, Epoch(7)).unwrap();
        epochs.observe(&"other".parse().unwrap(), Epoch(1)).unwrap();
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut epochs = Epochs::default();
        for index in 0..MAX_DEPLOYMENTS {
            epochs.observe(&format!("d{index}").parse().unwrap(), Epoch(1)).unwrap();
        }
        let error = epochs.observe(&"one-more".parse().unwrap(), Epoch(1)).unwrap_err();
        assert!(matches!(error, AttestError::TooManyDeployments));
        epochs.observe(&"d0".parse().unwrap(), Epoch(2)).unwrap();
    }
}
