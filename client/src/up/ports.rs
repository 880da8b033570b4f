//! The addresses that Atlas listens on.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use atlas_runtime::process::port_holder;

use super::Error;

/// An address to listen on; port 0 picks a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(SocketAddr);

impl Listen {
    /// Of this machine alone.
    pub const fn local(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for Listen {
    type Err = String;

    /// `5558`, `:5558`, `127.0.0.1:5558` or `[::1]:5558`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix(':').unwrap_or(text);
        if let Ok(port) = bare.parse() {
            return Ok(Self::local(port));
        }
        let text = text.replace("localhost:", "127.0.0.1:");
        text.parse()
            .map(Self)
            .map_err(|_| "it is neither a port nor an address such as 127.0.0.1:5558".into())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Listen> for SocketAddr {
    fn from(listen: Listen) -> Self {
        listen.0
    }
}

/// Refuses addresses that are taken, by another process or by each other, and names who holds them.
pub fn check(wanted: impl IntoIterator<Item = (&'static str, Listen)>) -> Result<(), Error> {
    let mut held: Vec<(&str, TcpListener)> = Vec::new();
    for (flag, Listen(address)) in wanted {
        match TcpListener::bind(address) {
            Ok(listener) => held.push((flag, listener)),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                let ours = held
                    .iter()
                    .find(|it| it.1.local_addr().is_ok_and(|it| it.port() == address.port()));
                let holder = match ours {
                    Some((other, _)) => format!(" by {other}"),
                    None => port_holder(address.port())
                        .map_or_else(String::new, |it| format!(" by {it}")),
                };
                return Err(Error::Taken { flag, address, holder });
            }
            Err(source) => return Err(Error::Listen { flag, address, source }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Listen {
        text.parse().unwrap()
    }

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        for (text, address) in [
            ("5558", "127.0.0.1:5558"),
            (":0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("localhost:7", "127.0.0.1:7"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(listen(text).to_string(), address);
        }
        for text in ["", "host", "127.0.0.1", "70000", "a:b"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_taken_port_names_who_holds_it() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = Listen(holder.local_addr().unwrap());
        let error = check([("--http", listen("0")), ("--grpc", taken)]).unwrap_err().to_string();
        let own = format!("--grpc {taken} is taken by ");
        assert!(
            error.starts_with(&own) && error.contains(&format!("(pid {})", std::process::id())),
            "{error}"
        );
    }

    #[test]
    fn two_parts_cannot_have_the_same_port() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error =
            check([("--http", Listen(free)), ("--grpc", Listen(free))]).unwrap_err().to_string();
        assert!(error.contains("is taken by --http"), "{error}");
        check([("--http", listen("0")), ("--grpc", listen("0"))]).unwrap();
    }
}
