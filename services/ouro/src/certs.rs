//! Makes an authority and certificates for the members of a cluster: for development, and for small installations
//! that have no issuer of their own.

use crate::args::{CertsCommand, Issue};
use anyhow::Context;
use identity::{Authority, Identity};
use model::Role;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long the certificates of `ouro dev` last.
const DEV_DAYS: u32 = 30;
const DAY: Duration = Duration::from_secs(24 * 3600);

pub fn run(command: &CertsCommand) -> anyhow::Result<()> {
    match command {
        CertsCommand::Init { dir, cluster } => {
            if let Ok(authority) = Authority::open(dir) {
                let path = dir.join("ca.crt");
                let of = authority.cluster();
                anyhow::ensure!(of == cluster, "{} is the authority of cluster {of:?}: it stays", path.display());
                println!("{} is the authority of cluster {cluster:?} already: it stays", path.display());
                return Ok(());
            }
            Authority::init(dir, cluster)?;
            println!("{} is the authority of cluster {cluster:?}; keep ca.key secret", dir.join("ca.crt").display());
            println!("  next           ouro certs issue ingester ingester-0 --dir {}", dir.display());
        }
        CertsCommand::Issue(Issue { role, name, dir, days, hosts }) => {
            let authority = Authority::open(dir)
                .with_context(|| format!("`ouro certs init --dir {}` makes an authority", dir.display()))?;
            let path = dir.join(format!("{name}.crt"));
            if let Some((held, left)) = held(dir, authority.cluster(), name) {
                anyhow::ensure!(held == *role, "{} is good, and of role {held}: it stays", path.display());
                // What ends soon is renewed, so that whoever runs this on each start need not look at the calendar.
                if left > DAY * *days / 3 {
                    let left = left.as_secs() / DAY.as_secs();
                    println!("{} is there, and good for {left} days more: it stays", path.display());
                    return Ok(());
                }
            }
            authority.issue(*role, name, *days, hosts)?.write(dir)?;
            println!("{} is good for {days} days: {role} {name} of cluster {:?}", path.display(), authority.cluster());
        }
    }
    Ok(())
}

/// The role of a member's certificate that the others of its cluster accept now, and for how long it is good.
fn held(dir: &Path, cluster: &str, name: &str) -> Option<(Role, Duration)> {
    let [ca, certificate, key] = ["ca.crt", &format!("{name}.crt"), &format!("{name}.key")].map(|file| dir.join(file));
    let settings = identity::Settings { ca, certificate, key, ..identity::Settings::default() };
    let open = |role: Role| Identity::open(&settings, cluster, role).ok().filter(|held| held.own().name == name);
    let held = Role::ALL.into_iter().find_map(open)?;
    Some((held.own().role, held.expires().duration_since(SystemTime::now()).ok()?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn init(dir: &Path, cluster: &str) -> anyhow::Result<()> {
        run(&CertsCommand::Init { dir: dir.to_owned(), cluster: cluster.to_owned() })
    }

    fn issue(dir: &Path, role: Role, days: u32) -> anyhow::Result<()> {
        let (name, dir) = ("m".to_owned(), dir.to_owned());
        run(&CertsCommand::Issue(Issue { role, name, dir, days, hosts: Vec::new() }))
    }

    #[test]
    fn what_is_there_and_good_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        let all = || ["ca.crt", "ca.key", "m.crt", "m.key"].map(|name| fs::read(dir.join(name)).expect("a file"));
        init(dir, "ouro").expect("made");
        issue(dir, Role::Querier, 3).expect("made");
        let made = all();
        init(dir, "ouro").expect("it is there");
        issue(dir, Role::Querier, 3).expect("it is there");
        let other = init(dir, "other").expect_err("of another cluster").to_string();
        assert!(other.contains("\"ouro\"") && other.contains("ca.crt"), "{other}");
        let other = issue(dir, Role::Ruler, 3).expect_err("of another role").to_string();
        assert!(other.contains("querier") && other.contains("m.crt"), "{other}");
        assert_eq!(all(), made);
        issue(dir, Role::Querier, 30).expect("renewed, since it lasts for less than a third of that");
        assert_ne!(all(), made);
    }

    #[test]
    fn what_is_of_no_use_is_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        init(dir, "ouro").expect("made");
        fs::write(dir.join("m.crt"), "torn").expect("written");
        issue(dir, Role::Querier, 3).expect("made");
        assert_eq!(held(dir, "ouro", "m").map(|(role, _)| role), Some(Role::Querier));
        fs::remove_file(dir.join("ca.key")).expect("removed");
        let half = init(dir, "ouro").expect_err("half an authority is not made whole").to_string();
        assert!(half.contains("ca.crt"), "{half}");
    }
}
