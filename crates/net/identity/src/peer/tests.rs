//! Names and certificates, good, bad and arbitrary.

use super::*;
use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, SanType};
use std::sync::LazyLock;

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).expect("ASCII"))
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(text).expect("ASCII"))
}

/// A certificate with these names, by nobody.
fn certificate(names: &[SanType]) -> Vec<u8> {
    static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().expect("a key"));
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.self_signed(&*KEY).expect("a certificate").der().to_vec()
}

/// Cluster `ouro` with rules for two roles.
fn names() -> Names {
    let rule = |pattern, role| (Pattern::parse(pattern).expect("a pattern"), role);
    let rules = vec![rule("ingester-*.ouro", Role::Ingester), rule("*.ouro", Role::Querier)];
    Names { cluster: "ouro".into(), rules }
}

fn admit(names_of_certificate: &[SanType]) -> Result<Peer, Refused> {
    names().admit(&certificate(names_of_certificate), &Expect::default())
}

fn peer(cluster: &str, role: Role, name: &str) -> Peer {
    Peer { cluster: cluster.into(), role, name: name.into() }
}

#[test]
fn a_uri_is_cluster_role_and_name() {
    let good = "spiffe://ouro-eu.1/ingester/ingester-0";
    assert_eq!(good.parse(), Ok(peer("ouro-eu.1", Role::Ingester, "ingester-0")));
    let long = format!("spiffe://ouro/ruler/{}", "x".repeat(64));
    for (bad, word) in [
        ("", "spiffe://CLUSTER/ROLE/NAME"),
        ("https://ouro/ruler/a", "spiffe://CLUSTER/ROLE/NAME"),
        ("SPIFFE://ouro/ruler/a", "spiffe://CLUSTER/ROLE/NAME"),
        ("spiffe://ouro", "spiffe://CLUSTER/ROLE/NAME"),
        ("spiffe://ouro/ruler", "spiffe://CLUSTER/ROLE/NAME"),
        ("spiffe://ouro/ruler/a/", "spiffe://CLUSTER/ROLE/NAME"),
        ("spiffe://cluster.local/ns/a/sa/b", "spiffe://CLUSTER/ROLE/NAME"),
        ("spiffe:///ruler/a", "cluster \"\""),
        ("spiffe://Ouro/ruler/a", "cluster \"Ouro\""),
        ("spiffe://ouro:80/ruler/a", "cluster \"ouro:80\""),
        ("spiffe://ouro/king/a", "\"king\" is no role"),
        ("spiffe://ouro/ruler/", "member \"\""),
        ("spiffe://ouro/ruler/..", "member \"..\""),
        ("spiffe://ouro/ruler/a%2fb", "member \"a%2fb\""),
        ("spiffe://ouro/ruler/a?b", "member \"a?b\""),
        (long.as_str(), "1 to 63"),
    ] {
        let error = bad.parse::<Peer>().expect_err(bad).to_string();
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

#[test]
fn a_certificate_is_of_one_member() {
    let ours = uri("spiffe://ouro/ruler/a");
    let ruler = peer("ouro", Role::Ruler, "a");
    let strange = SanType::URI(Ia5String::try_from("https://example.com/").expect("ASCII"));
    for (names, want) in [
        (vec![ours.clone()], &ruler),
        (vec![strange, dns("elsewhere.example"), ours.clone()], &ruler),
        // The URI decides, whatever the DNS names are.
        (vec![dns("ingester-0.ouro"), ours.clone()], &ruler),
        (vec![dns("elsewhere.example"), dns("Ingester-0.Ouro")], &peer("ouro", Role::Ingester, "ingester-0.ouro")),
        (vec![dns("querier-0.ouro")], &peer("ouro", Role::Querier, "querier-0.ouro")),
    ] {
        assert_eq!(admit(&names).as_ref(), Ok(want), "{names:?}");
    }
    for (names, word) in [
        (vec![], "no spiffe:// name, and no DNS name"),
        (vec![dns("elsewhere.example")], "no DNS name that tls.names accept"),
        (vec![dns("*.ouro")], "no DNS name that tls.names accept"),
        (vec![ours.clone(), uri("spiffe://ouro/ruler/b")], "more than one"),
        (vec![ours.clone(), ours.clone()], "more than one"),
        (vec![uri("spiffe://ouro")], "is not spiffe://CLUSTER/ROLE/NAME"),
        // A misspelt URI must not leave the decision to a DNS name.
        (vec![uri("SPIFFE://other/ruler/a"), dns("querier-0.ouro")], "is not spiffe://CLUSTER/ROLE/NAME"),
        (vec![dns("querier-0.ouro"), dns("ingester-0.ouro")], "different roles"),
    ] {
        match admit(&names) {
            Err(Refused::Unnamed { why }) => assert!(why.contains(word), "{word:?} is not in {why:?}"),
            other => panic!("{names:?}: {other:?}"),
        }
    }
}

#[test]
fn another_cluster_is_foreign_whatever_else_it_names() {
    let refused = admit(&[dns("querier-0.ouro"), uri("spiffe://ouro2/querier/a")]);
    assert_eq!(refused, Err(Refused::ForeignCluster { cluster: "ouro2".into(), own: "ouro".into() }));
}

#[test]
fn a_uri_that_is_no_text_is_refused() {
    let mut der = certificate(&[uri("spiffe://ouro/ruler/a"), dns("querier-0.ouro")]);
    let at = der.windows(9).position(|window| window == b"spiffe://").expect("the URI");
    der[at] = 0xff;
    match names().admit(&der, &Expect::default()) {
        Err(Refused::Unnamed { why }) => assert!(why.contains("not text"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_expected_is_held() {
    let der = certificate(&[uri("spiffe://ouro/ruler/a")]);
    let expect = |role, name: Option<&str>| Expect { role, name: name.map(str::to_owned) };
    let admit = |expect| names().admit(&der, &expect).map(|peer| peer.name);
    assert_eq!(admit(expect(Some(Role::Ruler), Some("a"))).as_deref(), Ok("a"));
    let wrong = Refused::WrongRole { role: Role::Ruler, expected: Role::Querier };
    assert_eq!(admit(expect(Some(Role::Querier), Some("b"))), Err(wrong));
    assert_eq!(admit(expect(None, Some("b"))), Err(Refused::WrongName { name: "a".into(), expected: "b".into() }));
}

#[test]
fn errors_stay_short() {
    let long = format!("spiffe://{}", "x".repeat(60_000));
    match admit(&[uri(&long)]) {
        Err(Refused::Unnamed { why }) => assert!(why.len() < 300, "{} bytes", why.len()),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in ".*", rest in "[a-z/.]{0,40}") {
        let _ = text.parse::<Peer>();
        if let Ok(peer) = format!("spiffe://{rest}").parse::<Peer>() {
            prop_assert_eq!(peer.to_string(), format!("spiffe://{rest}"));
        }
    }

    #[test]
    fn a_member_is_what_its_uri_says(
        cluster in "[a-z0-9][a-z0-9._-]{0,62}", role in 0..5_usize, name in "[a-z0-9][a-z0-9._-]{0,62}",
    ) {
        let peer = Peer { cluster, role: Role::ALL[role], name };
        prop_assert_eq!(peer.to_string().parse(), Ok(peer));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(names().admit(&bytes, &Expect::default()).is_err());
    }

    #[test]
    fn a_damaged_certificate_is_read_without_a_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut der = certificate(&[uri("spiffe://ouro/ruler/a"), dns("querier-0.ouro")]);
        for (at, byte) in changes {
            let at = at.index(der.len());
            der[at] = byte;
        }
        let _ = names().admit(&der, &Expect::default());
        prop_assert!(names().admit(&der[..cut.index(der.len())], &Expect::default()).is_err());
    }
}
