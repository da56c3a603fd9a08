import { describe, expect, test } from '@jest/globals';
import { createColors } from 'picocolors';
import { duration, eventLines } from './story-lines.ts';
import { Story } from './story.ts';

const at = (ms: number) => new Date(1_000_000 + ms).toISOString();

const published = {
  msg: 'event published',
  service: 'order',
  time: at(12),
  at: at(0),
  eventId: 'e1',
  type: 'OrderPlaced',
  correlationId: 'c1',
  ms: 5,
};
const consumed = {
  msg: 'event consumed',
  service: 'payment',
  subscription: 'payment',
  time: at(20),
  eventId: 'e1',
  type: 'OrderPlaced',
  correlationId: 'c1',
  attempt: 1,
  outcome: 'handled',
  ms: 7.5,
};

describe('the story of a conversation', () => {
  test.each([
    ['the publisher first', [published, consumed]],
    ['the consumer first', [consumed, published]],
  ])('is the same with %s', (_, records) => {
    const story = new Story();
    for (const record of records) story.hear(record);
    expect(story.conversation('c1')).toEqual([
      {
        id: 'e1',
        type: 'OrderPlaced',
        correlationId: 'c1',
        at: 1_000_000,
        publisher: 'order',
        publishedAt: 1_000_012,
        takings: [{ subscription: 'payment', at: 1_000_020, attempt: 1, outcome: 'handled', ms: 7.5 }],
      },
    ]);
  });

  test('has its events in the order they happened, and none of another conversation', () => {
    const story = new Story();
    story.hear({ ...published, eventId: 'later', at: at(50) });
    story.hear({ ...published, eventId: 'other', correlationId: 'c2' });
    story.hear(published);
    expect(story.conversation('c1').map(({ id }) => id)).toEqual(['e1', 'later']);
  });

  test('tells of every failed attempt, and where the message was set aside', () => {
    const story = new Story();
    story.hear(published);
    const err = { message: 'no mailbox' };
    story.hear({ ...consumed, msg: 'an event could not be handled', attempt: 2, err });
    story.hear({
      msg: 'a message was set aside',
      service: 'payment',
      subscription: 'payment',
      messageId: 'e1',
      attempt: 2,
      deadLetter: { exchange: 'failed_events', routingKey: 'shop.payment' },
      err,
      time: at(30),
    });
    const [event] = story.events;
    expect(event?.takings.map(({ outcome }) => outcome)).toEqual(['failed', 'set aside']);
    const lines = eventLines(event!, { paint: createColors(false), from: 1_000_000 }).join('\n');
    expect(lines).toContain('payment        attempt 2 failed after 20 ms: no mailbox');
    expect(lines).toContain('payment        set it aside after 30 ms: failed_events, key shop.payment');
  });

  test('hears nothing in other records', () => {
    const story = new Story();
    story.hear({ msg: 'listening', service: 'order' });
    expect([story.heard, story.events]).toEqual([0, []]);
  });

  test('fits into 100 columns with ids as they are', () => {
    const story = new Story();
    const eventId = '0b6fbd37-5e8b-4a0b-9d4e-0d6a2b7c9e1f';
    story.hear({ ...published, eventId, type: 'NotificationSent', service: 'notification' });
    story.hear({
      ...consumed,
      eventId,
      type: 'NotificationSent',
      subscription: 'notification',
      attempt: 12,
      ms: 9999,
    });
    const lines = eventLines(story.events[0]!, { paint: createColors(false), from: 0 });
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
  });
});

test.each([
  [0, '0 ms'],
  [0.44, '0.4 ms'],
  [7.5, '8 ms'],
  [1234, '1.2 s'],
  [12_345, '12 s'],
])('%p milliseconds are told as %p', (ms, told) => {
  expect(duration(ms)).toBe(told);
});
