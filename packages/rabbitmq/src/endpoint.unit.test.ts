import { describe, expect, test } from '@jest/globals';
import { createBackoff } from './backoff.ts';
import { connectionError, parseEndpoint, withoutCredentials } from './endpoint.ts';
import { Fifo } from './fifo.ts';

describe('a broker URL', () => {
  test('is taken apart, with credentials in UTF-8', () => {
    const { connect, shown } = parseEndpoint('amqp://us%40er:p%C3%A4ss%2Fw@broker:1234/my%2Fvhost', 20);
    expect(connect).toEqual({
      protocol: 'amqp',
      hostname: 'broker',
      port: 1234,
      username: 'us@er',
      password: 'päss/w',
      vhost: 'my%2Fvhost',
      heartbeat: 20,
    });
    expect(shown).toBe('amqp://broker:1234/my%2Fvhost');
  });

  test('has the usual defaults', () => {
    expect(parseEndpoint('amqps://host', 20).connect).toMatchObject({
      port: 5671,
      username: 'guest',
      vhost: '',
    });
    expect(parseEndpoint('amqp://[::1]?heartbeat=3', 20).connect).toMatchObject({
      hostname: '::1',
      heartbeat: 3,
    });
  });

  test('that is wrong is refused without showing it', () => {
    for (const url of ['', 'http://u:hunter22@h', 'amqp://u:hunter22@:x', 'hunter22']) {
      expect(() => parseEndpoint(url, 20)).toThrow(/is not of the form/);
      try {
        parseEndpoint(url, 20);
      } catch (error) {
        expect(JSON.stringify(error) + String(error)).not.toContain('hunter22');
      }
    }
  });

  test('its password is in no error', () => {
    const endpoint = parseEndpoint('amqp://u:hunter22@h/v', 20);
    const error = connectionError(new Error('x hunter22 amqp://u:hunter22@h y'), endpoint);
    expect(error.message).not.toContain('hunter22');
  });

  test('is shown without its credentials, as any URL in a text', () => {
    expect(withoutCredentials('see http://a:b@c/d and mongodb+srv://x:y@z')).toBe(
      'see http://***@c/d and mongodb+srv://***@z',
    );
    expect(withoutCredentials('amqp://user:p@ss:w@rd@host/')).toBe('amqp://***@host/');
    expect(withoutCredentials('write to ada@example.com about amqp://host/')).toBe(
      'write to ada@example.com about amqp://host/',
    );
  });

  test('a failure has the code of its kind', () => {
    const code = (message: string): string => connectionError(new Error(message), undefined).code;
    expect(code('Handshake terminated by server: 403 (ACCESS-REFUSED) with message "…"')).toBe(
      'WARREN_BROKER_UNAUTHORIZED',
    );
    expect(code('Expected ConnectionOpenOk; got <ConnectionClose channel:0>')).toBe(
      'WARREN_BROKER_FORBIDDEN',
    );
    expect(code('connect ECONNREFUSED 127.0.0.1:1')).toBe('WARREN_BROKER_UNREACHABLE');
  });
});

describe('backoff', () => {
  test('grows to its cap, jittered between half and whole, and starts again after success', () => {
    const low = createBackoff({ initialMs: 100, maxMs: 500, random: () => 0 });
    const high = createBackoff({ initialMs: 100, maxMs: 500, random: () => 1 });
    expect([1, 2, 3, 4, 5].map(() => low.next())).toEqual([50, 100, 200, 250, 250]);
    expect([1, 2, 3, 4, 5].map(() => high.next())).toEqual([100, 200, 400, 500, 500]);
    high.reset();
    expect(high.next()).toBe(100);
  });
});

describe('Fifo', () => {
  test('gives back in order what it was given, over any growth and shrinking', () => {
    const fifo = new Fifo<number>();
    let next = 0;
    let expected = 0;
    for (let round = 0; round < 50; round += 1) {
      for (let n = 0; n < 100; n += 1) fifo.push(next++);
      for (let n = 0; n < 90; n += 1) expect(fifo.shift()).toBe(expected++);
    }
    expect(fifo.size).toBe(500);
    expect(fifo.peek()).toBe(expected);
    expect(fifo.takeAll()).toHaveLength(500);
    expect(fifo.shift()).toBeUndefined();
  });
});
