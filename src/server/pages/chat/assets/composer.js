// Where messages are written: text, files, model, tools.

import * as api from "./api.js";
import { line } from "./clean.js";
import { byId, el } from "./dom.js";
import { fileChip } from "./turn.js";

const FILE_BYTES = 20 * 1024 * 1024;
const FILES = 10;
const PICTURE_EDGE = 2048;

export class Composer {
  // `actions`: send(text, files, editing), stop(), editLast().
  constructor(actions) {
    this.actions = actions;
    this.form = byId("composer");
    this.input = byId("message");
    this.chips = byId("attached");
    this.problem = byId("problem");
    this.editBar = byId("editing");
    this.picker = byId("file");
    this.model = byId("model");
    this.files = [];
    this.editing = null;
    this.choice = { tools: "all", names: [] };
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    byId("stop").addEventListener("click", () => actions.stop());
    byId("attach").addEventListener("click", () => this.picker.click());
    byId("cancel-edit").addEventListener("click", () => this.stopEditing());
    this.picker.addEventListener("change", () => {
      this.attach([...this.picker.files]);
      this.picker.value = "";
    });
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("input", () => this.grow());
    this.input.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files || [])];
      if (files.length) {
        event.preventDefault();
        this.attach(files);
      }
    });
    const body = document.body;
    for (const name of ["dragenter", "dragover"]) {
      body.addEventListener(name, (event) => {
        if (![...event.dataTransfer.types].includes("Files")) return;
        event.preventDefault();
        body.classList.add("dropping");
      });
    }
    body.addEventListener("dragleave", (event) => !event.relatedTarget && body.classList.remove("dropping"));
    body.addEventListener("drop", (event) => {
      body.classList.remove("dropping");
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      this.attach([...event.dataTransfer.files]);
    });
    byId("tools").addEventListener("click", () => this.openTools());
    byId("tools-all").addEventListener("click", () => this.mark(true));
    byId("tools-none").addEventListener("click", () => this.mark(false));
    byId("tools-find").addEventListener("input", (event) => this.find(event.target.value));
    byId("tools-dialog").addEventListener("close", () => this.takeTools());
    this.model.addEventListener("change", () => this.keep());
  }

  key(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.send();
    }
    if (event.key === "ArrowUp" && !this.input.value && !this.editing) {
      event.preventDefault();
      this.actions.editLast();
    }
  }

  grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight + 2, Math.max(120, innerHeight * 0.4))}px`;
  }

  async send() {
    const text = this.input.value;
    const files = this.files.filter((file) => file.id);
    if (this.busy || this.sending || (!text.trim() && !files.length)) return;
    if (files.length < this.files.length) {
      this.tell("A file is still on its way.");
      return;
    }
    this.sending = true;
    this.tell("");
    try {
      await this.actions.send(text, files, this.editing);
      this.input.value = "";
      this.files = [];
      this.showFiles();
      this.stopEditing();
      this.grow();
    } catch (error) {
      this.tell(`${error.message}${error.hint ? ` ${error.hint}` : ""}`);
    } finally {
      this.sending = false;
    }
    this.input.focus();
  }

  tell(words) {
    this.problem.textContent = words;
    this.problem.hidden = !words;
  }

  setBusy(busy) {
    this.busy = busy;
    byId("send").hidden = busy;
    const stop = byId("stop");
    const hadFocus = document.activeElement === stop;
    stop.hidden = !busy;
    if (hadFocus && !busy) this.input.focus();
  }

  setText(text) {
    this.input.value = text;
    this.grow();
    this.input.focus();
    this.input.setSelectionRange(text.length, text.length);
  }

  edit(turn) {
    this.editing = turn;
    this.files = turn.files.map((file) => ({ ...file }));
    this.showFiles();
    this.editBar.hidden = false;
    this.setText(turn.question);
  }

  stopEditing() {
    if (this.editing) {
      this.input.value = "";
      this.files = [];
      this.showFiles();
      this.grow();
    }
    this.editing = null;
    this.editBar.hidden = true;
  }

  // --- files ------------------------------------------------------------------------------------

  async attach(files) {
    this.tell("");
    for (const file of files) {
      if (this.files.length >= FILES) {
        this.tell(`A message carries at most ${FILES} files.`);
        break;
      }
      const name = file.name || "pasted";
      if (file.size > FILE_BYTES) {
        this.tell(`${line(name, 60)} has more than 20 MB.`);
        continue;
      }
      const entry = { name, media_type: "" };
      this.files.push(entry);
      this.showFiles();
      try {
        Object.assign(entry, await api.upload(await smaller(file), name));
      } catch (error) {
        this.files = this.files.filter((other) => other !== entry);
        this.tell(`${line(error.message, 300)}. ${line(error.hint || "", 300)}`);
      }
      this.showFiles();
    }
    this.input.focus();
  }

  showFiles() {
    this.chips.replaceChildren(...this.files.map((file) => {
      if (!file.id) return Object.assign(el("div", { class: "chip busy" }), { textContent: `${line(file.name, 60)} …` });
      return fileChip(file, () => {
        this.files = this.files.filter((other) => other !== file);
        this.showFiles();
        this.input.focus();
      });
    }));
    this.chips.hidden = !this.files.length;
  }

  // --- model and tools --------------------------------------------------------------------------

  offer(ways, tools) {
    this.offered = tools;
    const standard = ways.default_model ? `Standard (${line(ways.default_model, 40)})` : "Standard";
    const option = (value, label) => Object.assign(el("option", { value }), { textContent: label });
    this.model.replaceChildren(option("", standard), ...ways.models.map((name) => option(name, line(name, 60))));
    try {
      const kept = JSON.parse(localStorage.getItem("atelier.chat.choice") || "null");
      if (kept) this.choose(kept);
    } catch {
      // What was kept cannot be read: the standard stands.
    }
    this.showTools();
  }

  choose(choice) {
    if (choice.model && ![...this.model.options].some((option) => option.value === choice.model)) {
      this.model.append(Object.assign(el("option", { value: choice.model }), { textContent: line(choice.model, 60) }));
    }
    this.model.value = choice.model || "";
    this.choice = { tools: choice.tools || "all", names: choice.names || [] };
    this.showTools();
  }

  chosen() {
    return { model: this.model.value || null, ...this.choice };
  }

  keep() {
    localStorage.setItem("atelier.chat.choice", JSON.stringify(this.chosen()));
  }

  showTools() {
    const all = this.offered?.length || 0;
    const left = this.choice.tools === "nothing" ? 0 : this.choice.tools === "except" ? all - this.choice.names.length : all;
    byId("tools-count").textContent = left === all ? "All tools" : left <= 0 ? "No tools" : `${left} tools`;
  }

  openTools() {
    const box = byId("tools-list");
    box.replaceChildren(...this.offered.map((tool) => {
      const on = this.choice.tools !== "nothing" && !this.choice.names.includes(tool.name);
      const check = el("input", { type: "checkbox", value: tool.name });
      check.checked = on;
      const name = Object.assign(el("span", { class: "name" }), { textContent: line(tool.name, 80) });
      const about = Object.assign(el("span", { class: "small" }), { textContent: line(tool.description, 160) });
      return el("label", { class: "tool" }, check, el("span", {}, name, about));
    }));
    byId("tools-find").value = "";
    byId("tools-dialog").showModal();
  }

  boxes() {
    return [...byId("tools-list").querySelectorAll("input")];
  }

  mark(on) {
    for (const box of this.boxes()) if (!box.closest("label").hidden) box.checked = on;
  }

  find(words) {
    const wanted = words.toLowerCase();
    for (const box of this.boxes()) {
      const label = box.closest("label");
      label.hidden = !label.textContent.toLowerCase().includes(wanted);
    }
  }

  takeTools() {
    const off = this.boxes().filter((box) => !box.checked).map((box) => box.value);
    const all = this.boxes().length;
    this.choice = off.length === 0 ? { tools: "all", names: [] }
      : off.length === all ? { tools: "nothing", names: [] } : { tools: "except", names: off };
    this.showTools();
    this.keep();
    byId("tools").focus();
  }
}

// A large picture at the size that models look at.
async function smaller(file) {
  if (!/^image\/(png|jpeg|webp)$/.test(file.type)) return file;
  try {
    const picture = await createImageBitmap(file);
    const scale = PICTURE_EDGE / Math.max(picture.width, picture.height);
    if (scale >= 1) return file;
    const canvas = el("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((done) => canvas.toBlob(done, file.type, 0.9));
    return blob && blob.size < file.size ? blob : file;
  } catch {
    // The server says what is wrong with it.
    return file;
  }
}
