//! A codec of one's own: JSON in which every byte is turned around, for whoever reads along. It is listed in `CODECS`, so that
//! the actor finds it by its name, and chosen by one value.
//!
//! `cargo run --example own_codec`

use pleach::codec::{CODECS, Codec, Encoding, Slot, Value};
use pleach::prelude::*;

struct Secret;

impl Encoding for Secret {
    fn name(&self) -> &'static str {
        "example/secret"
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        out.extend(serde_json::to_vec(&value)?.into_iter().map(|byte| !byte));
        Ok(())
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()> {
        let text: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        let mut json = serde_json::Deserializer::from_slice(&text);
        slot.fill(&mut json)?;
        Ok(json.end()?)
    }
}

#[linkme::distributed_slice(CODECS)]
static SECRET: Codec = Codec::Own(&Secret);

#[pleach::endpoint]
async fn greet(name: String) -> Result<String> {
    Ok(format!("hello {name}"))
}

#[pleach::main]
async fn main() -> Result<()> {
    actor_nursery(async |n| {
        let greeter = n.actor("greeter").codecs([SECRET]).expose(greet).start().await?;
        println!("{} over {SECRET:?}", greeter.run(greet, ("willow".into(),)).await?);
        greeter.cancel_actor().await
    })
    .await
}
