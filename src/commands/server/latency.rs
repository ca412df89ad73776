//! LATENCY: what took long, by the kind of event, and how long each command takes.

use super::{ADMIN, ALWAYS, Args, Command, Context, Flags, Group, Outcome, Stop, checked, doctor, text};
use crate::commands::Row;
use crate::protocol::Reply;
use crate::stats::{Event, Sample, Series};

const LOOKS: Flags = ADMIN.with(ALWAYS).with(Flags::NOSCRIPT);
const SPECIAL: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

/// How many samples a graph shows, one a column.
const COLUMNS: usize = 80;

/// How many lines a graph has, and what stands in one line for the parts of its height.
const LINES: usize = 4;
const PARTS: [char; 3] = ['_', 'o', '#'];

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("DOCTOR", "", doctor)
            .tips(SPECIAL)
            .summary("Says in words what took long, and what can be done about it.")
            .since("2.8.13")
            .flag(LOOKS),
        Command::new("GRAPH", "event", graph)
            .tips(SPECIAL)
            .summary("Draws how long an event took of late.")
            .since("2.8.13")
            .flag(LOOKS),
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("2.8.13").flag(ALWAYS),
        Command::new("HISTOGRAM", "[command [command ...]]", histogram)
            .tips(SPECIAL)
            .summary("Answers, for commands, how many calls took at most how many microseconds.")
            .since("7.0.0")
            .complexity("O(N) for N commands with calls")
            .flag(LOOKS),
        Command::new("HISTORY", "event", history)
            .tips(SPECIAL)
            .summary("Answers when an event took long of late, and how many milliseconds.")
            .since("2.8.13")
            .flag(LOOKS),
        Command::new("LATEST", "", latest)
            .tips(SPECIAL)
            .summary("Answers, for each event, when it last took long, how many milliseconds, and the most ever.")
            .since("2.8.13")
            .flag(LOOKS),
        Command::new("RESET", "[event [event ...]]", reset)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .summary("Forgets what took long, of all events or of these.")
            .since("2.8.13")
            .flag(LOOKS),
    ],
);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("latency"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("latency"))
}

fn doctor(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Verbatim("txt", doctor::latency(&ctx.node.config.get(), &ctx.node.stats.latency.all())))
}

fn latest(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let of = |(event, series): (Event, Series)| {
        let last = series.samples.back()?;
        let numbers = [last.time, last.milliseconds, series.milliseconds_max];
        let name = Reply::Text(event.name().into());
        Some(Reply::Array([name].into_iter().chain(numbers.map(|number| Reply::Integer(number as i64))).collect()))
    };
    Ok(Reply::Array(ctx.node.stats.latency.all().into_iter().filter_map(of).collect()))
}

fn history(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let series = Event::named(args.word()?).and_then(|event| ctx.node.stats.latency.of(event)).unwrap_or_default();
    let one = |sample: &Sample| {
        Reply::Array([sample.time, sample.milliseconds].map(|number| Reply::Integer(number as i64)).into())
    };
    Ok(Reply::Array(series.samples.iter().map(one).collect()))
}

fn reset(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let latency = &ctx.node.stats.latency;
    let events: Vec<Event> = match args.is_empty() {
        true => Event::ALL.into(),
        false => args.rest().filter_map(Event::named).collect(),
    };
    Ok(Reply::from(events.into_iter().filter(|event| latency.reset(*event)).count()))
}

fn histogram(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let rows: Vec<&Row> = match args.is_empty() {
        true => ctx.registry.rows().iter().collect(),
        false => {
            let asked = args.rest().filter_map(|name| ctx.registry.find(name));
            let with_subcommands = |row| [row].into_iter().chain(ctx.registry.subcommands_of(row));
            asked.flat_map(with_subcommands).collect()
        }
    };
    let mut pairs: Vec<(Reply, Reply)> = Vec::new();
    for row in rows {
        let counts = ctx.node.stats.commands.get(row.index).histogram.snapshot();
        if counts.total() == 0 {
            continue;
        }
        let integer = |number: u64| Reply::Integer(number as i64);
        let bounds = counts.cumulative().into_iter().map(|(bound, calls)| (integer(bound), integer(calls)));
        let fields = vec![
            (Reply::Text("calls".into()), integer(counts.total())),
            (Reply::Text("histogram_usec".into()), Reply::Map(bounds.collect())),
        ];
        pairs.push((Reply::Text(row.name.clone()), Reply::Map(fields)));
    }
    Ok(Reply::Map(pairs))
}

fn graph(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let name = args.word()?;
    let found = Event::named(name).and_then(|event| Some((event, ctx.node.stats.latency.of(event)?)));
    let (event, series) = found.ok_or_else(|| Stop::repeating("ERR No samples available for event '", name, "'"))?;
    Ok(Reply::Verbatim("txt", drawn(event, &series, ctx.node.wall_now() / 1000)))
}

/// A column for each sample, the newest to the right, with its age below from top to bottom.
fn drawn(event: Event, series: &Series, now: u64) -> String {
    let skipped = series.samples.len().saturating_sub(COLUMNS);
    let samples: Vec<Sample> = series.samples.iter().skip(skipped).copied().collect();
    let times = || samples.iter().map(|sample| sample.milliseconds);
    let (high, low) = (times().max().unwrap_or(0), times().min().unwrap_or(0));
    let mut text = format!(
        "{} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.name(),
        series.milliseconds_max,
        "-".repeat(COLUMNS)
    );
    let steps = (LINES * PARTS.len()) as u64 - 1;
    let step = |sample: &Sample| ((sample.milliseconds - low) * steps / (high - low).max(1)) as usize;
    for line in (0..LINES).rev() {
        let part = |sample: &Sample| match step(sample).checked_sub(line * PARTS.len()) {
            None => ' ',
            Some(above) => PARTS.get(above).copied().unwrap_or('|'),
        };
        text.extend(samples.iter().map(part).chain(['\n']));
    }
    text.push('\n');
    let ages: Vec<String> = samples.iter().map(|sample| age(now.saturating_sub(sample.time))).collect();
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.chars().nth(line).unwrap_or(' ')).chain(['\n']));
    }
    text
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_has_a_column_for_each_sample() {
        let samples = [(100, 20), (161, 60), (170, 40), (3_900, 20)];
        let samples = samples.map(|(time, milliseconds)| Sample { time, milliseconds });
        let series = Series { samples: samples.into(), milliseconds_max: 75 };
        let text = drawn(Event::Command, &series, 3_910);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 60 ms, low 20 ms (all time high 75 ms)");
        assert_eq!(lines[2..], [" #  ", " |  ", " |# ", "_||_", "", "1111", "hhh0", "   s"]);
    }
}
