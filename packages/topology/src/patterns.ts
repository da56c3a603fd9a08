/**
 * Patterns of policies that Warren did not make, matched with the names of queues.
 *
 * They are PCRE, and RabbitMQ gives one up that takes too long. JavaScript does not: `^([a-z0-9-]+)+!$` keeps it busy with a
 * name of 60 letters for longer than anybody waits, and the whole process with it. So a pattern is read only where there are few
 * enough ways for it to match a name to try them all. Any other one, and one that only PCRE can read, is taken to match nothing:
 * once its queue is there, the broker itself says which policy it applies.
 */

/** Of a long name. */
const LETTERS = 100;
/** Some milliseconds. Three loops from the beginning of a name, two that may begin anywhere in it. */
const MOST_WAYS = LETTERS ** 3;

/** A class, a group's beginning, a loop, or anything else that is one letter of the pattern. */
const TOKENS =
  /\[(?:\\.|[^\]\\])*\]|\\k<[^>]*>|\\.|\((?:\?(?:[a-z]*(?:-[a-z]+)?:|<?[=!]|<[^>]*>))?|[*+?]\??|\{\d+(?:,\d*)?\}\??|./gsu;

export function matcherOf(pattern: string): (queue: string) => boolean {
  if (waysOf(pattern) > MOST_WAYS) return () => false;
  try {
    const expression = new RegExp(pattern);
    return (queue) => expression.test(queue);
  } catch {
    return () => false;
  }
}

/** In how many ways a pattern could match a name, at most: each loop ends anywhere, each alternative is tried. */
export function waysOf(pattern: string): number {
  /** The groups that are open, outermost first: the ways of their earlier alternatives, and of the one that is read. */
  const open = [{ earlier: 0, ways: 1 }];
  /** Of what a loop would repeat. */
  let last = 1;
  for (const token of pattern.match(TOKENS) ?? []) {
    const group = open.at(-1);
    if (group === undefined) return Infinity;
    if (token.startsWith('(')) {
      open.push({ earlier: 0, ways: 1 });
    } else if (token === ')') {
      open.pop();
      last = group.earlier + group.ways;
      const around = open.at(-1);
      if (around !== undefined) around.ways *= last;
    } else if (token === '|') {
      group.earlier += group.ways;
      group.ways = 1;
    } else if (/^\?/.test(token)) {
      group.ways *= 2;
    } else if (/^([*+]|\{\d)/.test(token)) {
      // What has several ways and is repeated has that many more for every letter.
      group.ways *= last > 1 ? Infinity : LETTERS;
    } else {
      // What a group has matched before is compared letter by letter.
      if (/^\\[k1-9]/.test(token)) group.ways *= LETTERS;
      last = 1;
    }
  }
  const [whole] = open;
  if (whole === undefined) return Infinity;
  const { earlier, ways } = whole;
  const isAnchored = pattern.startsWith('^') && earlier === 0;
  return (earlier + ways) * (isAnchored ? 1 : LETTERS);
}
