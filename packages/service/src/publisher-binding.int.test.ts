/** A service that only publishes: it finds its broker in the binding that has its name, and follows it. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { createManagementClient, hashPassword } from '@warren/rabbitmq';
import { ask, openWorkbench } from './testing/index.ts';
import { appendFact, publishingService } from './testing/publishing.ts';

const service = publishingService('publishing');

test('a service without subscriptions publishes by the binding of its name, and as its next user after a rotation', async () => {
  const broker = await testBroker();
  await using ground = await openWorkbench({ broker, database: await testDatabase() });
  const { managementUrl: managing, vhost, amqpUrl } = broker;
  await using api = createManagementClient({ url: managing, vhost });
  const users = ['a', 'b'].map((one) => `publishing-${one}-${vhost}`);
  const folder = join(ground.root, 'publishing');
  await mkdir(folder);
  const bind = async (name: string) => {
    const uri = Object.assign(new URL(amqpUrl), { username: name, password: 'a-password' }).href;
    const entries = { type: 'rabbitmq', publisher: 'shop/publishing', 'events-exchange': 'events', uri };
    for (const [key, value] of Object.entries(entries)) {
      await writeFile(join(ground.root, `.${key}`), value);
      await rename(join(ground.root, `.${key}`), join(folder, key));
    }
  };
  try {
    for (const name of users) {
      await api.putUser({ name, passwordHash: hashPassword('a-password'), tags: [] });
      await api.putPermission(name, { configure: '^$', write: '^events$', read: '^$' });
    }
    const [first = '', second = ''] = users;
    // May publish another event, and not this one.
    await api.putTopicPermission(first, { exchange: 'events', write: '^order[.]placed$', read: '^$' });
    const { url } = await ground.start(service, { RABBITMQ_URL: '' });
    const append = async (id: string) => expect(await appendFact(url, id)).toBe(201);
    await append('u1');
    expect((await ask(`${url}/readyz`)).text).toContain('There is no broker to publish to');
    await bind(first);
    await eventually(async () => (await ask(`${url}/readyz`)).status === 200);
    // Refused: it stays where it is safe, and the metric says why.
    await eventually(async () => (await ask(`${url}/metrics`)).text.includes('WARREN_PUBLISH_FORBIDDEN'));
    expect((await ask(`${url}/metrics`)).text).toMatch(/^warren_outbox_backlog\{.*\} 1$/m);
    expect(ground.spy.messages).toEqual([]);
    await bind(second);
    await append('u2');
    await eventually(() => ground.spy.events().length >= 2);
    expect(new Set(ground.spy.events().map(({ aggregateId }) => aggregateId))).toEqual(new Set(['u1', 'u2']));
  } finally {
    for (const name of users) await api.deleteUser(name);
  }
});
