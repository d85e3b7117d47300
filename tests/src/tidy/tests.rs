//! Each rule is shown something bad: a checker that cannot fail is worth nothing.

use super::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// The lines that a rule complains about.
fn lines(found: &[Complaint], words: &str) -> Vec<usize> {
    assert!(found.iter().all(|complaint| complaint.to_string().contains(words)), "{words:?} is not in {found:?}");
    found.iter().map(|complaint| complaint.line).collect()
}

#[test]
fn sources() {
    let check = |path: &str, text: &str, words: &str, want: &[usize]| {
        assert_eq!(lines(&source(&file(path, text)), words), want, "{path}: {text:.60}");
    };
    check("a/src/lib.rs", "//! Good.\n\nfn f() {}\n", "", &[]);
    check("a/src/lib.rs", &format!("//! Good.\n{}", "\n".repeat(799)), "", &[]);
    check("a/src/lib.rs", &format!("//! Long.\n{}", "\n".repeat(800)), "800 lines", &[801]);
    check("a/src/lib.rs", "fn f() {}\n", "//!", &[1]);
    check("a/src/lib.rs", "", "//!", &[1]);
    check("a/src/lib.rs", "//!\n//! Late.\n", "//!", &[1]);
    check("a/src/x/mod.rs", "//! Good.\n", "mod.rs", &[1]);
    for name in ["util", "utils", "string_util", "common", "test_helpers", "misc", "task_manager"] {
        check(&format!("a/src/{name}.rs"), "//! Good.\n", "says nothing", &[1]);
        check(&format!("a/src/{name}/x.rs"), "//! Good.\n", "says nothing", &[1]);
    }
    check("a/src/utility_bill.rs", "//! Good.\n", "", &[]);
    for word in UNFINISHED {
        check("a/src/lib.rs", &format!("//! Good.\nfn f() {{ {word}) }}\n"), word, &[2]);
        check("a/src/lib.rs", &format!("//! Good.\n// {word}) was here\n"), "", &[]);
    }
}

#[test]
fn settings() {
    let check = |text: &str, words: &str, want: &[usize]| {
        assert_eq!(lines(&documented_settings(&file("a/src/settings.rs", text)), words), want, "{text}");
    };
    check("pub struct Settings {\n    /// Port.\n    pub port: u16,\n}\n", "", &[]);
    check("pub struct Settings {\n    pub port: u16,\n}\n", "Settings.port", &[2]);
    check(
        "pub struct Settings {\n    /// Port.\n    pub port: u16,\n    pub host: String,\n}\n",
        "Settings.host",
        &[4],
    );
    check(
        "pub struct FlushSettings {\n    #[serde(with = \"x\")]\n    pub wait: Duration,\n}\n",
        "FlushSettings.wait",
        &[3],
    );
    check(
        "pub struct Limits {\n    /// Wait.\n    #[serde(\n        with = \"x\",\n    )]\n    pub wait: Duration,\n    rate: u64,\n}\n",
        "Limits.rate",
        &[7],
    );
    check("pub struct Limits {\n    // Not a doc line.\n    pub rate: Option<u64>,\n}\n", "Limits.rate", &[3]);
    check("pub struct Other {\n    pub port: u16,\n}\npub struct Settings;\n", "", &[]);
    check("pub struct Limits {\n}\npub struct Other {\n    pub port: u16,\n}\n", "", &[]);
}

fn workspace(manifests: &[(&str, &str)]) -> Vec<Member> {
    let read = |(path, text): &(&str, &str)| member(&file(&format!("{path}/Cargo.toml"), text)).expect("a manifest");
    manifests.iter().map(read).collect()
}

#[test]
fn manifests() {
    let text = "[workspace]\nmembers = [\n    # base\n    \"crates/base/model\",\n    \"loadtest\", # last\n]\ndefault-members = [\"x\"]\n";
    let found = members(&file("Cargo.toml", text));
    assert_eq!(found, [("crates/base/model".to_owned(), 4), ("loadtest".to_owned(), 5)]);
    assert!(member(&file("a/Cargo.toml", "[package\n")).is_err());
    assert!(member(&file("a/Cargo.toml", "[dependencies]\n")).is_err());
}

#[test]
fn order() {
    let low = "[package]\nname = \"ouro-model\"\n[dependencies]\nserde.workspace = true\n";
    let good = "[package]\nname = \"ouro-wire\"\n[dependencies]\nmodel.workspace = true\n[dev-dependencies]\nring.workspace = true\n";
    let top = "[package]\nname = \"ouro-ring\"\n[dependencies]\nwire = { workspace = true }\n";
    let check = |manifests: &[(&str, &str)], words: &str, want: &[usize]| {
        assert_eq!(lines(&bottom_up(&workspace(manifests)), words), want, "{manifests:?}");
    };
    check(&[("crates/model", low), ("crates/wire", good), ("crates/ring", top)], "", &[]);
    check(&[("crates/wire", good), ("crates/model", low), ("crates/ring", top)], "ouro-wire uses model", &[4]);
    check(&[("crates/model", low), ("crates/ring", top), ("crates/wire", good)], "ouro-ring uses wire", &[4]);
    let renamed =
        "[package]\nname = \"ouro-model\"\n[dependencies]\n\nw = { path = \"../wire\", package = \"ouro-wire\" }\n";
    check(&[("crates/model", renamed), ("crates/wire", good)], "ouro-model uses wire", &[5]);
    let targets = "[package]\nname = \"ouro-model\"\n[target.'cfg(unix)'.dependencies]\nwire.workspace = true\n";
    check(&[("crates/model", targets), ("crates/wire", good)], "ouro-model uses wire", &[4]);
}

#[test]
fn purity() {
    let check = |package: &str, dependency: &str, want: usize| {
        let text = format!("[package]\nname = \"{package}\"\n[dependencies]\n{dependency}.workspace = true\n");
        assert_eq!(lines(&pure(&workspace(&[("x", &text)])), dependency), vec![4; want], "{package} with {dependency}");
    };
    check("ouro-eval", "tokio", 1);
    check("ouro-model", "tokio-stream", 1);
    check("ouro-eval", "regex", 0);
    check("ouro-wire", "tokio", 0);
}

#[test]
fn pages() {
    let members = workspace(&[
        ("crates/net/ring", "[package]\nname = \"ouro-ring\"\n"),
        ("crates/query/logql", "[package]\nname = \"ouro-logql\"\n"),
    ]);
    let check = |text: &str, words: &str, want: usize| {
        assert_eq!(lines(&mentions(&file("README.md", text), &members), words).len(), want, "{text}");
    };
    check("# Ouro\n`crates/net/ring` and logql → eval\n", "", 0);
    check("# Ouro\n`ouro-ring`, `ouro-logql`\n", "", 0);
    check("# Ouro\nThe ring.\n", "ouro-logql", 1);
    check("# Ouro\nlogqlx strings\n", "does not mention", 2);
}
