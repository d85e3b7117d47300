//! Certificates that have expired, that others issued, and that are replaced: who may not join is told so and named, and
//! whoever may goes on.

use crate::{FOLDER, cluster};
use identity::Authority;
use model::Role;
use ouro_tests::client::until;
use ouro_tests::ledger::{Ledger, Sender};
use ouro_tests::members::{Members, Running, Shape};
use ouro_tests::story::Story;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ONE_OF_EACH: &[(Role, usize)] = &[(Role::Ingester, 1), (Role::Distributor, 1), (Role::Querier, 1)];

fn small(name: &str) -> Members {
    cluster(Shape { name, seats: ONE_OF_EACH, placement: "replicas = 1", ..Shape::default() })
}

/// Connections that a member refused for a reason.
async fn refused(members: &Members, by: &str, reason: &str) -> f64 {
    members.client(by).meter(&format!("ouro_tls_refused_total{{reason=\"{reason}\"}}")).await
}

/// Writes a certificate of the cluster's own authority that ends so soon.
fn certify_for(members: &Members, name: &str, lasts: Duration) {
    let (folder, seat) = (members.certs(), members.seat(name));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("read");
    let key = KeyPair::from_pem(&read("ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), key).expect("an authority");
    let mut params = CertificateParams::default();
    let uri = format!("spiffe://{}/{}/{name}", members.cluster(), seat.role);
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).expect("ASCII"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let (epoch, now) =
        (rcgen::date_time_ymd(1970, 1, 1), SystemTime::now().duration_since(UNIX_EPOCH).expect("a time"));
    (params.not_before, params.not_after) = (epoch + now - Duration::from_secs(3600), epoch + now + lasts);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    write(&folder, name, &key.serialize_pem(), &certificate.pem());
}

fn write(folder: &Path, name: &str, key: &str, certificate: &str) {
    std::fs::write(folder.join(format!("{name}.key")), key).expect("written");
    std::fs::write(folder.join(format!("{name}.crt")), certificate).expect("written");
}

/// A member whose certificate ends while it runs is refused by whoever it connects to anew, and is back once it is renewed,
/// without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused_until_it_is_renewed() {
    const LASTS: Duration = Duration::from_secs(5);
    let members = small("story");
    certify_for(&members, "querier-0", LASTS);
    let begun = tokio::time::Instant::now();
    let mut running = members.start_all().await;
    let (sender, mut ledger) = (Sender::new("expired"), Ledger::default());
    ledger.send_some(&members.push(), &sender, 4).await;
    ledger.check(&members.read(), "with a certificate that is still good").await;
    tokio::time::sleep_until(begun + LASTS + Duration::from_secs(1)).await;
    // A new connection is needed when the other end was restarted.
    running.remove("ingester-0").expect("it runs").kill();
    members.start(&mut running, "ingester-0");
    until("the ingester refuses the querier", async || refused(&members, "ingester-0", "expired").await > 0.0).await;
    let (querier, whole) = (members.read(), [("query", "story_value"), ("partial_response", "false")]);
    let asked = querier.ask("expired", "/prometheus/api/v1/query", &whole);
    asked.await.expect("an answer").is("a query through the expired querier", 503, &["shard metrics-"]);
    assert!(running["ingester-0"].stderr().contains("expired"), "{}", running["ingester-0"].stderr());
    ledger.send_some(&members.push(), &sender, 4).await;
    // One that expired cannot be started either, and says why.
    let stopped = running.remove("querier-0").expect("it runs");
    stopped.kill();
    let end = members.try_start("querier-0").err().expect("it does not start");
    assert!(!end.status.success() && end.stderr.contains("expired") && end.stderr.contains("renew"), "{}", end.stderr);
    members.certify(members.seat("querier-0"));
    members.start(&mut running, "querier-0");
    members.ready("querier-0").await;
    ledger.check(&members.read(), "once the certificate is renewed").await;
}

/// Another authority that calls its cluster by the same name is another authority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_certificate_is_refused() {
    let members = small("story");
    let objects = Some(format!("url = \"file://{}\"\n", members.objects().display()));
    let mut foreign = cluster(Shape { seats: ONE_OF_EACH, placement: "replicas = 1", objects, ..Shape::default() });
    let mut running = Running::new();
    ["ingester-0", "distributor-0"].into_iter().for_each(|name| members.start(&mut running, name));
    members.ready("distributor-0").await;
    let (sender, mut ledger) = (Sender::new("foreign"), Ledger::default());
    ledger.send_some(&members.push(), &sender, 4).await;
    let at = foreign.seat_at("querier-0");
    foreign.write_with(at, "", "", &[members.seat("ingester-0").address()]);
    foreign.start(&mut running, "querier-0");
    until("it trusts nobody there", async || refused(&foreign, "querier-0", "unknown authority").await > 0.0).await;
    let ready = foreign.read().ask("", "/ready", &[]).await.expect("an answer");
    ready.is("a member that nobody trusts", 503, &["no shard is known"]);
    // One that would trust anybody is not trusted.
    let (ours, theirs) = (members.certs().join("ca.crt"), foreign.certs().join("ca.crt"));
    let [ours, own] = [&ours, &theirs].map(|path| std::fs::read_to_string(path).expect("read"));
    std::fs::write(&theirs, format!("{own}{ours}")).expect("written");
    until("nobody there trusts it", async || refused(&members, "ingester-0", "unknown authority").await > 0.0).await;
    let said = running["ingester-0"].stderr();
    assert!(said.contains("from no authority that is trusted here"), "{said}");
    let metrics = members.client("distributor-0").text("/metrics").await;
    assert!(metrics.contains("ouro_members{role=\"querier\"} 0"), "{metrics}");
    ledger.send_some(&members.push(), &sender, 4).await;
    // With a certificate of that cluster it is taken in, as it runs.
    let issued = Authority::open(&members.certs()).expect("an authority").issue(Role::Querier, "querier-0", 1, &[]);
    issued.expect("a certificate").write(&foreign.certs()).expect("written");
    foreign.ready("querier-0").await;
    ledger.check(&foreign.read(), "once it has a certificate of this cluster").await;
}

/// First every certificate is renewed, then the authority is replaced by another, and no request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_authority_are_rotated_under_load() {
    let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 1)];
    let members = cluster(Shape { seats, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let mut story = Story::begin(FOLDER, "certificates-rotated", &members).await;
    let names: Vec<String> = members.seats.iter().map(|seat| seat.name.clone()).collect();
    let reloaded = async |times: f64| {
        for name in &names {
            until(&format!("{name} has taken over what is new"), async || {
                members.client(name).meter("ouro_tls_reloads_total").await >= times
            })
            .await;
        }
    };
    story.fault("all certificates are renewed");
    members.seats.iter().for_each(|seat| members.certify(seat));
    reloaded(1.0).await;
    story.recovered().await;
    story.fault("another authority takes over");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let next = Authority::init(elsewhere.path(), "story").expect("an authority");
    let (ca, new) = (members.certs().join("ca.crt"), elsewhere.path().join("ca.crt"));
    let [old, new] = [&ca, &new].map(|path| std::fs::read_to_string(path).expect("read"));
    std::fs::write(&ca, format!("{old}{new}")).expect("written");
    reloaded(2.0).await;
    for seat in &members.seats {
        let issued = next.issue(seat.role, &seat.name, 1, &[]).expect("a certificate");
        issued.write(&members.certs()).expect("written");
    }
    reloaded(3.0).await;
    std::fs::write(&ca, &new).expect("written");
    reloaded(4.0).await;
    // New connections are made, by what is new alone.
    members.end(&mut running, "ingester-0");
    members.start(&mut running, "ingester-0");
    members.settled(3).await;
    story.recovered().await;
    for name in &names {
        assert_eq!(members.client(name).meter("ouro_tls_failed_reloads_total").await, 0.0, "{name}");
    }
    story.end().await.none();
}

/// The ingesters of two clusters, which trust each other's authority, come back at each other's addresses: old members find
/// strangers where their own were, and each cluster is whole again, by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_swap_addresses() {
    let [mut one, mut other] = ["one", "other"].map(small);
    let authorities = [&one, &other].map(|members| members.certs().join("ca.crt"));
    let both = authorities.each_ref().map(|path| std::fs::read_to_string(path).expect("read")).concat();
    authorities.iter().for_each(|path| std::fs::write(path, &both).expect("written"));
    let (mut ones, mut others) = (one.start_all().await, other.start_all().await);
    let mut stories =
        [Story::begin(FOLDER, "swapped-one", &one).await, Story::begin(FOLDER, "swapped-other", &other).await];
    stories.iter_mut().for_each(|story| story.fault("ingesters swap addresses"));
    ones.remove("ingester-0").expect("it runs").kill();
    others.remove("ingester-0").expect("it runs").kill();
    one.swap_addresses(&mut other);
    for (members, running) in [(&mut one, &mut ones), (&mut other, &mut others)] {
        let at = members.seat_at("ingester-0");
        let seeds: Vec<String> = members.seats.iter().map(|seat| seat.address()).collect();
        members.write_with(at, "replicas = 1", "", &seeds);
        members.start(running, "ingester-0");
    }
    for story in &mut stories {
        story.recovered().await;
    }
    let mut strangers = 0.0;
    for members in [&one, &other] {
        for seat in &members.seats {
            strangers += refused(members, &seat.name, "foreign cluster").await;
        }
        let text = members.client("ingester-0").text("/metrics").await;
        for role in ["ingester", "distributor", "querier"] {
            assert!(text.contains(&format!("ouro_members{{role=\"{role}\"}} 1")), "{text}");
        }
    }
    assert!(strangers > 0.0, "nobody knocked at the wrong door");
    for story in stories {
        story.end().await;
    }
}

/// A member that is sent to another cluster's addresses is refused there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_never_merge() {
    let (one, mut other) = (small("one"), small("other"));
    let _first = one.start_all().await;
    let (sender, mut ledger) = (Sender::new("one"), Ledger::default());
    ledger.send_some(&one.push(), &sender, 4).await;
    let at = other.seat_at("querier-0");
    other.write_with(at, "", "", &[one.seat("ingester-0").address()]);
    let mut lost = Running::new();
    other.start(&mut lost, "querier-0");
    until("the foreign member is refused", async || {
        one.client("ingester-0").meter("ouro_tls_refused_total").await > 0.0
    })
    .await;
    let names = one.ring().await["members"].to_string();
    assert_eq!(names.matches("querier-0").count(), 1, "{names}");
    let answer = other.client("querier-0").ask("", "/ready", &[]).await.expect("an answer");
    answer.is("a querier that found nobody", 503, &["no shard is known"]);
    ledger.check(&one.read(), "with a stranger at the door").await;
}
