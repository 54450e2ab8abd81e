#!/usr/bin/env python3
"""The web page in Chromium, over the story of `make run`: a real proxy, real enclaves, real tunnels.

    page.py --target target/debug --axe tests/web/node_modules/axe-core/axe.min.js --out target/web

It leaves a screenshot of each page in the folder --out.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types

from browser import Browser, Driver, Failed

PASSED = []

# Where everything that is logged is kept, for tests/checks/secrets.py; see tests/support/src/logs.rs.
LOGS = os.environ.get("COUNTERSIGN_TEST_LOGS")


def keep(name, *logs):
    for number, log in enumerate(logs if LOGS else ()):
        shutil.copy(log, pathlib.Path(LOGS) / f"{name}-{os.getpid()}-{number}.log")


def plant(kind, secret):
    if LOGS:
        with open(pathlib.Path(LOGS) / f"planted-{os.getpid()}", "a") as file:
            file.write(f"{kind} {secret.encode().hex()}\n")


def passed(what):
    PASSED.append(what)
    print(f"  ok  {what}", flush=True)


def check(what, holds, found):
    if not holds:
        raise Failed(f"{what}; found {found!r}")
    passed(what)


class Visit:
    """A browser that is signed in to one proxy."""

    def __init__(self, driver, base, token, **looks):
        self.browser = Browser(driver, **looks)
        self.base = base
        self.go("/ui/")
        assert self.browser.address() == base + "/ui/sign-in", self.browser.address()
        self.browser.type("#token", token)
        self.browser.click("main button")
        # The sign-in answers with a redirect to the overview.
        self.browser.until("sign-in", "h1", lambda text: text == "Overview")

    def go(self, path):
        self.browser.go(self.base + path)

    def close(self):
        """Ends it; nothing on its pages may have been amiss."""
        entries = [entry for entry in self.browser.console() if entry["level"] in ("SEVERE", "WARNING")]
        # Chromium reports each answer of 400 and above there, which are what some steps ask for.
        entries = [entry for entry in entries if "the server responded with a status of 4" not in entry["message"]]
        self.browser.close()
        if entries:
            raise Failed("console: " + json.dumps(entries, indent=1))


def axe(visit, source, name):
    """No finding that keeps somebody from using the page."""
    script = source + """
        const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then(
            (found) => done(found.violations.map((one) => [one.impact, one.id, one.nodes.map((node) => node.html)])),
            (error) => done([['critical', String(error), []]]));
    """
    found = visit.browser.run_async(script)
    serious = [one for one in found if one[0] in ("serious", "critical")]
    check(f"{name}: axe-core finds nothing serious", not serious, serious)


def wait_for(path, process, seconds):
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        if path.is_file():
            return path.read_text()
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise Failed(f"{path.name} did not appear within {seconds} s")


def story(driver, target, out, source):
    """Enclaves come, one is refused, a revocation cuts."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-web-"))
    demo = subprocess.Popen(
        [target / "countersign-demo", "--dir", folder / "run"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        told = json.loads(wait_for(folder / "run" / "web-page.json", demo, 60))
        plant("API token", told["token"])
        visit = Visit(driver, told["address"].rstrip("/"), told["token"])
        browser = visit.browser
        browser.until("an enclave appears by itself", "#sessions", lambda text: text != "0", 60)
        passed("an enclave appears without reloading")
        cookie = next(one for one in browser.cookies() if one["name"] == "__Host-countersign")
        check("the cookie is out of every script's reach",
              (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
              and browser.run("return document.cookie") == "", cookie)
        browser.until("a refusal and why", "#why", lambda text: "pcr-mismatch" in text, 90)
        browser.until("the refusal's row", "#refusals", lambda text: "pcr-mismatch" in text, 30)
        passed("a refused enclave stands there with its reason")
        # The story itself revokes payments/1.0; what remains is enclave C with payments/2.0.
        for line in demo.stdout:
            if "Everything stays up" in line:
                break
        else:
            raise Failed("the story ended early")
        browser.until("enclave C's session", "#sessions", lambda text: text == "1", 30)
        browser.until("how long renewals take", "#renewals .legend", lambda text: "nothing yet" not in text, 60)
        line = "const line = document.querySelector('#renewals polyline.two'); return line && line.getAttribute('points')"
        browser.until("a line of it", "#renewals", lambda _: len((browser.run(line) or "").split()) > 1, 90)
        drawn = browser.run("return document.querySelector('#renewals svg').getAttribute('aria-label')")
        check("how long renewals take is drawn and told", "p99): last " in drawn and "highest 0" not in drawn, drawn)
        document(visit, target, folder / "run", out, source)
        pages(visit, out, source)
        revoke(visit, target, folder / "run", told)
        budget(visit)
        visit.close()
        phone(driver, told, out, source)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
        keep("story", *(folder / "run" / "logs").glob("*.log"))
        shutil.rmtree(folder, ignore_errors=True)


def document(visit, target, folder, out, source):
    """Documents explained: one that is allowed, one that is not, and one that is hostile."""
    browser = visit.browser

    def explain(arguments):
        file = folder / "explained.cbor"
        subprocess.run([target / "countersign-simulator", "document", "--dir", folder / "root", "--output", file,
                        *arguments], check=True, capture_output=True)
        visit.go("/ui/explain")
        # The file as a person chooses it.
        browser.type("#evidence-file", str(file))
        browser.until("the file was read", "#evidence-told", lambda text: "was read" in text)
        browser.click("main form button")
        return browser.until("an explanation", "#verdict", lambda text: text != "")

    words = explain(["--image", "payments-2.0"])
    check("an allowed document would be admitted", "Would be admitted: matches payments/2.0" in words, words)
    check("its chain is decoded", browser.count("#says-title ~ .wide tbody tr") > 5, browser.text("main"))
    words = explain(["--image", "payments-unreviewed"])
    check("a refused document is explained", "Would be refused" in words and "differs in PCR0" in words, words)
    check("with each PCR that differs", "the enclave image" in browser.text("main"), browser.text("main"))
    axe(visit, source, "explain")
    browser.screenshot(out / "explain.png")
    hostile = "i-0<img src=x onerror=window.pwned=1><script>window.pwned=1</script>-enc0"
    explain(["--image", "payments-2.0", "--module-id", hostile])
    check("a hostile module_id is text", hostile in browser.text("main"), browser.text("main"))
    check("and no markup", browser.run("return window.pwned === undefined && !document.querySelector('main img')"), "")


def pages(visit, out, source):
    browser = visit.browser
    for name, path, title in [("overview", "/ui/", "Overview"), ("sessions", "/ui/sessions", "Sessions"),
                              ("measurements", "/ui/measurements", "Measurements"), ("audit", "/ui/audit", "Audit log"),
                              ("add", "/ui/measurements/add", "Add a measurement"),
                              ("measurement", "/ui/measurements/payments/2.0", "payments/2.0")]:
        visit.go(path)
        browser.until("the page", "h1", lambda text, title=title: text == title)
        check(f"{name}: the simulator is told of", "Simulator build" in browser.text(".simulator"), "")
        check(f"{name}: times are in the reader's zone, with UTC on hover", browser.run(
            "return [...document.querySelectorAll('time')].every((one) => one.title.endsWith('UTC') && !one.textContent.endsWith('UTC'))"
        ), browser.run("return [...document.querySelectorAll('time')].map((one) => one.outerHTML)"))
        axe(visit, source, name)
        browser.screenshot(out / f"{name}.png")
    visit.go("/ui/sessions")
    browser.click("main tbody a")
    browser.until("one session", "h1", lambda text: text == "Session")
    check("a session shows what its document said", "What its document said" in browser.text("main"), "")
    axe(visit, source, "session")
    browser.screenshot(out / "session.png")
    # By keyboard alone: the first stop leads past the navigation.
    visit.go("/ui/")
    browser.run("document.body.focus()")
    browser.type("body", "\ue004")
    check("the first stop of the keyboard skips the navigation",
          browser.run("return document.activeElement.getAttribute('href')") == "#main", "")


def revoke(visit, target, folder, told):
    """One tab revokes, the other one sees the tunnels go."""
    browser = visit.browser
    local = json.loads((folder / "web-page.json").read_text()).get("local")
    visit.go("/ui/")
    browser.until("live", "#live", lambda text: text.startswith("Live"))
    stream = None
    if local:
        stream = subprocess.Popen(
            ["curl", "-sS", "--no-buffer", "-o", "/dev/null", "--proxy", f"http://{local}", "--cacert",
             told["authority"], f"https://{told['target']}/stream"], stderr=subprocess.DEVNULL)
        browser.until("a tunnel appears", "#tunnels", lambda text: text == "1", 30)
        passed("a tunnel appears without reloading")
    overview = browser.run("return window.name = 'overview'")
    assert overview
    other = Visit(visit.browser.driver, visit.base, told["token"])
    other.go("/ui/measurements/payments/2.0/revoke")
    text = other.browser.text("main")
    check("what a revocation would cut is said first", "this revocation ends 1 session" in text, text)
    other.browser.type("#reason", "seen in the browser")
    other.browser.click("main .danger")
    text = other.browser.until("the revocation", "main", lambda text: "Revoked:" in text)
    check("every replica has cut", "Every replica has cut" in text, text)
    browser.until("tunnels go to zero", "#tunnels", lambda text: text == "0", 10)
    browser.until("the session is over", "#sessions", lambda text: text == "0", 10)
    browser.until("the change stands there", "#changes", lambda text: "seen in the browser" in text, 10)
    passed("its tunnels go to zero, and the change stands there, without reloading")
    if stream:
        stream.wait(10)
    # The row says who it was.
    check("the audit says who", "token:" in browser.text("#changes"), browser.text("#changes"))
    other.close()


def budget(visit):
    """What the first page weighs, style and script included."""
    visit.go("/ui/")
    bytes_ = visit.browser.run(
        "return performance.getEntries().filter((one) => ['navigation', 'resource'].includes(one.entryType))"
        ".reduce((sum, one) => sum + (one.transferSize || 0), 0)")
    check(f"the first page weighs {bytes_} bytes, of 102,400", 5_000 < bytes_ <= 102_400, bytes_)
    hosts = visit.browser.run("return [...new Set(performance.getEntriesByType('resource').map((one) => new URL(one.name).host))]")
    check("nothing comes from another host", hosts == [visit.base.split("//")[1]], hosts)


def phone(driver, told, out, source):
    visit = Visit(driver, told["address"].rstrip("/"), told["token"], phone=True, dark=True)
    for path in ["/ui/", "/ui/measurements", "/ui/audit"]:
        visit.go(path)
        wide = visit.browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        check(f"{path} fits a phone", wide <= 0, wide)
        axe(visit, source, f"{path}, on a phone and dark")
    visit.go("/ui/")
    visit.browser.screenshot(out / "phone-dark.png")
    visit.close()


@contextlib.contextmanager
def running(target, admin, files={}):
    """A proxy of its own, with these lines for `[admin]`: its folder, its page, and its commands."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-web-"))
    proxy = target / "countersign-proxy"

    def command(*words):
        return subprocess.run([proxy, *words, "--config", folder / "c.toml"], check=True, capture_output=True,
                              text=True).stdout.strip()

    subprocess.run([proxy, "dev-certificate", "--dir", folder / "tls", "--name", "localhost"], check=True,
                   capture_output=True)
    subprocess.run([target / "countersign-simulator", "root", "--dir", folder / "root"], check=True, capture_output=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "c.toml").write_text(f"""deployment = "web"
state_directory = "state"
[listen]
attestation = "127.0.0.1:0"
gateway = "127.0.0.1:0"
[tls]
certificate = "tls/server.pem"
key = "tls/server.key"
[trust]
danger_simulated_root = "root/root.der"
[admin]
{admin}
""")
    log = open(folder / "log", "w")
    process = subprocess.Popen([proxy, "serve", "--config", folder / "c.toml", "--ready-file", folder / "ready.json"],
                               stderr=log)
    try:
        ready = json.loads(wait_for(folder / "ready.json", process, 30))
        yield folder, "https://localhost:" + ready["admin"].rsplit(":", 1)[1], command
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log.close()
        keep("web", folder / "log")
        shutil.rmtree(folder, ignore_errors=True)


def at_the_provider(driver, target, out, source):
    """Signing in at an OpenID provider: another site, reached by a link and left by a redirect."""
    # The proxy's URL is part of what the provider knows, so its port must be known first.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"https://localhost:{port}"
    provider = subprocess.Popen(["node", "server.mjs", base + "/ui/sign-in/callback"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True, cwd=pathlib.Path(__file__).parent.parent / "oidc",
                                stderr=subprocess.DEVNULL)
    try:
        ready = provider.stdout.readline().strip()
        check("the OpenID provider is ready", ready.startswith("ready "), ready)
        issuer = ready.removeprefix("ready ")
        with running(target, f"""listen = "127.0.0.1:{port}"
[admin.oidc]
issuer = "{issuer}"
audience = "https://admin.example"
roles_claim = "realm_access.roles"
roles = {{ admin = ["countersign-admins"] }}
workloads = "*"
[admin.oidc.sign_in]
client_id = "web"
client_secret_file = "root/client-secret"
public_url = "{base}"
name = "Example"
""", {"root/client-secret": "planted-client-secret-0b7e"}):
            browser = Browser(driver)

            def sign_in(account):
                browser.go(base + "/ui/sign-in")
                check("the button says where it leads", browser.text("#provider") == "Sign in with Example",
                      browser.text("#provider"))
                browser.click("#provider")
                browser.until("the provider's page", "button", lambda text: text == "Sign in")
                check("the browser is at the provider", browser.address().startswith(issuer), browser.address())
                if account:
                    browser.type("#account", account)
                browser.click("button")

            browser.go(base + "/ui/sign-in")
            axe(types.SimpleNamespace(browser=browser), source, "sign-in")
            browser.screenshot(out / "sign-in.png")
            sign_in("")
            browser.until("somebody who thinks better of it", ".trouble", lambda text: "does not let you in" in text)
            passed("whoever does not sign in at the provider is told so")
            sign_in("alice")
            browser.until("signed in at the provider", "h1", lambda text: text == "Overview")
            check("and known by its name", "oidc:alice" in browser.text(".who"), browser.text(".who"))
            check("nothing of it stays in the address", browser.address() == base + "/ui/", browser.address())
            names = [one["name"] for one in browser.cookies()]
            for one in browser.cookies():
                plant("cookie", one["value"])
            check("one cookie remains", names == ["__Host-countersign"], names)
            # A link elsewhere brings no cookie along, and takes none away.
            browser.go(f"data:text/html,<a href='{base}/ui/'>x</a>")
            browser.click("a")
            browser.until("a link elsewhere", "h1", lambda text: text == "Sign in")
            browser.click("main a[href='/ui/']")
            browser.until("still signed in", "h1", lambda text: text == "Overview")
            passed("a link on another site signs nobody out")
            browser.close()
    finally:
        provider.stdin.close()
        provider.wait(10)


def two_people(driver, target, out):
    """A proxy that asks for a second person's yes."""
    pcrs = subprocess.run([target / "countersign-simulator", "measure", "--image", "two-people"], check=True,
                          capture_output=True, text=True).stdout
    with running(target, 'listen = "127.0.0.1:0"\napprovals = 1') as (_, base, command):
        tokens = {name: command("token", "create", name, "--role", role, "--expires", "1h")
                  for name, role in [("author", "admin"), ("second", "approver"), ("viewer", "viewer")]}
        for token in tokens.values():
            plant("API token", token)
        author = Visit(driver, base, tokens["author"])
        check("an empty page says what to do next", "add a measurement" in author.browser.text("main"), "")
        author.go("/ui/measurements/add")
        check("so does an empty form", "There is no workload yet" in author.browser.text("main"), "")
        command("workload", "set", "payments", "--destination", "kms.example:443")
        author.go("/ui/measurements/add")
        author.browser.type("#name", "v1")
        author.browser.run("document.getElementById('pcrs').value = arguments[0]", pcrs)
        author.browser.click("main form .row button:not([name])")
        text = author.browser.until("added", "main", lambda text: "Added" in text)
        check("what is added waits", "it admits nobody until it is approved" in text, text)
        author.go("/ui/measurements/payments/v1")
        author.browser.click("form[action$='/approve'] button")
        author.browser.until("own approval", ".trouble", lambda text: "own-approval" in text)
        passed("nobody approves what he wrote")
        author.browser.screenshot(out / "own-approval.png")

        second = Visit(driver, base, tokens["second"])
        check("the overview says that something waits", "payments/v1" in second.browser.text("#waiting"), "")
        second.browser.click("#waiting a")
        second.browser.until("the measurement", "h1", lambda text: text == "payments/v1")
        second.browser.click("form[action$='/approve'] button")
        second.browser.until("approved", ".done", lambda text: "It is in force." in text)
        passed("a second person approves")
        second.close()

        viewer = Visit(driver, base, tokens["viewer"])
        viewer.go("/ui/measurements/payments/v1")
        check("a viewer is offered no revocation", viewer.browser.count("a[href$='/revoke']") == 0, "")
        viewer.go("/ui/measurements/payments/v1/revoke")
        viewer.browser.until("a viewer cannot revoke", ".trouble", lambda text: "role-missing" in text)
        passed("a viewer cannot revoke")
        forged(author, viewer, base)
        viewer.close()
        author.browser.click(".who button")
        author.browser.until("signed out", "h1", lambda text: text == "Sign in")
        author.go("/ui/")
        author.browser.until("signed out for good", "h1", lambda text: text == "Sign in")
        passed("whoever signed out is out")
        author.close()


def forged(author, viewer, base):
    """Forms that no page of this login made."""
    script = """
        const done = arguments[arguments.length - 1];
        fetch('/ui/measurements/payments/v1/revoke', { method: 'POST', body: new URLSearchParams({ csrf: arguments[0] }) })
            .then((answer) => done(answer.status), (error) => done(String(error)));
    """
    other = viewer.browser.run("return document.querySelector('[name=csrf]').value")
    for name, secret in [("no secret", ""), ("a guess", "x" * 43), ("another login's", other)]:
        author.go("/ui/explain")
        found = author.browser.run_async(script, secret)
        check(f"a form with {name} is refused", found == 403, found)
    # A page of another origin: the browser keeps the cookie to itself, and says where it comes from.
    author.browser.go("data:text/html,<form method=post action='" + base + "/ui/measurements/payments/v1/revoke'><button>x</button></form>")
    author.browser.click("button")
    author.browser.until("a page elsewhere", "body", lambda text: "foreign-origin" in text)
    passed("a form of another origin is refused")
    author.go("/ui/measurements/payments/v1")
    check("and nothing was revoked", "active" in author.browser.text("main"), author.browser.text("main"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", type=pathlib.Path, required=True)
    parser.add_argument("--axe", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    for program in ["chromedriver", "chromium"]:
        if not shutil.which(program):
            print(f"SKIPPED: {program} is not installed (tests/setup/test.sh installs it)")
            return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    source = arguments.axe.read_text()
    target = arguments.target.absolute()
    driver = Driver()
    try:
        at_the_provider(driver, target, arguments.out, source)
        two_people(driver, target, arguments.out)
        story(driver, target, arguments.out, source)
    except (Failed, subprocess.CalledProcessError) as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        driver.stop()
    print(f"web page: {len(PASSED)} passed, 0 failed; screenshots in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
