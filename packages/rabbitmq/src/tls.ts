/** Certificates, and what an error of TLS means in words that say what to correct. */
import type { ConnectionOptions } from 'node:tls';

/** Certificates as PEM: `ca` signed the other side's, `cert` and `key` are our own. Without `ca`, those of Node. */
export type TlsOptions = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'passphrase' | 'servername' | 'rejectUnauthorized'
>;

/** By OpenSSL's names, as Node gives them in `error.code`. */
const SENTENCES: readonly (readonly [pattern: RegExp, sentence: string])[] = [
  [/^CERT_HAS_EXPIRED$/, "the broker's certificate has expired"],
  [/^CERT_NOT_YET_VALID$/, "the broker's certificate is not valid yet"],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, "the broker's certificate is for another host name than the URL's"],
  [
    /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)|CERT_SIGNATURE_FAILURE|CERT_UNTRUSTED|INVALID_CA)$/,
    "the broker's certificate is not signed by a CA in ca.crt",
  ],
  [
    /^ERR_SSL_TLSV1\d?_ALERT_UNKNOWN_CA$|^ERR_SSL_(SSLV3|TLSV1\d?)_ALERT_(BAD_CERTIFICATE|CERTIFICATE_(UNKNOWN|EXPIRED|REVOKED|REQUIRED))$/,
    'the broker does not accept the client certificate (tls.crt), or asks for one',
  ],
  [/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/, 'what answers there does not speak TLS'],
  [/^ERR_(OSSL|SSL|TLS|CRYPTO)_/, 'no secure connection comes about'],
];

/** Why the certificates do not fit, in a sentence; undefined for any other error. */
export function distrustOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string') return undefined;
  const sentence = SENTENCES.find(([pattern]) => pattern.test(code))?.[1];
  return sentence === undefined ? undefined : `${sentence} (${code})`;
}
