//! Chooses a door for each request, as a Service in front of a cluster does: one that is ready, another one each time.

use crate::client::{Client, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often doors are asked whether they are ready, and how long one may take to say so.
const LOOK: Duration = Duration::from_millis(200);
const ANSWER: Duration = Duration::from_secs(1);
/// How long agents wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A door that was taken out of service gets no new request after so long: the `preStop` of the chart, shortened.
const SPREAD: Duration = Duration::from_millis(200);

/// Cheap to clone.
#[derive(Clone)]
pub struct Doors {
    doors: Arc<Vec<Arc<Door>>>,
    next: Arc<AtomicUsize>,
    /// Ends with the last clone.
    _looks: Arc<JoinSet<()>>,
}

struct Door {
    name: String,
    client: Client,
    ready: AtomicBool,
    in_service: AtomicBool,
}

impl Doors {
    /// Of members by name and URL. All are looked at from now on.
    pub fn new(members: Vec<(String, String)>) -> Doors {
        let door = |(name, url): (String, String)| {
            let client = Client::patient(&url, TIMEOUT);
            Arc::new(Door { name, client, ready: AtomicBool::new(false), in_service: AtomicBool::new(true) })
        };
        let doors: Vec<_> = members.into_iter().map(door).collect();
        let mut looks = JoinSet::new();
        for door in &doors {
            looks.spawn(look(Arc::clone(door)));
        }
        Doors { doors: Arc::new(doors), next: Arc::default(), _looks: Arc::new(looks) }
    }

    /// A door that is ready, with its name.
    pub fn pick(&self) -> Option<(&str, &Client)> {
        let (first, count) = (self.next.fetch_add(1, Relaxed), self.doors.len());
        let mut doors = (0..count).map(|n| &self.doors[(first + n) % count]);
        let door = doors.find(|door| door.ready.load(Relaxed) && door.in_service.load(Relaxed))?;
        Some((door.name.as_str(), &door.client))
    }

    /// Sends a door no new request, as before its process is told to end. Those under way go on.
    pub async fn withdraw(&self, name: &str) {
        self.set(name, false);
        tokio::time::sleep(SPREAD).await;
    }

    /// Takes it back into service, and waits until it is seen to be ready.
    pub async fn restore(&self, name: &str) {
        self.set(name, true);
        self.all_ready().await;
    }

    /// Waits until all doors that are in service are ready.
    pub async fn all_ready(&self) {
        let waits = |door: &Arc<Door>| door.in_service.load(Relaxed) && !door.ready.load(Relaxed);
        until("all doors are ready", async || !self.doors.iter().any(waits)).await;
    }

    fn set(&self, name: &str, in_service: bool) {
        for door in self.doors.iter().filter(|door| door.name == name) {
            // It has to be seen to be ready again before it counts.
            door.ready.store(false, Relaxed);
            door.in_service.store(in_service, Relaxed);
        }
    }
}

async fn look(door: Arc<Door>) {
    loop {
        let asked = tokio::time::timeout(ANSWER, door.client.ask("", "/ready", &[])).await;
        let ready = matches!(asked, Ok(Ok(answer)) if answer.status == 200);
        door.ready.store(ready, Relaxed);
        tokio::time::sleep(LOOK).await;
    }
}
