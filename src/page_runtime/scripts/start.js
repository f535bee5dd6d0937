// `boot` is what the server says about this page; `runtime` is what the scripts share; `atelier`
// becomes `window.atelier`.
const atelier = {};
const runtime = {
  refused: (probe) => { try { probe(); return false; } catch { return true; } },
  // Bytes of UTF-8, counted as the server counts them.
  limits: { key: 4 * 1024, value: 256 * 1024, total: 5 * 1024 * 1024, entries: 10_000 },
  // Pages replace functions of the browser; these are the browser's.
  fetch: window.fetch.bind(window),
  setTimeout: window.setTimeout.bind(window),
  clearTimeout: window.clearTimeout.bind(window),
};
// Elsewhere (a page that was saved, or shown by other means) there is nothing of ours to ask.
if (self.origin !== 'null') { delete boot.root; delete boot.storage; }
// An absolute address: the page may have a base of its own.
runtime.address = (path) => new URL(boot.root + path, location.href).href;
