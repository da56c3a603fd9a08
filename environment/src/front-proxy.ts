/**
 * What the API server shows to the servers behind it: a client certificate of an authority of its own, and in which headers
 * it tells who asks. Kubernetes publishes both in `extension-apiserver-authentication` for whoever serves an APIService.
 */
import { writeFileSync } from 'node:fs';
import { issue } from './authority.ts';

const NAME = 'front-proxy-client';

/** Writes `front-proxy-ca.crt`, `front-proxy.crt` and `front-proxy.key`; gives back the API server's flags for them. */
export async function frontProxyFlags(at: (file: string) => string): Promise<string[]> {
  const issued = await issue({ authority: 'front-proxy-ca', subject: NAME, usages: ['clientAuth'] });
  writeFileSync(at('front-proxy-ca.crt'), issued.authority);
  writeFileSync(at('front-proxy.crt'), issued.certificate);
  writeFileSync(at('front-proxy.key'), issued.key, { mode: 0o600 });
  return [
    `--requestheader-client-ca-file=${at('front-proxy-ca.crt')}`,
    `--requestheader-allowed-names=${NAME}`,
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    `--proxy-client-cert-file=${at('front-proxy.crt')}`,
    `--proxy-client-key-file=${at('front-proxy.key')}`,
  ];
}
