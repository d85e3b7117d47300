//! Which node an ingester is in Raft: the same for as long as it has its disk, and another one after it lost it.
//!
//! The first ingesters have to know each other's ids before they have met, so theirs are made of their names. But one of
//! them that comes back without its disk must not vote as the one that forgot: the object store remembers that a first
//! one has been there, and whoever finds itself remembered, with nothing on its disk, draws a new id and learns.

use crate::error::Error;
use bytes::Bytes;
use consensus::Node;
use model::Reason;
use objects::Store;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_64;

/// Ids that are made of names have this bit, drawn ones do not.
const NAMED: u64 = 1 << 63;
/// While the object store does not answer.
const PAUSE: Duration = Duration::from_secs(2);
/// The folder of what the object store remembers: an object for each first ingester, with the names of all of them.
const FIRST: &str = "control/first";
/// Written before the object store is told: a crash between the two leaves a first one that has not voted yet.
const INTENT: &str = "first";

/// The id of the first ingester of this name.
pub fn named(cluster: &str, member: &str) -> Node {
    Node(xxh3_64(format!("{cluster}/{member}").as_bytes()) | NAMED)
}

/// The id of the node whose log is in `folder`, drawn or made now if there is none. `control`: the names of those that
/// begin the control group. If the object store remembers that others began it, or began it with others, this one joins
/// it like any new one: it would begin a second group. Waits for the object store, if that has to be asked. `draw` gives
/// the number that a new id is made of.
pub async fn node_id(
    folder: &Path,
    cluster: &str,
    member: &str,
    control: &[String],
    store: &Store,
    draw: impl FnOnce() -> u64,
) -> Result<Node, Error> {
    let first = control.iter().any(|name| name == member);
    let failed = |error: io::Error| Error::Folder { folder: folder.to_owned(), error };
    fs::create_dir_all(folder).map_err(failed)?;
    match fs::read_to_string(folder.join("node")) {
        Ok(text) => return text.trim().parse().map(Node).map_err(|_| failed(io::ErrorKind::InvalidData.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let name = format!("{FIRST}/{member}");
    let mut names = control.to_vec();
    names.sort_unstable();
    let begins = first && !begun_otherwise(store, &names).await;
    if begins && (folder.join(INTENT).exists() || !remembered(store, &name).await) {
        intend(folder).map_err(failed)?;
        remember(store, &name, &names.join("\n")).await;
        return Ok(named(cluster, member));
    }
    if first {
        let why =
            if begins { "it was there before and has lost its disk" } else { "the control group was begun by others" };
        tracing::warn!(member, why, "this ingester joins the control group as a new member, which learns");
    }
    Ok(Node(1 + draw() % (NAMED - 1)))
}

async fn remembered(store: &Store, name: &str) -> bool {
    loop {
        match store.size(name).await {
            Ok(_) => return true,
            Err(error) if error.reason() == Reason::NotFound => return false,
            Err(error) => wait(&error).await,
        }
    }
}

/// Whether the control group was begun by other names than these. Whoever begins it writes them down.
async fn begun_otherwise(store: &Store, names: &[String]) -> bool {
    let listed = loop {
        match store.list(FIRST).await {
            Ok(listed) => break listed,
            Err(error) => wait(&error).await,
        }
    };
    for object in listed {
        let before = loop {
            match store.get(&object.name).await {
                Ok(before) => break before,
                Err(error) => wait(&error).await,
            }
        };
        if before != names.join("\n") {
            return true;
        }
    }
    false
}

async fn remember(store: &Store, name: &str, names: &str) {
    while let Err(error) = store.put(name, Bytes::from(names.to_owned())).await {
        wait(&error).await;
    }
}

async fn wait(error: &objects::Error) {
    tracing::warn!(%error, "the first start of an ingester waits for the object store");
    sleep(PAUSE).await;
}

fn intend(folder: &Path) -> io::Result<()> {
    let mut file = File::create(folder.join(INTENT))?;
    file.write_all(b"this ingester is one of those that begin the control group\n")?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn id(folder: &Path, member: &str, control: &[&str], store: &Store) -> Result<u64, Error> {
        let control: Vec<String> = control.iter().map(|name| (*name).to_owned()).collect();
        Ok(node_id(folder, "c", member, &control, store, rand::random).await?.0)
    }

    #[tokio::test]
    async fn a_first_one_without_its_disk_is_another() {
        let (disk, bucket) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let store = Store::open(&objects::Settings::default(), bucket.path()).expect("opens");
        let (raft, control) = (disk.path().join("raft"), ["i-1", "i-0", "i-2"]);
        let first = id(&raft, "i-0", &control, &store).await.expect("an id");
        assert_eq!(first, named("c", "i-0").0);
        // A crash before the log was opened: it has not voted, so it is still the first.
        assert_eq!(id(&raft, "i-0", &control, &store).await.expect("an id"), first);
        fs::write(raft.join("node"), format!("{first}\n")).expect("written");
        assert_eq!(id(&raft, "i-0", &control, &store).await.expect("an id"), first);

        fs::remove_dir_all(&raft).expect("removed");
        let second = id(&raft, "i-0", &control, &store).await.expect("an id");
        assert!(second != first && second & NAMED == 0, "{second}");
        // Another one is not remembered.
        let other = disk.path().join("other");
        assert_eq!(id(&other, "i-1", &control, &store).await.expect("an id"), named("c", "i-1").0);
        // One that is not among the first asks nobody.
        let late = disk.path().join("late");
        assert_eq!(id(&late, "i-7", &["i-8"], &store).await.expect("an id") & NAMED, 0);
        // Others never begin a second control group.
        let wrong = disk.path().join("wrong");
        assert_eq!(id(&wrong, "i-7", &["i-7"], &store).await.expect("an id") & NAMED, 0);
        let more = ["i-0", "i-1", "i-2", "i-3", "i-4"];
        assert_eq!(id(&disk.path().join("more"), "i-2", &more, &store).await.expect("an id") & NAMED, 0);
    }

    #[test]
    fn clusters_and_members_have_ids_of_their_own() {
        assert_ne!(named("a", "b"), named("b", "a"));
        assert_eq!(named("ouro", "ingester-0").0, 15_926_927_420_631_695_570, "the same for ever");
    }
}
