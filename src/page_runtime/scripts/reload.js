{
  // Shows a new version as soon as there is one, and hears of other tabs. Only while the page is
  // seen: a browser has few connections to a server.
  const { tab } = runtime;
  const Source = window.EventSource;
  const isPinned = boot.root === '../../';
  const shortest = 2000;
  const longest = 60_000;
  let source = null;
  let timer = 0;
  let pause = shortest;
  let isOver = false;

  const scrollBack = (position) => {
    if (!position) return;
    const [x, y] = position;
    let isTheirs = false;
    const theirs = () => { isTheirs = true; };
    const kinds = ['wheel', 'touchstart', 'keydown', 'mousedown'];
    for (const kind of kinds) addEventListener(kind, theirs, { capture: true, passive: true, once: true });
    // Pages grow while they load; the browser's own attempt comes in between.
    const until = performance.now() + 1500;
    const attempt = () => {
      if (isTheirs) return;
      const isThere = Math.abs(scrollX - x) < 2 && Math.abs(scrollY - y) < 2;
      if (!isThere) scrollTo({ left: x, top: y, behavior: 'instant' });
      if (performance.now() < until) requestAnimationFrame(attempt);
    };
    if (document.readyState === 'loading') addEventListener('DOMContentLoaded', attempt, { once: true });
    else attempt();
  };

  const show = async (version) => {
    // Once for each version: something in between may keep old pages.
    if (isPinned || version === boot.version || version === tab.asked) return;
    isOver = true;
    close();
    const patience = new Promise((resolve) => { runtime.setTimeout(resolve, 2000); });
    await Promise.race([runtime.storage.flush().catch(() => {}), patience]);
    tab.askFor(version);
    location.reload();
  };
  const close = () => {
    runtime.clearTimeout(timer);
    timer = 0;
    source?.close();
    source = null;
  };
  const open = () => {
    if (source || isOver || document.hidden) return;
    runtime.clearTimeout(timer);
    timer = 0;
    const visitor = boot.storage ? `?visitor=${encodeURIComponent(boot.storage.visitor)}` : '';
    source = new Source(runtime.address(`events${visitor}`));
    source.addEventListener('version', (event) => {
      pause = shortest;
      show(JSON.parse(event.data).version);
    });
    source.addEventListener('storage', (event) => runtime.storage.hear(JSON.parse(event.data).revision));
    source.addEventListener('deleted', () => { isOver = true; close(); });
    source.addEventListener('error', () => {
      close();
      timer = runtime.setTimeout(open, pause * (0.75 + Math.random() / 2));
      pause = Math.min(longest, pause * 2);
    });
  };

  if (boot.root && boot.version) {
    scrollBack(tab.takeScroll());
    // After the page has what it needs itself.
    if (document.readyState === 'complete') open();
    else addEventListener('load', () => runtime.setTimeout(open, 0), { once: true });
    document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
    addEventListener('pagehide', close);
    addEventListener('pageshow', (event) => { if (event.persisted) open(); });
  }
}
