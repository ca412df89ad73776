//! Elements found by name: an extendible hash, a directory over pages.
//!
//! An element's *order* is its hash without the 7 bits that a page's table keeps as tags. The directory goes by the
//! upper bits of the order, a page's table by the lowest bits of the hash, so that the two have nothing in common.
//!
//! Always true: a page of depth `d` has all elements whose orders have the same `d` upper bits as its start, and
//! `2^(depth - d)` places of the directory name it, one after the other; when a removal leaves at most [`MERGED_MAX`]
//! elements in two halves of one range, they become one page; a page has more than [`PAGE_MAX`] elements only where
//! hashes agree that should not.

use std::mem;
use std::ops::ControlFlow;

use hash_table::HashTable;

use super::Cursor;
use crate::store::KeyHasher;

/// Buckets of a page that is not to grow any more.
const BUCKETS_MAX: usize = 512;

/// Elements of a full page: what a table of that many buckets takes.
pub(super) const PAGE_MAX: usize = capacity_of(BUCKETS_MAX);

/// Two halves with so many elements together become one page, which is then far from being split again.
pub(super) const MERGED_MAX: usize = PAGE_MAX / 2;

/// Bits of the hash that a table of buckets keeps as the tag of an element.
const TAG_BITS: u32 = 7;

/// Bits of an order that tell elements apart.
const ORDER_BITS: u32 = u64::BITS - TAG_BITS;

/// The directory has at most so many places for each page. Hashes that are spread need less than four; where they
/// are not, pages grow instead.
const PLACES_PER_PAGE_MAX: usize = 64;

/// An element of a [`Table`].
pub trait Named {
    /// The name, which must not change while the element is in a table.
    fn name(&self) -> &[u8];
}

/// What makes a name's hash.
pub trait NameHash {
    /// The hash, always the same for the same name.
    fn hash(&self, name: &[u8]) -> u64;
}

impl NameHash for KeyHasher {
    #[inline]
    fn hash(&self, name: &[u8]) -> u64 {
        Self::hash(self, name)
    }
}

/// Elements found by name: see the module.
pub struct Table<E, H = KeyHasher> {
    pub(super) hasher: H,
    len: usize,
    pub(super) pages: Vec<Page<E>>,
    /// The page of every order, by the `depth` upper bits; empty while there is one page.
    pub(super) directory: Vec<u32>,
    pub(super) depth: u32,
    /// How many pages are as deep as the directory.
    pub(super) deepest: usize,
    /// No page has ever had more elements, nor fewer than [`PAGE_MAX`].
    fullest: usize,
    /// Bytes of all pages' buckets.
    pub(super) bucket_bytes: usize,
}

pub(super) struct Page<E> {
    pub(super) elements: HashTable<E>,
    /// The lowest order that belongs here.
    pub(super) start: u64,
    pub(super) depth: u32,
    pub(super) buckets: u32,
}

impl<E: Named, H: NameHash> Table<E, H> {
    /// A table without elements, for names that `hasher` hashes.
    pub fn new(hasher: H) -> Self {
        let page = Page { elements: HashTable::new(), start: 0, depth: 0, buckets: 0 };
        Self {
            hasher,
            len: 0,
            pages: vec![page],
            directory: Vec::new(),
            depth: 0,
            deepest: 1,
            fullest: PAGE_MAX,
            bucket_bytes: 0,
        }
    }

    /// How many elements there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element of this name.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&E> {
        let hash = self.hasher.hash(name);
        self.pages[self.page_of(order(hash))].elements.find(hash, |element| element.name() == name)
    }

    /// Looks for elements with this hash, to `prefetch` what they own. The looks of a loop over several do not wait for each
    /// other.
    #[inline]
    pub fn prefetch(&self, hash: u64, prefetch: impl Fn(&E)) {
        self.pages[self.page_of(order(hash))].elements.find(hash, |element| {
            prefetch(element);
            false
        });
    }

    /// The element of this name, to be changed in all but its name.
    #[inline]
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut E> {
        let hash = self.hasher.hash(name);
        let at = self.page_of(order(hash));
        self.pages[at].elements.find_mut(hash, |element| element.name() == name)
    }

    /// Puts an element in; returns the one of the same name whose place it took.
    pub fn put(&mut self, element: E) -> Option<E> {
        let hash = self.hasher.hash(element.name());
        let at = self.page_of(order(hash));
        if let Some(there) = self.pages[at].elements.find_mut(hash, |there| there.name() == element.name()) {
            return Some(mem::replace(there, element));
        }
        let at = self.make_room(at, hash);
        let (hasher, elements) = (&self.hasher, &mut self.pages[at].elements);
        elements.insert_unique(hash, element, |element| hasher.hash(element.name()));
        self.fullest = self.fullest.max(elements.len());
        self.len += 1;
        None
    }

    /// Takes the element of this name out.
    pub fn take(&mut self, name: &[u8]) -> Option<E> {
        let hash = self.hasher.hash(name);
        let at = self.page_of(order(hash));
        let found = self.pages[at].elements.find_entry(hash, |element| element.name() == name);
        let (element, _) = found.ok()?.remove();
        self.len -= 1;
        self.settle(at);
        Some(element)
    }

    /// All elements, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.pages.iter().flat_map(|page| page.elements.iter())
    }

    /// Visits elements, which may be changed in all but their names, from where a walk has come to up to `until`, or until
    /// `visit` has had enough. Returns where to go on; nothing at the end.
    pub fn walk_mut(
        &mut self,
        mut from: Cursor,
        until: Cursor,
        mut visit: impl FnMut(&mut E) -> ControlFlow<()>,
    ) -> Option<Cursor> {
        loop {
            let at = self.page_of(from.order);
            let page = &mut self.pages[at];
            for element in page.elements.iter_mut().skip(from.passed) {
                if from >= until {
                    return Some(from);
                }
                from.passed += 1;
                if visit(element).is_break() {
                    return Some(from);
                }
            }
            from = Cursor { order: page.end()?, passed: 0 };
        }
    }

    /// As [`Table::walk_mut`] to the end, without a change.
    pub fn walk(&self, mut from: Cursor, mut visit: impl FnMut(&E) -> ControlFlow<()>) -> Option<Cursor> {
        loop {
            let page = &self.pages[self.page_of(from.order)];
            for element in page.elements.iter().skip(from.passed) {
                from.passed += 1;
                if visit(element).is_break() {
                    return Some(from);
                }
            }
            from = Cursor { order: page.end()?, passed: 0 };
        }
    }

    /// Visits elements from where a walk has come to, `count` of them and those that share the last one's order.
    /// Returns where to go on. A walk begins and ends with 0; whatever is there from its beginning to its end is visited,
    /// and what stays where it is only once.
    ///
    /// A cursor is an order, which nothing that happens to the table changes, without the bits that are always zero:
    /// it fits a signed number, as some clients want it.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&E)) -> u64 {
        let mut from = cursor.min(u64::MAX >> TAG_BITS) << TAG_BITS;
        let mut wanted = count.max(1);
        let mut found: Vec<(u64, &E)> = Vec::new();
        loop {
            let page = &self.pages[self.page_of(from)];
            let orders = page.elements.iter().map(|element| (order(self.hash_of(element)), element));
            found.extend(orders.filter(|(order, _)| *order >= from));
            // What is returned next is the first order that was not visited, and all of one order come together.
            let next = if found.len() <= wanted {
                page.end()
            } else {
                let last = found.select_nth_unstable_by_key(wanted - 1, |(order, _)| *order).1.0;
                found.retain(|(order, _)| *order <= last);
                last.checked_add(1 << TAG_BITS)
            };
            found.sort_unstable_by_key(|(order, _)| *order);
            wanted = wanted.saturating_sub(found.len());
            found.drain(..).for_each(|(_, element)| visit(element));
            match next {
                Some(next) if wanted > 0 => from = next,
                next => return next.map_or(0, |next| next >> TAG_BITS),
            }
        }
    }

    /// An element, each as likely as the others, if the numbers are random.
    pub fn any(&self, random: &mut dyn FnMut() -> u64) -> Option<&E> {
        if self.is_empty() {
            return None;
        }
        // A page is taken as often as it has elements, by the chance of hitting one among the most a page may have.
        let most = if self.pages.len() == 1 { self.len } else { self.fullest };
        loop {
            let elements = &self.pages[below(random(), self.pages.len())].elements;
            if below(random(), most) >= elements.len() {
                continue;
            }
            let buckets = elements.num_buckets();
            loop {
                if let Some(element) = elements.get_bucket(below(random(), buckets)) {
                    return Some(element);
                }
            }
        }
    }

    /// The bytes that the table itself takes, without what its elements own elsewhere.
    pub fn bytes(&self) -> usize {
        self.bucket_bytes + self.pages.capacity() * size_of::<Page<E>>() + self.directory.capacity() * size_of::<u32>()
    }

    /// The hash that [`Table::prefetch`] looks for.
    pub fn hash_of(&self, element: &E) -> u64 {
        self.hasher.hash(element.name())
    }

    /// The page whose elements have this order.
    #[inline]
    fn page_of(&self, order: u64) -> usize {
        self.directory.get(self.place(order)).map_or(0, |&page| page as usize)
    }

    /// Where an order stands in the directory.
    #[inline]
    fn place(&self, order: u64) -> usize {
        // Two shifts, since one by all 64 bits is none.
        ((order >> 1) >> (u64::BITS - 1 - self.depth)) as usize
    }

    /// Sees to it that the page at `at`, or the one that has its elements of this hash then, takes one more.
    fn make_room(&mut self, mut at: usize, hash: u64) -> usize {
        loop {
            let page = &self.pages[at];
            let (len, buckets) = (page.elements.len(), page.buckets as usize);
            if len < page.elements.capacity() {
                return at;
            }
            // Removals leave marks behind, which take buckets too. With few of them it is not worth while to clear them
            // away: a few changes more, and they would be there again.
            let is_full = len >= capacity_of(buckets) / 8 * 7;
            if is_full && buckets >= BUCKETS_MAX && self.may_split(at) {
                self.split(at);
                at = self.page_of(order(hash));
            } else {
                self.resize(at, if is_full { (buckets * 2).max(buckets_for(1)) } else { buckets });
                return at;
            }
        }
    }

    fn may_split(&self, at: usize) -> bool {
        let places = 1usize << (self.depth + 1);
        self.pages[at].depth < self.depth
            || (self.depth < ORDER_BITS && places <= PLACES_PER_PAGE_MAX * (self.pages.len() + 1))
    }

    /// Makes two pages of one, by the next bit of the order.
    fn split(&mut self, at: usize) {
        if self.pages[at].depth == self.depth {
            self.double();
        }
        let elements = mem::take(&mut self.pages[at].elements);
        let elements: Vec<(u64, E)> = elements.into_iter().map(|element| (self.hash_of(&element), element)).collect();
        let page = &mut self.pages[at];
        page.depth += 1;
        let (depth, bit) = (page.depth, 1 << (u64::BITS - page.depth));
        let start = page.start | bit;
        let is_upper = |hash: u64| order(hash) & bit != 0;
        let upper = elements.iter().filter(|(hash, _)| is_upper(*hash)).count();
        let mut halves = [elements.len() - upper, upper].map(|len| {
            // With room to grow, or else every second half would be resized at once.
            let buckets = buckets_for(len * 4 / 3);
            (HashTable::with_capacity(capacity_of(buckets)), buckets)
        });
        for (hash, element) in elements {
            // The hasher is never asked: there is room.
            halves[usize::from(is_upper(hash))].0.insert_unique(hash, element, |_| hash);
        }
        let [(lower, lower_buckets), (upper, upper_buckets)] = halves;
        self.bucket_bytes += bucket_bytes::<E>(lower_buckets) + bucket_bytes::<E>(upper_buckets);
        self.bucket_bytes -= bucket_bytes::<E>(page.buckets as usize);
        (page.elements, page.buckets) = (lower, lower_buckets as u32);
        self.pages.push(Page { elements: upper, start, depth, buckets: upper_buckets as u32 });
        if depth == self.depth {
            self.deepest += 2;
        }
        self.enter(self.pages.len() - 1);
    }

    /// After a page lost an element: makes it smaller, or one with its other half, where that is due.
    fn settle(&mut self, mut at: usize) {
        while self.pages[at].elements.len() <= MERGED_MAX {
            match self.half_of(at) {
                Some(half) if self.pages[at].elements.len() + self.pages[half].elements.len() <= MERGED_MAX => {
                    at = self.merge(at, half);
                }
                _ => break,
            }
        }
        let page = &self.pages[at];
        if page.elements.len() < page.buckets as usize / 8 {
            self.resize(at, buckets_for(page.elements.len() * 3 / 2));
        } else if page.elements.is_empty() && page.buckets > 0 {
            self.resize(at, 0);
        }
    }

    /// The page that is the other half of what this page was split from, if it was not split again.
    fn half_of(&self, at: usize) -> Option<usize> {
        let Page { start, depth, .. } = self.pages[at];
        let half = self.page_of(start ^ 1u64.checked_shl(u64::BITS - depth)?);
        (self.pages[half].depth == depth).then_some(half)
    }

    /// Makes one page of two halves; returns where it is.
    fn merge(&mut self, one: usize, other: usize) -> usize {
        let bigger = |at: usize| self.pages[at].buckets;
        let (kept, gone) = if bigger(one) >= bigger(other) { (one, other) } else { (other, one) };
        let depth = self.pages[kept].depth;
        let elements = mem::take(&mut self.pages[gone].elements);
        self.bucket_bytes -= bucket_bytes::<E>(self.pages[gone].buckets as usize);
        let len = self.pages[kept].elements.len() + elements.len();
        if len > self.pages[kept].elements.capacity() {
            self.resize(kept, buckets_for(len));
        }
        let (hasher, page) = (&self.hasher, &mut self.pages[kept]);
        let rehash = |element: &E| hasher.hash(element.name());
        for element in elements {
            page.elements.insert_unique(rehash(&element), element, rehash);
        }
        page.depth -= 1;
        page.start &= !(1 << (u64::BITS - depth));
        self.enter(kept);
        self.pages.swap_remove(gone);
        if gone < self.pages.len() {
            self.enter(gone);
        }
        if depth == self.depth {
            self.deepest -= 2;
        }
        while self.depth > 0 && self.deepest == 0 {
            self.halve();
        }
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
        if kept == self.pages.len() { gone } else { kept }
    }

    /// Has the directory name a page wherever it should.
    fn enter(&mut self, at: usize) {
        let Page { start, depth, .. } = self.pages[at];
        let first = self.place(start);
        self.directory[first..first + (1 << (self.depth - depth))].fill(at as u32);
    }

    fn double(&mut self) {
        let one_page: &[u32] = &[0];
        let pages = if self.directory.is_empty() { one_page } else { &self.directory };
        self.directory = pages.iter().flat_map(|&page| [page; 2]).collect();
        self.depth += 1;
        self.deepest = 0;
    }

    fn halve(&mut self) {
        self.depth -= 1;
        self.directory = if self.depth == 0 { Vec::new() } else { self.directory.iter().step_by(2).copied().collect() };
        self.deepest = self.pages.iter().filter(|page| page.depth == self.depth).count();
    }

    /// Moves a page's elements to so many buckets, which leaves the marks of what was removed behind.
    fn resize(&mut self, at: usize, buckets: usize) {
        let page = &mut self.pages[at];
        let elements = mem::replace(&mut page.elements, HashTable::with_capacity(capacity_of(buckets)));
        let rehash = |element: &E| self.hasher.hash(element.name());
        for element in elements {
            page.elements.insert_unique(rehash(&element), element, rehash);
        }
        self.bucket_bytes += bucket_bytes::<E>(buckets);
        self.bucket_bytes -= bucket_bytes::<E>(mem::replace(&mut page.buckets, buckets as u32) as usize);
    }
}

impl<E> Page<E> {
    /// The lowest order above those that belong here.
    fn end(&self) -> Option<u64> {
        self.start.checked_add(1u64.checked_shl(u64::BITS - self.depth)?)
    }
}

/// The part of a hash that a page's table does not keep as tags.
#[inline]
pub(super) fn order(hash: u64) -> u64 {
    hash << TAG_BITS
}

/// How many elements a table of so many buckets takes.
pub(super) const fn capacity_of(buckets: usize) -> usize {
    if buckets <= 8 { buckets.saturating_sub(1) } else { buckets / 8 * 7 }
}

/// How many buckets a table for so many elements has.
pub(super) fn buckets_for(elements: usize) -> usize {
    match elements {
        0 => 0,
        1..=3 => 4,
        4..=7 => 8,
        _ => (elements * 8 / 7).next_power_of_two(),
    }
}

/// The bytes of so many buckets: an element and a tag each, and as many tags again as are compared at once.
pub(super) fn bucket_bytes<E>(buckets: usize) -> usize {
    const COMPARED_AT_ONCE: usize = 16;
    if buckets == 0 { 0 } else { buckets * (size_of::<E>() + 1) + COMPARED_AT_ONCE }
}

/// A number below `bound`, as random as `random` is.
fn below(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> u64::BITS) as usize
}
