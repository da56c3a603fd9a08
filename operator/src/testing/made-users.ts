/** For tests: the users that Warren made for a virtual host. */
import { createManagementClient } from '@warren/rabbitmq';
import { readUserName } from '../users/user.ts';
import type { BrokerAccess } from './shop-world.ts';

export async function usersOf({
  managementUrl,
  vhost,
}: Pick<BrokerAccess, 'managementUrl' | 'vhost'>): Promise<string[]> {
  await using api = createManagementClient({ url: managementUrl, vhost });
  const users = await api.users();
  return users.map(({ name }) => name).filter((name) => readUserName(name)?.vhost === vhost);
}
