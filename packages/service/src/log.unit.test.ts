import { describe, expect, test } from '@jest/globals';
import { describeError } from './log.ts';

describe('the log', () => {
  test('shows an error by name, code, sentence and cause', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const error = Object.assign(new TypeError('it failed', { cause }), {
      code: 'WARREN_X',
      extra: 'not shown',
    });
    expect(describeError(error)).toMatchObject({
      type: 'TypeError',
      code: 'WARREN_X',
      message: 'it failed',
      cause: { type: 'Error', code: 'ECONNREFUSED' },
    });
    expect(JSON.stringify(describeError(error))).not.toContain('not shown');
    expect(describeError('a text')).toEqual({ message: 'a text' });
  });

  test('shows no credentials, wherever an error carries them', () => {
    const url = 'amqp://user:hunter2@host:5672/shop';
    const error = new Error(`cannot reach ${url}`, { cause: new Error(`mongodb+srv://a:hunter2@b/c`) });
    const shown = JSON.stringify(describeError(error));
    expect(shown).not.toContain('hunter2');
    expect(shown).toContain('amqp://***@host:5672/shop');
  });
});
