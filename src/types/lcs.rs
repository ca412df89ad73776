//! The longest common subsequence of two strings, by the textbook table, walked back as Redis walks it.

use std::fmt;

/// A run that both strings have, as first and last index in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub a: (usize, usize),
    pub b: (usize, usize),
    pub len: usize,
}

/// All runs of the common subsequence, the last one first, and its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches {
    pub matches: Vec<Match>,
    pub length: usize,
}

/// The strings are too long to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LcsError;

impl fmt::Display for LcsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    }
}

impl std::error::Error for LcsError {}

/// The length of the longest common subsequence. The table of the two strings may take `most` bytes.
pub fn length(a: &[u8], b: &[u8], most: usize) -> Result<usize, LcsError> {
    Ok(Table::new(a, b, most)?.at(a.len(), b.len()) as usize)
}

/// The subsequence.
pub fn sequence(a: &[u8], b: &[u8], most: usize) -> Result<Vec<u8>, LcsError> {
    let mut sequence = Vec::new();
    Table::new(a, b, most)?.walk(a, b, |i, _| sequence.push(a[i]));
    sequence.reverse();
    Ok(sequence)
}

/// The runs of at least `shortest` bytes.
pub fn matches(a: &[u8], b: &[u8], shortest: usize, most: usize) -> Result<Matches, LcsError> {
    let table = Table::new(a, b, most)?;
    let mut runs: Vec<Match> = Vec::new();
    table.walk(a, b, |i, j| match runs.last_mut() {
        Some(run) if run.a.0 == i + 1 && run.b.0 == j + 1 => {
            (run.a.0, run.b.0) = (i, j);
            run.len += 1;
        }
        _ => runs.push(Match { a: (i, i), b: (j, j), len: 1 }),
    });
    runs.retain(|run| run.len >= shortest);
    Ok(Matches { matches: runs, length: table.at(a.len(), b.len()) as usize })
}

struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8], most: usize) -> Result<Self, LcsError> {
        let width = b.len() + 1;
        let count = (a.len() + 1).checked_mul(width).filter(|count| *count <= most / size_of::<u32>());
        let count = count.ok_or(LcsError)?;
        let mut cells = Vec::new();
        cells.try_reserve_exact(count).map_err(|_| LcsError)?;
        cells.resize(count, 0);
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                let here = i * width + j;
                cells[here] = if a[i - 1] == b[j - 1] {
                    cells[here - width - 1] + 1
                } else {
                    cells[here - width].max(cells[here - 1])
                };
            }
        }
        Ok(Self { cells, width })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width + j]
    }

    /// From the end to the beginning: the indexes of every pair of bytes that belongs to the subsequence.
    fn walk(&self, a: &[u8], b: &[u8], mut visit: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                visit(i, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation() {
        let (a, b) = (b"ohmytext", b"mynewtext");
        assert_eq!(length(a, b, 4096), Ok(6));
        assert_eq!(sequence(a, b, 4096), Ok(b"mytext".to_vec()));
        let run = |a, b, len| Match { a, b, len };
        let all = matches(a, b, 0, 4096).unwrap();
        assert_eq!(all, Matches { matches: vec![run((4, 7), (5, 8), 4), run((2, 3), (0, 1), 2)], length: 6 });
        assert_eq!(matches(a, b, 4, 4096).unwrap().matches, [run((4, 7), (5, 8), 4)]);
    }

    #[test]
    fn nothing_in_common() {
        assert_eq!((length(b"", b"abc", 4096), sequence(b"abc", b"xyz", 4096)), (Ok(0), Ok(Vec::new())));
        assert_eq!(matches(b"abc", b"", 0, 4096).unwrap(), Matches { matches: Vec::new(), length: 0 });
    }

    #[test]
    fn a_table_too_large_is_refused() {
        // 10 x 3 cells of 4 bytes.
        assert_eq!(length(&[0; 9], b"ab", 119), Err(LcsError));
        assert_eq!(length(&[0; 9], b"ab", 120), Ok(0));
    }
}
