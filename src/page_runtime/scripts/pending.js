{
  // Changes of a storage that have not reached the server: the newest of each key, and whether
  // everything was removed before them.
  const makeChanges = () => ({ clear: false, set: new Map() });
  const isEmpty = (changes) => !changes.clear && changes.set.size === 0;
  const cost = (key, value) => key.length + (value?.length ?? 0) + 8;

  // `later` after `earlier`.
  const joined = (earlier, later) => (later.clear
    ? later
    : { clear: earlier.clear, set: new Map([...earlier.set, ...later.set]) });

  // What is waiting, for each kind of storage.
  const makeWaiting = () => {
    const waiting = { local: makeChanges(), session: makeChanges() };
    const kinds = Object.keys(waiting);
    return {
      changed(kind, key, value) { waiting[kind].set.set(key, value); },
      cleared(kind) { waiting[kind] = { clear: true, set: new Map() }; },
      has: (kind, key) => waiting[kind].clear || waiting[kind].set.has(key),
      isEmpty: () => kinds.every((kind) => isEmpty(waiting[kind])),
      size: () => kinds.reduce((sum, kind) => {
        for (const [key, value] of waiting[kind].set) sum += cost(key, value);
        return sum;
      }, 0),
      // What was taken and did not arrive comes back below what has changed since.
      restore(batch) {
        for (const kind of kinds) waiting[kind] = joined(batch[kind], waiting[kind]);
      },
      // A part of at most this size, but at least one change; the smallest first.
      take(limit) {
        const batch = {};
        let room = limit;
        let first = true;
        for (const kind of kinds) {
          const { clear, set } = waiting[kind];
          batch[kind] = { clear, set: new Map() };
          waiting[kind].clear = false;
          const bySize = [...set].map(([key, value]) => [key, value, cost(key, value)])
            .sort((left, right) => left[2] - right[2]);
          for (const [key, value, size] of bySize) {
            if (!first && size > room) break;
            first = false;
            room -= size;
            set.delete(key);
            batch[kind].set.set(key, value);
          }
        }
        return batch;
      },
    };
  };
  runtime.makeWaiting = makeWaiting;
}
