//! What an identity refuses to start with, and how it says so.

use crate::fixture::{CLUSTER, Ca, Files, Pair};
use model::Role;
use ouro_identity::{Identity, Settings};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use std::time::{Duration, UNIX_EPOCH};

const MEMBER: &str = "spiffe://ouro/ingester/ingester-0";

/// The files cannot be used, and the error has all these words.
#[track_caller]
fn check(files: &Files, words: &[&str]) {
    let error = Identity::open(&files.settings(), CLUSTER, Role::Ingester).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

#[test]
fn an_error_names_the_file_and_what_to_do() {
    let (ca, other) = (Ca::new(), Ca::new());
    let good = ca.member(MEMBER);
    let with = |pair: &Pair| Files::new(&ca.pem, pair);
    let changed = |name: &str, text: &str| {
        let files = with(&good);
        files.write(name, text);
        files
    };
    let aged = |from, to| {
        with(&ca.pair(|params| {
            params.subject_alt_names = vec![SanType::URI(MEMBER.try_into().unwrap())];
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        }))
    };
    let usage = |usage| {
        with(&ca.pair(|params| {
            params.subject_alt_names = vec![SanType::URI(MEMBER.try_into().unwrap())];
            params.extended_key_usages = vec![usage];
        }))
    };
    for (files, words) in [
        (changed("ca.crt", ""), &["ca.crt", "no certificate"][..]),
        (changed("ca.crt", &good.key), &["ca.crt", "no certificate"]),
        (changed("tls.crt", &good.certificate[..200]), &["tls.crt", "not whole"]),
        (changed("tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &["tls.crt"]),
        (changed("tls.key", &good.certificate), &["tls.key", "no private key"]),
        (changed("tls.key", &ca.member(MEMBER).key), &["tls.key", "tls.crt", "does not belong", "renew both"]),
        (changed("tls.key", &"x".repeat(2 << 20)), &["tls.key", "1MiB"]),
        (with(&other.member(MEMBER)), &["tls.crt", "no authority", "add the authority"]),
        (with(&ca.member("spiffe://ouro2/ingester/a")), &["tls.crt", "cluster ouro2", "this is ouro", "cluster.name"]),
        (with(&ca.member("spiffe://ouro/ruler/a")), &["tls.crt", "role ruler", "expected is ingester"]),
        (with(&ca.member("spiffe://ouro/ruler")), &["tls.crt", "spiffe://CLUSTER/ROLE/NAME"]),
        (aged(2000, 2001), &["tls.crt", "has expired", "renew it"]),
        (aged(3000, 3001), &["tls.crt", "not valid yet", "clock"]),
        (usage(ExtendedKeyUsagePurpose::ServerAuth), &["tls.crt", "server auth and client auth"]),
        (usage(ExtendedKeyUsagePurpose::ClientAuth), &["tls.crt", "server auth and client auth"]),
    ] {
        check(&files, words);
    }
    let missing = Settings { key: "/nowhere/tls.key".into(), ..with(&good).settings() };
    assert!(Identity::open(&missing, CLUSTER, Role::Ingester).is_err());
    let error = Identity::open(&with(&good).settings(), "Ouro!", Role::Ingester).unwrap_err().to_string();
    assert!(error.contains("\"Ouro!\"") && error.contains("a-z"), "{error}");
}

#[test]
fn an_identity_tells_who_it_is_and_until_when() {
    let ca = Ca::new();
    let pair = ca.pair(|params| {
        params.subject_alt_names = vec![SanType::URI(MEMBER.try_into().unwrap())];
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    });
    let identity = Files::new(&ca.pem, &pair).open(Role::Ingester);
    assert_eq!(identity.own().to_string(), MEMBER);
    assert_eq!(identity.expires(), UNIX_EPOCH + Duration::from_secs(4_102_444_800));
    assert!(!format!("{identity:?}").contains("PRIVATE"));
}
