//! Shows the members of a cluster, and its shards.

use super::http::Client;
use super::table::table;
use crate::args::Show;
use serde_json::Value;

/// Who the members are.
pub async fn ring(args: Show) -> anyhow::Result<()> {
    let text = Client::new(&args.server)?.get("/ring", &[]).await?;
    if args.json {
        println!("{text}");
        return Ok(());
    }
    let ring: Value = serde_json::from_str(&text)?;
    let mut rows: Vec<Vec<String>> = each(&ring["members"]["live"]).map(|member| row(member, "alive")).collect();
    rows.extend(each(&ring["members"]["down"]).map(|lost| row(&lost["member"], "lost")));
    print!("{}", table(&["member", "role", "zone", "address", "version", "state"], &rows));
    Ok(())
}

/// Where the shards are.
pub async fn shards(args: Show) -> anyhow::Result<()> {
    let text = Client::new(&args.server)?.get("/ring", &[]).await?;
    if args.json {
        println!("{text}");
        return Ok(());
    }
    let ring: Value = serde_json::from_str(&text)?;
    let rows: Vec<Vec<String>> = each(&ring["groups"]).map(group).collect();
    print!("{}", table(&["shard", "leader", "term", "entries", "replicas (lag)", "state"], &rows));
    let silent: Vec<String> = each(&ring["silent"]).map(word).collect();
    if !silent.is_empty() {
        println!("no answer from {}", silent.join(", "));
    }
    Ok(())
}

fn row(member: &Value, state: &str) -> Vec<String> {
    let draining = member["draining"].as_bool() == Some(true);
    let state = if draining { "draining" } else { state };
    let cells = ["name", "role", "zone", "address", "version"].map(|key| word(&member[key]));
    cells.into_iter().chain([state.to_owned()]).collect()
}

fn group(group: &Value) -> Vec<String> {
    let replica = |replica: &Value| {
        let lag = replica["lag"].as_u64().map_or_else(|| "?".to_owned(), |lag| lag.to_string());
        let learns = if replica["voter"].as_bool() == Some(true) { "" } else { ", learns" };
        let away = if replica["active"].as_bool() == Some(true) { "" } else { ", silent" };
        format!("{} ({lag}{learns}{away})", word(&replica["member"]))
    };
    let replicas: Vec<String> = each(&group["replicas"]).map(replica).collect();
    let state = match (group["leader"].is_null(), group["moving"].as_bool()) {
        (true, _) => "no leader",
        (_, Some(true)) => "moving",
        _ => "",
    };
    vec![
        word(&group["name"]),
        word(&group["leader"]),
        word(&group["term"]),
        word(&group["entries"]),
        replicas.join(", "),
        state.to_owned(),
    ]
}

pub fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_shard_is_one_row() {
        let shard = json!({
            "name": "logs-3", "leader": null, "term": 7, "entries": 12, "moving": false,
            "replicas": [{"member": "a", "voter": true, "lag": 0, "active": true},
                         {"member": "b", "voter": false, "lag": null, "active": false}],
        });
        assert_eq!(group(&shard), ["logs-3", "-", "7", "12", "a (0), b (?, learns, silent)", "no leader"]);
    }
}
