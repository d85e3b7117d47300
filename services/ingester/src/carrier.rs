//! Carries Raft's messages: to other ingesters over one stream each, and in from the door.

use bytes::Bytes;
use consensus::{Host, Node, Transport};
use mesh::{Mesh, Peer};
use node::Stopping;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use transport::link::MAX_MESSAGE;
use transport::v1::raft_client::RaftClient;
use transport::v1::raft_server::Raft;
use transport::v1::{SendReply, SendRequest};

/// Pieces that wait for one peer. Raft bounds their bytes (`consensus.max_inflight`), and sends again what is dropped.
const WAITING: usize = 256;
/// Pieces on the stream that have not left yet.
const LEAVING: usize = 4;
/// Before a peer that was not reached is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// The way out of all groups of this node.
pub struct Carrier {
    me: Node,
    mesh: Mesh,
    runtime: tokio::runtime::Handle,
    peers: Mutex<HashMap<u64, mpsc::Sender<Bytes>>>,
    /// Peers that lost what was sent to them.
    lost: mpsc::Sender<Node>,
}

impl Carrier {
    /// The carrier, and where it says which peers were not reached. To be called within the runtime.
    pub fn new(me: Node, mesh: Mesh) -> (Carrier, mpsc::Receiver<Node>) {
        let (lost, unreached) = mpsc::channel(WAITING);
        let runtime = tokio::runtime::Handle::current();
        (Carrier { me, mesh, runtime, peers: Mutex::default(), lost }, unreached)
    }

    fn begin(&self, to: Node) -> mpsc::Sender<Bytes> {
        let (sender, pieces) = mpsc::channel(WAITING);
        let stream = Stream { me: self.me, to, mesh: self.mesh.clone(), pieces, lost: self.lost.clone() };
        self.runtime.spawn(stream.run());
        sender
    }
}

impl Transport for Carrier {
    /// Full or not: Raft is told by what it does not hear.
    fn send(&self, to: Node, messages: Bytes) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = peers.entry(to.0).or_insert_with(|| self.begin(to));
        if sender.try_send(messages).is_err() {
            let _ = self.lost.try_send(to);
        }
    }
}

/// What goes to one peer. It ends with the carrier.
struct Stream {
    me: Node,
    to: Node,
    mesh: Mesh,
    pieces: mpsc::Receiver<Bytes>,
    lost: mpsc::Sender<Node>,
}

impl Stream {
    async fn run(mut self) {
        while let Some(first) = self.pieces.recv().await {
            self.connected(first).await;
            // What waits is older than what the peer will be asked for.
            while self.pieces.try_recv().is_ok() {}
            let _ = self.lost.try_send(self.to);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends until the stream breaks.
    async fn connected(&mut self, first: Bytes) {
        let Some(link) = self.mesh.link_to(self.to.0) else { return };
        let (sender, leaving) = mpsc::channel(LEAVING);
        let mut client = RaftClient::new(link).max_encoding_message_size(MAX_MESSAGE);
        let mut call = std::pin::pin!(client.send(ReceiverStream::new(leaving)));
        let mut next = Some(first);
        loop {
            let piece = match next.take() {
                Some(piece) => piece,
                None => tokio::select! {
                    ended = &mut call => return self.ended(ended),
                    piece = self.pieces.recv() => match piece {
                        Some(piece) => piece,
                        None => return,
                    },
                },
            };
            let request = SendRequest { from: self.me.0, messages: piece };
            tokio::select! {
                ended = &mut call => return self.ended(ended),
                sent = sender.send(request) => if sent.is_err() { return },
            }
        }
    }

    fn ended(&self, ended: Result<Response<SendReply>, Status>) {
        if let Err(error) = ended {
            tracing::debug!(node = self.to.0, error = error.message(), "messages of raft do not reach a peer");
        }
    }
}

/// Tells Raft which peers were not reached.
pub async fn report(host: Host, mut unreached: mpsc::Receiver<Node>, mut stopping: Stopping) {
    loop {
        tokio::select! {
            () = stopping.wait() => return,
            node = unreached.recv() => match node {
                Some(node) => host.unreachable(node),
                None => return,
            },
        }
    }
}

/// Takes the messages of others.
pub struct Receiver {
    pub host: Host,
    pub mesh: Mesh,
}

impl Receiver {
    /// Whether the sender is who it says: the member with this id has the name that its certificate carries.
    fn is(&self, node: u64, peer: Option<&Arc<Peer>>) -> bool {
        let members = self.mesh.members().borrow().clone();
        match (members.by_id(node), peer) {
            (Some(member), Some(peer)) => !self.mesh.is_named() || member.name == peer.name,
            // Gossip will bring it; until then Raft asks again.
            _ => false,
        }
    }
}

#[tonic::async_trait]
impl Raft for Receiver {
    async fn send(&self, request: Request<Streaming<SendRequest>>) -> Result<Response<SendReply>, Status> {
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        let mut stream = request.into_inner();
        let mut known = None;
        while let Some(SendRequest { from, messages }) = stream.message().await? {
            if known != Some(from) {
                if !self.is(from, peer.as_ref()) {
                    continue;
                }
                known = Some(from);
            }
            self.host.receive(Node(from), messages);
        }
        Ok(Response::new(SendReply {}))
    }
}
