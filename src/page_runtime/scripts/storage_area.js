{
  // Storage as browsers have it, in memory: methods, properties, quota. What happens to it from
  // outside goes through the handle that `makeStorage` returns beside it.
  const areas = new WeakMap();
  const proto = Storage.prototype;
  const encoder = new TextEncoder();

  // Text as it travels and is counted: UTF-8 has no lone surrogates, so they are written out
  // behind a character that is none, and so is that one.
  const mark = '\ufdd0';
  const encode = (text) =>
    text.replace(/[\ud800-\udfff\ufdd0]/gu, (unit) => mark + unit.charCodeAt(0).toString(16));
  const decode = (text) => (text.includes(mark)
    ? text.replace(/\ufdd0([0-9a-f]{4})/g, (_, code) => String.fromCharCode(parseInt(code, 16)))
    : text);
  const byteLength = (text) => encoder.encode(encode(text)).length;
  const sizeOf = (key, value) => byteLength(key) + byteLength(value);

  const areaOf = (storage) => {
    const area = areas.get(storage);
    if (!area) throw new TypeError('Illegal invocation');
    return area;
  };
  const expect = (count, given, name) => {
    if (given < count) {
      throw new TypeError(`Failed to execute '${name}' on 'Storage': ${count} argument${
        count > 1 ? 's' : ''} required, but only ${given} present.`);
    }
  };
  const refuse = (key) => {
    const shown = key.length > 100 ? `${key.slice(0, 100)}…` : key;
    throw new DOMException(
      `Failed to execute 'setItem' on 'Storage': Setting the value of '${shown}' exceeded the quota.`,
      'QuotaExceededError');
  };
  const put = (area, key, value, size) => {
    area.size += size - (area.sizes.get(key) ?? 0);
    area.items.set(key, value);
    area.sizes.set(key, size);
  };
  const drop = (area, key) => {
    if (!area.items.delete(key)) return false;
    area.size -= area.sizes.get(key);
    area.sizes.delete(key);
    return true;
  };
  const write = (area, key, value) => {
    const { limits } = area;
    if (area.items.get(key) === value) return;
    // Long texts are not even counted.
    if (key.length > limits.key || value.length > limits.value) refuse(key);
    const [keySize, valueSize] = [byteLength(key), byteLength(value)];
    const size = keySize + valueSize;
    const total = area.size + size - (area.sizes.get(key) ?? 0);
    const isNew = !area.items.has(key);
    if (keySize > limits.key || valueSize > limits.value || total > limits.total
      || (isNew && area.items.size >= limits.entries)) refuse(key);
    put(area, key, value, size);
    area.changed(key, value);
  };
  const erase = (area, key) => {
    if (drop(area, key)) area.changed(key, null);
  };

  const methods = {
    getItem(key) {
      const area = areaOf(this);
      expect(1, arguments.length, 'getItem');
      return area.items.get(`${key}`) ?? null;
    },
    setItem(key, value) {
      const area = areaOf(this);
      expect(2, arguments.length, 'setItem');
      write(area, `${key}`, `${value}`);
    },
    removeItem(key) {
      const area = areaOf(this);
      expect(1, arguments.length, 'removeItem');
      erase(area, `${key}`);
    },
    clear() {
      const area = areaOf(this);
      if (area.items.size === 0) return;
      area.items.clear();
      area.sizes.clear();
      area.size = 0;
      area.cleared();
    },
    key(index) {
      const area = areaOf(this);
      expect(1, arguments.length, 'key');
      return [...area.items.keys()][index >>> 0] ?? null;
    },
  };

  // As in browsers, members of the prototype win over items when read, never when written.
  const shown = (area, key) => typeof key === 'string' && area.items.has(key) && !(key in proto);
  const proxy = (area) => {
    const storage = new Proxy(Object.create(proto), {
      get: (target, key, self) =>
        (shown(area, key) ? area.items.get(key) : Reflect.get(target, key, self)),
      set(target, key, value, self) {
        if (typeof key !== 'string') return Reflect.set(target, key, value);
        if (self !== storage) return Reflect.set(target, key, value, self);
        write(area, key, `${value}`);
        return true;
      },
      has: (target, key) => shown(area, key) || Reflect.has(target, key),
      deleteProperty(target, key) {
        if (!shown(area, key)) return Reflect.deleteProperty(target, key);
        erase(area, key);
        return true;
      },
      ownKeys: (target) =>
        [...area.items.keys()].filter((key) => shown(area, key)).concat(Reflect.ownKeys(target)),
      getOwnPropertyDescriptor: (target, key) => (shown(area, key)
        ? { configurable: true, enumerable: true, writable: true, value: area.items.get(key) }
        : Reflect.getOwnPropertyDescriptor(target, key)),
      defineProperty(target, key, descriptor) {
        if (typeof key !== 'string') return Reflect.defineProperty(target, key, descriptor);
        if (!('value' in descriptor)) return false;
        write(area, key, `${descriptor.value}`);
        return true;
      },
      preventExtensions: () => false,
    });
    return storage;
  };

  // Puts the members into place of the browser's own. Only where those are refused anyway.
  const install = () => {
    for (const [name, value] of Object.entries(methods)) {
      Object.defineProperty(proto, name, { configurable: true, enumerable: true, writable: true, value });
    }
    Object.defineProperty(proto, 'length', {
      configurable: true, enumerable: true, get() { return areaOf(this).items.size; },
    });
    // Events carry the storage; the browser's own constructor takes only its own kind.
    const NativeStorageEvent = window.StorageEvent;
    window.StorageEvent = class StorageEvent extends NativeStorageEvent {
      constructor(type, init) {
        const area = init?.storageArea;
        super(type, areas.has(area) ? { ...init, storageArea: null } : init);
        if (areas.has(area)) Object.defineProperty(this, 'storageArea', { value: area });
      }
    };
  };

  // `changed(key, value or null)` and `cleared()` hear what the page does.
  const makeStorage = ({ limits, changed = () => {}, cleared = () => {} }) => {
    const area = { items: new Map(), sizes: new Map(), size: 0, limits, changed, cleared };
    const storage = proxy(area);
    areas.set(storage, area);
    return {
      storage,
      get: (key) => area.items.get(key) ?? null,
      keys: () => [...area.items.keys()],
      // From outside: no quota, and nobody hears of it.
      put: (key, value) => put(area, key, value, sizeOf(key, value)),
      size: () => area.size,
      drop: (key) => drop(area, key),
    };
  };

  const expose = (name, storage) => Object.defineProperty(window, name, {
    configurable: true, enumerable: true, get: () => storage,
  });

  runtime.areas = { install, makeStorage, expose };
  runtime.text = { encode, decode };
}
