//! The part of the control group that queriers ask for: what is to be deleted. It is in the catalog.

use super::Control;
use catalog::{Command, Reply};
use model::Reason;
use tonic::Status;
use transport::{status, v1};

/// Commits a command that a tenant may ask for.
pub async fn commit(control: &Control, command: &[u8]) -> Result<v1::DeleteReply, Status> {
    let bad = |why: String| status::grpc(Reason::BadInput, why);
    let command: deletes::Command = serde_json::from_slice(command).map_err(|e| bad(e.to_string()))?;
    if !command.is_of_tenants() {
        return Err(bad("only the compactor says that rows are deleted".into()));
    }
    match control.propose(&Command::Delete { command, epoch: None }).await.map_err(|e| e.status())? {
        Reply::Delete { reply, version } => {
            let reply = serde_json::to_vec(&reply).unwrap_or_default().into();
            Ok(v1::DeleteReply { reply, version })
        }
        other => Err(bad(format!("the catalog did not take a delete request: {other:?}"))),
    }
}
