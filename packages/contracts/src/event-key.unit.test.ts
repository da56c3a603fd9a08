import { randomUUID } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { eventKeyOf } from './event-key.ts';

describe('the key of an event', () => {
  test('is its id where that is a UUID, whoever published it', () => {
    const id = randomUUID();
    expect(eventKeyOf({ id, source: 'order' })).toBe(id);
    expect(eventKeyOf({ id: id.toUpperCase(), source: 'order' })).toBe(id.toUpperCase());
  });

  test('is of source and id where the id is another text, and the same each time', () => {
    const key = eventKeyOf({ id: '1', source: 'legacy/crm' });
    expect(key).toMatch(/^[\w-]{43}$/);
    expect(eventKeyOf({ id: '1', source: 'legacy/crm' })).toBe(key);
    const others = [
      { id: '2', source: 'legacy/crm' },
      { id: '1', source: 'legacy/erp' },
      { id: 'm1', source: 'legacy/cr' },
      { id: key, source: 'legacy/crm' },
      { id: `${randomUUID()} `, source: 'legacy/crm' },
    ];
    expect(new Set([key, ...others.map(eventKeyOf)]).size).toBe(6);
  });

  test('stays short, however long the two are', () => {
    expect(eventKeyOf({ id: 'i'.repeat(10_000), source: 's'.repeat(10_000) })).toHaveLength(43);
  });
});
