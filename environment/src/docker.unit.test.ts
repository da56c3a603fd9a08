import { expect, test } from '@jest/globals';
import { brokerContainer } from './docker.ts';

test('a broker in a container is given each file and each port once: docker refuses a place that is mounted twice', () => {
  const args = brokerContainer('broker', { amqp: 1, management: 2 }, '4.3');
  const insides = args
    .filter((_, index) => ['--volume', '--publish'].includes(args[index - 1] ?? ''))
    .map((given) => given.replace(/:ro$/, '').split(':').at(-1));
  expect(insides).toEqual(['5672', '15672', '/etc/rabbitmq/enabled_plugins']);
});
