/**
 * Who asks: the API server has authenticated the user, and says so in headers that only it may send. It proves itself with a
 * client certificate. What to believe, and whom, is in `kube-system/extension-apiserver-authentication`. Pure.
 */
import { percentDecoded } from '@warren/rabbitmq';
import { z } from 'zod';

/** What the API server publishes. */
export interface FrontProxy {
  /** PEM. */
  authority: string;
  /** Common names of the certificates that may speak for others; any when empty. */
  allowedNames: string[];
  usernameHeaders: string[];
  groupHeaders: string[];
  extraHeaderPrefixes: string[];
}

/** As a SubjectAccessReview names it. */
export interface Requester {
  user: string;
  groups: string[];
  extra: Record<string, string[]>;
}

const names = z.array(z.string());

/** Undefined where the API server has no aggregation layer. */
export function frontProxyOf(data: Readonly<Record<string, string>> | undefined): FrontProxy | undefined {
  const authority = data?.['requestheader-client-ca-file'];
  if (authority === undefined || authority.trim() === '') return undefined;
  const list = (field: string) => {
    try {
      return names.parse(JSON.parse(data?.[field] ?? '[]'));
    } catch {
      return [];
    }
  };
  return {
    authority,
    allowedNames: list('requestheader-allowed-names'),
    usernameHeaders: list('requestheader-username-headers'),
    groupHeaders: list('requestheader-group-headers'),
    extraHeaderPrefixes: list('requestheader-extra-headers-prefix'),
  };
}

/** @param verified the common name of a certificate that was verified against `authority`; undefined when there is none */
export function requesterOf(
  { allowedNames, usernameHeaders, groupHeaders, extraHeaderPrefixes }: FrontProxy,
  verified: string | undefined,
  headers: Readonly<Record<string, string[] | undefined>>,
): Requester | undefined {
  if (verified === undefined) return undefined;
  if (allowedNames.length > 0 && !allowedNames.includes(verified)) return undefined;
  const valuesOf = (wanted: readonly string[]) => wanted.flatMap((name) => headers[name.toLowerCase()] ?? []);
  const [user] = valuesOf(usernameHeaders);
  if (user === undefined || user === '') return undefined;
  const extra: Record<string, string[]> = {};
  for (const prefix of extraHeaderPrefixes.map((one) => one.toLowerCase()))
    for (const [name, values] of Object.entries(headers))
      if (name.startsWith(prefix) && values !== undefined)
        extra[percentDecoded(name.slice(prefix.length))] = values;
  return { user, groups: valuesOf(groupHeaders), extra };
}
