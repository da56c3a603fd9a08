/**
 * The certificates of the external metrics API, made by the operator itself: an authority, which the APIService names, and a
 * serving certificate signed by it. Pure but for the randomness of keys.
 *
 * Both are made anew when a third of their life is left. A new authority signs only the serving certificate after the next:
 * until then the old one serves, so the API server has long been told of the new authority when it meets it.
 */
import 'reflect-metadata'; // @peculiar/x509 needs it
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate as Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** As they lie in the Secret. All PEM. */
export interface Certificates {
  /** The authorities to trust, the newest first. */
  'ca.crt': string;
  /** Of the newest authority. */
  'ca.key': string;
  'tls.crt': string;
  'tls.key': string;
}

export interface Lifetimes {
  authorityMs: number;
  servingMs: number;
}

const DAY = 86_400_000;
export const LIFETIMES: Lifetimes = { authorityMs: 3_650 * DAY, servingMs: 90 * DAY };

/** Clocks differ: a certificate is valid a little before it is made. */
const SKEW_MS = 60_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** What there should be now. The same object when that is what there is. */
export async function renewed(
  there: Partial<Certificates> | undefined,
  names: readonly string[],
  now: Date,
  lifetimes: Lifetimes = LIFETIMES,
): Promise<Certificates> {
  const usable = there !== undefined && isUsable(there, now) ? there : undefined;
  if (usable === undefined) return servingFrom(await newAuthority(now, lifetimes), [], names, now, lifetimes);
  const authorities = pemsIn(usable['ca.crt']);
  const [newest = ''] = authorities;
  if (isWorn(usable['tls.crt'], now) || !serves(usable['tls.crt'], names)) {
    const authority = { certificate: newest, key: usable['ca.key'] };
    // Before it was known to sign anything it was published: see above.
    const kept = authorities.slice(1).filter((one) => signed(one, usable['tls.crt']) && !isOver(one, now));
    return servingFrom(authority, kept, names, now, lifetimes);
  }
  if (!isWorn(newest, now)) return usable;
  const authority = await newAuthority(now, lifetimes);
  return { ...usable, 'ca.crt': authority.certificate + authorities.join(''), 'ca.key': authority.key };
}

/** When `renewed` is worth asking again: milliseconds from now. */
export function renewAfterMs(certificates: Certificates, now: Date): number {
  const [newest = ''] = pemsIn(certificates['ca.crt']);
  const due = Math.min(...[certificates['tls.crt'], newest].map(wornAt));
  return Math.max(0, due - now.getTime());
}

/** Whole, and with an authority that can still sign. */
export function isUsable(data: Partial<Certificates>, now: Date): data is Certificates {
  try {
    const [newest = ''] = pemsIn(data['ca.crt'] ?? '');
    return (
      !isOver(newest, now) &&
      data['ca.key'] !== undefined &&
      data['tls.key'] !== undefined &&
      new X509Certificate(data['tls.crt'] ?? '').publicKey.type === 'public'
    );
  } catch {
    return false;
  }
}

interface Authority {
  certificate: string;
  key: string;
}

async function newAuthority(now: Date, { authorityMs }: Lifetimes): Promise<Authority> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=warren-external-metrics-${randomBytes(4).toString('hex')}`,
    keys,
    signingAlgorithm: ALGORITHM,
    ...validity(now, authorityMs),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature, true),
    ],
  });
  return { certificate: pem(certificate), key: await keyPem(keys.privateKey) };
}

async function servingFrom(
  authority: Authority,
  older: readonly string[],
  names: readonly string[],
  now: Date,
  { servingMs }: Lifetimes,
): Promise<Certificates> {
  const keys = await newKeys();
  const signingKey = await webcrypto.subtle.importKey('pkcs8', derOf(authority.key), ALGORITHM, false, [
    'sign',
  ]);
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${names[0]?.slice(0, 64) ?? 'warren'}`,
    issuer: new Certificate(authority.certificate).subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    ...validity(now, servingMs),
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
    ],
  });
  return {
    'ca.crt': authority.certificate + older.join(''),
    'ca.key': authority.key,
    'tls.crt': pem(certificate),
    'tls.key': await keyPem(keys.privateKey),
  };
}

function validity(now: Date, lifeMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now.getTime() - SKEW_MS), notAfter: new Date(now.getTime() + lifeMs) };
}

/** A third of its life is left. */
function wornAt(certificate: string): number {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  const from = validFromDate.getTime() + SKEW_MS;
  return validToDate.getTime() - (validToDate.getTime() - from) / 3;
}

const isWorn = (certificate: string, now: Date): boolean => now.getTime() >= wornAt(certificate);
const isOver = (certificate: string, now: Date): boolean =>
  new X509Certificate(certificate).validToDate < now;

function serves(certificate: string, names: readonly string[]): boolean {
  const parsed = new X509Certificate(certificate);
  return names.every((name) => parsed.checkHost(name) !== undefined);
}

const signed = (authority: string, certificate: string): boolean =>
  new X509Certificate(certificate).verify(new X509Certificate(authority).publicKey);

function pemsIn(text: string): string[] {
  return (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (one) => `${one}\n`,
  );
}

const pem = (certificate: Certificate): string => `${certificate.toString('pem').trim()}\n`;

function newKeys() {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}/g, '$&\n').trim()}\n-----END PRIVATE KEY-----\n`;
}

function derOf(key: string): Buffer {
  return Buffer.from(key.replace(/-----[^-]+-----/g, ''), 'base64');
}
