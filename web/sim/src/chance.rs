//! Chance from a seed, the same on every platform.

/// A generator of random numbers: xoshiro256++ (Blackman & Vigna 2019), started by
/// splitmix64 as its authors advise.
///
/// Written here because the usual distribution crates use the platform's `ln` and `exp`,
/// and then the same seed need not give the same traffic natively and in WebAssembly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chance([u64; 4]);

/// Below this mean a Poisson number is found by walking up from zero.
const SMALL_MEAN: f64 = 10.0;

impl Chance {
    /// A generator of its own for each seed.
    pub fn new(seed: u64) -> Chance {
        let mut state = seed;
        Chance(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in (0, 1): never 0, whose logarithm is infinite.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..below`; 0 when there is nothing below. The bias is at most
    /// `below / 2^32`.
    pub fn below(&mut self, below: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(below)) >> 32) as u32
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(self.unit())
    }

    /// A Poisson number with this mean; 0 when it is not positive.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean.is_nan() || mean <= 0.0 {
            0
        } else if mean < SMALL_MEAN {
            self.poisson_small(mean)
        } else {
            self.poisson_large(mean)
        }
    }

    fn poisson_small(&mut self, mean: f64) -> u64 {
        let mut left = self.unit();
        let mut term = libm::exp(-mean);
        let mut k = 0u32;
        while left > term {
            left -= term;
            k += 1;
            term *= mean / f64::from(k);
            if term < f64::MIN_POSITIVE {
                break;
            }
        }
        u64::from(k)
    }

    /// Transformed rejection (Hörmann 1993, *The transformed rejection method for
    /// generating Poisson random variables*, algorithm PTRS).
    fn poisson_large(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.024_83 * b;
        let quick = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.unit() - 0.5;
            let v = self.unit();
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= quick {
                return k as u64;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
            let density = k * libm::log(mean) - mean - libm::lgamma(k + 1.0);
            if libm::log(v * inverse_alpha / (a / (us * us) + b)) <= density {
                return k as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_sequence() {
        // State 1, 2, 3, 4, as in the generator's reference vectors.
        let mut chance = Chance([1, 2, 3, 4]);
        let bits: Vec<u64> = (0..4).map(|_| chance.bits()).collect();
        assert_eq!(bits, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn poisson_numbers_have_their_mean_and_variance() {
        for mean in [0.003, 0.7, 9.99, 10.0, 45.0, 5_000.0] {
            let mut chance = Chance::new(3);
            let n = 200_000;
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..n {
                let off = chance.poisson(mean) as f64 - mean;
                sum += off;
                squares += off * off;
            }
            let n = f64::from(n);
            // Five standard errors; the variance's is mean * sqrt((2 + 1 / mean) / n).
            assert!((sum / n).abs() < 5.0 * (mean / n).sqrt(), "{mean}: {}", sum / n);
            let error = 5.0 * mean * ((2.0 + 1.0 / mean) / n).sqrt();
            assert!((squares / n - mean).abs() < error, "{mean}: {}", squares / n);
        }
    }

    #[test]
    fn no_mean_is_no_events() {
        let mut chance = Chance::new(0);
        assert_eq!([0.0, -1.0, f64::NAN].map(|mean| chance.poisson(mean)), [0, 0, 0]);
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut chance = Chance::new(9);
        let mut seen = [0u32; 7];
        (0..7_000).for_each(|_| seen[chance.below(7) as usize] += 1);
        assert!(seen.iter().all(|n| (850..1_150).contains(n)), "{seen:?}");
        assert_eq!(chance.below(0), 0);
    }
}
