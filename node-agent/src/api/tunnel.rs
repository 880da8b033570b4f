//! A connection to the master on which jobs speak: asked for by HTTP, with the join token, and then theirs.

use std::io;
use std::time::Duration;

use atlas_proto::{JOIN_TOKEN_HEADER, TUNNEL_PATH, TUNNEL_PROTOCOL};
use atlas_runtime::connection;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::Uri;

use crate::master::Token;

/// A master that has not opened one by then is away.
const OPENS: Duration = Duration::from_secs(5);
/// The longest answer of a master.
const LONGEST: u64 = 16 << 10;
const HTTP_PORT: u16 = 80;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the node of this job does not reach the master at {master}")]
    Away { master: Uri, source: io::Error },
    #[error("the master at {master} lets nothing through from the node of this job: {said:?}")]
    Refused { master: Uri, said: String },
}

/// Opens one. What the master may have said already is in the buffer.
pub async fn open(master: &Uri, token: &Token) -> Result<BufReader<TcpStream>, Error> {
    let away = |source| Error::Away { master: master.clone(), source };
    let opened = timeout(OPENS, ask(master, token)).await;
    let (stream, said) = opened.map_err(|_| away(io::ErrorKind::TimedOut.into()))?.map_err(away)?;
    if said.split(' ').nth(1) == Some("101") {
        Ok(stream)
    } else {
        Err(Error::Refused { master: master.clone(), said })
    }
}

/// The connection, and the first line of the answer.
async fn ask(master: &Uri, token: &Token) -> io::Result<(BufReader<TcpStream>, String)> {
    let host = master.host().unwrap_or_default();
    let address = format!("{host}:{}", master.port_u16().unwrap_or(HTTP_PORT));
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    connection::end_when_vanished(&stream)?;
    let mut stream = BufReader::new(stream);
    let question = [
        format!("GET {TUNNEL_PATH} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\n")
            .as_bytes(),
        format!("upgrade: {TUNNEL_PROTOCOL}\r\n{JOIN_TOKEN_HEADER}: ").as_bytes(),
        token.expose(),
        b"\r\n\r\n",
    ]
    .concat();
    stream.write_all(&question).await?;
    let mut first = None;
    let mut left = LONGEST;
    loop {
        let mut line = String::new();
        let count = (&mut stream).take(left).read_line(&mut line).await?;
        left -= count as u64;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match (line.trim_end(), first) {
            ("", said) => return Ok((stream, said.unwrap_or_default())),
            (line, None) => first = Some(line.to_owned()),
            (_, said) => first = said,
        }
    }
}
