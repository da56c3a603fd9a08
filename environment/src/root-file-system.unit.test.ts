import { expect, test } from '@jest/globals';
import { versions } from './root-file-system.ts';

test('the versions of packages are read from the status file of dpkg', () => {
  const status = `Package: erlang-base
Status: install ok installed
Version: 1:29.1.2+dfsg-1

Package: rabbitmq-server
Status: install ok installed
Maintainer: someone
Version: 4.3.6-1
Depends: erlang-base (>= 1:26)
`;
  expect(versions(status, ['rabbitmq-server', 'absent'])).toEqual(['rabbitmq-server 4.3.6-1']);
});
