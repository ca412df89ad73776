//! Walks over a [`super::Ranked`]. Nodes know no parents: a walk remembers its path.

use std::collections::vec_deque;
use std::ops::Range;
use std::slice;

use super::Item;
use super::node::Node;

/// Items of some ranks in order.
pub struct Items<'a, T: Item> {
    root: &'a Node<T>,
    /// What is still to come.
    ranks: Range<usize>,
    /// Found when they are first asked for: few walk from both ends.
    front: Option<Ahead<'a, T>>,
    back: Option<Ahead<'a, T>>,
}

/// One end of a walk.
struct Ahead<'a, T: Item> {
    /// What follows on each level once the one below is done, the root's children first.
    path: Vec<slice::Iter<'a, Node<T>>>,
    leaf: vec_deque::Iter<'a, T>,
}

impl<'a, T: Item> Items<'a, T> {
    pub(super) fn new(root: &'a Node<T>, ranks: Range<usize>) -> Self {
        Self { root, ranks, front: None, back: None }
    }
}

impl<'a, T: Item> Iterator for Items<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        let rank = self.ranks.next()?;
        let front = self.front.get_or_insert_with(|| Ahead::from(self.root, rank));
        front.leaf.next().or_else(|| front.next_leaf())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranks.size_hint()
    }
}

impl<'a, T: Item> DoubleEndedIterator for Items<'a, T> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a T> {
        let rank = self.ranks.next_back()?;
        let back = self.back.get_or_insert_with(|| Ahead::up_to(self.root, rank));
        back.leaf.next_back().or_else(|| back.last_leaf())
    }
}

impl<T: Item> ExactSizeIterator for Items<'_, T> {}

impl<'a, T: Item> Ahead<'a, T> {
    /// What begins with the item of this rank.
    fn from(mut node: &'a Node<T>, mut rank: usize) -> Self {
        let mut path = Vec::new();
        loop {
            match node {
                Node::Leaf(items) => return Self { path, leaf: items.range(rank..) },
                Node::Inner(inner) => {
                    let (child, within) = inner.child_with(rank);
                    path.push(inner.nodes[child + 1..].iter());
                    (node, rank) = (&inner.nodes[child], within);
                }
            }
        }
    }

    /// What ends with the item of this rank.
    fn up_to(mut node: &'a Node<T>, mut rank: usize) -> Self {
        let mut path = Vec::new();
        loop {
            match node {
                Node::Leaf(items) => return Self { path, leaf: items.range(..=rank) },
                Node::Inner(inner) => {
                    let (child, within) = inner.child_with(rank);
                    path.push(inner.nodes[..child].iter());
                    (node, rank) = (&inner.nodes[child], within);
                }
            }
        }
    }

    /// The first item of the next leaf, where the walk goes on.
    fn next_leaf(&mut self) -> Option<&'a T> {
        loop {
            match self.path.last_mut()?.next() {
                None => drop(self.path.pop()),
                Some(Node::Inner(inner)) => self.path.push(inner.nodes.iter()),
                Some(Node::Leaf(items)) => {
                    self.leaf = items.iter();
                    return self.leaf.next();
                }
            }
        }
    }

    /// The last item of the leaf before, where the walk goes on.
    fn last_leaf(&mut self) -> Option<&'a T> {
        loop {
            match self.path.last_mut()?.next_back() {
                None => drop(self.path.pop()),
                Some(Node::Inner(inner)) => self.path.push(inner.nodes.iter()),
                Some(Node::Leaf(items)) => {
                    self.leaf = items.iter();
                    return self.leaf.next_back();
                }
            }
        }
    }
}

/// The items from some rank on in order, to be changed.
pub struct ItemsMut<'a, T: Item> {
    path: Vec<slice::IterMut<'a, Node<T>>>,
    leaf: vec_deque::IterMut<'a, T>,
}

impl<'a, T: Item> ItemsMut<'a, T> {
    pub(super) fn none() -> Self {
        Self { path: Vec::new(), leaf: vec_deque::IterMut::default() }
    }

    /// What begins with the item of this rank, which there must be.
    pub(super) fn from(mut node: &'a mut Node<T>, mut rank: usize) -> Self {
        let mut path = Vec::new();
        loop {
            match node {
                Node::Leaf(items) => return Self { path, leaf: items.range_mut(rank..) },
                Node::Inner(inner) => {
                    let (child, within) = inner.child_with(rank);
                    let (before, rest) = inner.nodes.split_at_mut(child + 1);
                    path.push(rest.iter_mut());
                    (node, rank) = (&mut before[child], within);
                }
            }
        }
    }
}

impl<'a, T: Item> Iterator for ItemsMut<'a, T> {
    type Item = &'a mut T;

    fn next(&mut self) -> Option<&'a mut T> {
        loop {
            if let Some(item) = self.leaf.next() {
                return Some(item);
            }
            match self.path.last_mut()?.next() {
                None => drop(self.path.pop()),
                Some(Node::Inner(inner)) => self.path.push(inner.nodes.iter_mut()),
                Some(Node::Leaf(items)) => self.leaf = items.iter_mut(),
            }
        }
    }
}
