/** Certificates of an authority that signs one of them and is thrown away: for servers and clients of one start. */
import 'reflect-metadata'; // @peculiar/x509 needs it
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAYS = 365;

export interface Wanted {
  authority: string;
  subject: string;
  usages: readonly ('serverAuth' | 'clientAuth')[];
  /** Whom a server may call itself: DNS names. */
  names?: readonly string[];
}

/** All PEM. */
export interface Issued {
  authority: string;
  certificate: string;
  key: string;
}

export async function issue({ authority: name, subject, usages, names = [] }: Wanted): Promise<Issued> {
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + DAYS * 86_400_000);
  const authorityKeys = await newKeys();
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...{ name: `CN=${name}`, keys: authorityKeys, signingAlgorithm: ALGORITHM, notBefore, notAfter },
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  });
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create({
    ...{ subject: `CN=${subject}`, issuer: authority.subject, publicKey: keys.publicKey },
    ...{ signingKey: authorityKeys.privateKey, signingAlgorithm: ALGORITHM, notBefore, notAfter },
    extensions: [
      new ExtendedKeyUsageExtension(usages.map((usage) => ExtendedKeyUsage[usage])),
      ...(names.length === 0
        ? []
        : [new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })))]),
    ],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    authority: `${authority.toString('pem')}\n`,
    certificate: `${certificate.toString('pem')}\n`,
    key: `-----BEGIN PRIVATE KEY-----\n${key.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
  };
}

function newKeys() {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}
