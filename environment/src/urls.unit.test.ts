import { describe, expect, test } from '@jest/globals';
import { databaseUrl, namedByUrl, withoutPassword } from './urls.ts';

describe('a URL in the environment', () => {
  test('names a part; what is empty or absent does not', () => {
    expect(namedByUrl({})).toEqual({});
    expect(namedByUrl({ MONGODB_URL: '', KUBECONFIG: '/etc/admin.conf' })).toEqual({
      kubernetes: { kubeconfig: '/etc/admin.conf' },
    });
    expect(namedByUrl({ MONGODB_URL: 'mongodb://db/' })).toEqual({ mongodb: 'mongodb://db/' });
  });

  test('of a broker implies its management API, unless that is named', () => {
    const amqp = 'amqp://me:p%40ss@broker:5673/shop';
    expect(namedByUrl({ RABBITMQ_URL: amqp }).rabbitmq).toEqual({
      amqp,
      management: 'http://me:p%40ss@broker:15672',
    });
    expect(namedByUrl({ RABBITMQ_URL: 'amqps://broker' }).rabbitmq?.management).toBe(
      'https://guest:guest@broker:15671',
    );
    expect(
      namedByUrl({ RABBITMQ_URL: amqp, RABBITMQ_MANAGEMENT_URL: 'http://elsewhere' }).rabbitmq?.management,
    ).toBe('http://elsewhere');
  });
});

describe('a database of a MongoDB URL', () => {
  test('is put where it belongs, options and several hosts kept', () => {
    expect(databaseUrl('mongodb://db:27017/', 'test')).toBe('mongodb://db:27017/test');
    expect(databaseUrl('mongodb://db', 'test')).toBe('mongodb://db/test');
    expect(databaseUrl('mongodb://a:1,b:2/?replicaSet=rs0', 'test')).toBe(
      'mongodb://a:1,b:2/test?replicaSet=rs0',
    );
  });

  test('leaves the credentials where they are looked up', () => {
    expect(databaseUrl('mongodb://me:secret@db/', 'test')).toBe(
      'mongodb://me:secret@db/test?authSource=admin',
    );
    expect(databaseUrl('mongodb://me:secret@db/users?w=1', 'test')).toBe(
      'mongodb://me:secret@db/test?w=1&authSource=users',
    );
    expect(databaseUrl('mongodb://me:secret@db/?authSource=x', 'test')).toBe(
      'mongodb://me:secret@db/test?authSource=x',
    );
  });
});

test('a URL is shown without its password', () => {
  expect(withoutPassword('amqp://me:secret@broker:5672/shop')).toBe('amqp://me:***@broker:5672/shop');
  expect(withoutPassword('mongodb://me:se:cret@a:1,b:2/')).toBe('mongodb://me:***@a:1,b:2/');
  expect(withoutPassword('amqp://broker')).toBe('amqp://broker');
});
