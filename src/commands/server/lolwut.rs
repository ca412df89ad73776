//! LOLWUT: a picture, and the version.

use super::{Args, Context, Outcome};
use crate::commands::connection::REDIS_VERSION;
use crate::protocol::Reply;

/// Width and height of the picture in characters, where nothing else is asked for.
const SIZE: (i64, i64) = (66, 16);

pub(super) fn lolwut(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (mut columns, mut lines) = SIZE;
    if args.left() > 1 && args.keyword("VERSION") {
        args.integer()?;
        for size in [&mut columns, &mut lines] {
            if !args.is_empty() {
                *size = args.integer()?;
            }
        }
    }
    let picture = cascade(columns.clamp(1, 1000) as usize, lines.clamp(1, 1000) as usize, ctx.node.wall_microseconds());
    Ok(Reply::Verbatim("txt", format!("{picture}\nWater on stairs, different each time. Redis ver. {REDIS_VERSION}\n")))
}

/// Drops that fall from step to step: each looks for its own way, as `seed` has it.
fn cascade(columns: usize, lines: usize, mut seed: u64) -> String {
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut water: Vec<bool> = (0..columns).map(|_| random() % 3 == 0).collect();
    let mut picture = String::new();
    for line in 0..lines {
        let step = columns * line / lines;
        picture.extend(water.iter().enumerate().map(|(column, wet)| match (wet, column < step) {
            (true, _) => ['|', ':', '\'', '.'][(random() % 4) as usize],
            (false, true) => ' ',
            (false, false) => '#',
        }));
        picture = picture.trim_end().to_owned();
        picture.push('\n');
        let mut below = vec![false; columns];
        for column in (0..columns).filter(|column| water[*column]) {
            let aside = column.saturating_add_signed(random() as isize % 3 - 1);
            below[aside.min(columns - 1)] = true;
        }
        water = below;
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_the_size_that_was_asked_for() {
        for (columns, lines) in [(1, 1), (40, 5), (7, 30)] {
            let picture = cascade(columns, lines, 1);
            assert_eq!(picture.lines().count(), lines);
            assert!(picture.lines().all(|line| line.chars().count() <= columns));
        }
        assert_ne!(cascade(40, 10, 1), cascade(40, 10, 2));
    }
}
