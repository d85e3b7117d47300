//! Carries the packets of the gossip: out over links, in from the door.

use crate::links::{Links, To};
use bytes::Bytes;
use cluster::{Membership, Outgoing};
use identity::Expect;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use transport::v1::gossip_client::GossipClient;
use transport::v1::gossip_server::Gossip;
use transport::v1::{TellReply, TellRequest};

/// Gossip that comes later than this is worth nothing: another packet says it better.
const LATE: Duration = Duration::from_secs(3);
/// Requests under way to one address, and to all.
const EACH: usize = 4;
const ALL: usize = 256;
/// Packets in one request.
const TOGETHER: usize = 16;

/// Sends what gossip wants sent, until it ends. What cannot go at once is dropped.
pub(crate) async fn send(links: Links, mut outgoing: Outgoing) {
    let all = Arc::new(Semaphore::new(ALL));
    let mut each: HashMap<String, Arc<Semaphore>> = HashMap::new();
    let mut waiting: Vec<(String, Bytes)> = Vec::new();
    while outgoing.recv_many(&mut waiting, ALL).await > 0 {
        let mut packets: HashMap<String, Vec<Bytes>> = HashMap::new();
        for (address, packet) in waiting.drain(..) {
            packets.entry(address).or_default().push(packet);
        }
        each.retain(|_, places| places.available_permits() < EACH);
        for (address, mut packets) in packets {
            packets.truncate(TOGETHER);
            let places = each.entry(address.clone()).or_insert_with(|| Arc::new(Semaphore::new(EACH)));
            let (Ok(place), Ok(any)) = (places.clone().try_acquire_owned(), all.clone().try_acquire_owned()) else {
                continue;
            };
            let mut client = GossipClient::new(links.to(&To { address: address.clone(), expect: Expect::default() }));
            tokio::spawn(async move {
                let _places = (place, any);
                match timeout(LATE, client.tell(TellRequest { packets })).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => tracing::trace!(address, error = error.message(), "gossip did not arrive"),
                    Err(_) => tracing::trace!(address, "gossip did not arrive in time"),
                }
            });
        }
    }
}

/// Takes the packets of others.
pub(crate) struct Receiver(pub Membership);

#[tonic::async_trait]
impl Gossip for Receiver {
    async fn tell(&self, request: Request<TellRequest>) -> Result<Response<TellReply>, Status> {
        request.into_inner().packets.into_iter().take(TOGETHER).for_each(|packet| self.0.receive(packet));
        Ok(Response::new(TellReply {}))
    }
}
