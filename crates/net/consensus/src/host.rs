//! The host itself: opens the journal, starts the threads, opens groups, and stops it all.

use crate::apply::{Appliers, Worker};
use crate::cutter::{Cutter, Jobs};
use crate::error::Error;
use crate::fetch::{Fetcher, Fetches};
use crate::group::Group;
use crate::inbox::{Command, Inbox};
use crate::machine::{Follow, Node, StateMachine, Transport};
use crate::open;
use crate::remove;
use crate::rounds::Rounds;
use crate::settings::Settings;
use crate::shared::{Phase, Shared, lock};
use crate::slot::Work;
use crate::snapshot::Directory;
use crate::stats::Stats;
use crate::stepper::Stepper;
use bytes::Bytes;
use journal::{Journal, Opened, faults::Faults};
use model::GroupId;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Builder, JoinHandle};

/// Snapshots keep back this part of what the journal does.
const SNAPSHOT_RESERVE: u64 = 8;

/// Cheap to clone. When the last one goes, or at `shutdown`, the threads end and the journal is closed.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    rounds: Vec<JoinHandle<()>>,
    appliers: Vec<JoinHandle<()>>,
}

impl Host {
    /// Opens, or makes, a node's logs in a directory, and starts the threads. The directory belongs to node `me`
    /// from then on. Blocks on the disk.
    pub fn open(dir: &Path, me: Node, settings: Settings, transport: Arc<dyn Transport>) -> Result<Host, Error> {
        Host::open_with(dir, me, settings, transport, Arc::default())
    }

    /// `open`, on a disk that fails as a test wants.
    #[doc(hidden)]
    pub fn open_with(
        dir: &Path,
        me: Node,
        settings: Settings,
        transport: Arc<dyn Transport>,
        faults: Arc<Faults>,
    ) -> Result<Host, Error> {
        let Parts { shared, rounds, workers, fetches, jobs } = Parts::open(dir, me, settings, transport, faults, None)?;
        // From here on, dropping it stops what runs.
        let inner = Inner { shared: shared.clone(), threads: Mutex::default() };
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let started = Builder::new().name(name.to_owned()).spawn(work);
            started.map_err(|error| Error::io("start the threads of", dir, &error))
        };
        for (at, worker) in workers.into_iter().enumerate() {
            let thread = start(&format!("raft-apply-{at}"), Box::new(move || worker.run()))?;
            lock(&inner.threads).appliers.push(thread);
        }
        for (name, work) in [
            ("raft-fetch", Box::new(move || fetches.run()) as Box<dyn FnOnce() + Send>),
            ("raft-cut", Box::new(move || jobs.run())),
            ("raft", Box::new(move || rounds.run())),
        ] {
            let thread = start(name, work)?;
            lock(&inner.threads).rounds.push(thread);
        }
        Ok(Host { inner: Arc::new(inner) })
    }

    /// `open_with`, without any thread: nothing happens but what the stepper is told to do, and what is left to chance
    /// comes from the seed.
    #[doc(hidden)]
    pub fn open_stepped(
        dir: &Path,
        me: Node,
        settings: Settings,
        transport: Arc<dyn Transport>,
        faults: Arc<Faults>,
        seed: u64,
    ) -> Result<(Host, Stepper), Error> {
        let Parts { shared, rounds, workers, fetches, jobs } =
            Parts::open(dir, me, settings, transport, faults, Some(seed))?;
        let inner = Inner { shared, threads: Mutex::default() };
        Ok((Host { inner: Arc::new(inner) }, Stepper { rounds, workers, fetches, jobs }))
    }

    /// Opens a group, or begins it with these voters, which must be the same on each of them; on a node that is to
    /// become a member later, without any. The machine is restored from the newest snapshot before this returns, and
    /// is fed the log after it, which goes on after this returned; one that `Follow::Keep`s when the node comes to lead.
    /// `Removed` if this node has removed it, and voters are named. Blocks on the disk.
    pub fn group(&self, id: GroupId, voters: &[Node], mut machine: Box<dyn StateMachine>) -> Result<Group, Error> {
        let shared = &self.inner.shared;
        shared.check()?;
        match lock(&shared.open).entry(id) {
            Entry::Vacant(vacant) => vacant.insert(Phase::Opening),
            Entry::Occupied(found) if *found.get() == Phase::Removing => return Err(Error::Between { group: id }),
            Entry::Occupied(_) => return Err(Error::Open { group: id }),
        };
        let follow = machine.follows();
        let found = open::open(shared, id, voters, follow).inspect_err(|_| {
            lock(&shared.open).remove(&id);
        })?;
        let group = Group::new(Arc::clone(shared), Arc::clone(&found.slot));
        machine.opened(&group);
        if let Some((index, data)) = found.snapshot
            && follow == Follow::Apply
        {
            machine.restore(index, data);
        }
        shared.appliers.push(&found.slot, Work::Open(machine));
        shared.inbox.command(Command::Open(Box::new(found.replica)));
        lock(&shared.open).insert(id, Phase::Open);
        Ok(group)
    }

    /// Closes a group on this node, once it is decided that the node keeps it no longer: whoever waits hears `Removed`,
    /// the machine goes, log and snapshots are removed. Only what Raft must not forget stays, so that the node never
    /// votes twice in a term nor forgets what it said it had: as a member to be, opened without voters, the group may
    /// come back. Does nothing for a group that was removed before or never was here. If the caller gives up, it goes
    /// on. `Full` says that there is no room to write that down; then nothing has happened.
    pub async fn remove(&self, id: GroupId) -> Result<(), Error> {
        remove::remove(&self.inner.shared, id).await
    }

    /// The groups and senders of messages that no replica here could use since this was last asked: the group is not
    /// open here, or who asks for votes is no member. A member that missed its removal is seen in this way; it does no
    /// harm, for its members do not listen to it while they hear from a leader. Also who feeds a member to be.
    pub fn foreign(&self) -> Vec<(GroupId, Node)> {
        std::mem::take(&mut *lock(&self.inner.shared.foreign)).into_iter().collect()
    }

    /// Takes what `Transport::send` of another node was given.
    pub fn receive(&self, from: Node, messages: Bytes) {
        self.inner.shared.inbox.message(from, messages);
    }

    /// What was sent to a node lately may be lost: followers are asked what they have, instead of waiting for it.
    pub fn unreachable(&self, node: Node) {
        self.inner.shared.inbox.command(Command::Unreachable { node });
    }

    /// The groups that the journal knew when it was opened, whether they are open or not; without those that were
    /// removed.
    pub fn known(&self) -> Vec<GroupId> {
        let known = lock(&self.inner.shared.known);
        known.iter().filter(|(_, log)| !remove::is_removed(log)).map(|(group, _)| *group).collect()
    }

    pub fn stats(&self) -> Stats {
        *lock(&self.inner.shared.stats)
    }

    /// The group whose entries keep the journal's oldest segment, while the journal is past three quarters of its
    /// limit or its disk is full. Have its leader flush it: by `propose_cut` it cuts the logs of all members.
    pub fn journal_pressure(&self) -> Option<GroupId> {
        *lock(&self.inner.shared.pressure)
    }

    /// Finishes the round in progress, and stops. Callers that still wait get `Stopping`. Other clones are of no use
    /// after it.
    pub async fn shutdown(self) {
        // Only fails if the runtime stops first; then dropping does it.
        let _ = tokio::task::spawn_blocking(move || self.inner.stop()).await;
    }
}

/// What a host is made of, before anything runs.
struct Parts {
    shared: Arc<Shared>,
    rounds: Rounds,
    workers: Vec<Worker>,
    fetches: Fetches,
    jobs: Jobs,
}

impl Parts {
    fn open(
        dir: &Path,
        me: Node,
        settings: Settings,
        transport: Arc<dyn Transport>,
        faults: Arc<Faults>,
        stepped: Option<u64>,
    ) -> Result<Parts, Error> {
        settings.check()?;
        if me.0 == 0 {
            return Err(Error::Settings { text: "a node's id is never zero".to_owned() });
        }
        fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, &e))?;
        let Opened { journal, groups } = Journal::open_with(&dir.join("journal"), settings.journal.clone(), faults)?;
        // Under the journal's lock.
        identify(dir, me)?;
        let reserve = settings.journal.reserve.0 / SNAPSHOT_RESERVE;
        let files = Arc::new(Directory::open(&dir.join("snapshots"), reserve)?);
        let reader = journal.reader();
        remove::sweep(&files, &groups)?;
        let (appliers, workers) = Appliers::new(settings.apply_threads, me, &reader, &files);
        let shared = Arc::new(Shared {
            me,
            settings,
            inbox: Inbox::default(),
            reader,
            files,
            appliers,
            known: Mutex::new(groups),
            open: Mutex::default(),
            foreign: Mutex::default(),
            stats: Mutex::default(),
            pressure: Mutex::default(),
            failed: OnceLock::new(),
            stepped,
        });
        let (fetcher, fetches) = Fetcher::new(&shared);
        let (cutter, jobs) = Cutter::new(&shared);
        let rounds = Rounds::new(Arc::clone(&shared), journal, transport, fetcher, cutter);
        Ok(Parts { shared, rounds, workers, fetches, jobs })
    }
}

impl Inner {
    fn stop(&self) {
        self.shared.inbox.stop();
        let Threads { rounds, appliers } = std::mem::take(&mut *lock(&self.threads));
        rounds.into_iter().for_each(join);
        self.shared.inbox.close();
        self.shared.appliers.stop();
        appliers.into_iter().for_each(join);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A machine that holds the host may drop the last one, on one of these threads.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        // A panic in it was reported when it happened.
        let _ = thread.join();
    }
}

/// Two nodes that run on one directory in turns, under two names, would vote twice.
fn identify(dir: &Path, me: Node) -> Result<(), Error> {
    let path = dir.join("node");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(found) if found == me.0 => Ok(()),
            Ok(found) => Err(Error::Identity { dir: dir.to_owned(), found: Node(found), me }),
            Err(_) => Err(Error::Failed(format!("{} does not hold the id of a node", path.display()))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let temporary = dir.join("node.tmp");
            File::create(&temporary)
                .and_then(|mut file| writeln!(file, "{me}").and_then(|()| file.sync_all()))
                .and_then(|()| fs::rename(&temporary, &path))
                .and_then(|()| File::open(dir)?.sync_all())
                .map_err(|error| Error::io("write", &path, &error))
        }
        Err(error) => Err(Error::io("read", &path, &error)),
    }
}
