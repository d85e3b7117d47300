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
/// Written before the object store is told: a crash between the two leaves a first one that has not voted yet.
const INTENT: &str = "first";

/// The id of the first ingester of this name.
pub fn named(cluster: &str, member: &str) -> Node {
    Node(xxh3_64(format!("{cluster}/{member}").as_bytes()) | NAMED)
}

/// The id of the node whose log is in `folder`, drawn or made now if there is none. `first`: it is one of those that
/// begin the control group. Waits for the object store, if that has to be asked.
pub async fn node_id(folder: &Path, cluster: &str, member: &str, first: bool, store: &Store) -> Result<Node, Error> {
    let failed = |error: io::Error| Error::Folder { folder: folder.to_owned(), error };
    fs::create_dir_all(folder).map_err(failed)?;
    match fs::read_to_string(folder.join("node")) {
        Ok(text) => return text.trim().parse().map(Node).map_err(|_| failed(io::ErrorKind::InvalidData.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let name = format!("control/first/{member}");
    if first && (folder.join(INTENT).exists() || !remembered(store, &name).await?) {
        intend(folder).map_err(failed)?;
        remember(store, &name, cluster).await?;
        return Ok(named(cluster, member));
    }
    if first {
        tracing::warn!(
            member,
            "this ingester was there before and has nothing on its disk: it comes back as a new member, which learns"
        );
    }
    Ok(Node(rand::random_range(1..NAMED)))
}

async fn remembered(store: &Store, name: &str) -> Result<bool, Error> {
    loop {
        match store.size(name).await {
            Ok(_) => return Ok(true),
            Err(error) if error.reason() == Reason::NotFound => return Ok(false),
            Err(error) => wait(&error).await,
        }
    }
}

async fn remember(store: &Store, name: &str, cluster: &str) -> Result<(), Error> {
    while let Err(error) = store.put(name, Bytes::from(cluster.to_owned())).await {
        wait(&error).await;
    }
    Ok(())
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

    async fn id(folder: &Path, member: &str, first: bool, store: &Store) -> u64 {
        node_id(folder, "c", member, first, store).await.expect("an id").0
    }

    #[tokio::test]
    async fn a_first_one_without_its_disk_is_another() {
        let (disk, bucket) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let store = Store::open(&objects::Settings::default(), bucket.path()).expect("opens");
        let raft = disk.path().join("raft");
        let first = id(&raft, "i-0", true, &store).await;
        assert_eq!(first, named("c", "i-0").0);
        // A crash before the log was opened: it has not voted, so it is still the first.
        assert_eq!(id(&raft, "i-0", true, &store).await, first);
        fs::write(raft.join("node"), format!("{first}\n")).expect("written");
        assert_eq!(id(&raft, "i-0", true, &store).await, first);

        fs::remove_dir_all(&raft).expect("removed");
        let second = id(&raft, "i-0", true, &store).await;
        assert!(second != first && second & NAMED == 0, "{second}");
        // Another one is not remembered.
        assert_eq!(id(&disk.path().join("other"), "i-1", true, &store).await, named("c", "i-1").0);
        // One that is not among the first asks nobody.
        assert_eq!(id(&disk.path().join("late"), "i-7", false, &store).await & NAMED, 0);
    }

    #[test]
    fn clusters_and_members_have_ids_of_their_own() {
        assert_ne!(named("a", "b"), named("b", "a"));
        assert_eq!(named("ouro", "ingester-0").0, 15_926_927_420_631_695_570, "the same for ever");
    }
}
