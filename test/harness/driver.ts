import type { Driver } from '../../src/fuse/mount/mount.ts'

/**
 * How mounts are made in this run; `test/conformance/drivers.ts` runs the suite for those that are not the
 * default.
 */
export const DRIVER: Driver = process.env['LTXD_TEST_DRIVER'] === 'fuse-native' ? 'fuse-native' : 'direct'
