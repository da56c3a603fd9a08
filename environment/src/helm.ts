/** Helm, built from its Go module once a machine. */
import { join } from 'node:path';
import { goBinaries } from './go.ts';
import { printer } from './progress.ts';

/** The path of the binary: a minute on two cores where it was never built. */
export async function helmBinary(): Promise<string> {
  const folder = await goBinaries({
    module: 'helm',
    sources: ['tools.go'],
    packages: ['helm.sh/helm/v3/cmd/helm'],
    about: '1 min on 2 cores',
    report: printer(),
  });
  return join(folder, 'helm');
}
