//! Gives up a call to a node that does not answer, once other replicas say that another one leads.
//!
//! A process that was stopped, or whose machine hangs, keeps its connections: nothing on the way to it fails. The
//! others have elected a new leader long before a connection is given up, and say so when they are asked.

use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use transport::Link;
use transport::v1::{GroupStatus, GroupsRequest, groups_client::GroupsClient};

/// How long a call may take before others are asked who leads, and how long until they are asked again.
pub const LOOK: Duration = Duration::from_millis(400);
/// How long they may take: whoever is slower is not waited for.
const ANSWER: Duration = Duration::from_millis(400);

/// What the call gave; or else the node that leads instead of the one that was called, as `leader` found while the call
/// was under way.
pub async fn unless_replaced<T, F>(call: impl Future<Output = T>, mut leader: impl FnMut() -> F) -> Result<T, u64>
where
    F: Future<Output = Option<u64>>,
{
    let (call, replaced) = (pin!(call), async {
        loop {
            sleep(LOOK).await;
            if let Some(node) = leader().await {
                return node;
            }
        }
    });
    tokio::select! {
        biased;
        answer = call => Ok(answer),
        node = replaced => Err(node),
    }
}

/// Asks these replicas of a group who leads it. None: whoever leads is the `silent` one, or nobody knows.
pub async fn leader(replicas: impl IntoIterator<Item = Link>, group: u64, silent: u64) -> Option<u64> {
    let mut asked = JoinSet::new();
    for link in replicas {
        asked.spawn(async move {
            let answer = timeout(ANSWER, GroupsClient::new(link).status(GroupsRequest { group })).await;
            answer.ok()?.ok()?.into_inner().groups.into_iter().find(|status| status.group == group)
        });
    }
    newest(asked.join_all().await.into_iter().flatten(), silent)
}

/// The leader of the newest term that anybody knows a leader of, unless it is the silent one. A term has one leader at
/// most, so those who know the same term name the same node.
fn newest(found: impl Iterator<Item = GroupStatus>, silent: u64) -> Option<u64> {
    let newest = found.filter(|status| status.leader != 0).max_by_key(|status| status.term)?;
    (newest.leader != silent).then_some(newest.leader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::{pending, ready};
    use tokio::time::Instant;

    #[test]
    fn the_newest_term_says_who_leads() {
        let check = |found: &[(u64, u64)], silent: u64, leads: Option<u64>| {
            let found = found.iter().map(|&(term, leader)| GroupStatus { term, leader, ..Default::default() });
            assert_eq!(newest(found, silent), leads);
        };
        check(&[], 1, None);
        check(&[(5, 1), (5, 1)], 1, None);
        check(&[(5, 1), (6, 2)], 1, Some(2));
        check(&[(6, 2), (5, 1)], 1, Some(2));
        // An election that is not over, and a node that has not heard of the silent one's term.
        check(&[(5, 1), (6, 0)], 1, None);
        check(&[(5, 2), (6, 1)], 1, None);
        check(&[(5, 2), (7, 0)], 1, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_is_left_as_soon_as_another_leads() {
        let (asked, begun) = (Cell::new(0), Instant::now());
        let elected = || {
            asked.set(asked.get() + 1);
            ready((asked.get() == 6).then_some(2))
        };
        assert_eq!(unless_replaced(pending::<()>(), elected).await, Err(2));
        assert_eq!(begun.elapsed(), 6 * LOOK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_long_is_waited_for_while_its_node_leads() {
        let asked = Cell::new(0);
        let nobody_else = || {
            asked.set(asked.get() + 1);
            ready(None)
        };
        let slow = async {
            sleep(10 * LOOK + LOOK / 2).await;
            "done"
        };
        assert_eq!(unless_replaced(slow, nobody_else).await, Ok("done"));
        assert_eq!(asked.get(), 10);
        // One that answers in time costs no question, and a question without an answer holds nothing up.
        assert_eq!(unless_replaced(sleep(LOOK / 2), || async { unreachable!("asked too early") }).await, Ok(()));
        assert_eq!(unless_replaced(sleep(3 * LOOK), pending::<Option<u64>>).await, Ok(()));
    }
}
