//! Makes an authority and certificates for the members of a cluster: for development, and for small installations
//! that have no issuer of their own.

use crate::args::{CertsCommand, Issue};
use anyhow::Context;
use identity::Authority;
use model::Role;
use std::path::Path;

/// How long the certificates of `ouro dev` last.
const DEV_DAYS: u32 = 30;

pub fn run(command: &CertsCommand) -> anyhow::Result<()> {
    match command {
        CertsCommand::Init { dir, cluster } => {
            Authority::init(dir, cluster)?;
            println!("{} is the authority of cluster {cluster:?}; keep ca.key secret", dir.join("ca.crt").display());
            println!("  next           ouro certs issue ingester ingester-0 --dir {}", dir.display());
        }
        CertsCommand::Issue(Issue { role, name, dir, days, hosts }) => {
            let authority = Authority::open(dir)
                .with_context(|| format!("`ouro certs init --dir {}` makes an authority", dir.display()))?;
            authority.issue(*role, name, *days, hosts)?.write(dir)?;
            let path = dir.join(format!("{name}.crt"));
            println!("{} is good for {days} days: {role} {name} of cluster {:?}", path.display(), authority.cluster());
        }
    }
    Ok(())
}

/// The authority in a folder, made if it is not there, and new certificates for these members.
pub fn issue_all<'a>(dir: &Path, cluster: &str, members: impl Iterator<Item = (Role, &'a str)>) -> anyhow::Result<()> {
    let authority = match dir.join("ca.crt").exists() {
        true => Authority::open(dir)?,
        false => Authority::init(dir, cluster)?,
    };
    for (role, name) in members {
        authority.issue(role, name, DEV_DAYS, &[])?.write(dir)?;
    }
    Ok(())
}
