//! How this node reaches its master.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use atlas_proto::wire::nodes_client::NodesClient;
use atlas_proto::{JOIN_TOKEN_HEADER, MAX_MESSAGE};
use atlas_runtime::config::Secret;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Error, Uri};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The cluster's join token, as a header carries it; marked so that no log shows it.
#[derive(Clone, Debug)]
pub struct Token(MetadataValue<Ascii>);

impl Token {
    /// `None` = it holds characters that a header cannot carry.
    pub fn new(token: &Secret<String>) -> Option<Self> {
        let mut value: MetadataValue<Ascii> = token.expose().parse().ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The message with the token beside it.
    pub fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(JOIN_TOKEN_HEADER, self.0.clone());
        request
    }

    /// What a header carries, for those who write headers themselves.
    pub fn expose(&self) -> &[u8] {
        self.0.as_encoded_bytes()
    }

    /// Whether this is what a caller shows. Every byte is looked at, so that the time tells nothing.
    pub fn is_shown_by<T>(&self, request: &Request<T>) -> bool {
        let shown = request.metadata().get(JOIN_TOKEN_HEADER).map(MetadataValue::as_encoded_bytes);
        let (ours, theirs) = (self.0.as_encoded_bytes(), shown.unwrap_or_default());
        let differences = ours.iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
        ours.len() == theirs.len() && differences == 0
    }
}

/// A connection of its own to the master's node service.
pub async fn connect(master: &Uri) -> Result<NodesClient<Channel>, Error> {
    let channel = endpoint(master).connect().await?;
    Ok(NodesClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
}

/// How every connection there is made.
pub fn endpoint(master: &Uri) -> Endpoint {
    Endpoint::from(master.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(40))
        .keep_alive_while_idle(true)
}

/// This machine's address on the way to the master; nothing is sent.
pub async fn towards(master: &Uri) -> io::Result<IpAddr> {
    let host = master.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = master.port_u16().unwrap_or(80);
    let mut found = tokio::net::lookup_host((host, port)).await?;
    let there = found.next().ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
    let any = if there.is_ipv6() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(there)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_towards_a_master_on_this_machine_is_its_own() {
        for (url, address) in [("http://127.0.0.1:5558", "127.0.0.1"), ("http://[::1]:5558", "::1")]
        {
            match towards(&url.parse().unwrap()).await {
                Ok(found) => assert_eq!(found.to_string(), address),
                // A machine without IPv6.
                Err(error) => assert!(url.contains("[::1]"), "{error}"),
            }
        }
        assert!(towards(&"http://nobody.invalid:1".parse().unwrap()).await.is_err());
    }

    #[test]
    fn only_the_same_token_is_the_token() {
        let token = |text: &str| Token::new(&Secret::new(text.to_owned())).unwrap();
        let ours = token("secret");
        assert!(ours.is_shown_by(&token("secret").with(())));
        for text in ["", "secre", "secrets", "Secret"] {
            assert!(!ours.is_shown_by(&token(text).with(())), "{text:?} was taken");
        }
        assert!(!ours.is_shown_by(&Request::new(())));
        assert!(Token::new(&Secret::new("a\nb".into())).is_none());
    }
}
