/** The root file system of the cluster's machine: containerd, runc, the CNI plugins and what kube-proxy calls, from Debian packages. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cached, cacheKey } from '../cache.ts';
import { run } from '../command.ts';
import { debianTool, type Context } from '../debian.ts';

const SUITE = 'trixie';
const FORMAT = '2';
const PACKAGES = [
  ...['containerd', 'runc', 'containernetworking-plugins', 'nftables', 'iptables', 'conntrack', 'iproute2'],
  ...[
    'bash',
    'coreutils',
    'grep',
    'sed',
    'findutils',
    'mount',
    'util-linux',
    'hostname',
    'procps',
    'openssl',
    'tar',
  ],
  ...['base-files', 'libc-bin', 'libstdc++6'],
];

/** Folders to bind what is built over: `/opt/<name>`. */
export const MOUNT_POINTS = [
  'control-plane',
  'node',
  'etcd',
  'nodejs',
  'cluster',
  'images',
  'network-policies',
] as const;

/** Its folder, made in some seconds where it is not cached. Nothing is installed on this machine. */
export async function nodeRoot(context: Context): Promise<string> {
  const key = cacheKey(FORMAT, SUITE, ...PACKAGES, ...MOUNT_POINTS, process.arch);
  const make = async (draft: string) => {
    await debianTool('mmdebstrap', context);
    const root = join(draft, 'root');
    context.report('machine', `making a root file system with containerd from Debian ${SUITE} (about 10 s)`);
    // `extract` unpacks the packages and runs none of their scripts: no daemon has to be kept from starting.
    const options = ['--variant=extract', '--mode=root', '--quiet', `--include=${PACKAGES.join(',')}`];
    await run('mmdebstrap', [...options, SUITE, root], {
      part: 'machine',
      what: 'making the root file system',
      ...context,
    });
    const at = (path: string) => join(root, path);
    writeFileSync(at('etc/passwd'), 'root:x:0:0:root:/root:/bin/bash\n');
    writeFileSync(at('etc/group'), 'root:x:0:\n');
    writeFileSync(at('etc/hosts'), '127.0.0.1 localhost warren\n');
    // Pods with dnsPolicy Default, and CoreDNS itself, ask nobody: there is nothing outside.
    writeFileSync(at('etc/resolv.conf'), 'nameserver 10.200.0.254\n');
    writeFileSync(at('etc/machine-id'), `${'0'.repeat(31)}1\n`);
    // What the maintainer scripts would have linked.
    for (const name of ['iptables', 'ip6tables', 'iptables-save', 'iptables-restore'])
      symlinkSync(name.replace('tables', 'tables-nft'), at(`usr/sbin/${name}`));
    for (const name of ['mnt', ...MOUNT_POINTS.map((name) => `opt/${name}`)])
      mkdirSync(at(name), { recursive: true });
  };
  return join(await cached('machine', key, make, context), 'root');
}
