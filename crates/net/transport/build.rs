//! Compiles the services' own protocol, without a protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../../proto";
    let files = ["ouro/v1/ingest.proto", "ouro/v1/read.proto", "ouro/v1/control.proto"];
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(files, [root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
