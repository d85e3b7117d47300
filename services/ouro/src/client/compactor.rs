//! Shows what the compactor does, and what retention takes away.

use super::http::Client;
use super::ring::{each, word};
use super::table::table;
use crate::args::{CompactorCommand, Expired, Show};
use model::ByteSize;
use serde_json::Value;

pub async fn compactor(command: CompactorCommand) -> anyhow::Result<()> {
    match command {
        CompactorCommand::Status(show) => status(show).await,
        CompactorCommand::Expired(expired) => self::expired(expired).await,
    }
}

async fn status(args: Show) -> anyhow::Result<()> {
    let text = Client::new(&args.server)?.get("/compactor/status", &[]).await?;
    if args.json {
        println!("{text}");
        return Ok(());
    }
    let status: Value = serde_json::from_str(&text)?;
    match status["leads"].as_bool() {
        Some(true) => println!("this compactor has the lease"),
        _ => println!("this compactor waits: another one has the lease, or it has just started"),
    }
    let merge = &status["merge"];
    if !merge.is_null() {
        println!(
            "merging {} {} of level {}, tenant {}: {} of {} done, since {} s",
            word(&merge["inputs"]),
            word(&merge["signal"]),
            word(&merge["level"]),
            word(&merge["tenant"]),
            size(&merge["raw_bytes_done"]),
            size(&merge["raw_bytes"]),
            word(&merge["seconds"]),
        );
    }
    let rows: Vec<Vec<String>> = each(&status["objects"])
        .map(|kind| {
            let mut row: Vec<String> = ["signal", "kind", "objects", "rows"].map(|key| word(&kind[key])).into();
            row.extend(["raw_bytes", "bytes"].map(|key| size(&kind[key])));
            row
        })
        .collect();
    print!("{}", table(&["signal", "kind", "objects", "rows", "before encoding", "bytes"], &rows));
    let done = &status["done"];
    println!(
        "since its start: {} merges of {} objects into {} blocks ({}), {} objects expired, {} swept ({}), {} failures",
        word(&done["merges"]),
        word(&done["inputs"]),
        word(&done["blocks"]),
        size(&done["bytes"]),
        word(&done["expired"]),
        word(&done["swept"]),
        size(&done["swept_bytes"]),
        word(&done["failures"]),
    );
    Ok(())
}

async fn expired(args: Expired) -> anyhow::Result<()> {
    let params = [("logs", args.logs), ("metrics", args.metrics), ("tenant", args.of)];
    let params: Vec<(&str, String)> = params.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let text = Client::new(&args.show.server)?.get("/compactor/expired", &params).await?;
    if args.show.json {
        println!("{text}");
        return Ok(());
    }
    let all: Value = serde_json::from_str(&text)?;
    let rows: Vec<Vec<String>> = each(&all)
        .map(|object| {
            let tenants: Vec<String> = each(&object["tenants"]).map(word).collect();
            vec![word(&object["name"]), word(&object["rows"]), size(&object["bytes"]), tenants.join(", ")]
        })
        .collect();
    if rows.is_empty() {
        println!("nothing has passed its retention as a whole");
        return Ok(());
    }
    print!("{}", table(&["object", "rows", "bytes", "tenants"], &rows));
    let bytes = each(&all).filter_map(|object| object["bytes"].as_u64()).sum();
    println!("{} objects, {}", rows.len(), ByteSize(bytes));
    Ok(())
}

fn size(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string())
}
