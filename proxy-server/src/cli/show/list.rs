use std::process::ExitCode;

use super::{Colours, Row, Table, note, print};
use crate::{
    cli::{
        client::{Call, Client, Pages, Unreached},
        failure::Failure,
        words::{ListArgs, Output},
    },
    store::UnixMs,
};

/// Prints a list: all pages joined.
///
/// # Errors
/// Those of the client. JSON that was begun then has no end, so that no program
/// takes it for the whole list.
pub(in crate::cli) async fn list<R: Row>(
    client: &Client,
    call: Call,
    args: &ListArgs,
) -> Result<ExitCode, Failure> {
    joined::<R>(Pages::new(client, call, args.limit), args.read.output).await
}

/// Prints a list that has one page only.
///
/// # Errors
/// Those of the client.
pub(in crate::cli) async fn list_whole<R: Row>(
    client: &Client,
    call: Call,
    output: Output,
) -> Result<ExitCode, Failure> {
    joined::<R>(Pages::one(client, call), output).await
}

async fn joined<R: Row>(mut pages: Pages<'_>, output: Output) -> Result<ExitCode, Failure> {
    match output {
        Output::Json => {
            let mut first = true;
            while let Some(items) = pages.next().await? {
                let mut text = String::new();
                for item in items {
                    text.push_str(if first { "[\n  " } else { ",\n  " });
                    text.push_str(item.get());
                    first = false;
                }
                print(&text)?;
            }
            print(if first { "[]\n" } else { "\n]\n" })
        }
        Output::Table => {
            let (mut table, mut empty) = (Table::new(R::HEAD), true);
            while let Some(items) = pages.next().await? {
                let now = UnixMs::now();
                for item in items {
                    let row: R = serde_json::from_str(item.get())
                        .map_err(|error| Unreached::NotUnderstood { reason: error.to_string() })?;
                    table.push(row.cells(now));
                    empty = false;
                }
            }
            if empty {
                note(&format!("there are no {}", R::NOUN));
            }
            print(&table.render(Colours::of_stdout()))
        }
    }
}
