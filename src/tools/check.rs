//! `caskade check`: verifies every byte of a data directory, and says what is wrong and what that costs.

use std::io::Write;
use std::path::Path;

use super::progress::Progress;
use super::{Failed, Outcome, inspect, threads};
use crate::store::command;
use crate::store::inspect::{Checked, Cost, Finding, KeyOf};
use crate::store::manifest::MANIFEST_FILE;

/// Checks a directory, and tells `out` what it finds. Nothing is changed.
///
/// # Errors
/// When the directory is in use or cannot be read, or `out` cannot be written.
pub fn check(directory: &Path, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let inspection = match inspect(directory)? {
        Ok(inspection) => inspection,
        Err(error) => {
            writeln!(out, "{MANIFEST_FILE}: {error}\n    costs: the server does not start")?;
            writeln!(out, "note: {} says what can be saved", command("repair", directory))?;
            writeln!(out, "DAMAGED: the segments were not looked at, as only {MANIFEST_FILE} says which they are")?;
            return Ok(Outcome::Damaged);
        }
    };
    let progress = Progress::new("checking");
    let checked = inspection.check(threads(), &mut |done, total| progress.show(done, total)).map_err(Failed::new)?;
    drop(progress);
    for finding in &checked.findings {
        writeln!(out, "{}", text(finding))?;
    }
    summarize(&checked, directory, out)
}

fn text(finding: &Finding) -> String {
    let Finding { file, offset, what, key, cost } = finding;
    let at = offset.map(|offset| format!(" byte {offset}")).unwrap_or_default();
    let (is_of_element, key) = match key {
        None => (false, String::new()),
        Some(KeyOf { object: Some(object), key, .. }) => {
            (true, format!(" (element \"{}\" of object {object})", key.escape_ascii()))
        }
        Some(KeyOf { keyspace, key, .. }) => {
            (false, format!(" (key \"{}\" in keyspace {keyspace})", key.escape_ascii()))
        }
    };
    let costs = match cost {
        Cost::Nothing => return format!("note: {file}{at}: {what}"),
        Cost::Past => "no key of today; an earlier moment cannot be brought back as it was",
        Cost::Cache => "nothing: a hint is only a cache; deleted, it is written anew",
        Cost::Spare => "nothing as long as the other place that says the same is sound",
        Cost::Key if is_of_element => "this element is unreadable",
        Cost::Key => "this key is unreadable",
        Cost::Removal => "the next start removes this file: copy it before",
        Cost::Start => "the server does not start; what is behind it in this file is unreadable, too",
    };
    format!("{file}{at}: {what}{key}\n    costs: {costs}")
}

fn summarize(checked: &Checked, directory: &Path, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let Checked { findings, segments, hints, without_hint, records, bytes, opens } = checked;
    writeln!(out, "checked: {segments} segments with {records} records, {hints} hints, {bytes} bytes")?;
    if *without_hint > 0 {
        writeln!(out, "note: {without_hint} segments have no hint: a server writes them in the background")?;
    }
    let count = |cost: Cost| findings.iter().filter(|finding| finding.cost == cost).count();
    let damage = findings.iter().filter(|finding| finding.cost.is_damage()).count();
    if damage == 0 && *opens {
        writeln!(out, "sound: every checksum is right, and all that should be there is there")?;
        return Ok(Outcome::Sound);
    }
    let counts = [
        (Cost::Start, "that keep the server from starting"),
        (Cost::Removal, "of files that the next start removes"),
        (Cost::Key, "that make a key unreadable"),
        (Cost::Spare, "that something else makes up for"),
        (Cost::Past, "in what is kept of the past"),
        (Cost::Cache, "in caches"),
    ];
    let counts = counts.into_iter().filter(|(cost, _)| count(*cost) > 0);
    let counts: Vec<String> = counts.map(|(cost, text)| format!("{} {text}", count(cost))).collect();
    let starts = if *opens { "a server starts on it" } else { "no server starts on it" };
    writeln!(out, "note: {} says what can be saved", command("repair", directory))?;
    writeln!(out, "DAMAGED: {damage} places: {}; {starts}", counts.join(", "))?;
    Ok(Outcome::Damaged)
}
