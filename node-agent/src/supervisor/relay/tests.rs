use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixListener;

use super::*;
use serve::MOST;

struct Way {
    dir: tempfile::TempDir,
    agent: UnixListener,
    relay: Relay,
    port: u16,
}

fn way() -> Way {
    let dir = tempfile::tempdir().unwrap();
    let agent = UnixListener::bind(dir.path().join("sock")).unwrap();
    let mut relay = Relay::default();
    let url = relay.url(&dir.path().join("sock")).unwrap();
    let port = url.strip_prefix("http://127.0.0.1:").unwrap().parse().unwrap();
    Way { dir, agent, relay, port }
}

impl Way {
    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }
}

#[test]
fn bytes_go_both_ways_and_one_end_may_stop_talking_before_the_other() {
    let way = way();
    let mut job = way.connect();
    job.write_all(b"question").unwrap();
    job.shutdown(Shutdown::Write).unwrap();
    let (mut agent, _) = way.agent.accept().unwrap();
    let mut asked = String::new();
    agent.read_to_string(&mut asked).unwrap();
    assert_eq!(asked, "question");
    agent.write_all(b"answer").unwrap();
    drop(agent);
    let mut answer = String::new();
    job.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn much_goes_through_whole_and_who_does_not_read_holds_up_nobody_else() {
    let way = way();
    let stalled = way.connect();
    let (mut never_read, _) = way.agent.accept().unwrap();
    never_read.set_nonblocking(true).unwrap();
    while never_read.write(&[b'x'; 65536]).is_ok() {}

    let bytes: Vec<u8> = (0..4_000_000u32).map(|it| (it % 251) as u8).collect();
    let mut job = way.connect();
    let (mut agent, _) = way.agent.accept().unwrap();
    let sent = bytes.clone();
    let echo = thread::spawn(move || {
        let mut got = Vec::new();
        agent.read_to_end(&mut got).unwrap();
        agent.write_all(&got).unwrap();
    });
    let mut reader = job.try_clone().unwrap();
    let reading = thread::spawn(move || {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        got
    });
    job.write_all(&sent).unwrap();
    job.shutdown(Shutdown::Write).unwrap();
    echo.join().unwrap();
    assert!(reading.join().unwrap() == bytes);
    drop(stalled);
}

#[test]
fn an_answer_arrives_though_the_agent_did_not_hear_all_of_the_question() {
    let way = way();
    let mut job = way.connect();
    let (mut agent, _) = way.agent.accept().unwrap();
    agent.write_all(b"enough").unwrap();
    drop(agent);
    let mut answer = [0; 6];
    job.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"enough");
}

#[test]
fn without_an_agent_a_connection_is_closed_and_the_next_agent_is_found_at_the_same_port() {
    let Way { dir, agent, mut relay, port } = way();
    drop(agent);
    let mut job = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(matches!(job.read(&mut [0; 1]), Ok(0) | Err(_)));
    let elsewhere = dir.path().join("another");
    let agent = UnixListener::bind(&elsewhere).unwrap();
    assert_eq!(relay.url(&elsewhere).unwrap(), format!("http://127.0.0.1:{port}"));
    let mut job = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut agent, _) = agent.accept().unwrap();
    agent.write_all(b"here").unwrap();
    let mut answer = [0; 4];
    job.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"here");
}

#[test]
fn more_connections_than_are_served_wait_for_their_turn() {
    let way = way();
    let mut jobs: Vec<TcpStream> = (0..MOST + 3).map(|_| way.connect()).collect();
    let mut agents: Vec<_> = (0..MOST).map(|_| way.agent.accept().unwrap().0).collect();
    way.agent.set_nonblocking(true).unwrap();
    assert!(way.agent.accept().is_err(), "one more came than should");
    way.agent.set_nonblocking(false).unwrap();
    drop((jobs.remove(0), agents.remove(0)));
    way.agent.accept().unwrap();
}
