//! The state of a simulated disk, and the rules by which calls change it.

use std::collections::BTreeMap;
use std::io;

use super::inode::Inode;
use super::survival::Survival;
use super::{At, Call, CallKind, Often};

/// Ordered maps only, so that the same calls always leave the same disk.
#[derive(Default)]
pub(super) struct State {
    pub history: Vec<Call>,
    pub opens: u64,
    pub reads: u64,
    pub inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    pub names: BTreeMap<String, u64>,
    pub durable_names: BTreeMap<String, u64>,
    /// Changes of the directory no sync has covered: the call, the change, the file that the new name means.
    pub pending_names: Vec<(u64, NameChange, u64)>,
    pub crash_at: Option<(u64, bool)>,
    pub crashed: bool,
    pub faults: Vec<Fault>,
    pub disabled: Vec<CallKind>,
    pub capacity: Option<u64>,
    pub cold: bool,
    pub held: Vec<CallKind>,
    pub waiting: Vec<CallKind>,
}

pub(super) struct Fault {
    pub at: At,
    pub error: io::ErrorKind,
    pub often: Often,
}

/// Which call it is, of those that are counted together.
#[derive(Clone, Copy)]
enum Number {
    Call(u64),
    Open(u64),
    Read(u64),
}

/// A call that goes ahead.
pub(super) struct Entered {
    pub call: u64,
    /// The machine goes off in the middle of it.
    pub torn: bool,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Create {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    /// The file of some name gets this one as well.
    Link {
        name: String,
    },
}

impl NameChange {
    pub fn concerns(&self, it: &str) -> bool {
        match self {
            Self::Create { name } | Self::Remove { name } | Self::Link { name } => name == it,
            Self::Rename { from, to } => from == it || to == it,
        }
    }

    /// Whether it is a change of this directory: the one of the names that begin so and go no deeper.
    fn is_in(&self, directory: &str) -> bool {
        let (Self::Create { name } | Self::Remove { name } | Self::Link { name } | Self::Rename { to: name, .. }) =
            self;
        parent(name) == directory
    }
}

/// The directory of a name: what stands before the name itself, separators included. That of a directory ends with one.
pub(super) fn parent(name: &str) -> &str {
    let own = name.strip_suffix('/').unwrap_or(name);
    &name[..own.rfind('/').map_or(0, |at| at + 1)]
}

pub(super) fn machine_is_off() -> io::Error {
    io::Error::other("the simulated machine is off")
}

impl State {
    /// Counts a call and lets what was planned for it happen.
    pub fn enter(&mut self, kind: CallKind, name: &str) -> io::Result<Entered> {
        if self.crashed {
            return Err(machine_is_off());
        }
        let call = self.history.len() as u64;
        let mut torn = false;
        if let Some((at, within)) = self.crash_at
            && call >= at
        {
            self.crashed = true;
            torn = within && kind == CallKind::Write;
            if !torn {
                return Err(machine_is_off());
            }
        }
        self.history.push(Call { kind, name: name.to_owned() });
        self.strike(kind, name, Number::Call(call))?;
        if kind == CallKind::Create {
            self.opens += 1;
            self.strike(kind, name, Number::Open(self.opens - 1))?;
        }
        Ok(Entered { call, torn })
    }

    /// Counts the opening of a file that is there.
    pub fn enter_open(&mut self, name: &str) -> io::Result<()> {
        if self.crashed {
            return Err(machine_is_off());
        }
        self.opens += 1;
        self.strike(CallKind::Read, name, Number::Open(self.opens - 1))
    }

    pub fn enter_read(&mut self, name: &str) -> io::Result<()> {
        if self.crashed {
            return Err(machine_is_off());
        }
        self.reads += 1;
        self.strike(CallKind::Read, name, Number::Read(self.reads - 1))
    }

    fn strike(&mut self, kind: CallKind, name: &str, number: Number) -> io::Result<()> {
        let meets = |fault: &Fault| match (&fault.at, number) {
            (At::Call(at), Number::Call(call)) => *at == call,
            (At::From(at), Number::Call(call)) => call >= *at,
            (At::Open(at), Number::Open(number)) | (At::Read(at), Number::Read(number)) => {
                number == *at || number > *at && fault.often == Often::Always
            }
            (At::Call(_) | At::From(_) | At::Open(_) | At::Read(_), _) => false,
            (At::Kind(of), _) => *of == kind,
            (At::File(of, file), _) => *of == kind && file == name,
        };
        let Some(index) = self.faults.iter().position(meets) else { return Ok(()) };
        let error = self.faults[index].error;
        if self.faults[index].often == Often::Once {
            self.faults.remove(index);
        }
        Err(io::Error::new(error, format!("simulated {kind:?} error ({error}) on {name:?}")))
    }

    /// The open file of this number; an open handle or a name keeps it.
    pub fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("a file lives while it is open or has a name")
    }

    pub fn add(&mut self, inode: Inode) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, inode);
        self.next_inode
    }

    pub fn find(&self, name: &str) -> io::Result<u64> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no file {name:?}"));
        self.names.get(name).copied().ok_or_else(missing)
    }

    /// Counts a handle of this file.
    pub fn opened(&mut self, inode: u64) -> u64 {
        self.inode(inode).handles += 1;
        inode
    }

    pub fn create(&mut self, call: u64, name: &str) -> io::Result<u64> {
        if self.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there is a file {name:?}")));
        }
        let inode = self.add(Inode::default());
        self.record(call, NameChange::Create { name: name.to_owned() }, inode);
        Ok(inode)
    }

    pub fn change_name(&mut self, call: u64, change: NameChange) -> io::Result<()> {
        let (NameChange::Rename { from: name, .. }
        | NameChange::Remove { name }
        | NameChange::Create { name }
        | NameChange::Link { name }) = &change;
        let inode = self.find(name)?;
        self.record(call, change, inode);
        Ok(())
    }

    /// Gives a file another name.
    pub fn link(&mut self, call: u64, name: &str, new: &str) -> io::Result<()> {
        let inode = self.find(name)?;
        if self.names.contains_key(new) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there is a file {new:?}")));
        }
        self.record(call, NameChange::Link { name: new.to_owned() }, inode);
        Ok(())
    }

    fn record(&mut self, call: u64, change: NameChange, inode: u64) {
        apply(&mut self.names, &change, inode);
        self.pending_names.push((call, change, inode));
    }

    /// Makes every change of a directory by a call before `start` durable.
    pub fn sync_names(&mut self, start: u64, directory: &str) {
        let (synced, pending): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending_names)
            .into_iter()
            .partition(|(call, change, _)| *call < start && change.is_in(directory));
        for (_, change, inode) in synced {
            apply(&mut self.durable_names, &change, inode);
        }
        self.pending_names = pending;
        self.drop_unreachable();
    }

    /// Frees files that are neither open nor have a name, nor could have one after a loss of power.
    pub fn drop_unreachable(&mut self) {
        let Self { inodes, names, durable_names, pending_names, .. } = self;
        inodes.retain(|number, inode| {
            inode.handles > 0
                || names.values().chain(durable_names.values()).any(|named| named == number)
                || pending_names.iter().any(|(_, _, named)| named == number)
        });
    }

    pub fn used(&self) -> u64 {
        let named: std::collections::BTreeSet<u64> = self.names.values().copied().collect();
        let takes_space = |(number, inode): &(&u64, &Inode)| inode.handles > 0 || named.contains(number);
        self.inodes.iter().filter(takes_space).map(|(_, inode)| inode.written.len() as u64).sum()
    }

    pub fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    /// The length, `length` at most, up to which this file may grow.
    pub fn room(&self, inode: u64, length: u64) -> u64 {
        let now = self.inodes[&inode].written.len() as u64;
        if length <= now || self.capacity.is_none() { length } else { length.min(now.saturating_add(self.free())) }
    }

    pub fn survivors(&self, survival: Survival) -> State {
        let oldest_data = self.inodes.values().filter_map(Inode::oldest_pending).min();
        let oldest_name = self.pending_names.first().map(|(call, ..)| *call);
        let calls = self.history.len() as u64;
        let oldest = oldest_data.into_iter().chain(oldest_name).min().unwrap_or(calls);
        let mut fate = survival.fate(oldest, calls);
        let mut names = self.durable_names.clone();
        for (call, change, inode) in &self.pending_names {
            if fate.name(*call) {
                apply(&mut names, change, *inode);
            }
        }
        drop_unreachable_names(&mut names);
        self.with_names(names, |inode| Inode::durable(inode.survive(&mut *fate)))
    }

    pub fn after_kill(&self) -> State {
        let mut state = self.with_names(self.names.clone(), Inode::clone);
        // What has no name any more could still get one back by a loss of power.
        state.inodes = self.inodes.clone();
        state.inodes.values_mut().for_each(|inode| inode.handles = 0);
        state.durable_names = self.durable_names.clone();
        state.pending_names = self.pending_names.clone();
        state.history = self.history.clone();
        state.drop_unreachable();
        state
    }

    fn with_names(&self, names: BTreeMap<String, u64>, mut copy: impl FnMut(&Inode) -> Inode) -> State {
        let inodes = names.values().map(|number| (*number, copy(&self.inodes[number]))).collect();
        State {
            inodes,
            next_inode: self.next_inode,
            durable_names: names.clone(),
            names,
            capacity: self.capacity,
            ..State::default()
        }
    }
}

/// What is in a directory that is not there is not there.
fn drop_unreachable_names(names: &mut BTreeMap<String, u64>) {
    let known: Vec<String> = names.keys().filter(|name| name.ends_with('/')).cloned().collect();
    names.retain(|name, _| {
        let mut directory = parent(name);
        while !directory.is_empty() && known.iter().any(|known| known == directory) {
            directory = parent(directory);
        }
        directory.is_empty()
    });
}

fn apply(names: &mut BTreeMap<String, u64>, change: &NameChange, inode: u64) {
    match change {
        NameChange::Create { name } | NameChange::Link { name } => {
            names.insert(name.clone(), inode);
        }
        NameChange::Rename { from, to } => {
            names.remove(from);
            names.insert(to.clone(), inode);
        }
        NameChange::Remove { name } => {
            names.remove(name);
        }
    }
}
