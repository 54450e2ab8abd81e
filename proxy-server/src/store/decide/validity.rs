use crate::store::UnixMs;

/// From when, and before when, a measurement admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Validity {
    pub(in crate::store) not_before: Option<UnixMs>,
    pub(in crate::store) expires: Option<UnixMs>,
}

impl Validity {
    /// What both allow.
    pub(in crate::store) fn meet(self, other: Self) -> Self {
        let expires = match (self.expires, other.expires) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { not_before: self.not_before.max(other.not_before), expires }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_allow_is_no_more_than_either() {
        let times = [None, Some(UnixMs(3)), Some(UnixMs(7))];
        let all: Vec<Validity> = times
            .into_iter()
            .flat_map(|not_before| times.map(|expires| Validity { not_before, expires }))
            .collect();
        let admits = |validity: &Validity, now: i64| {
            validity.not_before.is_none_or(|from| from.0 <= now)
                && validity.expires.is_none_or(|to| now < to.0)
        };
        for a in &all {
            for b in &all {
                for now in 0..10 {
                    assert_eq!(
                        admits(&a.meet(*b), now),
                        admits(a, now) && admits(b, now),
                        "{a:?} {b:?} {now}"
                    );
                }
            }
        }
    }
}
