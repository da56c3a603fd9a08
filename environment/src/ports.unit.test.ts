import { expect, test } from '@jest/globals';
import { listeners } from './ports.ts';

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1628 00000000:0000 0A 00000000:00000000 00:00000000 00000000   102        0 33001 1 0000 100 0 0 10 0
   1: 0100007F:1628 0100007F:C350 01 00000000:00000000 00:00000000 00000000   102        0 33002 1 0000 100 0 0 10 0
   2: 0100007F:3D28 00000000:0000 0A 00000000:00000000 00:00000000 00000000   102        0 33003 1 0000 100 0 0 10 0
`;

test('who listens on a port is told from who is connected to it', () => {
  expect(listeners(table, 5672)).toEqual(['33001']);
  expect(listeners(table, 15656)).toEqual(['33003']);
  expect(listeners(table, 80)).toEqual([]);
  expect(listeners('', 80)).toEqual([]);
});
