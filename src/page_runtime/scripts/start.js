// `boot` is what the server says about this page; `runtime` is what the scripts share; `atelier`
// becomes `window.atelier`.
const atelier = {};
const runtime = {
  refused: (probe) => { try { probe(); return false; } catch { return true; } },
  // Bytes of UTF-8; the server counts the same.
  limits: {
    local: { value: 256 * 1024, total: 5 * 1024 * 1024, entries: 10_000 },
    session: { value: 256 * 1024, total: 5 * 1024 * 1024, entries: 10_000 },
  },
};
