//! How long a start takes with ten million elements.

use std::fmt::Write as _;
use std::path::Path;

use super::client::Client;
use super::content::Shape;
use super::options::Options;
use crate::common::server::Program;

/// Of each there are ten collections.
const COLLECTIONS: usize = 10;

const ELEMENTS: [(Shape, usize); 4] =
    [(Shape::Hash, 400_000), (Shape::Set, 200_000), (Shape::SortedSet, 200_000), (Shape::List, 200_000)];

pub fn measure(programs: &[Program], options: &Options) -> String {
    let total: usize = ELEMENTS.iter().map(|(_, count)| count / options.share * COLLECTIONS).sum();
    let mut text = format!(
        "\nSeconds from the start of the process until it answers with {total} elements, in {COLLECTIONS} each of hashes \
         of {}, sets, sorted sets and lists of {} elements:\n\n\
         | | after a clean stop | the same without hints | after kill -9 |\n| --- | --- | --- | --- |\n",
        ELEMENTS[0].1 / options.share,
        ELEMENTS[1].1 / options.share,
    );
    for program in programs {
        let mut server = program.start(None);
        let mut client = Client::new(&server);
        let key = |shape: Shape, number: usize| format!("{}:{number}", shape.name().replace(' ', "-"));
        let all = || ELEMENTS.iter().flat_map(|&(shape, count)| (0..COLLECTIONS).map(move |n| (shape, n, count)));
        for (shape, number, count) in all() {
            shape.add(&mut client, &key(shape, number), 0, count / options.share);
        }
        let clean = server.restart(false).as_secs_f64();
        let is_caskade = program.name != "Redis";
        let bare = is_caskade.then(|| server.restart_after(false, remove_hints).as_secs_f64());
        let killed = server.restart(true).as_secs_f64();
        let bare = bare.map_or("".to_owned(), |seconds| format!("{seconds:.2}"));
        let line = format!("| {} | {clean:.2} | {bare} | {killed:.2} |", program.name);
        println!("{line}");
        let _ = writeln!(text, "{line}");
        let mut client = Client::new(&server);
        for (shape, number, count) in all() {
            assert_eq!(shape.length(&mut client, &key(shape, number)), (count / options.share) as i64);
        }
    }
    text
}

fn remove_hints(directory: &Path) {
    let mut removed = 0;
    for file in std::fs::read_dir(directory).expect("the directory").flatten() {
        if file.path().extension().is_some_and(|extension| extension == "hint") {
            std::fs::remove_file(file.path()).expect("to remove a hint");
            removed += 1;
        }
    }
    assert!(removed > 0, "there were no hints to remove");
}
