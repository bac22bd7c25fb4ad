//! TCP on one machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;

use rustix::net::sockopt;

use super::Address;
use super::socket::Listener;

/// TCP between an actor and its parent. It exists to be measured beside the other transports: both ends prove the tree's key
/// to each other, but what is said then is neither encrypted nor bound to that proof, and whoever may capture packets of
/// this machine reads it.
///
/// ```
/// use pleach::actor::Carrier;
/// use pleach::transport::Tcp;
///
/// let carrier = Carrier::Tcp(Tcp::insecure_for_measurement());
/// assert_ne!(carrier, Carrier::Inherited);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    at: SocketAddr,
}

impl Tcp {
    /// A free port of the loopback address 127.0.0.1. The name says what it is for.
    pub fn insecure_for_measurement() -> Self {
        Self { at: (Ipv4Addr::LOCALHOST, 0).into() }
    }

    /// At this address, port 0 for any that is free. One that is not of the loopback interface is refused when the actor is
    /// started.
    #[must_use]
    pub fn at(self, at: SocketAddr) -> Self {
        Self { at }
    }

    /// Where it is to be.
    pub(crate) fn address(&self) -> SocketAddr {
        self.at
    }

    /// Why it may not be bound, if so.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.at.ip().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "it would listen at {}, where other machines reach it, and nothing would be encrypted: use an address of the \
             loopback interface, such as 127.0.0.1, or `Carrier::Uds`",
            self.at
        ))
    }

    /// Binds it.
    pub(crate) fn listen(&self) -> io::Result<(Listener, Address)> {
        self.check().map_err(|text| io::Error::new(io::ErrorKind::PermissionDenied, text))?;
        let listener = TcpListener::bind(self.at)?;
        // What comes in has it from here.
        hold_little(&listener)?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        Ok((Listener::Tcp(listener), Address::Tcp(at)))
    }
}

/// What the system may hold of a connection, at either end; it doubles that.
const HELD: usize = 256 * 1024;

/// Bounds what the system holds of a connection. It would hold megabytes, and what is small would wait behind them.
pub(super) fn hold_little(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(&socket, HELD)?;
    Ok(sockopt::set_socket_recv_buffer_size(&socket, HELD)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x03_only_the_loopback_interface_is_bound() {
        let (_listener, address) = Tcp::insecure_for_measurement().listen().unwrap();
        assert!(address.to_string().starts_with("/ip4/127.0.0.1/tcp/"), "{address}");
        for elsewhere in ["0.0.0.0:0", "[::]:0", "192.0.2.1:4000"] {
            let tcp = Tcp::insecure_for_measurement().at(elsewhere.parse().unwrap());
            let refused = tcp.listen().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
            assert!(refused.to_string().contains("127.0.0.1"), "{refused}");
        }
    }
}
