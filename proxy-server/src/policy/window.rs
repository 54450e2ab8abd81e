use crate::store::UnixMs;

/// The time between two moments at which some measurement begins or ends to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The first moment in it.
    from: UnixMs,
    /// The first moment after it.
    until: UnixMs,
}

impl Default for Window {
    /// All of time.
    fn default() -> Self {
        Self { from: UnixMs(i64::MIN), until: UnixMs(i64::MAX) }
    }
}

impl Window {
    /// Ends or begins at `boundary` if that lies inside, on the side where `now` is not.
    /// A boundary belongs to what comes after it.
    pub(super) fn narrow(&mut self, boundary: Option<UnixMs>, now: UnixMs) {
        let Some(boundary) = boundary else { return };
        if boundary <= now {
            self.from = self.from.max(boundary);
        } else {
            self.until = self.until.min(boundary);
        }
    }

    /// Whether `now` lies in it. Clocks are set back, too: both sides count.
    pub(super) fn covers(&self, now: UnixMs) -> bool {
        self.from <= now && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lies_between_the_nearest_boundaries() {
        let mut window = Window::default();
        for boundary in [10, 20, 40, 30] {
            window.narrow(Some(UnixMs(boundary)), UnixMs(25));
        }
        window.narrow(None, UnixMs(25));
        for (now, inside) in [(19, false), (20, true), (25, true), (29, true), (30, false), (40, false)] {
            assert_eq!(window.covers(UnixMs(now)), inside, "{now}");
        }
        let mut window = Window::default();
        window.narrow(Some(UnixMs(25)), UnixMs(25));
        assert!(window.covers(UnixMs(25)) && !window.covers(UnixMs(24)), "it begins at its boundary");
    }
}
