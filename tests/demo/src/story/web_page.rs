use serde_json::json;

use super::Stage;
use crate::{enclave::UPSTREAM_AUTHORITY, failure::Failure, narrator::Narrator};

/// The page that the proxy serves, and what it takes to sign in to it.
#[derive(Clone)]
pub(crate) struct WebPage {
    address: String,
    token: String,
}

impl Stage {
    /// A token for the page; told at once, so that whoever likes watches the story there.
    pub(super) async fn open_the_page(&mut self, narrator: &Narrator) -> Result<(), Failure> {
        let made =
            self.proxy.command(&["token", "create", "page", "--role", "admin", "--expires", "8h"]).await?;
        let token = String::from_utf8_lossy(&made).trim().to_owned();
        let page = WebPage { address: format!("https://localhost:{}/", self.proxy.admin), token };
        self.page = Some(page.clone());
        self.note_the_page(None)?;
        narrator.checked(
            "the proxy's web page; its certificate is of a trial CA, which the browser will ask about",
        );
        page.shown(narrator);
        Ok(())
    }

    /// Where the page is, once more, at the end.
    pub(super) fn shows_the_page(&self, narrator: &Narrator) -> Result<(), Failure> {
        let local = self.enclaves.last().and_then(|enclave| enclave.local);
        self.note_the_page(local.map(|address| address.to_string()))?;
        if let Some(page) = &self.page {
            page.shown(narrator);
        }
        Ok(())
    }

    /// The same for programs: tests with a browser begin here.
    fn note_the_page(&self, local: Option<String>) -> Result<(), Failure> {
        let Some(WebPage { address, token }) = &self.page else { return Ok(()) };
        let authority = self.world.path(UPSTREAM_AUTHORITY);
        let told = json!({
            "address": address, "token": token, "target": self.target, "authority": authority, "local": local,
        });
        // Whole or not at all: somebody waits for it.
        let unfinished = self.world.write("web-page.unfinished", &told.to_string())?;
        std::fs::rename(unfinished, self.world.path("web-page.json"))
            .map_err(Failure::system("to write web-page.json"))
    }
}

impl WebPage {
    fn shown(&self, narrator: &Narrator) {
        narrator.command("the web page, to look at", &self.address);
        narrator.command("the token to sign in with there", &self.token);
    }
}
