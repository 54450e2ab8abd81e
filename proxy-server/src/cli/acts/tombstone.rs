use std::process::ExitCode;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_verifier::PcrSet;
use serde_json::Map;

use super::revoke::revoke;
use crate::cli::{
    client::{Call, Client},
    failure::Failure,
    input,
    show::{self, Said, TombstoneRow},
    words::TombstoneCommand,
};

/// `tombstone …`
pub(in crate::cli) async fn tombstone(
    client: &Client,
    command: &TombstoneCommand,
) -> Result<ExitCode, Failure> {
    match command {
        TombstoneCommand::List(args) => {
            show::list::<TombstoneRow>(client, Call::get("/v1/tombstones"), args).await
        }
        TombstoneCommand::Add { pcrs, revoke: args } => {
            let pcrs = input::pcrs(pcrs)?;
            let target = Map::from_iter([("pcrs".to_owned(), input::pcrs_json(&pcrs))]);
            revoke(client, target, words(&pcrs), args).await
        }
        TombstoneCommand::Lift(lift) => {
            let (id, what) = match &lift.id {
                Some(id) => (id.clone(), format!("tombstone {}…", id.chars().take(16).collect::<String>())),
                None => {
                    let pcrs = input::pcrs(&lift.pcrs)?;
                    (id_of(&pcrs), words(&pcrs))
                }
            };
            let call = Call::delete(format!("/v1/tombstones/{id}"))
                .dry_run(lift.change.dry_run)
                .query("reason", lift.reason.as_ref());
            let said = Said { done: "lifted", doing: "lifting", what };
            show::changed(&client.ask(&call).await?, lift.change.read.output, &said)
        }
    }
}

/// As the API names the set in a path: base64url of an index byte and 48 bytes
/// for each PCR, lowest index first.
fn id_of(pcrs: &PcrSet) -> String {
    let bytes: Vec<u8> = pcrs
        .iter()
        .flat_map(|(index, value)| [&[index.get()], value.as_bytes().as_slice()].concat())
        .collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// "the PCRs 0, 1, 2 with PCR0 1a2b…".
fn words(pcrs: &PcrSet) -> String {
    let indices: Vec<_> = pcrs.iter().map(|(index, _)| index.get().to_string()).collect();
    let first =
        pcrs.iter().next().map(|(index, value)| format!(" with {index} {}…", &value.to_string()[..16]));
    format!("the PCRs {}{}", indices.join(", "), first.unwrap_or_default())
}
