//! What comes in, and how both versions serve it while nothing is wrong.

/// Clients are not told apart beyond so many; more would only cost memory.
const CLIENTS_MAX: u32 = 100_000;

/// Without a number of clients: each calls once in five minutes.
const CLIENT_EVERY_S: f64 = 300.0;

/// Traffic of an API, steady in the mean: requests arrive as a Poisson process, from
/// clients that are all equally busy.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    pub(crate) requests_per_s: f64,
    pub(crate) failure_ratio: f64,
    pub(crate) clients: u32,
    pub(crate) sticky: bool,
    pub(crate) latency: Option<Latency>,
}

/// Why numbers are no traffic.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum TrafficError {
    /// A rate that is not a number from 0 to a million.
    #[error("requests a second must be a number from 0 to 1000000, not {0}")]
    Rate(f64),
    /// A share of failures that is none.
    #[error("a share of failures must lie between 0 and 1, not {0}; 0.002 is 0.2 %")]
    Failures(f64),
    /// A latency that is none.
    #[error("a latency needs a median above 0 ms and a spread from 0 to 3, not {0} and {1}")]
    Latency(f64, f64),
    /// No clients.
    #[error("traffic comes from clients: give at least one")]
    NoClients,
}

/// How long requests take: log-normal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    median_ms: f64,
    sigma: f64,
}

impl Traffic {
    /// Traffic of so many requests a second, of which this share fails on either version.
    /// Routing is sticky by client, and latencies are not reported.
    ///
    /// # Errors
    /// When a number lies outside its range.
    pub fn new(requests_per_s: f64, failure_ratio: f64) -> Result<Traffic, TrafficError> {
        if !(0.0..=1e6).contains(&requests_per_s) {
            return Err(TrafficError::Rate(requests_per_s));
        }
        if !(0.0..=1.0).contains(&failure_ratio) {
            return Err(TrafficError::Failures(failure_ratio));
        }
        let clients = (requests_per_s * CLIENT_EVERY_S) as u32;
        Ok(Traffic {
            requests_per_s,
            failure_ratio,
            clients: clients.clamp(100, CLIENTS_MAX),
            sticky: true,
            latency: None,
        })
    }

    /// The same requests from so many clients instead of one for every 300 seconds between
    /// two requests of a client (100 to 100,000). Above 100,000 they are not told apart.
    ///
    /// # Errors
    /// When there are none.
    pub fn clients(mut self, clients: u32) -> Result<Traffic, TrafficError> {
        if clients == 0 {
            return Err(TrafficError::NoClients);
        }
        self.clients = clients.min(CLIENTS_MAX);
        Ok(self)
    }

    /// Each request is routed by itself, not each client.
    #[must_use]
    pub fn not_sticky(mut self) -> Traffic {
        self.sticky = false;
        self
    }

    /// Reports how long requests that went well took.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Traffic {
        self.latency = Some(latency);
        self
    }
}

/// Growth from one step of latency to the next; the engine's histogram grows alike.
const GROWTH: f64 = 1.1;

/// Beyond three and a half standard deviations there is 1 in 4,000 requests.
const DEVIATIONS: f64 = 3.5;

impl Latency {
    /// Latencies with this median, whose logarithm has the standard deviation `sigma`:
    /// with 0.5 the slowest 1 % take 3.2 times the median.
    ///
    /// # Errors
    /// When a number lies outside its range.
    pub fn new(median_ms: f64, sigma: f64) -> Result<Latency, TrafficError> {
        if median_ms > 0.0 && median_ms <= 1e9 && (0.0..=3.0).contains(&sigma) {
            Ok(Latency { median_ms, sigma })
        } else {
            Err(TrafficError::Latency(median_ms, sigma))
        }
    }

    /// Every request takes so many times as long.
    pub(crate) fn slower(self, times: f64) -> Latency {
        Latency { median_ms: self.median_ms * times, ..self }
    }

    /// Latencies and their probabilities, in steps of a tenth: drawing counts of few
    /// latencies is much cheaper than drawing each request's.
    ///
    /// They lie in the middle between the powers of 1.1 at which the buckets of the engine's
    /// histogram begin. On these borders the last digit that is told would choose the bucket,
    /// and what an SLO or a quantile is compared with would lie a tenth off.
    pub(crate) fn cells(self) -> Vec<(f64, f64)> {
        let half = GROWTH.sqrt();
        let on_borders = Latency { median_ms: self.median_ms / half, ..self }.on_borders();
        on_borders.into_iter().map(|(ms, part)| (ms * half, part)).collect()
    }

    fn on_borders(self) -> Vec<(f64, f64)> {
        let growth = libm::log(GROWTH);
        let middle = libm::round(libm::log(self.median_ms) / growth) as i32;
        let reach = (DEVIATIONS * self.sigma / growth).ceil() as i32;
        // Probability of lying below the border above step `k`.
        let below = |k: i32| {
            let border = (f64::from(k) + 0.5) * growth - libm::log(self.median_ms);
            if self.sigma == 0.0 {
                return if border < 0.0 { 0.0 } else { 1.0 };
            }
            0.5 * libm::erfc(-border / (self.sigma * std::f64::consts::SQRT_2))
        };
        let last = middle + reach;
        let cell = |k: i32| {
            let low = if k == middle - reach { 0.0 } else { below(k - 1) };
            let high = if k == last { 1.0 } else { below(k) };
            (libm::exp(f64::from(k) * growth), high - low)
        };
        (middle - reach..=last).map(cell).filter(|(_, p)| *p > 0.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_range_are_refused_with_a_way_out() {
        assert!(Traffic::new(0.0, 0.0).is_ok() && Traffic::new(1e6, 1.0).is_ok());
        for rate in [-0.1, 1e6 + 1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Traffic::new(rate, 0.1), Err(TrafficError::Rate(_))), "{rate}");
        }
        assert_eq!(
            Traffic::new(1.0, 5.0).unwrap_err().to_string(),
            "a share of failures must lie between 0 and 1, not 5; 0.002 is 0.2 %"
        );
        assert_eq!(Traffic::new(1.0, 0.0).unwrap().clients(0), Err(TrafficError::NoClients));
        assert!(Latency::new(0.0, 0.5).is_err() && Latency::new(10.0, 3.1).is_err());
    }

    #[test]
    fn no_cell_lies_on_a_border_of_the_histogram() {
        for (ms, _) in Latency::new(80.0, 0.5).unwrap().cells() {
            let place = libm::log(ms) / libm::log(GROWTH);
            assert!((place - place.floor() - 0.5).abs() < 1e-6, "{ms} ms: {place}");
        }
    }

    #[test]
    fn cells_are_a_distribution_around_the_median() {
        for sigma in [0.0, 0.2, 1.0, 3.0] {
            let cells = Latency::new(80.0, sigma).unwrap().cells();
            let sum: f64 = cells.iter().map(|(_, p)| p).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sigma}: {sum}");
            let below: f64 = cells.iter().filter(|(ms, _)| *ms < 80.0).map(|(_, p)| p).sum();
            assert!(sigma == 0.0 || (below - 0.5).abs() < 0.2, "{sigma}: {below}");
        }
    }
}
