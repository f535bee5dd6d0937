{
  // Hosted pages run in an opaque origin, where the browser refuses cookies, caches and service
  // workers and throws. What a page may expect is put in place before any script of it runs.
  const hide = (owner, name) => { try { delete owner[name]; } catch { /* stays as it is */ } };

  if (runtime.refused(() => document.cookie)) {
    Object.defineProperty(Document.prototype, 'cookie', {
      configurable: true, enumerable: true, get() { return ''; }, set() {},
    });
  }
  // Pages ask for these two by `in`; absent is the truth here.
  if (runtime.refused(() => navigator.serviceWorker)) hide(Navigator.prototype, 'serviceWorker');
  if (runtime.refused(() => window.caches)) hide(window, 'caches');
}
