// Makes the pages comfortable; every flow but live updates works without it.
"use strict";

const words = (seconds) => {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const parts = [];
  for (const [name, length] of units) {
    const count = Math.floor(seconds / length);
    seconds -= count * length;
    if (count > 0 || parts.length > 0) parts.push([name, count]);
  }
  return parts.slice(0, 2).filter(([, n]) => n > 0).map(([name, n]) => `${n} ${name}${n === 1 ? "" : "s"}`).join(" ") || "no time";
};

// Counts down from the time the server sent, not from this device's clock.
const start = performance.now();
const countdowns = () => [...document.querySelectorAll("[data-countdown]")];
const tick = () => countdowns().forEach((element) => {
  const left = Number(element.dataset.countdown) - (performance.now() - start) / 1000;
  element.textContent = words(Math.max(0, Math.round(left)));
});
if (countdowns().length > 0) setInterval(tick, 1000);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
  button.textContent = "Copied";
});

// A link's key stands after the # and never reaches a log: it is posted, then gone from the address.
const keyForm = document.getElementById("key-form");
if (keyForm && keyForm.dataset.wrong === "false" && location.hash.length > 1) {
  const key = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("key").value = key;
  keyForm.submit();
}

const upload = document.getElementById("upload");
if (upload) {
  const input = document.getElementById("images");
  const status = document.getElementById("status");
  const thumbs = document.getElementById("thumbs");
  const progress = document.getElementById("progress");
  const button = upload.querySelector("button");
  const most = Number(upload.dataset.images);
  const bytes = Number(upload.dataset.megabytes) * 1024 * 1024;
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  const say = (text) => { status.textContent = text; };

  const look = () => {
    thumbs.replaceChildren(...[...input.files].map((file) => {
      const item = document.createElement("li");
      const image = document.createElement("img");
      image.alt = file.name;
      image.src = URL.createObjectURL(file);
      image.onload = () => URL.revokeObjectURL(image.src);
      item.append(image);
      return item;
    }));
    const large = [...input.files].find((file) => file.size > bytes);
    if (input.files.length > most) say(`At most ${most} pictures can be shared at once. Remove ${input.files.length - most}.`);
    else if (large) say(`${large.name} is larger than ${upload.dataset.megabytes} MB. Make it smaller first.`);
    else say("");
    button.disabled = input.files.length > most || Boolean(large);
  };
  const add = (files) => {
    const all = new DataTransfer();
    [...input.files, ...files].forEach((file) => all.items.add(file));
    input.files = all.files;
    look();
  };
  input.addEventListener("change", look);
  const drop = document.getElementById("drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); add(event.dataTransfer.files); });
  document.addEventListener("paste", (event) => { if (event.clipboardData.files.length > 0) add(event.clipboardData.files); });

  upload.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    request.open("POST", upload.action || location.pathname);
    request.setRequestHeader("Idempotency-Key", key);
    request.responseType = "document";
    request.upload.onprogress = ({ loaded, total }) => {
      progress.value = loaded / total;
      say(loaded < total ? `Sending, ${Math.round(100 * loaded / total)} %` : "Marking your pictures…");
    };
    request.onload = () => {
      const main = request.response && request.response.querySelector("main");
      if (!main) return failed();
      document.querySelector("main").replaceWith(document.adoptNode(main));
      document.title = request.response.title;
      window.scrollTo(0, 0);
      const heading = document.querySelector("main h1");
      heading.tabIndex = -1;
      heading.focus();
    };
    const failed = () => { button.disabled = false; progress.hidden = true; say("The connection broke. Nothing is lost: press the button to try again."); };
    request.onerror = failed;
    button.disabled = true;
    progress.hidden = false;
    request.send(new FormData(upload));
  });
}

const viewer = document.getElementById("viewer");
if (viewer) {
  const path = viewer.dataset.path;
  const end = () => { viewer.remove(); document.getElementById("over").hidden = false; };
  viewer.addEventListener("contextmenu", (event) => event.preventDefault());
  viewer.addEventListener("dragstart", (event) => event.preventDefault());
  const poll = setInterval(async () => {
    try {
      const answer = await fetch(`${path}/current`, { cache: "no-store" });
      if (answer.status >= 500 || (answer.ok && (await answer.json()).seconds_left > 0)) return;
      clearInterval(poll);
      end();
    } catch { /* offline: the next poll decides */ }
  }, 1000);
}

const dashboard = document.getElementById("dashboard-page");
if (dashboard && dashboard.dataset.status === "active") {
  let views = document.getElementById("views").textContent;
  setInterval(async () => {
    try {
      const answer = await fetch(`${dashboard.dataset.path}/state`, { cache: "no-store" });
      if (!answer.ok) return;
      const state = await answer.json();
      document.getElementById("views").textContent = state.views;
      document.getElementById("views-left").textContent = state.views_left ?? "no limit";
      // The tables are drawn by the server; a new view is worth drawing them anew, unless a form is in use.
      const busy = document.activeElement && document.activeElement.matches("input, select, summary, button");
      if ((String(state.views) !== views || state.status !== "active") && !busy && !document.querySelector("details[open]")) location.reload();
    } catch { /* offline: the next poll decides */ }
  }, 2000);
}

document.querySelectorAll("time").forEach((element) => {
  const instant = new Date(element.dateTime);
  if (!Number.isNaN(instant.getTime())) element.textContent = instant.toLocaleString();
});
