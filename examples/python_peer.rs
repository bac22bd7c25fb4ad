//! A tree that a program in another language joins: `examples/python_peer.py`, which this one starts.
//!
//! ```text
//! pip install msgpack
//! cargo run --example python_peer
//! ```

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use pleach::actor::{Door, door};
use pleach::prelude::*;
use pleach::transport::Address;
use pleach::tree::Command;
use serde_bytes::ByteBuf;

/// The open door, for the endpoint that takes its key away.
static DOOR: Mutex<Option<Door>> = Mutex::new(None);

#[pleach::endpoint(name = "double")]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

#[pleach::endpoint(name = "doubles")]
async fn doubles(mut far: Far<String, u64, u64>, by: u64) -> Result<u64> {
    far.started(format!("times {by}")).await?;
    let mut sum = 0;
    while let Some(n) = far.recv().await? {
        sum += n;
        far.send(by * n).await?;
    }
    Ok(sum)
}

#[pleach::endpoint(name = "sends_large")]
async fn sends_large(mut far: Far<(), (), ByteBuf>, amount: u64, len: usize) -> Result<u64> {
    far.started(()).await?;
    for _ in 0..amount {
        far.send(ByteBuf::from(vec![7; len])).await?;
    }
    Ok(amount)
}

#[pleach::endpoint(name = "sleeps")]
async fn sleeps(mut far: Far<(), (), ()>) -> Result<()> {
    far.started(()).await?;
    sleep(Duration::from_secs(3600)).await
}

#[pleach::endpoint(name = "revoke")]
async fn revoke() -> Result<()> {
    let door = DOOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    door.ok_or(Ended)?.revoke()
}

/// An endpoint of this program that those who join cannot call.
#[pleach::endpoint(name = "hidden")]
async fn hidden() -> Result<()> {
    Ok(())
}

#[pleach::main]
async fn main() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python_peer.py");
    let tools = door("tools").expose(double).expose(doubles).expose(sends_large).expose(sleeps).expose(revoke);
    tools
        .open(async |door| {
            let Address::Uds(socket) = door.address().clone() else { return Err(Ended.into()) };
            *DOOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(door.clone());
            let status = Command::new("python3").arg(script).arg(socket).arg(door.key_file()).run().await?;
            println!("python: {status}");
            *DOOR.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
            if status.success() { Ok(()) } else { Err(Ended.into()) }
        })
        .await
}
