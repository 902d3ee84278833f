//! The requests of one version in one tick, before it is known whose they are.

/// Counts of requests that are still to be served.
#[derive(Debug)]
pub(super) struct Drawn {
    /// All of them.
    pub(super) all: u64,
    /// Those that fail: anyway, and because of v2.
    pub(super) failed: [u64; 2],
    /// Those that go well: latency, if it is told, and how many.
    well: Vec<(Option<f64>, u64)>,
    /// Those that went well and are only counted, by latency.
    counted: Vec<u64>,
}

/// One of them.
#[derive(Debug)]
pub(super) enum One {
    Failed { harmed: bool },
    Well { place: usize, latency_ms: Option<f64> },
}

impl Drawn {
    pub(super) fn new(failed: [u64; 2], well: Vec<(Option<f64>, u64)>) -> Drawn {
        let all = failed.iter().sum::<u64>() + well.iter().map(|(_, count)| count).sum::<u64>();
        let counted = vec![0; well.len()];
        Drawn { all, failed, well, counted }
    }

    /// Takes out the request at this place of all that are left.
    pub(super) fn take(&mut self, mut place: u64) -> Option<One> {
        for (harmed, left) in [false, true].into_iter().zip(&mut self.failed) {
            if place < *left {
                *left -= 1;
                self.all -= 1;
                return Some(One::Failed { harmed });
            }
            place -= *left;
        }
        for (at, (latency_ms, left)) in self.well.iter_mut().enumerate() {
            if place < *left {
                *left -= 1;
                self.all -= 1;
                return Some(One::Well { place: at, latency_ms: *latency_ms });
            }
            place -= *left;
        }
        None
    }

    /// Counts a request that went well, of this place among the latencies.
    pub(super) fn count(&mut self, place: usize) {
        if let Some(counted) = self.counted.get_mut(place) {
            *counted += 1;
        }
    }

    /// Everything that went well and was not taken for good, by latency.
    pub(super) fn into_counts(mut self) -> Vec<(Option<f64>, u64)> {
        self.well.iter_mut().zip(self.counted).for_each(|((_, left), counted)| *left += counted);
        self.well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_taken_once() {
        let mut drawn = Drawn::new([2, 1], vec![(Some(5.0), 3), (Some(9.0), 0), (None, 1)]);
        let (mut anyway, mut harmed, mut well) = (0, 0, Vec::new());
        while drawn.all > 0 {
            match drawn.take(drawn.all / 2).unwrap() {
                One::Failed { harmed: false } => anyway += 1,
                One::Failed { harmed: true } => harmed += 1,
                One::Well { place, latency_ms } => {
                    well.push(latency_ms);
                    if place == 0 {
                        drawn.count(place);
                    }
                }
            }
        }
        assert_eq!((anyway, harmed, well.len()), (2, 1, 4));
        assert!(drawn.take(0).is_none());
        assert_eq!(drawn.into_counts(), [(Some(5.0), 3), (Some(9.0), 0), (None, 0)]);
    }
}
