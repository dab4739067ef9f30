//! Numbers that look random and are the same each time: what a rule does can be repeated.

use std::sync::Arc;
use std::time::Duration;

/// A source of numbers that begins at a seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct SeededChance(u64);

impl SeededChance {
    /// One stream for each rule of a seed: what one rule draws changes nothing for another.
    pub(super) fn new(seed: u64, rule: &str) -> Self {
        let mixed = rule
            .bytes()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0, and below `most`, which is above 0.
    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).unwrap_or_default()
    }

    /// From 0, and below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How long something takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DelaySpread {
    Fixed(Duration),
    Uniform(Duration, Duration),
    Normal {
        mean: Duration,
        deviation: Duration,
    },
    /// One of those that were recorded; there is one.
    Recorded(Arc<[Duration]>),
}

impl DelaySpread {
    pub(super) fn draw(&self, chance: &mut SeededChance) -> Duration {
        match self {
            Self::Fixed(time) => *time,
            Self::Uniform(least, most) => *least + most.saturating_sub(*least).mul_f64(chance.fraction()),
            Self::Recorded(times) => times[chance.below(times.len())],
            Self::Normal { mean, deviation } => {
                // Box and Muller; 1 - x is above zero.
                let radius = (-2.0 * (1.0 - chance.fraction()).ln()).sqrt();
                let away = radius * (std::f64::consts::TAU * chance.fraction()).cos();
                let seconds = mean.as_secs_f64() + deviation.as_secs_f64() * away;
                Duration::from_secs_f64(seconds.max(0.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_same_for_a_seed_and_another_for_each_rule() {
        let draw = |seed, rule| {
            let mut chance = SeededChance::new(seed, rule);
            (0..1000).map(|_| chance.fraction()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        let below = draw(7, "x").into_iter().filter(|it| *it < 0.25).count();
        assert!((200..300).contains(&below), "{below} of 1000 below a quarter");
    }

    #[test]
    fn spread_stays_where_it_should() {
        let mut chance = SeededChance::new(0, "x");
        let ms = Duration::from_millis;
        for _ in 0..1000 {
            let uniform = DelaySpread::Uniform(ms(10), ms(20)).draw(&mut chance);
            assert!((ms(10)..ms(20)).contains(&uniform));
        }
        let normal = DelaySpread::Normal { mean: ms(100), deviation: ms(10) };
        let drawn: Vec<_> = (0..1000).map(|_| normal.draw(&mut chance)).collect();
        let near = drawn.iter().filter(|it| (ms(90)..ms(110)).contains(*it)).count();
        assert!((620..740).contains(&near), "{near} of 1000 within one deviation");
    }
}
