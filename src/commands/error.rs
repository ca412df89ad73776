//! What a client can read as an error, each text in one place: clients match on code and words.

use std::borrow::Cow;
use std::sync::Arc;

use super::errand::Errand;
use crate::keyspace::{Cold, Halt};
use crate::node::{Block, Waiter};
use crate::store::Refused;

/// Why a command has no reply.
#[derive(Debug)]
pub enum Stop {
    /// An error to send; its first word is the code. Bytes, since it may repeat what a client sent.
    Error(Cow<'static, [u8]>),
    /// Values have to be fetched from the disk first; then the command runs again.
    Cold(Vec<Cold>),
    /// Something has to be done first that waits for the disk; then the command runs again.
    Errand(Errand),
    /// The log has to take in what it has first; then the command runs again.
    Room,
    /// There is nothing to answer yet: the connection waits for this.
    Block(Box<Block>),
    /// The connection waits, and has left its session there.
    Blocked(Arc<Waiter>),
    /// Clients are held back: CLIENT PAUSE said so. Then the command runs again.
    Paused,
    /// Nothing is sent: CLIENT REPLY said so.
    Silent,
    /// The reply stands in the output already.
    Written,
}

impl Stop {
    /// An error with a text of its own.
    pub fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// An error that repeats a client's word as Redis does: byte by byte up to its first zero byte, with no line ends
    /// around the whole.
    pub fn repeating(before: &str, word: &[u8], after: &str) -> Self {
        let text = [before.as_bytes(), text::shown(word, usize::MAX), after.as_bytes()].concat();
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = text.iter().rposition(|byte| !is_line_end(byte)).map_or(0, |last| last + 1);
        Self::Error(Cow::Owned(text[..end].to_vec()))
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Cold(cold) => Self::Cold(cold),
            Halt::Damaged => text::DAMAGED.into(),
            Halt::Unreadable(reason) => Self::error(format!("ERR the disk failed to read this value: {reason}")),
            Halt::Refused(refused) => refused.into(),
            Halt::WrongType => text::WRONG_TYPE.into(),
        }
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::DiskFull => text::DISK_FULL.into(),
            Refused::NoSegment(reason) => Self::error(format!(
                "MISCONF Caskade cannot create another file for its log now, and tries again at the next change: {reason}"
            )),
            Refused::ReadOnly(reason) => Self::error(format!(
                "MISCONF Caskade cannot write its log, and takes no changes until it is restarted: check the disk first. Reads go \
                 on. What happened: {reason}"
            )),
            Refused::TooLarge { .. } => text::TOO_LARGE.into(),
        }
    }
}

impl From<&'static str> for Stop {
    fn from(text: &'static str) -> Self {
        Self::Error(Cow::Borrowed(text.as_bytes()))
    }
}

/// The texts.
pub mod text {
    use super::Stop;
    use crate::node::acl::Reason;
    use crate::protocol::Arguments;

    /// How much of an unknown name, and of its arguments, an error repeats.
    pub const SHOWN_BYTES_MAX: usize = 128;

    pub const SYNTAX: &str = "ERR syntax error";
    pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
    pub const NOT_32_BITS: &str = "ERR value is out of range, value must between -2147483648 and 2147483647";
    pub const NO_SIZE: &str =
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    pub const INDEX_OUT_OF_RANGE: &str = "ERR index out of range";
    pub const NUMKEYS_NOT_POSITIVE: &str = "ERR numkeys should be greater than 0";
    pub const COUNT_NOT_POSITIVE: &str = "ERR count should be greater than 0";
    pub const COUNT_NEGATIVE: &str = "ERR COUNT can't be negative";
    pub const MAXLEN_NEGATIVE: &str = "ERR MAXLEN can't be negative";
    pub const RANK_ZERO: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
        negative to start from the end of the list";
    pub const NOT_A_FLOAT: &str = "ERR value is not a valid float";
    pub const NO_SUCH_KEY: &str = "ERR no such key";
    pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
    pub const OUT_OF_RANGE: &str = "ERR value is out of range";
    pub const NOT_A_COUNT: &str =
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    pub const HASH_VALUE_NOT_AN_INTEGER: &str = "ERR hash value is not an integer";
    pub const HASH_VALUE_NOT_A_FLOAT: &str = "ERR hash value is not a float";
    pub const INFINITE_INCREMENT: &str = "ERR value is NaN or Infinity";
    pub const FIELDS_MISCOUNTED: &str =
        "ERR numfields should be greater than 0 and match the provided number of fields";
    pub const TOO_MANY_KEYS: &str = "ERR Number of keys can't be greater than number of args";
    pub const LIMIT_NEGATIVE: &str = "ERR LIMIT can't be negative";
    pub const CONDITIONS_WITH_NX: &str = "ERR NX and XX, GT or LT options at the same time are not compatible";
    pub const CONDITIONS_GT_LT: &str = "ERR GT and LT options at the same time are not compatible";
    pub const OVERFLOW: &str = "ERR increment or decrement would overflow";
    pub const DECREMENT_OVERFLOW: &str = "ERR decrement would overflow";
    pub const NAN_OR_INFINITY: &str = "ERR increment would produce NaN or Infinity";
    pub const STRING_TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    pub const OFFSET_OUT_OF_RANGE: &str = "ERR offset is out of range";
    pub const DB_OUT_OF_RANGE: &str = "ERR DB index is out of range";
    pub const SAME_OBJECT: &str = "ERR source and destination objects are the same";
    pub const INVALID_CURSOR: &str = "ERR invalid cursor";
    pub const NO_AUTH: &str = "NOAUTH Authentication required.";
    pub const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
    pub const NO_KEY_PERMISSION: &str = "NOPERM No permissions to access a key";
    pub const NO_CHANNEL_PERMISSION: &str = "NOPERM No permissions to access a channel";
    pub const USER_NAME: &str = "ERR Usernames can't contain spaces or null characters";
    pub const DEFAULT_STAYS: &str = "ERR The 'default' user cannot be removed";
    pub const NO_ACL_FILE: &str = "ERR This Redis instance is not configured to use an ACL file. You may want to specify \
        users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) \
        in order to store users in the Redis configuration.";
    pub const ACL_NOT_SAVED: &str =
        "ERR There was an error trying to save the ACLs. Please check the server logs for more information";
    pub const GENPASS_BITS: &str = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive \
        number up to 4096";
    pub const EXEC_ABORT: &str = "EXECABORT Transaction discarded because of previous errors.";
    pub const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
    pub const LOADING: &str = "LOADING Redis is loading the dataset in memory";
    pub const DAMAGED: &str =
        "ERR the newest record of this key is damaged on the disk; the server's log names the place";
    pub const DISK_FULL: &str =
        "MISCONF the disk is full: free some space on it, writing resumes by itself; reads and DEL go on";
    pub const TOO_LARGE: &str = "ERR the change is larger than one batch of the log may be (2 GiB)";

    /// The keys are not there yet.
    pub fn loading() -> Stop {
        LOADING.into()
    }

    /// The number of arguments is not one the command takes.
    pub fn wrong_arity(name: &str) -> Stop {
        Stop::error(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// A queued command that its user may not run any more.
    pub fn revoked(reason: Reason) -> Stop {
        let what = match reason {
            Reason::Command | Reason::Auth => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments to the command",
        };
        Stop::error(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
             is no longer allowed for the following reason: {what}"
        ))
    }

    pub const NOT_ZERO_OR_ONE: &str = "ERR value is out of range, value must between 0 and 1";
    pub const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";
    pub const TIMEOUT_NOT_A_FLOAT: &str = "ERR timeout is not a float or out of range";
    pub const TIMEOUT_NOT_AN_INTEGER: &str = "ERR timeout is not an integer or out of range";
    pub const TIMEOUT_NEGATIVE: &str = "ERR timeout is negative";
    pub const TIMEOUT_OUT_OF_RANGE: &str = "ERR timeout is out of range";
    pub const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
    pub const MONITOR_DENIED: &str = "ERR MONITOR isn't allowed for DENY BLOCKING client";
    pub const MONITOR_NO_KEYS: &str = "ERR Replica can't interact with the keyspace";

    pub const SCORES_NOT_FLOATS: &str = "ERR min or max is not a float";
    pub const NAMES_NOT_BOUNDS: &str = "ERR min or max not valid string range item";
    pub const SCORE_NOT_A_NUMBER: &str = "ERR resulting score is not a number (NaN)";
    pub const XX_AND_NX: &str = "ERR XX and NX options at the same time are not compatible";
    pub const GT_LT_AND_NX: &str = "ERR GT, LT, and/or NX options at the same time are not compatible";
    pub const INCR_OF_SEVERAL: &str = "ERR INCR option supports a single increment-element pair";
    pub const LIMIT_OF_RANKS: &str =
        "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    pub const SCORES_BY_NAME: &str = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    pub const WEIGHT_NOT_A_FLOAT: &str = "ERR weight value is not a float";

    /// A command on as many keys as it says has none.
    pub fn no_input_keys(name: &str) -> Stop {
        Stop::error(format!("ERR at least 1 input key is needed for '{name}' command"))
    }

    /// A time to live that no key can have.
    pub fn invalid_expire(name: &str) -> Stop {
        Stop::error(format!("ERR invalid expire time in '{name}' command"))
    }

    /// A subcommand that the container does not have.
    pub fn unknown_subcommand(subcommand: &[u8], container: &str) -> Stop {
        let after = format!("'. Try {} HELP.", container.to_uppercase());
        Stop::repeating("ERR unknown subcommand '", shown(subcommand, SHOWN_BYTES_MAX), &after)
    }

    /// A subcommand that the container does not have, or with another number of arguments.
    pub fn subcommand_syntax(subcommand: &[u8], container: &str) -> Stop {
        let (before, after) = ("ERR unknown subcommand or wrong number of arguments for '", container.to_uppercase());
        Stop::repeating(before, shown(subcommand, SHOWN_BYTES_MAX), &format!("'. Try {after} HELP."))
    }

    /// No command has the name that the request begins with.
    pub fn unknown_command(words: Arguments<'_>) -> Stop {
        let mut arguments = Vec::new();
        for word in words.from(1).iter() {
            if arguments.len() >= SHOWN_BYTES_MAX {
                break;
            }
            let word = shown(word, SHOWN_BYTES_MAX - arguments.len());
            arguments.extend([b"'", word, b"' "].concat());
        }
        let name = shown(words.get(0).unwrap_or_default(), SHOWN_BYTES_MAX);
        let text = [b"ERR unknown command '", name, b"', with args beginning with: ", &arguments].concat();
        Stop::Error(text.into())
    }

    /// A word as Redis prints it: up to its first zero byte, and no more than so many bytes.
    pub fn shown(word: &[u8], most: usize) -> &[u8] {
        let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
        &word[..word.len().min(most)]
    }
}
