//! Makes the gRPC code from `proto/` with a compiler written in Rust, so no `protoc` is needed.

use prost::Message;
use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 3] =
    ["proto/slacktide/v1/device.proto", "proto/slacktide/v1/enrolment.proto", "proto/slacktide/v1/operator.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // The same bytes answer the reflection service.
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().codec_path("crate::wire::LeanCodec").compile_fds(descriptors)?;
    Ok(())
}
