{
  // `localStorage` and `sessionStorage`: read from memory, which the server filled before the page
  // ran; written there at once and to the server soon after.
  const { install, makeStorage, expose } = runtime.areas;
  const { encode, decode } = runtime.text;
  const { limits, tab } = runtime;
  const stored = boot.storage;
  const Request = window.XMLHttpRequest;
  const missing = ['localStorage', 'sessionStorage'].filter((name) => runtime.refused(() => window[name]));

  // How long changes are collected, and how much of them.
  const delay = 150;
  const enough = 32 * 1024;
  // The browser sends at most 64 kB for pages that are closing.
  const closingLimit = 48 * 1024;
  const closingBytes = 60_000;
  // Six bytes for a character at worst, and the server takes two megabytes.
  const batchLimit = 300 * 1024;
  const longestPause = 30_000;

  const waiting = runtime.makeWaiting();
  // The newest write that is known of each key, and of all.
  const revisions = new Map();
  let revision = stored?.revision ?? 0;
  let accepted = 0;
  let flight = null;
  let timer = 0;
  let volume = 0;
  let pause = 0;
  let heard = 0;
  let state = stored ? 'saved' : 'memory';
  let problem = null;
  let settled = Promise.resolve();

  const become = (next, error = null) => {
    if (state === next && problem?.code === error?.code) return;
    state = next;
    problem = error;
    window.dispatchEvent(new Event('atelier:storage'));
  };
  const later = (time) => {
    if (!timer) timer = runtime.setTimeout(() => { timer = 0; flush(); }, time);
  };
  const noticed = (size) => {
    if (!stored || state === 'closed') return;
    volume += size;
    if (state === 'saved' || state === 'refused') become('saving');
    if (volume >= enough && !flight && !pause) flush();
    else later(Math.max(delay, pause));
  };
  const listening = (kind) => ({
    limits,
    changed(key, value) {
      waiting.changed(kind, key, value);
      noticed(key.length + (value?.length ?? 0));
    },
    cleared() { waiting.cleared(kind); noticed(0); },
  });
  const areas = { local: makeStorage(listening('local')), session: makeStorage(listening('session')) };

  const tell = (key, oldValue, newValue) => window.dispatchEvent(new StorageEvent('storage', {
    key, oldValue, newValue, url: location.href, storageArea: areas.local.storage,
  }));
  const isOwn = (key) => waiting.has('local', key)
    || (flight && (flight.local.clear || flight.local.set.has(key)));

  // Takes over what other tabs wrote.
  const apply = (answer, announce) => {
    const changes = answer.local.map(([key, value, at]) =>
      [decode(key), value === null ? null : decode(value), at]);
    if (answer.whole) {
      const kept = new Set(changes.map(([key]) => key));
      for (const key of areas.local.keys()) {
        if (!kept.has(key)) changes.push([key, null, answer.revision]);
      }
    }
    for (const [key, value, at] of changes) {
      if (isOwn(key) || at < (revisions.get(key) ?? 0)) continue;
      const old = areas.local.get(key);
      revisions.set(key, at);
      if (old === value) continue;
      if (value === null) areas.local.drop(key); else areas.local.put(key, value);
      if (announce) announce(key, old, value);
    }
    revision = Math.max(revision, answer.revision);
  };

  const travelling = ({ clear, set }) => ({
    clear, set: [...set].map(([key, value]) => [encode(key), value === null ? null : encode(value)]),
  });
  const request = (more) => JSON.stringify({ token: stored.token, tab: tab.id, since: revision, ...more });
  const post = async (body, keepalive) => {
    const response = await runtime.fetch(runtime.address('storage'), {
      method: 'POST', body, keepalive, cache: 'no-store', credentials: 'omit',
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw Object.assign(new Error(answer.message ?? `the server answered ${response.status}`), {
      code: answer.code ?? 'page_storage_unavailable', status: response.status,
    });
  };

  const send = async (batch, isClosing = false) => {
    // A page that is reloaded before the answer comes asks for this number.
    const sequence = tab.next(accepted);
    volume = 0;
    const body = request({
      sequence, local: travelling(batch.local), session: travelling(batch.session),
    });
    // Counted in bytes: one unit of text takes at most three.
    const isSmall = body.length * 3 < closingBytes
      || new TextEncoder().encode(body).length < closingBytes;
    // What failed may have failed since too much was on its way that outlives the page.
    const keepalive = isSmall && (isClosing || pause === 0);
    batch.keepalive = keepalive;
    flight = batch;
    try {
      const answer = await post(body, keepalive);
      if (flight === batch) flight = null;
      if (answer.written === undefined && !batch.superseded) {
        // A copy of this tab uses the same numbers.
        tab.renew();
        accepted = 0;
        waiting.restore(batch);
        for (const key of areas.session.keys()) {
          waiting.changed('session', key, areas.session.get(key));
        }
      } else {
        accepted = Math.max(accepted, sequence);
        for (const key of batch.local.set.keys()) {
          if (!batch.superseded) revisions.set(key, Math.max(answer.written, revisions.get(key) ?? 0));
        }
      }
      apply(answer, tell);
      pause = 0;
      become(waiting.isEmpty() && !flight ? 'saved' : 'saving');
    } catch (error) {
      if (flight === batch) flight = null;
      if (batch.superseded) return;
      waiting.restore(batch);
      if (error.status === 413) {
        // Waits until the page removes something.
        tab.settle(accepted);
        become('refused', error);
        console.warn(`Storage was not saved: ${error.message}`);
        throw error;
      }
      if (error.status >= 400 && error.status < 500) {
        tab.settle(accepted);
        become('closed', error);
        console.warn(`Storage is not saved any more: ${error.message}`);
        throw error;
      }
      pause = Math.min(longestPause, Math.max(1000, pause * 2));
      become('offline', error);
      later(pause * (0.75 + Math.random() / 2));
      throw error;
    }
  };

  // Sends what is waiting, one part after the other.
  const flush = () => {
    if (!stored || state === 'closed' || flight || waiting.isEmpty()) return settled;
    runtime.clearTimeout(timer);
    timer = 0;
    settled = (async () => {
      while (!waiting.isEmpty()) await send(waiting.take(batchLimit));
      hear(heard);
    })();
    settled.catch(() => {});
    return settled;
  };
  // The page may be gone in a moment: what fits is sent at once, with what is on its way, since
  // of two writes the later one counts.
  const hurry = (isLast) => {
    if (!stored || state === 'closed' || waiting.isEmpty()) return;
    if (flight) {
      if (!flight.keepalive && !isLast) return;
      flight.superseded = true;
      waiting.restore(flight);
    }
    const sent = send(waiting.take(closingLimit), true);
    settled = sent.then(() => { if (waiting.isEmpty()) hear(heard); else return flush(); });
    settled.catch(() => {});
  };
  // Asks for what other tabs wrote.
  const pull = async () => apply(await post(request({}), false), tell);
  const hear = (newest) => {
    heard = Math.max(heard, newest);
    // The answer to what is on its way brings the news too.
    if (heard > revision && !flight) pull().catch(() => { /* told again with the next change */ });
  };

  // What the server had when it sent this page, and, where this tab wrote since, what it has now.
  const fill = () => {
    const own = stored.tabs.find((one) => one.tab === tab.id);
    accepted = own?.sequence ?? 0;
    for (const [key, value] of stored.local) areas.local.put(decode(key), decode(value));
    let session = own?.session ?? [];
    if (tab.isKnown && tab.sequence > accepted) {
      // The page must not run before its own last write is here, or it would start from the state
      // before it and store that. So this once the browser waits.
      try {
        const asked = new Request();
        asked.open('POST', runtime.address('storage'), false);
        asked.send(request({ since: 0, awaited: tab.sequence }));
        const answer = JSON.parse(asked.responseText);
        if (asked.status === 200) {
          apply(answer);
          session = answer.session;
          accepted = Math.max(accepted, answer.sequence);
        }
      } catch { /* what came with the page has to do */ }
      tab.settle(accepted);
    }
    for (const [key, value] of session) areas.session.put(decode(key), decode(value));
  };

  if (stored && missing.length) {
    fill();
    addEventListener('beforeunload', () => hurry(false));
    addEventListener('pagehide', () => hurry(true));
    document.addEventListener('visibilitychange', () => { if (document.hidden) hurry(false); });
    addEventListener('online', () => { pause = 0; flush().catch(() => {}); });
    addEventListener('pageshow', (event) => { if (event.persisted) pull().catch(() => {}); });
  }
  if (missing.length) install();
  if (missing.includes('localStorage')) expose('localStorage', areas.local.storage);
  if (missing.includes('sessionStorage')) expose('sessionStorage', areas.session.storage);

  runtime.storage = { flush, hear };
  atelier.storage = Object.freeze({
    // saved, saving, offline (tries again), refused (too much), closed (deleted) or memory.
    get state() { return state; },
    get error() { return problem && { code: problem.code ?? 'offline', message: problem.message }; },
    get pending() { return waiting.size(); },
    get used() { return areas.local.size(); },
    get limit() { return limits.total; },
    flush: async () => { await flush(); },
  });
}
