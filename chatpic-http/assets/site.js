// Makes the pages comfortable: progress, live figures, countdowns. What a page is for works without it.
"use strict";

const byId = (id) => document.getElementById(id);
const show = (element, shown = true) => { if (element) element.hidden = !shown; };
const plural = (count, unit) => `${count} ${unit}${count === 1 ? "" : "s"}`;

// ---- Times and places, in the reader's own language and zone -------------------------------------------------

const words = (seconds) => {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const first = units.findIndex(([, length]) => seconds >= length);
  if (first < 0) return "no time";
  const parts = units.slice(first, first + 2).map(([name, length], i) => {
    const count = Math.floor((i === 0 ? seconds : seconds % units[first][1]) / length);
    return [name, count];
  });
  return parts.filter(([, count]) => count > 0).map(([name, count]) => plural(count, name)).join(" ");
};

const countryNames = (() => {
  try { return new Intl.DisplayNames(navigator.languages, { type: "region" }); } catch { return null; }
})();

const localise = (root) => {
  root.querySelectorAll("time").forEach((element) => {
    const instant = new Date(element.dateTime);
    if (Number.isNaN(instant.getTime())) return;
    element.textContent = instant.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  });
  root.querySelectorAll("[data-country]").forEach((element) => {
    const code = element.dataset.country;
    if (!code || !countryNames) return;
    try { element.textContent = countryNames.of(code); } catch { /* the server's own name stays */ }
  });
  // Counts down from what the server sent, not from this device's clock.
  root.querySelectorAll("[data-countdown]").forEach((element) => {
    element.dataset.from = performance.now();
  });
};
localise(document);

let blank = () => {};
const tick = () => document.querySelectorAll("[data-countdown]").forEach((element) => {
  const left = Number(element.dataset.countdown) - (performance.now() - Number(element.dataset.from)) / 1000;
  element.textContent = words(Math.max(0, Math.round(left)));
  if (left <= 0 && "blanks" in element.dataset) blank();
});
tick();
setInterval(tick, 1000);

const online = () => show(byId("offline"), !navigator.onLine);
addEventListener("online", online);
addEventListener("offline", online);
online();

// ---- Copying and passing on ----------------------------------------------------------------------------------

let dashboardSaved = true;

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const field = byId(copy.dataset.copy);
    field.select();
    try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
    copy.textContent = "Copied";
    if (byId("said")) byId("said").textContent = "The link is copied.";
    setTimeout(() => { copy.textContent = "Copy"; }, 4000);
    if (field.id === "dashboard") dashboardSaved = true;
  }
  const share = event.target.closest("[data-share]");
  if (share) {
    try { await navigator.share({ url: byId(share.dataset.share).value }); } catch { /* the person changed their mind */ }
  }
  if (event.target.closest("#open-dashboard")) dashboardSaved = true;
});
addEventListener("beforeunload", (event) => { if (!dashboardSaved) event.preventDefault(); });

const offerSharing = (root) => root.querySelectorAll("[data-share]").forEach((button) => show(button, Boolean(navigator.share)));
offerSharing(document);

// ---- Shares remembered on this device, if somebody asked for it -------------------------------------------------

const STORE = "chatpic-shares";
const remembered = () => {
  try {
    const shares = JSON.parse(localStorage.getItem(STORE) || "[]");
    return Array.isArray(shares) ? shares : [];
  } catch { return []; }
};
const remember = (shares) => {
  try { localStorage.setItem(STORE, JSON.stringify(shares.slice(0, 50))); } catch { /* a browser that keeps nothing */ }
};
const listRemembered = () => {
  const list = byId("remembered-list");
  if (!list) return;
  const shares = remembered();
  list.replaceChildren(...shares.map((share) => {
    const item = document.createElement("li");
    item.className = "row";
    const link = document.createElement("a");
    link.href = share.dashboard;
    const ends = new Date(share.ends);
    link.textContent = `${plural(share.count, "image")}, ${ends > new Date() ? "until" : "ended"} ${ends.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`;
    const forget = document.createElement("button");
    forget.type = "button";
    forget.textContent = "Forget";
    forget.setAttribute("aria-label", `Forget ${link.textContent}`);
    forget.addEventListener("click", () => {
      remember(remembered().filter((other) => other.dashboard !== share.dashboard));
      listRemembered();
    });
    item.append(link, forget);
    return item;
  }));
  show(byId("remembered"), shares.length > 0);
};
listRemembered();

const arriveAtResult = () => {
  const result = byId("result");
  if (!result) return;
  dashboardSaved = false;
  localise(result);
  offerSharing(result);
  show(byId("remember-label"));
  byId("remember").addEventListener("change", (event) => {
    const dashboard = byId("dashboard").value;
    const others = remembered().filter((share) => share.dashboard !== dashboard);
    const own = { dashboard, ends: result.dataset.ends, count: Number(result.dataset.count) };
    remember(event.target.checked ? [own, ...others] : others);
    dashboardSaved = event.target.checked || dashboardSaved;
  });
};
arriveAtResult();

// ---- A link's key stands after the # and never reaches a log: it is posted, then gone from the address ---------

const keyForm = byId("key-form");
if (keyForm && keyForm.dataset.wrong === "false" && location.hash.length > 1) {
  byId("key").value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  keyForm.submit();
}

// ---- Passwords ------------------------------------------------------------------------------------------------

const passwordShow = byId("password-show");
const revealPassword = (revealed) => {
  byId("password").type = revealed ? "text" : "password";
  passwordShow.textContent = revealed ? "Hide" : "Show";
  passwordShow.setAttribute("aria-pressed", String(revealed));
};
if (passwordShow) {
  show(passwordShow);
  passwordShow.addEventListener("click", () => revealPassword(byId("password").type === "password"));
}

// ---- Upload ---------------------------------------------------------------------------------------------------

const sizeInWords = (bytes) => bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

// What a file is, told by its first bytes; names and types can lie.
const kindOf = async (file) => {
  const head = new Uint8Array(await file.slice(0, 16).arrayBuffer());
  const text = String.fromCharCode(...head);
  if (head[0] === 0xff && head[1] === 0xd8) return "jpeg";
  if (text.startsWith("\x89PNG")) return "png";
  if (text.startsWith("GIF8")) return "gif";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "webp";
  if (text.slice(4, 8) === "ftyp" && /hei|hev|mif1|msf1/.test(text.slice(8, 16))) return "heic";
  if (text.slice(4, 8) === "ftyp" && text.slice(8, 12) === "avif") return "avif";
  return "other";
};

const objectionTo = async (file, megabytes) => {
  if (file.size === 0) return "This file is empty.";
  let kind;
  try { kind = await kindOf(file); } catch { return "This file can’t be read."; }
  if (kind === "heic") return "HEIC can’t be shared yet. On an iPhone choose Settings, Camera, Formats, ‘Most compatible’, or export it as a JPEG.";
  if (kind === "avif") return "AVIF can’t be shared yet. Save it as JPEG or PNG.";
  if (kind === "other") return "Not a JPEG, PNG, GIF or WebP image.";
  if (file.size > megabytes * 1024 * 1024) return `Larger than ${megabytes} MB. Make it smaller first.`;
  return "";
};

const startUpload = (form) => {
  const input = byId("images");
  const send = byId("send");
  const most = Number(form.dataset.images);
  const megabytes = Number(form.dataset.megabytes);
  const say = (text) => { byId("status").textContent = text; };
  const fail = (text) => { byId("failure").textContent = text; show(byId("failure"), text !== ""); };
  let chosen = [];
  let request = null;
  // A retry of the same upload bears the same key and so makes one share; what is changed is another upload.
  let key = "";
  const renewKey = () => { key = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join(""); };
  renewKey();
  form.addEventListener("input", renewKey);

  const draw = () => {
    const tool = (text, label, act, disabled) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-label", label);
      button.disabled = disabled;
      button.addEventListener("click", act);
      return button;
    };
    byId("thumbs").replaceChildren(...chosen.map((entry, index) => {
      const item = document.createElement("li");
      item.className = entry.objection ? "bad" : "";
      let image;
      if (entry.objection) {
        image = document.createElement("div");
        image.className = "no-image";
      } else {
        image = document.createElement("img");
        image.alt = "";
        image.src = entry.address;
      }
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = name.title = entry.file.name;
      const said = document.createElement("span");
      said.className = "said";
      said.textContent = entry.objection || sizeInWords(entry.file.size);
      const tools = document.createElement("span");
      tools.className = "tools";
      const place = `${entry.file.name}, image ${index + 1} of ${chosen.length}`;
      const move = (by) => () => {
        chosen.splice(index + by, 0, chosen.splice(index, 1)[0]);
        changed();
        say(`${entry.file.name} is now image ${index + by + 1}.`);
        byId("thumbs").children[index + by].querySelector("button:enabled").focus();
      };
      tools.append(
        tool("←", `Move ${place}, forward`, move(-1), index === 0),
        tool("→", `Move ${place}, back`, move(1), index === chosen.length - 1),
        tool("×", `Remove ${place}`, () => {
          URL.revokeObjectURL(entry.address);
          chosen.splice(index, 1);
          changed();
          say(`${entry.file.name} is removed.`);
          (byId("thumbs").children[Math.min(index, chosen.length - 1)]?.querySelector("button:enabled") ?? input).focus();
        }, false),
      );
      item.append(image, name, said, tools);
      return item;
    }));
  };
  const changed = () => {
    renewKey();
    const files = new DataTransfer();
    chosen.forEach(({ file }) => files.items.add(file));
    input.files = files.files;
    draw();
    show(byId("thumbs"), chosen.length > 0);
    const bad = chosen.filter((entry) => entry.objection).length;
    const trouble = [];
    if (chosen.length > most) trouble.push(`At most ${plural(most, "image")} can be shared at once: remove ${chosen.length - most}.`);
    if (bad > 0) trouble.push(`${plural(bad, "file")} can’t be sent. ${bad === 1 ? "Its tile says" : "Their tiles say"} why; remove ${bad === 1 ? "it" : "them"} to go on.`);
    byId("checks").textContent = trouble.join(" ");
    show(byId("checks"), trouble.length > 0);
    send.disabled = trouble.length > 0;
    send.textContent = chosen.length > 0 && trouble.length === 0 ? `Make the link for ${plural(chosen.length, "image")}` : "Make the link";
    fail("");
  };
  const add = async (files) => {
    const entries = await Promise.all([...files].map(async (file) => {
      const objection = await objectionTo(file, megabytes);
      return { file, objection, address: objection ? "" : URL.createObjectURL(file) };
    }));
    chosen.push(...entries);
    changed();
    say(`${plural(chosen.length, "image")} chosen.`);
  };
  input.addEventListener("change", () => {
    // The field's own list is what was chosen just now; what was there before is kept.
    const same = (a, b) => a.name === b.name && a.size === b.size && a.lastModified === b.lastModified;
    const files = [...input.files].filter((file) => !chosen.some((entry) => same(entry.file, file)));
    add(files);
  });
  // The whole zone is the label of the field, so the browser's own button need not be seen.
  input.classList.add("visually-hidden");
  const camera = byId("camera");
  if (matchMedia("(pointer: coarse)").matches) {
    show(byId("with-a-finger"));
    show(byId("with-a-mouse"), false);
  }
  camera.addEventListener("change", () => { add(camera.files); camera.value = ""; });
  show(byId("drop-more"));
  let depth = 0;
  const over = (inside) => document.body.classList.toggle("over", inside);
  addEventListener("dragenter", () => { depth += 1; over(true); });
  addEventListener("dragleave", () => { depth -= 1; over(depth > 0); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    if (document.contains(form) && !request) add(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (document.contains(form) && !request && event.clipboardData.files.length > 0) add(event.clipboardData.files);
  });

  const expires = byId("expires_in");
  expires.add(new Option("Exactly…", "exact"));
  expires.addEventListener("change", () => show(byId("exact"), expires.value === "exact"));
  const exactSeconds = () => Math.round(Number(byId("exact-number").value) * Number(byId("exact-unit").value));
  show(byId("views-presets"));
  byId("views-presets").addEventListener("click", (event) => {
    if (!event.target.matches("button")) return;
    byId("max_views").value = event.target.dataset.views;
    renewKey();
  });
  show(byId("password-presets"));
  byId("password-make").addEventListener("click", () => {
    // 12 letters and digits that can't be mistaken for each other: 60 bits.
    const alphabet = "abcdefghijkmnpqrstuvwxyz23456789";
    const random = crypto.getRandomValues(new Uint8Array(12));
    byId("password").value = [...random].map((byte) => alphabet[byte % 32]).join("").replace(/(....)(?=.)/g, "$1-");
    revealPassword(true);
    renewKey();
  });

  const sending = (on) => {
    show(byId("sending"), on);
    show(send, !on);
    byId("fields").disabled = on;
    if (!on) request = null;
  };
  byId("cancel").addEventListener("click", () => {
    request.abort();
    sending(false);
    say("Cancelled. Nothing was shared.");
    send.focus();
  });
  const advance = (loaded, total) => {
    byId("progress").value = loaded / total;
    const marking = loaded >= total;
    byId("progress-label").textContent = marking ? "Marking your images…" : `Sending, ${Math.round(100 * loaded / total)} %`;
    // The files go in order, so each one's own share of the way is known.
    let before = 0;
    chosen.forEach(({ file }, index) => {
      const item = byId("thumbs").children[index];
      const bar = item.querySelector("progress") ?? item.insertBefore(document.createElement("progress"), item.querySelector(".tools"));
      bar.max = file.size;
      bar.value = Math.min(Math.max(loaded - before, 0), file.size);
      bar.setAttribute("aria-label", `Sending ${file.name}`);
      before += file.size;
    });
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const data = new FormData(form);
    if (expires.value === "exact") {
      const seconds = exactSeconds();
      const [least, longest] = [Number(form.dataset.minMinutes) * 60, Number(form.dataset.maxDays) * 86400];
      if (!(seconds >= least && seconds <= longest)) return fail(`Choose a time between ${words(least)} and ${words(longest)}.`);
      data.set("expires_in", String(seconds));
    }
    fail("");
    sending(true);
    advance(0, 1);
    say("Sending.");
    byId("cancel").focus();
    request = new XMLHttpRequest();
    request.open("POST", location.pathname);
    request.setRequestHeader("Idempotency-Key", key);
    request.responseType = "document";
    request.upload.onprogress = ({ loaded, total }) => advance(loaded, total);
    const broken = () => {
      sending(false);
      send.textContent = "Try again";
      fail("The connection broke. Nothing is lost: your images are still here. Try again when you are online.");
      send.focus();
    };
    request.onerror = broken;
    request.onload = () => {
      const page = request.response;
      const result = page?.getElementById("result");
      if (!result) {
        const problem = page?.getElementById("detail");
        if (!problem) return broken();
        sending(false);
        draw();
        fail(`${problem.textContent.replace(/^./, (letter) => letter.toUpperCase())}. ${page.getElementById("advice").textContent.trim()}`);
        send.focus();
        return;
      }
      document.querySelector("main").replaceChildren(document.adoptNode(result));
      document.title = page.title;
      arriveAtResult();
      scrollTo(0, 0);
      const heading = document.querySelector("h1");
      heading.tabIndex = -1;
      heading.focus();
    };
    request.send(data);
  });
};
if (byId("upload")) startUpload(byId("upload"));

// ---- Viewer ---------------------------------------------------------------------------------------------------

const startViewer = (viewer) => {
  const path = viewer.dataset.path;
  const images = [...viewer.querySelectorAll(".gallery img")];
  const lightbox = byId("lightbox");
  const stage = byId("lightbox-stage");
  let current = 0;
  let poll = 0;
  let events = null;

  blank = () => {
    blank = () => {};
    clearInterval(poll);
    events?.close();
    if (lightbox.open) lightbox.close();
    [...images, ...stage.children].forEach((image) => { image.removeAttribute("srcset"); image.src = ""; });
    lightbox.remove();
    viewer.remove();
    document.title = "This viewing is over";
    show(byId("over"));
    byId("over").querySelector("h1").focus();
  };
  // The server says when it is over; where its stream does not come through, the page asks.
  if (viewer.dataset.events) {
    events = new EventSource(viewer.dataset.events);
    events.addEventListener("end", () => blank());
  }
  poll = setInterval(async () => {
    if (events?.readyState === EventSource.OPEN) return;
    try {
      const answer = await fetch(`${path}/current`, { cache: "no-store" });
      if (answer.ok && (await answer.json()).seconds_left === 0) blank();
    } catch { /* offline: the countdown and the next poll decide */ }
  }, 1000);

  // Casual saving is made a little harder; whoever wants to can. The marks are what counts.
  for (const what of ["contextmenu", "dragstart"]) {
    for (const where of [viewer, lightbox]) where.addEventListener(what, (event) => event.preventDefault());
  }

  const zoom = (on) => {
    stage.classList.toggle("zoomed", on);
    byId("lightbox-zoom").setAttribute("aria-pressed", String(on));
    byId("lightbox-zoom").textContent = on ? "Fit" : "Zoom";
  };
  const display = (index) => {
    current = (index + images.length) % images.length;
    const image = document.createElement("img");
    // An animation is as it is in the gallery, playing or held.
    image.src = images[current].dataset.still ? images[current].getAttribute("src") : images[current].dataset.full;
    image.alt = images[current].alt;
    image.draggable = false;
    stage.replaceChildren(image);
    zoom(false);
    byId("lightbox-place").textContent = `Image ${current + 1} of ${images.length}`;
  };
  images.forEach((image, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-label", `Enlarge. ${image.alt}`);
    (image.closest("picture") ?? image).replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => { display(index); lightbox.showModal(); stage.focus(); });
    if (image.dataset.still) addMotionControl(image, button);
  });
  for (const step of [byId("lightbox-back"), byId("lightbox-on")]) show(step, images.length > 1);
  byId("lightbox-back").addEventListener("click", () => display(current - 1));
  byId("lightbox-on").addEventListener("click", () => display(current + 1));
  byId("lightbox-close").addEventListener("click", () => lightbox.close());
  byId("lightbox-zoom").addEventListener("click", () => zoom(!stage.classList.contains("zoomed")));
  stage.addEventListener("click", (event) => { if (event.target.matches("img")) zoom(!stage.classList.contains("zoomed")); });
  lightbox.addEventListener("keydown", (event) => {
    if (stage.classList.contains("zoomed")) return;
    if (event.key === "ArrowLeft") display(current - 1);
    if (event.key === "ArrowRight") display(current + 1);
  });
  lightbox.addEventListener("close", () => {
    stage.replaceChildren();
    viewer.querySelectorAll(".enlarge")[current]?.focus();
  });
  // A swipe turns the page; with two fingers, or zoomed, the browser pans and zooms by itself.
  let from = null;
  stage.addEventListener("touchstart", ({ touches }) => { from = touches.length === 1 ? [touches[0].clientX, touches[0].clientY] : null; }, { passive: true });
  stage.addEventListener("touchend", ({ changedTouches }) => {
    if (!from || stage.classList.contains("zoomed") || (visualViewport && visualViewport.scale > 1.05)) return;
    const [x, y] = [changedTouches[0].clientX - from[0], changedTouches[0].clientY - from[1]];
    if (Math.abs(x) > 60 && Math.abs(x) > 2 * Math.abs(y)) display(current + (x < 0 ? 1 : -1));
    from = null;
  }, { passive: true });
};

// An animation can be held: its first frame, a copy marked like the rest, takes its place. Those who asked their system
// for less motion begin with it.
const addMotionControl = (image, button) => {
  const { full, still } = image.dataset;
  const control = document.createElement("button");
  control.type = "button";
  control.className = "motion";
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const draw = () => {
    const source = playing ? full : still;
    if (image.getAttribute("src") !== source) image.src = source;
    control.textContent = playing ? "Pause" : "Play";
    control.setAttribute("aria-label", `${control.textContent}. ${image.alt}`);
  };
  control.addEventListener("click", () => { playing = !playing; draw(); });
  button.after(control);
  draw();
};
if (byId("viewer")) startViewer(byId("viewer"));

// ---- Dashboard ------------------------------------------------------------------------------------------------

const startDashboard = (page) => {
  const path = page.dataset.path;
  // The server draws; what it drew anew takes the place of the figures, and no form in use is touched.
  const refresh = async () => {
    const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!fresh.getElementById("dashboard-page")) return;
    if (fresh.getElementById("dashboard-page").dataset.status !== page.dataset.status) return location.reload();
    for (const id of ["live", "activity"]) {
      const part = document.adoptNode(fresh.getElementById(id));
      byId(id).replaceWith(part);
      localise(part);
    }
  };
  let seen = "";
  const look = async () => {
    try {
      const answer = await fetch(`${path}/state`, { cache: "no-store" });
      if (!answer.ok) return;
      const { status, views, expires_at, blocked, sessions, receipt } = await answer.json();
      const now = JSON.stringify([status, views, expires_at, blocked, sessions.map((s) => s.images_seen), receipt]);
      const before = byId("views").textContent;
      if (seen !== "" && now !== seen) await refresh();
      if (String(views) !== before) byId("news").textContent = `Opened: ${plural(views, "view")} so far.`;
      seen = now;
    } catch { /* offline: the next look decides */ }
  };
  look();
  // The server tells of views at once; of images seen, and where its stream does not come through, the page asks.
  const events = new EventSource(`${path}/events`);
  events.addEventListener("counts", look);
  events.addEventListener("trace", ({ data }) => {
    const progress = byId("trace-progress");
    if (progress.hidden) return;
    progress.max = 100;
    progress.value = JSON.parse(data).percent;
  });
  let beat = 0;
  setInterval(() => {
    beat += 1;
    if (events.readyState !== EventSource.OPEN || beat % 10 === 0) look();
  }, 2000);

  const form = byId("trace-form");
  const leak = byId("leak");
  leak.classList.add("visually-hidden");
  leak.addEventListener("change", () => { byId("trace-drop").querySelector(".drop-title").textContent = leak.files[0]?.name ?? "Choose the leaked picture"; });
  const say = (text) => { byId("trace-status").textContent = text; };
  const drop = byId("trace-drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length === 0) return;
    leak.files = event.dataTransfer.files;
    leak.dispatchEvent(new Event("change"));
    form.requestSubmit();
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length === 0) return;
    leak.files = event.clipboardData.files;
    leak.dispatchEvent(new Event("change"));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    const progress = byId("trace-progress");
    const request = new XMLHttpRequest();
    request.open("POST", form.action.split("#")[0]);
    request.responseType = "document";
    const done = (text) => { button.disabled = false; show(progress, false); say(text); };
    request.upload.onprogress = ({ loaded, total }) => {
      if (loaded < total) { progress.max = total; progress.value = loaded; say("Sending…"); }
      else { progress.removeAttribute("value"); say("Looking for the mark. This can take half a minute…"); }
    };
    request.onerror = () => done("The connection broke. Try again.");
    request.onload = () => {
      const result = request.response?.getElementById("trace-result");
      const problem = request.response?.getElementById("detail");
      if (!result) return done(problem ? `${problem.textContent}. ${request.response.getElementById("advice").textContent.trim()}` : "That went wrong. Try again.");
      byId("trace-result").replaceChildren(...document.adoptNode(result).childNodes);
      localise(byId("trace-result"));
      done("Done.");
    };
    button.disabled = true;
    show(progress);
    progress.removeAttribute("value");
    say("Sending…");
    request.send(new FormData(form));
  });
};
if (byId("dashboard-page")) startDashboard(byId("dashboard-page"));
