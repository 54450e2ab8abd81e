use std::{collections::BTreeMap, path::Path, process::ExitCode};

use countersign_verifier::{Pcr, PcrIndex, PcrSet};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    cli::{
        client::{Call, Client, Pages, Unreached},
        failure::Failure,
        input,
        show::{self, Cell, Colours, Table},
        words::{KmsCommand, KmsDrift, Output, WorkloadPath},
    },
    config::role_of,
    key_policy::{Finding, KeyPolicy, Known, Standing, drift, statements},
};

/// `kms …`; `config` is the configuration of this machine, where the command acts on it.
pub(in crate::cli) async fn kms(
    client: &Client,
    command: &KmsCommand,
    config: Option<&Path>,
) -> Result<ExitCode, Failure> {
    match command {
        KmsCommand::Policy { workload, principals, read } => {
            policy(client, workload, principals, config, read.output).await
        }
        KmsCommand::Drift(args) => compare(client, args).await,
    }
}

/// `kms policy`
async fn policy(
    client: &Client,
    workload: &WorkloadPath,
    principals: &[String],
    config: Option<&Path>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let mut principals = principals.to_vec();
    if principals.is_empty() {
        principals.extend(config.and_then(|path| role_of(path, workload)).map(|role| role.to_string()));
    }
    // A policy for everybody is what `drift` warns of.
    if let Some(wide) = principals.iter().find(|principal| principal.contains('*')) {
        return Err(Failure::Usage(format!("expected the ARN of a principal; found {wide:?}")));
    }
    if principals.is_empty() {
        return Err(Failure::Usage(NO_PRINCIPAL.to_owned()));
    }
    // Tells a workload that is not there from one without measurements.
    client.ask(&Call::get(format!("/v1/workloads/{workload}"))).await?;
    let mut known = measurements(client, std::slice::from_ref(workload)).await?;
    known.retain(|known| known.standing == Standing::Active);
    if known.is_empty() {
        return Err(Failure::Usage(format!(
            "{workload} has no active measurement: a policy would let nobody in"
        )));
    }
    let policy = statements(&principals, &known);
    let text = match output {
        Output::Json => policy.to_string(),
        Output::Table => serde_json::to_string_pretty(&policy)?,
    };
    if text.len() > MOST_POLICY {
        show::note(&format!(
            "this is longer than the {MOST_POLICY} bytes of a key policy: revoke what is not used"
        ));
    }
    show::print(&format!("{text}\n"))
}

/// `kms drift`
async fn compare(client: &Client, args: &KmsDrift) -> Result<ExitCode, Failure> {
    let KmsDrift { workloads, key, endpoint, policy, read } = args;
    for workload in workloads {
        client.ask(&Call::get(format!("/v1/workloads/{workload}"))).await?;
    }
    let json = match (key, policy) {
        (Some(key), _) => in_force(key, endpoint.as_deref()).await?,
        (None, Some(file)) => input::read(file, MOST_FILE)?,
        (None, None) => return Err(Failure::Usage("say --key ARN or --policy FILE".to_owned())),
    };
    let policy = KeyPolicy::read(&json).map_err(|error| Failure::Usage(error.to_string()))?;
    let found = drift(&policy, &measurements(client, workloads).await?);
    match read.output {
        Output::Json => {
            let list: Vec<_> = found.iter().map(as_json).collect();
            show::print(&format!("{}\n", json!({ "drift": !found.is_empty(), "findings": list })))?;
        }
        Output::Table if found.is_empty() => {
            show::print("no drift: the key's policy is what the measurements say\n")?;
        }
        Output::Table => {
            let mut table = Table::new(&["WHAT", "STATEMENT", "OPERATIONS", "WHY"]);
            for Finding { statement, operations, fault } in &found {
                let operations: Vec<_> =
                    operations.iter().map(|name| name.strip_prefix("kms:").unwrap_or(name)).collect();
                table.push(vec![
                    Cell::new(fault.class()),
                    Cell::maybe(statement.as_deref()),
                    Cell::new(operations.join(" ")),
                    Cell::new(fault.to_string()),
                ]);
            }
            show::print(&table.render(Colours::of_stdout()))?;
        }
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let Finding { statement, operations, fault } = finding;
    json!({
        "class": fault.class(),
        "code": fault.code(),
        "statement": statement,
        "operations": operations,
        "detail": fault.to_string(),
    })
}

/// Every measurement that the caller may see, and every revoked set of PCRs.
async fn measurements(client: &Client, workloads: &[WorkloadPath]) -> Result<Vec<Known>, Failure> {
    let now = OffsetDateTime::now_utc();
    let rows: Vec<MeasurementRow> = all(client, Call::get("/v1/measurements")).await?;
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        let ours = workloads.iter().any(|workload| workload.as_str() == row.workload);
        let expires = row.expires.as_deref().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let standing = match row.state.as_str() {
            "active" if expires.is_some_and(|expires| expires <= now) => Standing::Expired,
            "active" if ours => Standing::Active,
            "active" => Standing::OfOtherWorkload,
            "pending" => Standing::Pending,
            _ => Standing::Revoked,
        };
        let name = format!("{}/{}", row.workload, row.name);
        known.push(Known { name, pcrs: set(&row.pcrs)?, standing });
    }
    let tombstones: Vec<TombstoneRow> = all(client, Call::get("/v1/tombstones")).await?;
    for row in tombstones {
        let name = match (row.workload, row.measurement) {
            (Some(workload), Some(measurement)) => format!("{workload}/{measurement}"),
            _ => "a revoked set of PCRs".to_owned(),
        };
        known.push(Known { name, pcrs: set(&row.pcrs)?, standing: Standing::Revoked });
    }
    Ok(known)
}

async fn all<T: DeserializeOwned>(client: &Client, call: Call) -> Result<Vec<T>, Failure> {
    let mut pages = Pages::new(client, call, None);
    let mut all = Vec::new();
    while let Some(page) = pages.next().await? {
        for item in page {
            all.push(serde_json::from_str(item.get()).map_err(|error| not_understood(&error))?);
        }
    }
    Ok(all)
}

/// What of a measurement is read; a newer server may say more.
#[derive(Deserialize)]
struct MeasurementRow {
    workload: String,
    name: String,
    state: String,
    pcrs: BTreeMap<String, String>,
    expires: Option<String>,
}

#[derive(Deserialize)]
struct TombstoneRow {
    workload: Option<String>,
    measurement: Option<String>,
    pcrs: BTreeMap<String, String>,
}

fn set(pcrs: &BTreeMap<String, String>) -> Result<PcrSet, Failure> {
    let mut set = PcrSet::EMPTY;
    for (index, value) in pcrs {
        let index = index.parse().ok().and_then(PcrIndex::new).ok_or_else(|| not_understood(&index))?;
        let value: Pcr = value.parse().map_err(|error| not_understood(&error))?;
        set.insert(index, value).map_err(|_| not_understood(&"a PCR stands twice"))?;
    }
    Ok(set)
}

fn not_understood(why: &dyn std::fmt::Display) -> Failure {
    Unreached::NotUnderstood { reason: why.to_string() }.into()
}

/// What KMS says of the key.
#[cfg(feature = "aws")]
async fn in_force(key: &str, endpoint: Option<&str>) -> Result<Vec<u8>, Failure> {
    use std::time::Duration;

    use tokio::time::timeout;

    use crate::{
        aws::{Manners, sdk_config},
        ca::KmsKey,
    };

    let wrong = |error| Failure::Usage(format!("{key}: {error}"));
    let mut place = KmsKey::new(key).map_err(wrong)?;
    if let Some(endpoint) = endpoint {
        place = place.at(endpoint).map_err(|error| Failure::Usage(format!("{endpoint}: {error}")))?;
    }
    let asked = async {
        let manners = Manners { attempts: 3, attempt: Duration::from_secs(4) };
        let config = sdk_config(place.region(), place.endpoint(), manners).await;
        aws_sdk_kms::Client::new(&config).get_key_policy().key_id(key).policy_name("default").send().await
    };
    let answer = timeout(KMS_DEADLINE, asked).await;
    let late = |_| Failure::Other(format!("KMS did not answer within {} s", KMS_DEADLINE.as_secs()).into());
    let answer = answer.map_err(late)??;
    Ok(answer.policy.unwrap_or_default().into_bytes())
}

#[cfg(not(feature = "aws"))]
async fn in_force(_key: &str, _endpoint: Option<&str>) -> Result<Vec<u8>, Failure> {
    Err(Failure::Usage(NO_AWS.to_owned()))
}

#[cfg(not(feature = "aws"))]
const NO_AWS: &str = "this build does not know AWS KMS; one with the cargo feature \"aws\" does. Or give the policy as a \
                      file: aws kms get-key-policy --key-id ARN --output text | countersign-proxy kms drift … --policy -";

const NO_PRINCIPAL: &str = "say who may use the key: --principal ARN, the role of the enclaves ([[sts.role]] of the \
                            configuration names none for this workload)";

/// For the credentials and all tries together.
#[cfg(feature = "aws")]
const KMS_DEADLINE: std::time::Duration = std::time::Duration::from_secs(15);

/// KMS developer guide, "Resource quotas".
const MOST_POLICY: usize = 32 * 1024;

/// Spaces between the parts included.
const MOST_FILE: usize = 256 * 1024;
