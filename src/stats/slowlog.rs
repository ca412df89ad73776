//! The commands that took long, the newest first.
//!
//! Always true: an entry takes a bounded amount of memory, whatever the command was given.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// An entry keeps so many arguments; the last one tells how many there were besides.
const ARGUMENTS_MAX: usize = 32;

/// An argument keeps so many bytes, and tells how many there were besides.
const ARGUMENT_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCommand {
    /// Never used again while the server runs.
    pub id: u64,
    /// When it ended, in seconds since the Unix epoch.
    pub time: u64,
    /// What it took.
    pub microseconds: u64,
    /// Its words, shortened.
    pub words: Vec<Vec<u8>>,
    /// The address of the client that sent it.
    pub peer: String,
    /// What that client calls itself.
    pub name: String,
}

/// The commands that took long.
#[derive(Debug, Default)]
pub struct Slowlog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next_id: u64,
    newest_first: VecDeque<SlowCommand>,
}

impl Slowlog {
    /// Adds a command, gives it its id, and forgets the oldest beyond `most`.
    pub fn add(&self, mut command: SlowCommand, most: usize) {
        let mut entries = self.0.lock();
        command.id = entries.next_id;
        entries.next_id += 1;
        entries.newest_first.push_front(command);
        entries.newest_first.truncate(most);
    }

    /// The newest, at most so many.
    pub fn newest(&self, most: usize) -> Vec<SlowCommand> {
        self.0.lock().newest_first.iter().take(most).cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().newest_first.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets them all; ids go on.
    pub fn clear(&self) {
        self.0.lock().newest_first.clear();
    }
}

/// The words of a command as an entry keeps them. `secret` says which of them nobody may read.
pub fn shortened<'a>(words: impl ExactSizeIterator<Item = &'a [u8]>, secret: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let count = words.len();
    let kept = if count > ARGUMENTS_MAX { ARGUMENTS_MAX - 1 } else { count };
    let one = |(at, word): (usize, &'a [u8])| match word.len().checked_sub(ARGUMENT_BYTES_MAX) {
        _ if secret(at) => b"(redacted)".to_vec(),
        None | Some(0) => word.to_vec(),
        Some(more) => [&word[..ARGUMENT_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat(),
    };
    let mut kept_words: Vec<Vec<u8>> = words.enumerate().take(kept).map(one).collect();
    if kept < count {
        kept_words.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    kept_words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_are_cut() {
        let long = vec![b'x'; 130];
        let words: Vec<&[u8]> = vec![b"SET", b"password", &long, &long[..128]];
        let kept = shortened(words.into_iter(), |at| at == 1);
        let texts: Vec<String> = kept.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let x128 = "x".repeat(128);
        assert_eq!(texts, ["SET", "(redacted)", &format!("{x128}... (2 more bytes)"), &x128]);
        let many = |count: usize| shortened(vec![&b"k"[..]; count].into_iter(), |_| false);
        assert_eq!((many(32).len(), many(33).len(), many(100).len()), (32, 32, 32));
        assert_eq!((many(32)[31].as_slice(), many(33)[31].as_slice()), (&b"k"[..], &b"... (2 more arguments)"[..]));
    }

    #[test]
    fn the_newest_stay() {
        let log = Slowlog::default();
        let command = |microseconds| SlowCommand {
            id: 0,
            time: 1,
            microseconds,
            words: Vec::new(),
            peer: String::new(),
            name: String::new(),
        };
        for microseconds in 0..5 {
            log.add(command(microseconds), 3);
        }
        let ids = |most| log.newest(most).iter().map(|entry| (entry.id, entry.microseconds)).collect::<Vec<_>>();
        assert_eq!((ids(9), ids(1), log.len()), (vec![(4, 4), (3, 3), (2, 2)], vec![(4, 4)], 3));
        log.clear();
        log.add(command(7), 3);
        assert_eq!(ids(9), [(5, 7)]);
    }
}
