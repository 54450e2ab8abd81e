use std::fmt;

/// Why a session is no more. Every tunnel of it is cut for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EndReason {
    /// It did not attest again in time.
    LeaseLapsed = 1,
    /// Its measurement is allowed no more.
    MeasurementRevoked,
    /// Its workload stands no more.
    WorkloadRemoved,
    /// Its workload may reach less than before; the enclave attests again.
    RulesChanged,
    /// An administrator ended it.
    EndedByAdmin,
    /// The proxy stops.
    Draining,
    /// Its measurement is worth nothing any more: it was given an end.
    MeasurementExpired,
    /// The store has not answered for so long that nobody knows what is allowed.
    StoreUnreachable,
    /// Its admission was not recorded, so its enclave was never given it.
    NotRecorded,
}

/// What an end took with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Sessions ended.
    pub sessions: usize,
    /// Their tunnels, each of which was told.
    pub tunnels: usize,
}

impl EndReason {
    pub(crate) const ALL: [Self; 9] = [
        Self::LeaseLapsed,
        Self::MeasurementRevoked,
        Self::WorkloadRemoved,
        Self::RulesChanged,
        Self::EndedByAdmin,
        Self::Draining,
        Self::MeasurementExpired,
        Self::StoreUnreachable,
        Self::NotRecorded,
    ];

    /// The stable word in log and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeaseLapsed => "lease-lapsed",
            Self::MeasurementRevoked => "measurement-revoked",
            Self::WorkloadRemoved => "workload-removed",
            Self::RulesChanged => "rules-changed",
            Self::EndedByAdmin => "ended-by-admin",
            Self::Draining => "draining",
            Self::MeasurementExpired => "measurement-expired",
            Self::StoreUnreachable => "store-unreachable",
            Self::NotRecorded => "not-recorded",
        }
    }

    /// The reason behind a byte stored as `reason as u8`; zero and anything unknown is none.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == byte)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::ops::AddAssign for Ended {
    fn add_assign(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.tunnels += other.tunnels;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_its_byte() {
        for reason in EndReason::ALL {
            assert_eq!(EndReason::from_byte(reason as u8), Some(reason));
        }
        assert_eq!(EndReason::from_byte(0), None, "zero is a live session");
        assert_eq!(EndReason::from_byte(10), None);
    }
}
