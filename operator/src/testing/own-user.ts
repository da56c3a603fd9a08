/** For tests: a user for an operator of its own, whose tags come and go. */
import { createManagementClient } from '@warren/rabbitmq';

interface Access {
  amqpUrl: string;
  managementUrl: string;
  vhost: string;
}

export interface OwnUser extends AsyncDisposable {
  /** As this user. */
  readonly access: { amqpUrl: string; managementUrl: string };
  /** Gives it this tag and no other. */
  tag(tag: 'administrator' | 'policymaker'): Promise<void>;
}

export async function ownUser({ amqpUrl, managementUrl, vhost }: Access, tag: string): Promise<OwnUser> {
  const [name, password] = [`own-${vhost}`, 'own-secret'];
  const { username, password: administrators, origin } = new URL(managementUrl);
  const put = async (tags: string) => {
    const { ok, status } = await fetch(`${origin}/api/users/${name}`, {
      method: 'PUT',
      headers: {
        authorization: `Basic ${btoa(`${username}:${administrators}`)}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ password, tags }),
    });
    if (!ok) throw new Error(`the user could not be made: ${status}`);
  };
  const as = (url: string) => Object.assign(new URL(url), { username: name, password }).href;
  const api = createManagementClient({ url: managementUrl, vhost });
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
