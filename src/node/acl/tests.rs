//! What rules make of a user, and what that user may do then.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::protocol::Arguments;

/// get, set, config, config|get, config|set, select, publish, psubscribe.
fn catalogue() -> Catalogue {
    let entry = |name: &str, categories, subcommands: &[usize]| CatalogueEntry {
        name: name.into(),
        categories,
        subcommands: subcommands.to_vec(),
    };
    let admin = Categories::ADMIN | Categories::DANGEROUS | Categories::SLOW;
    Catalogue::new(vec![
        entry("get", Categories::READ | Categories::STRING | Categories::FAST, &[]),
        entry("set", Categories::WRITE | Categories::STRING | Categories::SLOW, &[]),
        entry("config", Categories::SLOW, &[3, 4]),
        entry("config|get", admin, &[]),
        entry("config|set", admin, &[]),
        entry("select", Categories::CONNECTION | Categories::FAST, &[]),
        entry("publish", Categories::PUBSUB | Categories::FAST, &[]),
        entry("psubscribe", Categories::PUBSUB | Categories::SLOW, &[]),
    ])
}

fn words(rules: &str) -> Vec<&[u8]> {
    rules.split(' ').map(str::as_bytes).collect()
}

fn acl_with(rules: &str) -> Acl {
    let acl = Acl::new(catalogue());
    acl.set_user(b"alice", words(rules), false).unwrap_or_else(|error| panic!("{rules}: {error}"));
    acl
}

fn described(acl: &Acl) -> String {
    String::from_utf8(acl.find(b"alice").unwrap().user().describe()).unwrap()
}

/// What is refused of a request; its second and further words are keys that are used so, unless they are channels.
fn refused(acl: &Acl, request: &str, used: KeyUse) -> Option<(Reason, usize)> {
    let texts: Vec<&str> = request.split(' ').collect();
    let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
    for word in &texts {
        ranges.push((bytes.len(), bytes.len() + word.len()));
        bytes.extend_from_slice(word.as_bytes());
    }
    let whole = texts[..texts.len().min(2)].join("|");
    let found = acl.catalogue().find(whole.as_bytes()).map(|number| (number, 2));
    let (command, names) =
        found.or_else(|| Some((acl.catalogue().find(texts[0].as_bytes())?, 1))).unwrap_or_else(|| panic!("{request}"));
    let channels = match texts[0] {
        "publish" => Some(ChannelWords::First),
        "psubscribe" => Some(ChannelWords::Patterns),
        _ => None,
    };
    let request = Request { command, names, words: Arguments::new(&bytes, &ranges), for_everybody: false, channels };
    let has_keys = matches!(texts[0], "get" | "set");
    let keys = (1..if has_keys { texts.len() } else { 1 }).map(|at| (at, used));
    acl.find(b"alice").unwrap().user().check(&request, Some(keys)).err().map(|denied| (denied.reason, denied.at))
}

const READS: KeyUse = KeyUse { reads: true, writes: false };
const WRITES: KeyUse = KeyUse { reads: false, writes: true };

#[test]
fn rules_are_told_as_they_were_given() {
    let cases = [
        ("on", "on resetchannels -@all"),
        ("on nopass allkeys allchannels allcommands", "on nopass ~* &* +@all"),
        ("ON +GET +@Read -Config|SET", "on resetchannels -@all +get +@read -config|set"),
        ("+@all -@admin +config|get", "off resetchannels +@all -@admin +config|get"),
        ("+config|get +config|set -config", "off resetchannels -@all -config"),
        ("+get +set +get", "off resetchannels -@all +set +get"),
        ("+get -@all +set", "off resetchannels -@all +set"),
        ("-select +select|0 +select|AB", "off resetchannels -@all -select +select|0 +select|ab"),
        ("~a* %R~b* %W~c* %rw~d %R~c*", "off ~a* %R~b* ~c* ~d resetchannels -@all"),
        ("%R~* %W~* ~b", "off %RW~* ~b resetchannels -@all"),
        ("~a resetkeys ~b ~b", "off ~b resetchannels -@all"),
        ("&a &b &a", "off resetchannels &a &b -@all"),
        ("skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all"),
        ("on nopass ~* +@all reset", "off sanitize-payload resetchannels -@all"),
        ("(~a +get) (&b +@all)", "off resetchannels -@all (~a resetchannels -@all +get) (resetchannels &b +@all)"),
        ("(~a +get) clearselectors (+set)", "off resetchannels -@all (resetchannels -@all +set)"),
        ("( ~a  +get )", "off resetchannels -@all (~a resetchannels -@all +get)"),
        ("()", "off resetchannels -@all (resetchannels -@all)"),
    ];
    for (rules, expected) in cases {
        assert_eq!(described(&acl_with(rules)), expected, "{rules}");
    }
    let hash = Password::of(b"x").hex();
    assert_eq!(described(&acl_with("nopass >x >x >y <y")), format!("off #{hash} resetchannels -@all"));
    assert_eq!(described(&acl_with(&format!("#{hash} >y !{hash} resetpass"))), "off resetchannels -@all");
}

#[test]
fn wrong_rules_are_refused_in_redis_words_and_change_nothing() {
    let acl = acl_with("on ~a +get");
    let before = described(&acl);
    let cases = [
        ("+set foo", "Error in ACL SETUSER modifier 'foo': Syntax error"),
        ("+set +nosuch", "Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL"),
        ("+set +@nosuch", "Error in ACL SETUSER modifier '+@nosuch': Unknown command or category name in ACL"),
        ("+", "Error in ACL SETUSER modifier '+': Unknown command or category name in ACL"),
        ("+config|nosuch", "Error in ACL SETUSER modifier '+config|nosuch': Unknown command or category name in ACL"),
        ("+nosuch|x", "Error in ACL SETUSER modifier '+nosuch|x': Unknown command or category name in ACL"),
        ("-select|0", "Error in ACL SETUSER modifier '-select|0': Unknown command or category name in ACL"),
        ("+select|", "Error in ACL SETUSER modifier '+select|': Syntax error"),
        (
            "+config|get|x",
            "Error in ACL SETUSER modifier '+config|get|x': Allowing first-arg of a subcommand is not supported",
        ),
        ("%~x", "Error in ACL SETUSER modifier '%~x': Syntax error"),
        ("%RR~x", "Error in ACL SETUSER modifier '%RR~x': Syntax error"),
        ("%X~x", "Error in ACL SETUSER modifier '%X~x': Syntax error"),
        ("%", "Error in ACL SETUSER modifier '%': Syntax error"),
        (
            "~* ~b",
            "Error in ACL SETUSER modifier '~b': Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid \
             and does not have any effect. Try 'resetkeys' to start with an empty list of patterns",
        ),
        (
            "&* &b",
            "Error in ACL SETUSER modifier '&b': Adding a pattern after the * pattern (or the 'allchannels' flag) is not \
             valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels",
        ),
        (
            "<x",
            "Error in ACL SETUSER modifier '<x': The password you are trying to remove from the user does not exist",
        ),
        (
            "#abc",
            "Error in ACL SETUSER modifier '#abc': The password hash must be exactly 64 characters and contain only \
             lowercase hexadecimal characters",
        ),
        ("+set (~b", "Unmatched parenthesis in acl selector starting at '(~b'."),
        ("(~b) +set)", "Error in ACL SETUSER modifier '+set)': Unknown command or category name in ACL"),
        ("(~b +nosuch)", "Error in ACL SETUSER modifier '(~b +nosuch)': Unknown command or category name in ACL"),
        ("(on)", "Error in ACL SETUSER modifier '(on)': Syntax error"),
        ("(~b x) )", "Error in ACL SETUSER modifier '(~b x)': Syntax error"),
    ];
    for (rules, expected) in cases {
        let error = acl.set_user(b"alice", words(rules), false).expect_err(rules);
        assert_eq!(error.to_string(), expected, "{rules}");
        assert_eq!(described(&acl), before, "{rules}");
    }
    for rule in [&b"~a b"[..], b"&a\0", b"~\t", b"(~a) +get)"] {
        assert!(acl.set_user(b"alice", [rule], false).is_err(), "{}", rule.escape_ascii());
    }
    for name in [&b"a b"[..], b"a\0", b"\n"] {
        assert_eq!(acl.set_user(name, [], false), Err(SetUserError::Name));
    }
    assert_eq!(acl.accounts().len(), 2);
}

#[test]
fn commands_are_allowed_by_name_category_and_first_word() {
    let cases = [
        ("+get ~*", "get k", None),
        ("+get ~*", "set k", Some((Reason::Command, 0))),
        ("+@string ~* -get", "set k", None),
        ("+@string ~* -get", "get k", Some((Reason::Command, 0))),
        ("+config|get", "config get", None),
        ("+config|get", "config set", Some((Reason::Command, 0))),
        ("+config -config|set", "config get", None),
        ("+config -config|set", "config set", Some((Reason::Command, 0))),
        ("+@all -@dangerous", "config get", Some((Reason::Command, 0))),
        // Its container is slow, and takes all it contains along.
        ("+@slow", "config get", None),
        ("+select|0", "select 0", None),
        ("+select|0", "select 1", Some((Reason::Command, 0))),
        ("+select|ab", "select AB", None),
        ("+select|0", "select", Some((Reason::Command, 0))),
        ("+select|0 -@connection", "select 0", Some((Reason::Command, 0))),
        ("+select|0 +select -select", "select 0", Some((Reason::Command, 0))),
    ];
    for (rules, request, expected) in cases {
        assert_eq!(refused(&acl_with(rules), request, READS), expected, "{rules}: {request}");
    }
}

#[test]
fn keys_are_allowed_by_pattern_and_use() {
    let key = |at| Some((Reason::Key, at));
    let cases = [
        ("~a* ~b", "get a1 b", READS, None),
        ("~a* ~b", "get a1 b1", READS, key(2)),
        ("%R~a", "get a", READS, None),
        ("%R~a", "get a", WRITES, key(1)),
        ("%R~a", "get a", KeyUse::BOTH, key(1)),
        ("%W~a", "get a", WRITES, None),
        ("%W~a", "get a", READS, key(1)),
        ("%R~a %W~a", "get a", KeyUse::BOTH, None),
        // Both from one pattern, not each from another.
        ("%R~a %W~a*", "get a", KeyUse::BOTH, key(1)),
        ("%R~a %W~b", "get a", KeyUse::default(), None),
        ("%R~a %W~b", "get c", KeyUse::default(), key(1)),
        ("", "get a", KeyUse::default(), key(1)),
        ("~b (~a +get)", "get a", READS, None),
        ("~b (~a +get)", "get a b", READS, key(2)),
        ("~b (~a +get)", "get b a", READS, key(2)),
        ("~b (~a)", "get a", READS, key(1)),
    ];
    for (rules, request, used, expected) in cases {
        let acl = acl_with(&format!("+get {rules}"));
        assert_eq!(refused(&acl, request, used), expected, "{rules}: {request}");
    }
}

#[test]
fn a_request_whose_keys_nobody_knows_needs_all_keys() {
    let request = Request {
        command: 0,
        names: 1,
        words: Arguments::new(b"get", &[(0, 3)]),
        for_everybody: false,
        channels: None,
    };
    let refused = |rules| {
        let acl = acl_with(rules);
        acl.find(b"alice").unwrap().user().check(&request, None::<std::iter::Empty<(usize, KeyUse)>>).err()
    };
    assert_eq!(refused("+get ~?*"), Some(Denied { reason: Reason::Key, at: 0 }));
    assert_eq!((refused("+get ~*"), refused("(+get allkeys)")), (None, None));
}

#[test]
fn channels_are_allowed_by_pattern_and_patterns_as_they_stand() {
    let channel = |at| Some((Reason::Channel, at));
    let cases = [
        ("&news.*", "publish news.a x", None),
        ("&news.*", "publish other news.a", channel(1)),
        ("&news.*", "psubscribe news.*", None),
        ("&news.*", "psubscribe news.* news.a", channel(2)),
        ("&*", "psubscribe *", None),
        ("allchannels resetchannels", "publish a x", channel(1)),
        ("(&a +@pubsub)", "publish a x", None),
    ];
    for (rules, request, expected) in cases {
        let acl = acl_with(&format!("+@pubsub {rules}"));
        assert_eq!(refused(&acl, request, READS), expected, "{rules}: {request}");
    }
    let acl = acl_with("&a.* (&b)");
    let account = acl.find(b"alice").unwrap();
    let asked = [(&b"a.x"[..], false), (b"b", false), (b"a.*", true), (b"b", true), (b"c", false), (b"a.x", true)];
    let answers = asked.map(|(channel, is_pattern)| account.user().allows_channel(channel, is_pattern));
    assert_eq!(answers, [true, true, true, true, false, false]);
}

#[test]
fn channels_are_there_from_the_start_where_the_setting_says_so() {
    let acl = Acl::new(catalogue());
    acl.set_user(b"alice", words("+get (+set)"), true).unwrap();
    assert_eq!(described(&acl), "off &* -@all +get (&* -@all +set)");
    acl.set_user(b"alice", words("resetchannels &a clearselectors"), true).unwrap();
    assert_eq!(described(&acl), "off resetchannels &a -@all +get");
    acl.set_user(b"alice", words("reset"), true).unwrap();
    assert_eq!(described(&acl), "off sanitize-payload &* -@all");
}

#[test]
fn who_logs_in_needs_a_password_that_is_right() {
    let acl = acl_with("on >one >two");
    let may = |name: &str, password: &str| acl.authenticate(name.as_bytes(), password.as_bytes()).is_some();
    assert!(may("alice", "one") && may("alice", "two") && may("default", "any"));
    assert!(!may("alice", "") && !may("alice", "On") && !may("bob", "one"));
    let set = |rules| acl.set_user(b"alice", words(rules), false).unwrap();
    set("off");
    assert!(!may("alice", "one"));
    set("on <one");
    assert!(!may("alice", "one") && may("alice", "two"));
    set("nopass");
    assert!(may("alice", "whatever"));
    set("resetpass");
    assert!(!may("alice", "") && !may("alice", "two"));
}

#[test]
fn the_password_of_default_changes_and_the_rest_stays() {
    let acl = Acl::new(catalogue());
    let default = acl.default_account();
    assert!(default.is_open() && default.is_unlimited());
    acl.set_user(b"default", words("-get"), false).unwrap();
    acl.set_default_password(Some("x"));
    assert!(!default.is_open() && !default.is_unlimited() && acl.authenticate(b"default", b"x").is_some());
    acl.set_default_password(None);
    assert!(default.is_open() && default.user().describe().ends_with(b"+@all -get"));
    acl.set_user(b"default", words("off"), false).unwrap();
    assert!(!default.is_open() && default.user().is_without_password());
}

#[test]
fn whoever_has_all_rights_in_one_set_of_rules_is_not_checked() {
    let cases = [
        ("~* &* +@all", true),
        ("~* &* +@all -get", false),
        ("~* &* +@all -get +get", true),
        ("~* &* -@all +@fast +@slow", true),
        ("~* +@all", false),
        ("&* +@all", false),
        ("(~* &* +@all)", true),
        ("~* (&* +@all)", false),
    ];
    for (rules, expected) in cases {
        assert_eq!(acl_with(rules).find(b"alice").unwrap().is_unlimited(), expected, "{rules}");
    }
}

#[test]
fn a_deleted_user_is_gone_for_those_who_hold_it() {
    let acl = acl_with("on nopass ~* &* +@all");
    let held = acl.find(b"alice").unwrap();
    assert!(held.is_unlimited() && !held.is_gone());
    assert!(acl.delete_user(b"alice").is_some() && acl.delete_user(b"alice").is_none());
    assert!(held.is_gone() && !held.is_unlimited() && acl.authenticate(b"alice", b"").is_none());
    assert!(acl.delete_user(b"default").is_none() && acl.find(b"default").is_some());
}

#[test]
fn whoever_checks_sees_all_rules_of_a_change_or_none() {
    let acl = acl_with("on +get ~a");
    let (reads, writes) = (words("-set +get resetkeys ~a"), words("-get +set resetkeys ~b"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(SeqCst) {
                for rules in [&writes, &reads] {
                    acl.set_user(b"alice", rules.iter().copied(), false).unwrap();
                }
            }
        });
        let mut seen = [0, 0];
        let mut mixed = false;
        while seen.iter().any(|times| *times < 100) && !mixed {
            // Of both sets together each of these would be allowed.
            mixed = refused(&acl, "get b", READS).is_none() || refused(&acl, "set a", WRITES).is_none();
            seen[0] += usize::from(refused(&acl, "get a", READS).is_none());
            seen[1] += usize::from(refused(&acl, "set b", WRITES).is_none());
        }
        done.store(true, SeqCst);
        assert!(!mixed);
    });
}

#[test]
fn a_file_replaces_all_users_or_none() {
    let acl = acl_with("on +get");
    let held = acl.find(b"alice").unwrap();
    let load = |text: &str| acl.replace_all(text.as_bytes(), Path::new("f"), false);
    let told = load("user bob on\nuser bob off +nosuch\nuser carol (~a\nuser dan +nosuch ~ ~* ~b ~c").unwrap_err();
    let expected = "WARNING: Duplicate user 'bob' found on line 2. f:3: Unmatched parenthesis in selector definition.f:4: Error \
        in applying operation '+nosuch': Unknown command or category name in ACL. f:4: Adding a pattern after";
    assert!(told.starts_with(expected) && told.matches("f:4").count() == 2, "{told}");
    assert!(!held.is_gone() && acl.accounts().len() == 2);
    load("user default off\n\nuser alice  on (~a  +get)\r\n").unwrap();
    assert!(held.is_gone() && !acl.default_account().is_open());
    assert_eq!(described(&acl), "on resetchannels -@all (~a resetchannels -@all +get)");
    load("").unwrap();
    assert!(acl.default_account().is_open() && acl.is_default_with(None) && !acl.is_default_with(Some("x")));
    assert_eq!(acl.accounts().len(), 1);
}

fn rule() -> impl Strategy<Value = String> {
    let names = ["get", "set", "config", "config|get", "config|set", "select", "publish", "@read", "@slow", "@admin"];
    let fixed = [
        "on",
        "off",
        "nopass",
        "resetpass",
        "reset",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "+@all",
        "-@all",
        "sanitize-payload",
        "skip-sanitize-payload",
        "clearselectors",
        "+select|0",
        "+select|One",
        "+select|1",
    ];
    prop_oneof![
        4 => (any::<bool>(), prop::sample::select(names.to_vec()))
            .prop_map(|(allow, name)| format!("{}{name}", if allow { '+' } else { '-' })),
        2 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        2 => "[~&]|%(R|W|RW)~".prop_flat_map(|prefix| "[a-c*?(\"'\\\\]{0,3}".prop_map(move |rest| format!("{prefix}{rest}"))),
        1 => "[>#][ab]{1,2}".prop_map(|rule| rule.replace('#', ">")),
    ]
}

proptest! {
    #[test]
    fn what_is_told_of_a_user_makes_an_equal_one(
        outside in prop::collection::vec(rule(), 0..12),
        inside in prop::collection::vec(prop::collection::vec(rule(), 0..5), 0..3),
        all_channels: bool,
    ) {
        let acl = Acl::new(catalogue());
        let selectors = inside.iter().map(|rules| format!("({})", rules.join(" ")));
        for rule in outside.iter().cloned().chain(selectors) {
            // Some are refused, and change nothing.
            let _ = acl.set_user(b"alice", [rule.as_bytes()], all_channels);
        }
        acl.set_user(b"alice", [], all_channels).unwrap();
        let told = described(&acl);
        acl.set_user(b"bob", words(&told), all_channels).unwrap();
        let [alice, bob] = [&b"alice"[..], b"bob"].map(|name| acl.find(name).unwrap());
        prop_assert_eq!(&**alice.user(), &**bob.user(), "{}", told);
        prop_assert_eq!(alice.is_unlimited(), bob.is_unlimited());
    }
}
