import { describe, expect, test } from '@jest/globals';
import { asksForHelp, checkOptions, helpOf, listOf } from './help.ts';
import type { Bench } from './measure.ts';

const bench: Bench = {
  about: 'ours against theirs',
  options: { count: 'how many; 200', peer: 'with the peer' },
  // eslint-disable-next-line require-yield, @typescript-eslint/require-await
  async *run() {
    throw new Error('it was run');
  },
};

describe('the help of the benches', () => {
  test('lists each with what it is', () => {
    expect(
      listOf(
        new Map([
          ['operator', bench],
          ['sync', bench],
        ]),
      ),
    ).toBe(
      [
        'npm run bench -- <name> [--option value …]',
        '',
        '  operator  ours against theirs',
        '  sync      ours against theirs',
        '',
        'npm run bench -- <name> --help tells its options',
      ].join('\n'),
    );
  });

  test('tells the options of one', () => {
    expect(helpOf('operator', bench)).toBe(
      [
        'npm run bench -- operator [--option value …]',
        '',
        'ours against theirs',
        '',
        '  --count  how many; 200',
        '  --peer   with the peer',
      ].join('\n'),
    );
  });

  test.each([
    [['operator', '--help']],
    [['--help']],
    [['-h']],
    [['help']],
    [['operator', '--count', '5', '-h']],
  ])('is asked for by %j', (args) => {
    expect(asksForHelp(args)).toBe(true);
  });

  test('is not asked for by a run', () => {
    expect(asksForHelp(['operator', '--count', '5'])).toBe(false);
  });
});

test('an option that a bench does not know is refused, with those it knows', () => {
  expect(() => checkOptions('operator', bench, { counts: '5' })).toThrow(
    'the bench operator has no option --counts: it has --count, --peer',
  );
  expect(() => checkOptions('operator', bench, { count: '5', peer: true })).not.toThrow();
});
