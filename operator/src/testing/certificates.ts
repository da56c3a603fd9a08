/** For tests: a CA of its own and what it signs, made by openssl. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Signed {
  cert: string;
  key: string;
}

export interface Authority {
  /** The CA's certificate, as PEM. */
  readonly ca: string;
  /** For 127.0.0.1 and localhost, valid for a day. */
  sign(name: string): Promise<Signed>;
}

export async function certificateAuthority(name = 'warren-test'): Promise<Authority> {
  const make = async <T>(work: (folder: string) => Promise<T>): Promise<T> => {
    const folder = await mkdtemp(join(tmpdir(), 'warren-ca-'));
    try {
      return await work(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const { cert: ca, key } = await make(async (folder) => {
    const [certFile, keyFile] = [join(folder, 'ca.crt'), join(folder, 'ca.key')];
    await run('openssl', [
      ...['req', '-x509', ...fresh, '-days', '1', '-subj', `/CN=${name}`],
      ...['-keyout', keyFile, '-out', certFile],
    ]);
    return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
  });
  return {
    ca,
    sign: (subject) =>
      make(async (folder) => {
        const file = (of: string) => join(folder, of);
        await writeFile(file('ca.crt'), ca);
        await writeFile(file('ca.key'), key);
        await writeFile(file('names'), 'subjectAltName=IP:127.0.0.1,DNS:localhost');
        await run('openssl', [
          ...['req', ...fresh, '-subj', `/CN=${subject}`],
          ...['-keyout', file('key'), '-out', file('csr')],
        ]);
        await run('openssl', [
          ...['x509', '-req', '-in', file('csr'), '-CA', file('ca.crt'), '-CAkey', file('ca.key')],
          ...['-CAcreateserial', '-days', '1', '-extfile', file('names'), '-out', file('crt')],
        ]);
        return { cert: await readFile(file('crt'), 'utf8'), key: await readFile(file('key'), 'utf8') };
      }),
  };
}
