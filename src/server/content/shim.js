(() => {
  'use strict';
  // Hosted pages run in an opaque origin, where the browser refuses storage and throws. What a
  // page may expect is put in place here, in memory, before any script of the page runs.
  const refused = (probe) => { try { probe(); return false; } catch { return true; } };
  const hide = (owner, name) => { try { delete owner[name]; } catch { /* stays as it is */ } };

  if (refused(() => document.cookie)) {
    Object.defineProperty(Document.prototype, 'cookie', {
      configurable: true, enumerable: true, get() { return ''; }, set() {},
    });
  }
  // Pages ask for these two by `in`; absent is the truth here.
  if (refused(() => navigator.serviceWorker)) hide(Navigator.prototype, 'serviceWorker');
  if (refused(() => window.caches)) hide(window, 'caches');

  const missing = ['localStorage', 'sessionStorage'].filter((name) => refused(() => window[name]));
  if (missing.length) {
    const quota = 5 * 1024 * 1024;
    const areas = new WeakMap();
    const proto = Storage.prototype;

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
    const write = (area, key, value) => {
      const old = area.items.get(key);
      const size = area.size + value.length - (old === undefined ? -key.length : old.length);
      if (size > quota) {
        throw new DOMException(
          `Failed to execute 'setItem' on 'Storage': Setting the value of '${key}' exceeded the quota.`,
          'QuotaExceededError');
      }
      area.items.set(key, value);
      area.size = size;
    };
    const erase = (area, key) => {
      const old = area.items.get(key);
      if (old === undefined) return;
      area.items.delete(key);
      area.size -= key.length + old.length;
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
        area.items.clear();
        area.size = 0;
      },
      key(index) {
        const area = areaOf(this);
        expect(1, arguments.length, 'key');
        return [...area.items.keys()][index >>> 0] ?? null;
      },
    };
    for (const [name, value] of Object.entries(methods)) {
      Object.defineProperty(proto, name, { configurable: true, enumerable: true, writable: true, value });
    }
    Object.defineProperty(proto, 'length', {
      configurable: true, enumerable: true, get() { return areaOf(this).items.size; },
    });

    // As in browsers, members of the prototype win over items when read, never when written.
    const shown = (area, key) => typeof key === 'string' && area.items.has(key) && !(key in proto);
    const makeStorage = () => {
      const area = { items: new Map(), size: 0 };
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
      areas.set(storage, area);
      return storage;
    };
    for (const name of missing) {
      const storage = makeStorage();
      Object.defineProperty(window, name, { configurable: true, enumerable: true, get: () => storage });
    }

    // Pages announce changes within themselves by an event that carries the storage; the
    // browser's own constructor takes only its own kind.
    const NativeStorageEvent = window.StorageEvent;
    window.StorageEvent = class StorageEvent extends NativeStorageEvent {
      constructor(type, init) {
        const area = init?.storageArea;
        super(type, areas.has(area) ? { ...init, storageArea: null } : init);
        if (areas.has(area)) Object.defineProperty(this, 'storageArea', { value: area });
      }
    };
  }
  document.currentScript?.remove();
})();
