//! A link whose values are encoded, for experiments with codecs.

use std::any::type_name;
use std::future::Future;

use pleach::Result;
use pleach::codec::Codec;
use pleach::dialog::{Far, Near};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{LinkBuilder, Placement};

/// A dialog of bytes.
type FarEnd = Far<Vec<u8>, Vec<u8>, Vec<u8>>;
type NearEnd = Near<Vec<u8>, Vec<u8>, Vec<u8>>;

/// A link with a codec, see [`LinkBuilder::codec`].
#[derive(Debug)]
#[must_use = "a link is opened by `.open(far, body)`"]
pub struct CodedLink<P> {
    link: LinkBuilder<P>,
    codec: Codec,
}

impl<P: Placement> LinkBuilder<P> {
    /// Encodes the values of this link at the one side and decodes them at the other, as a context does; by default they move.
    ///
    /// For experiments: what a codec costs, and whether it carries a dialog's types, before the far function has a process of its
    /// own.
    ///
    /// ```
    /// use pleach::codec::Codec;
    /// use pleach::prelude::*;
    /// use pleach_bridge::{Tokio, link};
    ///
    /// async fn doubles(mut far: Far<(), f64, f64>) -> Result<()> {
    ///     far.started(()).await?;
    ///     while let Some(n) = far.recv().await? {
    ///         far.send(2.0 * n).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// pleach::actor::enter(|| {});
    /// let result = pleach::actor::run(Tokio::current_thread(), || {
    ///     let link = link(Tokio::here().expect("tokio hosts this")).codec(Codec::Json);
    ///     link.open(doubles, async |mut near, ()| {
    ///         near.send(21.0).await?;
    ///         assert_eq!(near.recv().await?, Some(42.0));
    ///         Ok(near.send(f64::INFINITY).await?)
    ///     })
    /// });
    /// assert!(result.unwrap_err().to_string().contains("JSON has no number inf"));
    /// ```
    pub fn codec(self, codec: Codec) -> CodedLink<P> {
        CodedLink { link: self, codec }
    }
}

impl<P: Placement> CodedLink<P> {
    /// Opens the link, see [`open_link`](crate::open_link). All its types, the far function's result among them, are encoded.
    ///
    /// # Errors
    /// Those of [`open_link`](crate::open_link); for a value that the codec cannot carry
    /// [`EncodeError`](pleach::codec::EncodeError), at its sender; for one that does not decode
    /// [`DecodeError`](pleach::codec::DecodeError).
    ///
    /// # Cancel safety
    /// That of [`open_link`](crate::open_link).
    pub async fn open<F, FarFut, First, In, Out, R, B, Fut, T>(self, far: F, body: B) -> Result<T>
    where
        F: FnOnce(Far<First, In, Out>) -> FarFut + Send + 'static,
        FarFut: Future<Output = Result<R>> + 'static,
        B: FnOnce(Near<In, Out, R>, First) -> Fut,
        Fut: Future<Output = Result<T>>,
        First: Serialize + DeserializeOwned + Send + 'static,
        In: Serialize + DeserializeOwned + Send + 'static,
        Out: Serialize + DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let Self { link, codec } = self;
        let far = move |end: FarEnd| async move {
            let mut bytes = Vec::new();
            codec.encode(&far(end.coded(codec)).await?, &mut bytes)?;
            Ok(bytes)
        };
        let body = move |near: NearEnd, first: Vec<u8>| async move {
            let first = codec.decode(&first)?;
            body(near.coded(codec), first).await
        };
        link.open_as(type_name::<F>, far, body).await
    }
}
