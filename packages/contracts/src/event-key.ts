/**
 * What tells an event from every other one, as a text of at most 43 characters: what a consumer remembers.
 *
 * CloudEvents promises that of source and id together. An id that is a UUID, as ours are, does so alone; two foreign
 * publishers that number their events both have a `1`.
 */
import { createHash } from 'node:crypto';
import type { Event } from './event.ts';

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

export function eventKeyOf({ id, source }: Pick<Event, 'id' | 'source'>): string {
  if (uuid.test(id)) return id;
  return createHash('sha256')
    .update(JSON.stringify([source, id]))
    .digest('base64url');
}
