//! What a parameter's value may be, and how its words become one canonical text.
//!
//! Every value is kept as the text CONFIG GET answers; nothing else in the crate decides whether a value is valid.
//! The refusals are Redis's sentences, since clients and test suites match on them.

use std::borrow::Cow;

/// The form of a parameter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Flag,
    /// A whole number, both ends included.
    Integer { min: i64, max: i64 },
    /// A number of bytes, plain or with a unit (`100mb`), both ends included.
    Memory { min: u64, max: u64 },
    /// [`Kind::Memory`] or the word `auto`.
    MemoryOrAuto { min: u64, max: u64 },
    /// A number of bytes or a percentage of maxmemory (`5%`).
    MemoryOrPercent,
    /// The permission bits of a file, in octal.
    Mode,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// One word, which may be empty or hold anything when quoted.
    Text,
    /// Any number of words.
    Words,
    /// Groups of `class hard soft seconds`; classes not named keep their limits.
    OutputLimits,
    /// Groups of `seconds changes`; several lines add up.
    SavePoints,
    /// Numbers from 0 to 100.
    Percentiles,
    /// The letters of `notify-keyspace-events`.
    KeyspaceEvents,
    /// A decimal number with up to three places, both ends included, in thousandths.
    Ratio { min: u32, max: u32 },
    /// Two hours of the day with a hyphen between them, or nothing.
    Hours,
}

/// Why a value was refused, in Redis's words.
pub type Refusal = Cow<'static, str>;

const WRONG_COUNT: &str = "wrong number of arguments";

impl Kind {
    /// The canonical text of a value given as `words`. `current` is the text in force, which some kinds add to.
    pub fn canonical(&self, words: &[&str], current: &str) -> Result<String, Refusal> {
        match self {
            Kind::Words => Ok(flatten(words).join(" ")),
            Kind::OutputLimits => output_limits(&flatten(words), current),
            Kind::SavePoints => save_points(&flatten(words), current),
            Kind::Percentiles => percentiles(&flatten(words)),
            _ => match words {
                [word] => self.one(word),
                _ => Err(WRONG_COUNT.into()),
            },
        }
    }

    /// Whether several lines of a file add up instead of replacing each other.
    pub fn accumulates(&self) -> bool {
        matches!(self, Kind::OutputLimits | Kind::SavePoints)
    }

    /// Whether a value may be made of several words.
    pub fn takes_words(&self) -> bool {
        matches!(self, Kind::Words | Kind::OutputLimits | Kind::SavePoints | Kind::Percentiles)
    }

    /// What a valid value looks like, to end the sentence "wanted: ...".
    pub fn wanted(&self) -> String {
        match self {
            Kind::Flag => "yes or no".into(),
            Kind::Integer { min, max: i64::MAX } => format!("a whole number of at least {min}"),
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Memory { .. } => format!("a size such as 100mb{}", self.range()),
            Kind::MemoryOrAuto { .. } => format!("auto, or a size such as 64mb{}", self.range()),
            Kind::MemoryOrPercent => "a size such as 100mb, or a percentage such as 5%".into(),
            Kind::Mode => "octal permission bits such as 700".into(),
            Kind::Choice(names) => format!("one of {}", names.join(", ")),
            Kind::Text => "one word, in quotes when it has blanks".into(),
            Kind::Words => "words separated by blanks".into(),
            Kind::OutputLimits => {
                "class hard-limit soft-limit soft-seconds, the class being normal, replica or pubsub".into()
            }
            Kind::SavePoints => "pairs of seconds and changes, or \"\"".into(),
            Kind::Percentiles => "numbers from 0 to 100, or \"\"".into(),
            Kind::KeyspaceEvents => "letters out of KEg$lshzxetdmnA, or \"\"".into(),
            Kind::Ratio { min, max } => {
                format!(
                    "a number from {} to {}, such as {}",
                    ratio_text(*min),
                    ratio_text(*max),
                    ratio_text(max.midpoint(*min))
                )
            }
            Kind::Hours => "two hours such as 1-5, the first from 0 to 23 and the second from 0 to 24, or \"\"".into(),
        }
    }

    fn range(&self) -> String {
        match *self {
            Kind::Memory { min, max } | Kind::MemoryOrAuto { min, max } => match (min, max) {
                (0, m) if m >= i64::MAX as u64 => String::new(),
                (min, m) if m >= i64::MAX as u64 => format!(", at least {}", memory_text(min)),
                (min, max) => format!(", from {} to {}", memory_text(min), memory_text(max)),
            },
            _ => String::new(),
        }
    }

    fn one(&self, word: &str) -> Result<String, Refusal> {
        match *self {
            Kind::Flag => match word.to_ascii_lowercase().as_str() {
                flag @ ("yes" | "no") => Ok(flag.to_owned()),
                _ => Err("argument must be 'yes' or 'no'".into()),
            },
            Kind::Integer { min, max } => match integer(word) {
                None => Err("argument couldn't be parsed into an integer".into()),
                Some(number) => within(number, min, max).map(|number| number.to_string()),
            },
            Kind::Memory { min, max } => match memory(word) {
                None => Err("argument must be a memory value".into()),
                Some(bytes) => within(bytes, min, max).map(|bytes| bytes.to_string()),
            },
            Kind::MemoryOrAuto { .. } if word.eq_ignore_ascii_case("auto") => Ok("auto".into()),
            Kind::MemoryOrAuto { min, max } => match memory(word) {
                None => Err("argument must be 'auto' or a memory value".into()),
                Some(bytes) => within(bytes, min, max).map(|bytes| bytes.to_string()),
            },
            Kind::MemoryOrPercent => memory_or_percent(word),
            Kind::Mode => match u32::from_str_radix(word, 8) {
                Err(_) => Err("argument couldn't be parsed as an octal number".into()),
                Ok(bits) if bits > 0o777 => Err("argument must be between 0 and 777 inclusive".into()),
                Ok(bits) => Ok(format!("{bits:o}")),
            },
            Kind::Choice(names) => match names.iter().find(|name| name.eq_ignore_ascii_case(word)) {
                Some(name) => Ok((*name).to_owned()),
                None => Err(format!("argument(s) must be one of the following: {}", names.join(", ")).into()),
            },
            Kind::KeyspaceEvents => keyspace_events(word),
            Kind::Ratio { min, max } => match ratio(word) {
                None => Err("argument must be a decimal number with at most three places".into()),
                Some(number) if number < min || number > max => {
                    Err(format!("argument must be between {} and {} inclusive", ratio_text(min), ratio_text(max))
                        .into())
                }
                Some(number) => Ok(ratio_text(number)),
            },
            Kind::Hours if word.is_empty() => Ok(String::new()),
            Kind::Hours => match hours(word) {
                None => Err("argument must be two different hours of the day such as 1-5".into()),
                Some((from, until)) => Ok(format!("{from}-{until}")),
            },
            Kind::Text | Kind::Words | Kind::OutputLimits | Kind::SavePoints | Kind::Percentiles => Ok(word.to_owned()),
        }
    }
}

/// Bytes from `1024`, `1k` (1000), `1kb` (1024), and so on to `gb`, in any case; an empty text is 0 as in Redis.
pub fn memory(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    match number {
        "" if unit.is_empty() => Some(0),
        _ => number.parse::<u64>().ok()?.checked_mul(scale),
    }
}

/// The shortest way to write a number of bytes: `100mb` where it is exact, digits otherwise.
pub fn memory_text(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Thousandths from a decimal number such as `1.5`.
pub(super) fn ratio(text: &str) -> Option<u32> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(places) || places.len() > 3 {
        return None;
    }
    let thousandths: u32 = format!("{places:0<3}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(thousandths)
}

fn ratio_text(thousandths: u32) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The first hour and the one behind the last.
pub(super) fn hours(text: &str) -> Option<(u8, u8)> {
    let (from, until) = text.split_once('-')?;
    let hour = |text: &str, max: i64| integer(text).filter(|hour| (0..=max).contains(hour)).map(|hour| hour as u8);
    let (from, until) = (hour(from, 23)?, hour(until, 24)?);
    (from != until).then_some((from, until))
}

fn flatten<'a>(words: &[&'a str]) -> Vec<&'a str> {
    words.iter().flat_map(|word| word.split_ascii_whitespace()).collect()
}

fn within<T: PartialOrd + std::fmt::Display>(number: T, min: T, max: T) -> Result<T, Refusal> {
    if number < min || number > max {
        return Err(format!("argument must be between {min} and {max} inclusive").into());
    }
    Ok(number)
}

/// As strict as Redis: no sign but `-`, no leading zero, no blank.
fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (itoa::Buffer::new().format(number) == text).then_some(number)
}

fn memory_or_percent(word: &str) -> Result<String, Refusal> {
    let refusal = "argument must be a memory or percent value";
    match word.strip_suffix('%') {
        None => memory(word).map(|bytes| bytes.to_string()).ok_or(refusal.into()),
        Some(number) => match integer(number) {
            Some(percent @ 0..=100) => Ok(format!("{percent}%")),
            Some(101..) => Err("percentage argument must be less or equal to 100".into()),
            _ => Err(refusal.into()),
        },
    }
}

fn output_limits(words: &[&str], current: &str) -> Result<String, Refusal> {
    let groups = words.chunks_exact(4);
    if !groups.remainder().is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits: Vec<[String; 4]> = current
        .split_ascii_whitespace()
        .collect::<Vec<_>>()
        .chunks_exact(4)
        .map(|group| [group[0].into(), group[1].into(), group[2].into(), group[3].into()])
        .collect();
    for group in groups {
        let class = match group[0].to_ascii_lowercase().as_str() {
            "normal" => 0,
            "slave" | "replica" => 1,
            "pubsub" => 2,
            _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
        };
        let (Some(hard), Some(soft), Some(seconds @ 0..)) = (memory(group[1]), memory(group[2]), integer(group[3]))
        else {
            return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".into());
        };
        let name = ["normal", "slave", "pubsub"][class];
        let limit = [name.to_owned(), hard.to_string(), soft.to_string(), seconds.to_string()];
        match limits.get_mut(class) {
            Some(place) => *place = limit,
            None => limits.push(limit),
        }
    }
    Ok(limits.concat().join(" "))
}

fn save_points(words: &[&str], current: &str) -> Result<String, Refusal> {
    if words.is_empty() {
        return Ok(String::new());
    }
    let valid = words.len().is_multiple_of(2)
        && words.chunks_exact(2).all(|pair| matches!((integer(pair[0]), integer(pair[1])), (Some(1..), Some(0..))));
    if !valid {
        return Err("Invalid save parameters".into());
    }
    Ok([current, &words.join(" ")].iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>().join(" "))
}

fn percentiles(words: &[&str]) -> Result<String, Refusal> {
    let one = |word: &&str| -> Result<String, Refusal> {
        let number: f64 = word
            .parse()
            .ok()
            .filter(|number: &f64| !number.is_nan())
            .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        match (0.0..=100.0).contains(&number) {
            true => Ok(number.to_string()),
            false => Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into()),
        }
    };
    Ok(words.iter().map(one).collect::<Result<Vec<_>, _>>()?.join(" "))
}

/// The letters in the order CONFIG GET shows them; `A` stands for the ten classes that it abbreviates.
fn keyspace_events(word: &str) -> Result<String, Refusal> {
    const ALL: &str = "g$lshzxetd";
    if let Some(_wrong) = word.chars().find(|letter| !ALL.contains(*letter) && !"AKEmn".contains(*letter)) {
        return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into());
    }
    let has = |letter: char| word.contains(letter);
    let mut text = match has('A') || ALL.chars().all(has) {
        true => "A".to_owned(),
        false => ALL.chars().filter(|letter| has(*letter)).collect(),
    };
    text.extend("KEmn".chars().filter(|letter| has(*letter)));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Kind = Kind::Integer { min: 0, max: 65535 };
    const SIZE: Kind = Kind::Memory { min: 0, max: u64::MAX };
    const BULK: Kind = Kind::Memory { min: 1 << 20, max: i64::MAX as u64 };

    #[test]
    fn values_become_canonical_or_are_refused_in_redis_words() {
        let integer = "argument couldn't be parsed into an integer";
        let memory = "argument must be a memory value";
        let cases: &[(Kind, &str, Result<&str, &str>)] = &[
            (Kind::Flag, "YES", Ok("yes")),
            (Kind::Flag, "maybe", Err("argument must be 'yes' or 'no'")),
            (PORT, "6379", Ok("6379")),
            (PORT, "99999", Err("argument must be between 0 and 65535 inclusive")),
            (PORT, "-1", Err("argument must be between 0 and 65535 inclusive")),
            (PORT, "0x10", Err(integer)),
            (PORT, "+1", Err(integer)),
            (PORT, "01", Err(integer)),
            (PORT, "7.5", Err(integer)),
            (PORT, "5 ", Err(integer)),
            (PORT, "", Err(integer)),
            (PORT, "99999999999999999999", Err(integer)),
            (SIZE, "1k", Ok("1000")),
            (SIZE, "1Kb", Ok("1024")),
            (SIZE, "1m", Ok("1000000")),
            (SIZE, "100MB", Ok("104857600")),
            (SIZE, "1g", Ok("1000000000")),
            (SIZE, "2gb", Ok("2147483648")),
            (SIZE, "1B", Ok("1")),
            (SIZE, "", Ok("0")),
            (SIZE, "10%", Err(memory)),
            (SIZE, "1.5gb", Err(memory)),
            (SIZE, "-1", Err(memory)),
            (SIZE, "+1", Err(memory)),
            (SIZE, " 1", Err(memory)),
            (SIZE, "gb", Err(memory)),
            (SIZE, "9223372036854775807gb", Err(memory)),
            (BULK, "1", Err("argument must be between 1048576 and 9223372036854775807 inclusive")),
            (Kind::MemoryOrPercent, "5%", Ok("5%")),
            (Kind::MemoryOrPercent, "1mb", Ok("1048576")),
            (Kind::MemoryOrPercent, "101%", Err("percentage argument must be less or equal to 100")),
            (Kind::MemoryOrPercent, "x%", Err("argument must be a memory or percent value")),
            (Kind::Mode, "700", Ok("700")),
            (Kind::Mode, "999", Err("argument couldn't be parsed as an octal number")),
            (Kind::Mode, "7777", Err("argument must be between 0 and 777 inclusive")),
            (Kind::Choice(&["a", "b"]), "B", Ok("b")),
            (Kind::Choice(&["a", "b"]), "c", Err("argument(s) must be one of the following: a, b")),
            (Kind::KeyspaceEvents, "KEA", Ok("AKE")),
            (Kind::KeyspaceEvents, "xE$", Ok("$xE")),
            (Kind::KeyspaceEvents, "", Ok("")),
            (Kind::KeyspaceEvents, "Kq", Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")),
            (Kind::SavePoints, "900 1", Ok("900 1")),
            (Kind::SavePoints, "a", Err("Invalid save parameters")),
            (Kind::SavePoints, "0 1", Err("Invalid save parameters")),
            (Kind::Words, "a  b", Ok("a b")),
        ];
        for (kind, word, expected) in cases {
            let answer = kind.canonical(&[*word], "");
            assert_eq!(answer.as_deref().map_err(|e| e.as_ref()), *expected, "{kind:?} {word:?}");
        }
        assert_eq!(PORT.canonical(&["1", "2"], ""), Err(WRONG_COUNT.into()));
        assert_eq!(PORT.canonical(&[], ""), Err(WRONG_COUNT.into()));
    }

    #[test]
    fn lines_that_add_up() {
        let limits = |text, current| Kind::OutputLimits.canonical(&[text], current);
        let current = "normal 0 0 0 slave 1 1 1 pubsub 2 2 2";
        assert_eq!(limits("replica 1kb 5 6", current).unwrap(), "normal 0 0 0 slave 1024 5 6 pubsub 2 2 2");
        assert_eq!(limits("", current).unwrap(), current);
        assert_eq!(
            limits("normal 1", current).unwrap_err(),
            "Wrong number of arguments in buffer limit configuration."
        );
        assert!(limits("foo 1 1 1", current).unwrap_err().contains("client class"));
        assert!(limits("normal 1 x 1", current).unwrap_err().contains("hard, soft"));
        assert!(limits("normal 1 1 -1", current).unwrap_err().contains("hard, soft"));
        let save = |words: &[&str], current| Kind::SavePoints.canonical(words, current).unwrap();
        assert_eq!(save(&["300", "10"], "900 1"), "900 1 300 10");
        assert_eq!(save(&[""], "900 1"), "");
    }

    #[test]
    fn sizes_are_written_short_and_read_back() {
        for (bytes, text) in [(0, "0"), (1000, "1000"), (1 << 10, "1kb"), (100 << 20, "100mb"), (3 << 30, "3gb")] {
            assert_eq!(memory_text(bytes), text);
            assert_eq!(memory(text), Some(bytes));
        }
    }
}
