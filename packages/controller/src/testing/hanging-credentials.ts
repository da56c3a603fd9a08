import type { RequestOptions } from 'node:https';
import type { Credentials } from '../kubeconfig.ts';

/** For tests: credentials that, once the test says so, are asked for and never come. */
export function hanging(credentials: Credentials) {
  let hangs = false;
  const stub = {
    lookups: 0,
    hang: () => {
      hangs = true;
    },
    getCurrentCluster: () => credentials.getCurrentCluster(),
    getCurrentUser: () => credentials.getCurrentUser(),
    applyToHTTPSOptions: async (options: RequestOptions) => {
      stub.lookups += 1;
      if (hangs) await new Promise(() => undefined);
      await credentials.applyToHTTPSOptions(options);
    },
  };
  return stub;
}
