/**
 * The users that Warren made in one virtual host: read as a whole (three requests), made, put right, and removed.
 *
 *   new:     user ─▶ keys ─▶ permission ─▶ binding (the caller's)
 *   rotated: another user ─▶ keys ─▶ permission ─▶ binding ─▶ the consumers connect anew ─▶ nobody is connected as the old one: it goes
 *
 * A death between two of these leaves a user that no binding names: it goes like an old one. A user that a binding names and
 * that is missing, or was changed by hand, is put right with the password that the binding has.
 */
import { hashPassword } from '@warren/rabbitmq';
import type { Permission, TopicPermission, UserFound } from '@warren/rabbitmq';
import type { BrokerClient } from '../brokers/client.ts';
import { ConsumerUserError } from '../errors.ts';
import { newPassword, newUserName, ownerOf, readUserName, troubleWith, USER_TAG } from './user.ts';
import type { Credentials, Rights, UserName, UserTrouble } from './user.ts';

interface Found {
  users: Map<string, UserFound>;
  permissions: Map<string, Permission>;
  topics: Map<string, TopicPermission[]>;
}

/** As an EventBroker's spec says. */
export interface CredentialsPolicy {
  mode: 'Shared' | 'PerSubscription';
  /** A duration (`30d`); without it credentials are kept until somebody asks for others. */
  maxAge?: string;
}

export interface BrokerUsersOptions {
  /** The EventBroker's name. */
  broker: string;
  vhost: string;
  policy: CredentialsPolicy;
  client: BrokerClient;
}

export class BrokerUsers {
  readonly vhost: string;
  readonly policy: CredentialsPolicy;
  /** The EventBroker's name. */
  readonly broker: string;
  readonly #client: BrokerClient;
  #found: Found | 'forbidden' | undefined;
  #reading: Promise<void> | undefined;
  /** Our writes since a reading began, which it may have missed. */
  #writes: ((found: Found) => void)[] = [];
  /** Made, and not in a binding yet, by owner. */
  readonly #pending = new Map<string, Credentials>();
  /** When a user was first seen that no binding names, in milliseconds of `performance.now()`. */
  readonly #unneededSince = new Map<string, number>();

  constructor({ broker, vhost, policy, client }: BrokerUsersOptions) {
    this.vhost = vhost;
    this.policy = policy;
    this.broker = broker;
    this.#client = client;
  }

  /** Every subscription and every publisher has a user of its own. */
  get arePerOwner(): boolean {
    return this.policy.mode === 'PerSubscription';
  }

  /** Reads what there is, where that matters: what an earlier policy made goes too, and then nobody asks any more. */
  async look(): Promise<void> {
    if (this.arePerOwner || this.#found === undefined || this.hasAny) await this.refresh();
  }

  /** The broker's user may not manage users, as far as somebody asked. */
  get isForbidden(): boolean {
    return this.#found === 'forbidden';
  }

  /** What there is was read, and nothing makes it doubtful. */
  get isKnown(): boolean {
    return this.#found !== undefined && this.#found !== 'forbidden';
  }

  /** Reads all users and permissions: three requests. What was read serves everybody until the next time. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #read(): Promise<void> {
    this.#writes = [];
    try {
      const [users, permissions, topics] = await Promise.all([
        this.#client.users(),
        this.#client.permissions(),
        this.#client.topicPermissions(),
      ]);
      const found = {
        users: new Map(users.map((user) => [user.name, user])),
        permissions: new Map(permissions.map(({ user, ...permission }) => [user, permission])),
        topics: Map.groupBy(topics, ({ user }) => user),
      };
      for (const write of this.#writes) write(found);
      this.#found = found;
    } catch (error) {
      if (!isForbidden(error)) throw error;
      this.#found = 'forbidden';
    }
  }

  /** What is other about a user of ours than it should be, as it was last read. */
  troubleWith(credentials: Credentials, wanted: Rights): UserTrouble | undefined {
    return this.#found === undefined || this.#found === 'forbidden'
      ? undefined
      : troubleWith(credentials, wanted, this.#found);
  }

  /**
   * A user that may do that and that no binding has named yet: a new one, or the one that was made before and did not get as far
   * as into the binding.
   */
  async make(of: Omit<UserName, 'vhost'>, rights: Rights, signal: AbortSignal): Promise<Credentials> {
    const key = ownerOf(of);
    const credentials = this.#pending.get(key) ?? {
      user: newUserName({ ...of, vhost: this.vhost }),
      password: newPassword(),
    };
    this.#pending.set(key, credentials);
    await this.putRight(credentials, rights, signal);
    return credentials;
  }

  /** A binding was written: what was made for it is in force, and is not given out again. */
  handedOut(of: Omit<UserName, 'vhost'>): void {
    this.#pending.delete(ownerOf(of));
  }

  /** Makes a user as it should be, with the password that it has in its binding. True when something was written. */
  async putRight(credentials: Credentials, rights: Rights, signal: AbortSignal): Promise<boolean> {
    let written = false;
    for (;;) {
      const trouble = troubleWith(credentials, rights, await this.#known());
      if (trouble === undefined) return written;
      const { user } = credentials;
      if (trouble === 'topic') await this.#putTopic(user, rights.topic, signal);
      else if (trouble === 'permission') await this.#putRights(user, rights, signal);
      else await this.#put(credentials, rights, signal);
      written = true;
    }
  }

  /** Everybody's of one owner, with their connections: it is deleted, or shares the broker's user from now on. */
  async remove(owner: Omit<UserName, 'vhost'>, signal: AbortSignal): Promise<void> {
    this.#pending.delete(ownerOf(owner));
    await this.removeAll((of) => ownerOf(of) === ownerOf(owner), signal);
  }

  /** With their connections. @param isMeant by whose they are */
  async removeAll(isMeant: (of: UserName) => boolean, signal?: AbortSignal): Promise<void> {
    for (const { user, of } of this.#ours()) if (isMeant(of)) await this.#delete(user, signal);
  }

  /**
   * Removes the users that nobody needs: not named by a binding for so long that every consumer knows of another one, and
   * without a connection.
   *
   * @param isNeeded whether a binding names it, or nobody can tell
   */
  async retire(isNeeded: (user: string, of: UserName) => boolean, afterMs: number): Promise<void> {
    for (const { user, of } of this.#ours()) {
      const isPending = this.#pending.get(ownerOf(of))?.user === user;
      if (isPending || isNeeded(user, of)) {
        this.#unneededSince.delete(user);
        continue;
      }
      const since = this.#unneededSince.get(user);
      // Never at first sight: a binding may have been written since the bindings were read.
      if (since === undefined) this.#unneededSince.set(user, performance.now());
      if (since === undefined || performance.now() - since < afterMs) continue;
      if ((await this.#client.connectionsOf(user)) > 0) continue;
      await this.#delete(user);
    }
  }

  /** Of one owner there is a user, as it was last read. */
  has(owner: Omit<UserName, 'vhost'>): boolean {
    return this.#ours().some(({ of }) => ownerOf(of) === ownerOf(owner));
  }

  /** There is a user of ours in this virtual host, whatever the policy is now. */
  get hasAny(): boolean {
    return this.#ours().length > 0;
  }

  /** There is a user of a namespace, or nobody can tell. */
  mayHaveAnyOf(namespace: string): boolean {
    if (this.arePerOwner && !this.isKnown) return true;
    return this.#ours().some(({ of }) => of.namespace === namespace);
  }

  #ours(): { user: string; of: UserName }[] {
    if (this.#found === undefined || this.#found === 'forbidden') return [];
    return [...this.#found.users.values()].flatMap(({ name: user, tags }) => {
      const of = readUserName(user);
      return of?.vhost === this.vhost && tags.includes(USER_TAG) ? [{ user, of }] : [];
    });
  }

  async #known(): Promise<Found> {
    if (this.#found === undefined) await this.refresh();
    if (this.#found === undefined || this.#found === 'forbidden') throw new ConsumerUserError(this.broker);
    return this.#found;
  }

  async #put({ user, password }: Credentials, rights: Rights, signal: AbortSignal): Promise<void> {
    const made = { name: user, passwordHash: hashPassword(password), tags: [USER_TAG] };
    await this.#write(
      () => this.#client.putUser(made, { signal }),
      ({ users }) => users.set(user, { ...made, algorithm: undefined }),
    );
    await this.#putRights(user, rights, signal);
  }

  /** The keys first: it never may publish more than it is to. */
  async #putRights(user: string, { topic, ...permission }: Rights, signal: AbortSignal): Promise<void> {
    if (topic !== undefined) await this.#putTopic(user, topic, signal);
    await this.#write(
      () => this.#client.putPermission(user, permission, { signal }),
      ({ permissions }) => permissions.set(user, permission),
    );
  }

  #putTopic(user: string, topic: TopicPermission | undefined, signal: AbortSignal): Promise<void> {
    if (topic === undefined)
      return this.#write(
        () => this.#client.deleteTopicPermissions(user, { signal }),
        ({ topics }) => topics.delete(user),
      );
    return this.#write(
      () => this.#client.putTopicPermission(user, topic, { signal }),
      ({ topics }) => {
        const others = (topics.get(user) ?? []).filter(({ exchange }) => exchange !== topic.exchange);
        topics.set(user, [...others, topic]);
      },
    );
  }

  async #delete(user: string, signal?: AbortSignal): Promise<void> {
    await this.#write(
      () => this.#client.deleteUser(user, signal === undefined ? {} : { signal }),
      ({ users, permissions, topics }) => {
        users.delete(user);
        permissions.delete(user);
        topics.delete(user);
      },
    );
    this.#unneededSince.delete(user);
  }

  /** @param after how things are once it has succeeded */
  async #write(write: () => Promise<void>, after: (found: Found) => void): Promise<void> {
    const found = await this.#known();
    try {
      await write();
    } catch (error) {
      // Whether it took place only a new reading tells.
      this.#found = isForbidden(error) ? 'forbidden' : undefined;
      throw isForbidden(error) ? new ConsumerUserError(this.broker, { cause: error }) : error;
    }
    after(found);
    this.#writes.push(after);
  }
}

/** 401 by the management API for whoever is no administrator; the same for a password that is wrong, which `overview` finds out. */
function isForbidden(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'WARREN_BROKER_UNAUTHORIZED' || code === 'WARREN_BROKER_FORBIDDEN';
}
