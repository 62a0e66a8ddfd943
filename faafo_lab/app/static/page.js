// Keeps the page current, and shows a fractal whole. Without this script the page is whole, too.
//
// It asks the server for this same page, with the ETag of what is shown, and lets the document become the answer: there
// is one template, the server's, and nothing is put together here. New fractals come in where nobody is disturbed: while
// the top of the first page is in sight and nothing in the gallery has the focus. Elsewhere a link says how many there are.

const POLL_MS = 2000; // while something changes
const IDLE_MS = 5000; // while nothing does
const AWAY_MS = 10000; // while nobody answers, at most
const LIMIT_MS = 15000; // for an answer
const SHARE = 20; // no more than a twentieth of the time is spent asking: a loaded API is asked less …
const LOADED_MS = 30000; // … but at least so often
const STILL_MS = 2000; // a pointer that rests so long disturbs nothing
const PICTURE_LIMIT_MS = 3000; // for new pictures, before they are shown

const $ = (id, root = document) => root.getElementById(id);
const page = $("page");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let etag = page.dataset.etag;
let made = Number(page.dataset.made); // as many as there were when the gallery was shown
let held = null; // a newer gallery, not shown yet
let pause = POLL_MS;
let timer = 0;
let asking = false;
let live = sessionStorage.getItem("live") !== "no";
let answered = new Date();
let pointed = -Infinity;

// Asking

function later(ms) {
  clearTimeout(timer);
  if (live && !document.hidden) timer = setTimeout(ask, ms * (0.9 + 0.2 * Math.random())); // a class does not ask in step
}

async function ask() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  const begun = performance.now();
  let took = 0;
  try {
    const answer = await fetch(location.href, {
      headers: { "Cache-Control": "max-age=1", ...(etag && { "If-None-Match": etag }) },
      cache: "no-store",
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    took = performance.now() - begun;
    await hear(answer);
  } catch {
    away("No answer from the server");
  }
  asking = false;
  later(Math.max(pause, Math.min(SHARE * took, LOADED_MS)));
}

async function hear(answer) {
  if (answer.status === 304) {
    pause = Math.min(pause * 1.2, IDLE_MS);
    back();
    await settle();
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const kind = $("page", fresh)?.dataset.kind; // none: this is somebody else's page, such as a proxy's
  if (kind === "gallery" && page.dataset.kind !== "gallery") return location.reload();
  if (kind === "refusal") {
    back();
    pause = IDLE_MS;
    say($("message", fresh).textContent);
  } else if (kind !== "gallery") {
    away(kind ? $("message", fresh).textContent.replace(/\.$/, "") : "No answer from the application");
  } else {
    etag = answer.headers.get("ETag");
    pause = POLL_MS;
    back();
    await show(fresh);
  }
}

function away(why) {
  const gone = document.documentElement.classList.contains("away");
  document.documentElement.classList.add("away");
  pause = gone ? Math.min(pause * 2, AWAY_MS) : POLL_MS / 2;
  if (page.dataset.kind === "gallery") {
    say(`${why}. The page shows ${answered.toLocaleTimeString()}; trying again.`);
  }
  button();
}

function back() {
  answered = new Date();
  if ($("status")?.className === "seen") say("The page is current again.", "heard");
  document.documentElement.classList.remove("away");
  button();
}

// Say it to all ("seen"), or to those alone who listen to the page ("heard")
function say(words, how = "seen") {
  const status = $("status");
  if (!status || status.textContent === words) return;
  status.className = how;
  status.textContent = words;
}

// Showing

async function show(fresh) {
  const focused = document.activeElement;
  const home = focused?.closest("[id]");
  for (const id of ["counts", "crew", "served"]) become($(id), $(id, fresh));
  become($("pages"), $("pages", fresh));
  if (home?.isConnected && !focused.isConnected) focus(home); // what had the focus is gone: stay beside it
  held = cards(fresh).map((card) => card.id).join() === cards().map((card) => card.id).join() ? null : fresh;
  if (!held) made = Number($("page", fresh).dataset.made);
  await settle();
}

// Show the newer gallery, or say that there is one
async function settle() {
  if (held && page.dataset.page === "1" && !disturbing()) {
    const fresh = held;
    await pictures(fresh);
    if (held === fresh && !disturbing()) reveal();
  }
  news();
}

function news() {
  const link = $("news").firstElementChild;
  const more = held ? Number($("page", held).dataset.made) - made : 0;
  const words = more > 0 ? `${more.toLocaleString("en")} new fractal${more === 1 ? "" : "s"}` : "The fractals have changed";
  if (held && link.hidden) say("There are new fractals.", "heard");
  link.hidden = !held;
  link.textContent = held ? words : "";
}

// Whether new fractals would move what is being read, pointed at or focused
function disturbing() {
  const gallery = $("gallery");
  return (
    gallery.getBoundingClientRect().top < 0 ||
    $("viewer").open ||
    gallery.contains(document.activeElement) ||
    (performance.now() - pointed < STILL_MS && gallery.matches(":hover")) ||
    gallery.querySelector("details[open]") !== null ||
    (!getSelection().isCollapsed && gallery.contains(getSelection().anchorNode))
  );
}

function reveal() {
  const before = new Map(cards().map((card) => [card.id, card.getBoundingClientRect()]));
  become($("gallery"), $("gallery", held));
  made = Number($("page", held).dataset.made);
  held = null;
  if (calm.matches) return;
  for (const card of cards()) {
    const [was, is] = [before.get(card.id), card.getBoundingClientRect()];
    const from = was
      ? { transform: `translate(${was.x - is.x}px, ${was.y - is.y}px)` }
      : { opacity: 0, transform: "scale(0.96)" };
    card.animate([from, {}], { duration: 450, easing: "cubic-bezier(0.2, 0.7, 0.2, 1)" });
  }
}

// Wait until the pictures that come are here, so that none appears empty
function pictures(fresh) {
  const coming = cards(fresh)
    .filter((card) => !$(card.id))
    .map((card) => {
      const picture = new Image();
      picture.src = new URL(card.querySelector("img").getAttribute("src"), location.href).href;
      return new Promise((done) => (picture.onload = picture.onerror = done));
    });
  return Promise.race([Promise.all(coming), new Promise((done) => setTimeout(done, PICTURE_LIMIT_MS))]);
}

const cards = (root = document) => [...root.querySelectorAll("#fractals > li")];

// Make `old` equal to `fresh` and keep the elements that both have: by their ids in a list, by their place elsewhere.
// So focus, scroll positions, opened details and loaded pictures stay.
function become(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.matches("ol, ul")) {
    const wanted = new Set([...fresh.children].map((child) => child.id));
    for (const child of [...old.children]) if (!wanted.has(child.id)) child.remove();
    let next = old.firstElementChild;
    for (const child of [...fresh.children]) {
      const same = [...old.children].find((one) => one.id === child.id);
      if (same) become(same, child);
      if (same === next) next = next?.nextElementSibling ?? null;
      else old.insertBefore(same ?? document.importNode(child, true), next);
    }
    return;
  }
  const [mine, theirs] = [[...old.childNodes], [...fresh.childNodes]];
  if (mine.length === theirs.length && mine.every((node, i) => node.nodeName === theirs[i].nodeName && node.id === theirs[i].id)) {
    mine.forEach((node, i) => become(node, theirs[i]));
  } else {
    old.replaceChildren(...theirs.map((node) => document.importNode(node, true)));
  }
}

function focus(element) {
  if (element.tabIndex < 0) element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

// The button that stops all this

function button() {
  const toggle = $("live");
  if (!toggle) return;
  toggle.hidden = false;
  toggle.setAttribute("aria-pressed", String(live));
  const words = !live ? "Paused" : document.documentElement.classList.contains("away") ? "Away" : "Live";
  if (toggle.textContent !== words) toggle.textContent = words;
  toggle.title = live ? "This page updates by itself: press to pause" : "This page does not update: press to go on";
}

// One fractal whole, with all that is told about it

let seen = null; // the card whose fractal is shown

function view(card) {
  const viewer = $("viewer");
  const picture = card.querySelector("img");
  const whole = viewer.querySelector("img");
  whole.width = picture.getAttribute("width");
  whole.height = picture.getAttribute("height");
  whole.src = picture.src;
  whole.alt = picture.alt;
  whole.className = picture.className;
  whole.parentElement.href = picture.src;
  $("viewer-title").textContent = `By ${card.querySelector(".maker b").textContent}, in ${card.querySelector(".maker span").textContent}`;
  viewer.querySelector(".told").replaceChildren(...[...card.querySelectorAll("dl")].map((list) => list.cloneNode(true)));
  seen = card;
  const among = cards();
  for (const step of viewer.querySelectorAll("[data-step]")) {
    step.disabled = !among[among.indexOf(card) + Number(step.dataset.step)];
  }
  if (!viewer.open) viewer.showModal();
}

function step(by) {
  const among = cards();
  const next = among[among.indexOf(seen) + by];
  if (next) view(next);
}

// What the reader does

const plain = (event) => !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented);

function listen() {
  document.addEventListener("click", (event) => {
    const card = event.target.closest("a.picture")?.closest("li");
    if (card && event.button === 0 && plain(event)) {
      event.preventDefault();
      view(card);
    }
  });
  const viewer = $("viewer");
  viewer.addEventListener("click", (event) => {
    const pressed = event.target.closest("button");
    if (event.target === viewer || pressed?.dataset.close !== undefined) viewer.close();
    else if (pressed) step(Number(pressed.dataset.step));
  });
  viewer.addEventListener("close", () => {
    if (seen?.isConnected) seen.querySelector("a.picture").focus();
  });
  document.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !plain(event)) return;
    if (viewer.open) step(by);
    else $(by < 0 ? "newer" : "older")?.click();
  });
  $("gallery").addEventListener("pointermove", () => (pointed = performance.now()), { passive: true });
  $("news").addEventListener("click", (event) => {
    if (!held || page.dataset.page !== "1" || !plain(event)) return;
    event.preventDefault();
    reveal();
    news();
    say("", "heard");
    scrollTo({ top: 0, behavior: calm.matches ? "instant" : "smooth" });
    focus($("gallery-title"));
  });
  $("live").addEventListener("click", () => {
    live = !live;
    sessionStorage.setItem("live", live ? "yes" : "no");
    button();
    if (live) void ask();
    else clearTimeout(timer);
  });
}

if (page.dataset.kind === "gallery") listen();
if (page.dataset.kind !== "refusal") {
  button();
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : live && void ask()));
  addEventListener("online", () => live && void ask());
  later(POLL_MS);
}
