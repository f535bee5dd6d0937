// Markdown to DOM nodes. There is a fixed list of elements; HTML in the text stays text; pictures
// are links, since fetching one tells its server what was read; addresses are http, https, mailto.

import { clean } from "./clean.js";
import { el } from "./dom.js";

const DEPTH = 6;
const INLINE = 12000;

export function safeUrl(address) {
  if (!/^(https?:\/\/|mailto:)/i.test(address) || /[\s<>"\u0000-\u001f]/.test(address)) return null;
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

// A link that says where it leads.
export function link(address, label) {
  const url = safeUrl(address);
  if (!url) return null;
  const place = url.protocol === "mailto:" ? url.pathname : url.host;
  const anchor = el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" });
  anchor.append(label);
  const shown = anchor.textContent.trim();
  const hides = url.username || url.password;
  const says = !hides && (shown === url.href || shown === address || shown.replace(/^https?:\/\//, "").split("/")[0] === place);
  if (says) return anchor;
  const host = el("span", { class: "host" });
  host.textContent = ` (${place})`;
  const both = document.createDocumentFragment();
  both.append(anchor, host);
  return both;
}

// --- inline -------------------------------------------------------------------------------------

const MARKS = [["***", "strong"], ["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

export function inline(text, depth = 0) {
  const out = document.createDocumentFragment();
  if (text.length > INLINE || depth > DEPTH) {
    out.append(text);
    return out;
  }
  let plain = "";
  // Marks whose end was looked for in vain: it is not looked for again.
  const missing = new Set();
  const flush = () => {
    if (plain) out.append(plain);
    plain = "";
  };
  const put = (node, next) => {
    flush();
    out.append(node);
    return next;
  };
  let at = 0;
  while (at < text.length) {
    const letter = text[at];
    if (letter === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] || "")) {
      plain += text[at + 1];
      at += 2;
      continue;
    }
    if (letter === "`") {
      const fence = /^`+/.exec(text.slice(at, at + 40))[0];
      const end = missing.has(fence) ? -1 : text.indexOf(fence, at + fence.length);
      if (end > 0) {
        const code = el("code");
        code.textContent = text.slice(at + fence.length, end).replace(/\n/g, " ");
        at = put(code, end + fence.length);
        continue;
      }
      missing.add(fence);
      plain += fence;
      at += fence.length;
      continue;
    }
    if (letter === "\n") {
      const hard = / {2,}$/.test(plain);
      plain = plain.replace(/ +$/, "");
      if (hard) at = put(el("br"), at + 1);
      else {
        plain += "\n";
        at += 1;
      }
      continue;
    }
    if (letter === "<") {
      const found = /^<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/i.exec(text.slice(at, at + 2010));
      const node = found && link(found[1], found[1]);
      if (node) {
        at = put(node, at + found[0].length);
        continue;
      }
    }
    if (letter === "[" || (letter === "!" && text[at + 1] === "[")) {
      const found = bracket(text, letter === "!" ? at + 1 : at, missing);
      if (found) {
        const picture = letter === "!";
        const label = picture ? `[picture: ${found.label || "without a name"}]` : inline(found.label, depth + 1);
        const node = link(found.address, label);
        if (node) {
          at = put(node, found.end);
          continue;
        }
      }
    }
    if (letter === "h" && /^https?:\/\//.test(text.slice(at, at + 8)) && !/\w$/.test(plain)) {
      let address = /^https?:\/\/[^\s<>"`|\\^{}]{1,2000}/.exec(text.slice(at, at + 2010))?.[0];
      address = address?.replace(/[.,;:!?*_~'\]]+$/, "");
      while (address?.endsWith(")") && address.split(")").length > address.split("(").length) address = address.slice(0, -1);
      const node = address && link(address, address);
      if (node) {
        at = put(node, at + address.length);
        continue;
      }
    }
    const mark = MARKS.find(([word]) => text.startsWith(word, at));
    if (mark && !missing.has(mark[0])) {
      const [word, tag] = mark;
      const end = closing(text, at, word);
      if (end > 0) {
        const inner = inline(text.slice(at + word.length, end), depth + 1);
        const node = el(tag, {}, word === "***" ? el("em", {}, inner) : inner);
        at = put(node, end + word.length);
        continue;
      }
      if (end < 0) missing.add(word);
    }
    plain += letter;
    at += 1;
  }
  flush();
  return out;
}

// Where a mark that begins here ends; 0: it does not begin here; -1: there is no end.
function closing(text, at, word) {
  const inWord = word[0] === "_" && /\w/.test(text[at - 1] || "");
  if (inWord || /^\s|^$/.test(text[at + word.length] || "")) return 0;
  let end = at + word.length;
  for (let tries = 0; tries < 50; tries += 1) {
    end = text.indexOf(word, end + 1);
    if (end < 0) return -1;
    const single = word.length === 1 && (text[end + 1] === word || text[end - 1] === word);
    const open = /\s/.test(text[end - 1]) || text[end - 1] === "\\" || (word[0] === "_" && /\w/.test(text[end + word.length] || ""));
    if (!single && !open) return end;
    if (single) end += 1;
  }
  return 0;
}

// `[label](address "title")`.
function bracket(text, at, missing) {
  if (missing.has("](")) return null;
  const middle = text.indexOf("](", at);
  if (middle < 0) {
    missing.add("](");
    return null;
  }
  const label = text.slice(at + 1, middle);
  if (label.length > 1000 || label.includes("\n\n")) return null;
  const rest = /^<?([^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+(?:"[^"]{0,300}"|'[^']{0,300}'))?\s*\)/.exec(text.slice(middle + 2, middle + 3000));
  return rest && { label, address: rest[1], end: middle + 2 + rest[0].length };
}

// --- blocks -------------------------------------------------------------------------------------

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?[ \t]*#*$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const QUOTE = /^ {0,3}> ?/;
const DIVIDER = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

// `page` remembers the level of the last heading, so that none is left out.
export function blocks(text, page = { level: 2 }, depth = 0) {
  const lines = text.split("\n");
  const out = [];
  let at = 0;
  while (at < lines.length) {
    const row = lines[at];
    if (!row.trim()) {
      at += 1;
      continue;
    }
    const fence = FENCE.exec(row);
    if (fence) {
      let end = at + 1;
      const close = new RegExp(`^ {0,3}${fence[1][0]}{${fence[1].length},}[ \\t]*$`);
      while (end < lines.length && !close.test(lines[end])) end += 1;
      out.push(codeBlock(lines.slice(at + 1, end).join("\n"), fence[2]));
      at = end + 1;
      continue;
    }
    const heading = HEADING.exec(row);
    if (heading) {
      page.level = Math.min(page.level + 1, heading[1].length + 2, 6);
      const node = el(`h${page.level}`);
      node.append(inline(heading[2] || ""));
      out.push(node);
      at += 1;
      continue;
    }
    if (RULE.test(row)) {
      out.push(el("hr"));
      at += 1;
      continue;
    }
    if (QUOTE.test(row) && depth < DEPTH) {
      let end = at;
      const inner = [];
      while (end < lines.length && lines[end].trim() && (QUOTE.test(lines[end]) || inner.at(-1)?.trim())) {
        inner.push(lines[end].replace(QUOTE, ""));
        end += 1;
      }
      out.push(el("blockquote", {}, ...blocks(inner.join("\n"), page, depth + 1)));
      at = end;
      continue;
    }
    if (ITEM.test(row) && depth < DEPTH) {
      at = list(lines, at, out, page, depth);
      continue;
    }
    if (row.includes("|") && DIVIDER.test(lines[at + 1] || "") && (lines[at + 1] || "").includes("-")) {
      const head = cells(row);
      if (head.length === cells(lines[at + 1]).length) {
        at = table(lines, at, head, out);
        continue;
      }
    }
    let end = at + 1;
    while (end < lines.length && lines[end].trim() && !FENCE.test(lines[end]) && !HEADING.test(lines[end])
      && !RULE.test(lines[end]) && !QUOTE.test(lines[end]) && !ITEM.test(lines[end])) end += 1;
    const paragraph = el("p");
    paragraph.append(inline(lines.slice(at, end).map((part) => part.replace(/^[ \t]+/, "")).join("\n").trimEnd()));
    out.push(paragraph);
    at = end;
  }
  return out;
}

function codeBlock(text, language) {
  const code = el("code");
  code.textContent = text;
  return el("pre", { tabindex: "0", role: "group", "aria-label": language ? `Code, ${language}` : "Code" }, code);
}

function list(lines, start, out, page, depth) {
  const first = ITEM.exec(lines[start]);
  const ordered = /\d/.test(first[2]);
  const kind = first[2].slice(-1);
  const node = el(ordered ? "ol" : "ul");
  const number = parseInt(first[2], 10);
  if (ordered && number !== 1) node.setAttribute("start", String(number));
  let at = start;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[2].slice(-1) !== kind || RULE.test(lines[at])) break;
    const indent = item[0].length;
    const inner = [lines[at].slice(indent)];
    at += 1;
    let loose = false;
    while (at < lines.length) {
      const row = lines[at];
      if (!row.trim()) {
        const next = lines[at + 1] || "";
        if (!/^ {2,}\S/.test(next)) break;
        inner.push("");
        loose = true;
      } else if (/^ {2,}|^\t/.test(row)) inner.push(row.replace(/^\t/, "    ").replace(new RegExp(`^ {1,${indent}}`), ""));
      else if (ITEM.test(row) || loose || FENCE.test(row) || HEADING.test(row) || QUOTE.test(row)) break;
      else inner.push(row);
      at += 1;
    }
    const entry = el("li");
    const parts = blocks(inner.join("\n"), page, depth + 1);
    for (const part of parts) {
      if (part.tagName === "P" && !loose) entry.append(...part.childNodes);
      else entry.append(part);
    }
    node.append(entry);
    while (at < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1] || "")) at += 1;
  }
  out.push(node);
  return at;
}

function cells(row) {
  const parts = row.trim().replace(/^\|/, "").replace(/\|$/, "").split(/(?<!\\)\|/);
  return parts.map((part) => part.replace(/\\\|/g, "|").trim());
}

function table(lines, at, head, out) {
  const titles = el("tr", {}, ...head.map((cell) => el("th", { scope: "col" }, inline(cell))));
  const body = el("tbody");
  let end = at + 2;
  while (end < lines.length && lines[end].trim() && lines[end].includes("|")) {
    const row = cells(lines[end]).slice(0, head.length);
    while (row.length < head.length) row.push("");
    body.append(el("tr", {}, ...row.map((cell) => el("td", {}, inline(cell)))));
    end += 1;
  }
  const whole = el("table", {}, el("thead", {}, titles), body);
  out.push(el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, whole));
  return end;
}

// --- growing text -------------------------------------------------------------------------------

// Renders a text that grows. What stands before the last open block is made once.
export class Growing {
  constructor(root) {
    this.root = root;
    this.reset();
  }

  reset() {
    this.root.replaceChildren();
    this.settled = "";
    this.tail = [];
    this.page = { level: 2 };
  }

  show(raw) {
    const text = clean(raw);
    if (!text.startsWith(this.settled)) this.reset();
    const cut = lastBoundary(text, this.settled.length);
    for (const node of this.tail) node.remove();
    if (cut > this.settled.length) {
      this.root.append(...blocks(text.slice(this.settled.length, cut), this.page));
      this.settled = text.slice(0, cut);
    }
    this.tail = blocks(text.slice(cut), { ...this.page });
    this.root.append(...this.tail);
  }
}

// The last place behind which nothing changes what stands before: a blank line outside of code
// with a line behind it that goes on with no list, quote or table.
function lastBoundary(text, from) {
  let boundary = from;
  let fence = null;
  let blank = false;
  let at = from;
  while (at < text.length) {
    let end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    const row = text.slice(at, Math.min(end, at + 200));
    const found = FENCE.exec(row);
    if (fence) {
      if (new RegExp(`^ {0,3}${fence[0]}{${fence.length},}[ \\t]*$`).test(row)) fence = null;
      blank = false;
    } else {
      if (blank && row.trim() && !/^[ \t>|]/.test(row) && !ITEM.test(row)) boundary = at;
      if (found) fence = found[1];
      blank = !row.trim() && end < text.length;
    }
    at = end + 1;
  }
  return boundary;
}
