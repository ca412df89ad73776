//! Tables for people.

use super::load::Measured;
use super::options::{Options, Placement};
use super::workload::Workload;

/// The medians of one workload at one depth.
pub struct Result {
    pub placement: Placement,
    pub workload: Workload,
    pub depth: usize,
    pub row: Row,
}

pub struct Row {
    /// For each server.
    servers: Vec<Measured>,
    /// The first server's rate divided by the second's.
    rate_ratio: Option<f64>,
    /// The first server's CPU time for a request divided by the second's.
    cpu_ratio: Option<f64>,
}

impl Row {
    /// Medians over the rounds; a ratio is the median of the ratios within the rounds.
    pub fn of(rounds: &[Vec<Measured>]) -> Self {
        let server = |number: usize| {
            let of = |value: fn(&Measured) -> f64| median(rounds.iter().map(|round| value(&round[number])));
            Measured {
                requests: rounds.iter().map(|round| round[number].requests).sum(),
                rate: of(|measured| measured.rate),
                server_cpu: of(|measured| measured.server_cpu),
                load_cpu: of(|measured| measured.load_cpu),
                latency_p50: of(|measured| measured.latency_p50),
                latency_p99: of(|measured| measured.latency_p99),
            }
        };
        let servers: Vec<_> = (0..rounds[0].len()).map(server).collect();
        let ratio = |value: fn(&Measured) -> f64| {
            (servers.len() == 2).then(|| median(rounds.iter().map(|round| value(&round[0]) / value(&round[1]))))
        };
        Self { rate_ratio: ratio(|measured| measured.rate), cpu_ratio: ratio(|measured| measured.server_cpu), servers }
    }
}

impl Result {
    /// For whoever watches.
    pub fn line(&self, options: &Options) -> String {
        let mut line = format!("{:5} {:4} P{:<3}", self.placement.name(), self.workload.name(), self.depth);
        for (program, measured) in options.programs.iter().zip(&self.row.servers) {
            let Measured { rate, server_cpu, load_cpu, latency_p50, latency_p99, .. } = measured;
            line.push_str(&format!(
                " | {} {:7.0}/s {:5.2} µs CPU (load {:.2}) p50 {latency_p50:.0} p99 {latency_p99:.0} µs",
                program.name,
                rate,
                server_cpu / 1000.0,
                load_cpu / 1000.0
            ));
        }
        if let (Some(rate), Some(cpu)) = (self.row.rate_ratio, self.row.cpu_ratio) {
            line.push_str(&format!(" | rate {rate:.2}x CPU {cpu:.2}x"));
        }
        line
    }

    fn table_line(&self) -> String {
        let cells =
            |value: &dyn Fn(&Measured) -> String| self.row.servers.iter().map(value).collect::<Vec<_>>().join(" | ");
        let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!(" **{ratio:.2}** |"));
        format!(
            "| {} | {} | {} |{} {} |{} {} |",
            self.workload.name(),
            self.depth,
            cells(&|measured| thousands(measured.rate)),
            ratio(self.row.rate_ratio),
            cells(&|measured| format!("{:.2}", measured.server_cpu / 1000.0)),
            ratio(self.row.cpu_ratio),
            cells(&|measured| format!("{:.0} / {:.0}", measured.latency_p50, measured.latency_p99)),
        )
    }
}

/// The whole result.
pub fn text(options: &Options, machine: &str, results: &[Result]) -> String {
    let mut text = format!(
        "{machine}- {} connections, {} keys of 16 bytes, values of 100 bytes, {} rounds of {:.1} s each; `{}`\n",
        options.connections,
        thousands(options.keys as f64),
        options.rounds,
        options.duration.as_secs_f64(),
        command(),
    );
    for &placement in &options.placements {
        text.push_str(match placement {
            Placement::Free => "\nServer and load share all cores:\n\n",
            Placement::Apart => "\nThe load has the last core for itself, the server all others:\n\n",
        });
        text.push_str(&head(options));
        for result in results.iter().filter(|result| result.placement == placement) {
            text.push_str(&result.table_line());
            text.push('\n');
        }
    }
    text
}

fn head(options: &Options) -> String {
    let names = |unit: &str| {
        let named = options.programs.iter().map(|program| format!("{} {unit}", program.name));
        named.collect::<Vec<_>>().join(" | ")
    };
    let ratio = if options.programs.len() == 2 { " ratio |" } else { "" };
    let head = format!(
        "| | pipeline | {} |{ratio} {} |{ratio} {} |",
        names("requests/s"),
        names("CPU µs/request"),
        names("p50 / p99 µs")
    );
    let columns = head.matches('|').count() - 1;
    format!("{head}\n|{}\n", " --- |".repeat(columns))
}

fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let tail = if arguments.is_empty() { String::new() } else { format!(" -- {}", arguments.join(" ")) };
    format!("cargo bench --bench throughput{tail}")
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3);
    let groups = std::iter::once(&digits.as_bytes()[..first]).filter(|group| !group.is_empty()).chain(groups);
    groups.map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
