/** Users, their rights, and connections: what administrators may ask for. */
import { z } from 'zod';
import type { Signal, VhostCalls } from './calls.ts';
import { path } from './http.ts';
import {
  permissionAnswer,
  topicPermissionAnswer,
  userAnswer,
  userBody,
  userConnectionsAnswer,
  type Permission,
  type PermissionFound,
  type TopicPermission,
  type TopicPermissionFound,
  type UserFound,
} from './users.ts';

export interface Administration {
  /** All users of the broker. Only an administrator may ask, here and in the next eight; else WARREN_BROKER_UNAUTHORIZED. */
  users(options?: Signal): Promise<UserFound[]>;
  /** Of every user in this virtual host. */
  permissions(options?: Signal): Promise<PermissionFound[]>;
  putUser(
    user: { name: string; passwordHash: string; tags: readonly string[] },
    options?: Signal,
  ): Promise<void>;
  putPermission(user: string, permission: Permission, options?: Signal): Promise<void>;
  /** Of every user in this virtual host. */
  topicPermissions(options?: Signal): Promise<TopicPermissionFound[]>;
  /** Replaces that of the same exchange. */
  putTopicPermission(user: string, permission: TopicPermission, options?: Signal): Promise<void>;
  /** All of a user in this virtual host: then it may use every key. */
  deleteTopicPermissions(user: string, options?: Signal): Promise<void>;
  /** Its connections end with it. */
  deleteUser(name: string, options?: Signal): Promise<void>;
  /** How many connections a user has, in any virtual host. */
  connectionsOf(user: string, options?: Signal): Promise<number>;

  /** Names of the open connections of this virtual host, with what their clients call themselves. */
  connections(options?: Signal): Promise<{ name: string; clientName: string | undefined }[]>;
  /** Ends a connection as an administrator would. */
  closeConnection(name: string, reason: string, options?: Signal): Promise<void>;
}

const connectionsAnswer = z.array(
  z.object({
    name: z.string(),
    vhost: z.string().optional(),
    client_properties: z.object({ connection_name: z.string().optional() }).optional(),
  }),
);

export function administrationOf(calls: VhostCalls): Administration {
  return {
    users(options: Signal = {}): Promise<UserFound[]> {
      return calls.get(z.array(userAnswer), path('users'), options);
    },

    permissions(options: Signal = {}): Promise<PermissionFound[]> {
      return calls.get(z.array(permissionAnswer), path('vhosts', calls.vhost, 'permissions'), options);
    },

    async putUser(
      { name, ...user }: { name: string; passwordHash: string; tags: readonly string[] },
      options: Signal = {},
    ): Promise<void> {
      await calls.call('PUT', path('users', name), { body: userBody(user), ...options });
    },

    async putPermission(user: string, permission: Permission, options: Signal = {}): Promise<void> {
      const { configure, write, read } = permission;
      await calls.call('PUT', path('permissions', calls.vhost, user), {
        body: { configure, write, read },
        ...options,
      });
    },

    topicPermissions(options: Signal = {}): Promise<TopicPermissionFound[]> {
      const where = path('vhosts', calls.vhost, 'topic-permissions');
      return calls.get(z.array(topicPermissionAnswer), where, options);
    },

    async putTopicPermission(
      user: string,
      { exchange, write, read }: TopicPermission,
      options: Signal = {},
    ): Promise<void> {
      await calls.call('PUT', path('topic-permissions', calls.vhost, user), {
        body: { exchange, write, read },
        ...options,
      });
    },

    async deleteTopicPermissions(user: string, options: Signal = {}): Promise<void> {
      await calls.delete(path('topic-permissions', calls.vhost, user), options);
    },

    async deleteUser(name: string, options: Signal = {}): Promise<void> {
      await calls.delete(path('users', name), options);
    },

    async connectionsOf(user: string, options: Signal = {}): Promise<number> {
      const where = path('connections', 'username', user);
      return (await calls.get(userConnectionsAnswer, where, options)).length;
    },

    async connections(options: Signal = {}): Promise<{ name: string; clientName: string | undefined }[]> {
      const all = await calls.get(connectionsAnswer, path('vhosts', calls.vhost, 'connections'), options);
      return all.map(({ name, client_properties: client }) => ({
        name,
        clientName: client?.connection_name,
      }));
    },

    async closeConnection(name: string, reason: string, options: Signal = {}): Promise<void> {
      await calls.delete(`${path('connections', name)}?reason=${encodeURIComponent(reason)}`, options);
    },
  };
}
