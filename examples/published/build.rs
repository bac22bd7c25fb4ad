//! `moved.rs` without its `main`, for `crashing.rs`, which has one of its own.

use std::path::Path;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=moved.rs");
    let moved = std::fs::read_to_string("moved.rs")?;
    let (before, main) = moved
        .split_once("#[pleach::main]")
        .expect("it has a `main`");
    let (_, after) = main.split_once("\n}\n").expect("that ends");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    std::fs::write(
        Path::new(&out).join("moved_without_main.rs"),
        [before, after].concat(),
    )
}
