//! Numbers by Zipf's law, as Gray and others make them ("Quickly generating billion-record synthetic databases").

pub struct Zipf {
    count: f64,
    theta: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    pub fn new(count: usize, theta: f64) -> Self {
        let zeta = |count: usize| (1..=count).map(|rank| (rank as f64).powf(-theta)).sum::<f64>();
        let (all, two) = (zeta(count), zeta(2));
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - theta)) / (1.0 - two / all);
        Self { count: count as f64, theta, alpha: 1.0 / (1.0 - theta), zeta: all, eta }
    }

    /// A rank, from 0, of a number in 0..1 drawn at random.
    pub fn rank(&self, drawn: f64) -> usize {
        let scaled = drawn * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(self.theta) {
            return 1;
        }
        let rank = self.count * (self.eta * drawn - self.eta + 1.0).powf(self.alpha);
        (rank as usize).min(self.count as usize - 1)
    }
}
