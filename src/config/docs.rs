//! The commented example file and the reference page, written from the table.
//!
//! `config/caskade.conf` and `docs/configuration.md` are what these functions return; a test rewrites them and then fails if they
//! were not.

use std::collections::BTreeMap;

use super::environment::variable;
use super::kind::{Kind, memory, memory_text};
use super::table::{Change, Parameter, Section, Standing, all};

const WIDTH: usize = 100;

/// `config/caskade.conf`: every parameter that does something, with its default as a commented line.
pub fn example_file() -> String {
    let mut text = comment(
        "Configuration of Caskade, in the syntax of redis.conf: one directive on a line, its name first and then its value, \
         in quotes if it holds blanks. A line that begins with # is a comment.",
    );
    text.push_str("#\n");
    text.push_str(&comment(
        "Every directive is shown with its default. To change one, remove the # before its name. Sizes may be written as \
         1kb (1024 bytes), 1k (1000 bytes), and so with mb, m, gb and g. `include path` reads another file at this place. \
         Of two lines for one directive the later wins; environment variables and the command line win over this file.",
    ));
    text.push_str("#\n");
    text.push_str(&comment(
        "Start with this file:  caskade /path/to/caskade.conf\nAn existing redis.conf is understood as well.",
    ));
    for section in Section::ALL {
        let is_shown = |row: &&Parameter| matches!(row.standing, Standing::Used | Standing::Line);
        let mut rows = rows_of(section).filter(is_shown).peekable();
        if rows.peek().is_some() {
            text.push_str(&format!("\n\n# {0}\n# {1}\n", section.title(), "-".repeat(section.title().len())));
        }
        for row in rows {
            text.push('\n');
            text.push_str(&comment(row.summary));
            if row.standing == Standing::Line {
                continue;
            }
            text.push_str(&comment(&format!("Wanted: {}. {}", row.kind.wanted(), change(row))));
            text.extend(example_lines(row).iter().map(|line| format!("#{line}\n")));
        }
    }
    text
}

/// `docs/configuration.md`: how parameters are given, each of them, and what is accepted from Redis.
pub fn reference_page() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in Section::ALL.into_iter().filter(|section| *section != Section::Accepted) {
        page.push_str(&format!("\n## {}\n", section.title()));
        for row in rows_of(section) {
            page.push_str(&entry(row));
        }
    }
    page.push_str(REDIS);
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in all() {
        if let Standing::Accepted(why) = row.standing {
            reasons.entry(why).or_default().extend(names(row));
        }
    }
    page.push_str("| Directives | Why they have no effect |\n| --- | --- |\n");
    for (why, names) in reasons {
        page.push_str(&format!("| {} | {why} |\n", names.join(", ")));
    }
    page.push_str(REFUSED);
    page.push_str("| Directive | Accepted as | Otherwise |\n| --- | --- | --- |\n");
    for row in all() {
        match row.standing {
            Standing::OffOnly { instead, .. } => {
                let off = if row.default.is_empty() { "\"\"" } else { row.default };
                page.push_str(&format!("| {} | `{off}` | {instead} |\n", names(row).join(", ")));
            }
            Standing::Refused(instead) => {
                page.push_str(&format!("| {} | never | {instead} |\n", names(row).join(", ")))
            }
            Standing::Used | Standing::Line | Standing::Accepted(_) => {}
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Written from the parameter table in src/config by a test. Change the table, not this page. -->

Caskade runs without any configuration. Everything below can be given in three ways, of which the later wins:

1. **A file** in the syntax of redis.conf: `caskade /etc/caskade.conf`, or `caskade -` to read it from standard input. One
   directive stands on a line, its name first: `maxmemory 100mb`. A value with blanks stands in quotes, where double quotes know
   `\\n`, `\\t`, `\\\"` and `\\x41`. A line that begins with `#` is a comment. `include path` reads another file at this place; the
   path is relative to the directory the server was started in, and may be a pattern (`conf.d/*.conf`).
   [config/caskade.conf](../config/caskade.conf) shows every directive with its default.
2. **The environment**: `CASKADE_MAXMEMORY=100mb`, the name in capitals with `_` for `-`. A secret may come from a file:
   `CASKADE_REQUIREPASS_FILE=/run/secrets/password`; where nothing else gives a password, `REDIS_PASSWORD` and
   `REDIS_PASSWORD_FILE` do. A secret's file that cannot be read or is empty stops the start, and so do both forms at once, and a
   name like `CASKADE_PASSWORD` that is none; an empty variable is as if it were not there. Secrets of the environment are
   not written by CONFIG REWRITE. Another variable whose name is not known is a warning in the log. The variables that
   Kubernetes sets for a service called `caskade` are ignored. `CASKADE_DEFAULTS` names a file in the syntax above that is read
   before everything else: a package or a container image changes defaults with it.
3. **The command line**: `caskade --maxmemory 100mb --save \"\"`. `CASKADE_EXTRA_FLAGS` adds more of it where only the
   environment can be changed: `--maxmemory 100mb --include /etc/more.conf`, with quotes as in a file.

A running server tells a value by `CONFIG GET name` (patterns such as `CONFIG GET 'max*'` too), changes those marked *at run time*
by `CONFIG SET name value`, several at once or none, and writes them into its file by `CONFIG REWRITE`, which leaves comments and
order as they are.

Sizes are bytes, or have a unit: `1kb` is 1024 bytes, `1k` is 1000, and so with `mb`, `m`, `gb` and `g`.
";

const REDIS: &str = "
## Coming from Redis

An existing redis.conf works: every directive of Redis 7.2 is known. `save` and `appendonly` switch nothing: every write goes to
the log, always, so that `save \"\"` and `appendonly no`, the usual lines of a cache, do not make the data volatile. A name that
nobody knows stops the server and names its nearest neighbour; `ignore-unknown-config yes` starts without it.

These are accepted, answered by CONFIG GET, named in one line of the log, and have no effect:

";

const REFUSED: &str = "
These ask for something whose absence would hurt, such as encryption. They are accepted only with the value that switches them off:

";

fn entry(row: &Parameter) -> String {
    if row.standing == Standing::Line {
        return format!("\n### {}\n\n{} Never written to the log.\n", row.name, row.summary);
    }
    let default = if row.default.is_empty() { "none".to_owned() } else { format!("`{}`", shown_default(row)) };
    let secret = if row.secret { " Never written to the log." } else { "" };
    format!(
        "\n### {}\n\n{}\n\nDefault: {default}. Wanted: {}. {}{secret} Environment: `{}`.\n",
        row.name,
        row.summary,
        row.kind.wanted(),
        change(row),
        variable(row.name)
    )
}

fn change(row: &Parameter) -> &'static str {
    match row.change {
        Change::Live => "Can be changed at run time.",
        Change::Start => "Changed by a restart only.",
        Change::Guarded => "Changed by a restart only, never through a client.",
    }
}

fn names(row: &Parameter) -> Vec<String> {
    [row.name, row.alias].iter().filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect()
}

fn rows_of(section: Section) -> impl Iterator<Item = &'static Parameter> {
    all().filter(move |row| row.section == section)
}

fn example_lines(row: &Parameter) -> Vec<String> {
    let default = shown_default(row);
    match row.kind {
        Kind::OutputLimits => default.split(", ").map(|group| format!("{} {group}", row.name)).collect(),
        _ if default.is_empty() => vec![format!("{} \"\"", row.name)],
        _ => vec![format!("{} {default}", row.name)],
    }
}

/// The default with short sizes, and `replica` for the class that CONFIG GET must call `slave`.
fn shown_default(row: &Parameter) -> String {
    let Kind::OutputLimits = row.kind else { return row.default.to_owned() };
    let words: Vec<&str> = row.default.split(' ').collect();
    let short = |bytes: &str| memory(bytes).map_or_else(|| bytes.to_owned(), memory_text);
    let group = |group: &[&str]| {
        format!("{} {} {} {}", group[0].replace("slave", "replica"), short(group[1]), short(group[2]), group[3])
    };
    words.chunks_exact(4).map(group).collect::<Vec<_>>().join(", ")
}

/// Comment lines of at most [`WIDTH`] columns.
fn comment(text: &str) -> String {
    let mut lines = vec![];
    for paragraph in text.split('\n') {
        let mut line = String::from("#");
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if line.len() + 1 + word.len() > WIDTH {
                lines.push(std::mem::replace(&mut line, String::from("#")));
            }
            line.push(' ');
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Loader, Place};
    use crate::config::{Settings, find};
    use std::path::Path;

    #[test]
    fn written_texts_are_fresh() {
        let mut stale = Vec::new();
        for (name, text) in [("config/caskade.conf", example_file()), ("docs/configuration.md", reference_page())] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, text).unwrap();
                stale.push(name);
            }
        }
        assert!(stale.is_empty(), "{stale:?} did not agree with the parameter table and were rewritten; commit them");
    }

    #[test]
    fn the_example_says_the_defaults() {
        let mut loader = Loader::new(|_, _, _| false);
        let text = example_file();
        let directive =
            |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        let path = std::env::temp_dir().join(format!("caskade-config-example-{}.conf", std::process::id()));
        let active: String =
            text.lines().filter(|line| directive(line)).map(|line| format!("{}\n", &line[1..])).collect();
        std::fs::write(&path, active).unwrap();
        loader.file(&path, Place::CommandLine).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (settings, notes) = loader.finish().unwrap();
        assert_eq!(notes, []);
        for row in all().filter(|row| row.standing == Standing::Used) {
            assert!(settings.was_given(row), "{}", row.name);
            assert_eq!(settings.text(row.name), Settings::default().text(row.name), "{}", row.name);
        }
        assert!(find("port").is_some() && text.lines().all(|line| line.len() <= WIDTH));
    }
}
