/**
 * What a cluster leaves outside of its namespaces: its cgroups, which must be empty to be removed, and its folder. A shell of
 * its own removes them when we have ended, however we end: it waits for the end of its input, which is a pipe of ours.
 */
import { spawn } from 'node:child_process';

const script = `
while read -r line; do :; done
for try in $(seq 300); do
  for folder in /sys/fs/cgroup/*/"$1" /sys/fs/cgroup/"$1"; do
    [ -d "$folder" ] && find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null
  done
  [ -z "$(find /sys/fs/cgroup -maxdepth 2 -name "$1" -print -quit 2>/dev/null)" ] && break
  sleep 0.1
done
if [ -n "$2" ]; then rm -rf "$2"; fi
`;

/** Disposing it lets it begin, and waits for it. The folder is left where it is undefined. */
export function startJanitor(cgroup: string, folder: string | undefined): AsyncDisposable {
  const child = spawn('sh', ['-c', script, 'janitor', cgroup, folder ?? ''], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // A group of its own: what ends ours leaves it.
    detached: true,
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.once('error', () => undefined);
  child.stdin.once('error', () => undefined);
  return {
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
