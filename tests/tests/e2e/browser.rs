//! What a browser finds at the master's address.

use std::io::{Read, Write};
use std::net::TcpStream;

use atlas_tests::harness::{Cluster, Settings};

fn get(cluster: &Cluster, path: &str) -> String {
    let mut stream = TcpStream::connect(cluster.http()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_first_page_says_what_this_is_and_leads_to_what_is_there() {
    let cluster = Cluster::start(Settings::default());
    let page = get(&cluster, "/");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/html"), "{page}");
    assert!(page.contains("no dashboard yet"), "{page}");
    let links: Vec<&str> =
        page.split("href=\"").skip(1).map(|it| it.split('"').next().unwrap()).collect();
    assert!(links.contains(&"/api/v1/jobs"), "{links:?}");
    for link in links {
        let answer = get(&cluster, link);
        assert!(answer.starts_with("HTTP/1.1 200"), "{link}: {answer}");
    }
    assert!(get(&cluster, "/nothing").starts_with("HTTP/1.1 404"));
}
