//! Asking a server whether it is ready: for containers and probes without a shell.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::tls;
use crate::config::cli::Healthcheck;

/// Sends AUTH where a password is known, and PING; ready is who answers PONG, asks for a password or another certificate,
/// or allows no PING. Returns what somebody should look at although the server is ready.
///
/// # Errors
/// A line that says why the server is not ready.
pub fn healthcheck(check: &Healthcheck) -> Result<Option<&'static str>, String> {
    const OPEN: &str = "ready, without a password: set one (`requirepass`) before other machines can reach the port";
    let answer = match ask(check) {
        Err(error) if tls::refuses_only_certificate(&error) => return Ok(None),
        answer => answer.map_err(|error| format!("no answer: {error}"))?,
    };
    if ["+PONG", "-NOAUTH", "-NOPERM"].iter().any(|ready| answer.starts_with(ready)) {
        let is_open = answer.starts_with("+PONG") && check.is_reachable && check.password.is_none();
        return Ok(is_open.then_some(OPEN));
    }
    if answer.is_empty() {
        return Err("no answer: the server closed the connection; a port for TLS wants `--tls`".into());
    }
    Err(format!("not ready: {}", answer.trim_end()))
}

fn ask(check: &Healthcheck) -> std::io::Result<String> {
    if let Some(path) = &check.unixsocket {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(check.timeout))?;
        return ping(stream, check);
    }
    let mut last = std::io::Error::other("the host has no address");
    for address in (check.host.as_str(), check.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, check.timeout.max(Duration::from_millis(1))) {
            Ok(stream) => {
                stream.set_read_timeout(Some(check.timeout))?;
                return match &check.tls {
                    Some(settings) => ping(tls::ask(stream, settings)?, check),
                    None => ping(stream, check),
                };
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ping(mut stream: impl Read + Write, check: &Healthcheck) -> std::io::Result<String> {
    if let Some(password) = &check.password {
        stream.write_all(format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len()).as_bytes())?;
        // The password may have been changed since: the answer to PING decides.
        read_line(&mut stream)?;
    }
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    read_line(&mut stream)
}

fn read_line(stream: &mut impl Read) -> std::io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") && line.len() < 1024 {
        if stream.read(&mut byte)? == 0 {
            break;
        }
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
