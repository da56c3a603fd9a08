/**
 * Who has which address: this service's own read model of another service's UserCreated, so that it needs nobody when
 * a mail is due.
 */
import type { App } from '@warren/service';
import type { Address } from './mails.ts';

interface AddressDocument {
  _id: string;
  email: string;
  name: string;
}

/** The known addresses. */
export interface Addresses {
  /** The same again changes nothing. */
  remember(address: Address): Promise<void>;
  find(userId: string): Promise<Address | undefined>;
}

/** Addresses in the collection `addresses`. */
export function createAddresses(database: App['database']): Addresses {
  const addresses = () => database.collection<AddressDocument>('addresses');
  return {
    remember: async ({ userId, email, name }) => {
      await addresses().updateOne({ _id: userId }, { $set: { email, name } }, { upsert: true });
    },
    find: async (userId) => {
      const found = await addresses().findOne({ _id: userId });
      return found === null ? undefined : { userId, email: found.email, name: found.name };
    },
  };
}
