/** For tests: a user for an operator of its own, whose tags come and go. */
import { createManagementClient, hashPassword } from '@warren/rabbitmq';

interface Access {
  amqpUrl: string;
  managementUrl: string;
  vhost: string;
}

export interface OwnUser extends AsyncDisposable {
  /** As this user. */
  readonly access: { amqpUrl: string; managementUrl: string };
  /** Gives it this tag and no other. */
  tag(tag: 'administrator' | 'policymaker' | 'management' | ''): Promise<void>;
}

export async function ownUser({ amqpUrl, managementUrl, vhost }: Access, tag: string): Promise<OwnUser> {
  const [name, password] = [`own-${vhost}`, 'own-secret'];
  const api = createManagementClient({ url: managementUrl, vhost });
  const put = (tags: string) => api.putUser({ name, passwordHash: hashPassword(password), tags: [tags] });
  const as = (url: string) => Object.assign(new URL(url), { username: name, password }).href;
  await put(tag);
  await api.putPermission(name, { configure: '.*', write: '.*', read: '.*' });
  return {
    access: { amqpUrl: as(amqpUrl), managementUrl: as(managementUrl) },
    tag: put,
    [Symbol.asyncDispose]: async () => {
      await api.deleteUser(name);
      await api.close();
    },
  };
}
