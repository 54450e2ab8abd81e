use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::revoke::revoke;
use crate::cli::{
    client::{Answer, Call, Client},
    failure::Failure,
    input::RulesFile,
    show::{self, Detail, Said, WorkloadRow},
    words::{ChangeArgs, Output, WorkloadCommand, WorkloadPath, WorkloadSet},
};

/// `workload …`
pub(in crate::cli) async fn workload(
    client: &Client,
    command: &WorkloadCommand,
) -> Result<ExitCode, Failure> {
    match command {
        WorkloadCommand::List(args) => {
            show::list::<WorkloadRow>(client, Call::get("/v1/workloads"), args).await
        }
        WorkloadCommand::Show { workload, read } => {
            show_one(&client.ask(&Call::get(path(workload))).await?, read.output)
        }
        WorkloadCommand::Set(set) => give(client, set).await,
        WorkloadCommand::Revoke { workload, revoke: args } => {
            let target = Map::from_iter([("workload".to_owned(), workload.as_str().into())]);
            revoke(client, target, workload.to_string(), args).await
        }
        WorkloadCommand::Approve { workload, if_revision, change } => {
            let call = Call::post(format!("{}/approvals", path(workload)));
            let said = Said { done: "approved", doing: "approving", what: workload.to_string() };
            judge(client, call, &path(workload), *if_revision, change, &said).await
        }
        WorkloadCommand::Withdraw { workload, if_revision, change } => {
            let call = Call::delete(format!("{}/approvals", path(workload)));
            let said = Said {
                done: "took back the waiting rules of",
                doing: "taking back the waiting rules of",
                what: workload.to_string(),
            };
            judge(client, call, &path(workload), *if_revision, change, &said).await
        }
    }
}

fn path(workload: &WorkloadPath) -> String {
    format!("/v1/workloads/{workload}")
}

/// Says yes or no to what stands at `path` at this revision, or as it is now:
/// the revision that was looked at goes along, so that nobody judges what was
/// changed meanwhile.
pub(super) async fn judge(
    client: &Client,
    call: Call,
    path: &str,
    if_revision: Option<u64>,
    change: &ChangeArgs,
    said: &Said,
) -> Result<ExitCode, Failure> {
    let revision = match if_revision {
        Some(revision) => revision,
        None => revision(&client.ask(&Call::get(path)).await?)?,
    };
    let answer = client.ask(&call.dry_run(change.dry_run).if_revision(revision)).await?;
    show::changed(&answer, change.read.output, said)
}

/// The revision of what was read.
pub(super) fn revision(answer: &Answer) -> Result<u64, Failure> {
    #[derive(serde::Deserialize)]
    struct Revised {
        revision: u64,
    }
    Ok(answer.json::<Revised>()?.revision)
}

fn show_one(answer: &Answer, output: Output) -> Result<ExitCode, Failure> {
    Detail::new(answer)?
        .field("workload", "/name")
        .field("description", "/description")
        .field("state", "/state")
        .field("destinations", "/destinations")
        .field("addresses", "/addresses")
        .field("lease", "/lease")
        .field("limits", "/limits")
        .field("kept by", "/origin")
        .field("revision", "/revision")
        .field("epoch", "/epoch")
        .field("waiting: author", "/pending/author")
        .field("waiting: approvals", "/pending/approvals")
        .field("waiting: destinations", "/pending/destinations")
        .field("waiting: addresses", "/pending/addresses")
        .field("waiting: lease", "/pending/lease")
        .field("waiting: limits", "/pending/limits")
        .show(output)
}

/// Reads what there is, changes what was said, and writes it back if nobody
/// else did meanwhile.
async fn give(client: &Client, set: &WorkloadSet) -> Result<ExitCode, Failure> {
    let path = path(&set.workload);
    let (rules, expected) = match &set.file {
        Some(file) => {
            let RulesFile { rules, revision } = RulesFile::read(file, &set.workload)?;
            (rules, set.if_revision.or(revision))
        }
        None => (Map::new(), set.if_revision),
    };
    let there = match client.ask(&Call::get(&path)).await {
        Ok(answer) => Some(answer),
        Err(Failure::Refused(refused)) if refused.is_absence() => None,
        Err(failure) => return Err(failure),
    };
    let known = there.as_ref().map(revision).transpose()?;
    let rules = if set.file.is_some() { rules } else { changed(there.as_ref(), set)? };
    let call = Call::put(&path).dry_run(set.change.dry_run).json(&Value::Object(rules));
    // What somebody expects goes along, and not what was found: the API tells the difference.
    let call = match expected.or(known) {
        None | Some(0) => call.header("if-none-match", Some("*".to_owned())),
        Some(revision) => call.if_revision(revision),
    };
    let answer = client.ask(&call).await?;
    let what = set.workload.to_string();
    let said = match known {
        None => Said { done: "created", doing: "creating", what },
        Some(_) => Said { done: "changed", doing: "changing", what },
    };
    show::changed(&answer, set.change.read.output, &said)
}

/// The rules that are there, with what the options say.
fn changed(there: Option<&Answer>, set: &WorkloadSet) -> Result<Map<String, Value>, Failure> {
    let mut there: Map<String, Value> = there.map(Answer::json).transpose()?.unwrap_or_default();
    // Rules that wait are what their author meant: more options are on top of them.
    if let Some(Value::Object(waiting)) = there.remove("pending") {
        there.extend(waiting);
    }
    let mut rules = Map::new();
    for field in RULES {
        rules.extend(there.remove_entry(field).filter(|(_, value)| !value.is_null()));
    }
    let lists = [
        ("destinations", &set.destinations, set.no_destinations),
        ("addresses", &set.addresses, set.no_addresses),
    ];
    for (field, said, none) in lists {
        if none || !said.is_empty() {
            rules.insert(field.to_owned(), json!(said));
        }
    }
    if !rules.contains_key("destinations") {
        return Err(Failure::Usage(NO_DESTINATIONS.to_owned()));
    }
    rules.extend(set.description.iter().map(|text| ("description".to_owned(), text.as_str().into())));
    let lease = [("min_seconds", set.lease_min), ("max_seconds", set.lease_max)];
    merge(&mut rules, "lease", lease);
    if rules.get("lease").and_then(Value::as_object).is_some_and(|lease| lease.len() < 2) {
        return Err(Failure::Usage(
            "a new workload needs --lease-min and --lease-max, or neither".to_owned(),
        ));
    }
    let limits = [
        ("max_sessions", set.max_sessions.map(u64::from)),
        ("max_tunnels_per_session", set.max_tunnels_per_session.map(u64::from)),
    ];
    merge(&mut rules, "limits", limits);
    Ok(rules)
}

fn merge<const N: usize>(rules: &mut Map<String, Value>, field: &str, values: [(&str, Option<u64>); N]) {
    let said = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    let said: Map<String, Value> = said.collect();
    if said.is_empty() {
        return;
    }
    match rules.get_mut(field) {
        Some(Value::Object(there)) => there.extend(said),
        _ => {
            rules.insert(field.to_owned(), said.into());
        }
    }
}

/// What a PUT takes of what a GET gives.
const RULES: [&str; 5] = ["description", "destinations", "addresses", "lease", "limits"];

const NO_DESTINATIONS: &str = "a new workload needs --destination HOST:PORT, or --no-destinations when its \
                               tunnels lead nowhere";
