//! A tree that counts is what a vector with the same changes is.

use std::cmp::Ordering::{Greater, Less};
use std::collections::VecDeque;

use proptest::prelude::*;

use crate::keyspace::shapes::ranked::node::{Census, Node, leaf_max};
use crate::keyspace::shapes::{Item, Ranked};

/// An item of 128 bytes, so that a leaf has eight: many levels with few items.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wide {
    key: u32,
    number: u32,
    _room: [u64; 15],
}

fn wide(key: u32, number: u32) -> Wide {
    Wide { key, number, _room: [0; 15] }
}

impl Item for Wide {
    type Key = u32;

    fn key(&self) -> u32 {
        self.key
    }
}

/// A small item that is searched by rank only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plain(u64);

impl Item for Plain {
    type Key = ();

    fn key(&self) {}
}

#[derive(Clone, Debug)]
enum Step {
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    PushFront(u8),
    PushBack(u8),
    PopFront(u8),
    PopBack(u8),
    RemoveRange(prop::sample::Index, prop::sample::Index),
    Change(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<prop::sample::Index>(), 1u8..60).prop_map(|(at, count)| Step::Insert(at, count)),
        4 => any::<prop::sample::Index>().prop_map(Step::Remove),
        2 => (1u8..100).prop_map(Step::PushFront),
        2 => (1u8..100).prop_map(Step::PushBack),
        1 => (1u8..60).prop_map(Step::PopFront),
        1 => (1u8..60).prop_map(Step::PopBack),
        1 => any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(one, other)| Step::RemoveRange(one, other)),
        1 => any::<prop::sample::Index>().prop_map(Step::Change),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is done by rank, the items are those of a vector, and the tree is sound after each step.
    #[test]
    fn items_are_those_of_a_vector(steps in steps()) {
        let (mut ranked, mut model) = (Ranked::new(), Vec::<Wide>::new());
        let mut number = 0;
        // Every item has a key of its own, in no order: what inner nodes know of their children is exact all the same.
        // Every item has a key of its own, in no order: what inner nodes know of their children is exact all the same.
        let mut fresh = || { number += 1; wide(number, number) };
        for step in steps {
            match step {
                Step::Insert(at, count) => for _ in 0..count {
                    let (at, item) = (at.index(model.len() + 1), fresh());
                    ranked.insert(at, item.clone());
                    model.insert(at, item);
                },
                Step::Remove(at) => if !model.is_empty() {
                    let at = at.index(model.len());
                    prop_assert_eq!(ranked.remove(at), model.remove(at));
                },
                Step::PushFront(count) => for _ in 0..count {
                    let item = fresh();
                    ranked.push_front(item.clone());
                    model.insert(0, item);
                },
                Step::PushBack(count) => for _ in 0..count {
                    let item = fresh();
                    ranked.push_back(item.clone());
                    model.push(item);
                },
                Step::PopFront(count) => for _ in 0..count {
                    let expected = if model.is_empty() { None } else { Some(model.remove(0)) };
                    prop_assert_eq!(ranked.pop_front(), expected);
                },
                Step::PopBack(count) => for _ in 0..count {
                    prop_assert_eq!(ranked.pop_back(), model.pop());
                },
                Step::RemoveRange(one, other) => {
                    let [one, other] = [one, other].map(|at| at.index(model.len() + 1));
                    let range = one.min(other)..one.max(other);
                    let mut removed = Vec::new();
                    ranked.remove_range(range.clone(), |item| removed.push(item));
                    prop_assert_eq!(removed, model.drain(range).collect::<Vec<_>>());
                }
                Step::Change(at) => if !model.is_empty() {
                    let at = at.index(model.len());
                    ranked.get_mut(at).expect("an item").number += 1_000_000;
                    model[at].number += 1_000_000;
                },
            }
            check(&ranked);
            prop_assert!(ranked.iter().eq(&model));
            prop_assert_eq!((ranked.len(), ranked.is_empty()), (model.len(), model.is_empty()));
            prop_assert_eq!((ranked.first(), ranked.last()), (model.first(), model.last()));
        }
        for at in 0..=model.len() {
            prop_assert_eq!(ranked.get(at), model.get(at));
        }
        for from in [0, model.len() / 3, model.len()] {
            prop_assert!(ranked.iter_mut_from(from).map(|item| &*item).eq(model.iter().skip(from)));
        }
    }

    /// Items put where a search says are sorted, and are found again by key, by item and by bounds.
    #[test]
    fn searches_agree_with_those_of_a_slice(
        keys in prop::collection::vec((0u32..60, any::<bool>()), 0..1500),
    ) {
        let (mut ranked, mut model) = (Ranked::new(), Vec::<Wide>::new());
        for (number, (key, removes)) in keys.into_iter().enumerate() {
            // The same key many times, so that inner nodes know several children by it.
            let item = wide(key, (number as u32).wrapping_mul(7919) % 64);
            let by_item = |there: &Wide| there.number.cmp(&item.number);
            let found = ranked.find_item(|there| there.cmp(&item.key), by_item);
            let expected = model.binary_search_by(|there| (there.key, there.number).cmp(&(item.key, item.number)));
            prop_assert_eq!(found, expected);
            match found {
                Err(at) => {
                    ranked.insert(at, item.clone());
                    model.insert(at, item);
                }
                Ok(at) if removes => {
                    ranked.remove(at);
                    model.remove(at);
                }
                Ok(_) => {}
            }
        }
        check(&ranked);
        for key in 0..61 {
            let below = ranked.find(|there| if *there < key { Less } else { Greater });
            let through = ranked.find(|there| if *there <= key { Less } else { Greater });
            let (from, to) = (model.partition_point(|there| there.key < key), model.partition_point(|there| there.key <= key));
            prop_assert_eq!((below, through), (Err(from), Err(to)));
            match ranked.find(|there| there.cmp(&key)) {
                Ok(at) => prop_assert!((from..to).contains(&at)),
                Err(at) => prop_assert!(from == to && at == from),
            }
        }
    }

    /// A range gives what a slice gives, however it is walked from both ends.
    #[test]
    fn ranges_are_those_of_a_slice(
        len in 0usize..700,
        ends in any::<(prop::sample::Index, prop::sample::Index)>(),
        turns in prop::collection::vec(any::<bool>(), 0..800),
    ) {
        let model: Vec<Wide> = (0..len as u32).map(|number| wide(number, number)).collect();
        let ranked = Ranked::from_ordered(model.iter().cloned());
        let [one, other] = [ends.0, ends.1].map(|at| at.index(len + 1));
        let range = one.min(other)..one.max(other);
        let (mut items, mut expected) = (ranked.range(range.clone()), model[range].iter());
        for from_back in turns {
            prop_assert_eq!(items.len(), expected.len());
            if from_back {
                prop_assert_eq!(items.next_back(), expected.next_back());
            } else {
                prop_assert_eq!(items.next(), expected.next());
            }
        }
        prop_assert!(items.eq(expected));
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let mut ranked = Ranked::<Wide>::default();
    assert_eq!((ranked.len(), ranked.bytes(), ranked.first(), ranked.last()), (0, 0, None, None));
    assert_eq!((ranked.pop_front(), ranked.pop_back()), (None, None));
    assert_eq!(ranked.get_mut(0), None);
    assert_eq!(ranked.find(|_| Greater), Err(0));
    assert_eq!(ranked.find_item(|_| Greater, |_| Greater), Err(0));
    assert_eq!((ranked.iter().next(), ranked.iter().next_back()), (None, None));
    assert!(ranked.iter_mut_from(0).next().is_none());
    ranked.remove_range(0..0, |_| panic!("an item"));
    check(&ranked);
}

#[test]
fn one_item_comes_and_goes() {
    let mut ranked = Ranked::new();
    for turn in 0..4 {
        ranked.insert(0, Plain(turn));
        check(&ranked);
        assert_eq!((ranked.get(0), ranked.get(1), ranked.len()), (Some(&Plain(turn)), None, 1));
        let gone = match turn {
            0 => ranked.pop_front(),
            1 => ranked.pop_back(),
            2 => Some(ranked.remove(0)),
            _ => {
                let mut gone = None;
                ranked.remove_range(0..1, |item| gone = Some(item));
                gone
            }
        };
        assert_eq!((gone, ranked.len()), (Some(Plain(turn)), 0));
        check(&ranked);
    }
}

#[test]
fn a_full_leaf_is_one_node_and_one_more_item_makes_it_two() {
    let full = leaf_max::<Plain>();
    for spot in [0, 1, full / 2, full - 1, full] {
        let mut ranked = Ranked::from_ordered((0..full as u64).map(Plain));
        assert_eq!((ranked.census, ranked.bytes()), (Census { leaves: 1, inners: 0 }, full * size_of::<Plain>()));
        ranked.insert(spot, Plain(0));
        assert_eq!(ranked.census, Census { leaves: 2, inners: 1 });
        check(&ranked);
        ranked.remove_range(full / 2..full + 1, drop);
        assert_eq!(ranked.census, Census { leaves: 1, inners: 0 });
        check(&ranked);
        (10..full / 2).for_each(|_| assert!(ranked.pop_back().is_some()));
        assert!(ranked.bytes() <= 64 * size_of::<Plain>(), "{} bytes for 10 items", ranked.bytes());
    }
}

#[test]
fn whoever_appends_or_prepends_leaves_full_leaves() {
    let count = 100 * leaf_max::<Plain>();
    let (mut appended, mut prepended) = (Ranked::new(), Ranked::new());
    for number in 0..count as u64 {
        appended.insert(appended.len(), Plain(number));
        prepended.insert(0, Plain(number));
    }
    for ranked in [&appended, &prepended] {
        check(ranked);
        assert_eq!(ranked.census.leaves, 100);
    }
    assert!(appended.iter().map(|item| item.0).eq(0..count as u64));
    assert!(prepended.iter().rev().map(|item| item.0).eq(0..count as u64));
}

/// A queue is what lists mostly are: it must not keep what has passed through it.
#[test]
fn a_queue_stays_as_small_as_what_is_in_it() {
    for backwards in [false, true] {
        let (mut ranked, mut model) = (Ranked::new(), VecDeque::new());
        for number in 0..20_000u32 {
            let length = if number % 5000 < 2500 { 400 } else { 30 };
            if backwards {
                ranked.push_front(wide(number, number))
            } else {
                ranked.push_back(wide(number, number))
            }
            model.push_back(number);
            while ranked.len() > length {
                let gone = if backwards { ranked.pop_back() } else { ranked.pop_front() };
                assert_eq!(gone.map(|item| item.number), model.pop_front());
            }
            if number % 97 == 0 {
                check(&ranked);
                assert!(ranked.census.leaves <= ranked.len() / 8 + 3, "{:?} for {}", ranked.census, ranked.len());
            }
        }
        ranked.remove_range(0..ranked.len(), drop);
        assert_eq!((ranked.bytes(), ranked.census), (0, Census { leaves: 1, inners: 0 }));
    }
}

#[test]
fn a_stack_at_either_end_ends_where_it_began() {
    let mut ranked = Ranked::from_ordered((0..1000).map(|number| wide(number, number)));
    for _ in 0..3 {
        (0..500).for_each(|number| ranked.push_front(wide(number, number)));
        (0..500).for_each(|number| ranked.push_back(wide(number, number)));
        (0..500).for_each(|_| assert!(ranked.pop_front().is_some() && ranked.pop_back().is_some()));
        check(&ranked);
    }
    assert!(ranked.iter().map(|item| item.number).eq(0..1000));
    assert!(ranked.census.leaves <= 127);
}

#[test]
fn random_inserts_and_removals_keep_leaves_filled() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut ranked = Ranked::new();
    (0..40_000).for_each(|number| ranked.insert(rng.usize(0..=ranked.len()), Plain(number)));
    check(&ranked);
    let fill = |ranked: &Ranked<Plain>| ranked.len() as f64 / (ranked.census.leaves * leaf_max::<Plain>()) as f64;
    assert!(fill(&ranked) > 0.6, "{}", fill(&ranked));
    while ranked.len() > 1000 {
        ranked.remove(rng.usize(0..ranked.len()));
    }
    check(&ranked);
    assert!(fill(&ranked) > 0.3, "{}", fill(&ranked));
}

#[test]
#[should_panic(expected = "rank 3 of 2 items")]
fn a_rank_beyond_the_end_is_refused() {
    Ranked::from_ordered((0..2).map(Plain)).insert(3, Plain(0));
}

/// What the module says is always true.
fn check<T: Item<Key: PartialEq + std::fmt::Debug>>(ranked: &Ranked<T>) {
    let mut census = Census::default();
    let (len, _) = check_node(&ranked.root, true, &mut census);
    assert_eq!((len, census), (ranked.len(), ranked.census));
    if let Node::Inner(inner) = &ranked.root {
        assert!(inner.nodes.len() > 1, "a root with one child");
    }
}

/// Returns the items of a node, and how deep its leaves are.
fn check_node<T: Item<Key: PartialEq + std::fmt::Debug>>(
    node: &Node<T>,
    is_root: bool,
    census: &mut Census,
) -> (usize, usize) {
    assert!(is_root || node.size() > 0, "an empty node");
    assert!(node.size() <= node.size_max());
    let inner = match node {
        Node::Leaf(items) => {
            census.leaves += 1;
            let room = items.capacity();
            assert!(if is_root { room <= leaf_max::<T>() } else { room == leaf_max::<T>() }, "room for {room}");
            return (items.len(), 0);
        }
        Node::Inner(inner) => inner,
    };
    census.inners += 1;
    assert_eq!((inner.counts.len(), inner.firsts.len() + 1), (inner.nodes.len(), inner.nodes.len()));
    let (mut len, mut depths) = (0, Vec::new());
    for (child, node) in inner.nodes.iter().enumerate() {
        let (items, depth) = check_node(node, false, census);
        assert_eq!(items, inner.counts[child]);
        if child > 0 {
            assert_eq!(node.first().map(Item::key).as_ref(), inner.firsts.get(child - 1));
        }
        len += items;
        depths.push(depth);
    }
    assert!(depths.iter().all(|depth| *depth == depths[0]), "leaves of several depths");
    for pair in inner.nodes.windows(2) {
        assert!(pair[0].size() + pair[1].size() > pair[0].size_max() / 2, "small neighbours");
    }
    (len, depths[0] + 1)
}
