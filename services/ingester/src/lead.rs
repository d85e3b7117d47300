//! Waits until this node leads a group, or never will.

use consensus::{Error, Group};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How often a group that does not lead yet is asked whether it still may.
const LOOK: Duration = Duration::from_millis(500);

/// Waits until this node leads a group and has applied its log, however long that takes. An error when it never will,
/// because what the disk holds of the group is damaged.
pub async fn wait(group: &Group, led: &watch::Sender<Option<u64>>) -> Result<(), Error> {
    let mut led = led.subscribe();
    loop {
        // The sender lives as long as the group does.
        if timeout(LOOK, led.wait_for(Option::is_some)).await.is_ok() {
            return Ok(());
        }
        // One that failed says so at once; one that is still reading its log does not answer.
        if let Err(error @ (Error::Failed(_) | Error::Corrupt { .. } | Error::Stopping)) =
            group.read_index(Instant::now() + LOOK).await
        {
            return Err(error);
        }
    }
}
