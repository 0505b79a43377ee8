// Makes the pages comfortable: progress, live figures, countdowns. What a page is for works without it.
"use strict";

const byId = (id) => document.getElementById(id);
const show = (element, shown = true) => { if (element) element.hidden = !shown; };

// ---- Words: from the catalogue that pages have theirs from, in the form that the number takes -------------------

const plurals = new Intl.PluralRules(LANGUAGE);
const numbers = new Intl.NumberFormat();
const say = (path, values = {}) => {
  const form = "count" in values ? TEXTS[`${path}_${plurals.select(values.count)}`] ?? TEXTS[`${path}_other`] : undefined;
  const text = form ?? TEXTS[path] ?? path;
  return text.replace(/\{\{(\w+)\}\}/g, (_, name) => (typeof values[name] === "number" ? numbers.format(values[name]) : values[name]));
};
const percent = (part) => part.toLocaleString(undefined, { style: "percent", maximumFractionDigits: 0 });
const shortTime = (instant) => instant.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

// ---- Times and places, in the reader's own language and zone -------------------------------------------------

const words = (seconds) => {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const first = units.findIndex(([, length]) => seconds >= length);
  if (first < 0) return say("time.none");
  const parts = units.slice(first, first + 2).map(([name, length], i) => {
    const count = Math.floor((i === 0 ? seconds : seconds % units[first][1]) / length);
    return [name, count];
  });
  return parts.filter(([, count]) => count > 0).map(([name, count]) => say(`time.${name}`, { count })).join(" ");
};

const countryNames = (() => {
  try { return new Intl.DisplayNames(undefined, { type: "region" }); } catch { return null; }
})();

const localise = (root) => {
  root.querySelectorAll("time").forEach((element) => {
    const instant = new Date(element.dateTime);
    if (Number.isNaN(instant.getTime())) return;
    element.textContent = shortTime(instant);
  });
  root.querySelectorAll("data").forEach((element) => { element.textContent = numbers.format(element.value); });
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

// What a page does as the time that closes it runs out, given the seconds left.
let runsOut = () => {};
const tick = () => document.querySelectorAll("[data-countdown]").forEach((element) => {
  const left = Number(element.dataset.countdown) - (performance.now() - Number(element.dataset.from)) / 1000;
  element.textContent = words(Math.max(0, Math.round(left)));
  if (!("blanks" in element.dataset)) return;
  if (left <= 60 && byId("closing").textContent === "") byId("closing").textContent = say("script.minutes_left", { time: words(Math.max(0, Math.round(left))) });
  runsOut(left);
});
tick();
setInterval(tick, 1000);

const online = () => show(byId("offline"), !navigator.onLine);
addEventListener("online", online);
addEventListener("offline", online);
online();
// Without a network, a form would be traded for the browser's own error page, and what was written would be lost.
addEventListener("submit", (event) => {
  if (navigator.onLine) return;
  event.preventDefault();
  event.stopPropagation();
  byId("offline").textContent = say("script.offline");
}, true);

// ---- Copying and passing on ----------------------------------------------------------------------------------

// The dashboard link is shown once: whoever leaves without it is asked, by the page or by the browser.
let dashboardSaved = true;

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[href]");
  if (link?.closest("#open-dashboard, #leave")) dashboardSaved = true;
  if (link && !dashboardSaved && link.target !== "_blank" && !link.getAttribute("href").startsWith("#")) {
    event.preventDefault();
    byId("leave-anyway").href = link.href;
    byId("leave").showModal();
    return;
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const field = byId(copy.dataset.copy);
    field.select();
    try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
    if (field.id === "dashboard") dashboardSaved = true;
    byId("leave")?.close();
    const shown = document.querySelector(`[data-copy=${field.id}]`);
    shown.textContent = say("script.copied");
    byId("said").textContent = say("script.copied_said");
    setTimeout(() => { shown.textContent = say("script.copy"); byId("said").textContent = ""; }, 4000);
  }
  const share = event.target.closest("[data-share]");
  if (share) {
    try { await navigator.share({ url: byId(share.dataset.share).value }); } catch { /* the person changed their mind */ }
  }
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
    link.textContent = say(ends > new Date() ? "script.until" : "script.ended", { count: share.count, time: shortTime(ends) });
    const forget = document.createElement("button");
    forget.type = "button";
    forget.textContent = say("script.forget");
    forget.setAttribute("aria-label", say("script.forget_which", { which: link.textContent }));
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
// Whose page this is, wherever the site stands: s is a viewer's, d the uploader's.
const kind = /.*\/([sd])\/[\w-]{16}/.exec(location.pathname)?.[1];
if (keyForm && keyForm.dataset.wrong === "false") {
  const { href, hash, pathname } = location;
  const path = new URL(keyForm.action).pathname;
  // What a messenger made of the link may have the key in its path; the server finds it in the whole.
  if (hash.length > 1 || pathname !== path) {
    byId("key").value = href;
    history.replaceState(null, "", path);
    // Redirects keep a fragment: a dashboard's address keeps its key, so that it can be bookmarked.
    if (kind === "d") keyForm.action += hash;
    keyForm.submit();
  }
} else if (kind === "s" && /[\w-]{22}/.test(location.hash)) {
  history.replaceState(null, "", location.pathname + location.search);
}

// A question leads back to the dashboard, whose address keeps its key.
const answer = byId("confirm");
if (answer) {
  answer.form.action += location.hash;
  byId("confirm-no").href += location.hash;
}

// ---- Passwords ------------------------------------------------------------------------------------------------

const passwordShow = byId("password-show");
const revealPassword = (revealed) => {
  byId("password").type = revealed ? "text" : "password";
  passwordShow.textContent = say(revealed ? "script.hide" : "script.show");
  passwordShow.setAttribute("aria-pressed", String(revealed));
};
if (passwordShow) {
  show(passwordShow);
  passwordShow.addEventListener("click", () => revealPassword(byId("password").type === "password"));
}

// ---- Upload ---------------------------------------------------------------------------------------------------

const sizeInWords = (bytes) => {
  const [size, unit, digits] = bytes < 1e6 ? [Math.max(1, bytes / 1e3), "kilobyte", 0] : [bytes / 1e6, "megabyte", 1];
  return size.toLocaleString(undefined, { style: "unit", unit, maximumFractionDigits: digits });
};

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

// Why a file can't be sent, as the end of a text's path; empty when it can.
const objectionTo = async (file, megabytes) => {
  if (file.size === 0) return "empty";
  let kind;
  try { kind = await kindOf(file); } catch { return "unreadable"; }
  if (["heic", "avif", "other"].includes(kind)) return kind;
  return file.size > megabytes * 1024 * 1024 ? "large" : "";
};

const startUpload = (form) => {
  const input = byId("images");
  const send = byId("send");
  const most = Number(form.dataset.images);
  const megabytes = Number(form.dataset.megabytes);
  const tell = (text) => { byId("status").textContent = text; };
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
      const image = document.createElement(entry.objection ? "div" : "img");
      if (entry.objection) {
        image.className = "no-image";
      } else {
        image.alt = "";
        image.src = entry.address;
        image.draggable = false;
      }
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = name.title = entry.file.name;
      const said = document.createElement("span");
      said.className = "said";
      const size = sizeInWords(entry.file.size);
      said.textContent = entry.objection ? say(`script.${entry.objection}`, { size, megabytes }) : size;
      const tools = document.createElement("span");
      tools.className = "tools";
      const place = say("script.place", { name: entry.file.name, number: index + 1, count: chosen.length });
      const move = (by) => () => {
        relocate(index, index + by);
        byId("thumbs").children[index + by].querySelector("button:enabled").focus();
      };
      tools.append(
        tool("←", say("script.forward", { place }), move(-1), index === 0),
        tool("→", say("script.back", { place }), move(1), index === chosen.length - 1),
        tool("×", say("script.remove", { place }), () => {
          remove([entry]);
          tell(say("script.removed", { name: entry.file.name }));
          (byId("thumbs").children[Math.min(index, chosen.length - 1)]?.querySelector("button:enabled") ?? input).focus();
        }, false),
      );
      item.append(image, name, said, tools);
      item.addEventListener("pointerdown", carry(item, entry));
      return item;
    }));
  };
  const relocate = (from, to) => {
    const [entry] = chosen.splice(from, 1);
    chosen.splice(to, 0, entry);
    changed();
    tell(say("script.moved", { name: entry.file.name, number: to + 1 }));
  };
  const remove = (entries) => {
    entries.forEach(({ address }) => URL.revokeObjectURL(address));
    chosen = chosen.filter((entry) => !entries.includes(entry));
    changed();
  };
  // A tile that is drawn onto another takes its place.
  const carry = (item, entry) => (down) => {
    if (!down.isPrimary || down.button !== 0 || down.target.closest("button") || request) return;
    let goal = null;
    const aim = (tile) => {
      goal?.classList.remove("goal");
      goal = tile === item ? null : tile;
      goal?.classList.add("goal");
    };
    const move = ({ clientX, clientY }) => {
      item.classList.add("carried");
      aim(document.elementFromPoint(clientX, clientY)?.closest(".thumbs li") ?? null);
    };
    const end = ({ type }) => {
      document.removeEventListener("pointermove", move);
      for (const way of ["pointerup", "pointercancel"]) document.removeEventListener(way, end);
      item.classList.remove("carried");
      const to = type === "pointerup" && goal ? [...byId("thumbs").children].indexOf(goal) : -1;
      aim(null);
      if (to >= 0) relocate(chosen.indexOf(entry), to);
    };
    document.addEventListener("pointermove", move);
    for (const way of ["pointerup", "pointercancel"]) document.addEventListener(way, end);
  };
  // What is wrong with the choice as a whole, what to do about it, and a button that does it.
  const check = () => {
    const bad = chosen.filter((entry) => entry.objection);
    const lines = [];
    if (bad.length > 0) lines.push(say("script.sent_not", { count: bad.length }));
    for (const kind of ["heic", "avif", "large"]) {
      if (bad.some((entry) => entry.objection === kind)) lines.push(say(`script.${kind}_do`));
    }
    if (chosen.length > most) lines.push(say("script.too_many", { most, count: chosen.length - most }));
    byId("checks").replaceChildren(...lines.map((line) => {
      const paragraph = document.createElement("p");
      paragraph.textContent = line;
      return paragraph;
    }));
    const surplus = bad.length > 0 ? bad : chosen.slice(most);
    if (lines.length > 0) {
      const button = document.createElement("button");
      button.type = "button";
      button.id = "remove-bad";
      button.textContent = say("script.remove_bad", { count: surplus.length });
      button.addEventListener("click", () => { remove(surplus); (send.disabled ? byId("remove-bad") : send).focus(); });
      byId("checks").append(button);
    }
    show(byId("checks"), lines.length > 0);
    send.disabled = lines.length > 0;
  };
  const changed = () => {
    renewKey();
    const files = new DataTransfer();
    chosen.forEach(({ file }) => files.items.add(file));
    input.files = files.files;
    draw();
    show(byId("thumbs"), chosen.length > 0);
    check();
    send.textContent = chosen.length > 0 && !send.disabled ? say("script.send", { count: chosen.length }) : say("script.send");
    fail("");
  };
  const add = async (files) => {
    const entries = await Promise.all([...files].map(async (file) => {
      const objection = await objectionTo(file, megabytes);
      return { file, objection, address: objection ? "" : URL.createObjectURL(file) };
    }));
    chosen.push(...entries);
    changed();
    tell(say("script.chosen", { count: chosen.length }));
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
  expires.add(new Option(say("script.exact"), "exact"));
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
    tell(say("script.cancelled"));
    send.focus();
  });
  let quarter = 0;
  const advance = (loaded, total) => {
    byId("progress").value = loaded / total;
    const words = loaded >= total ? say("script.marking") : say("script.sending", { percent: percent(loaded / total) });
    byId("progress-label").textContent = words;
    // Read out at each quarter, not at each step.
    if (Math.floor(4 * loaded / total) > quarter) {
      quarter = Math.floor(4 * loaded / total);
      tell(words);
    }
    // The files go in order, so each one's own share of the way is known.
    let before = 0;
    chosen.forEach(({ file }, index) => {
      const item = byId("thumbs").children[index];
      const bar = item.querySelector("progress") ?? item.insertBefore(document.createElement("progress"), item.querySelector(".tools"));
      bar.max = file.size;
      bar.value = Math.min(Math.max(loaded - before, 0), file.size);
      bar.setAttribute("aria-label", say("script.sending_file", { name: file.name }));
      before += file.size;
    });
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const data = new FormData(form);
    if (expires.value === "exact") {
      const seconds = exactSeconds();
      const [least, longest] = [Number(form.dataset.minSeconds), Number(form.dataset.maxSeconds)];
      if (!(seconds >= least && seconds <= longest)) return fail(say("script.between", { least: words(least), longest: words(longest) }));
      data.set("expires_in", String(seconds));
    }
    fail("");
    sending(true);
    quarter = 0;
    advance(0, 1);
    tell(say("script.sending_said"));
    byId("cancel").focus();
    request = new XMLHttpRequest();
    request.open("POST", location.pathname);
    request.setRequestHeader("Idempotency-Key", key);
    request.responseType = "document";
    request.upload.onprogress = ({ loaded, total }) => advance(loaded, total);
    const broken = () => {
      sending(false);
      draw();
      send.textContent = say("script.again");
      fail(say("script.broken"));
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
        fail(`${problem.textContent} ${page.getElementById("advice").textContent.trim()}`);
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
  let seen = performance.now();
  let asking = false;

  const blank = () => {
    if (!viewer.isConnected) return;
    runsOut = () => {};
    clearInterval(poll);
    events?.close();
    if (lightbox.open) lightbox.close();
    [...images, ...stage.children].forEach((image) => { image.removeAttribute("srcset"); image.src = ""; });
    lightbox.remove();
    viewer.remove();
    document.title = say("script.over");
    show(byId("over"));
    byId("over").querySelector("h1").focus();
  };
  const time = viewer.querySelector("[data-blanks]");
  const take = (left) => {
    if (left === 0) return blank();
    if (!viewer.isConnected) return;
    Object.assign(time.dataset, { countdown: left, from: performance.now() });
    if (left > 60) byId("closing").textContent = "";
  };
  const look = async (where, options) => {
    try {
      const answer = await fetch(`${path}/${where}`, { cache: "no-store", ...options });
      if (answer.ok) take((await answer.json()).seconds_left);
      else if (answer.status === 401) take(0);
    } catch { /* offline: the countdown and the next look decide */ }
  };
  const ask = async () => {
    if (asking) return;
    asking = true;
    await look("current");
    asking = false;
  };
  // The session may have been prolonged: the page asks before it blanks itself. The seconds left are rounded down, so it
  // has one more for the answer.
  runsOut = (left) => {
    if (left <= -1) blank();
    else if (left <= 2) ask();
  };
  // The server says when it is over, and when there is more time; where its stream does not come through, the page asks.
  if (viewer.dataset.events) {
    events = new EventSource(viewer.dataset.events);
    events.addEventListener("end", blank);
    events.addEventListener("session", ({ data }) => take(JSON.parse(data).seconds_left));
  }
  poll = setInterval(() => {
    // A page in view says so, which prolongs its session; one in a background tab does not.
    if (document.visibilityState === "visible" && performance.now() - seen >= Number(viewer.dataset.seenEvery)) {
      seen = performance.now();
      look("seen", { method: "POST", body: new URLSearchParams({ token: viewer.dataset.token }) });
    } else if (events?.readyState !== EventSource.OPEN) {
      ask();
    }
  }, 1000);
  // An image that was loaded has prolonged the session too.
  images.forEach((image) => image.addEventListener("load", ask));

  // Casual saving is made a little harder; whoever wants to can. The marks are what counts.
  for (const what of ["contextmenu", "dragstart"]) {
    for (const where of [viewer, lightbox]) where.addEventListener(what, (event) => event.preventDefault());
  }

  const zoom = (on) => {
    stage.classList.toggle("zoomed", on);
    byId("lightbox-zoom").setAttribute("aria-pressed", String(on));
    byId("lightbox-zoom").textContent = say(on ? "script.fit" : "script.zoom");
  };
  const display = (index) => {
    current = (index + images.length) % images.length;
    const image = document.createElement("img");
    // An animation is as it is in the gallery, playing or held.
    image.src = images[current].dataset.still ? images[current].getAttribute("src") : images[current].dataset.full;
    image.alt = images[current].alt;
    image.draggable = false;
    image.addEventListener("load", ask);
    stage.replaceChildren(image);
    zoom(false);
    byId("lightbox-place").textContent = say("script.place_large", { number: current + 1, count: images.length });
  };
  images.forEach((image, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-label", say("script.enlarge", { alt: image.alt }));
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
    control.textContent = say(playing ? "script.pause" : "script.play");
    control.setAttribute("aria-label", say("script.motion", { action: control.textContent, alt: image.alt }));
  };
  control.addEventListener("click", () => { playing = !playing; draw(); });
  button.after(control);
  draw();
};
if (byId("viewer")) startViewer(byId("viewer"));

// ---- Dashboard ------------------------------------------------------------------------------------------------

const startDashboard = (page) => {
  const path = page.dataset.path;
  // What leads back here keeps the key in the address; the preview is a viewer's page.
  page.addEventListener("submit", ({ target }) => { if (!/#|preview$/.test(target.action)) target.action += location.hash; });
  // The server draws; what it drew anew takes the place of the figures, and no form in use is touched.
  const refresh = async () => {
    const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!fresh.getElementById("dashboard-page")) return;
    if (fresh.getElementById("dashboard-page").dataset.status !== page.dataset.status) {
      // A trace under way goes on; what it finds is shown first.
      if (!tracing) location.reload();
      return;
    }
    for (const id of ["live", "activity"]) {
      const part = document.adoptNode(fresh.getElementById(id));
      byId(id).replaceWith(part);
      localise(part);
    }
  };
  let tracing = null;
  let seen = "";
  const look = async () => {
    try {
      const answer = await fetch(`${path}/state`, { cache: "no-store" });
      if (!answer.ok) return;
      const { status, views, expires_at, blocked, sessions, receipt } = await answer.json();
      const now = JSON.stringify([status, views, expires_at, blocked, sessions.map((s) => s.images_seen), receipt]);
      const before = Number(byId("views").firstElementChild.value);
      if (seen !== "" && now !== seen) await refresh();
      if (views !== before) byId("news").textContent = say("script.opened", { count: views });
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
  leak.addEventListener("change", () => { byId("trace-drop").querySelector(".drop-title").textContent = leak.files[0]?.name ?? say("script.leak"); });
  const tell = (text) => { byId("trace-status").textContent = text; };
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
    const progress = byId("trace-progress");
    const request = new XMLHttpRequest();
    request.open("POST", form.action.split("#")[0]);
    request.responseType = "document";
    const running = (on) => {
      tracing = on ? request : null;
      byId("trace-button").disabled = on;
      show(byId("trace-cancel"), on);
      show(progress, on);
      progress.removeAttribute("value");
    };
    const done = (text) => {
      const focused = document.activeElement === byId("trace-cancel");
      running(false);
      tell(text);
      if (focused) byId("trace-button").focus();
    };
    request.upload.onprogress = ({ loaded, total }) => {
      if (loaded < total) [progress.max, progress.value] = [total, loaded];
    };
    request.upload.onload = () => {
      progress.removeAttribute("value");
      tell(say("script.trace_looking"));
    };
    request.onerror = () => done(say("script.trace_broken"));
    // The server sees that nobody waits any more, and stops.
    request.onabort = () => done(say("script.trace_cancelled"));
    request.onload = () => {
      const result = request.response?.getElementById("trace-result");
      const problem = request.response?.getElementById("detail");
      if (!result) return done(problem ? `${problem.textContent} ${request.response.getElementById("advice").textContent.trim()}` : say("script.trace_wrong"));
      byId("trace-result").replaceChildren(...document.adoptNode(result).childNodes);
      localise(byId("trace-result"));
      done(say("script.trace_done"));
      byId("trace-result").scrollIntoView({ block: "nearest" });
    };
    byId("trace-result").replaceChildren();
    running(true);
    tell(say("script.trace_sending"));
    byId("trace-cancel").focus();
    request.send(new FormData(form));
  });
  byId("trace-cancel").addEventListener("click", () => tracing?.abort());
};
if (byId("dashboard-page")) startDashboard(byId("dashboard-page"));
