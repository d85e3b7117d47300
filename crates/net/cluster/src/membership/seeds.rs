//! Looks up the seeds.

use std::collections::BTreeSet;
use std::time::Duration;

/// For one name. The names are looked up one after the other, while gossip goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// All addresses that the seeds stand for now, but for those that `own` stands for too.
pub(super) async fn look_up(seeds: Vec<String>, own: String) -> Vec<String> {
    let mut found = BTreeSet::new();
    for seed in &seeds {
        let addresses = addresses(seed).await;
        if addresses.is_empty() {
            tracing::warn!(seed, "a seed has no address now");
        }
        found.extend(addresses);
    }
    if !found.is_empty() {
        for address in addresses(&own).await {
            found.remove(&address);
        }
        found.remove(&own);
    }
    found.into_iter().collect()
}

async fn addresses(name: &str) -> Vec<String> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host(name)).await {
        Ok(Ok(addresses)) => addresses.map(|address| address.to_string()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "a look-up failed");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn oneself_is_no_seed() {
        let seeds = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1", "no port"].map(str::to_owned).to_vec();
        assert_eq!(look_up(seeds, "127.0.0.1:1".to_owned()).await, ["127.0.0.1:2"]);
    }
}
