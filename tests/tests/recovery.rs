//! Prints how long the cluster took to recover in the stories that were told before: `cargo test` comes here after them.

fn main() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("recovery");
    println!("\n{}", ouro_tests::recovery::table(&folder));
}
