//! The way in, first of all: bytes to fragments.

use super::Connection;
use crate::proto::event::ProtocolError;
use crate::proto::inbox::Piece;
use crate::proto::landing::Landing;
use crate::proto::reader::{Front, Held, front};

impl Connection {
    /// Takes bytes that arrived, split in any way. Drain the events afterwards.
    ///
    /// After an error the connection takes nothing more; what came before the fault has been taken.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        if self.broken || self.lost.is_some() {
            return Err(ProtocolError::Closed);
        }
        let result = self.receive_all(bytes);
        self.broken = result.is_err();
        result
    }

    /// The same where bytes may have been read into `landing`, which this call gave before; `bytes` are those behind it.
    ///
    /// Afterwards there is a landing again if a large fragment has come in part: the bytes that come next belong there.
    pub(crate) fn receive_landed(&mut self, landing: &mut Option<Landing>, bytes: &[u8]) -> Result<(), ProtocolError> {
        if let Some(landing) = landing.take() {
            self.reader.take_back(landing);
        }
        self.receive(bytes)?;
        *landing = self.reader.lend();
        Ok(())
    }

    fn receive_all(&mut self, mut input: &[u8]) -> Result<(), ProtocolError> {
        if !self.reader.is_empty() && !self.receive_rest(&mut input)? {
            return Ok(());
        }
        while !input.is_empty() {
            match front(input)? {
                Front::Whole(header, payload, len) => {
                    self.on_fragment(header, Piece::Shared(payload))?;
                    input = &input[len..];
                }
                Front::Part => {
                    self.reader.hold(input, &mut self.output.recycler)?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The rest of a fragment that came in parts; `false` if it is still not whole.
    fn receive_rest(&mut self, input: &mut &[u8]) -> Result<bool, ProtocolError> {
        match self.reader.complete(input, &mut self.output.recycler)? {
            Held::Part => Ok(false),
            Held::Landed(landing) => {
                let (header, payload) = landing.into_parts();
                self.on_fragment(header, Piece::Own(payload)).map(|()| true)
            }
            Held::Whole(held) => {
                let result = match front(&held)? {
                    Front::Whole(header, payload, _) => self.on_fragment(header, Piece::Shared(payload)),
                    Front::Part => Ok(()),
                };
                self.reader.put_back(held);
                result.map(|()| true)
            }
        }
    }
}
