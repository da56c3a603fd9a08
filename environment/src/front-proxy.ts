/**
 * What the API server shows to the servers behind it: a client certificate of an authority of its own, and in which headers
 * it tells who asks. Kubernetes publishes both in `extension-apiserver-authentication` for whoever serves an APIService.
 */
import 'reflect-metadata'; // @peculiar/x509 needs it
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const NAME = 'front-proxy-client';
const DAYS = 365;

/** Writes `front-proxy-ca.crt`, `front-proxy.crt` and `front-proxy.key`; gives back the API server's flags for them. */
export async function frontProxyFlags(at: (file: string) => string): Promise<string[]> {
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + DAYS * 86_400_000);
  const authorityKeys = await newKeys();
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...{ name: 'CN=front-proxy-ca', keys: authorityKeys, signingAlgorithm: ALGORITHM, notBefore, notAfter },
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  });
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create({
    ...{ subject: `CN=${NAME}`, issuer: authority.subject, publicKey: keys.publicKey },
    ...{ signingKey: authorityKeys.privateKey, signingAlgorithm: ALGORITHM, notBefore, notAfter },
    extensions: [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  writeFileSync(at('front-proxy-ca.crt'), authority.toString('pem'));
  writeFileSync(at('front-proxy.crt'), certificate.toString('pem'));
  const pem = `-----BEGIN PRIVATE KEY-----\n${key.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
  writeFileSync(at('front-proxy.key'), pem, { mode: 0o600 });
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

function newKeys() {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}
