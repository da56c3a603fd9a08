import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { OffsetWindow } from './offset-window.ts';

describe('the place in a stream', () => {
  test('is nowhere before anything is done', () => {
    const window = new OffsetWindow();
    window.arrived(7, 'a');
    expect(window.place).toBeUndefined();
    expect(window.done(8)).toBe(false);
  });

  test('is the last event before the first that is not done, in whatever order they get done', () => {
    fc.assert(
      fc.property(
        fc
          .uniqueArray(fc.nat(1_000), { minLength: 1, maxLength: 30 })
          .map((all) => all.sort((a, b) => a - b)),
        fc.infiniteStream(fc.nat()),
        (offsets, random) => {
          const window = new OffsetWindow();
          for (const offset of offsets) window.arrived(offset, `m${offset}`);
          const open = [...offsets];
          while (open.length > 0) {
            const [offset = 0] = open.splice((random.next().value as number) % open.length, 1);
            const before = window.place;
            const moved = window.done(offset);
            const expected = offsets.filter((each) => open.length === 0 || each < Math.min(...open)).at(-1);
            expect(window.place?.offset).toBe(expected);
            expect(moved).toBe(before !== window.place);
            if (window.place !== undefined) expect(window.place.messageId).toBe(`m${window.place.offset}`);
          }
        },
      ),
    );
  });
});
