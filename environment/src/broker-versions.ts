/** Which versions of RabbitMQ tests are run on. */
import { run } from './command.ts';
import type { Context } from './debian.ts';
import { hasDocker } from './docker.ts';
import type { BrokerVersion } from './rabbitmq.ts';
import { debianBrokers, rootFileSystem } from './root-file-system.ts';

/**
 * The versions that what must hold on all of them is tried on, newest first: `WARREN_RABBITMQ_VERSIONS` with commas between
 * them, else those that Debian has. 3.13 takes a Docker engine.
 */
export function brokerVersions(env: NodeJS.ProcessEnv = process.env): readonly BrokerVersion[] {
  const named = env['WARREN_RABBITMQ_VERSIONS']?.split(',').map((version) => version.trim());
  return (named as BrokerVersion[] | undefined) ?? debianBrokers;
}

/** Fetches or makes whatever these versions are started from, where it is not here yet, so that no test waits for it. */
export async function prepareBrokers(context: Context): Promise<void> {
  const docker = await hasDocker();
  for (const version of brokerVersions()) {
    const image = `rabbitmq:${version}-management`;
    const debian = debianBrokers.find((each) => each === version);
    if (docker)
      await run('docker', ['pull', '--quiet', image], {
        part: 'docker',
        what: `fetching ${image}`,
        ...context,
      });
    else if (debian !== undefined) await rootFileSystem(context, debian);
  }
}
