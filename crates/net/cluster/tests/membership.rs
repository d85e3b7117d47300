//! Five drivers in one process, with channels for a network and paused time.

use model::Role;
use ouro_cluster::{Error, Member, Members, Membership, Settings};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Who is reached at an address.
type Network = Arc<Mutex<HashMap<String, Membership>>>;

struct Process {
    membership: Membership,
    driver: JoinHandle<()>,
}

fn start(network: &Network, host: u64, cluster: &str) -> Process {
    start_as(&format!("m-{host}"), network, host, cluster)
}

fn start_as(name: &str, network: &Network, host: u64, cluster: &str) -> Process {
    let address = format!("127.0.0.{host}:4100");
    let member = Member {
        id: host,
        name: name.to_owned(),
        role: Role::Ingester,
        zone: "a".to_owned(),
        address: address.clone(),
        version: "0.1.0".to_owned(),
        incarnation: 0,
        draining: false,
    };
    let seeds = vec!["127.0.0.1:4100".to_owned(), "127.0.0.2:4100".to_owned()];
    let settings = Settings { name: cluster.to_owned(), seeds, ..Settings::default() };
    let (membership, driver, mut outgoing) = Membership::new(member, &settings, host).expect("a member");
    network.lock().expect("no panic").insert(address, membership.clone());
    let network = network.clone();
    tokio::spawn(async move {
        while let Some((to, packet)) = outgoing.recv().await {
            let to = network.lock().expect("no panic").get(&to).cloned();
            if let Some(to) = to {
                to.receive(packet);
            }
        }
    });
    Process { membership, driver: tokio::spawn(driver.run()) }
}

async fn until(process: &Process, what: &str, holds: impl FnMut(&Arc<Members>) -> bool) {
    let mut members = process.membership.members();
    let waited = timeout(Duration::from_secs(60), members.wait_for(holds)).await;
    waited.unwrap_or_else(|_| panic!("{what}")).expect("the driver runs");
}

#[tokio::test(start_paused = true)]
async fn five_find_each_other_and_notice_what_happens() {
    let network = Network::default();
    let mut processes: Vec<Process> = (1..=5).map(|host| start(&network, host, "ouro")).collect();
    let stranger = start(&network, 6, "other");
    for process in &processes {
        until(process, "all join", |members| members.len() == 5).await;
    }

    processes[3].membership.set_draining(true).await.expect("it runs");
    for process in &processes {
        until(process, "all know who drains", |m| m.by_name("m-4").is_some_and(|member| member.draining)).await;
    }

    let leaver = processes.pop().expect("five");
    leaver.membership.leave().await.expect("it runs");
    leaver.driver.await.expect("it ends by itself");
    assert_eq!(leaver.membership.set_draining(true).await, Err(Error::Left));
    for process in &processes {
        until(process, "all see who left", |members| members.len() == 4).await;
    }

    processes[3].membership.set_draining(false).await.expect("it runs");
    for process in &processes {
        until(process, "it stays", |m| m.by_name("m-4").is_some_and(|member| !member.draining)).await;
    }
    processes.pop().expect("four").driver.abort();
    for process in &processes {
        until(process, "all notice who was killed", |members| members.len() == 3).await;
        let members = process.membership.members().borrow().clone();
        let down: Vec<_> = members.down().iter().map(|lost| (lost.member.name.as_str(), lost.has_left())).collect();
        assert_eq!(down, [("m-4", false), ("m-5", true)]);
    }

    // The same name and address with a new id and nothing remembered.
    processes.push(start(&network, 4, "ouro"));
    for process in &processes {
        until(process, "it is back", |m| m.len() == 4 && m.by_name("m-4").is_some_and(|m| !m.draining)).await;
    }

    assert_eq!(stranger.membership.members().borrow().len(), 1);
    let stats = processes[0].membership.stats();
    assert!(stats.sent > 10 && stats.received > 10 && stats.refused.foreign > 0, "{stats:?}");
    assert_eq!(stats.dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn of_two_with_one_name_one_knows_that_it_does_not_count() {
    let network = Network::default();
    let twins = [1, 2].map(|host| start_as("m", &network, host, "ouro"));
    let me = |host: u64| (host, format!("127.0.0.{host}:4100"));
    let yields = |of: usize| {
        let (id, address) = me(of as u64 + 1);
        let rival = me(2 - of as u64).1;
        let (twin, name, zone, version) = (&twins[of], "m".to_owned(), "a".to_owned(), "0.1.0".to_owned());
        let member = Member { id, name, role: Role::Ingester, zone, address, version, incarnation: 0, draining: false };
        let told = move |m: &Arc<Members>| m.rival_of(&member).is_some_and(|held| held.address == rival);
        async move { until(twin, "one knows", told).await }
    };
    tokio::select! {
        () = yields(0) => {}
        () = yields(1) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_ends_when_nobody_holds_it() {
    let network = Network::default();
    let process = start(&network, 1, "ouro");
    network.lock().expect("no panic").clear();
    let Process { membership, driver } = process;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!driver.is_finished());
    drop(membership);
    timeout(Duration::from_secs(1), driver).await.expect("in time").expect("no panic");
}
