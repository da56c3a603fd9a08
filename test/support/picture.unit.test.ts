import { expect, test } from '@jest/globals';
import { picture } from './picture.ts';

test('a picture has both lines from end to end, and its title as text', () => {
  const samples = [
    { at: 0, backlog: 0, replicas: 1 },
    { at: 10, backlog: 200, replicas: 1 },
    { at: 20, backlog: 0, replicas: 4 },
  ];
  const svg = picture('a < b', samples);
  expect(svg).toContain('a &lt; b');
  expect(svg).toContain('points="60,260 380,36 700,260"');
  expect(svg).toContain('points="60,204 380,204 380,204 700,204 700,36"');
  expect(picture('nothing', [])).toContain('</svg>');
});
