/** Everything that runs in the cluster's machine and on this one for it, built or fetched once. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hasNamespaces } from '../contained.ts';
import { debianTool, type Context } from '../debian.ts';
import { succeeds } from '../command.ts';
import { findBinaries, kubernetesBinaries } from '../kubernetes.ts';
import { networkPolicies } from './network-policies.ts';
import { nodeRoot } from './node-root.ts';
import { standIns } from './stand-ins.ts';

export interface Parts {
  /** Root file system of the machine. */
  root: string;
  /** Folders by the name under `/opt` that they are bound to. */
  binds: Record<'control-plane' | 'node' | 'etcd' | 'nodejs' | 'cluster', string> & {
    /** Absent where it cannot be built. */
    'network-policies'?: string;
  };
  kubectl: string;
  /** Archives of images. */
  images: string[];
}

export async function parts(context: Context): Promise<Parts> {
  const node = (commands: readonly string[], about: string) =>
    kubernetesBinaries('node', commands, about, context);
  await debianTool('mmdebstrap', context);
  // One after the other: all of Go's compilers at once would only be in each other's way.
  const control = await findBinaries(context, '');
  const binaries = await node(['kubelet', 'kube-proxy', 'kube-scheduler'], '3 min on 2 cores');
  const kubectl = (await succeeds('kubectl', ['version', '--client']))
    ? 'kubectl'
    : join(await node(['kubectl'], '1 min on 2 cores'), 'kubectl');
  const policies = await networkPolicies(context);
  const root = await nodeRoot(context);
  return {
    root,
    binds: {
      'control-plane': dirname(control.apiServer),
      node: binaries,
      etcd: dirname(control.etcd),
      nodejs: dirname(process.execPath),
      cluster: import.meta.dirname,
      ...(policies !== undefined && { 'network-policies': policies }),
    },
    kubectl,
    images: await standIns(context),
  };
}

/** What this machine lacks for a cluster of its own, as sentences; empty where it can have one. */
export function lackingForCluster(): string[] {
  const has = (path: string) => existsSync(path);
  return [
    ...(process.getuid?.() === 0 ? [] : ['root: it makes network and mount namespaces']),
    ...(has('/usr/bin/apt-get') ? [] : ['Debian (apt-get): containerd and runc come from its packages']),
    ...(has('/sys/fs/cgroup/cpu') || has('/sys/fs/cgroup/cgroup.controllers')
      ? []
      : ['cgroups, mounted at /sys/fs/cgroup']),
    ...(hasNamespaces() ? [] : ['the right to make namespaces (setpriv, unshare)']),
  ];
}
