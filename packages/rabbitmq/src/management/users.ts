/** Users of a broker and their permissions, as the management API tells of them. Only an administrator may ask. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

export const userAnswer = z
  .object({
    name: z.string(),
    password_hash: z.string().default(''),
    hashing_algorithm: z.string().optional(),
    // A text with commas before RabbitMQ 3.9.
    tags: z.union([z.array(z.string()), z.string()]).default([]),
  })
  .transform(({ name, password_hash: passwordHash, hashing_algorithm: algorithm, tags }) => ({
    name,
    passwordHash,
    algorithm,
    tags: typeof tags === 'string' ? tags.split(',').filter((tag) => tag !== '') : tags,
  }));

export const permissionAnswer = z.object({
  user: z.string(),
  configure: z.string(),
  write: z.string(),
  read: z.string(),
});

export const topicPermissionAnswer = z.object({
  user: z.string(),
  exchange: z.string(),
  write: z.string(),
  read: z.string(),
});

export const userConnectionsAnswer = z.array(z.object({ name: z.string(), vhost: z.string().optional() }));

export type UserFound = z.output<typeof userAnswer>;
/** What a user may do in the virtual host: regular expressions over the names of exchanges and queues. */
export type PermissionFound = z.output<typeof permissionAnswer>;
export type Permission = Omit<PermissionFound, 'user'>;
/**
 * Which routing keys a user may publish to a topic exchange (`write`) and bind from it (`read`), besides having the right to
 * write or read the exchange: regular expressions. Where there is none for an exchange, every key is allowed.
 */
export type TopicPermissionFound = z.output<typeof topicPermissionAnswer>;
export type TopicPermission = Omit<TopicPermissionFound, 'user'>;

const SHA256 = 'rabbit_password_hashing_sha256';
const SALT_BYTES = 4;

/** A password as the broker keeps it: the password itself need not travel. */
export function hashPassword(password: string, salt = randomBytes(SALT_BYTES)): string {
  return Buffer.concat([salt, digest(password, salt)]).toString('base64');
}

/** Whether a user has this password. Undefined where the broker hashes in a way that cannot be followed. */
export function hasPassword(
  { passwordHash, algorithm = SHA256 }: UserFound,
  password: string,
): boolean | undefined {
  if (algorithm !== SHA256) return undefined;
  const bytes = Buffer.from(passwordHash, 'base64');
  const expected = digest(password, bytes.subarray(0, SALT_BYTES));
  const found = bytes.subarray(SALT_BYTES);
  return found.length === expected.length && timingSafeEqual(found, expected);
}

export function userBody(user: { passwordHash: string; tags: readonly string[] }): object {
  return { password_hash: user.passwordHash, hashing_algorithm: SHA256, tags: user.tags.join(',') };
}

function digest(password: string, salt: Uint8Array): Buffer {
  return createHash('sha256').update(salt).update(password).digest();
}
