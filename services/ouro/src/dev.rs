//! Runs a whole cluster on this machine: a process for each member, mutual TLS, zones, one bucket in a folder.

mod member;

use crate::args::Dev;
use crate::certs;
use anyhow::{Context, bail};
use member::{Member, Plan};
use model::Role;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

const CLUSTER: &str = "dev";
/// How long the cluster may take until it can be written and queried.
const READY: Duration = Duration::from_secs(60);
/// How long a member may take to end.
const END: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(100);

/// Starts all, says what listens where, and ends all on Ctrl-C or SIGTERM.
pub async fn run(args: Dev) -> anyhow::Result<()> {
    let plan = Plan::new(&args)?;
    std::fs::create_dir_all(&args.data).with_context(|| format!("cannot create {}", args.data.display()))?;
    let data = args.data.canonicalize()?;
    let names = plan.members.iter().map(|member| (member.role, member.name.as_str()));
    certs::issue_all(&data.join("certs"), CLUSTER, names)?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut members = Vec::new();
    for planned in &plan.members {
        planned.write(&data, &plan)?;
        members.push(Member::start(&program, &data, planned)?);
    }
    // From here on, whatever happens, all of them end.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let worked = tokio::select! {
        worked = serve(&args, &plan, &data, &program, &mut members) => worked,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if !args.json {
        println!("stopping: members hand over and end");
    }
    end(members).await;
    worked
}

async fn serve(args: &Dev, plan: &Plan, data: &Path, program: &Path, members: &mut [Member]) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !plan.is_ready().await {
        if let Some(gone) = members.iter_mut().find_map(Member::gone) {
            bail!("{gone}; its log is in {}", data.display());
        }
        if begun.elapsed() > READY {
            bail!("the cluster is not ready after {} s; logs are in {}", READY.as_secs(), data.display());
        }
        tokio::time::sleep(LOOK).await;
    }
    match args.json {
        true => println!("{}", line(plan, data, program, members)),
        false => banner(plan, data, program, begun.elapsed(), members),
    }
    loop {
        tokio::time::sleep(LOOK).await;
        for member in members.iter_mut() {
            if let Some(gone) = member.gone() {
                eprintln!("ouro: {gone}");
            }
        }
    }
}

/// What a script needs.
fn line(plan: &Plan, data: &Path, program: &Path, members: &[Member]) -> serde_json::Value {
    let members: Vec<_> = plan
        .members
        .iter()
        .zip(members)
        .map(|(planned, member)| {
            json!({
                "role": planned.role, "name": planned.name, "zone": planned.zone, "pid": member.pid(),
                "address": format!("127.0.0.1:{}", planned.members), "http": planned.url(),
                "command": planned.command(program, data),
            })
        })
        .collect();
    json!({ "push": plan.url(Role::Distributor), "query": plan.url(Role::Querier), "members": members })
}

fn banner(plan: &Plan, data: &Path, program: &Path, took: Duration, members: &[Member]) {
    let (push, query) = (plan.url(Role::Distributor), plan.url(Role::Querier));
    println!(
        "a cluster of {} members is ready after {:.1} s, data in {}",
        members.len(),
        took.as_secs_f64(),
        data.display()
    );
    println!("  push logs      {push}/loki/api/v1/push");
    println!("  push metrics   {push}/api/v1/push");
    println!("  in Grafana     Loki {query}, Prometheus {query}/prometheus");
    println!("  ring           {query}/ring, or ouro shards --address {query}");
    for (planned, member) in plan.members.iter().zip(members) {
        let (name, zone, url) = (&planned.name, &planned.zone, planned.url());
        println!("  {name:<14} zone {zone}, pid {:>7}, {url}", member.pid());
    }
    if let Some(first) = plan.members.first() {
        println!("  one that ended is started again by: {}", first.command(program, data).join(" "));
    }
}

/// Doors first, so that what they still have reaches the ingesters.
async fn end(mut members: Vec<Member>) {
    members.iter().filter(|member| member.role != Role::Ingester).for_each(Member::terminate);
    wait(&mut members, |member| member.role != Role::Ingester).await;
    members.iter().for_each(Member::terminate);
    wait(&mut members, |_| true).await;
    members.into_iter().for_each(Member::kill);
}

async fn wait(members: &mut [Member], which: impl Fn(&Member) -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < END && members.iter_mut().filter(|member| which(member)).any(|member| member.runs()) {
        tokio::time::sleep(LOOK).await;
    }
}
