//! The stories that take their time, under the full load of `loadtest --verify`. One of them is one command:
//!
//! ```sh
//! cargo test -p ouro-tests --test cluster -- --ignored --nocapture long::store_away_for_ten_minutes
//! ```

use crate::{FOLDER, cluster, members, store, zones};
use clap::Parser;
use loadtest::args::Args;
use model::Role;
use ouro_tests::hosts;
use ouro_tests::members::{Members, Shape};
use ouro_tests::s3::Fault;
use ouro_tests::story::Story;
use std::process::ExitCode;
use std::time::Duration;

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// Both signals from many tenants, through all doors, for so long; every acked row is read back. In a thread of its own,
/// since its progress bars and this runtime have nothing to do with each other.
pub struct Heavy(Vec<std::thread::JoinHandle<bool>>);

impl Heavy {
    /// Nothing for a story that is short.
    pub fn none() -> Heavy {
        Heavy(Vec::new())
    }

    pub fn begin(members: &Members, period: Duration) -> Heavy {
        let flags =
            |flag: &str, role| members.of(role).map(|seat| format!(" --{flag} {}", seat.url())).collect::<String>();
        let doors = flags("push", Role::Distributor) + &flags("query", Role::Querier);
        let run = |what: &str| {
            let line = format!("loadtest {what} --for {}s --give-up 5m --verify{doors}", period.as_secs());
            println!("{line}");
            let args = Args::try_parse_from(line.split(' ')).expect("a command line");
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let code = runtime.block_on(loadtest::run(args)).expect("rows are read back");
                format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
            })
        };
        Heavy(vec![
            run("logs --tenants 20 --streams 50 --rate 4000"),
            run("metrics --tenants 10 --series 2000 --rate 4000"),
        ])
    }

    /// Waits until all was pushed and read back.
    pub async fn end(self) {
        for run in self.0 {
            let good = tokio::task::spawn_blocking(move || run.join()).await.expect("it is waited for");
            assert!(good.expect("loadtest ends"), "loadtest does not find what was acked, once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 2 minutes"]
async fn ingesters_stop_for_thirty_seconds() {
    members::zombie("long-zombie", Duration::from_secs(30), |members| Heavy::begin(members, Duration::from_secs(100)))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 4 minutes"]
async fn zones_are_cut_off_for_a_minute() {
    let story = zones::cut_off("long-cut-off", Duration::from_secs(60), |members| {
        Heavy::begin(members, Duration::from_secs(200))
    });
    hosts::inside("long::zones_are_cut_off_for_a_minute", story).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 12 minutes"]
async fn store_away_for_ten_minutes() {
    let ways = [("is away", None)];
    store::failing("long-store-away", TEN_MINUTES, &ways, |members| Heavy::begin(members, TEN_MINUTES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 12 minutes"]
async fn store_answers_503_for_ten_minutes() {
    let ways = [("answers 503", Some(Fault::Unavailable))];
    store::failing("long-store-503", TEN_MINUTES, &ways, |members| Heavy::begin(members, TEN_MINUTES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 12 minutes"]
async fn store_hangs_for_ten_minutes() {
    let ways = [("hangs", Some(Fault::Hang))];
    store::failing("long-store-hangs", TEN_MINUTES, &ways, |members| Heavy::begin(members, TEN_MINUTES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 12 minutes"]
async fn store_times_out_after_success_for_ten_minutes() {
    let ways = [("times out after success", Some(Fault::DoneThenHang))];
    store::failing("long-store-time-out", TEN_MINUTES, &ways, |members| Heavy::begin(members, TEN_MINUTES)).await;
}

/// Ingesters are killed, a zone is, and an ingester's disk is lost, one after the other, for as long as the load runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 3 minutes"]
async fn deaths_under_full_load() {
    let members = cluster(Shape { seats: zones::SEATS, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let heavy = Heavy::begin(&members, Duration::from_secs(120));
    let mut story = Story::begin(FOLDER, "long-deaths", &members).await;
    for name in members.ingesters() {
        story.fault(&format!("{name} is killed"));
        running.remove(&name).expect("it runs").kill();
        story.recovered().await;
        members.start(&mut running, &name);
        members.settled(3).await;
    }
    for zone in ["a", "b", "c"] {
        story.fault(&format!("all of zone {zone} is killed"));
        let names = members.in_zone(zone);
        let dead: Vec<_> = names.iter().map(|name| running.remove(name).expect("it runs")).collect();
        dead.into_iter().for_each(|process| drop(process.kill()));
        story.recovered().await;
        names.iter().for_each(|name| members.start(&mut running, name));
        members.settled(3).await;
    }
    story.fault("ingester-2 loses its disk");
    running.remove("ingester-2").expect("it runs").kill();
    std::fs::remove_dir_all(members.data("ingester-2")).expect("removed");
    story.recovered().await;
    members.start(&mut running, "ingester-2");
    members.settled(3).await;
    heavy.end().await;
    story.end().await;
}
