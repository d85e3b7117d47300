//! `ouro verify` and `ouro catalog verify`: whether objects are whole, and whether they are the ones that the catalog names.

use super::place::{self, Found};
use crate::args::{CatalogVerify, Verify};
use crate::client::Client;
use audit::{Audit, Named};
use catalog::{Name, name::FOLDERS};
use indicatif::{ProgressBar, ProgressStyle};
use model::ByteSize;
use objects::{Listed, Store};

/// Reads the objects that are named, or all of the store of the settings.
pub async fn verify(args: Verify) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for text in &args.objects {
        all.push((text.clone(), place::find(text, &args.store)?));
    }
    if args.objects.is_empty() {
        let store = place::store(&args.store)?;
        let listed = list(&store).await?;
        anyhow::ensure!(!listed.is_empty(), "there are no segments and no blocks in {}", store.describe());
        all.extend(listed.into_iter().map(|object| found(&store, object.name)));
    }
    let count = all.len();
    let damaged = check(all).await?;
    anyhow::ensure!(damaged == 0, "{damaged} of {count} objects are damaged");
    Ok(())
}

/// Compares the catalog of a running Ouro with its bucket.
pub async fn verify_catalog(args: CatalogVerify) -> anyhow::Result<()> {
    let store = place::store(&args.store)?;
    // What is named after this listing may not be in it, and what is swept after it was not named any more.
    let listed = list(&store).await?;
    let named: Vec<Named> = serde_json::from_str(&Client::new(&args.server)?.get("/catalog", &[]).await?)?;
    let again: Vec<Listed> = list(&store).await?;
    let audit = Audit::of(&named, &again);
    for fault in &audit.faults {
        println!("{fault}");
    }
    let unnamed: Vec<&Listed> = audit.unnamed.iter().filter(|object| listed.contains(object)).collect();
    let bytes = ByteSize(unnamed.iter().map(|object| object.bytes).sum());
    println!("the catalog names {} objects; {} others ({bytes}) wait to be swept", named.len(), unnamed.len());
    let mut damaged = 0;
    if !args.quick {
        let there = |object: &Named| again.iter().any(|listed| listed.name == object.name);
        damaged = check(named.into_iter().filter(there).map(|object| found(&store, object.name)).collect()).await?;
    }
    let faults = audit.faults.len() + damaged;
    anyhow::ensure!(faults == 0, "{faults} faults in {}", store.describe());
    Ok(())
}

async fn list(store: &Store) -> anyhow::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for folder in FOLDERS {
        listed.extend(store.list(folder).await?);
    }
    listed.retain(|object| Name::parse(&object.name).is_some());
    Ok(listed)
}

fn found(store: &Store, name: String) -> (String, Found) {
    (name.clone(), Found { object: store.object(&name), name: Some(name) })
}

/// Reads objects as a whole, says which are damaged, and how many.
async fn check(all: Vec<(String, Found)>) -> anyhow::Result<usize> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} objects, {msg}")?;
    let progress = ProgressBar::new(all.len() as u64).with_style(style);
    let (mut bytes, mut rows, mut damaged, count) = (0, 0, 0, all.len());
    for (text, Found { object, name }) in all {
        match tokio::task::spawn_blocking(move || audit::verify(object, name.as_deref())).await? {
            Ok(whole) => {
                bytes += whole.bytes;
                rows += whole.rows;
            }
            Err(error) => {
                damaged += 1;
                progress.suspend(|| println!("{text}: {error}"));
            }
        }
        progress.set_message(format!("{} read", ByteSize(bytes)));
        progress.inc(1);
    }
    progress.finish_and_clear();
    println!("{} of {count} objects are whole: {rows} rows, {}", count - damaged, ByteSize(bytes));
    Ok(damaged)
}
