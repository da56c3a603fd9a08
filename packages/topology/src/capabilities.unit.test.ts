import { describe, expect, test } from '@jest/globals';
import { capabilitiesOf } from './capabilities.ts';

describe('what a broker can do', () => {
  test.each([
    ['4.3.6', true],
    ['4.3.1', true],
    ['4.4.0', true],
    ['5.0.0', true],
    ['4.10.0', true],
    ['4.4.0-beta.1', true],
    ['4.3.1-rc.2', false],
    ['4.3.0', false],
    ['4.3.0-rc.1', false],
    ['4.0.5', false],
    ['3.13.7', false],
  ])('%s delays retries itself: %p', (version, expected) => {
    expect(capabilitiesOf(version).delayedRetry).toBe(expected);
  });

  test.each([
    ['4.0.5', true],
    ['4.0.0', true],
    ['4.0.0-rc.1', false],
    ['3.13.7', false],
  ])('%s limits deliveries where nobody said so: %p', (version, expected) => {
    expect(capabilitiesOf(version).deliveryLimitByDefault).toBe(expected);
  });

  test('of a version that cannot be read only the least is expected', () => {
    expect(capabilitiesOf('main')).toEqual({ delayedRetry: false, deliveryLimitByDefault: false });
  });

  test('reads a packaged version', () => {
    expect(capabilitiesOf(' 4.3.6+deb13u1').delayedRetry).toBe(true);
  });
});
