"""A Chromium, driven by chromedriver over W3C WebDriver: as much of it as these tests need."""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Failed(Exception):
    pass


class Driver:
    """chromedriver on a free port of its own choice."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for line in self.process.stdout:
            if "started successfully on port" in line:
                self.address = "http://127.0.0.1:" + line.rsplit(" ", 1)[1].strip().rstrip(".")
                return
        raise Failed("chromedriver did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Browser:
    """One profile, one window."""

    def __init__(self, driver, phone=False, dark=False):
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--disable-background-networking", "--no-first-run", "--force-prefers-reduced-motion", "--disable-component-update",
                     # The certificate is of a trial CA, which no browser knows; a page elsewhere would not resolve.
                     "--ignore-certificate-errors", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
                     "--window-size=1280,900"]
        wanted = {"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": True,
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}}
        self.driver = driver
        answer = self._send("POST", "/session", wanted)
        self.path = "/session/" + answer["sessionId"]
        if phone:
            self._devtools("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
        if dark:
            self._devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def _send(self, method, path, body=None):
        data = json.dumps(body if body is not None else {}).encode() if method == "POST" else None
        request = urllib.request.Request(
            self.driver.address + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise Failed(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}") from None

    def _devtools(self, command, **parameters):
        self._send("POST", self.path + "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def go(self, address):
        self._send("POST", self.path + "/url", {"url": address})

    def address(self):
        return self._send("GET", self.path + "/url")

    def find(self, css):
        return self._send("POST", self.path + "/element", {"using": "css selector", "value": css})[ELEMENT]

    def count(self, css):
        return self.run("return document.querySelectorAll(arguments[0]).length", css)

    def type(self, css, text):
        self._send("POST", f"{self.path}/element/{self.find(css)}/value", {"text": text})

    def click(self, css):
        self._send("POST", f"{self.path}/element/{self.find(css)}/click", {})

    def text(self, css="body"):
        return self._send("GET", f"{self.path}/element/{self.find(css)}/text")

    def run(self, script, *arguments):
        return self._send("POST", self.path + "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        return self._send("POST", self.path + "/execute/async", {"script": script, "args": list(arguments)})

    def cookies(self):
        return self._send("GET", self.path + "/cookie")

    def console(self):
        """What the console was told since the last call."""
        return self._send("POST", self.path + "/se/log", {"type": "browser"})

    def screenshot(self, file):
        file.write_bytes(base64.b64decode(self._send("GET", self.path + "/screenshot")))

    def until(self, what, css, holds, seconds=30):
        """Waits until the text there is as it must be. The page changes by itself: nothing is loaded again."""
        over = time.monotonic() + seconds
        text = None
        while time.monotonic() < over:
            try:
                text = self.text(css)
                if holds(text):
                    return text
            except Failed:
                # The part was being replaced.
                pass
            time.sleep(0.05)
        raise Failed(f"{what}: {css} says {text!r} after {seconds} s, on {self.address()}: {self.text()[:500]}")

    def close(self):
        self._send("DELETE", self.path)
