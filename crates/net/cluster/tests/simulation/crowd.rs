//! A thousand members.

use crate::world::{Network, World};
use ouro_cluster::Settings;
use std::time::{Duration, Instant};

const MEMBERS: usize = 1_000;
const LOST: usize = 100;

#[test]
fn a_thousand_join_and_a_hundred_are_lost() {
    let begin = Instant::now();
    let mut world = World::new(1, Settings::default());
    world.network = Network { loss: 0.001, ..Network::calm() };
    for host in 0..MEMBERS {
        world.host("ouro", &[0, 1, 2]);
        let member = world.process(&format!("m-{host}"), host);
        world.start(host, member);
    }
    let time = world.settle("ouro", Duration::from_secs(60)).expect("all join");
    println!(
        "{MEMBERS} joined in {time:?}: {} packets, {} MB, {:?} real",
        world.packets,
        world.bytes >> 20,
        begin.elapsed()
    );
    world.run(Duration::from_secs(15));
    let (packets, bytes) = (world.packets, world.bytes);
    world.run(Duration::from_secs(10));
    let (packets, bytes) = ((world.packets - packets) / 10, (world.bytes - bytes) / 10);
    println!("then {packets} packets and {} KB a second, {:?} real", bytes >> 10, begin.elapsed());
    let packets = world.packets;
    for host in 0..LOST {
        world.stop(host * 7);
    }
    let time = world.settle("ouro", Duration::from_secs(30)).expect("all notice");
    println!(
        "{LOST} lost are noticed by all in {time:?}: {} packets, {:?} real",
        world.packets - packets,
        begin.elapsed()
    );
}
