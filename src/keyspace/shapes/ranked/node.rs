//! The nodes of a [`super::Ranked`], and what an insertion or a removal does to those on its path.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

use super::Item;

/// Children of a full inner node; a test sees more levels with fewer. Measured at 5 M items of 8 bytes: with 64, an
/// insertion at a random rank takes 169 ns instead of 158, a look at one 171 instead of 148; with 128 it is slower still.
pub(in super::super) const CHILDREN_MAX: usize = if cfg!(test) { 8 } else { 32 };

/// Bytes of a full leaf. Measured as above: with half of it, an insertion takes 206 ns instead of 158, a look 179 instead
/// of 148, a walk 6 ns for each item instead of 4; the ends do not care.
const LEAF_BYTES: usize = 2048;

/// Items of a full leaf.
pub(in super::super) const fn leaf_max<T>() -> usize {
    let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
    let fit = LEAF_BYTES / size;
    let fit = if fit < 8 { 8 } else { fit };
    // A deque that doubles comes to exactly so many.
    if fit.is_power_of_two() { fit } else { fit.next_power_of_two() / 2 }
}

pub(super) const fn leaf_bytes<T>() -> usize {
    leaf_max::<T>() * size_of::<T>()
}

pub(super) const fn inner_bytes<T: Item>() -> usize {
    size_of::<Inner<T>>() + CHILDREN_MAX * (size_of::<usize>() + size_of::<T::Key>() + size_of::<Node<T>>())
}

pub(in super::super) enum Node<T: Item> {
    Leaf(VecDeque<T>),
    Inner(Box<Inner<T>>),
}

pub(in super::super) struct Inner<T: Item> {
    /// Items of each child.
    pub(in super::super) counts: Vec<usize>,
    /// The key of the first item of each child but the first.
    pub(in super::super) firsts: Vec<T::Key>,
    pub(in super::super) nodes: Vec<Node<T>>,
}

/// Where an item is to be put or taken from.
#[derive(Clone, Copy)]
pub(super) enum Spot {
    /// Before all items of the tree, or the first of them.
    Front,
    /// Behind all items of the tree, or the last of them.
    Back,
    /// Where so many items of the node are before it.
    At(usize),
}

/// A node that came into being beside another.
pub(super) struct Split<T: Item> {
    node: Node<T>,
    pub(super) items: usize,
    is_before: bool,
}

/// How many nodes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Census {
    pub(in super::super) leaves: usize,
    pub(in super::super) inners: usize,
}

impl Spot {
    pub(super) fn of(rank: usize) -> Self {
        if rank == 0 { Self::Front } else { Self::At(rank) }
    }
}

impl<T: Item> Node<T> {
    /// The first item below.
    pub(in super::super) fn first(&self) -> Option<&T> {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(items) => return items.front(),
                Self::Inner(inner) => node = inner.nodes.first()?,
            }
        }
    }

    /// Puts an item in. A full node splits; returns its other part.
    pub(super) fn insert(&mut self, spot: Spot, item: T, census: &mut Census) -> Option<Split<T>> {
        match self {
            Self::Leaf(items) if items.len() < leaf_max::<T>() => {
                match spot {
                    Spot::Front => items.push_front(item),
                    Spot::Back => items.push_back(item),
                    Spot::At(at) => items.insert(at, item),
                }
                None
            }
            Self::Leaf(items) => {
                census.leaves += 1;
                Some(split_leaf(items, spot, item))
            }
            Self::Inner(inner) => {
                let (child, within) = match spot {
                    Spot::Front => (0, Spot::Front),
                    Spot::Back => (inner.nodes.len() - 1, Spot::Back),
                    Spot::At(at) => {
                        let (child, at) = inner.child_taking(at);
                        (child, Spot::At(at))
                    }
                };
                inner.counts[child] += 1;
                let split = inner.nodes[child].insert(within, item, census)?;
                inner.counts[child] -= split.items;
                inner.take_in(child, split, spot, census)
            }
        }
    }

    /// Takes an item out. Also returns whether the node itself, not only one below, is smaller by it.
    pub(super) fn remove(&mut self, spot: Spot, census: &mut Census) -> (T, bool) {
        match self {
            Self::Leaf(items) => {
                let item = match spot {
                    Spot::Front => items.pop_front(),
                    Spot::Back => items.pop_back(),
                    Spot::At(at) => items.remove(at),
                };
                (item.expect("a leaf has the items that its parent counts"), true)
            }
            Self::Inner(inner) => {
                let (child, within) = match spot {
                    Spot::Front => (0, Spot::Front),
                    Spot::Back => (inner.nodes.len() - 1, Spot::Back),
                    Spot::At(at) => {
                        let (child, at) = inner.child_with(at);
                        (child, Spot::At(at))
                    }
                };
                inner.counts[child] -= 1;
                let (item, shrunk) = inner.nodes[child].remove(within, census);
                if let Spot::At(0) = within {
                    inner.note_first(child);
                }
                (item, shrunk && inner.settle(child, census))
            }
        }
    }

    /// Takes items out, but not all, and has them visited in order.
    pub(super) fn remove_range(&mut self, ranks: Range<usize>, census: &mut Census, visit: &mut impl FnMut(T)) {
        match self {
            Self::Leaf(items) => items.drain(ranks).for_each(visit),
            Self::Inner(inner) => inner.remove_range(ranks, census, visit),
        }
    }

    /// Has all items visited in order.
    pub(super) fn visit_all(self, census: &mut Census, visit: &mut impl FnMut(T)) {
        match self {
            Self::Leaf(items) => {
                census.leaves -= 1;
                items.into_iter().for_each(visit);
            }
            Self::Inner(inner) => {
                census.inners -= 1;
                inner.nodes.into_iter().for_each(|node| node.visit_all(census, visit));
            }
        }
    }

    /// Items of a leaf, children of an inner node.
    pub(in super::super) fn size(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(inner) => inner.nodes.len(),
        }
    }

    /// The size of a full node like this one.
    #[cfg(test)]
    pub(in super::super) fn size_max(&self) -> usize {
        match self {
            Self::Leaf(_) => leaf_max::<T>(),
            Self::Inner(_) => CHILDREN_MAX,
        }
    }
}

/// Puts an item in a full leaf: at an end of the tree, beside it, since more of them will come there.
fn split_leaf<T: Item>(items: &mut VecDeque<T>, spot: Spot, item: T) -> Split<T> {
    let mut other = VecDeque::with_capacity(leaf_max::<T>());
    let half = items.len() / 2;
    match spot {
        Spot::Front | Spot::Back => other.push_back(item),
        Spot::At(at) => {
            other.extend(items.drain(half..));
            if at <= half { items.insert(at, item) } else { other.insert(at - half, item) }
        }
    }
    Split { items: other.len(), node: Node::Leaf(other), is_before: matches!(spot, Spot::Front) }
}

impl<T: Item> Inner<T> {
    /// The parent of a node with so many items and of the one that was split from it.
    pub(super) fn of_halves(node: Node<T>, items: usize, split: Split<T>) -> Box<Self> {
        let mut inner = Self::new();
        inner.put_in(0, node, items);
        inner.put_in(usize::from(!split.is_before), split.node, split.items);
        inner
    }

    /// The child that has the item of this rank, and its rank there.
    #[inline]
    pub(super) fn child_with(&self, mut rank: usize) -> (usize, usize) {
        let mut child = 0;
        while rank >= self.counts[child] {
            rank -= self.counts[child];
            child += 1;
        }
        (child, rank)
    }

    /// The child that takes an item of this rank, and its rank there. Between two children, the left one takes it: so the
    /// right one still begins with the same key.
    fn child_taking(&self, mut rank: usize) -> (usize, usize) {
        let mut child = 0;
        while rank > self.counts[child] {
            rank -= self.counts[child];
            child += 1;
        }
        (child, rank)
    }

    /// The last child that begins at or before what is looked for: see [`super::Ranked::find_item`].
    pub(super) fn child_for(
        &self,
        order_of_key: &mut impl FnMut(&T::Key) -> Ordering,
        order: &mut impl FnMut(&T) -> Ordering,
    ) -> usize {
        let mut from = self.firsts.partition_point(|first| order_of_key(first) == Ordering::Less);
        let equal = self.firsts[from..].partition_point(|first| order_of_key(first) == Ordering::Equal);
        let mut to = from + equal;
        while from < to {
            let middle = from.midpoint(to);
            let begins_after = self.nodes[middle + 1].first().is_some_and(|item| order(item) == Ordering::Greater);
            if begins_after { to = middle } else { from = middle + 1 }
        }
        from
    }

    /// How many items stand in the children before this one.
    pub(super) fn items_before(&self, child: usize) -> usize {
        self.counts[..child].iter().sum()
    }

    fn new() -> Box<Self> {
        let (counts, firsts) = (Vec::with_capacity(CHILDREN_MAX), Vec::with_capacity(CHILDREN_MAX));
        Box::new(Self { counts, firsts, nodes: Vec::with_capacity(CHILDREN_MAX) })
    }

    /// Takes in what was split from a child; a full node splits, and returns its other part.
    fn take_in(&mut self, child: usize, split: Split<T>, spot: Spot, census: &mut Census) -> Option<Split<T>> {
        let Split { node, items, is_before } = split;
        let at = child + usize::from(!is_before);
        if self.nodes.len() < CHILDREN_MAX {
            self.put_in(at, node, items);
            return None;
        }
        census.inners += 1;
        let mut other = Self::new();
        if let Spot::Front | Spot::Back = spot {
            other.put_in(0, node, items);
            return Some(Split { node: Node::Inner(other), items, is_before });
        }
        let half = self.nodes.len() / 2;
        other.nodes.extend(self.nodes.drain(half..));
        other.counts.extend(self.counts.drain(half..));
        other.firsts.extend(self.firsts.drain(half..));
        // The other node knows by its place what its first child begins with.
        self.firsts.pop();
        if at <= half {
            self.put_in(at, node, items)
        } else {
            other.put_in(at - half, node, items)
        }
        Some(Split { items: other.counts.iter().sum(), node: Node::Inner(other), is_before: false })
    }

    fn put_in(&mut self, at: usize, node: Node<T>, items: usize) {
        self.nodes.insert(at, node);
        self.counts.insert(at, items);
        // What was the first child until now begins with a key that nobody had to know.
        if let Some(first) = self.nodes.get(at.max(1)).and_then(Node::first) {
            self.firsts.insert(at.max(1) - 1, first.key());
        }
    }

    /// A child begins with another item now.
    fn note_first(&mut self, child: usize) {
        if child > 0
            && let Some(first) = self.nodes[child].first()
        {
            self.firsts[child - 1] = first.key();
        }
    }

    /// After a child became smaller: takes it away if it is empty, makes one of it and a neighbour if both are small.
    /// Returns whether there are fewer children.
    fn settle(&mut self, child: usize, census: &mut Census) -> bool {
        let before = self.nodes.len();
        if self.counts[child] == 0 {
            match self.nodes.remove(child) {
                Node::Leaf(_) => census.leaves -= 1,
                Node::Inner(_) => census.inners -= 1,
            }
            self.counts.remove(child);
            if !self.firsts.is_empty() {
                self.firsts.remove(child.saturating_sub(1));
            }
        } else {
            self.unite(child, census);
        }
        self.nodes.len() < before
    }

    /// Makes one node of a child and a neighbour, as often as they fit in half a node.
    fn unite(&mut self, mut child: usize, census: &mut Census) {
        loop {
            if self.are_small(child) {
                self.merge(child, census);
            } else if child > 0 && self.are_small(child - 1) {
                child -= 1;
                self.merge(child, census);
            } else {
                return;
            }
        }
    }

    /// Whether a child and the next one fit in half a node together.
    fn are_small(&self, child: usize) -> bool {
        match (&self.nodes[child], self.nodes.get(child + 1)) {
            (Node::Leaf(_), Some(_)) => self.counts[child] + self.counts[child + 1] <= leaf_max::<T>() / 2,
            (one, Some(other)) => one.size() + other.size() <= CHILDREN_MAX / 2,
            _ => false,
        }
    }

    /// Moves all that the next child has to this one.
    fn merge(&mut self, child: usize, census: &mut Census) {
        let right = self.nodes.remove(child + 1);
        self.counts[child] += self.counts.remove(child + 1);
        let first = self.firsts.remove(child);
        match (&mut self.nodes[child], right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                census.leaves -= 1;
                left.extend(right);
            }
            (Node::Inner(left), Node::Inner(right)) => {
                census.inners -= 1;
                let seam = left.nodes.len();
                left.firsts.push(first);
                left.firsts.extend(right.firsts);
                left.counts.extend(right.counts);
                left.nodes.extend(right.nodes);
                // Those that were under two parents until now may both be small.
                left.unite(seam, census);
            }
            _ => unreachable!("all leaves are equally deep"),
        }
    }

    fn remove_range(&mut self, ranks: Range<usize>, census: &mut Census, visit: &mut impl FnMut(T)) {
        let (first, from) = self.child_with(ranks.start);
        let (last, to) = self.child_with(ranks.end - 1);
        let to = to + 1;
        // Children from `whole` on, before `rest`, go as a whole.
        let whole = first + usize::from(from > 0);
        let rest = last + usize::from(to == self.counts[last]);
        if first == last && whole > rest {
            self.remove_within(first, from..to, census, visit);
            return self.unite(first, census);
        }
        if first < whole {
            self.remove_within(first, from..self.counts[first], census, visit);
        }
        self.nodes.drain(whole..rest).for_each(|node| node.visit_all(census, visit));
        self.counts.drain(whole..rest);
        let (known, of) = (self.firsts.len(), whole.saturating_sub(1));
        self.firsts.drain(of..(of + rest - whole).min(known));
        if rest == last {
            self.remove_within(whole, 0..to, census, visit);
        }
        if whole < self.nodes.len() {
            self.unite(whole, census);
        }
        if (1..=self.nodes.len()).contains(&whole) {
            self.unite(whole - 1, census);
        }
    }

    /// Takes items out of a child that keeps others.
    fn remove_within(&mut self, child: usize, ranks: Range<usize>, census: &mut Census, visit: &mut impl FnMut(T)) {
        self.counts[child] -= ranks.len();
        let first_goes = ranks.start == 0;
        self.nodes[child].remove_range(ranks, census, visit);
        if first_goes {
            self.note_first(child);
        }
    }
}
