import { testDatabase, testEndpoints } from '@warren/environment/testing';
import { mongo } from 'mongoose';
import { serviceNames } from '../../scripts/shop.ts';

export interface TestDatabases extends AsyncDisposable {
  /** `mongodb://…/` without a database. */
  readonly url: string;
  readonly prefix: string;
}

/** A database for each service, under a prefix of their own; dropped on dispose. */
export async function testDatabases(): Promise<TestDatabases> {
  const { name } = await testDatabase();
  const url = testEndpoints().mongodb;
  const prefix = `${name}-`;
  return {
    url,
    prefix,
    [Symbol.asyncDispose]: async () => {
      await using client = new mongo.MongoClient(url);
      await Promise.all(serviceNames.map((service) => client.db(`${prefix}${service}`).dropDatabase()));
    },
  };
}
