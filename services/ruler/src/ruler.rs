//! Evaluates the groups whose slots this ruler holds, and tells of all.

use crate::door::Door;
use crate::error::Error;
use crate::evaluate::Evaluator;
use crate::group::{Group, Key};
use crate::keeper::{Keeper, Order};
use crate::lease::{Control, Lease, Leases};
use crate::notify::Notifier;
use crate::rules::{Follow, Rules};
use crate::settings::Settings;
use crate::view::{GroupView, Views};
use model::{Role, TenantId};
use node::{Node, Stopping};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use telemetry::Exposition;
use tenancy::LimitTable;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use transport::Link;

/// How long the groups under evaluation may take to end when the process stops.
const FINISH: Duration = Duration::from_secs(5);
/// Notes of a group that no file has for so long are removed. Files reach rulers at different times.
const FORGET: Duration = Duration::from_secs(600);

/// Cheap to clone.
#[derive(Clone)]
pub struct Ruler {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub door: Door,
    pub limits: Arc<LimitTable>,
    pub rules: watch::Receiver<Arc<Rules>>,
    evaluator: Arc<Evaluator>,
    views: Mutex<BTreeMap<Key, Arc<Mutex<GroupView>>>>,
    slots: AtomicUsize,
    left: watch::Sender<bool>,
}

/// A group that is evaluated here.
struct Kept {
    lease: Lease,
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

struct Work {
    ruler: Ruler,
    leases: Leases,
    kept: BTreeMap<Key, Kept>,
    /// Groups that are noted and that no file has: under which lease, and since when that is known.
    orphans: BTreeMap<Key, (Lease, Instant)>,
    wanted: BTreeSet<u32>,
    /// Since when exactly these are wanted.
    since: Instant,
    patience: Duration,
}

impl Ruler {
    /// Reads the rules and begins. `control`: the way to the control group. A rule file that is not good is named and
    /// left out.
    pub fn open(
        settings: &Settings,
        door: Door,
        control: Link,
        limits: Arc<LimitTable>,
        node: &Node,
    ) -> Result<Ruler, Error> {
        let notifier = Notifier::new(&settings.alertmanagers)?;
        notifier.start(node);
        let follow = Follow::new(settings.folder.clone(), settings.interval, settings.reload);
        let rules = follow.rules();
        let (alone, name) = match &door {
            Door::InProcess(_) => (true, "ouro".to_owned()),
            Door::Members(mesh) => (false, mesh.me().name.clone()),
        };
        let evaluator = Arc::new(Evaluator {
            door: door.clone(),
            settings: settings.clone(),
            notifier,
            meters: Arc::default(),
            places: Semaphore::new(settings.concurrency),
        });
        let (views, slots, left) = (Mutex::default(), AtomicUsize::new(0), watch::Sender::new(false));
        let ruler = Ruler { inner: Arc::new(Inner { door, limits, rules, evaluator, views, slots, left }) };
        if settings.folder.as_os_str().is_empty() {
            ruler.inner.left.send_replace(true);
            return Ok(ruler);
        }
        // Others see a beat up to a third of this after it was committed, wait, and look again after up to a tenth.
        let patience = settings.lease * 3 / 5;
        let holder = format!("{name}-{:016x}", mesh::random_id());
        let work = Work {
            ruler: ruler.clone(),
            leases: Leases::new(Control::new(control), holder, patience, alone),
            kept: BTreeMap::new(),
            orphans: BTreeMap::new(),
            wanted: BTreeSet::new(),
            since: Instant::now(),
            patience,
        };
        node.spawn("ruler: files", follow.run(node.stopping()));
        node.spawn("ruler", work.run(node.stopping()));
        Ok(ruler)
    }

    /// Waits until it has let go of its groups, which it does when the process stops.
    pub async fn left(&self) {
        let mut left = self.inner.left.subscribe();
        let _ = tokio::time::timeout(2 * FINISH, left.wait_for(|left| *left)).await;
    }

    /// How the tenant's groups are that this ruler evaluates.
    pub(crate) fn own(&self, tenant: &TenantId) -> Views {
        let views = lock(&self.inner.views);
        let own = views.iter().filter(|((owner, _), _)| owner == tenant);
        own.map(|((_, name), view)| (name.clone(), lock(view).clone())).collect()
    }

    /// Writes this ruler's meters.
    pub fn meters(&self, out: &mut Exposition) {
        let inner = &self.inner;
        inner.evaluator.meters.write(out);
        inner.evaluator.notifier.meters(out);
        let (groups, faults) = {
            let rules = inner.rules.borrow();
            (rules.groups.len() as f64, rules.faults() as f64)
        };
        let slots = inner.slots.load(Ordering::Relaxed) as f64;
        out.gauge("ouro_rule_groups", "Groups of all rulers.", &[], groups);
        out.gauge("ouro_rule_groups_held", "Groups that this ruler evaluates.", &[], lock(&inner.views).len() as f64);
        out.gauge("ouro_rule_slots_held", "Slots of groups that this ruler holds.", &[], slots);
        out.gauge("ouro_rule_file_faults", "Rule files that cannot be used as they are now.", &[], faults);
    }
}

impl Work {
    async fn run(mut self, mut stopping: Stopping) {
        let mut rules = self.ruler.inner.rules.clone();
        let mut members = match &self.ruler.inner.door {
            Door::InProcess(_) => None,
            Door::Members(mesh) => Some(mesh.members()),
        };
        let mut next = Instant::now();
        loop {
            let joined = async {
                match &mut members {
                    Some(members) => members.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopping.wait() => break,
                () = tokio::time::sleep_until(next) => next = self.beat().await,
                // An end of either is the end of the process.
                _ = rules.changed() => {}
                _ = joined => next = next.min(Instant::now() + self.patience / 30),
            }
            let now = rules.borrow_and_update().clone();
            self.arrange(&now).await;
        }
        self.leave().await;
    }

    /// Tells the control group what is wanted, and says when to do so again.
    async fn beat(&mut self) -> Instant {
        let wanted = self.wanted();
        if wanted != self.wanted {
            (self.wanted, self.since) = (wanted, Instant::now());
        }
        let held = self.leases.held();
        let is_kept =
            |slot: &u32| self.kept.values().any(|kept| kept.lease.slot() == *slot && !kept.task.is_finished());
        let free: Vec<u32> =
            held.keys().filter(|slot| !self.wanted.contains(slot) && !is_kept(slot)).copied().collect();
        if let Err(error) = self.leases.beat(&self.wanted, &free).await {
            tracing::warn!(%error, "the lease of rules was not renewed; it will be tried again");
        }
        let held = self.leases.held();
        self.ruler.inner.slots.store(held.len(), Ordering::Relaxed);
        // Others let go, or are lost, some time soon; but who waits for ever does not ask for ever.
        let complete = self.wanted.iter().eq(held.keys());
        let soon = !complete && self.since.elapsed() < 4 * self.patience;
        let alone = matches!(self.ruler.inner.door, Door::InProcess(_));
        Instant::now() + if soon && alone { self.patience / 300 } else { self.patience / if soon { 10 } else { 3 } }
    }

    /// The slots for which the ring has this ruler.
    fn wanted(&self) -> BTreeSet<u32> {
        let Door::Members(mesh) = &self.ruler.inner.door else { return (0..leases::SLOTS).collect() };
        let members = mesh.members().borrow().clone();
        let me = mesh.me();
        let rulers = members.of_role(Role::Ruler).filter(|member| !member.draining && member.name != me.name);
        let rulers = rulers.map(|member| (member.name.clone(), member.zone.clone()));
        let rulers = rulers.chain([(me.name.clone(), me.zone.clone())]);
        let ring = ring::Ring::new(rulers.map(|(name, zone)| ring::Member { name, zone }));
        let is_mine = |slot: &u32| ring.replicas(format!("rules-{slot}").as_bytes(), 1) == [me.name.as_str()];
        (0..leases::SLOTS).filter(is_mine).collect()
    }

    /// Begins what is to be evaluated here and is not yet, and ends what is not any more.
    async fn arrange(&mut self, rules: &Rules) {
        let held = self.leases.held();
        self.kept.retain(|_, kept| !kept.task.is_finished());
        for (key, kept) in &self.kept {
            let holds = held.get(&kept.lease.slot()).is_some_and(|lease| lease.is_same(&kept.lease));
            let order = match rules.groups.get(key) {
                _ if !holds || !self.wanted.contains(&kept.lease.slot()) => Order::HandOver,
                Some(group) => Order::Evaluate(group.clone()),
                None => Order::End,
            };
            kept.orders.send_if_modified(|now| {
                let changed = *now != order;
                *now = order;
                changed
            });
        }
        let mut missing: BTreeMap<u32, Vec<(&Key, &Arc<Group>)>> = BTreeMap::new();
        for (key, group) in rules.groups.iter().filter(|(key, _)| !self.kept.contains_key(*key)) {
            let slot = group.slot();
            if held.contains_key(&slot) && self.wanted.contains(&slot) {
                missing.entry(slot).or_default().push((key, group));
            }
        }
        for (slot, groups) in missing {
            let lease = &held[&slot];
            // Anew each time: what was noted meanwhile may have been noted by another.
            match lease.notes().await {
                Ok(notes) => self.begin(lease, groups, notes, rules),
                Err(error) => tracing::warn!(slot, %error, "a slot's notes were not read; it will be tried again"),
            }
        }
        self.forget(rules, &held).await;
        let mut views = lock(&self.ruler.inner.views);
        views.retain(|key, _| self.kept.contains_key(key));
    }

    fn begin(
        &mut self,
        lease: &Lease,
        groups: Vec<(&Key, &Arc<Group>)>,
        mut notes: std::collections::HashMap<Key, Arc<str>>,
        rules: &Rules,
    ) {
        for (key, group) in groups {
            let note = notes.remove(key);
            let (keeper, view) = Keeper::new(self.ruler.inner.evaluator.clone(), group.clone(), lease.clone(), note);
            let (orders, ordered) = watch::channel(Order::Evaluate(group.clone()));
            let task = tokio::spawn(keeper.run(ordered));
            lock(&self.ruler.inner.views).insert(key.clone(), view);
            self.kept.insert(key.clone(), Kept { lease: lease.clone(), orders, task });
        }
        for key in notes.into_keys().filter(|key| !rules.groups.contains_key(key)) {
            self.orphans.entry(key).or_insert_with(|| (lease.clone(), Instant::now()));
        }
    }

    /// Removes what was noted of groups that are no more.
    async fn forget(&mut self, rules: &Rules, held: &BTreeMap<u32, Lease>) {
        let holds = |lease: &Lease| held.get(&lease.slot()).is_some_and(|now| now.is_same(lease));
        self.orphans.retain(|key, (lease, _)| !rules.groups.contains_key(key) && holds(lease));
        let old = |(_, (_, since)): &(&Key, &(Lease, Instant))| since.elapsed() >= FORGET;
        if let Some((key, (lease, _))) =
            self.orphans.iter().find(old).map(|(key, orphan)| (key.clone(), orphan.clone()))
        {
            // The next one goes the next time.
            if lease.note(key.clone(), None).await.is_ok() {
                self.orphans.remove(&key);
            }
        }
    }

    async fn leave(mut self) {
        for kept in self.kept.values() {
            kept.orders.send_replace(Order::HandOver);
        }
        let tasks = std::mem::take(&mut self.kept).into_values().map(|kept| kept.task);
        let _ = tokio::time::timeout(FINISH, futures::future::join_all(tasks)).await;
        if matches!(self.ruler.inner.door, Door::Members(_)) {
            let _ = tokio::time::timeout(FINISH, self.leases.leave()).await;
        }
        self.ruler.inner.left.send_replace(true);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
