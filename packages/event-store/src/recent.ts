/** A map that remembers at least the last `limit` keys that were set, and at most twice as many. */
export function createRecent<Key, Value>(
  limit: number,
): { get(key: Key): Value | undefined; set(key: Key, value: Value): void } {
  let young = new Map<Key, Value>();
  let old = young;
  return {
    get: (key) => young.get(key) ?? old.get(key),
    set(key, value) {
      young.set(key, value);
      if (young.size < limit) return;
      old = young;
      young = new Map();
    },
  };
}
