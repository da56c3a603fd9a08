import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { dedicatedBroker, eventually } from '@warren/environment/testing';
import { connectBroker } from '@warren/rabbitmq';
import { certificateAuthority } from '../testing/certificates.ts';
import { folderWorld, isReady, readKeysOf, startFolderOperator } from '../testing/folder-operator.ts';

test('a broker with a CA of its own, which also asks for a certificate: operator, consumers, wrong ones, and rotation', async () => {
  const [ours, others] = await Promise.all([certificateAuthority(), certificateAuthority('somebody-else')]);
  const [server, client] = await Promise.all([ours.sign('broker'), ours.sign('warren')]);
  await using broker = await dedicatedBroker({
    tls: { ca: ours.ca, ...server, requireClientCertificate: true },
    // More than any disk has free: an alarm that stays.
    settings: ['disk_free_limit.absolute = 1000000GB'],
  });
  const access = broker.tls;
  if (access === undefined) throw new Error('a broker without TLS');
  await using world = await folderWorld(access);
  const secret = (key: string, value: string) =>
    writeFile(join(world.state, 'secrets', 'warren-system', 'rabbitmq', key), value);
  await secret('tls.crt', client.cert);
  await secret('tls.key', client.key);
  await secret('ca.crt', others.ca);
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });

  await using operator = await startFolderOperator(world);
  const warnings = () => operator.told.filter(({ type }) => type === 'Warning').length;
  await eventually(() => operator.brokerCondition('Ready')?.reason === 'CertificateInvalid');
  expect(operator.brokerCondition('Ready')?.message).toContain(
    "the broker's certificate is not signed by a CA in ca.crt",
  );
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerUnavailable');
  await eventually(() => warnings() === 1);

  // Corrected, and followed without a restart.
  await secret('ca.crt', ours.ca);
  await eventually(() => isReady(operator, 'loyalty'));
  const { uri = '', ...binding } = await readKeysOf(world.state, 'loyalty');
  expect(uri).toBe(access.amqpUrl);
  const tls = { ca: binding['ca.crt'], cert: binding['tls.crt'], key: binding['tls.key'] };
  await using connection = connectBroker({ url: uri, name: 'a consumer', tls });
  await connection.opened();

  // The disk alarm of this broker is told of, and keeps nobody from declaring.
  const status = operator.source.brokers.get('default')?.status;
  expect(status).toMatchObject({ alarms: [expect.stringMatching(/^disk.* on /)], subscriptions: 1 });
  expect(operator.brokerCondition('PublishersBlocked')).toMatchObject({
    status: 'True',
    reason: 'ResourceAlarm',
    message: expect.stringMatching(/disk.* on /),
  });
  expect(operator.told.filter(({ reason }) => reason === 'PublishersBlocked')).toHaveLength(1);

  // Another client certificate, which the broker does not accept.
  const stranger = await others.sign('warren');
  await secret('tls.crt', stranger.cert);
  await secret('tls.key', stranger.key);
  // The broker hangs up without a word, as TLS 1.3 lets it.
  await eventually(() => operator.brokerCondition('Ready')?.message.includes('client certificate'));
  await secret('tls.crt', client.cert);
  await secret('tls.key', client.key);
  await eventually(() => operator.brokerCondition('Ready')?.status === 'True');
  // What was in sync was never called anything else.
  expect(operator.told.filter(({ name, type }) => name === 'loyalty' && type === 'Warning')).toEqual([]);

  // Consumers with users of their own go on with that certificate, which is told, until there is one for them.
  await world.broker({ consumerCredentials: { mode: 'PerSubscription' } });
  await eventually(() => operator.told.some(({ reason }) => reason === 'CertificateShared'));
  const theirs = await ours.sign('consumers');
  await secret('consumer-tls.crt', theirs.cert);
  await secret('consumer-tls.key', theirs.key);
  const given = async () => await readKeysOf(world.state, 'loyalty');
  await eventually(async () => (await given())['tls.crt'] === theirs.cert);
  await eventually(() => operator.brokerCondition('ConsumerCredentials')?.reason === 'PerSubscription');
  const { uri: own = '', 'tls.key': key } = await given();
  expect(key).toBe(theirs.key);
  const withTheirs = { url: own, name: 'a consumer', tls: { ca: ours.ca, ...theirs } };
  await using consumer = connectBroker(withTheirs);
  await consumer.opened();
});
