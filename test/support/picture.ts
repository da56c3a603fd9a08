/** Two lines over time as an SVG: a backlog and the replicas that handle it. Pure. */

export interface Sample {
  /** Seconds since the beginning. */
  at: number;
  backlog: number;
  replicas: number;
}

const WIDTH = 760;
const HEIGHT = 300;
const LEFT = 60;
const BOTTOM = 40;
const TOP = 36;

export function picture(title: string, samples: readonly Sample[]): string {
  const seconds = Math.max(1, ...samples.map(({ at }) => at));
  const backlog = Math.max(1, ...samples.map((one) => one.backlog));
  const replicas = Math.max(1, ...samples.map((one) => one.replicas));
  const x = (at: number) => round(LEFT + (at / seconds) * (WIDTH - 2 * LEFT));
  const y = (share: number) => round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP));
  const waiting = samples.map((one) => `${x(one.at)},${y(one.backlog / backlog)}`).join(' ');
  // Replicas change at once: steps.
  const steps = samples
    .flatMap((one, index) => {
      const before = samples[index - 1];
      const now = `${x(one.at)},${y(one.replicas / replicas)}`;
      return before === undefined ? [now] : [`${x(one.at)},${y(before.replicas / replicas)}`, now];
    })
    .join(' ');
  const ticks = Array.from({ length: 6 }, (_, index) => Math.round((seconds * index) / 5));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="20" font-size="14" fill="#222222">${escaped(title)}</text>`,
    `<line x1="${LEFT}" y1="${y(0)}" x2="${WIDTH - LEFT}" y2="${y(0)}" stroke="#999999"/>`,
    ...ticks.map(
      (at) => `<text x="${x(at)}" y="${HEIGHT - 20}" text-anchor="middle" fill="#555555">${at} s</text>`,
    ),
    `<text x="${LEFT - 6}" y="${y(1) + 4}" text-anchor="end" fill="#1f77b4">${backlog}</text>`,
    `<text x="${WIDTH - LEFT + 6}" y="${y(1) + 4}" fill="#d95f02">${replicas}</text>`,
    `<polyline points="${waiting}" fill="none" stroke="#1f77b4" stroke-width="2"/>`,
    `<polyline points="${steps}" fill="none" stroke="#d95f02" stroke-width="2"/>`,
    `<text x="${LEFT}" y="${HEIGHT - 4}" fill="#1f77b4">messages that wait or are in hand</text>`,
    `<text x="${WIDTH - LEFT}" y="${HEIGHT - 4}" text-anchor="end" fill="#d95f02">replicas</text>`,
    '</svg>',
    '',
  ].join('\n');
}

const round = (value: number): number => Math.round(value * 10) / 10;
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
