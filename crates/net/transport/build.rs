//! Compiles the services' own protocol, without a protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../../proto";
    let names = ["ingest", "read", "control", "groups", "peer", "rules", "elections"];
    let files = names.map(|name| format!("ouro/v1/{name}.proto"));
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(files, [root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
