//! Chance that can be played again.

/// splitmix64 (Steele, Lea & Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Between two positive numbers, each doubling as likely as the other.
    pub(crate) fn scale(&mut self, low: f64, high: f64) -> f64 {
        low * libm::pow(high / low, self.unit())
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(self.unit())
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(sigma * self.normal())
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        if mean > 60.0 {
            return libm::round(mean + libm::sqrt(mean) * self.normal()).max(0.0) as u32;
        }
        let (mut n, mut left) = (0, libm::exp(-mean));
        let mut unit = self.unit();
        while unit > left && n < 1_000 {
            unit -= left;
            n += 1;
            left *= mean / f64::from(n);
        }
        n
    }
}

/// The seed of this run, with the command that plays it again.
pub(crate) fn seed(test: &str) -> u64 {
    let given = std::env::var("CROSSFADE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(20_271_125);
    println!(
        "CROSSFADE_SEED={seed} cargo test --release -p crossfade-ledger --test validity -- {test} \
         --ignored --nocapture"
    );
    seed
}

/// How many runs: as many as `CROSSFADE_RUNS` says, or this.
pub(crate) fn runs(usual: u64) -> u64 {
    std::env::var("CROSSFADE_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(usual)
}
