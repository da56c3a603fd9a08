import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AckWindow, type Ack } from './ack-window.ts';

/** What RabbitMQ does with acknowledgements of a channel; throws where it would close the channel (406). */
class BrokerChannel {
  readonly unsettled = new Set<number>();
  readonly acked: number[] = [];

  ack({ tag, multiple }: Ack): void {
    if (!this.unsettled.has(tag)) throw new Error(`unknown delivery tag ${tag}`);
    const settled = multiple ? [...this.unsettled].filter((each) => each <= tag) : [tag];
    for (const each of settled) this.unsettled.delete(each);
    this.acked.push(...settled);
  }

  reject(tag: number): void {
    if (!this.unsettled.delete(tag)) throw new Error(`unknown delivery tag ${tag}`);
  }
}

/** A window to which so many deliveries have come. */
function windowOf(deliveries: number): AckWindow {
  const window = new AckWindow();
  for (let tag = 1; tag <= deliveries; tag += 1) window.arrived(tag);
  return window;
}

describe('AckWindow', () => {
  test('acknowledges a finished prefix in one frame', () => {
    const window = windowOf(3);
    for (const tag of [1, 3, 2]) window.finish(tag);
    expect(window.takePrefix()).toEqual({ tag: 3, multiple: true });
    expect(window.takePrefix()).toBeUndefined();
    expect(window.held).toBe(0);
  });

  test('a single delivery is acknowledged without multiple', () => {
    const window = windowOf(1);
    window.finish(1);
    expect(window.takePrefix()).toEqual({ tag: 1, multiple: false });
  });

  test('never reaches past an unfinished delivery', () => {
    const window = windowOf(5);
    for (const tag of [1, 2, 4, 5]) window.finish(tag);
    expect(window.takePrefix()).toEqual({ tag: 2, multiple: true });
    expect(window.held).toBe(2);
  });

  test('what finished behind a slow delivery can be acknowledged by itself, and once only', () => {
    const window = windowOf(3);
    for (const tag of [2, 3]) window.finish(tag);
    expect(window.takePrefix()).toBeUndefined();
    expect(window.takeStragglers()).toEqual([
      { tag: 2, multiple: false },
      { tag: 3, multiple: false },
    ]);
    window.finish(1);
    expect(window.takePrefix()).toEqual({ tag: 1, multiple: false });
    expect(window.takeStragglers()).toEqual([]);
  });

  test('a rejected delivery at the end of the prefix is not the tag that is acknowledged', () => {
    const window = windowOf(2);
    window.finish(1);
    window.settled(2);
    expect(window.takePrefix()).toEqual({ tag: 1, multiple: false });
  });

  test('keeps nothing of what is settled, however long a delivery before it takes', () => {
    const window = windowOf(1);
    for (let tag = 2; tag <= 10_000; tag += 1) {
      window.arrived(tag);
      window.finish(tag);
      expect(window.takePrefix()).toBeUndefined();
      expect(window.takeStragglers()).toEqual([{ tag, multiple: false }]);
      expect(window.held).toBe(0);
    }
    window.finish(1);
    expect(window.takePrefix()).toEqual({ tag: 1, multiple: false });
  });

  test('in any order of finishing, rejecting and flushing, each delivery is settled once and none is left', () => {
    const step = fc.record({
      pick: fc.nat(),
      how: fc.constantFrom('finish', 'finish', 'finish', 'reject'),
      flush: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const window = windowOf(steps.length);
        const broker = new BrokerChannel();
        const finished = new Set<number>();
        const open = steps.map((_, index) => index + 1);
        for (const tag of open) broker.unsettled.add(tag);
        const flush = (stragglers: boolean): void => {
          const prefix = window.takePrefix();
          if (prefix !== undefined) broker.ack(prefix);
          if (stragglers) for (const ack of window.takeStragglers()) broker.ack(ack);
          expect(broker.acked.every((tag) => finished.has(tag))).toBe(true);
        };
        for (const { pick, how, flush: when } of steps) {
          const [tag] = open.splice(pick % open.length, 1) as [number];
          if (how === 'finish') {
            finished.add(tag);
            window.finish(tag);
          } else {
            broker.reject(tag);
            window.settled(tag);
          }
          if (when < 3) flush(when === 0);
        }
        flush(true);
        expect(broker.unsettled.size).toBe(0);
        expect(new Set(broker.acked)).toEqual(finished);
        expect(broker.acked).toHaveLength(finished.size);
      }),
    );
  });
});
