//! `docs/benchmarks.md`: the text between a bench's two markers is the last result of that bench.

use std::path::PathBuf;

/// Replaces the part of the page that belongs to `bench`; all else stays as it is.
pub fn write(bench: &str, text: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md"));
    let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (begin, end) = (format!("<!-- {bench}: begin -->\n"), format!("<!-- {bench}: end -->"));
    let (Some(from), Some(to)) = (page.find(&begin).map(|at| at + begin.len()), page.find(&end)) else {
        panic!("{} has no markers for {bench}", path.display());
    };
    let page = format!("{}\n{}\n{}", &page[..from], text.trim(), &page[to..]);
    std::fs::write(&path, page).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("written to {}", path.display());
}
