//! Transports move bytes, and nothing else.
//!
//! A transport is anything that reads and writes bytes in order. Which one a connection uses is a value, chosen per
//! actor; what is said over it is the business of the protocol.
#![forbid(unsafe_code)]

pub mod mem;

use futures_lite::{AsyncRead, AsyncWrite};

/// A stream of bytes in both directions, in order, until one end is gone.
///
/// Reading 0 bytes means that the other end is gone.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}
