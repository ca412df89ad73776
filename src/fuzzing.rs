//! What the fuzz targets of `tests/fuzz` call: one function for each, which panics where something does not hold.
//!
//! What has to hold stands beside what it is about: in `store/fuzzing`, `keyspace/fuzzing`, `protocol/fuzzing` and
//! `config/fuzzing`. The tests here call the same functions with every file of the corpus.

use crate::{config, keyspace, protocol, store};

/// The name of a target, and what it calls with the bytes it has made up.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("configuration", configuration),
    ("hint", hint),
    ("hot", hot),
    ("manifest", manifest),
    ("record", record),
    ("request", request),
    ("segment", segment),
];

/// A configuration file.
pub fn configuration(data: &[u8]) {
    config::fuzzing::configuration(data);
}

/// A hint beside its segment: no key has a value that was never written for it, and where a check finds nothing wrong,
/// it is as if there were no hint.
pub fn hint(data: &[u8]) {
    let Some(disk) = store::fuzzing::hint(data) else { return };
    let checked = keyspace::fuzzing::check(&disk);
    let is_sound = checked.is_some_and(|checked| !checked.findings.iter().any(|finding| finding.cost.is_damage()));
    let found = keyspace::fuzzing::live_on(&disk, false);
    for ((_, key), value) in found.iter().flatten() {
        let value = value.as_ref().map(|(bytes, ..)| bytes);
        let was_written =
            value.is_none_or(|value| keyspace::fuzzing::is_object(value) || store::fuzzing::was_written(key, value));
        assert!(was_written, "{} never was {value:?}", key.escape_ascii());
    }
    if is_sound {
        assert_eq!(
            found,
            keyspace::fuzzing::live_on(&store::fuzzing::without_hint(), true),
            "with and without the hint"
        );
    }
}

/// A file that names what was in memory, beside a segment: every key is what it is without it.
pub fn hot(data: &[u8]) {
    let Some(disk) = store::fuzzing::hot(data) else { return };
    let found = keyspace::fuzzing::live_on(&disk, true);
    assert_eq!(found, keyspace::fuzzing::live_on(&store::fuzzing::without_hint(), true), "with and without the file");
}

/// A manifest, with segments as it lists them.
pub fn manifest(data: &[u8]) {
    let disk = store::fuzzing::manifest(data);
    disk.iter().for_each(|disk| _ = keyspace::fuzzing::live_on(disk, true));
}

/// One record.
pub fn record(data: &[u8]) {
    store::fuzzing::record(data);
}

/// A stream of requests.
pub fn request(data: &[u8]) {
    protocol::fuzzing::request(data);
}

/// A segment, alone or among others.
pub fn segment(data: &[u8]) {
    let disk = store::fuzzing::segment(data);
    disk.iter().for_each(|disk| _ = keyspace::fuzzing::live_on(disk, true));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::store::fuzzing::seeds;

    /// How the names of inputs begin that were found by fuzzing; all others are written by a test.
    const FOUND: &str = "found-";

    fn directory(target: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
    }

    fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
        let Ok(entries) = fs::read_dir(directory(target)) else { return BTreeMap::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
    }

    fn seeds_of(target: &str) -> BTreeMap<String, Vec<u8>> {
        let named = |seeds: Vec<(&'static str, Vec<u8>)>| {
            seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect::<Vec<_>>()
        };
        let seeds = match target {
            "configuration" => named(config::fuzzing::seeds()),
            "hint" => seeds::hints(),
            "hot" => seeds::hots(),
            "manifest" => seeds::manifests(),
            "record" => seeds::records(),
            "request" => named(protocol::fuzzing::seeds()),
            "segment" => seeds::segments(),
            other => panic!("{other} has no seeds"),
        };
        seeds.into_iter().collect()
    }

    #[test]
    fn the_seeds_are_fresh() {
        let mut stale = Vec::new();
        for (target, _) in TARGETS {
            let (directory, wanted) = (directory(target), seeds_of(target));
            let mut found = corpus(target);
            found.retain(|name, _| !name.starts_with(FOUND));
            if found == wanted {
                continue;
            }
            stale.push(*target);
            fs::create_dir_all(&directory).unwrap();
            found.keys().for_each(|name| fs::remove_file(directory.join(name)).unwrap());
            wanted.iter().for_each(|(name, bytes)| fs::write(directory.join(name), bytes).unwrap());
        }
        assert!(
            stale.is_empty(),
            "the seeds of {stale:?} were not what is written now, and were rewritten; commit them"
        );
    }

    #[test]
    fn everything_holds_for_the_corpus() {
        for (target, run) in TARGETS {
            let corpus = corpus(target);
            assert!(corpus.len() >= 5, "{target} has {} inputs", corpus.len());
            for (name, bytes) in corpus {
                // Where it panics, this is the last line that was printed.
                println!("{target}/{name}");
                run(&bytes);
            }
        }
    }

    #[test]
    fn each_target_has_its_program() {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/fuzz_targets");
        let mut names: Vec<String> = fs::read_dir(&programs)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        assert!(names.iter().eq(TARGETS.iter().map(|(name, _)| name)), "{names:?}");
        for name in names {
            let program = fs::read_to_string(programs.join(format!("{name}.rs"))).unwrap();
            assert!(program.contains(&format!("caskade::fuzzing::{name}(data)")), "{program}");
        }
    }
}
