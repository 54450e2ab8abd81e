use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;

use crate::{
    cli::{
        client::{Call, Client, Pages, Unreached},
        failure::Failure,
        show::{self, TokenRow},
        words::{ChangeArgs, Output, ShortId, TokenCommand, TokenCreate},
    },
    policy::WorkloadName,
    store::UnixMs,
};

/// `token …`
pub(in crate::cli) async fn token(client: &Client, command: &TokenCommand) -> Result<ExitCode, Failure> {
    match command {
        TokenCommand::List(args) => show::list::<TokenRow>(client, Call::get(TOKENS), args).await,
        TokenCommand::Create(create) => make(client, create).await,
        TokenCommand::Revoke { token, change } => revoke(client, token, change).await,
    }
}

/// A new token.
#[derive(Deserialize)]
struct Made {
    secret: String,
    token: Described,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    expires: String,
}

/// The secret goes to standard output and nothing else does, so that it can be
/// piped to where it is kept; what people want to know goes to stderr.
async fn make(client: &Client, create: &TokenCreate) -> Result<ExitCode, Failure> {
    let TokenCreate { name, roles, workloads, expires, dry_run, read } = create;
    if *dry_run {
        return would_make(client, create).await;
    }
    let words: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    let scope: Vec<_> = workloads.iter().map(ToString::to_string).collect();
    let body = json!({
        "name": name,
        "roles": words,
        "workloads": if scope.is_empty() { None } else { Some(scope) },
        "lives_seconds": expires.millis() / 1_000,
    });
    let answer = client.ask(&Call::post(TOKENS).json(&body)).await?;
    let Made { secret, token } = answer.json()?;
    match read.output {
        Output::Json => show::print(&format!("{}\n", answer.text().trim_end()))?,
        Output::Table => show::print(&format!("{secret}\n"))?,
    };
    show::note(&format!(
        "made token {} ({name}: {}), good until {}; its secret is shown this one time",
        token.id,
        words.join(", "),
        token.expires
    ));
    Ok(ExitCode::SUCCESS)
}

/// Who asks, and what he may.
#[derive(Deserialize)]
struct Whoami {
    subject: String,
    roles: Vec<String>,
    #[serde(default)]
    workloads: Option<Vec<String>>,
}

/// The API has no dry run for tokens, since their making touches no policy:
/// what it would refuse is looked up.
async fn would_make(client: &Client, create: &TokenCreate) -> Result<ExitCode, Failure> {
    let Whoami { subject, roles, workloads } = client.ask(&Call::get("/v1/whoami")).await?.json()?;
    let own = workloads.as_deref();
    let within = own.is_none_or(|own| {
        let inside = |asked: &WorkloadName| own.iter().any(|name| name == asked.as_str());
        !create.workloads.is_empty() && create.workloads.iter().all(inside)
    });
    let refusal = if !roles.iter().any(|role| role == "admin") {
        Some(format!("{subject} is no admin"))
    } else if !within {
        Some(format!("{subject} has some workloads only, and the token would have more"))
    } else {
        let now = UnixMs::now();
        let taken = find(client, |token| token.name == create.name && token.state(now) == "live").await?;
        taken.map(|token| format!("the live token {} has that name", token.id))
    };
    match refusal {
        Some(reason) => Err(Failure::wrong("token", format!("dry run, nothing was changed: {reason}"))),
        None => show::print(&format!(
            "dry run, nothing was changed: making the token {:?} is possible\n",
            create.name
        )),
    }
}

async fn revoke(client: &Client, token: &ShortId, change: &ChangeArgs) -> Result<ExitCode, Failure> {
    if change.dry_run {
        let id = token.to_string();
        let found = find(client, |known| known.id == id).await?;
        let found = found.ok_or_else(|| Failure::wrong("token", format!("there is no token {token}")))?;
        let state = found.state(UnixMs::now());
        let line = format!(
            "dry run, nothing was changed: revoking the {state} token {token} ({:?}) is possible\n",
            found.name
        );
        return show::print(&line);
    }
    client.ask(&Call::delete(format!("{TOKENS}/{token}"))).await?;
    match change.read.output {
        // The API has nothing to say, and a program nothing to read.
        Output::Json => Ok(ExitCode::SUCCESS),
        Output::Table => show::print(&format!("revoked token {token}: it is worth nothing from now on\n")),
    }
}

async fn find(client: &Client, wanted: impl Fn(&TokenRow) -> bool) -> Result<Option<TokenRow>, Failure> {
    let mut pages = Pages::new(client, Call::get(TOKENS), None);
    while let Some(items) = pages.next().await? {
        for item in items {
            let token: TokenRow = serde_json::from_str(item.get())
                .map_err(|error| Unreached::NotUnderstood { reason: error.to_string() })?;
            if wanted(&token) {
                return Ok(Some(token));
            }
        }
    }
    Ok(None)
}

const TOKENS: &str = "/v1/tokens";
