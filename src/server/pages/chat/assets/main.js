// The chat page: one conversation is open, one answer is followed at a time.

import * as api from "./api.js";
import { line } from "./clean.js";
import { Composer } from "./composer.js";
import { byId, el } from "./dom.js";
import { Sidebar } from "./sidebar.js";
import { TurnView } from "./turn.js";

const PAUSE_MS = 50;
const page = { id: null, views: [], leave: null, timer: null, wanted: 0 };

const turns = byId("turns");
const log = byId("log");
const live = byId("live");
const sidebar = new Sidebar({ open: (id) => go(id), fresh: () => go(null) });
const composer = new Composer({ send, stop, editLast });

const actions = {
  edit: (turn) => composer.edit(turn),
  editLast,
  retry: (turn) => say({ parent: turn.parent, text: turn.question, files: turn.files.map((file) => file.id) }).catch(show),
  branch: async (id) => {
    await api.post(`conversations/${page.id}/select`, { turn: id }).then(() => load(page.id), show);
    turns.querySelector(`[data-turn="${CSS.escape(id)}"] .ask button:not([disabled])`)?.focus();
  },
  change: (entry) => composer.setText(`Change the ${entry.kind === "app" ? "app" : "document"} "${line(entry.name, 100)}": `),
  focus: () => composer.input.focus(),
  say: speak,
  // What was said here just now is spoken from its first word, however fast the answer came.
  isNew: (id) => id === page.said,
};

// --- saying ---------------------------------------------------------------------------------------

async function send(text, files, editing) {
  const last = page.views.at(-1);
  const parent = editing ? editing.parent : last ? last.turn.id : null;
  await say({ parent, text, files: files.map((file) => file.id) });
}

async function say(message) {
  if (page.views.some((view) => !view.isOver)) {
    await stop();
    await over();
  }
  const said = await api.post("turns", { conversation: page.id, choice: composer.chosen(), ...message });
  page.said = said.turn;
  await load(said.conversation);
  history.replaceState(null, "", `#${said.conversation}`);
  scroll(true);
  sidebar.load().catch(() => {});
}

const over = () => new Promise((done) => {
  const look = () => (page.views.every((view) => view.isOver) ? done() : setTimeout(look, 50));
  look();
});

async function stop() {
  const running = page.views.find((view) => !view.isOver);
  if (!running) return;
  await api.post(`turns/${running.turn.id}/stop`).catch(show);
  // Where nobody carries the answer out, no event tells of its end.
  setTimeout(() => {
    if (!running.isOver && page.views.includes(running)) load(page.id).catch(show);
  }, 3000);
}

function editLast() {
  const last = page.views.at(-1);
  if (last) composer.edit(last.turn);
}

function show(error) {
  composer.tell(`${error.message}${error.hint ? ` ${error.hint}` : ""}`);
}

// --- what is open ---------------------------------------------------------------------------------

async function go(id) {
  location.hash = id || "";
  await open(id);
}

async function open(id) {
  composer.stopEditing();
  composer.tell("");
  if (id) await load(id).catch((error) => {
    show(error);
    if (error.status === 404) clear();
  });
  else clear();
  scroll(true);
  composer.input.focus();
}

function clear() {
  leave();
  page.wanted += 1;
  page.id = null;
  page.views = [];
  turns.replaceChildren();
  title("New conversation");
  byId("actions").hidden = true;
  byId("welcome").hidden = false;
  sidebar.mark(null);
  composer.setBusy(false);
}

async function load(id) {
  const wanted = (page.wanted += 1);
  const shown = await api.get(`conversations/${encodeURIComponent(id)}`);
  if (wanted !== page.wanted) return;
  leave();
  const kept = page.id === id;
  page.id = id;
  const before = new Map(page.views.map((view) => [view.turn.id, view]));
  page.views = shown.turns.map((turn) => {
    const old = before.get(turn.id);
    const same = old?.isOver && turn.state !== "running" && String(old.turn.siblings) === String(turn.siblings);
    return same ? old : new TurnView(turn, actions);
  });
  // What stands in its place is not moved: a preview would begin anew.
  page.views.forEach(({ root }, at) => {
    if (turns.children[at] !== root) turns.insertBefore(root, turns.children[at] ?? null);
  });
  while (turns.childElementCount > page.views.length) turns.lastElementChild.remove();
  title(shown.title);
  byId("actions").hidden = false;
  byId("welcome").hidden = true;
  byId("as-markdown").href = `chat/api/conversations/${id}/export?format=markdown`;
  byId("as-json").href = `chat/api/conversations/${id}/export?format=json`;
  sidebar.mark(id);
  if (!kept && shown.turns.length) composer.choose(shown.turns.at(-1).choice);
  followLast();
}

function title(words) {
  const shown = line(words, 200);
  byId("title").textContent = shown;
  document.title = `${shown} · Atelier`;
}

function leave() {
  page.leave?.();
  page.leave = null;
  clearTimeout(page.timer);
  page.timer = null;
}

// Follows the answer that is being written, and draws what came at most every 50 ms: less often
// when drawing takes long, so that the page stays free for the person.
function followLast() {
  const view = page.views.find((one) => !one.isOver);
  composer.setBusy(Boolean(view));
  if (!view || document.hidden) return;
  let pause = PAUSE_MS;
  const draw = () => {
    page.timer = null;
    pause = Math.max(PAUSE_MS, view.draw() * 4);
    scroll(false);
    if (view.isOver) finish();
  };
  const finish = () => {
    leave();
    composer.setBusy(page.views.some((one) => !one.isOver));
    sidebar.load().catch(() => {});
  };
  page.leave = api.follow(view.turn.id, view.fold.last, (event) => {
    view.take(event);
    if (!page.timer) page.timer = setTimeout(draw, pause);
  }, () => {
    if (view.isOver) return;
    // It ended without a last word: look again, and follow what goes on.
    leave();
    page.timer = setTimeout(() => load(page.id).catch(show), 2000);
  });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) leave();
  else if (page.id) load(page.id).catch(show);
});

// --- looks ----------------------------------------------------------------------------------------

const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 120;

// Whoever is at the end stays there while the answer grows; whoever scrolled up is left alone.
let sticks = true;
log.addEventListener("scroll", () => {
  sticks = isAtEnd();
});
function scroll(always) {
  if (!always && !sticks) return;
  log.scrollTop = log.scrollHeight;
  sticks = true;
}
new ResizeObserver(() => scroll(false)).observe(log);
// Pictures come later than the answer that they belong to.
log.addEventListener("load", () => scroll(false), true);
new ResizeObserver(() => page.views.some((view) => !view.isOver) && scroll(false)).observe(turns);

let said = [];
let speaking = null;
function speak(words) {
  if (!words.trim()) return;
  said.push(words.trim().slice(0, 2000));
  speaking ??= setTimeout(() => {
    live.append(Object.assign(el("p"), { textContent: said.join(" ") }));
    while (live.childElementCount > 5) live.firstElementChild.remove();
    said = [];
    speaking = null;
  }, 700);
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (page.views.some((view) => !view.isOver)) stop();
  else composer.stopEditing();
});

byId("rename").addEventListener("click", () => {
  const field = byId("rename-title");
  field.value = byId("title").textContent;
  byId("rename-dialog").showModal();
  field.select();
});
byId("rename-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = byId("rename-title").value;
  byId("rename-dialog").close();
  try {
    await api.post(`conversations/${page.id}/rename`, { title: words });
    title(words);
    await sidebar.load();
  } catch (error) {
    show(error);
  }
});
byId("delete").addEventListener("click", () => {
  byId("delete-title").textContent = byId("title").textContent;
  byId("delete-dialog").showModal();
});
byId("delete-yes").addEventListener("click", async () => {
  byId("delete-dialog").close();
  try {
    await api.post(`conversations/${page.id}/delete`);
    await go(null);
    await sidebar.load();
  } catch (error) {
    show(error);
  }
});
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => composer.setText(button.textContent));
}
addEventListener("hashchange", () => {
  const id = location.hash.slice(1) || null;
  if (id !== page.id) open(id);
});

// --- begin ----------------------------------------------------------------------------------------

try {
  const state = await api.get("state");
  composer.offer(state.ways, state.tools);
  byId("no-model").hidden = !state.ways.problem;
  byId("examples").hidden = Boolean(state.ways.problem);
  byId("why").textContent = line(state.ways.problem || "", 500);
  sidebar.load().catch(show);
  await open(location.hash.slice(1) || null);
} catch (error) {
  show(error);
}
document.body.dataset.ready = "yes";
