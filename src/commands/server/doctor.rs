//! What LATENCY DOCTOR and MEMORY DOCTOR say: what was found, and what can be done about it.

use std::fmt::Write as _;

use crate::commands::introspection::{MemoryFacts, share};
use crate::config::{AppendFsync, Settings};
use crate::stats::{Event, Series};

/// What LATENCY DOCTOR says of these events.
pub(super) fn latency(settings: &Settings, events: &[(Event, Series)]) -> String {
    let threshold = settings.latency_monitor_threshold;
    if threshold == 0 && events.is_empty() {
        return "Nothing is watched: `CONFIG SET latency-monitor-threshold 100` keeps whatever takes 100 milliseconds or \
                longer, at no cost that could be measured.\n"
            .into();
    }
    if events.is_empty() {
        return format!("Nothing took {threshold} milliseconds or longer.\n");
    }
    let mut report = String::from("These took long:\n\n");
    for (event, series) in events {
        let times: Vec<u64> = series.samples.iter().map(|sample| sample.milliseconds).collect();
        let (seconds, mean) = (times.len(), times.iter().sum::<u64>() / times.len().max(1) as u64);
        // Writing to a string cannot fail.
        let _ = writeln!(
            report,
            "- {}: in {seconds} different seconds, {mean} ms in the mean, {} ms at most.",
            event.name(),
            series.milliseconds_max
        );
    }
    report.push_str("\nWhat can be done:\n\n");
    let has = |event: Event| events.iter().any(|(found, _)| *found == event);
    let waits = settings.appendfsync == AppendFsync::Always;
    let slowlog = settings.slowlog_log_slower_than;
    let advice = [
        (
            has(Event::Command) || has(Event::FastCommand),
            "SLOWLOG GET names the commands that took long. One that is slow only now and then waits for the disk or \
             for the processor: compare with the other events, and with the load of the machine."
                .into(),
        ),
        (
            (has(Event::Command) || has(Event::FastCommand)) && (slowlog < 0 || slowlog as u64 > threshold * 1000),
            format!(
                "The slow log begins later than this report: `CONFIG SET slowlog-log-slower-than {}`.",
                threshold.max(1) * 1000
            ),
        ),
        (
            has(Event::ColdRead),
            "Values were fetched from the disk because they were not in memory: raise `maxmemory`, or use a faster disk."
                .into(),
        ),
        (
            has(Event::LogWrite),
            "The kernel was slow to take the log, mostly since other programs write a lot or its memory for written \
             pages is full: look at the disk with `iostat -x 1`, and at `vm.dirty_ratio`."
                .into(),
        ),
        (
            has(Event::LogSyncAlways) || has(Event::LogSync),
            match waits {
                true => "The disk is slow to sync, and each write waits for it: `appendfsync everysec` does not wait, and \
                         may lose about the last second in a power cut."
                    .into(),
                false => "The disk is slow to sync. No client waits for that, unless the log runs out of room.".into(),
            },
        ),
        (
            has(Event::LogRoom),
            "Changes waited until the log had room: more is written than the disk can sync.".to_owned(),
        ),
        (
            (has(Event::LogWrite) || has(Event::LogSync)) && settings.compaction_rate_limit == 0,
            "Compaction takes its part of the disk: `compaction-rate-limit` bounds it, `compaction-window` moves it into \
             quiet hours."
                .into(),
        ),
        (
            has(Event::Expiry),
            "Very many keys ended in the same moment: give them times to live that differ by some seconds.".into(),
        ),
    ];
    for (_, text) in advice.iter().filter(|(holds, _)| *holds) {
        let _ = writeln!(report, "- {text}");
    }
    report
}

/// Less than this is too little to judge.
const WORTH_A_LOOK: u64 = 5 << 20;

/// What MEMORY DOCTOR says.
pub(super) fn memory(settings: &Settings, facts: &MemoryFacts) -> String {
    if facts.used < WORTH_A_LOOK {
        return "There is nearly nothing in memory, so nothing can be said of it yet.\n".into();
    }
    let limit = settings.maxmemory;
    let clients = facts.clients;
    let advice = [
        (
            facts.peak > facts.used / 2 * 3,
            format!(
                "At most {} bytes were in use, now {} are: it was more than half as much again. What was freed goes back \
                 to the system within seconds; `MEMORY PURGE` does it at once.",
                facts.peak, facts.used
            ),
        ),
        (
            share(facts.resident_own, facts.used) > 1.5,
            format!(
                "The system counts {} bytes, of which {} are in use: many blocks of sizes that are no longer asked for. \
                 A restart takes seconds and packs them anew.",
                facts.resident_own, facts.used
            ),
        ),
        (
            limit > 0 && facts.used > limit,
            format!(
                "More is in use than `maxmemory` ({limit} bytes) allows: values have been driven out of memory, and \
                 reading them waits for the disk."
            ),
        ),
        (
            limit == 0,
            "There is no limit: with `maxmemory`, values leave memory for the disk before the machine runs out of it."
                .into(),
        ),
        (
            clients > facts.used / 10,
            format!("Clients have sent {clients} bytes ahead: `client-query-buffer-limit` bounds what each may send."),
        ),
        (
            facts.log_buffer > facts.used / 4,
            format!("{} bytes wait for the disk: more is written than it can sync.", facts.log_buffer),
        ),
    ];
    let found: Vec<String> =
        advice.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| format!("- {text}\n")).collect();
    match found.is_empty() {
        true => "Memory is used well.\n".into(),
        false => format!("This was found:\n\n{}", found.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Sample;

    #[test]
    fn the_report_follows_from_what_was_found() {
        let mut settings = Settings::default();
        assert!(latency(&settings, &[]).contains("latency-monitor-threshold 100"));
        settings.latency_monitor_threshold = 5;
        assert_eq!(latency(&settings, &[]), "Nothing took 5 milliseconds or longer.\n");
        let samples = [(1, 10), (2, 30)].map(|(time, milliseconds)| Sample { time, milliseconds });
        let series = Series { samples: samples.into(), milliseconds_max: 90 };
        let cases: &[(Event, &[&str], &[&str])] = &[
            (Event::Command, &["SLOWLOG GET", "slowlog-log-slower-than 5000"], &["maxmemory", "disk is slow"]),
            (Event::ColdRead, &["maxmemory"], &["SLOWLOG", "iostat"]),
            (Event::LogSync, &["No client waits", "compaction-rate-limit"], &["everysec"]),
            (Event::LogRoom, &["disk can sync"], &["maxmemory"]),
            (Event::Expiry, &["times to live"], &["disk"]),
        ];
        for (event, said, unsaid) in cases {
            let report = latency(&settings, &[(*event, series.clone())]);
            assert!(report.contains(&format!("- {}: in 2 different seconds, 20 ms", event.name())), "{report}");
            assert!(said.iter().all(|text| report.contains(text)), "{report}");
            assert!(!unsaid.iter().any(|text| report.contains(text)), "{report}");
        }
        settings.appendfsync = AppendFsync::Always;
        assert!(latency(&settings, &[(Event::LogSyncAlways, series)]).contains("appendfsync everysec"));
    }

    #[test]
    fn memory_is_judged_by_what_is_known() {
        let mut settings = Settings::default();
        let mb = |megabytes: u64| megabytes << 20;
        let sound = MemoryFacts { used: mb(100), peak: mb(110), resident_own: mb(120), ..MemoryFacts::default() };
        assert!(memory(&settings, &MemoryFacts::default()).contains("nearly nothing"));
        assert!(memory(&settings, &sound).contains("There is no limit"));
        settings.maxmemory = mb(200);
        assert_eq!(memory(&settings, &sound), "Memory is used well.\n");
        let cases = [
            (MemoryFacts { peak: mb(300), ..sound.clone() }, "MEMORY PURGE"),
            (MemoryFacts { resident_own: mb(200), ..sound.clone() }, "The system counts"),
            (MemoryFacts { used: mb(201), peak: mb(201), resident_own: mb(201), ..sound.clone() }, "driven out"),
            (MemoryFacts { clients: mb(30), ..sound.clone() }, "client-query-buffer-limit"),
            (MemoryFacts { log_buffer: mb(60), ..sound }, "wait for the disk"),
        ];
        for (facts, said) in cases {
            let report = memory(&settings, &facts);
            assert!(report.contains(said) && report.matches("\n- ").count() == 1, "{report}");
        }
    }
}
