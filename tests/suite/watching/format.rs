//! Prometheus's text format, read strictly: what is allowed there and useless here is refused, too.

use std::collections::{BTreeMap, BTreeSet};

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    /// In order of their names.
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    /// What its family is: `gauge`, `counter`, `histogram` or `summary`.
    pub kind: String,
}

impl Sample {
    /// The name with its labels.
    pub fn series(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

struct Family {
    name: String,
    kind: String,
    samples: Vec<Sample>,
}

/// All samples.
///
/// # Errors
/// The first line that is wrong, and why.
pub fn read(text: &str) -> Result<Vec<Sample>, String> {
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let (mut families, mut help): (Vec<Family>, Option<String>) = (Vec::new(), None);
    for line in text.lines() {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            let is_new = families.iter().all(|family| family.name != name);
            if help.is_some() || !is_name(name, true) || words.trim().is_empty() || !is_new {
                return Err(wrong("help in a wrong place, of a wrong name, or once more"));
            }
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            if help.take().as_deref() != Some(name) {
                return Err(wrong("a type without its help before it"));
            }
            if !["gauge", "counter", "histogram", "summary"].contains(&kind) {
                return Err(wrong("no such type"));
            }
            families.push(Family { name: name.to_owned(), kind: kind.to_owned(), samples: Vec::new() });
        } else {
            let family = families.last_mut().filter(|_| help.is_none()).ok_or_else(|| wrong("no family"))?;
            let sample = sample(line, &family.kind).ok_or_else(|| wrong("no sample"))?;
            let suffixes: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "summary" => &["", "_sum", "_count"],
                _ => &[""],
            };
            if !suffixes.iter().any(|suffix| sample.name == format!("{}{suffix}", family.name)) {
                return Err(wrong("a sample of another family"));
            }
            if family.kind == "counter" && (sample.value.is_nan() || sample.value < 0.0) {
                return Err(wrong("a counter that is no count"));
            }
            family.samples.push(sample);
        }
    }
    if help.is_some() {
        return Err("help at the end".to_owned());
    }
    let mut seen = BTreeSet::new();
    for family in &families {
        if let Some(twice) = family.samples.iter().find(|sample| !seen.insert(sample.series())) {
            return Err(format!("twice: {}", twice.series()));
        }
        if family.kind == "histogram" {
            histogram(family)?;
        }
    }
    Ok(families.into_iter().flat_map(|family| family.samples).collect())
}

fn is_name(text: &str, with_colon: bool) -> bool {
    let may_be = |c: char| c.is_ascii_alphanumeric() || c == '_' || with_colon && c == ':';
    text.chars().all(may_be) && text.chars().next().is_some_and(|first| !first.is_ascii_digit())
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => text.parse().ok(),
        _ => None,
    }
}

fn sample(line: &str, kind: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, behind) = rest.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            let is_new = labels.insert(label.to_owned(), value).is_none();
            if !is_name(label, false) || !is_new {
                return None;
            }
            rest = behind;
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = number(rest.strip_prefix(' ')?)?;
    is_name(name, true).then(|| Sample { name: name.to_owned(), labels, value, kind: kind.to_owned() })
}

/// What stands before the closing quote, and what behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    loop {
        match letters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match letters.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            (_, letter) => value.push(letter),
        }
    }
}

/// Bounds rise, counts do not fall, and the last bucket is everything.
fn histogram(family: &Family) -> Result<(), String> {
    let mut by_labels: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let labels = sample.labels.iter().filter(|(name, _)| *name != "le");
        by_labels.entry(format!("{:?}", labels.collect::<Vec<_>>())).or_default().push(sample);
    }
    for (labels, samples) in by_labels {
        let wrong = |why: &str| Err(format!("{}{labels}: {why}", family.name));
        let of = |suffix: &'static str| samples.iter().filter(move |sample| sample.name.ends_with(suffix));
        let buckets: Option<Vec<(f64, f64)>> =
            of("_bucket").map(|sample| Some((number(sample.labels.get("le")?)?, sample.value))).collect();
        let Some(buckets) = buckets else { return wrong("a bucket without a bound") };
        if !buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1) {
            return wrong("buckets that are not in order");
        }
        let total: Vec<f64> = of("_count").map(|sample| sample.value).collect();
        if buckets.last() != total.first().map(|total| (f64::INFINITY, *total)).as_ref() || total.len() != 1 {
            return wrong("a last bucket that is not everything");
        }
        if of("_sum").count() != 1 {
            return wrong("no sum");
        }
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_refused() {
    let right = "# HELP a One.\n# TYPE a gauge\na{x=\"1\\\"\\\\\\n\"} 1\na -1.5e3\n\
                 # HELP h Two.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
                 # HELP s Three.\n# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\ns_count 1\n";
    let samples = read(right).expect("what is right");
    assert_eq!((samples.len(), samples[0].labels["x"].as_str(), samples[1].value), (9, "1\"\\\n", -1500.0));
    let faults = [
        ("a -1.5e3\n", "a -1.5e3"),
        ("# HELP a One.\n", ""),
        ("# TYPE a gauge\n", ""),
        ("gauge", "number"),
        ("a -1.5e3\n", "b 1\n"),
        ("a -1.5e3\n", "a{x=\"1\\\"\\\\\\n\"} 2\n"),
        ("a -1.5e3\n", "a  1\n"),
        ("a -1.5e3\n", "a one\n"),
        ("a -1.5e3\n", "a 1 \n"),
        ("a -1.5e3\n", "\n"),
        ("a -1.5e3\n", "a{x=1} 1\n"),
        ("a -1.5e3\n", "a{1x=\"1\"} 1\n"),
        ("a -1.5e3\n", "a{x=\"1\",x=\"2\"} 1\n"),
        ("a -1.5e3\n", "a{x=\"\\t\"} 1\n"),
        ("gauge", "counter"),
        ("h_bucket{le=\"1\"} 1\n", "h_bucket{le=\"1\"} 3\n"),
        ("h_bucket{le=\"+Inf\"} 2\n", ""),
        ("h_bucket{le=\"1\"}", "h_bucket"),
        ("h_sum 3\n", ""),
        ("h_count 2", "h_count 3"),
        ("# HELP s", "# HELP a"),
    ];
    for (from, to) in faults {
        let text = if from == "a -1.5e3\n" && to == "a -1.5e3" {
            right.trim_end().to_owned()
        } else {
            right.replacen(from, to, 1)
        };
        assert_ne!(text, right);
        assert!(read(&text).is_err(), "{from:?} as {to:?} is taken");
    }
}
