import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { OrderCompleted } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { bonusService } from '../../../examples/bonus/bonus.ts';
import { asEvent, ask, openWorkbench } from './testing/index.ts';

const root = join(import.meta.dirname, '../../..');

describe('the example of the README', () => {
  test('is a whole service: it takes events once, publishes its own, and is asked by HTTP', async () => {
    await using ground = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
    const subscription = await ground.subscribe('bonus', ['order.completed']);
    const { url } = await ground.start(bonusService);
    const order = (id: string) =>
      asEvent(OrderCompleted.create({ orderId: id, userId: 'ada', total: 1, paymentId: 'p' }), 0, { id });
    await subscription.publish(order('o1'), order('o1'), order('o2'), order('o2'));
    await eventually(async () => (await ask(`${url}/bonuses/ada`)).status === 200);
    await eventually(() => ground.spy.events('OrderCounted').length === 2);
    expect(ground.spy.events('BonusGranted')).toEqual([]);
    await subscription.publish(order('o3'));
    await eventually(() => ground.spy.events('BonusGranted').length === 1);
    expect((await ask(`${url}/bonuses/ada`)).body).toEqual({ userId: 'ada', granted: true });
    expect((await ask(`${url}/bonuses/eve`)).status).toBe(404);
    expect((await ask(`${url}/openapi.json`)).text).toContain('Whether a customer has a bonus.');
    expect((await ask(`${url}/docs`)).type).toContain('text/html');
  });

  test('is, word for word, what the README shows', async () => {
    const readme = await readFile(join(root, 'packages/service/README.md'), 'utf8');
    const shown = /^```ts file=(\S+)\n([\s\S]*?)^```$/m.exec(readme);
    expect(shown?.[2]).toBe(await readFile(join(root, shown?.[1] ?? 'nothing'), 'utf8'));
  });
});

describe('the README', () => {
  test('names every metric that a service has, and no other', async () => {
    await using ground = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
    const { url } = await ground.start(bonusService);
    const { text } = await ask(`${url}/metrics`);
    const served = [...text.matchAll(/^# TYPE ((?:warren|http)_\w+) /gm)].map((match) => match[1] ?? '');
    const readme = await readFile(join(root, 'packages/service/README.md'), 'utf8');
    const documented = [...readme.matchAll(/^\| `((?:warren|http)_\w+)`/gm)].map((match) => match[1] ?? '');
    expect(documented.sort()).toEqual(served.sort());
  });

  test('names every setting, and what it is when it is not given', async () => {
    const { baseSettings } = await import('./settings.ts');
    const readme = await readFile(join(root, 'packages/service/README.md'), 'utf8');
    const documented = [...readme.matchAll(/^\| `([A-Z][A-Z_]+)` +\| `?([^|`]*)`? *\|/gm)].map(
      ([, name = '', fallback = '']): [string, string] => [name, fallback.trim()],
    );
    const defaults = baseSettings.parse({ MONGODB_URL: 'mongodb://host' }) as Record<
      string,
      string | number | undefined
    >;
    const expected = Object.keys(baseSettings.shape).map((name): [string, string] => [
      name,
      name === 'MONGODB_URL' ? 'required' : String(defaults[name] ?? ''),
    ]);
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(expected));
  });
});
