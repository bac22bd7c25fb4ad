//! Where a peer can be reached, as text that is the same in a log, on a command line and in a message.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// An address, in the shape of a multiaddr: `/uds/run/user/1000/app/tree/1.sock`, `/ip4/127.0.0.1/tcp/4000`,
/// `/ip6/::1/tcp/4000`.
///
/// ```
/// use pleach::transport::Address;
///
/// let address: Address = "/ip4/127.0.0.1/tcp/4000".parse()?;
/// assert_eq!(address, Address::Tcp(([127, 0, 0, 1], 4000).into()));
/// assert_eq!(Address::Uds("/run/app/x.sock".into()).to_string(), "/uds/run/app/x.sock");
/// # Ok::<(), pleach::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A socket in the file system, by its absolute path.
    Uds(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no address: write `/uds/absolute/path.sock`, `/ip4/127.0.0.1/tcp/4000` or `/ip6/::1/tcp/4000`")]
pub struct BadAddress {
    text: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uds(path) => write!(f, "/uds{}", path.display()),
            Self::Tcp(SocketAddr::V4(at)) => write!(f, "/ip4/{}/tcp/{}", at.ip(), at.port()),
            Self::Tcp(SocketAddr::V6(at)) => write!(f, "/ip6/{}/tcp/{}", at.ip(), at.port()),
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        parse(text).ok_or_else(|| BadAddress { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("/uds") {
        return (path.starts_with('/') && path.len() > 1).then(|| Address::Uds(path.into()));
    }
    let mut steps = text.strip_prefix('/')?.split('/');
    let (family, ip) = (steps.next()?, IpAddr::from_str(steps.next()?).ok()?);
    let is_named_so = matches!((family, ip), ("ip4", IpAddr::V4(_)) | ("ip6", IpAddr::V6(_)));
    let is_tcp = steps.next()? == "tcp";
    let port = steps.next()?.parse().ok()?;
    (is_named_so && is_tcp && steps.next().is_none()).then(|| Address::Tcp(SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["/uds/run/app/x.sock", "/ip4/127.0.0.1/tcp/4000", "/ip6/::1/tcp/1", "/ip6/2001:db8::1/tcp/65535"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_examples() {
        let wrong = ["", "/", "/uds", "/uds/", "/udsx/y", "uds/x", "/ip4/::1/tcp/1", "/ip6/127.0.0.1/tcp/1"];
        let also =
            ["/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1/tcp/65536", "/ip4/127.0.0.1/tcp/1/", "/ip4/localhost/tcp/1"];
        for text in wrong.into_iter().chain(also) {
            let refused = text.parse::<Address>().unwrap_err().to_string();
            assert!(refused.contains("/ip4/127.0.0.1/tcp/4000"), "{refused}");
        }
    }
}
