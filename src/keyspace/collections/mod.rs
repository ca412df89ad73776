//! Hashes, sets, lists and sorted sets: small ones packed in one record, large ones with a record for each element.
//!
//! Always true: what a command sees and does is the same in both forms; what it has changed takes effect when it calls `finish`,
//! and not at all where it does not get there.
//!
//! | file | what |
//! | --- | --- |
//! | `hash`, `set`, `list`, `zset` | what commands may do with a value of each type |
//! | `found` | a value that is read, in either form |
//! | `edit` | a value that is changed, in either form |
//! | `position`, `listpack` | of lists: how elements of large ones are named, and what they would take in Redis |
//! | `object` | a large one: its elements, and changes that are not yet in the log |
//! | `elements`, `member` | what a large one is made of |
//! | `objects` | all large ones by their ids |
//! | `effect` | how changes of large ones get into the log |

mod edit;
mod effect;
mod elements;
mod found;
mod hash;
mod list;
mod listpack;
mod member;
mod object;
mod objects;
mod position;
mod set;
mod zset;

pub use self::edit::Edited;
pub use self::elements::Name;
pub use self::hash::{Hash, HashEdit};
pub use self::list::{End, List, ListEdit};
pub use self::set::{Set, SetEdit, SetKind};
pub use self::zset::{MemberScores, ZSet, ZSetEdit};

pub(super) use self::effect::Touched;
pub(super) use self::found::Known;
pub(super) use self::object::{Loaded as LoadedElement, Object};
pub(super) use self::objects::{OBJECT_PARTS, Objects};
