//! Transport and codecs of actors: what one chooses itself, and what the tree around it has chosen for those that do not.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::ambient::{self, In, Me};
use super::carrier::{Carrier, CarrierKind};
use super::preference;
use crate::Result;
use crate::codec::Codec;
use crate::error::Misuse;
use crate::proto::control::SpawnSpec;

/// In the specification of a child: the carrier of the tree.
const CARRIER: &str = "carrier";
/// The same: before the kind of a carrier, its codecs.
const CODECS_FOR: &str = "codecs over ";

/// Transport and codecs for a whole tree: what its actors use where they do not choose themselves.
///
/// [`run`](Self::run) puts it around the root, or around any part of a tree. It holds for the actors that are started inside, and for
/// those that they start in their own processes, to the leaves. What an actor chooses by
/// [`ActorBuilder::carrier`](super::ActorBuilder::carrier), [`codecs`](super::ActorBuilder::codecs) and
/// [`codecs_for`](super::ActorBuilder::codecs_for) comes before it; [doors](super::door) are for strangers and have a list of their own.
///
/// ```no_run
/// use pleach::actor::Defaults;
/// use pleach::codec::Codec;
/// use pleach::prelude::*;
///
/// #[pleach::endpoint]
/// async fn double(n: u64) -> Result<u64> {
///     Ok(2 * n)
/// }
///
/// #[pleach::main]
/// async fn main() -> Result<()> {
///     // JSON where somebody may read along, msgpack where nobody can.
///     let defaults = Defaults::new().codecs([Codec::MsgPack]).codecs_for(Carrier::Uds, [Codec::Json]);
///     defaults.run(tree()).await
/// }
///
/// async fn tree() -> Result<()> {
///     actor_nursery(async |n| {
///         let quick = n.actor("quick").expose(double).start().await?;
///         let watched = n.actor("watched").carrier(Carrier::Uds).expose(double).start().await?;
///         assert_eq!(quick.connection().codec, "msgpack");
///         assert_eq!(watched.connection().codec, "json");
///         n.cancel_actors("done");
///         Ok(())
///     })
///     .await
/// }
/// ```
#[must_use = "defaults hold for what is in `.run(..).await`"]
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    carrier: Option<Carrier>,
    codecs: Option<Vec<Codec>>,
    /// The first one of a kind counts.
    codecs_for: Vec<(CarrierKind, Vec<Codec>)>,
}

impl Defaults {
    /// Nothing is chosen: inherited sockets, and msgpack, then JSON.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which way the bytes go where an actor does not say it. The environment does not choose then.
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = Some(carrier);
        self
    }

    /// The codecs to offer, the favourite first.
    pub fn codecs(mut self, codecs: impl IntoIterator<Item = Codec>) -> Self {
        self.codecs = Some(codecs.into_iter().collect());
        self
    }

    /// The codecs to offer over this carrier, the favourite first, instead of [`codecs`](Self::codecs).
    pub fn codecs_for(mut self, carrier: impl Into<CarrierKind>, codecs: impl IntoIterator<Item = Codec>) -> Self {
        self.codecs_for.insert(0, (carrier.into(), codecs.into_iter().collect()));
        self
    }

    /// Runs a part of the tree with these defaults; where they say nothing, those around hold on. They are bound to the actor nurseries
    /// that are opened inside, not to one that was opened before.
    ///
    /// # Errors
    /// The body's. [`Misuse`], before it is run: an empty list, a codec that is not in [`CODECS`](crate::codec::CODECS), where
    /// processes look for it by its name, an address that other machines reach, and outside an actor tree.
    ///
    /// # Cancel safety
    /// That of the body: it is only polled.
    pub async fn run<T>(self, body: impl Future<Output = Result<T>>) -> Result<T> {
        let around = ambient::me()?;
        self.check(&around.path)?;
        let me = Me { defaults: Arc::new(self.within(&around.defaults)), ..Me::clone(&around) };
        In::new(Arc::new(me), body).await
    }

    fn check(&self, path: &str) -> Result<()> {
        if let Some(Carrier::Tcp(tcp)) = self.carrier {
            tcp.check().map_err(|text| Misuse::new(format!("{path}: {text}")))?;
        }
        self.check_codecs(&format!("the defaults below {path}"))
    }

    /// Whether each list has a codec, and every process of this program finds each of them. A child is this very program, so what
    /// it knows is known here.
    pub(super) fn check_codecs(&self, who: &str) -> Result<()> {
        let general = self.codecs.iter().map(|codecs| (None, codecs));
        let special = self.codecs_for.iter().map(|(kind, codecs)| (Some(*kind), codecs));
        for (kind, codecs) in general.chain(special) {
            if codecs.is_empty() {
                let over = kind.map(|kind| format!(" over {}", kind.name())).unwrap_or_default();
                return Err(Misuse::new(format!("{who}: there is no codec{over}; list at least one")).into());
            }
            if let Some(why) = codecs.iter().find_map(|codec| why_not_found(*codec)) {
                return Err(Misuse::new(format!("{who}: {why}")).into());
            }
        }
        Ok(())
    }

    /// These, and those around where these say nothing.
    pub(super) fn within(mut self, around: &Self) -> Self {
        self.carrier = self.carrier.or(around.carrier);
        if self.codecs.is_none() {
            self.codecs.clone_from(&around.codecs);
            self.codecs_for.extend_from_slice(&around.codecs_for);
        }
        self
    }

    /// The carrier, which the environment may choose if nobody has.
    pub(super) fn chosen_carrier(&self) -> Result<Carrier> {
        match self.carrier {
            Some(chosen) => Ok(chosen),
            None => Ok(preference::carrier()?.unwrap_or_default()),
        }
    }

    /// The codecs over this carrier, of which the environment may prefer one.
    pub(super) fn chosen_codecs(&self, kind: CarrierKind) -> Vec<Codec> {
        let special = self.codecs_for.iter().find(|(of, _)| *of == kind).map(|(_, codecs)| codecs);
        let listed = special.or(self.codecs.as_ref()).cloned();
        let mut codecs = listed.unwrap_or_else(|| vec![Codec::MsgPack, Codec::Json]);
        preference::sort_codecs(&mut codecs, |codec| codec.name());
        codecs
    }

    /// Tells a child of them.
    ///
    /// # Errors
    /// None that a list of names could give.
    pub(super) fn tell(&self, spec: &mut SpawnSpec) -> Result<()> {
        spec.codecs = names(self.codecs.iter().flatten());
        if let Some(carrier) = self.carrier {
            spec.extra.push((CARRIER.to_owned(), carrier.to_text().into_bytes().into()));
        }
        for kind in CarrierKind::ALL {
            let Some((_, codecs)) = self.codecs_for.iter().find(|(of, _)| *of == kind) else { continue };
            let mut bytes = Vec::new();
            Codec::MsgPack.encode(&names(codecs), &mut bytes)?;
            spec.extra.push((format!("{CODECS_FOR}{}", kind.name()), bytes.into()));
        }
        Ok(())
    }

    /// What a parent has told.
    ///
    /// # Errors
    /// If it means something that this program does not have.
    pub(super) fn told(spec: &SpawnSpec) -> Result<Self> {
        let mut told = Self::default();
        if !spec.codecs.is_empty() {
            told.codecs = Some(by_name(&spec.codecs)?);
        }
        for (what, value) in &spec.extra {
            if what == CARRIER {
                told.carrier = Some(carrier_told(value)?);
            } else if let Some(name) = what.strip_prefix(CODECS_FOR) {
                // Of a kind that this version does not have there are no actors.
                let Some(kind) = CarrierKind::ALL.into_iter().find(|kind| kind.name() == name) else { continue };
                told.codecs_for.push((kind, by_name(&Codec::MsgPack.decode::<Vec<String>>(value)?)?));
            }
        }
        Ok(told)
    }
}

fn carrier_told(value: &[u8]) -> Result<Carrier> {
    let text = String::from_utf8_lossy(value);
    let unknown =
        || Misuse::new(format!("the defaults of its tree name the transport `{text}`, which is not known here"));
    Ok(Carrier::from_text(&text).ok_or_else(unknown)?)
}

fn by_name(names: &[String]) -> Result<Vec<Codec>> {
    let of = |name: &String| {
        let unknown =
            || Misuse::new(format!("the defaults of its tree name the codec `{name}`, which is not known here"));
        Ok(Codec::from_name(name).ok_or_else(unknown)?)
    };
    names.iter().map(of).collect()
}

/// Codecs as they are told of.
pub(super) fn names<'a>(codecs: impl IntoIterator<Item = &'a Codec>) -> Vec<String> {
    codecs.into_iter().map(|codec| codec.name().to_owned()).collect()
}

impl fmt::Debug for Defaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { carrier, codecs, codecs_for } = self;
        let mut debug = f.debug_struct("Defaults");
        debug.field("carrier", carrier).field("codecs", codecs).field("codecs_for", codecs_for).finish()
    }
}

/// Why a process that looks for the name of this codec would not find it, and what to do.
fn why_not_found(codec: Codec) -> Option<String> {
    let (name, all) = (codec.name(), Codec::all().map(Codec::name).collect::<Vec<_>>());
    let (is_listed, of_this_name) = (codec.is_listed(), all.iter().filter(|known| **known == name).count());
    if of_this_name + usize::from(!is_listed) > 1 {
        return Some(format!(
            "there are two codecs with the name `{name}`, and a child could find the other one: give yours a name that nobody else \
             has, such as `crate/codec`"
        ));
    }
    let program = std::env::current_exe().map_or_else(|_| "this program".to_owned(), |exe| exe.display().to_string());
    (!is_listed).then(|| {
        format!(
            "no codec `{name}` is known to {program}, which knows {all:?}. A codec of one's own must be in the list \
             `pleach::codec::CODECS`: write `#[linkme::distributed_slice(pleach::codec::CODECS)] static MINE: Codec = ..;` beside \
             it, with `linkme` among the dependencies"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Defaults {
        Defaults::new()
            .carrier(Carrier::Uds)
            .codecs([Codec::Json, Codec::MsgPack])
            .codecs_for(Carrier::Mem, [Codec::MsgPack])
    }

    #[test]
    fn a_child_understands_what_it_is_told() {
        for defaults in [Defaults::new(), mixed(), Defaults::new().codecs_for(CarrierKind::Own, [Codec::Json])] {
            let mut spec = SpawnSpec::default();
            defaults.tell(&mut spec).unwrap();
            assert_eq!(Defaults::told(&spec).unwrap(), defaults);
        }
    }

    #[test]
    fn a_child_says_what_it_does_not_know() {
        let of = |spec: SpawnSpec| Defaults::told(&spec).unwrap_err().to_string();
        let codecs = SpawnSpec { codecs: vec!["rot13".into()], ..SpawnSpec::default() };
        assert!(of(codecs).contains("the codec `rot13`"));
        let extra = vec![(CARRIER.to_owned(), b"fax".to_vec().into())];
        assert!(of(SpawnSpec { extra, ..SpawnSpec::default() }).contains("the transport `fax`"));
    }

    #[test]
    fn whoever_stands_nearer_comes_first() {
        let over = |inner: Defaults, kind| inner.within(&mixed()).chosen_codecs(kind);
        assert_eq!(over(Defaults::new(), CarrierKind::Mem), [Codec::MsgPack]);
        assert_eq!(over(Defaults::new(), CarrierKind::Tcp), [Codec::Json, Codec::MsgPack]);
        assert_eq!(over(Defaults::new().codecs([Codec::Json]), CarrierKind::Mem), [Codec::Json], "all of them");
        let only_uds = Defaults::new().codecs_for(Carrier::Uds, [Codec::MsgPack]);
        assert_eq!(over(only_uds.clone(), CarrierKind::Uds), [Codec::MsgPack]);
        assert_eq!(over(only_uds.clone().codecs_for(Carrier::Uds, [Codec::Json]), CarrierKind::Uds), [Codec::Json]);
        assert_eq!(over(only_uds, CarrierKind::Mem), [Codec::MsgPack], "of the one around");
        let carrier = |inner: Defaults| inner.within(&mixed()).chosen_carrier().unwrap();
        assert_eq!(carrier(Defaults::new()), Carrier::Uds);
        assert_eq!(carrier(Defaults::new().carrier(Carrier::Mem)), Carrier::Mem);
    }
}
