//! The deadlines beside a plain model: a list of items, sorted when it is looked at.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use proptest::prelude::*;

use super::*;

fn empty(name: NameBytes) -> Deadlines {
    Deadlines::new(name, Arc::default())
}

#[test]
fn what_is_due_is_told_within_the_limit_and_each_part_has_its_turn() {
    let deadlines = empty(NameBytes::Four);
    for (name, deadline) in [(1u64, 30u64), (65, 10), (2, 20), (3, 40)] {
        deadlines.change(name, None, Some(deadline));
    }
    let due = |now, limit| {
        let mut due = deadlines.due(now, limit);
        due.sort_unstable();
        due
    };
    assert_eq!((deadlines.earliest(), deadlines.mean()), (Some(10), Some(25)));
    assert_eq!((empty(NameBytes::Four).mean(), deadlines.due(9, 10), deadlines.due(30, 0)), (None, vec![], vec![]));
    assert_eq!(due(30, 10), [(10, 65), (20, 2), (30, 1)]);
    let one_by_one: std::collections::BTreeSet<Item> = (0..PARTS).flat_map(|_| deadlines.due(40, 1)).collect();
    assert_eq!(one_by_one.into_iter().collect::<Vec<_>>(), [(10, 65), (20, 2), (40, 3)], "the first of each part");
    assert_eq!([9, 10, 29, 30, 40].map(|now| deadlines.count_due(now)), [0, 1, 2, 3, 4]);
    deadlines.change(65, Some(10), Some(50));
    deadlines.change(2, Some(20), None);
    assert_eq!(due(30, 10), [(30, 1)]);
    assert_eq!((deadlines.earliest(), deadlines.mean()), (Some(30), Some(40)));
}

#[test]
fn what_was_gathered_is_due_like_the_others_once_it_is_settled() {
    for threads in [0, 1, 2, 3, 64, 100] {
        let (one_by_one, together) = (empty(NameBytes::Eight), empty(NameBytes::Eight));
        let items: Vec<Item> = (0..20_000).map(|number| (number * 7919 % 1000, number * 31)).collect();
        items.iter().for_each(|(deadline, name)| one_by_one.change(*name, None, Some(*deadline)));
        together.change(items[0].1, None, Some(items[0].0));
        items[1..].chunks(3000).for_each(|items| together.gather(items.to_vec()));
        assert_eq!(together.due(u64::MAX, usize::MAX).len(), 1);
        together.settle(threads);
        let [left, right] =
            [together.due(u64::MAX, usize::MAX), one_by_one.due(u64::MAX, usize::MAX)].map(|mut due| {
                due.sort_unstable();
                due
            });
        assert!(left == right);
        assert_eq!((together.earliest(), together.mean()), (Some(0), one_by_one.mean()));
    }
}

#[test]
fn an_earlier_deadline_rings_once_for_who_sleeps_longer() {
    let alarm = Arc::new(Alarm::default());
    let rung = Arc::new(AtomicUsize::new(0));
    let count = rung.clone();
    alarm.connect(Box::new(move || _ = count.fetch_add(1, SeqCst)));
    let deadlines = Deadlines::new(NameBytes::Eight, alarm.clone());
    let rings = |name: u64, old: Option<u64>, new: u64| {
        let before = rung.load(SeqCst);
        deadlines.change(name, old, Some(new));
        rung.load(SeqCst) - before
    };
    assert_eq!(rings(1, None, 500), 0, "nobody sleeps");
    alarm.set(500);
    assert_eq!([rings(2, None, 500), rings(3, None, 600), rings(1, Some(500), 501)], [0; 3]);
    assert_eq!([rings(2, Some(500), 499), rings(3, Some(600), 100)], [1, 0]);
    alarm.set(100);
    assert_eq!([rings(4, None, 100), rings(4, Some(100), 99)], [0, 1]);
    alarm.set(u64::MAX);
    assert_eq!(rings(5, None, 1_000_000), 1, "whoever waits for any");
}

/// What is asked of the deadlines.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u64, u64),
    /// Another deadline for some item; the number chooses which.
    Change(usize, u64),
    Remove(usize),
    /// One that is not there.
    Forget(u64, u64),
    /// The items that are due are removed.
    Expire(u64),
    Gather(usize, u64),
}

/// Deadlines near each other, far from each other, and the same over and over.
fn deadline() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1_000_000u64..1_000_400,
        2 => 1_000_000u64..2_000_000_000,
        1 => any::<u64>().prop_map(|deadline| deadline.min(u64::MAX - 1)),
        1 => Just(1_000_077u64),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Few names, so that equal items come up.
    let name = || prop_oneof![0u64..3, (0u64..1 << 20).prop_map(|name| name * 64)];
    prop_oneof![
        8 => (deadline(), name()).prop_map(|(deadline, name)| Step::Add(deadline, name)),
        3 => (any::<usize>(), deadline()).prop_map(|(which, deadline)| Step::Change(which, deadline)),
        3 => any::<usize>().prop_map(Step::Remove),
        1 => (deadline(), name()).prop_map(|(deadline, name)| Step::Forget(deadline, name)),
        1 => deadline().prop_map(Step::Expire),
        2 => (1usize..700, deadline()).prop_map(|(count, deadline)| Step::Gather(count, deadline)),
    ]
}

fn check(steps: &[Step], name: NameBytes) {
    let (deadlines, mut model) = (empty(name), Vec::<Item>::new());
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Add(deadline, name) => {
                deadlines.change(name, None, Some(deadline));
                model.push((deadline, name));
            }
            Step::Change(which, new) if !model.is_empty() => {
                let which = which % model.len();
                deadlines.change(model[which].1, Some(model[which].0), Some(new));
                model[which].0 = new;
            }
            Step::Remove(which) if !model.is_empty() => {
                let (deadline, name) = model.swap_remove(which % model.len());
                deadlines.change(name, Some(deadline), None);
            }
            Step::Change(..) | Step::Remove(_) => {}
            Step::Forget(deadline, name) if model.contains(&(deadline, name)) => {}
            Step::Forget(deadline, name) => deadlines.change(name, Some(deadline), None),
            Step::Expire(now) => {
                let due = deadlines.due(now, usize::MAX);
                due.iter().for_each(|(deadline, name)| deadlines.change(*name, Some(*deadline), None));
                model.retain(|item| item.0 > now);
            }
            Step::Gather(count, from) => {
                let items =
                    (0..count as u64).map(|step| (from.saturating_add(step * 37 % 500).min(u64::MAX - 1), step % 7));
                let items: Vec<Item> = items.collect();
                model.extend(&items);
                deadlines.gather(items);
                deadlines.settle(1);
            }
        }
        model.sort_unstable();
        let at = format!("after step {number}");
        assert_eq!(deadlines.earliest(), model.first().map(|item| item.0), "{at}");
        let sum: u128 = model.iter().map(|item| u128::from(item.0)).sum();
        assert_eq!(deadlines.mean(), sum.checked_div(model.len() as u128).map(|mean| mean as u64), "{at}");
        for now in [0, 1_000_077, 1_000_300, 1_000_000_000, u64::MAX] {
            assert_eq!(deadlines.count_due(now), model.partition_point(|item| item.0 <= now), "{at}");
        }
        let mut all = deadlines.due(u64::MAX, usize::MAX);
        all.sort_unstable();
        assert_eq!(all, model, "{at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_items_are_those_of_a_plain_list(steps in prop::collection::vec(step(), 1..400)) {
        check(&steps, NameBytes::Four);
        check(&steps, NameBytes::Eight);
    }
}

/// Keys of one name and deadline have an item each, also where that is more than a run has otherwise.
#[test]
fn equal_items_are_counted_however_many_they_are() {
    let (equal, others) = ((1_000, 7), [(999, 9), (1_000, 6), (1_000, 8), (1_001, 1)]);
    for before in 0..=others.len() {
        let mut items = Ordered::new(NameBytes::Four);
        others[..before].iter().for_each(|item| items.insert(*item));
        (0..1_000).for_each(|_| items.insert(equal));
        others[before..].iter().for_each(|item| items.insert(*item));
        assert_eq!((items.count(), items.count_due(1_000), items.iter().count()), (1_004, 1_003, 1_004));
        for left in (0..1_000).rev() {
            assert!(items.remove(equal), "{left} are left");
            assert_eq!(items.iter().filter(|item| *item == equal).count(), left);
        }
        assert!(!items.remove(equal));
        assert_eq!(items.iter().collect::<Vec<_>>(), others);
    }
}

/// The runs are as full as they are said to be, however the items came: what 100,000 take, by the capacity of all runs.
#[test]
fn an_item_takes_few_bytes_however_it_came_and_nothing_is_left_behind() {
    const COUNT: u64 = 100_000;
    let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    type Order = fn(u64) -> u64;
    let orders: [(&str, Order); 4] = [
        ("rising", |number| number * 30),
        ("falling", |number| (COUNT - number) * 30),
        ("mixed", |number| number * 7919 % COUNT * 30),
        ("the same", |_| 77),
    ];
    for (order, deadline) in orders {
        let mut items = Ordered::new(NameBytes::Four);
        let item = |number: u64| (1_700_000_000_000 + deadline(number), spread(number) & u64::from(u32::MAX));
        (0..COUNT).for_each(|number| items.insert(item(number)));
        let each = items.bytes() as f64 / COUNT as f64;
        assert!(each < 8.0, "{order}: {each}");
        // Deadlines that are put off over and over.
        for number in 0..COUNT {
            assert!(items.remove(item(number)));
            items.insert((item(number).0 + 3_000_000, item(number).1));
        }
        let each = items.bytes() as f64 / COUNT as f64;
        assert!(each < 8.0, "{order}, put off: {each}");
        let mut remove = |number: u64| {
            let item = item(number);
            assert!(items.remove((item.0 + 3_000_000, item.1)));
            items.bytes()
        };
        // Runs become smaller, but not so small that they are joined.
        (0..COUNT).filter(|number| number % 3 > 0).for_each(|number| _ = remove(number));
        let (first, each) = (remove(0), COUNT as f64 / 3.0);
        assert!((first as f64 / each) < 10.0, "{order}, thinned out: {}", first as f64 / each);
        (1..COUNT).filter(|number| number % 3 == 0).for_each(|number| _ = remove(number));
        assert_eq!((items.bytes(), items.count(), items.sum()), (0, 0, 0), "{order}");
    }
}
