//! Stories of whole processes: what is acked is there, and there once, whatever happens to the process, its disk or its
//! object store.

#[path = "cluster/api.rs"]
mod api;
#[path = "cluster/away.rs"]
mod away;
#[path = "cluster/certificates.rs"]
mod certificates;
#[path = "cluster/compact.rs"]
mod compact;
#[path = "cluster/crash.rs"]
mod crash;
#[path = "cluster/deletes.rs"]
mod deletes;
#[path = "cluster/disk.rs"]
mod disk;
#[path = "cluster/doors.rs"]
mod doors;
#[path = "cluster/explore.rs"]
mod explore;
#[path = "cluster/federation.rs"]
mod federation;
#[path = "cluster/fold.rs"]
mod fold;
#[path = "cluster/lacks.rs"]
mod lacks;
#[path = "cluster/life.rs"]
mod life;
#[path = "cluster/long.rs"]
mod long;
#[path = "cluster/members.rs"]
mod members;
#[path = "cluster/overload.rs"]
mod overload;
#[path = "cluster/push.rs"]
mod push;
#[path = "cluster/replicas.rs"]
mod replicas;
#[path = "cluster/results.rs"]
mod results;
#[path = "cluster/roles.rs"]
mod roles;
#[path = "cluster/roll.rs"]
mod roll;
#[path = "cluster/rows.rs"]
mod rows;
#[path = "cluster/rulers.rs"]
mod rulers;
#[path = "cluster/shapes.rs"]
mod shapes;
#[path = "cluster/share.rs"]
mod share;
#[path = "cluster/store.rs"]
mod store;
#[path = "cluster/stored.rs"]
mod stored;
#[path = "cluster/tail.rs"]
mod tail;
#[path = "cluster/tenants.rs"]
mod tenants;
#[path = "cluster/zones.rs"]
mod zones;

use ouro_tests::members::{Members, Shape};
use ouro_tests::process::Home;

/// The one program, which takes every role.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ouro-under-test");
/// Where it is kept how long recovery took.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

/// A home of the one process, with settings that suit stories and these beside them.
fn home(settings: &str) -> Home {
    Home::with(PROGRAM, settings)
}

/// A cluster that is not started yet.
fn cluster(shape: Shape<'_>) -> Members {
    Members::new(PROGRAM, shape)
}
