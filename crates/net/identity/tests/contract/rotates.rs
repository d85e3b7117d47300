//! Certificates and authorities that change under connections that stand.

use crate::fixture::{CLUSTER, Ca, Files, Pair, any, connect, member, settings_in, talk};
use model::Role;
use ouro_identity::{Identity, Look};
use std::os::unix::fs::symlink;
use std::time::Duration;

const FIRST: &str = "spiffe://ouro/ingester/first";
const SECOND: &str = "spiffe://ouro/ingester/second";

#[tokio::test]
async fn new_connections_show_the_new_certificate_and_old_ones_live_on() {
    let ca = Ca::new();
    let files = Files::new(&ca.pem, &ca.member(FIRST));
    let ingester = files.open(Role::Ingester);
    let acceptor = ingester.acceptor();
    let querier = member(&ca, Role::Querier, "q").connector();

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let watched = ingester.clone();
    let watch = tokio::spawn(async move { watched.watch(async { drop(stopped.await) }).await });

    let (near, far) = connect(&querier, &acceptor, any()).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(near.1.to_string(), FIRST);

    files.write_pair(&ca.member(SECOND));
    while ingester.stats().reloads == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (new, _) = connect(&querier, &acceptor, any()).await;
    assert_eq!(new.unwrap().1.to_string(), SECOND);
    assert_eq!(ingester.own().to_string(), SECOND);
    talk(&mut near, &mut far).await;

    stop.send(()).unwrap();
    watch.await.unwrap();
    assert_eq!(ingester.stats().failed_reloads, 0);
}

#[test]
fn a_half_written_rotation_heals() {
    let ca = Ca::new();
    let files = Files::new(&ca.pem, &ca.member(FIRST));
    let ingester = files.open(Role::Ingester);
    let look = || (ingester.look(), ingester.own().name, ingester.stats().failed_reloads);
    let first = |look, failed| (look, "first".to_owned(), failed);
    let next = ca.member(SECOND);
    assert_eq!(look(), first(Look::Same, 0));

    // Half of the certificate, then all of it with the old key, then both.
    files.write("tls.crt", &next.certificate[..200]);
    assert_eq!(look(), first(Look::Torn, 0));
    files.write("tls.crt", &next.certificate);
    assert_eq!(look(), first(Look::Torn, 0));
    files.write("tls.key", &next.key);
    assert_eq!(look(), (Look::Loaded, "second".into(), 0));
    assert_eq!(look(), (Look::Same, "second".into(), 0));
    assert_eq!(ingester.stats().reloads, 1);
}

#[test]
fn a_bad_set_is_refused_once_and_the_old_one_stays() {
    let (ca, other) = (Ca::new(), Ca::new());
    let good = ca.member(FIRST);
    let files = Files::new(&ca.pem, &good);
    let ingester = files.open(Role::Ingester);
    let look = || (ingester.look(), ingester.stats().failed_reloads);
    let mut failed = 0;
    let stranger = other.member(FIRST);
    for bad in [
        ca.member("spiffe://ouro2/ingester/first"),
        ca.member("spiffe://ouro/querier/first"),
        stranger.clone(),
        Pair { certificate: good.certificate.clone(), key: ca.member(FIRST).key },
    ] {
        files.write_pair(&bad);
        assert_eq!(look(), (Look::Torn, failed));
        failed += 1;
        assert_eq!(look(), (Look::Refused, failed));
        assert_eq!(look(), (Look::Refused, failed));
    }
    std::fs::remove_file(files.path("tls.key")).unwrap();
    assert_eq!(look(), (Look::Torn, failed));
    assert_eq!(look(), (Look::Refused, failed + 1));
    assert_eq!(look(), (Look::Refused, failed + 1));
    assert_eq!((ingester.own().to_string().as_str(), ingester.stats().reloads), (FIRST, 0));

    // Putting the old ones back is no change; the same bad ones after them are a new one.
    for again in [2, 3] {
        files.write_pair(&stranger);
        assert_eq!(look(), (Look::Torn, failed + again - 1));
        assert_eq!(look(), (Look::Refused, failed + again));
        if again == 2 {
            files.write_pair(&good);
            assert_eq!(look(), (Look::Same, failed + again));
        }
    }
    // What was refused is taken as soon as it can be used.
    files.write("ca.crt", &other.pem);
    assert_eq!(look(), (Look::Loaded, failed + 3));
}

/// Kubernetes mounts a folder of links through `..data`, and swaps that link in one step.
#[test]
fn a_swapped_folder_of_links_is_seen() {
    let ca = Ca::new();
    let mount = tempfile::tempdir().unwrap();
    let place = |generation: &str, pair: &Pair| {
        let dir = mount.path().join(generation);
        std::fs::create_dir(&dir).unwrap();
        for (name, text) in [("ca.crt", &ca.pem), ("tls.crt", &pair.certificate), ("tls.key", &pair.key)] {
            std::fs::write(dir.join(name), text).unwrap();
        }
        symlink(generation, mount.path().join("..tmp")).unwrap();
        std::fs::rename(mount.path().join("..tmp"), mount.path().join("..data")).unwrap();
    };
    place("..1", &ca.member(FIRST));
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), mount.path().join(name)).unwrap();
    }
    let ingester = Identity::open(&settings_in(mount.path()), CLUSTER, Role::Ingester).unwrap();
    assert_eq!(ingester.look(), Look::Same);
    place("..2", &ca.member(SECOND));
    std::fs::remove_dir_all(mount.path().join("..1")).unwrap();
    assert_eq!(ingester.look(), Look::Loaded);
    assert_eq!(ingester.own().to_string(), SECOND);
}

/// Each step keeps all members connected: trust both, show the new one, trust the new one alone.
#[tokio::test]
async fn an_authority_is_replaced_without_a_gap() {
    let (old, new) = (Ca::new(), Ca::new());
    let both = format!("{}{}", old.pem, new.pem);
    let members = ["spiffe://ouro/ingester/a", "spiffe://ouro/ingester/b"];
    let files = members.map(|uri| Files::new(&old.pem, &old.member(uri)));
    let identities = [files[0].open(Role::Ingester), files[1].open(Role::Ingester)];
    let connected = async || {
        for (from, to) in [(0, 1), (1, 0)] {
            let (near, far) = connect(&identities[from].connector(), &identities[to].acceptor(), any()).await;
            assert_eq!(near.unwrap().1.to_string(), members[to]);
            assert_eq!(far.unwrap().1.to_string(), members[from]);
        }
    };
    connected().await;
    for at in [0, 1] {
        files[at].write("ca.crt", &both);
        assert_eq!(identities[at].look(), Look::Loaded);
        connected().await;
    }
    for at in [0, 1] {
        files[at].write_pair(&new.member(members[at]));
        assert_eq!(identities[at].look(), Look::Loaded);
        connected().await;
    }
    for at in [0, 1] {
        files[at].write("ca.crt", &new.pem);
        assert_eq!(identities[at].look(), Look::Loaded);
        connected().await;
    }
    // Who still shows the old authority's is out.
    let late = Files::new(&both, &old.member("spiffe://ouro/querier/late")).open(Role::Querier);
    let (_, far) = connect(&late.connector(), &identities[0].acceptor(), any()).await;
    assert_eq!(far.map(|(_, peer)| peer), Err(ouro_identity::Refused::UnknownAuthority));
}
