//! redis-benchmark, in the forms that people run it in.

use super::{output, tool};
use crate::server::{Program, Server};

#[test]
fn runs_to_its_end_without_an_error() {
    let server = Server::start(Program::Caskade, &[]);
    const TESTS: &str = "ping_inline,ping_mbulk,set,get,incr,mset";
    let cases: [(&[&str], usize); 6] = [
        (&["-t", TESTS, "-n", "3000"], 6),
        (&["-t", TESTS, "-n", "20000", "-P", "16", "-r", "1000"], 6),
        (&["-t", "set,get", "-n", "20000", "-P", "64", "-d", "1000", "-r", "100000", "--threads", "2"], 2),
        (&["-t", "set,get", "-n", "3000", "-3"], 2),
        (&["-n", "3000", "SET", "session:__rand_int__", "v", "EX", "100"], 1),
        (&["-n", "3000", "GETEX", "session:__rand_int__", "PERSIST"], 1),
    ];
    for (arguments, tests) in cases {
        let Some(command) = tool("redis-benchmark", &server, &[&["-q"], arguments].concat()) else { return };
        let printed = output("redis-benchmark", command);
        let results = printed.split(['\r', '\n']).filter(|line| line.contains("requests per second")).count();
        assert_eq!(results, tests, "{arguments:?}\n{printed}");
        assert!(!printed.contains("ERR") && !printed.contains("WARN"), "{arguments:?}\n{printed}");
    }
    assert!(server.connect().ask(&["GET", "counter:000000000000"]).bytes().is_some());
    assert!(server.connect().ask(&["DBSIZE"]).integer() > Some(1_000));
}
