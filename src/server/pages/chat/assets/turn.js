// One turn: what was said, and what is shown of the answer while it is made and after.

import * as api from "./api.js";
import { clean, line } from "./clean.js";
import { el, icon, iconButton } from "./dom.js";
import { Fold } from "./fold.js";
import { Growing, safeUrl } from "./markdown.js";

const contentOrigin = document.querySelector("meta[name=atelier-content]").content;
const STATUS = {
  ok: "done", failed: "failed", unknown: "no such tool", invalid_arguments: "wrong arguments",
  timed_out: "took too long", denied: "declined", skipped: "not made", interrupted: "interrupted",
  stopped: "stopped",
};
const LIMITS = {
  max_turns: "the limit of turns", max_tool_calls: "the limit of tool calls", token_limit: "the limit of tokens",
  cost_limit: "the limit of cost", time_limit: "the limit of time", loop_guard: "going in circles",
  refused: "the model declined", truncated: "the answer was cut off", invalid_output: "the form of the answer",
  tool_failed: "a tool failed", declined: "it was declined",
};
const HEAD = 20000;

export function seconds(ms) {
  if (ms < 950) return `${Math.round(ms)} ms`;
  return ms < 59500 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
}

const tokens = (count) => (count < 1000 ? String(count) : `${(count / 1000).toFixed(1)}k`);

export function fileChip(file, remove) {
  const chip = el("div", { class: "chip" });
  const name = el("span", { class: "name" });
  name.textContent = line(file.name, 60);
  if (file.media_type.startsWith("image/")) {
    const picture = el("img", { src: `chat/api/files/${file.id}`, alt: `Picture ${line(file.name, 60)}`, loading: "lazy" });
    chip.classList.add("picture");
    chip.append(remove ? picture : el("a", { href: `chat/api/files/${file.id}`, target: "_blank", rel: "noopener" }, picture), name);
  } else if (remove) chip.append(icon("file"), name);
  else chip.append(el("a", { href: `chat/api/files/${file.id}`, download: true }, icon("file"), name));
  if (remove) chip.append(iconButton("close", `Remove ${line(file.name, 60)}`, remove));
  return chip;
}

export class TurnView {
  // `actions`: edit(turn), retry(turn), branch(id), change(name), say(sentences),
  // isNew(id).
  constructor(turn, actions) {
    this.turn = turn;
    this.actions = actions;
    this.fold = new Fold();
    this.nodes = new Map();
    this.dirty = new Set();
    this.spoken = new Map();
    this.speaks = Boolean(actions.isNew?.(turn.id));
    this.items = el("div", { class: "items" });
    this.meta = el("footer", { class: "meta" });
    this.waiting = el("p", { class: "waiting" }, el("span", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")));
    this.waitingText = el("span");
    this.waiting.append(this.waitingText);
    this.answer = el("article", { class: "reply", "aria-label": "Atelier's answer" }, el("h2", { class: "hidden" }, "Atelier"), this.items, this.waiting, this.meta);
    this.root = el("li", { class: "turn", "data-turn": turn.id }, this.question(), this.answer);
    for (const event of turn.events) this.take(event);
    if (turn.note) this.note(turn.note);
    this.draw();
    this.speaks = true;
  }

  get isOver() {
    return this.fold.isOver || this.turn.state !== "running";
  }

  question() {
    const { turn } = this;
    const text = el("div", { class: "bubble" });
    text.textContent = clean(turn.question);
    const files = turn.files.length ? el("div", { class: "chips" }, ...turn.files.map((file) => fileChip(file))) : null;
    const row = el("div", { class: "row" });
    if (turn.siblings.length > 1) {
      const at = turn.siblings.indexOf(turn.id);
      const count = el("span", { class: "count" });
      count.textContent = `${at + 1} of ${turn.siblings.length}`;
      row.append(
        iconButton("left", "Earlier version", () => this.actions.branch(turn.siblings[at - 1]), { disabled: at === 0 }),
        count,
        iconButton("right", "Later version", () => this.actions.branch(turn.siblings[at + 1]), { disabled: at === turn.siblings.length - 1 }),
      );
    }
    row.append(iconButton("edit", "Edit this message", () => this.actions.edit(turn)));
    return el("article", { class: "ask", "aria-label": "Your message" }, el("h2", { class: "hidden" }, "You"), turn.question ? text : null, files, row);
  }

  take(event) {
    for (const item of this.fold.take(event)) this.dirty.add(item);
    if (this.speaks) this.speakOf(event);
  }

  note(text) {
    const node = el("p", { class: "note" });
    node.textContent = clean(text);
    this.items.append(node);
  }

  // Brings the page to what the fold says; answers how long that took.
  draw() {
    const begun = performance.now();
    for (const item of this.dirty) {
      let view = this.nodes.get(item);
      if (item.gone) {
        view?.root.remove();
        this.nodes.delete(item);
        continue;
      }
      if (!view) {
        view = item.kind === "text" ? new TextView() : item.kind === "thinking" ? new ThinkingView() : new CallView(this);
        this.nodes.set(item, view);
        this.items.append(view.root);
      }
      view.show(item);
    }
    this.dirty.clear();
    this.drawEnd();
    return performance.now() - begun;
  }

  drawEnd() {
    const { fold, turn } = this;
    const over = this.isOver;
    this.root.classList.toggle("running", !over);
    this.waiting.hidden = over;
    if (!over) {
      const running = fold.items.filter((item) => item.kind === "call" && !item.status);
      const wanted = running.find((item) => item.wanted);
      const words = fold.end?.kind === "break" ? "Interrupted. It goes on as soon as the server is back."
        : wanted ? "Waiting for you."
          : running.length ? `${line(running[0].tool, 60)} is at work${running.length > 1 ? `, and ${running.length - 1} more` : ""}…`
            : "Thinking…";
      if (this.waitingText.textContent !== words) this.waitingText.textContent = words;
    }
    if (!over || this.closed) return;
    this.closed = true;
    // What had no end when the answer ended was stopped with it.
    for (const item of fold.items) {
      if (item.kind !== "call" || item.status) continue;
      item.status = "stopped";
      item.wanted = null;
      this.nodes.get(item)?.show(item);
    }
    const end = fold.end;
    const said = (text, kind) => {
      const node = el("p", { class: `note ${kind}` });
      node.textContent = text;
      this.items.append(node);
    };
    if (end?.kind === "stopped" || (!end && turn.state === "stopped")) said("You stopped this answer here.", "stopped");
    if (end?.kind === "failed") said(`No answer: ${line(end.message, 1000)}${end.hint ? ` — ${line(end.hint, 1000)}` : ""}`, "failed");
    if (end?.kind === "done" && end.reason !== "answered") said(`Ended by ${LIMITS[end.reason] || end.reason}${end.detail ? `: ${line(end.detail, 500)}` : ""}.`, "limit");
    const facts = [];
    if (fold.model) facts.push(line(fold.model, 60));
    const totals = fold.totals;
    if (totals) {
      const estimated = totals.estimated_tokens > 0;
      facts.push(`${estimated ? "about " : ""}${tokens(totals.input_tokens + totals.output_tokens + (totals.estimated_tokens || 0))} tokens`);
      if (totals.cost_usd > 0) facts.push(`$${totals.cost_usd < 0.01 ? totals.cost_usd.toFixed(4) : totals.cost_usd.toFixed(2)}${totals.unpriced ? " and more" : ""}`);
      else if (totals.unpriced) facts.push("price unknown");
      if (totals.active_ms) facts.push(seconds(totals.active_ms));
    }
    const words = el("span", { class: "facts" });
    words.textContent = facts.join(" · ");
    this.meta.replaceChildren(
      words,
      iconButton("copy", "Copy the answer", (event) => this.copy(event.currentTarget)),
      iconButton("retry", "Try again", () => this.actions.retry(turn)),
    );
  }

  async copy(button) {
    const text = this.fold.items.filter((item) => item.kind === "text").map((item) => item.text).join("\n\n");
    await navigator.clipboard.writeText(text);
    button.replaceChildren(icon("check"), Object.assign(el("span", { class: "hidden" }), { textContent: "Copied" }));
  }

  // The live region hears finished sentences and what happens, never single words.
  speakOf(event) {
    const { say } = this.actions;
    if (event.event === "text" || event.event === "turn_finished") {
      const item = this.fold.find("text", event.number);
      if (!item) return;
      const from = this.spoken.get(item.key) || 0;
      const rest = item.text.slice(from);
      let end = 0;
      if (item.done) end = rest.length;
      else for (const stop of rest.matchAll(/[.!?…。！？](?=\s)|\n\n/g)) end = stop.index + stop[0].length;
      if (end > 0) {
        this.spoken.set(item.key, from + end);
        say(clean(rest.slice(0, end)).replace(/[*_`#>|]+/g, " "));
      }
    }
    if (event.event === "call_started") say(`${line(event.tool, 60)} begins.`);
    if (event.event === "call_finished") say(`${line(event.tool, 60)}: ${STATUS[event.status] || event.status}.`);
    if (event.event === "approval_wanted") say(`Your approval is needed for ${line(event.tool, 60)}.`);
    if (event.event === "stopped") say("The answer was stopped.");
    if (event.event === "failed") say(`No answer: ${line(event.message, 300)}`);
  }
}

class TextView {
  constructor() {
    this.root = el("div", { class: "prose" });
    this.growing = new Growing(this.root);
  }

  show(item) {
    this.growing.show(item.text);
  }
}

class ThinkingView {
  constructor() {
    this.words = el("div", { class: "thinking" });
    this.label = el("span");
    this.root = el("details", { class: "thoughts" }, el("summary", {}, this.label), this.words);
  }

  show(item) {
    this.label.textContent = item.done ? "Thoughts" : "Thinking…";
    this.words.textContent = clean(item.text);
  }
}

class CallView {
  constructor(turn) {
    this.turn = turn;
    this.name = el("code");
    this.state = el("span", { class: "state" });
    this.body = el("div", { class: "body" });
    this.details = el("details", { class: "call" }, el("summary", {}, icon("tool"), this.name, this.state), this.body);
    this.details.addEventListener("toggle", () => this.details.open && this.fill());
    this.cards = el("div", { class: "cards" });
    this.root = el("div", { class: "step" }, this.details, this.cards);
  }

  show(item) {
    this.item = item;
    this.name.textContent = line(item.tool, 100);
    const failed = item.status && item.status !== "ok" && item.status !== "stopped";
    this.details.classList.toggle("failed", Boolean(failed));
    this.details.classList.toggle("busy", !item.status && !item.wanted);
    this.state.textContent = item.status ? `${STATUS[item.status] || item.status}${item.ms ? ` · ${seconds(item.ms)}` : ""}`
      : item.wanted ? "waits for you" : item.progress ? line(item.progress, 120) : "at work…";
    if (this.details.open) this.fill();
    this.approval(item);
    if (item.pictures?.length && !this.pictures) {
      this.pictures = el("div", { class: "pictures" }, ...item.pictures.map((file) => picture(this.turn.turn.id, file)));
      this.root.insertBefore(this.pictures, this.cards);
    }
    if (item.links?.length && !this.cards.childElementCount) {
      for (const entry of item.links) {
        const node = card(entry, this.turn.actions);
        if (node) this.cards.append(node);
      }
    }
  }

  fill() {
    const { item } = this;
    if (!this.arguments) {
      this.arguments = block("Arguments");
      this.body.append(this.arguments.root);
    }
    this.arguments.text(JSON.stringify(item.arguments ?? {}, null, 2));
    if (!item.status || item.status === "stopped" || this.filled) return;
    this.filled = true;
    this.result = block(item.status === "ok" ? "Result" : "Error");
    this.body.append(this.result.root);
    this.result.text(unframed(item.head || ""));
    if (item.callId) this.whole(item.callId);
  }

  async whole(id) {
    try {
      const result = await api.get(`results/${encodeURIComponent(id)}`);
      this.result.text(result.text, result.bytes > result.shown ? `${tokens(result.shown)} of ${tokens(result.bytes)} bytes are shown.` : "");
      const open = el("a", { class: "whole", href: `chat/api/results/${encodeURIComponent(id)}?whole=true`, target: "_blank", rel: "noopener" }, icon("open"), "Open in full");
      this.result.root.append(open);
    } catch (error) {
      // The begin stands there already; the whole may be too old to be kept.
      this.result.text(unframed(this.item.head || ""), error.status === 404 ? "The whole result is not kept any more." : "");
    }
  }

  approval(item) {
    if (!item.wanted) {
      this.question?.remove();
      this.question = null;
      return;
    }
    if (this.question) return;
    const decide = async (decision) => {
      for (const button of this.question.querySelectorAll("button")) button.disabled = true;
      try {
        await api.post(`turns/${this.turn.turn.id}/decide`, { turn: item.turn, position: item.position, arguments_sha: item.wanted.sha, ...decision });
        this.turn.actions.focus();
      } catch (error) {
        problem.textContent = error.message;
        for (const button of this.question.querySelectorAll("button")) button.disabled = false;
      }
    };
    const problem = el("p", { class: "problem", role: "alert" });
    const text = block("It will be called with");
    text.text(JSON.stringify(item.arguments ?? {}, null, 2));
    const heading = el("h3");
    heading.textContent = `May ${line(item.tool, 100)} be called?`;
    const reason = el("p");
    reason.textContent = `You are asked because ${line(item.wanted.reason, 500)}.`;
    const button = (label, kind, decision) => {
      const node = el("button", { type: "button", class: kind, onclick: () => decide(decision) });
      node.textContent = label;
      return node;
    };
    this.question = el("div", { role: "group", class: "approval", "aria-label": `Approval of ${line(item.tool, 60)}` }, heading, reason, text.root,
      el("div", { class: "buttons" },
        button("Allow once", "primary", { decision: "allow" }),
        button("Allow in this answer", "plain", { decision: "allow_for_run" }),
        button("Do not call", "plain danger", { decision: "deny", reason: "the user declined this call" })),
      problem);
    this.root.insertBefore(this.question, this.cards);
  }
}

function block(title) {
  const heading = el("h3");
  heading.textContent = title;
  const pre = el("pre", { tabindex: "0", role: "group", "aria-label": title });
  const note = el("p", { class: "small" });
  const root = el("div", { class: "block" }, heading, pre, note);
  return {
    root,
    text(words, more = "") {
      const shown = clean(String(words).slice(0, HEAD));
      if (pre.textContent !== shown) pre.textContent = shown;
      note.textContent = more || (words.length > HEAD ? `${tokens(HEAD)} of ${tokens(words.length)} letters are shown.` : "");
    },
  };
}

// What stands between the marks that a model reads.
const unframed = (head) => head.replace(/^<data-[^>\n]*>\n?/, "").replace(/\n?<\/data-[^>\n]*>\s*$/, "");

// A picture of a result, or a document to save.
function picture(turn, file) {
  const href = `chat/api/turns/${turn}/pictures/${encodeURIComponent(file.sha)}`;
  const name = line(file.name, 100);
  if (file.media_type.startsWith("image/")) {
    return el("a", { class: "picture", href, target: "_blank", rel: "noopener" }, el("img", { src: href, alt: name, loading: "lazy" }));
  }
  const text = el("span", { class: "name" });
  text.textContent = name;
  return el("div", { class: "chip" }, el("a", { href, download: true }, icon("file"), text));
}

// A card for what a call made, with a look at it.
function card(entry, actions) {
  const url = safeUrl(entry.url);
  if (!url) return null;
  const name = line(entry.name, 100);
  const ours = url.origin === contentOrigin;
  const title = el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" });
  title.textContent = name;
  const kind = { app: "App", document: "PDF" }[entry.kind] || url.host;
  const facts = el("span", { class: "small" });
  facts.textContent = `${kind}${entry.version ? ` · version ${entry.version}` : ""}`;
  const head = el("div", { class: "head" }, el("div", { class: "title" }, title, facts));
  const root = el("div", { role: "group", class: `card ${entry.kind}`, "aria-label": `${kind} ${name}` }, head);
  if (!ours) {
    head.append(el("span", { class: "host" }, url.host));
    return root;
  }
  const again = iconButton("edit", "Change this", () => actions.change(entry), { shown: true });
  head.append(again);
  if (entry.kind === "app") {
    const version = entry.version ? `${url.href}v/${entry.version}/` : url.href;
    root.append(el("iframe", { src: version, title: `Preview of ${name}`, sandbox: "allow-scripts allow-forms allow-modals", loading: "lazy", referrerpolicy: "no-referrer", tabindex: "0" }));
  } else if (entry.kind === "document" && url.pathname.endsWith(".pdf")) {
    const picture = `${url.origin}${url.pathname.slice(0, -4)}/thumb.webp?v=${entry.version || 1}`;
    const image = el("img", { src: picture, alt: `First page of ${name}`, loading: "lazy" });
    image.addEventListener("error", () => frame.remove());
    const frame = el("a", { class: "sheet", href: url.href, target: "_blank", rel: "noopener noreferrer" }, image);
    root.append(frame);
  }
  return root;
}
