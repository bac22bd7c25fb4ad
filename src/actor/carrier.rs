//! Which way the bytes between an actor and its parent go.

use crate::transport::Tcp;

/// Which way the bytes between an actor and its parent go. What ends the actor, its *control* connection, is always inherited
/// where it is a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carrier {
    /// A process of its own, over sockets that it inherits. Nobody else can reach them: they have no address.
    #[default]
    Inherited,
    /// In this process, on this executor, over memory. The same dialogs and the same cancellation, but it cannot be
    /// killed, and its host is its parent's.
    Mem,
    /// A process of its own, over a socket in a folder that only this user can enter: `$XDG_RUNTIME_DIR/<program>/<tree>/`, or in
    /// the temporary folder. Both ends prove the key of the tree to each other.
    Uds,
    /// A process of its own, over TCP within this machine, to be measured. Both ends prove the key of the tree to each other.
    Tcp(Tcp),
}

impl Carrier {
    /// Which one it is, whatever its settings are.
    pub fn kind(self) -> CarrierKind {
        match self {
            Self::Inherited => CarrierKind::Inherited,
            Self::Mem => CarrierKind::Mem,
            Self::Uds => CarrierKind::Uds,
            Self::Tcp(_) => CarrierKind::Tcp,
        }
    }

    /// It as a child is told of it.
    pub(super) fn to_text(self) -> String {
        match self {
            Self::Tcp(tcp) => format!("tcp {}", tcp.address()),
            other => other.kind().name().to_owned(),
        }
    }

    /// The one that a parent told of.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        match text {
            "inherited" => Some(Self::Inherited),
            "mem" => Some(Self::Mem),
            "uds" => Some(Self::Uds),
            other => {
                let at = other.strip_prefix("tcp ")?.parse().ok()?;
                Some(Self::Tcp(Tcp::insecure_for_measurement().at(at)))
            }
        }
    }
}

/// A [`Carrier`] without its settings, to say which codecs are for which one.
///
/// Each carrier is one: `codecs_for(Carrier::Uds, ..)` means all actors over uds. The name is what
/// [`connection().transport`](super::ConnectionInfo::transport) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CarrierKind {
    /// [`Carrier::Inherited`].
    Inherited,
    /// [`Carrier::Mem`].
    Mem,
    /// [`Carrier::Uds`].
    Uds,
    /// [`Carrier::Tcp`], at whatever address.
    Tcp,
    /// A transport of somebody else's making, see [`ActorBuilder::over`](super::ActorBuilder::over).
    Own,
}

impl CarrierKind {
    pub(super) const ALL: [Self; 5] = [Self::Inherited, Self::Mem, Self::Uds, Self::Tcp, Self::Own];

    /// `inherited`, `mem`, `uds`, `tcp` or `own`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inherited => "inherited",
            Self::Mem => "mem",
            Self::Uds => "uds",
            Self::Tcp => "tcp",
            Self::Own => "own",
        }
    }
}

impl From<Carrier> for CarrierKind {
    fn from(carrier: Carrier) -> Self {
        carrier.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_understands_what_it_is_told_of_a_carrier() {
        let tcp = Tcp::insecure_for_measurement().at(([127, 0, 0, 1], 4000).into());
        for carrier in [Carrier::Inherited, Carrier::Mem, Carrier::Uds, Carrier::Tcp(tcp)] {
            assert_eq!(Carrier::from_text(&carrier.to_text()), Some(carrier));
        }
        assert_eq!(Carrier::from_text("tcp somewhere"), None);
    }
}
