// Makes elements. Text goes in as text alone, so nothing that a model or a tool wrote becomes markup.

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  plus: "M10 4v12M4 10h12",
  menu: "M3 5.5h14M3 10h14M3 14.5h14",
  clip: "M15 9.5 9.6 15a3.4 3.4 0 0 1-4.8-4.8l6-6a2.3 2.3 0 0 1 3.2 3.2l-5.8 5.9a1.1 1.1 0 0 1-1.6-1.6L12 6.4",
  send: "M10 16V4M5 9l5-5 5 5",
  stop: "M6 6h8v8H6z",
  tool: "M12.5 3.5a4 4 0 0 0-3.7 5.4l-5 5 2.3 2.3 5-5a4 4 0 0 0 5.3-4.6L14 9l-2.4-.6L11 6l2.4-2.4a4 4 0 0 0-.9-.1z",
  edit: "M4 16l.8-3.4L13 4.4a1.4 1.4 0 0 1 2 0l.6.6a1.4 1.4 0 0 1 0 2L7.4 15.2z",
  retry: "M15.5 10a5.5 5.5 0 1 1-1.7-4M15.5 3.5V7H12",
  copy: "M7 7h8.5v9H7zM4.5 13V4H12",
  trash: "M4.5 6h11M8 6V4h4v2M6 6l.7 10h6.6L14 6",
  down: "M10 4v9M6 9.5l4 4 4-4M4.5 16.5h11",
  open: "M8 5H5v10h10v-3M11 4.5h4.5V9M15 5l-6 6",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  close: "M5 5l10 10M15 5 5 15",
  check: "M4.5 10.5l3.5 3.5 7.5-8",
  file: "M6 3.5h5.5L15 7v9.5H6zM11 3.5V7.5h4",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name] || "");
  svg.append(path);
  return svg;
}

// A button with an icon and a name; `shown` puts the name beside the icon.
export function iconButton(name, label, onclick, { shown = false, ...more } = {}) {
  const text = el("span", shown ? {} : { class: "hidden" });
  text.textContent = label;
  return el("button", { type: "button", class: shown ? "quiet named" : "quiet", onclick, ...more }, icon(name), text);
}

export const byId = (id) => document.getElementById(id);
