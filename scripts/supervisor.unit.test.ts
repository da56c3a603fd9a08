import { describe, expect, test } from '@jest/globals';
import { createSupervisor, type Supervised } from './supervisor.ts';

function bench(options: { most?: number; withinMs?: number } = {}) {
  const told: string[] = [];
  const supervisor = createSupervisor<Supervised>({
    ...options,
    onRestart: ({ name }, count) => told.push(`restart ${name} ${count}`),
    onGivenUp: ({ name }) => told.push(`give up ${name}`),
  });
  const end = (name: string) => supervisor.ended({ name, start: () => told.push(`start ${name}`) });
  return { supervisor, end, told };
}

describe('a supervisor', () => {
  test('starts a process again that has ended, and says so before', () => {
    const { supervisor, end, told } = bench();
    supervisor.start();
    end('order');
    expect(told).toEqual(['restart order 1', 'start order']);
  });

  test('gives up on a process that ends too often, and on no other', () => {
    const { supervisor, end, told } = bench({ most: 2 });
    supervisor.start();
    for (const name of ['order', 'order', 'order', 'user']) end(name);
    expect(told.filter((line) => !line.startsWith('start'))).toEqual([
      'restart order 1',
      'restart order 2',
      'give up order',
      'restart user 1',
    ]);
  });

  test('forgets ends that are long past', () => {
    const { supervisor, end, told } = bench({ most: 1, withinMs: 0 });
    supervisor.start();
    end('order');
    end('order');
    expect(told).not.toContain('give up order');
  });

  test('does nothing before its start and after its stop', () => {
    const { supervisor, end, told } = bench();
    end('order');
    supervisor.start();
    supervisor.stop();
    end('order');
    expect(told).toEqual([]);
  });
});
