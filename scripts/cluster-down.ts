/** `npm run cluster:down`: ends what `npm run cluster:up` started, wherever its terminal is; also what a killed run has left. */
import { setTimeout as delay } from 'node:timers/promises';
import { clusterOwners, endNow, isRunning, printer, tidyUp } from '@warren/environment';

const report = printer();
const owners = clusterOwners();
if (owners.length === 0) report('cluster', 'nothing runs');
for (const owner of owners) {
  report('cluster', `ending process ${owner.pid}`);
  process.kill(owner.pid, 'SIGTERM');
}
// Its record goes before the rest of its folder does, so the process is what tells.
const running = () => owners.filter((owner) => isRunning(owner));
const until = performance.now() + 180_000;
while (running().length > 0 && performance.now() < until) await delay(50);
for (const owner of running())
  if (endNow(owner)) report('cluster', `process ${owner.pid} did not end; killed`);
await tidyUp(report);
