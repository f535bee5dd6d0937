{
  // A tab is known again after a reload by the name of its window, the only thing that the browser
  // keeps for a page without an origin. It says which tab this is, the number of its last write,
  // and, over a reload of ours, which version was asked for and where the page was scrolled to.
  // Another site that is opened in the same tab may read it; it holds nothing that matters.
  const form = /^atelier:([a-z0-9]{1,32}):(\d{1,15}):(\d{0,15}):(\d{0,9}):(\d{0,9})\|([^]*)$/;
  const native = Object.getOwnPropertyDescriptor(window, 'name');
  const read = () => native.get.call(window);
  const found = form.exec(read());
  const random = () =>
    [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => (byte % 36).toString(36)).join('');

  const tab = {
    id: found ? found[1] : random(),
    sequence: found ? Number(found[2]) : 0,
    asked: found?.[3] ? Number(found[3]) : 0,
    scroll: found?.[4] ? [Number(found[4]), Number(found[5] || 0)] : null,
  };
  let pageName = found ? found[6] : read();
  // A window that somebody else gave a name is addressed by it.
  const mayMark = boot.root !== undefined && (found !== null || pageName === '');

  const mark = () => {
    if (!mayMark) return;
    const [x, y] = tab.scroll ?? ['', ''];
    native.set.call(window, `atelier:${tab.id}:${tab.sequence}:${tab.asked || ''}:${x}:${y}|${pageName}`);
  };
  if (found || mayMark) {
    Object.defineProperty(window, 'name', {
      configurable: true,
      enumerable: true,
      get: () => pageName,
      set(value) { pageName = `${value}`; mark(); },
    });
  }
  runtime.tab = {
    get id() { return tab.id; },
    get sequence() { return tab.sequence; },
    get asked() { return tab.asked; },
    isKnown: found !== null,
    // Numbers grow with time, so that a copy of this tab does not use the same ones.
    next(known) {
      tab.sequence = Math.max(tab.sequence, known) + 1;
      if (tab.sequence < Date.now()) tab.sequence = Date.now();
      mark();
      return tab.sequence;
    },
    // The writes after this one will never arrive.
    settle(sequence) { tab.sequence = sequence; mark(); },
    renew() { tab.id = random(); mark(); },
    askFor(version) {
      tab.asked = version;
      tab.scroll = [Math.max(0, Math.round(scrollX)), Math.max(0, Math.round(scrollY))];
      mark();
    },
    takeScroll() {
      const { scroll } = tab;
      tab.scroll = null;
      if (scroll) mark();
      return scroll;
    },
  };
}
