//! Who listens on a port?

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};

/// Who listens on a TCP port of this machine: `redis-server (pid 812)`, or the user where the process is not ours to
/// see. `None` when nobody does (any more), or when the kernel does not tell.
///
/// ```no_run
/// use atlas_runtime::process::port_holder;
/// # let error = std::io::Error::from(std::io::ErrorKind::AddrInUse);
/// let holder = port_holder(5555).unwrap_or_else(|| "another process".into());
/// eprintln!("could not listen on 127.0.0.1:5555, {holder} does: {error}");
/// ```
pub fn port_holder(port: u16) -> Option<String> {
    let listening = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = BufReader::new(File::open(table).ok()?);
        listener(table, port).ok().flatten()
    })?;
    let socket = format!("socket:[{}]", listening.inode);
    let holder = processes().find(|pid| holds(*pid, &socket));
    Some(match holder {
        Some(pid) => format!("{} (pid {pid})", name(pid)),
        None => format!("a process of uid {}", listening.uid),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Listening {
    uid: u32,
    inode: u64,
}

/// Finds the socket in state LISTEN in the kernel's table:
/// `0: 0100007F:15B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 637 …`.
fn listener(table: impl BufRead, port: u16) -> io::Result<Option<Listening>> {
    const LISTEN: &str = "0A";
    for line in table.lines() {
        let line = line?;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, LISTEN, _, _, _, uid, _, inode, ..] = fields[..] else { continue };
        let Some((_, local)) = local.rsplit_once(':') else { continue };
        if u16::from_str_radix(local, 16) == Ok(port)
            && let (Ok(uid), Ok(inode)) = (uid.parse(), inode.parse())
        {
            return Ok(Some(Listening { uid, inode }));
        }
    }
    Ok(None)
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Processes end while they are looked at, and not all are ours to look at: both hold nothing.
fn holds(pid: u32, socket: &str) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|it| it.as_os_str() == socket)
}

/// A process chooses its name freely: it is shown without control characters.
fn name(pid: u32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name: String = String::from_utf8_lossy(&name).chars().filter(|c| !c.is_control()).collect();
    if name.is_empty() { "a process".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_holder_of_a_port_is_named_with_its_pid() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = TcpListener::bind(address) else {
                assert!(address.starts_with('['), "a machine without IPv6 still has IPv4");
                continue;
            };
            let holder = port_holder(socket.local_addr().unwrap().port()).unwrap();
            let own = fs::read_to_string("/proc/self/comm").unwrap();
            assert_eq!(holder, format!("{} (pid {})", own.trim(), std::process::id()));
        }
    }

    #[test]
    fn a_port_that_nobody_listens_on_has_no_holder() {
        assert_eq!(port_holder(0), None);
    }

    #[test]
    fn a_connection_from_a_port_does_not_count_as_a_listener() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:15B3 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 11 1\n\
            1: 0100007F:15B4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12 1\n\
            2: 00000000000000000000000001000000:15B3 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1\n\
            3: garbage\n";
        let find = |port| listener(table.as_bytes(), port).unwrap();
        assert_eq!(find(0x15B3), Some(Listening { uid: 0, inode: 13 }));
        assert_eq!(find(0x15B4), Some(Listening { uid: 1000, inode: 12 }));
        assert_eq!(find(0x9C40), None);
    }
}
