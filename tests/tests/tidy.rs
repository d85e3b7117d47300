//! Holds the tree to the rules of the house.

use ouro_tests::tidy::{self, Complaint, File, Member};
use std::path::{Path, PathBuf};

/// Pages that give the map of the tree.
/// The page that is the map of the code.
const MAP: &str = "ARCHITECTURE.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> File {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    File { path: path.to_owned(), text }
}

/// Paths of all Rust files of the members.
fn sources() -> Vec<File> {
    let mut found = Vec::new();
    for (member, _) in tidy::members(&read("Cargo.toml")) {
        walk(&member, &mut found);
    }
    assert!(found.len() > 50, "only {} files found", found.len());
    found
}

fn walk(folder: &str, found: &mut Vec<File>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(root().join(folder)).expect(folder).map(|entry| entry.expect(folder)).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            if entry.file_name() != "target" {
                walk(&path, found);
            }
        } else if path.ends_with(".rs") {
            found.push(read(&path));
        }
    }
}

fn members() -> Vec<Member> {
    let listed = tidy::members(&read("Cargo.toml"));
    let manifest = |(path, _): &(String, usize)| tidy::member(&read(&format!("{path}/Cargo.toml")));
    let members: Vec<Member> =
        listed.iter().map(manifest).collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}"));
    assert!(members.len() > 15, "only {} members found", members.len());
    members
}

fn hold(found: Vec<Complaint>) {
    let text: Vec<String> = found.iter().map(Complaint::to_string).collect();
    assert!(text.is_empty(), "{} breaches of the rules of the house:\n{}", text.len(), text.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    hold(sources().iter().flat_map(tidy::source).collect());
}

#[test]
fn settings_are_documented() {
    let files = sources();
    hold(files.iter().flat_map(tidy::documented_settings).collect());
}

#[test]
fn the_manifest_is_the_map() {
    hold(tidy::bottom_up(&members()));
}

#[test]
fn pure_crates_have_no_runtime() {
    let members = members();
    for pure in tidy::PURE {
        assert!(members.iter().any(|member| member.package == format!("ouro-{pure}")), "no crate {pure} any more");
    }
    hold(tidy::pure(&members));
}

#[test]
fn the_map_mentions_every_crate() {
    let members = members();
    hold(tidy::mentions(&read(MAP), &members));
}
