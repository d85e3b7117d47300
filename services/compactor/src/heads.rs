//! Asks the leaders of all shards whether their heads have rows that are to be deleted.

use crate::error::Error;
use deletes::Request;
use mesh::Directory;
use model::{Matcher, ShardId, TenantId};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;
use transport::v1::{SelectRequest, What, read_client::ReadClient, select_reply::Reply};
use transport::{Link, link::MAX_MESSAGE, rows};

/// How long a shard's leader is looked for.
const PATIENCE: Duration = Duration::from_secs(8);

/// Whether no head has rows of streams or series that a request names, within its range. An error if a shard cannot be
/// asked: nobody knows then.
pub async fn are_clear(directory: &Directory, tenant: &TenantId, request: &Request) -> Result<bool, Error> {
    let failed = |source| Error::Delete { tenant: tenant.clone(), source };
    let matchers = hidden::matchers(request.signal, &request.query).map_err(failed)?;
    let count = directory.table().readable();
    if count.of(request.signal) == 0 {
        return Err(Status::unavailable("no shard is known yet").into());
    }
    for shard in count.shards(request.signal) {
        if !is_clear(directory, shard, tenant, &matchers, request).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn is_clear(
    directory: &Directory,
    shard: ShardId,
    tenant: &TenantId,
    matchers: &[Matcher],
    request: &Request,
) -> Result<bool, Error> {
    let question = SelectRequest {
        tenant: tenant.to_string(),
        shard: Some(rows::shard(shard)),
        what: What::Series.into(),
        matchers: rows::matchers(matchers),
        min_time: request.start,
        max_time: request.end,
        max_bytes: u64::MAX,
        ..SelectRequest::default()
    };
    let call = |link: Link| {
        let question = question.clone();
        async move {
            let mut messages = ReadClient::new(link).max_decoding_message_size(MAX_MESSAGE).select(question).await?;
            let mut is_clear = true;
            while let Some(message) = messages.get_mut().message().await? {
                match message.reply {
                    Some(Reply::View(_)) => {}
                    _ => {
                        is_clear = false;
                        break;
                    }
                }
            }
            Ok(is_clear)
        }
    };
    Ok(directory.ask(shard, Instant::now() + PATIENCE, call).await?)
}
