use std::process::ExitCode;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    revoke::revoke,
    workload::{judge, revision},
};
use crate::{
    cli::{
        client::{Answer, Call, Client},
        failure::Failure,
        input,
        show::{self, Detail, MeasurementRow, Said},
        words::{
            Label, MeasurementAdd, MeasurementCommand, MeasurementEdit, MeasurementPath, Moment, Output,
        },
    },
    store::UnixMs,
};

/// `measurement …`
pub(in crate::cli) async fn measurement(
    client: &Client,
    command: &MeasurementCommand,
) -> Result<ExitCode, Failure> {
    match command {
        MeasurementCommand::List { workload, state, waiting, list } => {
            let call = Call::get("/v1/measurements")
                .query("workload", workload.as_ref())
                .query("state", state.map(|state| state.as_str()))
                .query("waiting", waiting.then_some(true));
            show::list::<MeasurementRow>(client, call, list).await
        }
        MeasurementCommand::Show { measurement, read } => {
            show_one(&client.ask(&Call::get(path(measurement))).await?, read.output)
        }
        MeasurementCommand::Add(add) => create(client, add).await,
        MeasurementCommand::Edit(edit) => patch(client, edit).await,
        MeasurementCommand::Approve { measurement, if_revision, change } => {
            let path = path(measurement);
            let said = Said { done: "approved", doing: "approving", what: measurement.to_string() };
            judge(client, Call::post(format!("{path}/approvals")), &path, *if_revision, change, &said).await
        }
        MeasurementCommand::Withdraw { measurement, if_revision, change } => {
            let path = path(measurement);
            let said = Said { done: "took back", doing: "taking back", what: measurement.to_string() };
            judge(client, Call::delete(format!("{path}/approvals")), &path, *if_revision, change, &said).await
        }
        MeasurementCommand::Revoke { measurement, revoke: args } => {
            let target = Map::from_iter([
                ("workload".to_owned(), measurement.workload.as_str().into()),
                ("measurement".to_owned(), measurement.name.as_str().into()),
            ]);
            revoke(client, target, measurement.to_string(), args).await
        }
        MeasurementCommand::Explain { document, read } => {
            let document = STANDARD.encode(input::document(document)?);
            let call = Call::post("/v1/explain").json(&json!({ "document": document }));
            show::explained(&client.ask(&call).await?, read.output)
        }
    }
}

fn path(measurement: &MeasurementPath) -> String {
    format!("/v1/workloads/{}/measurements/{}", measurement.workload, measurement.name)
}

fn show_one(answer: &Answer, output: Output) -> Result<ExitCode, Failure> {
    Detail::new(answer)?
        .field("workload", "/workload")
        .field("measurement", "/name")
        .field("version", "/version")
        .field("state", "/state")
        .field("reason", "/reason")
        .field("PCRs", "/pcrs")
        .field("labels", "/labels")
        .field("not before", "/not_before")
        .field("expires", "/expires")
        .field("kept by", "/origin")
        .field("created", "/created")
        .field("author", "/author")
        .field("approved by", "/approvers")
        .field("revision", "/revision")
        .field("epoch", "/epoch")
        .show(output)
}

async fn create(client: &Client, add: &MeasurementAdd) -> Result<ExitCode, Failure> {
    let MeasurementAdd {
        workload,
        name,
        version,
        pcrs,
        labels,
        not_before,
        expires,
        idempotency_key,
        change,
    } = add;
    let name = name.as_ref().or(version.as_ref()).cloned().unwrap_or_default();
    // The path must be one that `approve` and `revoke` can say, too.
    let place: MeasurementPath = format!("{workload}/{name}")
        .parse()
        .map_err(|reason| Failure::Usage(format!("{reason}; found {name:?}: say a NAME beside --version")))?;
    let now = UnixMs::now();
    let body = json!({
        "name": name,
        "version": version,
        "pcrs": input::pcrs_json(&input::pcrs(pcrs)?),
        "labels": map(labels)?,
        "not_before": not_before.map(|at| at.ahead(now)),
        "expires": expires.map(|at| at.ahead(now)),
    });
    let call = Call::post(format!("/v1/workloads/{workload}/measurements"))
        .dry_run(change.dry_run)
        .header("idempotency-key", idempotency_key.clone())
        .json(&body);
    let answer = client.ask(&call).await?;
    let said = Said { done: "added", doing: "adding", what: place.to_string() };
    show::changed(&answer, change.read.output, &said)
}

async fn patch(client: &Client, edit: &MeasurementEdit) -> Result<ExitCode, Failure> {
    let path = path(&edit.measurement);
    let revision = match edit.if_revision {
        Some(revision) => revision,
        None => revision(&client.ask(&Call::get(&path)).await?)?,
    };
    let body = merge_patch(edit, UnixMs::now())?;
    let call = Call::patch(&path).dry_run(edit.change.dry_run).if_revision(revision).json(&body);
    let said = Said { done: "changed", doing: "changing", what: edit.measurement.to_string() };
    show::changed(&client.ask(&call).await?, edit.change.read.output, &said)
}

/// RFC 7396: what is not said stays, what is null goes.
fn merge_patch(edit: &MeasurementEdit, now: UnixMs) -> Result<Value, Failure> {
    let mut patch = Map::new();
    let mut say = |field: &str, value: Value| patch.insert(field.to_owned(), value);
    if let Some(version) = &edit.version {
        say("version", version.as_str().into());
    }
    if edit.no_labels || !edit.labels.is_empty() {
        say("labels", map(&edit.labels)?);
    }
    let times: [(&str, Option<Moment>, bool); 2] =
        [("not_before", edit.not_before, edit.no_not_before), ("expires", edit.expires, edit.no_expires)];
    for (field, at, none) in times {
        if none || at.is_some() {
            say(field, at.map_or(Value::Null, |at| at.ahead(now).into()));
        }
    }
    Ok(patch.into())
}

fn map(labels: &[Label]) -> Result<Value, Failure> {
    let mut map = Map::new();
    for Label { key, value } in labels {
        if map.insert(key.clone(), value.as_str().into()).is_some() {
            return Err(Failure::Usage(format!("the label {key} stands twice")));
        }
    }
    Ok(map.into())
}
