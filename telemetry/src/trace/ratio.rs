use std::fmt;

use super::ids::TraceId;

/// Which share of the traces that begin here is recorded. What has a parent is
/// recorded where the parent is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// All of them.
    pub const ALL: Self = Self(1.0);

    /// From 0 to 1; `None` for anything else.
    pub fn new(ratio: f64) -> Option<Self> {
        (0.0..=1.0).contains(&ratio).then_some(Self(ratio))
    }

    /// By the low seven bytes of the id, which are those that must be random (Trace
    /// Context level 2). So every program with this ratio takes the same traces.
    pub(super) fn takes(self, trace: &TraceId) -> bool {
        let [.., a, b, c, d, e, f, g] = *trace.bytes();
        let random = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
        // The product is exact: a power of two.
        random < (self.0 * (1_u64 << 56) as f64) as u64
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_cut_at_their_share_of_the_ids() {
        let trace = |low: u64| {
            let mut bytes = [0xff; 16];
            bytes[9..].copy_from_slice(&low.to_be_bytes()[1..]);
            TraceId::new(bytes).unwrap()
        };
        let last = (1 << 56) - 1;
        let quarter = Ratio::new(0.25).unwrap();
        assert!(quarter.takes(&trace((1 << 54) - 1)));
        assert!(!quarter.takes(&trace(1 << 54)));
        assert!(Ratio::ALL.takes(&trace(last)));
        assert!(!Ratio::new(0.0).unwrap().takes(&trace(0)));
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::new(bad), None);
        }
    }
}
