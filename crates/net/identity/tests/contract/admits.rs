//! Who is let in, and whom a connection is meant for.

use crate::fixture::{CLUSTER, Ca, Files, any, connect, member, refused, talk};
use model::Role;
use ouro_identity::{Cause, Expect, Identity, NameSettings, Refused, Settings};
use rcgen::SanType;
use tokio::io::AsyncReadExt;

fn expect(role: Option<Role>, name: Option<&str>) -> Expect {
    Expect { role, name: name.map(str::to_owned) }
}

/// What tonic and hyper need of a stream.
fn is_a_stream<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>(_: &S) {}

#[tokio::test]
async fn members_of_a_cluster_know_each_other() {
    let ca = Ca::new();
    let ingester = member(&ca, Role::Ingester, "ingester-0");
    let querier = member(&ca, Role::Querier, "querier-7");
    let meant = expect(Some(Role::Ingester), Some("ingester-0"));
    let (near, far) = connect(&querier.connector(), &ingester.acceptor(), meant).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(near.1.to_string(), "spiffe://ouro/ingester/ingester-0");
    assert_eq!(far.1.to_string(), "spiffe://ouro/querier/querier-7");
    assert_eq!(near.0.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(near.0.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    is_a_stream(&near.0);
    is_a_stream(&far.0);
    talk(&mut near, &mut far).await;
    for identity in [&ingester, &querier] {
        assert!(identity.stats().refused.iter().all(|(_, count)| *count == 0));
    }
}

#[tokio::test]
async fn a_connection_to_another_than_meant_is_refused() {
    let ca = Ca::new();
    let ingester = member(&ca, Role::Ingester, "ingester-0");
    let querier = member(&ca, Role::Querier, "querier-7");
    for (meant, want) in [
        (expect(Some(Role::Compactor), None), Refused::WrongRole { role: Role::Ingester, expected: Role::Compactor }),
        (
            expect(Some(Role::Ingester), Some("ingester-1")),
            Refused::WrongName { name: "ingester-0".into(), expected: "ingester-1".into() },
        ),
    ] {
        let (near, far) = connect(&querier.connector(), &ingester.acceptor(), meant).await;
        assert_eq!(refused(&querier, want.reason()), 1);
        assert_eq!(near.map(|(_, peer)| peer), Err(want));
        let far = far.map(|(_, peer)| peer).unwrap_err();
        assert!(far.to_string().contains("the other end refused it"), "{far}");
    }
}

#[tokio::test]
async fn an_authority_that_one_end_does_not_know_joins_nobody() {
    let (ca, other) = (Ca::new(), Ca::new());
    let here = member(&ca, Role::Ingester, "a");
    let there = member(&other, Role::Querier, "b");
    let (near, far) = connect(&there.connector(), &here.acceptor(), any()).await;
    assert_eq!(near.map(|(_, peer)| peer), Err(Refused::UnknownAuthority));
    assert_eq!(far.map(|(_, peer)| peer).unwrap_err().reason(), Cause::Handshake);

    // One that trusts both connects, is refused, and finds that out by its first read.
    let both = Files::new(&format!("{}{}", ca.pem, other.pem), &other.member("spiffe://ouro/querier/b"));
    let (near, far) = connect(&both.open(Role::Querier).connector(), &here.acceptor(), any()).await;
    assert_eq!(far.map(|(_, peer)| peer), Err(Refused::UnknownAuthority));
    assert!(near.unwrap().0.read_u8().await.is_err());
}

#[tokio::test]
async fn an_intermediate_authority_travels_with_the_certificate() {
    let root = Ca::new();
    let between = root.intermediate();
    let mut pair = between.member("spiffe://ouro/querier/a");
    let bare = Files::new(&root.pem, &pair);
    assert!(Identity::open(&bare.settings(), CLUSTER, Role::Querier).is_err());
    pair.certificate += &between.pem;
    let querier = Files::new(&root.pem, &pair).open(Role::Querier);
    let ingester = member(&root, Role::Ingester, "b");
    for (from, to) in [(&querier, &ingester), (&ingester, &querier)] {
        let (near, far) = connect(&from.connector(), &to.acceptor(), any()).await;
        assert_eq!((near.unwrap().1, far.unwrap().1), (to.own(), from.own()));
    }
}

#[tokio::test]
async fn a_rule_makes_members_of_dns_names() {
    let ca = Ca::new();
    let named =
        |name: &str| ca.pair(|params| params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())]);
    let rule = |dns: &str, role| NameSettings { dns: dns.into(), role };
    let open = |name: &str, role| {
        let files = Files::new(&ca.pem, &named(name));
        let names =
            vec![rule("ouro-ingester-*.ouro.svc", Role::Ingester), rule("ouro-querier-*.ouro.svc", Role::Querier)];
        Identity::open(&Settings { names, ..files.settings() }, CLUSTER, role)
    };
    let ingester = open("ouro-ingester-0.ouro.svc", Role::Ingester).unwrap();
    let querier = open("ouro-querier-5.ouro.svc", Role::Querier).unwrap();
    let (near, far) = connect(&querier.connector(), &ingester.acceptor(), any()).await;
    assert_eq!(near.unwrap().1.to_string(), "spiffe://ouro/ingester/ouro-ingester-0.ouro.svc");
    assert_eq!(far.unwrap().1.role, Role::Querier);
    // Whoever has no such rules knows no such member.
    let ruler = member(&ca, Role::Ruler, "ruler-0");
    let (near, far) = connect(&ingester.connector(), &ruler.acceptor(), any()).await;
    assert_eq!(near.unwrap().1.to_string(), "spiffe://ouro/ruler/ruler-0");
    assert_eq!(far.map(|(_, peer)| peer).unwrap_err().reason(), Cause::Unnamed);

    let error = open("ouro-ruler-0.ouro.svc", Role::Ruler).unwrap_err().to_string();
    assert!(error.contains("tls.names"), "{error}");
}
