//! Prometheus's text format, version 0.0.4.
//!
//! Always true: a family is announced once, and all of its samples follow it.

use std::fmt::{Display, Write as _};

use crate::store::{DURATION_BOUNDS, Spread};

/// What Prometheus takes this for.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
    Summary,
}

/// The text so far.
#[derive(Default)]
pub(super) struct Exposition(String);

/// A family whose samples are being written.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Exposition {
    /// Announces a family.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: &mut self.0, name }
    }

    /// A family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// A histogram of durations, in seconds.
    pub(super) fn durations(&mut self, name: &str, help: &str, spread: &Spread) {
        let mut family = self.family(name, Kind::Histogram, help);
        let bounds = DURATION_BOUNDS.iter().map(|microseconds| *microseconds as f64 / 1e6);
        let mut sum = 0;
        let buckets = bounds.zip(spread.classes).map(|(bound, count)| {
            sum += count;
            (bound, sum)
        });
        let buckets: Vec<(f64, u64)> = buckets.collect();
        family.histogram(&[], &buckets, spread.total(), spread.microseconds as f64 / 1e6);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.suffixed("", labels, value)
    }

    /// Buckets by their upper bounds, each with all that is not above it, then everything together.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], buckets: &[(f64, u64)], total: u64, sum: f64) {
        for (bound, count) in buckets {
            let bound = bound.to_string();
            self.suffixed("_bucket", &[labels, &[("le", &bound)]].concat(), count);
        }
        self.suffixed("_bucket", &[labels, &[("le", "+Inf")]].concat(), total);
        self.suffixed("_sum", labels, sum).suffixed("_count", labels, total);
    }

    /// A sample of a name that begins with the family's.
    pub(super) fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (at, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn samples_follow_their_family_and_labels_are_escaped() {
        let mut text = Exposition::default();
        text.single("up", Kind::Gauge, "One.", 1);
        text.family("errors", Kind::Counter, "a\nb\\c").sample(&[("err", "a\"b\\c\nd"), ("x", "")], 1.5).sample(&[], 2);
        let expected = "# HELP up One.\n# TYPE up gauge\nup 1\n# HELP errors a\\nb\\\\c\n# TYPE errors counter\n\
                        errors{err=\"a\\\"b\\\\c\\nd\",x=\"\"} 1.5\nerrors 2\n";
        assert_eq!(text.into_text(), expected);
    }

    #[test]
    fn durations_are_told_in_seconds_and_add_up() {
        let durations = crate::store::Durations::default();
        [50, 200, 200, 70_000_000]
            .map(Duration::from_micros)
            .into_iter()
            .for_each(|duration| durations.count(duration));
        let mut text = Exposition::default();
        text.durations("sync_seconds", "How long.", &durations.spread());
        let text = text.into_text();
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        has("sync_seconds_bucket{le=\"0.0001\"} 1");
        has("sync_seconds_bucket{le=\"0.00025\"} 3");
        has("sync_seconds_bucket{le=\"60\"} 3");
        has("sync_seconds_bucket{le=\"+Inf\"} 4");
        has("sync_seconds_count 4");
        has("sync_seconds_sum 70.00045");
    }
}
