/** `npm run env:down`: ends what `npm run env:up` started, wherever its terminal is; also what a killed run has left. */
import { setTimeout as delay } from 'node:timers/promises';
import { endNow, printer, readEndpoints, tidyUp } from '@warren/environment';

const report = printer();
await tidyUp(report);
const owner = readEndpoints()?.owner;
if (owner === undefined) {
  report('environment', 'nothing runs');
} else {
  report('environment', `ending process ${owner.pid}`);
  process.kill(owner.pid, 'SIGTERM');
  const until = performance.now() + 15_000;
  while (readEndpoints() !== undefined && performance.now() < until) await delay(50);
  if (endNow(owner)) report('environment', `process ${owner.pid} did not end; killed`);
  await tidyUp(report);
}
