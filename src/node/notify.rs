//! Keyspace notifications: events of keys, published on channels of their own.

use super::Node;
use crate::config::EventClasses;
use crate::store::Position;

pub use crate::config::EventClass;

impl Node {
    /// Which classes of events anybody is to be told of.
    #[inline]
    pub fn notified(&self) -> EventClasses {
        self.config.get().notify_keyspace_events
    }

    /// Publishes an event of a key, on the channels that the setting asks for; it arrives once the log has reached `wait`.
    pub fn notify(&self, class: EventClass, event: &str, database: u32, key: &[u8], wait: Position) {
        let classes = self.notified();
        if !classes.has(class) || !self.pubsub.has_listeners() {
            return;
        }
        if classes.has(EventClass::KEYSPACE) {
            let channel = [format!("__keyspace@{database}__:").as_bytes(), key].concat();
            self.publish(&channel, event.as_bytes(), wait);
        }
        if classes.has(EventClass::KEYEVENT) {
            self.publish(format!("__keyevent@{database}__:{event}").as_bytes(), key, wait);
        }
    }
}
