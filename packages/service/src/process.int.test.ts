import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { OrderCompleted } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { asEvent, ask, openWorkbench, startProcess } from './testing/index.ts';

const main = join(import.meta.dirname, 'testing/fixtures/holding-service.ts');
const bench = async () =>
  openWorkbench({
    broker: await testBroker(),
    database: await testDatabase(),
    env: { LOG_LEVEL: 'info', SHUTDOWN_DEADLINE_MS: '10000' },
  });

const order = (id: string): Event =>
  asEvent(OrderCompleted.create({ orderId: id, userId: 'user-1', total: 1, paymentId: 'p' }), 0, {
    id: `event-${id}`,
    aggregateId: id,
  });

describe('a service as a process', () => {
  test('that is killed between its append and the ack handles the message again without a second effect', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('holder', ['order.completed']);
    await using first = startProcess({ main, env: ground.env });
    await first.listening();
    await subscription.publish(order('hold-1'));
    await eventually(() => ground.spy.events('PointsEarned').length === 1);
    await eventually(() => first.log.some(({ msg }) => msg === 'holding'));
    first.kill('SIGKILL');
    await first.ended();

    await using second = startProcess({ main, env: ground.env });
    const url = await second.listening();
    await eventually(() => second.log.some(({ msg }) => msg === 'holding'));
    await ask(`${url}/release`, { method: 'POST' });
    await eventually(async () =>
      /^warren_events_consumed_total\{.*outcome="duplicate".*\} 1$/m.test((await ask(`${url}/metrics`)).text),
    );
    expect(new Set(ground.spy.events('PointsEarned').map(({ id }) => id)).size).toBe(1);
    second.kill('SIGTERM');
    expect(await second.ended()).toBe(0);
    expect(await subscription.depth()).toBe(0);
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('that is killed before the confirm publishes after its next start', async () => {
    await using ground = await bench();
    const nowhere = { ...ground.env, RABBITMQ_URL: 'amqp://127.0.0.1:1' };
    await using first = startProcess({ main, env: nowhere });
    const url = await first.listening();
    // Until its collections are made it answers 503, and appends nothing.
    await eventually(async () => (await ask(`${url}/appends/20`, { method: 'POST' })).status === 201);
    first.kill('SIGKILL');
    await first.ended();
    expect(ground.spy.messages).toHaveLength(0);
    await using second = startProcess({ main, env: ground.env });
    await second.listening();
    await eventually(() => ground.spy.messages.length === 20);
    expect(new Set(ground.spy.events().map(({ id }) => id)).size).toBe(20);
  });

  test('that is killed within an outside effect does it again with the same key, at no further attempt', async () => {
    await using ground = await bench();
    // The crash is the first attempt; the second must be enough.
    const subscription = await ground.subscribe('holder', ['order.completed'], { attempts: 2 });
    await using first = startProcess({ main, env: ground.env });
    await first.listening();
    await subscription.publish(order('mail-1'));
    const before = await eventually(() => first.log.find(({ msg }) => msg === 'effect'));
    first.kill('SIGKILL');
    await first.ended();

    await using second = startProcess({ main, env: ground.env });
    const url = await second.listening();
    const again = await eventually(() => second.log.find(({ msg }) => msg === 'effect'));
    expect(again['key']).toBe(before['key']);
    await ask(`${url}/release`, { method: 'POST' });
    await eventually(() => second.log.find(({ msg, done }) => msg === 'effect done' && done === 'now'));
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('on SIGTERM is not ready but alive, finishes what runs, publishes what is left, and ends with 0', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('holder', ['order.completed']);
    await using process = startProcess({ main, env: ground.env });
    const url = await process.listening();
    await eventually(async () => (await ask(`${url}/readyz`)).status === 200);
    await subscription.publish(order('hold-1'));
    await eventually(() => process.log.some(({ msg }) => msg === 'holding'));
    process.kill('SIGTERM');
    await eventually(async () => (await ask(`${url}/readyz`)).status === 503);
    expect((await ask(`${url}/livez`)).status).toBe(200);
    await subscription.publish(order('o2'));
    // What is appended now must be published before the end.
    expect((await ask(`${url}/appends/50`, { method: 'POST' })).status).toBe(201);
    await ask(`${url}/release`, { method: 'POST' });
    expect(await process.ended()).toBe(0);
    expect(process.log.map(({ msg }) => msg)).toEqual(expect.arrayContaining(['stopping', 'stopped']));
    // Finished and acknowledged; the other one was not taken.
    expect(await subscription.depth()).toBe(1);
    await eventually(() => ground.spy.events('PointsEarned').length >= 51);
  });

  test('on SIGTERM ends by its deadline when a handler hangs; the message goes back', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('holder', ['order.completed']);
    await using process = startProcess({ main, env: { ...ground.env, SHUTDOWN_DEADLINE_MS: '5000' } });
    await process.listening();
    await subscription.publish(order('hold-1'));
    await eventually(() => process.log.some(({ msg }) => msg === 'holding'));
    process.kill('SIGTERM');
    expect(await process.ended()).toBe(0);
    await eventually(async () => (await subscription.depth()) === 1);
  });

  test('on SIGTERM ends while it still waits for its database', async () => {
    await using ground = await bench();
    await using process = startProcess({
      main,
      env: { ...ground.env, MONGODB_URL: 'mongodb://127.0.0.1:1/x' },
    });
    const url = await process.listening();
    await eventually(async () => (await ask(`${url}/livez`)).status === 200);
    process.kill('SIGTERM');
    expect(await process.ended()).toBe(0);
  });

  test('with wrong settings ends with 1 and a sentence for each, and never shows a value', async () => {
    await using process = startProcess({
      main,
      env: { MONGODB_URL: 'http://user:hunter2@host', PORT: 'eighty' },
    });
    expect(await process.ended()).toBe(1);
    const said = process.output.join('\n');
    expect(said).toMatch(
      /holder: The service cannot start\.\n {2}- PORT: .*\n {2}- MONGODB_URL: must begin with mongodb/,
    );
    expect(said).not.toContain('hunter2');
  });

  test('whose port is taken ends with 1 and says so', async () => {
    await using ground = await bench();
    await using first = startProcess({ main, env: ground.env });
    const { port } = new URL(await first.listening());
    await using second = startProcess({ main, env: { ...ground.env, PORT: port } });
    expect(await second.ended()).toBe(1);
    expect(second.output.join('\n') + JSON.stringify(second.log)).toContain('EADDRINUSE');
  });
});
