//! Power cuts: images of a real file system, taken while the server writes to it, each of which is what a machine that
//! lost its power at that moment would find.
//!
//! Always true: what an image must hold follows from what clients were told before the image was begun; what it may
//! hold, from what they had asked for when it was complete.
//!
//! `tests/power.sh` makes the file systems and runs this; without it, there is nothing to cut the power of.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::images::{Image, Mounted};
use super::load::{Load, check, writers};
use super::writer::Writer;
use crate::server::{Server, flag, number, wait_until};

const CLIENTS: usize = 20;

/// Images of one run of the server. The last of them is what the next run begins on.
const IMAGES_PER_RUN: u64 = 8;

/// What `appendfsync everysec` may lose.
const EVERYSEC_LOSS_MAX: Duration = Duration::from_secs(2);

/// Small segments, and hardly anything that is left alone: much is compacted.
const SMALL: [&str; 8] = [
    "--segment-size",
    "128kb",
    "--compaction-garbage-min",
    "0",
    "--space-amplification",
    "1.2",
    "--compaction-interval",
    "1",
];

/// What is to be done, from the environment.
struct Plan {
    /// A file with a file system in it.
    image: PathBuf,
    images: u64,
    policy: String,
    /// By whose promise it is judged.
    judged: String,
    /// The server is known to break that promise; the checks are to notice.
    losing: bool,
}

/// An image, and the writers as of when it was taken.
struct Cut {
    image: Image,
    writers: Vec<Writer>,
}

#[derive(Default)]
struct Totals {
    images: u64,
    answers: u64,
    /// Steps of which an image may hold some and not others.
    under_way: u64,
    hints: u64,
    /// Images in which segments were removed already.
    compacted: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { images, answers, under_way, hints, compacted } = self;
        write!(
            f,
            "{images} images, {answers} acknowledged steps, {under_way} under way at a cut; {compacted} images after a \
             compaction, {hints} hints in all"
        )
    }
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    let Some(plan) = Plan::from_environment() else {
        println!("skipped: tests/power.sh runs this, on file systems that it makes");
        return;
    };
    let mut totals = Totals::default();
    let lost = plan.run(&mut totals);
    println!("appendfsync {}: {totals}", plan.policy);
    match (lost, plan.losing) {
        (Ok(()), false) => assert!(totals.compacted > 0, "nothing was compacted"),
        (Err(loss), true) => {
            let told = loss.lines().find(|line| !line.contains(" INFO ")).unwrap_or_default();
            println!("noticed, as it must be: {told}");
        }
        (Ok(()), true) => panic!("the server broke its promise, and nobody noticed"),
        (Err(loss), false) => panic!("{loss}"),
    }
}

impl Plan {
    fn from_environment() -> Option<Plan> {
        let text = |name: &str| std::env::var(name).ok();
        Some(Plan {
            image: PathBuf::from(text("CASKADE_POWER_IMAGE")?),
            images: number("CASKADE_POWER_IMAGES", 1),
            policy: text("CASKADE_POWER_POLICY")?,
            judged: text("CASKADE_POWER_JUDGED").or_else(|| text("CASKADE_POWER_POLICY"))?,
            losing: flag("CASKADE_POWER_LOSING"),
        })
    }

    /// Takes all images and checks them, up to the first that lacks something.
    fn run(&self, totals: &mut Totals) -> Result<(), String> {
        let mut random = fastrand::Rng::with_seed(self.images);
        let (mut image, mut known) = (Image::new(&self.image), writers(CLIENTS));
        while totals.images < self.images {
            let count = IMAGES_PER_RUN.min(self.images - totals.images);
            let cuts = self.cut(&image, known, count, &mut random, totals)?;
            image.remove();
            let mut last = None;
            for mut cut in cuts {
                self.check(&mut cut, totals)?;
                totals.images += 1;
                if let Some(Cut { image, .. }) = last.replace(cut) {
                    image.remove();
                }
            }
            Cut { image, writers: known } = last.expect("at least one image");
        }
        image.remove();
        Ok(())
    }

    fn arguments(&self) -> Vec<&str> {
        ["--appendfsync", &self.policy].into_iter().chain(SMALL).collect()
    }

    /// Lets the server run on an image, and takes so many images of that while it is under load.
    fn cut(
        &self,
        image: &Image,
        mut known: Vec<Writer>,
        count: u64,
        random: &mut fastrand::Rng,
        totals: &mut Totals,
    ) -> Result<Vec<Cut>, String> {
        let mounted = image.mount();
        let mut server = Server::start_on(&mounted.data(), &self.arguments())?;
        known.iter_mut().for_each(Writer::remember);
        let load = Load::start(&server, known, Vec::new());
        wait_until("a compaction", Duration::from_secs(60), || is_compacted(&mounted) || load.has_stopped());
        let mut cuts = Vec::new();
        for _ in 0..count {
            load.wait_for(load.answered() + self.answers_between(random));
            let told = Instant::now();
            load.settle(if self.judged == "always" { told } else { told - EVERYSEC_LOSS_MAX });
            let image = image.copy();
            cuts.push(Cut { image, writers: load.settled() });
        }
        totals.answers += load.answered();
        server.kill();
        load.finish();
        Ok(cuts)
    }

    /// Most images are taken soon after one another, some later: what a segment or a compaction begins with is not met
    /// at the same distance each time.
    fn answers_between(&self, random: &mut fastrand::Rng) -> u64 {
        let most = if self.judged == "always" { 3_000 } else { 30_000 };
        random.u64(1..most) / random.u64(1..5)
    }

    /// Opens an image as a machine does that has its power again, and checks it. The writers go on from what is there.
    fn check(&self, cut: &mut Cut, totals: &mut Totals) -> Result<(), String> {
        let mounted = cut.image.mount();
        totals.under_way += cut.writers.iter().map(|writer| writer.pending.len() as u64).sum::<u64>();
        totals.note(&mounted);
        let server = Server::start_on(&mounted.data(), &self.arguments())?;
        let checked = catch_unwind(AssertUnwindSafe(|| check(&server, &mut cut.writers, &mut [])));
        checked.map_err(|panic| match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Totals {
    fn note(&mut self, mounted: &Mounted) {
        self.hints += numbers(mounted, ".hint").len() as u64;
        self.compacted += u64::from(is_compacted(mounted));
    }
}

/// Whether segments were removed: numbers are given in order and never again.
fn is_compacted(mounted: &Mounted) -> bool {
    let segments = numbers(mounted, ".log");
    segments.iter().max().is_some_and(|last| *last > segments.len() as u64)
}

fn numbers(mounted: &Mounted, suffix: &str) -> Vec<u64> {
    mounted.names().iter().filter_map(|name| name.strip_suffix(suffix)?.parse().ok()).collect()
}
