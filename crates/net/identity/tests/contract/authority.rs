//! An authority of our own: what it writes, what it never overwrites, and that members accept what it issues.

use crate::fixture::{Ca, any, connect};
use model::Role;
use ouro_identity::{Authority, Error, Identity, Settings};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn settings(dir: &Path, name: &str) -> Settings {
    Settings {
        ca: dir.join("ca.crt"),
        certificate: dir.join(format!("{name}.crt")),
        key: dir.join(format!("{name}.key")),
        ..Settings::default()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_it_issues_is_what_members_accept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("certs");
    Authority::init(dir, "ouro").unwrap();
    let authority = Authority::open(dir).unwrap();
    assert_eq!(authority.cluster(), "ouro");
    let hosts = ["ingester-0.ouro.svc".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    authority.issue(Role::Ingester, "ingester-0", 30, &hosts).unwrap().write(dir).unwrap();
    authority.issue(Role::Querier, "querier-0", 1, &[]).unwrap().write(dir).unwrap();
    for (file, want) in [("ca.key", 0o600), ("ca.crt", 0o644), ("querier-0.key", 0o600), ("querier-0.crt", 0o644)] {
        // A stricter umask may take more away.
        assert_eq!(mode(&dir.join(file)) | (want & 0o044), want, "{file}");
    }
    let ingester = Identity::open(&settings(dir, "ingester-0"), "ouro", Role::Ingester).unwrap();
    let querier = Identity::open(&settings(dir, "querier-0"), "ouro", Role::Querier).unwrap();
    let (near, far) = connect(&querier.connector(), &ingester.acceptor(), any()).await;
    assert_eq!(near.unwrap().1.to_string(), "spiffe://ouro/ingester/ingester-0");
    assert_eq!(far.unwrap().1.to_string(), "spiffe://ouro/querier/querier-0");
    let days = ingester.expires().duration_since(SystemTime::now()).unwrap().as_secs_f64() / 86_400.0;
    assert!((29.9..=30.0).contains(&days), "{days}");
}

#[test]
fn issuing_again_replaces_the_files_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let authority = Authority::init(dir, "ouro").unwrap();
    authority.issue(Role::Ruler, "a", 1, &[]).unwrap().write(dir).unwrap();
    let identity = Identity::open(&settings(dir, "a"), "ouro", Role::Ruler).unwrap();
    let before = identity.expires();
    // Left over by a process that ended in between, with a mode that a key may not have.
    std::fs::write(dir.join("a.key.new"), "old").unwrap();
    authority.issue(Role::Ruler, "a", 90, &[]).unwrap().write(dir).unwrap();
    assert_eq!(mode(&dir.join("a.key")), 0o600);
    assert!(!dir.join("a.key.new").exists());
    assert_eq!(identity.look(), ouro_identity::Look::Loaded);
    assert!(identity.expires() > before + Duration::from_secs(80 * 86_400));
}

#[test]
fn an_authority_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Authority::init(dir, "ouro").unwrap();
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let before = [read("ca.crt"), read("ca.key")];
    let error = Authority::init(dir, "ouro").unwrap_err();
    assert!(matches!(&error, Error::Exists { path } if path.ends_with("ca.crt")), "{error}");
    assert!(error.to_string().contains("never overwritten"), "{error}");
    assert_eq!([read("ca.crt"), read("ca.key")], before);
    // Nor is half of one.
    std::fs::remove_file(dir.join("ca.crt")).unwrap();
    let error = Authority::init(dir, "ouro").unwrap_err();
    assert!(matches!(&error, Error::Exists { path } if path.ends_with("ca.key")), "{error}");
    assert!(!dir.join("ca.crt").exists());
    // A member may not take its place either.
    std::fs::write(dir.join("ca.crt"), &before[0]).unwrap();
    let error = Authority::open(dir).unwrap().issue(Role::Ruler, "ca", 1, &[]).err().unwrap().to_string();
    assert!(error.contains("cannot be called ca"), "{error}");
}

#[test]
fn what_cannot_be_issued_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::init(dir.path(), "ouro").unwrap();
    let hosts = |text: &str| vec![text.to_owned()];
    for (name, days, hosts, words) in [
        ("../a", 1, vec![], &["member \"../a\""][..]),
        ("", 1, vec![], &["member \"\""]),
        ("a", 0, vec![], &["1 to 3650 days", "not 0"]),
        ("a", 3651, vec![], &["1 to 3650 days", "not 3651"]),
        ("a", 1, hosts("*.ouro"), &["\"*.ouro\"", "neither a DNS name"]),
        ("a", 1, hosts("a b"), &["\"a b\"", "neither a DNS name"]),
    ] {
        let error = authority.issue(Role::Ruler, name, days, &hosts).err().unwrap().to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    }
    assert!(Authority::init(&dir.path().join("x"), "Ouro").unwrap_err().to_string().contains("cluster \"Ouro\""));
}

#[test]
fn what_is_no_authority_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let refused = |words: &[&str]| {
        let error = Authority::open(dir).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    };
    refused(&["cannot read", "ca.crt"]);
    let issued = Authority::init(dir, "ouro").unwrap().issue(Role::Ruler, "a", 1, &[]).unwrap();
    let key = std::fs::read(dir.join("ca.key")).unwrap();
    std::fs::write(dir.join("ca.key"), &issued.key).unwrap();
    refused(&["ca.key", "does not belong"]);
    std::fs::write(dir.join("ca.key"), &issued.certificate).unwrap();
    refused(&["ca.key", "no private key"]);
    std::fs::write(dir.join("ca.key"), key).unwrap();
    std::fs::write(dir.join("ca.crt"), &issued.certificate).unwrap();
    refused(&["ca.crt", "no authority"]);
    let other = Ca::new();
    std::fs::write(dir.join("ca.crt"), &other.pem).unwrap();
    std::fs::write(dir.join("ca.key"), other.key()).unwrap();
    refused(&["ca.crt", "names no cluster"]);
}
