use tokio::io::BufReader;
use tokio::net::TcpListener;

use super::*;
use atlas_runtime::config::Secret;
use tokio::io::AsyncBufReadExt;

/// A master that answers the request for a tunnel with this line, and then says back what it hears.
async fn master(answer: &'static str, tasks: &Tasks) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("master", async move {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).await.unwrap();
        }
        assert!(head.starts_with("GET /nodes/tunnel HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("upgrade: atlas-jobs\r\n"), "{head}");
        assert!(head.contains("x-atlas-join-token: secret\r\n"), "{head}");
        stream.write_all(format!("HTTP/1.1 {answer}\r\nx: y\r\n\r\n").as_bytes()).await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
    });
    format!("http://{address}").parse().unwrap()
}

/// What a job hears that says this.
async fn told(master: Uri, tasks: &Tasks, words: &[u8]) -> String {
    let token = Token::new(&Secret::new("secret".into())).unwrap();
    let (mut job, ours) = UnixStream::pair().unwrap();
    let api = Api { master, token, tasks: tasks.clone() };
    tasks.spawn("carry", async move { api.carry(ours).await });
    job.write_all(words).await.unwrap();
    job.shutdown().await.unwrap();
    let mut heard = String::new();
    job.read_to_string(&mut heard).await.unwrap();
    heard
}

#[tokio::test]
async fn what_a_job_says_goes_to_the_master_and_back() {
    let tasks = Tasks::new();
    let master = master("101 Switching Protocols", &tasks).await;
    assert_eq!(told(master, &tasks, b"hello").await, "hello");
}

#[tokio::test]
async fn a_job_is_told_when_the_master_is_away() {
    let tasks = Tasks::new();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody: Uri = format!("http://{nobody}").parse().unwrap();
    let heard = told(nobody.clone(), &tasks, b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{heard}");
    assert!(heard.contains(&format!("does not reach the master at {nobody}")), "{heard}");
    let heard = told(nobody, &tasks, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(heard, "", "who speaks HTTP/2 does not understand that");
}

#[tokio::test]
async fn a_job_is_told_when_the_master_does_not_let_it_through() {
    let tasks = Tasks::new();
    let master = master("401 Unauthorized", &tasks).await;
    let heard = told(master, &tasks, b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{heard}");
    assert!(heard.contains("401 Unauthorized"), "{heard}");
    assert!(!heard.contains("secret"), "{heard}");
}
