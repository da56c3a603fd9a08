import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { KubeConfig } from '@kubernetes/client-node';
import { defaultCredentials, plainCredentials } from './kubeconfig.ts';
import type { Credentials } from './kubeconfig.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

const kubeconfig = (cluster: object, user: object | null) =>
  JSON.stringify({
    'current-context': 'here',
    contexts: [
      { name: 'elsewhere', context: { cluster: 'other', user: 'other' } },
      { name: 'here', context: { cluster: 'it', user: 'me' } },
    ],
    clusters: [
      { name: 'other', cluster: { server: 'https://other' } },
      { name: 'it', cluster: { server: 'https://it:6443', ...cluster } },
    ],
    users: [{ name: 'me', user }],
  });

async function folder(files: Record<string, string> = {}) {
  const path = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function optionsOf(credentials: Credentials | undefined) {
  const options: RequestOptions = {};
  await credentials?.applyToHTTPSOptions(options);
  const { ca, cert, key, headers, auth, rejectUnauthorized, servername } = options;
  const text = (value: unknown) => (Buffer.isBuffer(value) ? value.toString() : value);
  return {
    ca: text(ca),
    cert: text(cert),
    key: text(key),
    headers: headers ?? {},
    auth,
    rejectUnauthorized: rejectUnauthorized ?? true,
    servername,
  };
}

test.each<[string, object, object | null]>([
  ['nothing but a server', {}, null],
  ['a token', {}, { token: 'abc' }],
  ['a password', {}, { username: 'me', password: 'p' }],
  [
    'certificates in it',
    { 'certificate-authority-data': base64('CA') },
    { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') },
  ],
  [
    'certificates in files beside it',
    { 'certificate-authority': 'ca.crt' },
    { 'client-certificate': 'tls.crt', 'client-key': 'tls.key' },
  ],
  ['another name in the certificate', { 'tls-server-name': 'kubernetes' }, { token: 'abc' }],
  ['no verification', { 'insecure-skip-tls-verify': true }, { token: 'abc' }],
  ['a proxy', { 'proxy-url': 'http://proxy:3128' }, { token: 'abc' }],
])('%s is read as client-node reads it', async (_, cluster, user) => {
  await using it = await folder({ 'ca.crt': 'CA', 'tls.crt': 'CERT', 'tls.key': 'KEY' });
  const file = join(it.path, 'config');
  await writeFile(file, kubeconfig(cluster, user));
  const theirs = new KubeConfig();
  theirs.loadFromFile(file);
  const ours = defaultCredentials({ env: { KUBECONFIG: file }, home: it.path, serviceAccount: it.path });
  expect(ours).toBeDefined();
  expect(await optionsOf(ours)).toEqual(await optionsOf(theirs));
  const { server, proxyUrl } = theirs.getCurrentCluster()!;
  expect(ours?.getCurrentCluster()).toEqual({ server, ...(proxyUrl ? { proxyUrl } : {}) });
});

test.each<[string, object, object]>([
  ['an exec plugin', {}, { exec: { command: 'aws' } }],
  ['an auth provider', {}, { 'auth-provider': { name: 'oidc' } }],
  ['somebody to impersonate', {}, { token: 'abc', as: 'jane' }],
  ['a field that nobody knew when this was written', { 'new-field': 1 }, { token: 'abc' }],
])('%s is left to client-node', (_, cluster, user) => {
  expect(plainCredentials(kubeconfig(cluster, user), '.')).toBeUndefined();
});

test('several files are left to client-node', () => {
  const where = { env: { KUBECONFIG: 'a:b' }, home: '/nowhere', serviceAccount: '/nowhere' };
  expect(defaultCredentials(where)).toBeUndefined();
});

test('a file that is named and not there is an error at once', () => {
  const where = { env: { KUBECONFIG: '/nowhere/config' }, home: '/nowhere', serviceAccount: '/nowhere' };
  expect(() => defaultCredentials(where)).toThrow('ENOENT');
});

test('in a pod, the service account is taken, and its token is read anew', async () => {
  await using pod = await folder({ 'ca.crt': 'CA', token: 'first\n' });
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const credentials = defaultCredentials({ env, home: pod.path, serviceAccount: pod.path });
  expect(credentials?.getCurrentCluster()).toEqual({ server: 'https://[fd00::1]:443' });
  const first = await optionsOf(credentials);
  expect(first).toMatchObject({ ca: 'CA', headers: { Authorization: 'Bearer first' } });
  await writeFile(join(pod.path, 'token'), 'second');
  expect((await optionsOf(credentials)).headers).toEqual({ Authorization: 'Bearer second' });
});
