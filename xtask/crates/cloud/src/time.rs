//! Scaled time: the seconds that pass in AWS while a rehearsal runs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A clock that runs so much faster (or slower) than the wall's.
pub struct ScaledClock(Mutex<Anchor>);

struct Anchor {
    /// When the scale was set.
    at: Instant,
    /// Seconds of AWS by then.
    seconds: f64,
    /// How long a minute of AWS takes.
    minute: Duration,
}

impl ScaledClock {
    /// Starts at 0.
    pub fn new(minute: Duration) -> Self {
        Self(Mutex::new(Anchor { at: Instant::now(), seconds: 0.0, minute }))
    }

    fn anchor(&self) -> std::sync::MutexGuard<'_, Anchor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds of AWS since the start.
    pub fn seconds(&self) -> f64 {
        let anchor = self.anchor();
        anchor.seconds + anchor.at.elapsed().as_secs_f64() / anchor.minute.as_secs_f64() * 60.0
    }

    /// How long a minute of AWS takes.
    pub fn minute(&self) -> Duration {
        self.anchor().minute
    }

    /// Changes that from now on.
    pub fn set_minute(&self, minute: Duration) {
        let seconds = self.seconds();
        *self.anchor() = Anchor { at: Instant::now(), seconds, minute };
    }

    /// The wall's time for so many seconds of AWS.
    pub fn wall(&self, seconds: f64) -> Duration {
        self.minute().mul_f64(seconds.max(0.0) / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_when_its_scale_changes() {
        let clock = ScaledClock::new(Duration::from_millis(60));
        tokio::time::sleep(Duration::from_millis(120)).await;
        let before = clock.seconds();
        assert!((before - 120.0).abs() < 2.0, "{before}");
        clock.set_minute(Duration::from_secs(3_600));
        assert!((clock.seconds() - before).abs() < f64::EPSILON, "{before} {}", clock.seconds());
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!((clock.seconds() - before - 60.0).abs() < 0.1, "{before} {}", clock.seconds());
        assert_eq!(clock.wall(30.0), Duration::from_secs(1_800));
    }
}
