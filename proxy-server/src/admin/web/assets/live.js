// What the page does with a script: it renews parts that change, shows times in
// the reader's zone, and reads dropped files. Everything else works without.
"use strict";
(() => {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) time.textContent = format.format(at);
    }
  };

  const read = (file, area, told) => {
    if (file.size > 65536) {
      told.textContent = `${file.name} is larger than any document`;
      return;
    }
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      const bytes = new Uint8Array(reader.result);
      // JSON begins with a brace, a document never does.
      area.value = bytes[0] === 0x7b
        ? new TextDecoder().decode(bytes)
        : btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
      told.textContent = `${file.name} was read`;
    });
    reader.readAsArrayBuffer(file);
  };

  const files = () => {
    for (const input of document.querySelectorAll("input[type=file][data-into]")) {
      const area = document.getElementById(input.dataset.into);
      const told = document.getElementById(`${input.dataset.into}-told`);
      input.closest("[hidden]")?.removeAttribute("hidden");
      input.addEventListener("change", () => input.files[0] && read(input.files[0], area, told));
      area.addEventListener("dragover", (event) => event.preventDefault());
      area.addEventListener("drop", (event) => {
        event.preventDefault();
        if (event.dataTransfer.files[0]) read(event.dataTransfer.files[0], area, told);
      });
    }
  };

  const live = () => {
    const told = document.getElementById("live");
    let asking = false;
    let again = false;
    let planned = 0;

    const replace = (fresh) => {
      localTimes(fresh);
      for (const part of document.querySelectorAll("[data-part]")) {
        const other = fresh.getElementById(part.id);
        if (!other || other.isEqualNode(part)) continue;
        const focused = part.contains(document.activeElement) ? document.activeElement : null;
        const href = focused && focused.getAttribute("href");
        const mine = document.importNode(other, true);
        part.replaceWith(mine);
        if (href) {
          for (const link of mine.querySelectorAll("a")) {
            if (link.getAttribute("href") === href) link.focus();
          }
        }
      }
    };

    const refresh = () => {
      planned = 0;
      if (asking) {
        again = true;
        return;
      }
      asking = true;
      // A document straight from the network: no text is ever made into markup here.
      const request = new XMLHttpRequest();
      request.open("GET", location.href);
      request.responseType = "document";
      request.timeout = 10000;
      request.setRequestHeader("x-countersign-live", "1");
      request.addEventListener("loadend", () => {
        asking = false;
        if (request.status === 401) {
          location.assign("/ui/sign-in");
          return;
        }
        if (request.status === 200 && request.response) replace(request.response);
        if (again) {
          again = false;
          soon(300);
        }
      });
      request.send();
    };

    const soon = (after) => {
      if (!planned) planned = setTimeout(refresh, after);
    };

    const events = new EventSource("/ui/live");
    events.addEventListener("open", () => { told.textContent = "Live: changes appear by themselves."; });
    events.addEventListener("error", () => {
      told.textContent = "The connection is lost; trying again.";
      soon(2000);
    });
    // Sessions come and go all the time; what people decide is shown at once.
    for (const [name, after] of [["policy", 200], ["replica", 200], ["resync", 200], ["bye", 200], ["sessions", 1000], ["access", 1000]]) {
      events.addEventListener(name, () => soon(after));
    }
    addEventListener("pagehide", () => events.close());
    setInterval(() => { if (!document.hidden) soon(0); }, 5000);
  };

  localTimes(document);
  files();
  if (document.querySelector("main[data-live]")) live();
})();
