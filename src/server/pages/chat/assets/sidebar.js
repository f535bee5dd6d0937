// The list of conversations.

import * as api from "./api.js";
import { line } from "./clean.js";
import { byId, el } from "./dom.js";

const narrow = matchMedia("(max-width: 899px)");

export class Sidebar {
  // `actions`: open(id), fresh().
  constructor(actions) {
    this.actions = actions;
    this.nav = byId("side");
    this.list = byId("conversations");
    this.search = byId("search");
    this.menu = byId("menu");
    this.current = null;
    byId("new").addEventListener("click", () => {
      this.close();
      actions.fresh();
    });
    this.menu.addEventListener("click", () => (this.nav.classList.contains("open") ? this.close() : this.open()));
    byId("shade").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.nav.classList.contains("open")) {
        event.preventDefault();
        this.close();
        this.menu.focus();
      }
    });
    this.search.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.load(), 200);
    });
  }

  open() {
    this.nav.classList.add("open");
    byId("shade").hidden = false;
    this.menu.setAttribute("aria-expanded", "true");
    byId("new").focus();
  }

  close() {
    this.nav.classList.remove("open");
    byId("shade").hidden = true;
    this.menu.setAttribute("aria-expanded", "false");
  }

  async load() {
    const asked = (this.asked = {});
    const words = this.search.value.trim();
    const { conversations } = await api.get(`conversations?words=${encodeURIComponent(words)}`);
    if (asked !== this.asked) return;
    this.list.replaceChildren(...conversations.map((one) => {
      const link = el("a", { href: `#${one.id}`, "aria-current": one.id === this.current ? "page" : null });
      link.textContent = line(one.title, 120);
      link.addEventListener("click", (event) => {
        event.preventDefault();
        if (narrow.matches) this.close();
        this.actions.open(one.id);
      });
      return el("li", {}, link);
    }));
    byId("found").textContent = words ? `${conversations.length} found` : conversations.length ? "" : "No conversations yet.";
  }

  mark(id) {
    this.current = id;
    for (const link of this.list.querySelectorAll("a")) {
      if (link.getAttribute("href") === `#${id}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
}
