{
  // `window.atelier.kv`: values that everybody who opens the app shares. Any JSON value.
  const { encode, decode } = runtime.text;
  const checked = (key) => {
    if (typeof key !== 'string') throw new TypeError('a key is a string');
    return encode(key);
  };
  // Without a server, for as long as the page lives.
  const memory = new Map();
  const alone = {
    get: ({ key }) => ({ value: memory.get(key) ?? null }),
    set: ({ key, value }) => { memory.set(key, value); return {}; },
    delete: ({ key }) => { memory.delete(key); return {}; },
    list: ({ prefix }) => ({
      keys: [...memory.keys()].filter((key) => key.startsWith(prefix)).sort(), more: false,
    }),
  };
  const ask = async (what, details) => {
    if (!boot.storage) return alone[what](details);
    const response = await runtime.fetch(runtime.address('kv'), {
      method: 'POST',
      body: JSON.stringify({ token: boot.storage.token, do: what, ...details }),
      cache: 'no-store',
      credentials: 'omit',
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const message = answer.message ?? `the server answered ${response.status}`;
    if (answer.code === 'page_storage_full') throw new DOMException(message, 'QuotaExceededError');
    throw Object.assign(new Error(message), { code: answer.code ?? 'page_storage_unavailable' });
  };
  atelier.kv = Object.freeze({
    async get(key) {
      const { value } = await ask('get', { key: checked(key) });
      return value === null ? undefined : JSON.parse(decode(value));
    },
    async set(key, value) {
      const text = JSON.stringify(value);
      if (text === undefined) throw new TypeError('a value is anything that JSON can hold');
      await ask('set', { key: checked(key), value: encode(text) });
    },
    async delete(key) { await ask('delete', { key: checked(key) }); },
    async list(prefix = '') {
      const keys = [];
      for (let more = true; more;) {
        const answer = await ask('list', { prefix: checked(prefix), after: keys.at(-1) ?? null });
        keys.push(...answer.keys);
        ({ more } = answer);
      }
      return keys.map(decode);
    },
  });
}
