//! A table is what a map with the same changes is, and walks over it miss nothing.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};

use crate::keyspace::shapes::table::{MERGED_MAX, NameHash, PAGE_MAX, bucket_bytes, buckets_for, capacity_of, order};
use crate::keyspace::shapes::{Cursor, Named, Table};
use crate::store::KeyHasher;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Element {
    name: [u8; 4],
    value: u32,
}

impl Named for Element {
    fn name(&self) -> &[u8] {
        &self.name
    }
}

fn element(number: u32, value: u32) -> Element {
    Element { name: number.to_be_bytes(), value }
}

/// Hashes of which only some bits are random, and how often one was asked for.
struct Weak {
    hasher: KeyHasher,
    kept: u64,
    asked: Cell<usize>,
}

impl NameHash for Weak {
    fn hash(&self, name: &[u8]) -> u64 {
        self.asked.set(self.asked.get() + 1);
        self.hasher.hash(name) & self.kept
    }
}

fn weak(kept: u64) -> Weak {
    Weak { hasher: KeyHasher::new([5; 16]), kept, asked: Cell::new(0) }
}

const ALL_BITS: u64 = u64::MAX;

/// All bits, the tags only, few upper or lower bits of the order, a mixture, none.
const KEPT: [u64; 6] = [ALL_BITS, 0x7f << 57, 0x1ff << 48, 0xff, 0x000f_0000_0000_0fff, 0];

/// Puts elements in and takes them out at random, more of the one and then more of the other.
#[test]
fn elements_are_those_of_a_map() {
    for (seed, kept) in KEPT.into_iter().enumerate() {
        let mut rng = fastrand::Rng::with_seed(seed as u64);
        let (mut table, mut model) = (Table::new(weak(kept)), HashMap::new());
        let most = if kept.count_ones() < 9 { 700 } else { 2500 };
        for turn in 0..4 * most {
            let number = rng.u32(0..most);
            let grows = (turn / most) % 2 == 0;
            if rng.u32(0..10) < if grows { 8 } else { 1 } {
                let before = table.put(element(number, turn));
                assert_eq!(before.map(|element| element.value), model.insert(number, turn));
            } else {
                let gone = table.take(&number.to_be_bytes());
                assert_eq!(gone.map(|element| element.value), model.remove(&number));
            }
            if let Some(there) = table.get_mut(&(number / 2).to_be_bytes()) {
                there.value += 1;
                *model.get_mut(&(number / 2)).expect("what the table has") += 1;
            }
            assert_eq!(table.get(&number.to_be_bytes()).map(|element| element.value), model.get(&number).copied());
            check(&table);
        }
        same(&mut table, &model);
        let names: Vec<u32> = model.keys().copied().collect();
        for number in names {
            assert_eq!(table.take(&number.to_be_bytes()).map(|element| element.value), model.remove(&number));
            check(&table);
        }
        assert!(table.is_empty() && table.get(&[0; 4]).is_none() && table.bytes() < 300, "{}", table.bytes());
    }
}

#[test]
fn many_elements_come_and_go() {
    let mut table = Table::new(KeyHasher::new([1; 16]));
    let mut model = HashMap::new();
    for number in 0..200_000 {
        assert_eq!(table.put(element(number, number)), None);
        model.insert(number, number);
    }
    check(&table);
    same(&mut table, &model);
    let each = table.bytes() as f64 / table.len() as f64;
    assert!(each < 9.0 / 0.4, "{each} bytes for one element of 8");
    for number in 0..199_000u32 {
        assert_eq!(table.take(&number.to_be_bytes()), Some(element(number, number)));
        model.remove(&number);
    }
    check(&table);
    same(&mut table, &model);
    assert!(table.pages.len() <= 16, "{} pages for 1000 elements", table.pages.len());
}

#[test]
fn a_small_table_is_one_page_without_a_directory() {
    let mut table = Table::new(KeyHasher::new([2; 16]));
    assert!(table.bytes() <= 64 && table.get(b"none").is_none() && table.take(b"none").is_none());
    for number in 0..PAGE_MAX as u32 {
        table.put(element(number, 0));
        check(&table);
        assert_eq!((table.pages.len(), table.directory.len()), (1, 0));
    }
    table.put(element(PAGE_MAX as u32, 0));
    check(&table);
    assert_eq!((table.pages.len(), table.directory.len()), (2, 2));
    for number in (MERGED_MAX as u32..=PAGE_MAX as u32).rev() {
        assert_eq!(table.pages.len(), 2);
        table.take(&number.to_be_bytes());
        check(&table);
    }
    assert_eq!((table.pages.len(), table.directory.len()), (1, 0));
}

/// What a client waits for is one page at most, whatever the table's size.
#[test]
fn no_change_moves_more_than_a_page() {
    let mut table = Table::new(weak(ALL_BITS));
    let mut most = 0;
    let mut asked = |table: &Table<Element, Weak>| most = most.max(table.hasher.asked.replace(0));
    for number in 0..50_000 {
        table.put(element(number, 0));
        asked(&table);
    }
    let mut rng = fastrand::Rng::with_seed(3);
    for number in 0..100_000 {
        table.take(&rng.u32(0..50_000).to_be_bytes());
        asked(&table);
        table.put(element(rng.u32(0..50_000), number));
        asked(&table);
    }
    for number in 0..50_000u32 {
        table.take(&number.to_be_bytes());
        asked(&table);
    }
    assert!(most <= PAGE_MAX + 1, "{most} hashes for one change");
}

/// A page that is nearly full, and stays so, is not cleared of marks time and again.
#[test]
fn changes_at_a_full_page_are_cheap() {
    for len in [200, 360, 400, PAGE_MAX as u32 - 1] {
        let mut table = Table::new(weak(ALL_BITS));
        fill(&mut table, 0..len);
        table.hasher.asked.set(0);
        for number in 0..100_000u32 {
            table.take(&number.to_be_bytes());
            table.put(element(number + len, 0));
            assert!(table.pages.iter().all(|page| page.buckets as usize <= buckets_for(PAGE_MAX)));
            assert!(table.pages.len() == 1 || len as usize >= PAGE_MAX / 8 * 7);
        }
        let each = table.hasher.asked.get() as f64 / 100_000.0;
        assert!(each < 12.0, "{each} hashes for a removal and an insertion among {len}");
    }
}

#[test]
fn elements_that_no_bit_tells_apart_are_kept_in_a_larger_page() {
    let mut table = Table::new(weak(0));
    fill(&mut table, 0..3000);
    check(&table);
    assert!(table.directory.len() <= 4096, "{} places", table.directory.len());
    assert!((0..3000u32).all(|number| table.get(&number.to_be_bytes()) == Some(&element(number, number))));
    let mut visited = 0;
    let next = table.scan(0, 1, |_| visited += 1);
    assert_eq!((next, visited, table.scan(next, 1, |_| panic!("another element"))), (1, 3000, 0));
    let mut rng = fastrand::Rng::with_seed(1);
    assert!(table.any(&mut || rng.u64(..)).is_some());
    // Every turn ends with a page that is split, which is in vain: the directory must not double each time.
    for _ in 0..40 {
        (300..3000u32).for_each(|number| assert!(table.take(&number.to_be_bytes()).is_some()));
        fill(&mut table, 300..3000);
        assert!(table.directory.len() <= 4096, "{} places", table.directory.len());
    }
    check(&table);
    (0..3000u32).for_each(|number| assert!(table.take(&number.to_be_bytes()).is_some()));
    check(&table);
    assert_eq!((table.pages.len(), table.directory.len()), (1, 0));
}

/// Half of the elements stay, the others come and go in floods between the calls, so that pages split and merge.
#[test]
fn a_walk_visits_all_that_stays_once() {
    for (seed, kept) in KEPT.into_iter().enumerate() {
        let mut rng = fastrand::Rng::with_seed(seed as u64);
        for count in [1, 7, 10, 100, 1000, 100_000] {
            let mut table = Table::new(weak(kept));
            let staying = rng.u32(0..1500);
            fill(&mut table, 0..staying);
            let (mut visited, mut cursor, mut last) = (BTreeMap::<u32, usize>::new(), 0, 0);
            loop {
                let mut of_call = Vec::new();
                cursor = table.scan(cursor, count, |element| of_call.push(element.clone()));
                let orders: Vec<u64> = of_call.iter().map(|element| order(table.hasher.hash(&element.name))).collect();
                assert!(orders.is_sorted() && orders.first().is_none_or(|first| *first >= last));
                // No more than asked for, but for those that share the last order.
                let beyond = orders.get(count..).unwrap_or_default();
                assert!(beyond.iter().all(|order| *order == orders[count - 1]));
                assert!(cursor == 0 || cursor << 7 > orders.last().copied().unwrap_or(0));
                last = cursor << 7;
                for element in of_call {
                    *visited.entry(u32::from_be_bytes(element.name)).or_default() += 1;
                }
                if cursor == 0 {
                    break;
                }
                let coming = rng.bool();
                for _ in 0..rng.u32(0..600) {
                    let number = rng.u32(10_000..13_000);
                    let _other = if coming { table.put(element(number, 0)) } else { table.take(&number.to_be_bytes()) };
                }
            }
            check(&table);
            visited.retain(|number, _| *number < staying);
            assert_eq!(visited.len(), staying as usize, "{kept:x} {count}");
            assert!(visited.values().all(|times| *times == 1));
        }
    }
}

#[test]
fn a_walk_goes_on_from_any_cursor() {
    let mut table = Table::new(KeyHasher::new([2; 16]));
    for cursor in [0, 1, 77, u64::MAX >> 7, u64::MAX >> 1, u64::MAX] {
        assert_eq!(table.scan(cursor, 0, |_| panic!("an element")), 0);
    }
    fill(&mut table, 0..5000);
    for cursor in [u64::MAX >> 7, u64::MAX >> 1, u64::MAX] {
        assert_eq!(table.scan(cursor, 10, |_| panic!("an element")), 0);
    }
    let mut visited = 0;
    assert!((1..u64::MAX >> 7).contains(&table.scan(0, 0, |_| visited += 1)));
    assert_eq!(visited, 1);
    assert_eq!(table.scan(0, usize::MAX, |_| visited += 1), 0);
    assert_eq!(visited, 5001);
}

/// Chi-square over all elements: also where some pages are much deeper, and much emptier, than others.
#[test]
fn any_element_is_as_likely_as_the_others() {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut lopsided = Table::new(weak(ALL_BITS));
    fill(&mut lopsided, 0..20_000);
    for number in 0..20_000u32 {
        let order = order(lopsided.hasher.hash(&number.to_be_bytes()));
        if order >> 60 != 5 && number % 50 != 0 && order >> 63 == 0 {
            lopsided.take(&number.to_be_bytes());
        }
    }
    check(&lopsided);
    let depths: BTreeSet<u32> = lopsided.pages.iter().map(|page| page.depth).collect();
    assert!(depths.len() >= 3, "{depths:?}");
    let mut tables = vec![lopsided];
    // The last is one large page among empty ones.
    let random = [1, 2, 100, PAGE_MAX as u32, 449, 3000].map(|len| (len, ALL_BITS));
    for (len, kept) in random.into_iter().chain([(3000, 0xff)]) {
        let mut table = Table::new(weak(kept));
        fill(&mut table, 0..len);
        tables.push(table);
    }
    for table in tables {
        let mut counts: HashMap<[u8; 4], u32> = table.iter().map(|element| (element.name, 0)).collect();
        let (draws, mut numbers) = (20 * table.len(), 0);
        for _ in 0..draws {
            let mut random = || {
                numbers += 1;
                rng.u64(..)
            };
            *counts.get_mut(&table.any(&mut random).expect("an element").name).expect("of the table") += 1;
        }
        let square: f64 = counts.values().map(|count| (f64::from(*count) - 20.0).powi(2) / 20.0).sum();
        // Mean and deviation of chi-square with so many degrees of freedom.
        let freedom = (counts.len() - 1) as f64;
        let off = (square - freedom) / (2.0 * freedom).sqrt().max(1.0);
        assert!(off.abs() < 4.0, "{off} deviations among {}", table.len());
        let tries = if table.hasher.kept == ALL_BITS { 4 } else { 16 };
        assert!(numbers <= 2 * tries * draws, "{numbers} numbers for {draws} elements");
    }
    let none: Table<Element> = Table::new(KeyHasher::new([2; 16]));
    assert!(none.any(&mut || 0).is_none());
}

fn fill<H: NameHash>(table: &mut Table<Element, H>, numbers: Range<u32>) {
    numbers.for_each(|number| assert_eq!(table.put(element(number, number)), None));
}

fn same<H: NameHash>(table: &mut Table<Element, H>, model: &HashMap<u32, u32>) {
    let of = |element: &Element| (u32::from_be_bytes(element.name), element.value);
    assert_eq!(table.len(), model.len());
    assert_eq!(table.iter().map(of).collect::<HashMap<_, _>>(), *model);
    let (mut walked, mut from, mut steps) = (HashMap::new(), Cursor::default(), 0);
    while let Some(next) = table.walk_mut(from, Cursor::MAX, |element| {
        walked.extend([of(element)]);
        steps += 1;
        if steps % 100 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }) {
        assert!(next > from, "a walk gets on");
        let mut again = 0;
        let stopped = table.walk_mut(from, next, |_| {
            again += 1;
            ControlFlow::Continue(())
        });
        assert_eq!((again, stopped.is_none_or(|at| at >= next)), (100, true), "up to where it was");
        from = next;
    }
    assert_eq!((walked, steps), (model.clone(), model.len()), "each once");
}

/// What the module says is always true.
fn check<H: NameHash>(table: &Table<Element, H>) {
    let (pages, depth) = (&table.pages, table.depth);
    assert_eq!(table.len(), pages.iter().map(|page| page.elements.len()).sum::<usize>());
    assert_eq!(depth, pages.iter().map(|page| page.depth).max().expect("a page"));
    assert_eq!(table.deepest, pages.iter().filter(|page| page.depth == depth).count());
    assert_eq!(table.directory.len(), if depth == 0 { 0 } else { 1 << depth });
    assert_eq!(
        table.bucket_bytes,
        pages.iter().map(|page| bucket_bytes::<Element>(page.buckets as usize)).sum::<usize>()
    );
    let mut places = 0;
    for (at, page) in pages.iter().enumerate() {
        let (first, count) = (page.start.checked_shr(64 - depth).unwrap_or(0) as usize, 1 << (depth - page.depth));
        places += count;
        if depth > 0 {
            assert!(table.directory[first..first + count].iter().all(|page| *page as usize == at));
        }
        let upper = |order: u64| order.checked_shr(64 - page.depth).unwrap_or(0);
        let orders = page.elements.iter().map(|element| order(table.hasher.hash(&element.name)));
        assert!(orders.into_iter().all(|order| upper(order) == upper(page.start)));
        assert!(page.elements.capacity() <= capacity_of(page.buckets as usize));
        assert!(page.elements.len() * 8 >= page.buckets as usize || page.buckets <= 8);
    }
    assert!(depth == 0 || places == 1 << depth);
}
