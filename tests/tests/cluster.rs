//! Stories of whole processes: what is acked is there, and there once, whatever happens to the process, its disk or its
//! object store.

#[path = "cluster/api.rs"]
mod api;
#[path = "cluster/away.rs"]
mod away;
#[path = "cluster/compact.rs"]
mod compact;
#[path = "cluster/crash.rs"]
mod crash;
#[path = "cluster/disk.rs"]
mod disk;
#[path = "cluster/life.rs"]
mod life;
#[path = "cluster/members.rs"]
mod members;
#[path = "cluster/overload.rs"]
mod overload;
#[path = "cluster/push.rs"]
mod push;
#[path = "cluster/roles.rs"]
mod roles;
#[path = "cluster/rows.rs"]
mod rows;
#[path = "cluster/rulers.rs"]
mod rulers;
#[path = "cluster/tenants.rs"]
mod tenants;

use ouro_tests::process::Home;

/// A home of the one process, with settings that suit stories and these beside them.
fn home(settings: &str) -> Home {
    Home::with(env!("CARGO_BIN_EXE_ouro-under-test"), settings)
}
