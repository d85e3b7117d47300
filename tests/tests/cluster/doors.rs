//! Doors die: what was on its way through them is asked again, and nobody else notices.

use crate::{FOLDER, cluster};
use model::Role;
use ouro_tests::members::Shape;
use ouro_tests::story::{PACE, Story};

const SEATS: &[(Role, usize)] = &[(Role::Ingester, 3), (Role::Distributor, 2), (Role::Querier, 2)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_querier_and_a_distributor_die() {
    let members = cluster(Shape { seats: SEATS, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    // Those who go through the other doors.
    let (others, victims) =
        ([Role::Distributor, Role::Querier].map(|role| members.doors(role)), ["distributor-1", "querier-1"]);
    for (doors, victim) in others.iter().zip(victims) {
        doors.withdraw(victim).await;
    }
    let [distributors, queriers] = others;
    let mut unhurt = Story::begin_at(FOLDER, "doors-die-elsewhere", PACE, distributors, queriers).await;
    let mut story = Story::begin(FOLDER, "doors-die", &members).await;
    for victim in victims {
        for told in [&mut story, &mut unhurt] {
            told.fault(&format!("{victim} is killed"));
        }
        running.remove(victim).expect("it runs").kill();
        story.recovered().await;
        unhurt.recovered().await;
    }
    unhurt.end().await.none();
    for victim in victims {
        members.start(&mut running, victim);
        members.ready(victim).await;
    }
    let failed = story.end().await;
    // At most what was under way, and what was sent until the door was seen to be away.
    for text in failed.pushes.iter().chain(&failed.queries) {
        assert!(text.contains("Gone("), "{text}");
    }
}
