//! What all pages have in common: head, navigation, and small pieces.

use maud::{DOCTYPE, Markup, html};

use super::{ask::Trouble, guard::Visitor, logins::Csrf};
use crate::admin::identity::Permission;

/// Which page this is, for the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Sessions,
    Measurements,
    Explain,
    Audit,
}

impl Place {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Overview, "/ui/", "Overview"),
        (Self::Sessions, "/ui/sessions", "Sessions"),
        (Self::Measurements, "/ui/measurements", "Measurements"),
        (Self::Explain, "/ui/explain", "Explain"),
        (Self::Audit, "/ui/audit", "Audit"),
    ];
}

/// Whether a page renews itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// By events: every part marked `data-part` and with an id.
    Live,
    /// When somebody asks.
    Still,
}

/// A page for somebody who is signed in.
pub(super) fn page(who: &Visitor, place: Place, title: &str, renewal: Renewal, body: Markup) -> Markup {
    let live = renewal == Renewal::Live;
    frame(
        title,
        html! {
            header.top {
                p.brand { a href="/ui/" { "Countersign" } }
                nav aria-label="Pages" {
                    ul {
                        @for (one, path, name) in Place::ALL {
                            li { a href=(path) aria-current=[(one == place).then_some("page")] { (name) } }
                        }
                    }
                }
                form.who method="post" action="/ui/sign-out" {
                    (csrf(&who.csrf))
                    span { (who.principal.subject()) " · " (who.principal.roles()) }
                    button.quiet type="submit" { "Sign out" }
                }
            }
            main id="main" data-live[live] {
                h1 { (title) }
                @if live { p.live id="live" role="status" { "This page does not renew itself without JavaScript." } }
                (body)
            }
        },
    )
}

/// A page for anybody.
pub(super) fn outside(title: &str, body: Markup) -> Markup {
    frame(title, html! { main id="main" { h1 { (title) } (body) } })
}

/// A page for anybody, which goes on to another one of ours at once.
pub(super) fn onward(title: &str, path: &'static str, body: Markup) -> Markup {
    let head = html! { meta http-equiv="refresh" content={ "0; url=" (path) }; };
    framed(title, head, html! { main id="main" { h1 { (title) } (body) } })
}

fn frame(title: &str, body: Markup) -> Markup {
    framed(title, Markup::default(), body)
}

fn framed(title: &str, head: Markup, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Countersign" }
                link rel="icon" href="/ui/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/ui/assets/style.css";
                script src="/ui/assets/live.js" defer {}
                (head)
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                @if cfg!(feature = "simulator") {
                    p.simulator role="note" {
                        strong { "Simulator build. " }
                        "It can trust documents of simulated enclaves: attestation proves nothing about any machine here. For development only."
                    }
                }
                (body)
                footer { "countersign-proxy " (env!("CARGO_PKG_VERSION")) }
            }
        }
    }
}

/// The hidden field that proves a form is ours.
pub(super) fn csrf(csrf: &Csrf) -> Markup {
    html! { input type="hidden" name="csrf" value=(csrf.as_str()); }
}

/// A time: UTC for whoever has no script, the reader's zone otherwise, and UTC on hover.
pub(super) fn time(at: &str) -> Markup {
    let short = at.split('.').next().unwrap_or(at).trim_end_matches('Z').replace('T', " ");
    html! { time datetime=(at) title={ (short) " UTC" } { (short) " UTC" } }
}

/// A word that stands for a state, coloured; the word itself says it too.
pub(super) fn state(word: &str) -> Markup {
    let class = match word {
        "active" | "live" | "ready" | "holds" | "admission" | "in force" => "good",
        "pending" | "draining" | "waiting" => "waits",
        "revoked" | "gone" | "not-ready" | "refused" | "refusal" => "bad",
        _ => "plain",
    };
    html! { span class={ "state " (class) } { (word) } }
}

/// The API's refusal, where the page would have shown something.
pub(super) fn trouble(trouble: &Trouble) -> Markup {
    html! {
        div.trouble role="alert" {
            p { strong { (trouble.code) } ": " (trouble.detail) }
            @if !trouble.request_id.is_empty() { p.fine { "Request " code { (trouble.request_id) } ", in log and audit" } }
        }
    }
}

/// Nothing here, and what to do next.
pub(super) fn empty(what: &str, next: Markup) -> Markup {
    html! { div.empty { p { strong { (what) } } p { (next) } } }
}

/// A table that is wider than a phone scrolls by itself, with the keyboard too.
pub(super) fn wide(label: &str, table: Markup) -> Markup {
    html! { div.wide role="region" aria-label=(label) tabindex="0" { (table) } }
}

/// An identifier or digest: its beginning, and all of it for whoever asks.
pub(super) fn short(text: &str) -> Markup {
    let beginning: String = text.chars().take(12).collect();
    html! { code title=(text) { (beginning) @if beginning.len() < text.len() { "…" } } }
}

/// Whether his roles give this: what he may not is not offered.
pub(super) fn may(who: &Visitor, permission: Permission) -> bool {
    who.principal.roles().give(permission)
}
