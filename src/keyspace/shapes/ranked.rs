//! Items in order, found by rank or by key: a B+tree that counts.
//!
//! Always true: who inserts says where, so the order is the caller's, and a search trusts it; all leaves are equally
//! deep; an inner node knows how many items each child has and the key that every child but its first begins with,
//! exactly; no node but an empty root is empty, and no two neighbours under one parent would fit in half a node.
//! Whoever appends or prepends leaves full leaves behind.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::mem;
use std::ops::Range;

mod iter;
pub(super) mod node;

pub use iter::{Items, ItemsMut};
use node::{Census, Inner, Node, Spot};

/// What stands in a [`Ranked`].
pub trait Item {
    /// What items are searched by; it is kept beside inner nodes, so that a search touches one leaf only.
    type Key: Clone;

    /// The key, which must not change while the item is in its place.
    fn key(&self) -> Self::Key;
}

/// A root that is a leaf for at most so many items does not shrink: a queue that is often empty would allocate each time.
const SHRUNK_MIN: usize = 16;

/// Items in order: see the module.
pub struct Ranked<T: Item> {
    pub(super) root: Node<T>,
    len: usize,
    pub(super) census: Census,
}

impl<T: Item> Ranked<T> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { root: Node::Leaf(VecDeque::new()), len: 0, census: Census { leaves: 1, inners: 0 } }
    }

    /// These items, in this order.
    #[cfg(test)]
    pub fn from_ordered(items: impl Iterator<Item = T>) -> Self {
        let mut ranked = Self::new();
        items.for_each(|item| ranked.push_back(item));
        ranked
    }

    /// How many items there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item of a rank, counted from 0.
    pub fn get(&self, mut rank: usize) -> Option<&T> {
        if rank >= self.len {
            return None;
        }
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.get(rank),
                Node::Inner(inner) => {
                    let (child, within) = inner.child_with(rank);
                    (node, rank) = (&inner.nodes[child], within);
                }
            }
        }
    }

    /// The item of a rank, to be changed in all but its key.
    pub fn get_mut(&mut self, mut rank: usize) -> Option<&mut T> {
        if rank >= self.len {
            return None;
        }
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.get_mut(rank),
                Node::Inner(inner) => {
                    let (child, within) = inner.child_with(rank);
                    (node, rank) = (&mut inner.nodes[child], within);
                }
            }
        }
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        self.root.first()
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.back(),
                Node::Inner(inner) => node = inner.nodes.last()?,
            }
        }
    }

    /// The rank of an item whose key is what is looked for, or else the rank that it would have; `order` tells how a key
    /// compares to it, as for `slice::binary_search_by`. An `order` that never says `Equal` finds a bound.
    pub fn find(&self, mut order: impl FnMut(&T::Key) -> Ordering) -> Result<usize, usize> {
        let (mut node, mut before) = (&self.root, 0);
        while let Node::Inner(inner) = node {
            let child = inner.firsts.partition_point(|first| order(first) != Ordering::Greater);
            before += inner.items_before(child);
            node = &inner.nodes[child];
        }
        let Node::Leaf(items) = node else { return Err(before) };
        let found = items.binary_search_by(|item| order(&item.key()));
        found.map(|at| before + at).map_err(|at| before + at)
    }

    /// As [`Ranked::find`], where the key alone does not tell items apart: `order_of_key` says `Equal` of keys that the
    /// item looked for may have, and `order` compares items whose keys are such.
    pub fn find_item(
        &self,
        mut order_of_key: impl FnMut(&T::Key) -> Ordering,
        mut order: impl FnMut(&T) -> Ordering,
    ) -> Result<usize, usize> {
        let (mut node, mut before) = (&self.root, 0);
        while let Node::Inner(inner) = node {
            let child = inner.child_for(&mut order_of_key, &mut order);
            before += inner.items_before(child);
            node = &inner.nodes[child];
        }
        let Node::Leaf(items) = node else { return Err(before) };
        let found = items.binary_search_by(|item| order_of_key(&item.key()).then_with(|| order(item)));
        found.map(|at| before + at).map_err(|at| before + at)
    }

    /// Puts an item in, to have this rank; those from there on move up.
    ///
    /// # Panics
    /// When the rank is beyond the end.
    pub fn insert(&mut self, rank: usize, item: T) {
        assert!(rank <= self.len, "rank {rank} of {} items", self.len);
        self.insert_at(if rank == self.len { Spot::Back } else { Spot::of(rank) }, item);
    }

    /// Puts an item before all others.
    pub fn push_front(&mut self, item: T) {
        self.insert_at(Spot::Front, item);
    }

    /// Puts an item behind all others.
    pub fn push_back(&mut self, item: T) {
        self.insert_at(Spot::Back, item);
    }

    /// Takes the item of this rank out; those behind it move down.
    ///
    /// # Panics
    /// When there is no such item.
    pub fn remove(&mut self, rank: usize) -> T {
        assert!(rank < self.len, "rank {rank} of {} items", self.len);
        self.remove_at(Spot::of(rank))
    }

    /// Takes the first item out.
    pub fn pop_front(&mut self) -> Option<T> {
        (self.len > 0).then(|| self.remove_at(Spot::Front))
    }

    /// Takes the last item out.
    pub fn pop_back(&mut self) -> Option<T> {
        (self.len > 0).then(|| self.remove_at(Spot::Back))
    }

    /// Takes all items of these ranks out, and has them visited in order. What is between the ends goes by whole nodes.
    ///
    /// # Panics
    /// When there are no such ranks.
    pub fn remove_range(&mut self, ranks: Range<usize>, mut visit: impl FnMut(T)) {
        assert!(ranks.start <= ranks.end && ranks.end <= self.len, "ranks {ranks:?} of {} items", self.len);
        let removed = ranks.len();
        if removed == self.len {
            let mut all = mem::take(self);
            return all.root.visit_all(&mut all.census, &mut visit);
        }
        if removed > 0 {
            self.root.remove_range(ranks, &mut self.census, &mut visit);
            self.len -= removed;
            self.settle_root();
        }
    }

    /// All items in order.
    pub fn iter(&self) -> Items<'_, T> {
        self.range(0..self.len)
    }

    /// The items of these ranks in order.
    ///
    /// # Panics
    /// When there are no such ranks.
    pub fn range(&self, ranks: Range<usize>) -> Items<'_, T> {
        assert!(ranks.start <= ranks.end && ranks.end <= self.len, "ranks {ranks:?} of {} items", self.len);
        Items::new(&self.root, ranks)
    }

    /// The items from this rank on in order, to be changed in all but their keys; none where there is no such rank.
    pub fn iter_mut_from(&mut self, rank: usize) -> ItemsMut<'_, T> {
        if rank < self.len { ItemsMut::from(&mut self.root, rank) } else { ItemsMut::none() }
    }

    /// The bytes that the nodes take, without what their items own elsewhere.
    pub fn bytes(&self) -> usize {
        match &self.root {
            Node::Leaf(items) => items.capacity() * size_of::<T>(),
            Node::Inner(_) => {
                self.census.leaves * node::leaf_bytes::<T>() + self.census.inners * node::inner_bytes::<T>()
            }
        }
    }

    fn insert_at(&mut self, spot: Spot, item: T) {
        let split = self.root.insert(spot, item, &mut self.census);
        self.len += 1;
        if let Some(split) = split {
            let old = mem::replace(&mut self.root, Node::Leaf(VecDeque::new()));
            self.root = Node::Inner(Inner::of_halves(old, self.len - split.items, split));
            self.census.inners += 1;
        }
    }

    fn remove_at(&mut self, spot: Spot) -> T {
        let (item, shrunk) = self.root.remove(spot, &mut self.census);
        self.len -= 1;
        if shrunk {
            self.settle_root();
        }
        item
    }

    /// A root with one child gives way to it, and a root that is a leaf takes little more than its items need.
    fn settle_root(&mut self) {
        while let Node::Inner(inner) = &mut self.root
            && inner.nodes.len() == 1
            && let Some(child) = inner.nodes.pop()
        {
            self.root = child;
            self.census.inners -= 1;
        }
        if let Node::Leaf(items) = &mut self.root
            && items.capacity() > SHRUNK_MIN
            && items.len() < items.capacity() / 4
        {
            items.shrink_to(items.len() * 2);
        }
    }
}

impl<T: Item> Default for Ranked<T> {
    fn default() -> Self {
        Self::new()
    }
}
