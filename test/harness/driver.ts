import type { Driver } from '../../src/fuse/mount/mount.ts'

/**
 * The FUSE driver of this test run. `test/conformance/drivers.ts` runs the suite with the others.
 */
export const DRIVER: Driver = process.env['LTXD_TEST_DRIVER'] === 'fuse-native' ? 'fuse-native' : 'direct'
