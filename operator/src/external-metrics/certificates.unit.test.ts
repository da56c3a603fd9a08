import { X509Certificate } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { isUsable, renewAfterMs, renewed } from './certificates.ts';

const names = ['warren.warren-system.svc'];
const lifetimes = { authorityMs: 3_000_000, servingMs: 300_000 };
const start = Date.parse('2026-01-01T00:00:00Z');
const at = (ms: number) => new Date(start + ms);
const authoritiesIn = (text: string) => text.match(/BEGIN CERTIFICATE/g)?.length;

/** As a client with these authorities would check it. */
function isTrusted(certificate: string, authorities: string): boolean {
  const all = authorities.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
  const parsed = new X509Certificate(certificate);
  return all.some((one) => parsed.verify(new X509Certificate(one).publicKey));
}

test('from nothing, or from something unusable, a whole set is made', async () => {
  for (const there of [undefined, {}, { 'tls.crt': 'nonsense' }]) {
    const made = await renewed(there, names, at(0), lifetimes);
    expect(isUsable(made, at(0))).toBe(true);
    expect(isTrusted(made['tls.crt'], made['ca.crt'])).toBe(true);
    const serving = new X509Certificate(made['tls.crt']);
    expect(serving.checkHost('warren.warren-system.svc')).toBeDefined();
    expect(serving.ca).toBe(false);
    expect(serving.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(new X509Certificate(made['ca.crt']).ca).toBe(true);
  }
});

test('what is fresh stays, and says when it is to be looked at again', async () => {
  const made = await renewed(undefined, names, at(0), lifetimes);
  expect(await renewed(made, names, at(199_000), lifetimes)).toBe(made);
  expect(renewAfterMs(made, at(0))).toBe(200_000);
});

test('a serving certificate is renewed by the same authority, for another name at once', async () => {
  const made = await renewed(undefined, names, at(0), lifetimes);
  const later = await renewed(made, names, at(200_000), lifetimes);
  expect(later['tls.crt']).not.toBe(made['tls.crt']);
  expect(later['ca.crt']).toBe(made['ca.crt']);
  const other = await renewed(made, ['other.default.svc'], at(1), lifetimes);
  expect(new X509Certificate(other['tls.crt']).checkHost('other.default.svc')).toBeDefined();
});

test('a new authority is made known before it signs, and what either signed is trusted all along', async () => {
  let certificates = await renewed(undefined, names, at(0), lifetimes);
  const served = new Set([certificates['tls.crt']]);
  for (let now = 0; now < 9_000_000; now += 50_000) {
    const before = certificates;
    certificates = await renewed(before, names, at(now), lifetimes);
    // Who has not heard of the change yet trusts what is served, and who has trusts what the others still serve.
    expect(isTrusted(certificates['tls.crt'], before['ca.crt'])).toBe(true);
    expect(isTrusted(before['tls.crt'], certificates['ca.crt'])).toBe(true);
    expect(authoritiesIn(certificates['ca.crt'])).toBeLessThanOrEqual(2);
    served.add(certificates['tls.crt']);
  }
  expect(served.size).toBeGreaterThan(30);
});

test('after a long sleep everything is made anew', async () => {
  const made = await renewed(undefined, names, at(0), lifetimes);
  const woken = await renewed(made, names, at(4_000_000), lifetimes);
  expect(woken['ca.crt']).not.toBe(made['ca.crt']);
  expect(isTrusted(woken['tls.crt'], woken['ca.crt'])).toBe(true);
});
