//! Where this node listens, and where its master finds it.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpListener;

use crate::insist::Insist;
use crate::master;
use crate::options::Settings;
use crate::proxy;

/// Where nodes listen unless told otherwise.
pub const PORT: u16 = 5000;

/// A node that listens.
pub struct Reach {
    pub listener: TcpListener,
    pub listens: SocketAddr,
    /// For the master.
    pub address: String,
}

impl Reach {
    /// Without a word on it a node listens where its master is to find it; a machine whose network comes up later waits for that.
    pub async fn open(settings: &Settings) -> Result<Self, proxy::Error> {
        let listen = match settings.listen {
            Some(listen) => listen,
            None => SocketAddr::new(towards_master(settings).await, PORT),
        };
        let (listener, listens) = proxy::listen(listen).await?;
        let address = match &settings.address {
            Some(address) => address.clone(),
            None if listens.ip().is_unspecified() => {
                SocketAddr::new(towards_master(settings).await, listens.port()).to_string()
            }
            None => listens.to_string(),
        };
        Ok(Self { listener, listens, address })
    }
}

async fn towards_master(settings: &Settings) -> IpAddr {
    let mut insist = Insist::new();
    loop {
        match master::towards(&settings.master).await {
            Ok(address) => return address,
            Err(error) => {
                let what =
                    format!("this node waits for a way to its master at {}", settings.master);
                insist.wait(what, &error).await;
            }
        }
    }
}
