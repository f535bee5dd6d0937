// From the events of a run to what is shown of it. The same events give the same picture, whether
// they came one by one or all at once.

export class Fold {
  constructor() {
    this.items = [];
    this.last = 0;
    this.end = null;
    this.model = null;
    this.totals = null;
    this.ms = 0;
    this.skipped = new Set();
  }

  get isOver() {
    return this.end !== null && this.end.kind !== "break";
  }

  find(kind, key) {
    return this.items.find((item) => item.kind === kind && item.key === key);
  }

  open(kind, key, more) {
    let item = this.find(kind, key);
    if (!item) {
      item = { kind, key, ...more };
      this.items.push(item);
    }
    return item;
  }

  // Takes an event; answers the items that changed.
  take(event) {
    if (event.seq <= this.last) return [];
    this.last = event.seq;
    if (this.end?.kind === "break") this.end = null;
    const place = `${event.turn}.${event.position}`;
    switch (event.event) {
      case "started":
        this.model = event.model;
        return [];
      case "resumed":
        return this.drop((item) => (item.kind === "text" || item.kind === "thinking") && !item.done);
      case "turn_started":
        if (event.kind === "summary") this.skipped.add(event.number);
        return this.drop((item) => item.key === event.number && (item.kind === "text" || item.kind === "thinking") && !item.done);
      case "text":
      case "thinking": {
        if (this.skipped.has(event.number)) return [];
        const item = this.open(event.event, event.number, { text: "", done: false });
        item.text += event.delta;
        return [item];
      }
      case "text_reset": {
        const item = this.find("text", event.number);
        if (!item) return [];
        const bytes = new TextEncoder().encode(item.text).slice(0, event.bytes);
        item.text = new TextDecoder().decode(bytes).replace(/\ufffd+$/, "");
        return [item];
      }
      case "turn_finished": {
        if (event.model) this.model = event.model;
        const thinking = this.find("thinking", event.number);
        if (thinking) thinking.done = true;
        if (this.skipped.has(event.number)) return [];
        this.words = event.text;
        if (!event.text.trim()) {
          return [thinking, ...this.drop((item) => item.kind === "text" && item.key === event.number)].filter(Boolean);
        }
        const item = this.open("text", event.number, { text: "" });
        item.text = event.text;
        item.done = true;
        return [thinking, item].filter(Boolean);
      }
      case "call_started":
      case "approval_wanted": {
        const item = this.open("call", place, { turn: event.turn, position: event.position, tool: event.tool });
        item.arguments = event.arguments;
        if (event.event === "call_started") {
          item.started = event.at;
          item.wanted = null;
        } else item.wanted = { sha: event.arguments_sha, reason: event.reason };
        return [item];
      }
      case "approval_given": {
        const item = this.find("call", place);
        if (!item) return [];
        item.wanted = null;
        item.decision = event.decision;
        return [item];
      }
      case "call_progress": {
        const item = this.find("call", place);
        if (!item || item.status) return [];
        item.progress = event.message;
        return [item];
      }
      case "call_finished": {
        const item = this.open("call", place, { turn: event.turn, position: event.position, tool: event.tool });
        Object.assign(item, {
          status: event.status, ms: event.ms, head: event.head, callId: event.call_id, links: event.links, pictures: event.pictures, wanted: null,
        });
        return [item];
      }
      case "usage":
        this.totals = event;
        return [];
      case "done": {
        this.end = { kind: "done", reason: event.stop_reason, detail: event.detail };
        this.totals = event.totals;
        if (event.answer.trim() && event.answer.trim() !== this.words?.trim()) {
          const item = this.open("text", "answer", { text: event.answer, done: true });
          return [item];
        }
        return [];
      }
      case "failed":
        this.end = { kind: "failed", message: event.message, hint: event.hint, code: event.code };
        return [];
      case "stopped":
        this.end = { kind: event.reason === "interrupted" ? "break" : "stopped" };
        return [];
      default:
        return [];
    }
  }

  drop(test) {
    const gone = this.items.filter(test);
    this.items = this.items.filter((item) => !gone.includes(item));
    for (const item of gone) item.gone = true;
    return gone;
  }
}
