import { describe, test } from '@jest/globals';
import { UserCreated } from '@warren/contracts';
import { given } from '@warren/service/testing';
import { userDecider } from './user.ts';

const create = { userId: 'user-1', email: 'ada@example.com', name: 'Ada' };

describe('a user', () => {
  test('is created', () => {
    given(userDecider).when(create).then(UserCreated.create(create));
  });

  test('is created once: the second one with this email is refused', () => {
    given(userDecider, UserCreated.create(create))
      .when({ ...create, name: 'Eve' })
      .refused('email-taken');
  });
});
